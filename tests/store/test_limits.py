"""Versions and events of limits: written once, refused by the database where they must not be, and read back whole."""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from station.core.errors import LedgerFault
from station.core.timing import ManualClock
from station.store import limits as kept
from station.store.database import open_reader
from station.store.ledger import Ledger
from station.store.limits import COMMAND_LINE, PANEL, Act, Did, Event, NewVersion, Past, Version
from tests.builders import run_start

LIMITS = {"classes": {"scratch": {"pass_below": 0.3, "fail_above": 0.7}}, "ignore": []}
KEYS = itertools.count()


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    it = Ledger(tmp_path / "ledger.db", clock=ManualClock(), durable=False)
    yield it
    it.close()


def act(person: str = "Eva", *, via: str = PANEL) -> Act:
    return Act(f"key-{next(KEYS)}", person, "because", via)


def new(*, base: int | None = None, widens: bool = False) -> NewVersion:
    return NewVersion("disc/1", base, LIMITS, {"flips": []}, None, widens)


def add(ledger: Ledger, by: str = "Eva", recipe: str = "disc", **how: object) -> int:
    with kept.writing(ledger, recipe) as book:
        return book.add_version(new(**how), act(by))[0]  # type: ignore[arg-type]


def note(ledger: Ledger, kind: Did, version: int | None, by: str = "Eva", *, widens: bool | None = None) -> int:
    with kept.writing(ledger, "disc") as book:
        return book.add_event(kind, version, act(by), widens=widens)


def raw(ledger: Ledger) -> sqlite3.Connection:
    return sqlite3.connect(ledger.path, isolation_level=None)


def test_what_is_written_is_read_back_by_writer_and_reader_alike(ledger: Ledger) -> None:
    version = add(ledger)
    note(ledger, Did.APPROVED, version, "Ada")
    note(ledger, Did.ACTIVATED, version, widens=True)
    add(ledger, recipe="bolt")
    reader = open_reader(ledger.path)
    try:
        past = kept.past(reader, "disc")
        assert kept.recipes(reader) == ["bolt", "disc"]
        assert (kept.recipe_of(reader, 2), kept.recipe_of(reader, 9)) == ("bolt", None)
    finally:
        reader.dispose()
    with kept.writing(ledger, "disc") as book:
        assert book.past == past
    now = ledger.now()
    assert past.versions == (Version("disc/1", None, LIMITS, {"flips": []}, None, False, 1, now, "Eva", "because"),)
    assert [(e.kind, e.person, e.via, e.at, e.widens) for e in past.events] == [
        (Did.DRAFTED, "Eva", PANEL, now, None),
        (Did.APPROVED, "Ada", PANEL, now, None),
        (Did.ACTIVATED, "Eva", PANEL, now, True),
    ]
    assert (past.in_force, past.pile, past.approvers(1)) == (1, (1,), ("Ada",))


def test_an_act_that_fails_halfway_leaves_nothing(ledger: Ledger) -> None:
    def gone_halfway() -> None:
        with kept.writing(ledger, "disc") as book:
            book.add_version(new(), act())
            raise RuntimeError("the process is gone")

    with pytest.raises(RuntimeError):
        gone_halfway()
    with kept.writing(ledger, "disc") as book:
        assert book.past == Past("disc", (), ())


def test_a_run_under_other_limits_names_its_version_and_ends_the_former(ledger: Ledger) -> None:
    first = ledger.start_run(run_start())
    version = add(ledger)
    with kept.writing(ledger, "disc") as book:
        second = book.next_run(first, run_start(version=version))
    assert ledger.newest_run() == second
    with closing(raw(ledger)) as books:
        assert books.execute("SELECT id, ended_at IS NOT NULL, limits_version FROM run").fetchall() == [
            (first, 1, None),
            (second, 0, version),
        ]


VERSION = "INSERT INTO limits_version (recipe, made_at, made_by, base, limits, reason, diff, widens) VALUES "
EVENT = "INSERT INTO limits_event (key, recipe, version_id, kind, at, person, via, reason, widens) VALUES "
WHOLE = """'{"classes": {}, "ignore": []}'"""


@pytest.mark.parametrize(
    ("violation", "words"),
    [
        ("DELETE FROM limits_version", "never deleted"),
        ("DELETE FROM limits_event", "never deleted"),
        ("UPDATE limits_version SET limits = '{}'", "never changed"),
        ("UPDATE limits_version SET widens = 1 - widens", "never changed"),
        ("UPDATE limits_version SET made_by = 'Tom'", "never changed"),
        ("UPDATE limits_version SET certificate = '{}'", "never changed"),
        ("UPDATE limits_event SET person = 'Tom'", "never changed"),
        ("UPDATE limits_event SET kind = 'withdrawn'", "never changed"),
        ("UPDATE limits_event SET at = ''", "never changed"),
        ("INSERT OR REPLACE INTO limits_version SELECT * FROM limits_version WHERE id = 1", "never replaced"),
        ("INSERT OR REPLACE INTO limits_event SELECT * FROM limits_event WHERE id = 1", "never replaced"),
        (
            "INSERT OR REPLACE INTO limits_event SELECT 99, key, recipe, version_id, kind, at, person, via, reason, "
            "widens FROM limits_event WHERE id = 1",
            "never replaced",
        ),
        ("UPDATE run SET recipe_json = '{}'", "never changed"),
        ("UPDATE run SET limits_version = 1", "never changed"),
        (VERSION + f"('disc', '', '', NULL, {WHOLE}, 'why', NULL, 0)", "made_by"),
        (VERSION + f"('disc', '', 'Eva', NULL, {WHOLE}, '  ', NULL, 0)", "has_reason"),
        (VERSION + f"('disc', '', 'Eva', 7, {WHOLE}, 'why', NULL, 0)", "FOREIGN KEY|base_is_older"),
        (VERSION + "('disc', '', 'Eva', NULL, '{\"classes\": {}}', 'why', NULL, 0)", "limits_version_limits"),
        (VERSION + "('disc', '', 'Eva', NULL, '[]', 'why', NULL, 0)", "limits_version_limits"),
        (VERSION + f"('disc', '', 'Eva', NULL, {WHOLE}, 'why', '[]', 0)", "limits_version_diff"),
        (VERSION + f"('disc', '', 'Eva', NULL, {WHOLE}, 'why', NULL, 2)", "limits_version_widens"),
        (EVENT + "('k', 'disc', 1, 'burned', '', 'Eva', 'panel', 'why', NULL)", "limits_event_kind"),
        (EVENT + "('k', 'disc', 1, 'withdrawn', '', ' ', 'panel', 'why', NULL)", "limits_event_person"),
        (EVENT + "('k', 'disc', 1, 'withdrawn', '', 'Eva', 'post', 'why', NULL)", "limits_event_via"),
        (EVENT + "('k', 'disc', 1, 'withdrawn', '', 'Eva', 'panel', '', NULL)", "has_reason"),
        (EVENT + "('k', 'disc', 1, 'activated', '', 'Eva', 'panel', 'why', NULL)", "says_whether_it_widens"),
        (EVENT + "('k', 'disc', 1, 'withdrawn', '', 'Eva', 'panel', 'why', 0)", "says_whether_it_widens"),
        (EVENT + "('k', 'disc', NULL, 'approved', '', 'Ada', 'panel', 'why', NULL)", "is_about_a_version"),
        (EVENT + "('k', 'bolt', 1, 'withdrawn', '', 'Eva', 'panel', 'why', NULL)", "another recipe"),
        (EVENT + "('k', 'disc', 9, 'withdrawn', '', 'Eva', 'panel', 'why', NULL)", "another recipe"),
        (EVENT + "('k', 'disc', 1, 'approved', '', ' eva', 'panel', 'why', NULL)", "second person"),
        (EVENT + "('k', 'disc', 1, 'activated', '', 'Eva', 'panel', 'why', 1)", "approval of a second person"),
        (EVENT + "('k', 'disc', 2, 'activated', '', 'Eva', 'panel', 'why', 0)", "stay withdrawn"),
        (EVENT + "('k', 'disc', 2, 'rolled_back', '', 'Eva', 'panel', 'why', 0)", "stay withdrawn"),
    ],
)
def test_the_database_refuses(ledger: Ledger, violation: str, words: str) -> None:
    ledger.start_run(run_start())
    add(ledger)
    add(ledger)
    note(ledger, Did.WITHDRAWN, 2)
    with closing(raw(ledger)) as books:
        books.execute("PRAGMA foreign_keys = ON")
        before = list(books.iterdump())
        with pytest.raises(sqlite3.Error, match=words):
            books.execute(violation)
        assert list(books.iterdump()) == before


def test_a_refusal_of_the_database_is_told_in_its_words(ledger: Ledger) -> None:
    version = add(ledger)
    with pytest.raises(LedgerFault, match="second person"):
        note(ledger, Did.ACTIVATED, version, widens=True)


# ------------------------------------------------------------------ what is in force follows from the events


def past_of(*steps: tuple[Did, int | None]) -> Past:
    events = [
        Event(n, f"k{n}", version, kind, "", "Eva", COMMAND_LINE, "why", False)
        for n, (kind, version) in enumerate(steps, 1)
    ]
    return Past("disc", (), tuple(events))


ON, BACK = Did.ACTIVATED, Did.ROLLED_BACK


@pytest.mark.parametrize(
    ("steps", "pile"),
    [
        ([], ()),
        ([(Did.DRAFTED, 1), (Did.APPROVED, 1)], ()),
        ([(ON, 1)], (1,)),
        ([(ON, 1), (ON, 2)], (1, 2)),
        ([(ON, 1), (ON, 2), (BACK, 1)], (1,)),
        ([(ON, 1), (ON, 2), (BACK, 1), (BACK, None)], ()),
        ([(ON, 1), (ON, 2), (BACK, 1), (ON, 2), (BACK, 1)], (1,)),
        ([(ON, 1), (ON, 2), (ON, 3), (BACK, 1)], (1,)),
        ([(ON, 1), (ON, None), (BACK, 1)], (1,)),
        ([(ON, 1), (ON, 2), (BACK, None)], ()),
        ([(ON, 1), (ON, None), (ON, 2), (BACK, None)], (1, None)),
    ],
)
def test_the_pile(steps: list[tuple[Did, int | None]], pile: tuple[int | None, ...]) -> None:
    past = past_of(*steps)
    assert past.pile == pile
    assert past.in_force == (pile[-1] if pile else None)


@given(st.lists(st.none() | st.integers(1, 4), max_size=30))
@settings(max_examples=200)
def test_activations_and_rollbacks_of_one_step_are_a_stack(acts: list[int | None]) -> None:
    """``None`` is a rollback where there is something to roll back."""
    model: list[int | None] = []
    steps: list[tuple[Did, int | None]] = []
    for version in acts:
        if version is not None:
            model.append(version)
            steps.append((ON, version))
        elif model:
            model.pop()
            steps.append((BACK, model[-1] if model else None))
        past = past_of(*steps)
        assert past.pile == tuple(model)
        assert past.in_force == (model[-1] if model else None)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [("Eva", "eva", True), (" Eva  Lang", "Eva Lang ", True), ("Eva", "Ewa", False), ("STRASSE", "straße", True)],
)
def test_capitals_and_spaces_make_nobody_a_second_person(one: str, other: str, same: bool) -> None:
    assert kept.same(one, other) is same
