"""How do limits get from the command line into the ledger? Through the loop that runs, or by hand where none does.

The ledger has one writer: a running loop writes for whoever asks it, and puts limits in force between two parts.
Without one, this process takes the ledger for a moment; limits put in force then count from the next start on.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from station.build import usable_here
from station.config import StationConfig
from station.core.errors import LedgerFault, LimitsRefused, UsageError
from station.core.timing import Clock, SystemClock
from station.exchange import LoopAway, LoopClient
from station.limits import LimitsSet, limits_of, read_limits, with_values
from station.limits_desk import LimitsDesk, perform
from station.limits_view import overview
from station.recipe import Recipe, load_recipe
from station.store.database import open_reader
from station.store.ledger import Ledger
from station.store.limits import Act, Past, past, recipe_of, recipes

FILE = "file"
"""What people call the limits of the recipe file where a version's number could stand."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """Limits to be drafted, as far as a file says.

    Attributes:
        limits: Of every class.
        diff: What flips, where the file says so.
        certificate: What is promised, where the file says so.
    """

    limits: LimitsSet
    diff: Mapping[str, Any] | None = None
    certificate: Mapping[str, Any] | None = None


def act_on_limits(
    config: StationConfig,
    what: str,
    act: Act,
    given: Mapping[str, Any],
    *,
    recipe: str | None = None,
    clock: Clock | None = None,
) -> dict[str, Any]:
    """Drafts, approves, withdraws, activates or rolls back limits; returns what it left behind, once committed.

    Args:
        config: The station.
        what: ``draft``, ``approve``, ``withdraw``, ``activate`` or ``rollback``.
        act: Who and why.
        given: What it is about.
        recipe: Its name; ``None``: that of the version.
        clock: The system's unless given.

    Raises:
        LimitsRefused: It cannot be done.
        LoopAway: A loop runs, but it is not known whether it was stored.
        LedgerFault: There is no ledger, or another process writes it.
        ConfigError: The recipe cannot be read.
    """
    ledger_there(config)
    with closing(LoopClient(config.store.door)) as client:
        try:
            client.state()
        except LoopAway:
            pass  # nobody writes: this process may
        else:
            return client.limits(what, act, given, recipe=recipe)
    with closing(Ledger(config.store.database, clock=clock or SystemClock())) as ledger:
        name = recipe or named_by(config, given.get("version"))
        desk = LimitsDesk(ledger, load_recipe(name, config.recipes), usable=usable_here(config))
        return perform(desk, what, act, given, recipe=name).to_dict()


def named_by(config: StationConfig, version: object) -> str:
    """The recipe that a version was made for.

    Raises:
        LimitsRefused: ``unknown``: there is no such version; ``invalid``: none is named.
    """
    if version is None:
        raise LimitsRefused("invalid", "say whose recipe file: --recipe NAME")
    reader = open_reader(config.store.database)
    try:
        found = recipe_of(reader, version) if isinstance(version, int) else None
    finally:
        reader.dispose()
    if found is None:
        raise LimitsRefused("unknown", f"there is no version {version} of any limits: 'station limits list' names them")
    return found


def known_recipes(config: StationConfig) -> list[str]:
    """Recipes whose limits have versions."""
    reader = open_reader(ledger_there(config))
    try:
        return recipes(reader)
    finally:
        reader.dispose()


def limits_past(config: StationConfig, recipe: str) -> Past:
    """Everything that was done with a recipe's limits."""
    reader = open_reader(ledger_there(config))
    try:
        return past(reader, recipe)
    finally:
        reader.dispose()


def limits_overview(config: StationConfig, recipe: str) -> dict[str, Any]:
    """All versions of a recipe's limits and what is in force; also where the recipe file is gone or wrong."""
    done = limits_past(config, recipe)
    try:
        file = load_recipe(recipe, config.recipes)
    except UsageError as error:
        made = None if done.in_force is None else done.version(done.in_force)
        return overview(done, model=made.model if made else None, file=None, file_words=str(error))
    return overview(done, model=file.model, file=limits_of(file))


def limits_named(config: StationConfig, recipe: Recipe, name: str | None) -> tuple[LimitsSet, int | None]:
    """Limits by the name people give them: a version's number or ``file``; none: those in force.

    Returns:
        The limits, and the version's number (``None``: the recipe file).

    Raises:
        LimitsRefused: ``unknown``.
    """
    if name == FILE:
        return limits_of(recipe), None
    done = limits_past(config, recipe.name)
    number = done.in_force if name is None else version_named(name)
    if number is None:
        return limits_of(recipe), None
    made = done.version(number)
    if made is None:
        raise LimitsRefused(
            "unknown", f"recipe {recipe.name} has no version {number} of its limits: 'station limits list' names them"
        )
    return read_limits(made.limits), number


def version_named(name: str) -> int | None:
    """A version's number; ``None`` for ``file``.

    Raises:
        LimitsRefused: ``invalid``: it is neither.
    """
    if name == FILE:
        return None
    if not (name.isascii() and name.isdigit()):
        raise LimitsRefused("invalid", f"{name!r} names no limits: give a version's number, or '{FILE}'")
    return int(name)


def read_json(path: Path) -> Mapping[str, Any]:
    """A JSON object from a file.

    Raises:
        UsageError: It cannot be read or is none.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot read {path} ({error}): name a JSON file") from error
    if not isinstance(data, dict):
        raise UsageError(f"{path} holds no JSON object: name what 'station tune --json' or 'station diff --json' wrote")
    return data


def proposed(data: Mapping[str, Any], onto: LimitsSet, recipe: str) -> Proposal:
    """What a file proposes: the report of ``station tune``, whole limits, or ``{class: {"pass_below": ...}}``.

    Args:
        data: The file's content.
        onto: Limits of what it does not name.
        recipe: Name of the recipe that they are for.

    Raises:
        LimitsRefused: ``invalid``: it proposes nothing for this recipe.
    """
    if "chosen" in data and isinstance(data.get("limits"), dict):
        if data.get("recipe") != recipe:
            raise LimitsRefused("invalid", f"that report is about recipe {data.get('recipe')}, not about {recipe}")
        values = {label: it.get("proposed") for label, it in data["limits"].items() if isinstance(it, dict)}
        return Proposal(with_values(onto, values), data.get("tuning"), data.get("certificate"))
    if "classes" in data:
        return Proposal(read_limits(data))
    return Proposal(with_values(onto, data))


def ledger_there(config: StationConfig) -> Path:
    """The ledger's file.

    Raises:
        LedgerFault: There is none: writing would begin another.
    """
    if not config.store.database.is_file():
        raise LedgerFault(f"no ledger at {config.store.database}: start the loop first, or name its file with --db")
    return config.store.database
