"""Do these limits, with what is attached to them, fit the recipe that they are to be laid over?"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from station.calibration.certificate import Certificate
from station.config import StationConfig
from station.core.errors import ConfigError, DataRefused, LimitsRefused
from station.limits import LimitsSet, overlay, read_limits
from station.recipe import Recipe, load_recipe
from station.store import limits as kept
from station.store.database import open_reader
from station.store.ledger import Ledger

MOST_BYTES = 500_000
"""Of a decision diff: what is kept beside a version is read with it."""


def recipe_in_force(
    ledger: Ledger, file: Recipe, *, usable: Callable[[Recipe], object] = lambda recipe: None
) -> tuple[Recipe, int | None]:
    """The recipe to inspect by, and the version of its limits (``None``: those of the file).

    Args:
        ledger: Says which version is in force.
        file: The recipe as it stands in its file.
        usable: Raises ``ConfigError`` for a recipe that this station cannot inspect by.

    Raises:
        LimitsRefused: ``does_not_fit``: the version in force does not fit the recipe any more, with the remedy.
    """
    with kept.writing(ledger, file.name) as book:
        return _laid(book.past, file, usable)


def recipe_here(name: str, config: StationConfig) -> tuple[Recipe, int | None]:
    """The recipe that this station judges by, and the version of its limits; read, nothing is held or changed.

    Where the station has no ledger yet, the recipe is what its file says.

    Raises:
        ConfigError: The recipe cannot be used.
        LedgerFault: The ledger cannot be read.
        LimitsRefused: As :func:`recipe_in_force`.
    """
    file = load_recipe(name, config.recipes)
    if not config.store.database.is_file():
        return file, None
    reader = open_reader(config.store.database)
    try:
        return _laid(kept.past(reader, file.name), file, lambda recipe: None)
    finally:
        reader.dispose()


def _laid(past: kept.Past, file: Recipe, usable: Callable[[Recipe], object]) -> tuple[Recipe, int | None]:
    made = None if past.in_force is None else past.version(past.in_force)
    if made is None:
        return file, None
    try:
        which = f"those of version {made.id}, which is in force"
        return fitting(file, read_limits(made.limits), made.model, which, usable=usable), made.id
    except LimitsRefused as refused:
        raise LimitsRefused(
            "does_not_fit",
            f"{refused}; or go one step back with 'station limits rollback --recipe {file.name} --reason ...'",
        ) from refused


def fitting(
    file: Recipe,
    given: LimitsSet,
    model: str | None,
    which: str,
    *,
    usable: Callable[[Recipe], object] = lambda recipe: None,
) -> Recipe:
    """The recipe under these limits.

    Raises:
        LimitsRefused: ``does_not_fit``: they are for another model or other classes, or cannot be used here.
    """
    if model != file.model:
        raise LimitsRefused(
            "does_not_fit",
            f"recipe {file.name} names {file.model or 'no model'}, but {which} were made for {model or 'none'}, and "
            "scores of another model mean something else: draft limits for the recipe's model and put them in force",
        )
    recipe = overlay(file, given)
    try:
        usable(recipe)
    except ConfigError as error:
        raise LimitsRefused("does_not_fit", str(error)) from error
    return recipe


def check_diff(diff: Mapping[str, Any]) -> None:
    """What is attached as a decision diff is one, and not too long.

    Raises:
        LimitsRefused: ``invalid``.
    """
    if not isinstance(diff, Mapping) or not diff:
        raise LimitsRefused("invalid", "a decision diff is what 'station diff --json' writes: attach that, or none")
    if len(json.dumps(diff)) > MOST_BYTES:
        raise LimitsRefused(
            "invalid", f"the decision diff has more than {MOST_BYTES // 1000} kB: leave out its later flips"
        )


def check_certificate(certificate: Mapping[str, Any], recipe: Recipe) -> None:
    """A promise about other limits would be none about these.

    Raises:
        LimitsRefused: ``invalid``: it is none, was changed, or was issued for another recipe than this one.
    """
    try:
        about = Certificate.from_dict(certificate)
    except DataRefused as error:
        raise LimitsRefused("invalid", str(error)) from error
    if about.recipe_sha256 != recipe.sha256:
        raise LimitsRefused(
            "invalid",
            "the certificate is for other limits than these: draft those it was issued for, or leave it out",
        )
