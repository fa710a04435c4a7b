"""Which limits were drafted, approved and put in force for a recipe, by whom and why? Written once, never changed.

What is in force follows from the events alone: activations pile up, a rollback takes the topmost away.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import Engine, text
from sqlmodel import Session

from station.core.errors import LimitsRefused
from station.store.ledger import Ledger, RunStart, add_run
from station.store.tables import EventRow, LimitsEventRow, LimitsVersionRow

PANEL, COMMAND_LINE = "panel", "command line"
LONGEST_PERSON, LONGEST_REASON, LONGEST_KEY = 64, 2_000, 64


class Did(StrEnum):
    """What can be done with limits."""

    DRAFTED = "drafted"
    APPROVED = "approved"
    ACTIVATED = "activated"
    ROLLED_BACK = "rolled_back"
    WITHDRAWN = "withdrawn"


@dataclass(frozen=True, slots=True)
class Act:
    """Who does something with limits, and why.

    Attributes:
        key: Made by the asking side: sending it twice changes nothing.
        person: Who.
        reason: Why, in words.
        via: ``panel`` (signed in) or ``command line`` (as given there).
    """

    key: str
    person: str
    reason: str
    via: str

    def __post_init__(self) -> None:
        for name, most, remedy in (
            ("key", LONGEST_KEY, "a key of its own"),
            ("person", LONGEST_PERSON, "the name of a person"),
            ("reason", LONGEST_REASON, "a reason in words: an auditor will ask for it"),
        ):
            words = getattr(self, name)
            if not isinstance(words, str) or not words.strip() or len(words) > most:
                raise LimitsRefused("invalid", f"this needs {remedy} (at most {most} letters)")
            object.__setattr__(self, name, words.strip())
        if self.via not in (PANEL, COMMAND_LINE):
            raise LimitsRefused("invalid", f"nobody acts via {self.via!r}: name {PANEL!r} or {COMMAND_LINE!r}")


@dataclass(frozen=True, slots=True)
class NewVersion:
    """Limits as they are drafted.

    Attributes:
        model: ``<name>/<version>`` they were made for; ``None`` for a recipe without a model.
        base: The version they were derived from; ``None``: the recipe file.
        limits: Of every class, with least sizes and ignored regions: plain values.
        diff: What flips on which footage.
        certificate: What is promised.
        widens: More may be released than under what was in force then.
    """

    model: str | None
    base: int | None
    limits: Mapping[str, Any]
    diff: Mapping[str, Any] | None
    certificate: Mapping[str, Any] | None
    widens: bool


@dataclass(frozen=True, slots=True)
class Version(NewVersion):
    """Limits as they stand in the ledger."""

    id: int
    made_at: str
    made_by: str
    reason: str


@dataclass(frozen=True, slots=True)
class Event:
    """What somebody did with limits.

    Attributes:
        version: Which; ``None``: the limits of the recipe file.
        widens: Whether more may be released by it; ``None`` where nothing was put in force.
    """

    id: int
    key: str
    version: int | None
    kind: Did
    at: str
    person: str
    via: str
    reason: str
    widens: bool | None


@dataclass(frozen=True, slots=True)
class Past:
    """Everything that was done with the limits of one recipe, oldest first."""

    recipe: str
    versions: tuple[Version, ...]
    events: tuple[Event, ...]

    def version(self, version: int) -> Version | None:
        """The version of that id; ``None`` where this recipe has none."""
        return next((v for v in self.versions if v.id == version), None)

    def of(self, version: int, kind: Did | None = None) -> tuple[Event, ...]:
        """What was done with one version."""
        return tuple(e for e in self.events if e.version == version and kind in (None, e.kind))

    @property
    def pile(self) -> tuple[int | None, ...]:
        """Versions put in force and not rolled back; the last is in force; empty: the recipe file."""
        pile: list[int | None] = []
        for event in self.events:
            if event.kind is Did.ACTIVATED:
                pile.append(event.version)
            elif event.kind is Did.ROLLED_BACK:
                del pile[-1:]
                # What could no longer be put in force was passed over then.
                while pile and pile[-1] != event.version:
                    pile.pop()
        return tuple(pile)

    @property
    def in_force(self) -> int | None:
        """The version in force; ``None``: the limits of the recipe file."""
        return next((e.version for e in reversed(self.events) if e.kind in (Did.ACTIVATED, Did.ROLLED_BACK)), None)

    def withdrawn(self, version: int) -> bool:
        """Whether a version must not be used any more."""
        return bool(self.of(version, Did.WITHDRAWN))

    def approvers(self, version: int) -> tuple[str, ...]:
        """Who approved a version, its maker never among them."""
        made = self.version(version)
        return tuple(
            e.person for e in self.of(version, Did.APPROVED) if made is not None and not same(e.person, made.made_by)
        )

    def by_key(self, key: str) -> Event | None:
        """What was done with that key."""
        return next((e for e in self.events if e.key == key), None)


def same(one: str, other: str) -> bool:
    """Whether two names are one person's: spelling in capitals or spaces makes nobody a second person."""
    return " ".join(one.split()).casefold() == " ".join(other.split()).casefold()


def past(engine: Engine, recipe: str) -> Past:
    """All versions and events of a recipe, read by a reader."""
    with Session(engine) as session:
        return past_in(session, recipe)


def past_in(session: Session, recipe: str) -> Past:
    """All versions and events of a recipe, read in the running transaction."""
    versions = session.execute(
        text(
            "SELECT model, base, limits, diff, certificate, widens, id, made_at, made_by, reason "
            "FROM limits_version WHERE recipe = :r ORDER BY id"
        ),
        {"r": recipe},
    ).all()
    events = session.execute(
        text(
            "SELECT id, key, version_id, kind, at, person, via, reason, widens "
            "FROM limits_event WHERE recipe = :r ORDER BY id"
        ),
        {"r": recipe},
    ).all()
    return Past(recipe, tuple(_version(*v) for v in versions), tuple(_event(*e) for e in events))


def recipes(engine: Engine) -> list[str]:
    """Recipes that have versions of limits."""
    with Session(engine) as session:
        return [str(r) for (r,) in session.execute(text("SELECT DISTINCT recipe FROM limits_event ORDER BY recipe"))]


def recipe_of(engine: Engine, version: int) -> str | None:
    """The recipe that a version was made for; ``None`` where there is no such version."""
    with Session(engine) as session:
        row = session.execute(text("SELECT recipe FROM limits_version WHERE id = :v"), {"v": version}).first()
    return None if row is None else str(row[0])


class Writing:
    """One act in one transaction; what it adds is durable once :func:`writing` has ended.

    Attributes:
        past: What was done before it.
    """

    def __init__(self, session: Session, ledger: Ledger, recipe: str) -> None:
        self._session, self._ledger, self._recipe = session, ledger, recipe
        self.past = past_in(session, recipe)

    def add_version(self, new: NewVersion, act: Act) -> tuple[int, int]:
        """Adds a version and its draft; returns the ids of both."""
        row = LimitsVersionRow(
            recipe=self._recipe,
            model=new.model,
            made_at=self._ledger.now(),
            made_by=act.person,
            base=new.base,
            limits=_written(new.limits) or "",
            reason=act.reason,
            diff=_written(new.diff),
            certificate=_written(new.certificate),
            widens=int(new.widens),
        )
        self._session.add(row)
        self._session.flush()
        assert row.id is not None
        return row.id, self.add_event(Did.DRAFTED, row.id, act)

    def add_event(self, kind: Did, version: int | None, act: Act, *, widens: bool | None = None) -> int:
        """Adds an event; returns its id. The database refuses one that must not be.

        Args:
            kind: What was done.
            version: With which version; ``None``: with the limits of the recipe file.
            act: Who and why.
            widens: Whether more may be released by it, where it puts something in force.
        """
        row = LimitsEventRow(
            key=act.key,
            recipe=self._recipe,
            version_id=version,
            kind=kind.value,
            at=self._ledger.now(),
            person=act.person,
            via=act.via,
            reason=act.reason,
            widens=None if widens is None else int(widens),
        )
        self._session.add(row)
        self._session.flush()
        assert row.id is not None
        if widens is not None:
            which = "the recipe file" if version is None else f"version {version}"
            words = f"limits of {self._recipe}: {which} {kind.value.replace('_', ' ')} by {act.person} ({act.reason})"
            self._session.add(EventRow(at=self._ledger.now(), kind="limits", text=words))
        return row.id

    def next_run(self, former: int, start: RunStart) -> int:
        """Ends a run and begins the next one, under other limits; returns its id."""
        now = self._ledger.now()
        self._session.execute(text("UPDATE run SET ended_at = :now WHERE id = :run"), {"now": now, "run": former})
        return add_run(self._session, start, now)


@contextmanager
def writing(ledger: Ledger, recipe: str) -> Iterator[Writing]:
    """One transaction on the limits of a recipe: committed and durable at the end of the block, or nothing of it.

    Raises:
        LedgerFault: The database refused, with its words.
    """
    with ledger.transaction() as session:
        yield Writing(session, ledger, recipe)


def _version(model: Any, base: Any, limits: str, diff: Any, certificate: Any, widens: int, *rest: Any) -> Version:
    return Version(model, base, json.loads(limits), _plain(diff), _plain(certificate), bool(widens), *rest)


def _event(number: int, key: str, version: Any, kind: str, at: str, who: str, via: str, why: str, wide: Any) -> Event:
    return Event(number, key, version, Did(kind), at, who, via, why, None if wide is None else bool(wide))


def _written(plain: Mapping[str, Any] | None) -> str | None:
    return None if plain is None else json.dumps(plain, sort_keys=True, allow_nan=False)


def _plain(written: str | None) -> Any:
    return None if written is None else json.loads(written)
