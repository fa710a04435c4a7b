"""Limits change between two parts: wholly the old or wholly the new, by the right people, and never half after a crash.

Parts pass the true loop of the bench; the fake line checks at each release that the part passed under the limits of the
run it is written down in.
"""

from __future__ import annotations

import itertools
import json
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError
from sqlmodel import Session

from station.calibration.certificate import Assumption, Certificate, Claim
from station.core.errors import LedgerFault, LimitsRefused
from station.core.part import Part
from station.core.timing import StageTimes, SystemClock
from station.core.verdict import Answer, Inspection, StationState
from station.limits import LimitsSet, limits_of, overlay, with_values
from station.limits_desk import LimitsDesk, Outcome, perform
from station.limits_fit import recipe_in_force
from station.recipe import DefectClass, Recipe
from station.store import books
from station.store import limits as kept
from station.store.limits import COMMAND_LINE, Act, Did
from tests.builders import BAD, OK, START, UNCERTAIN, Bench, FakeSource, frame, recipe, until

DIVERT = recipe(mode="divert", lane_capacity=200, undo_s=0.0)
KEYS = itertools.count()
DIFF = {"parts": 3, "flips": []}


def act(person: str = "Eva", reason: str = "because", key: str | None = None) -> Act:
    return Act(key or f"key-{next(KEYS)}", person, reason, COMMAND_LINE)


def scratch(**changes: Any) -> LimitsSet:
    return with_values(limits_of(DIVERT), {"scratch": changes})


WIDE, STRICT = scratch(pass_below=0.6), scratch(pass_below=0.05)


def desk_of(bench: Bench) -> LimitsDesk:
    return bench.loop._limits


def draft(desk: LimitsDesk, limits: LimitsSet = STRICT, **how: Any) -> int:
    version = desk.draft(how.pop("by", act()), limits.to_dict(), **{"diff": DIFF, **how}).version
    assert version is not None
    return version


def put_in_force(desk: LimitsDesk, limits: LimitsSet, **how: Any) -> int:
    version = draft(desk, limits, **how)
    desk.approve(act("Ada"), version)
    desk.activate(act(), version)
    return version


def refused(do: Callable[[], object]) -> tuple[str, str]:
    with pytest.raises(LimitsRefused) as it:
        do()
    return it.value.code, str(it.value)


def agree(bench: Bench) -> None:
    """Every part, its run and the limits it was judged by say the same."""
    rows = bench.rows(
        "SELECT i.part_id, i.recipe_sha256, n.recipe_sha256, n.recipe_json, n.limits_version, v.limits, "
        "i.evaluation, i.scores FROM inspection i "
        "JOIN run n ON n.id = i.run_id LEFT JOIN limits_version v ON v.id = n.limits_version"
    )
    for part_id, own, of_run, whole, version, limits, evaluation, scores in rows:
        product = Recipe.model_validate_json(whole)
        assert own == of_run == product.sha256, part_id
        given = limits_of(bench.product) if version is None else LimitsSet.model_validate_json(limits)
        assert limits_of(product) == given, part_id
        passed = all(s < product.limits[label].pass_below for label, s in json.loads(scores).items())
        assert (evaluation == "OK") == passed, part_id


# ------------------------------------------------------------------ the way of a version


def test_a_version_goes_from_draft_to_the_next_part_and_one_step_back(tmp_path: Path) -> None:
    with Bench(tmp_path, product=DIVERT) as bench:
        desk = desk_of(bench)
        bench.show_part(UNCERTAIN)
        version = draft(desk, WIDE, by=act("Eva", "too many false scratches"))
        bench.show_part(UNCERTAIN)
        assert desk.approve(act("Ada"), version) == Outcome(version, 2, None)
        bench.show_part(UNCERTAIN)
        assert desk.activate(act("Eva"), version) == Outcome(version, 3, version)
        bench.show_part(UNCERTAIN)
        assert desk.roll_back(act("Tom", "a scratch got through")) == Outcome(None, 4, None)
        bench.show_part(UNCERTAIN)
        assert [e for (e,) in bench.rows("SELECT evaluation FROM inspection ORDER BY number")] == [
            "NOT_DECIDABLE", "NOT_DECIDABLE", "NOT_DECIDABLE", "OK", "NOT_DECIDABLE",
        ]  # fmt: skip
        assert bench.rows("SELECT id, limits_version, ended_at IS NOT NULL FROM run ORDER BY id") == [
            (1, None, 1), (2, version, 1), (3, None, 0),
        ]  # fmt: skip
        assert bench.rows("SELECT kind, person, widens FROM limits_event ORDER BY id") == [
            ("drafted", "Eva", None), ("approved", "Ada", None), ("activated", "Eva", 1), ("rolled_back", "Tom", 0),
        ]  # fmt: skip
        assert bench.rows("SELECT text FROM event WHERE kind = 'limits' ORDER BY id") == [
            ("limits of disc: version 1 activated by Eva (because)",),
            ("limits of disc: the recipe file rolled back by Tom (a scratch got through)",),
        ]
        agree(bench)


def test_stricter_limits_need_nobody_else(tmp_path: Path) -> None:
    with Bench(tmp_path, product=DIVERT) as bench:
        desk = desk_of(bench)
        desk.activate(act(), draft(desk, STRICT))
        bench.show_part(OK)
        assert bench.one("SELECT evaluation FROM inspection") == "NOT_DECIDABLE"
        assert bench.one("SELECT widens FROM limits_event WHERE kind = 'activated'") == 0


def test_limits_that_release_more_need_a_second_person(tmp_path: Path) -> None:
    with Bench(tmp_path, product=DIVERT) as bench:
        desk = desk_of(bench)
        version = draft(desk, WIDE, by=act("Eva"))
        code, words = refused(lambda: desk.activate(act("Ada"), version))
        assert code == "not_approved"
        assert "made by Eva" in words
        assert refused(lambda: desk.approve(act("Eva"), version))[0] == "same_person"
        assert refused(lambda: desk.approve(act("  eVA "), version))[0] == "same_person", "still the same person"
        assert refused(lambda: desk.activate(act("Ada"), version))[0] == "not_approved"
        desk.approve(act("Ada"), version)
        assert refused(lambda: desk.approve(act("ada"), version)) == (
            "invalid", "ada has approved version 1 already: activate it",
        )  # fmt: skip
        desk.activate(act("Eva"), version)
        assert bench.one("SELECT count(*) FROM limits_event WHERE kind = 'activated'") == 1


def test_whether_it_widens_is_asked_again_at_activation_against_what_is_in_force_then(tmp_path: Path) -> None:
    with Bench(tmp_path, product=DIVERT) as bench:
        desk = desk_of(bench)
        as_file = draft(desk, scratch())
        assert bench.rows("SELECT widens FROM limits_version") == [(0,)]
        desk.activate(act(), draft(desk, STRICT))
        assert refused(lambda: desk.activate(act(), as_file))[0] == "not_approved", "now it releases more"
        wide = draft(desk, scratch(pass_below=0.2))
        assert bench.one(f"SELECT widens FROM limits_version WHERE id = {wide}") == 1
        desk.roll_back(act())
        desk.activate(act(), wide)  # against the file it does not
        assert desk.past().in_force == wide


def test_going_back_to_the_file_by_activation_needs_a_version_where_it_widens(tmp_path: Path) -> None:
    with Bench(tmp_path, product=DIVERT) as bench:
        desk = desk_of(bench)
        assert refused(lambda: desk.activate(act(), None, without_diff="x"))[0] == "in_force"
        put_in_force(desk, STRICT)
        code, words = refused(lambda: desk.activate(act(), None, without_diff="it is the file"))
        assert (code, "draft them as a version" in words) == ("not_approved", True)
        put_in_force(desk, WIDE)
        assert desk.activate(act(), None, without_diff="it is the file").in_force is None
        bench.show_part(UNCERTAIN)
        assert bench.one("SELECT evaluation FROM inspection") == "NOT_DECIDABLE"
        assert desk.roll_back(act()).in_force == 2
        agree(bench)


def test_without_a_diff_the_reason_why_not_is_kept(tmp_path: Path) -> None:
    with Bench(tmp_path, product=DIVERT) as bench:
        desk = desk_of(bench)
        version = draft(desk, STRICT, diff=None)
        for nothing in (None, "", "  "):
            code, words = refused(lambda why=nothing: desk.activate(act(), version, without_diff=why))
            assert (code, "station diff" in words) == ("no_diff", True)
        desk.activate(act(reason="now"), version, without_diff="no footage of this lot")
        assert bench.one("SELECT reason FROM limits_event WHERE kind = 'activated'") == (
            "now (no decision diff: no footage of this lot)"
        )


def test_a_withdrawn_version_is_never_used_again(tmp_path: Path) -> None:
    with Bench(tmp_path, product=DIVERT) as bench:
        desk = desk_of(bench)
        first, second = draft(desk, STRICT), draft(desk, scratch(pass_below=0.04))
        desk.activate(act(), first)
        assert refused(lambda: desk.withdraw(act(), first))[0] == "in_force"
        desk.activate(act(), second)
        desk.withdraw(act("Ada", "wrong lot"), first)
        for do in (lambda: desk.activate(act(), first), lambda: desk.approve(act("Tom"), first)):
            code, words = refused(do)
            assert (code, "withdrawn by Ada (wrong lot)" in words) == ("withdrawn", True)
        assert refused(lambda: desk.withdraw(act(), first))[0] == "withdrawn"
        assert desk.roll_back(act()).in_force is None, "what was withdrawn is passed over"


def test_rollback_takes_away_one_activation_after_the_other(tmp_path: Path) -> None:
    with Bench(tmp_path, product=DIVERT) as bench:
        desk = desk_of(bench)
        a, b, c = (put_in_force(desk, scratch(pass_below=low)) for low in (0.05, 0.04, 0.03))
        assert desk.past().pile == (a, b, c)
        assert desk.roll_back(act()).in_force == b
        desk.activate(act(), c)  # undone by activating again
        assert [desk.roll_back(act()).in_force for _ in range(3)] == [b, a, None]
        assert refused(lambda: desk.roll_back(act()))[0] == "nothing_to_roll_back"


def test_what_is_sent_twice_is_done_once(tmp_path: Path) -> None:
    with Bench(tmp_path, product=DIVERT) as bench:
        desk = desk_of(bench)
        one, two, three, four, five = (act(p) for p in ("Eva", "Ada", "Eva", "Eva", "Eva"))
        for _ in range(2):
            drafted = desk.draft(one, WIDE.to_dict(), diff=DIFF)
        assert drafted.version == 1
        for _ in range(2):
            desk.approve(two, 1)
            assert desk.activate(three, 1).event == 3
        for _ in range(2):
            assert desk.roll_back(four) == Outcome(None, 4, None)
        for _ in range(2):
            desk.withdraw(five, 1)
        assert bench.one("SELECT count(*) FROM limits_event") == 5
        assert bench.one("SELECT count(*) FROM run") == 3
        assert refused(lambda: desk.roll_back(one)) == (
            "invalid",
            "this key was used for another act: send a key of its own",
        )


# ------------------------------------------------------------------ what is refused at the door


def test_versions_that_are_not_there_are_named(tmp_path: Path) -> None:
    with Bench(tmp_path, product=DIVERT) as bench:
        desk = desk_of(bench)
        for do in (
            lambda: desk.approve(act(), 7),
            lambda: desk.withdraw(act(), 7),
            lambda: desk.activate(act(), 7),
            lambda: desk.draft(act(), STRICT.to_dict(), base=7),
        ):
            code, words = refused(do)
            assert (code, "no version 7" in words, "station limits list" in words) == ("unknown", True, True)
        assert bench.one("SELECT count(*) FROM limits_event") == 0


@pytest.mark.parametrize("field", ["key", "person", "reason"])
@pytest.mark.parametrize("words", ["", "  ", "x" * 3000, None])
def test_an_act_needs_a_key_a_person_and_a_reason(field: str, words: Any) -> None:
    with pytest.raises(LimitsRefused):
        Act(**{"key": "k", "person": "Eva", "reason": "why", "via": COMMAND_LINE} | {field: words})


def test_nobody_acts_from_anywhere_else() -> None:
    with pytest.raises(LimitsRefused, match="command line"):
        Act("k", "Eva", "why", "the door")


@pytest.mark.parametrize(
    ("what", "given"),
    [
        ("burn", {}),
        ("approve", {}),
        ("withdraw", {"version": None}),
        ("activate", {}),
        ("activate", {"version": "1"}),
        ("activate", {"version": True}),
        ("draft", {"limits": None, "base": None}),
        ("draft", {"limits": STRICT.to_dict(), "base": None, "diff": {}}),
        ("draft", {"limits": STRICT.to_dict(), "base": None, "diff": {"flips": "x" * 600_000}}),
        ("draft", {"limits": STRICT.to_dict(), "base": None, "certificate": {"claims": []}}),
    ],
)
def test_what_is_asked_for_wrongly_is_refused_and_leaves_nothing(
    tmp_path: Path, what: str, given: dict[str, Any]
) -> None:
    with Bench(tmp_path, product=DIVERT) as bench:
        assert refused(lambda: perform(desk_of(bench), what, act(), given))[0] == "invalid"
        assert bench.one("SELECT count(*) FROM limits_version") == 0


def test_what_is_meant_for_another_recipe_is_refused(tmp_path: Path) -> None:
    with Bench(tmp_path, product=DIVERT) as bench:
        code, words = refused(lambda: perform(desk_of(bench), "rollback", act(), {}, recipe="bolt"))
        assert (code, "runs recipe disc, not bolt" in words) == ("invalid", True)


def test_a_draft_is_derived_from_what_is_in_force_unless_it_says_otherwise(tmp_path: Path) -> None:
    with Bench(tmp_path, product=DIVERT) as bench:
        desk = desk_of(bench)
        given = {"limits": STRICT.to_dict(), "diff": DIFF}
        first = perform(desk, "draft", act(), given).version
        perform(desk, "activate", act(), {"version": first})
        perform(desk, "draft", act(), given)
        perform(desk, "draft", act(), given | {"base": None})
        assert bench.rows("SELECT base FROM limits_version ORDER BY id") == [(None,), (first,), (None,)]


def certificate(recipe_sha256: str) -> dict[str, Any]:
    claim = Claim("scratch", 0.05, 0.01, 0.05, 1, 400, 12, 0, 0.0075, 0.0075)
    return Certificate(
        (claim,), 0.05, 1, "a" * 64, "b" * 64, recipe_sha256, "c" * 64, START, START.replace(year=2027),
        (Assumption("lots", None, "not known"),),
    ).to_dict()  # fmt: skip


def test_a_certificate_is_kept_with_the_limits_it_was_issued_for_and_refused_with_others(tmp_path: Path) -> None:
    with Bench(tmp_path, product=DIVERT) as bench:
        desk = desk_of(bench)
        right = certificate(overlay(DIVERT, STRICT).sha256)
        version = draft(desk, STRICT, certificate=right)
        assert desk.past().versions[0].certificate == right
        assert version == 1
        code, words = refused(lambda: draft(desk, WIDE, certificate=right))
        assert (code, "for other limits" in words) == ("invalid", True)
        assert "changed after it was issued" in refused(lambda: draft(desk, certificate=right | {"looks": 2}))[1]


def test_limits_in_square_millimetres_are_refused_where_the_station_has_no_scale(tmp_path: Path) -> None:
    with Bench(tmp_path, product=DIVERT) as bench:
        code, words = refused(lambda: draft(desk_of(bench), scratch(min_area_mm2=2.0)))
        assert (code, "calibrate" in words) == ("does_not_fit", True)


# ------------------------------------------------------------------ what is in force at the start


def test_a_restart_goes_on_with_what_is_in_force(tmp_path: Path) -> None:
    with Bench(tmp_path, product=DIVERT) as bench:
        version = put_in_force(desk_of(bench), WIDE)
        bench.restart()
        bench.show_part(UNCERTAIN)
        assert bench.rows("SELECT evaluation, run_id FROM inspection") == [("OK", 3)]
        assert bench.one("SELECT limits_version FROM run WHERE id = 3") == version
        assert desk_of(bench).roll_back(act()).in_force is None, "the file is still known"
        bench.show_part(UNCERTAIN)
        agree(bench)


def other_model(product: Recipe) -> Recipe:
    return product.model_copy(update={"model": "disc/2"})


def other_classes(product: Recipe) -> Recipe:
    more = DefectClass(name="stain", title="Stain", pass_below=0.3, fail_above=0.7)
    return product.model_copy(update={"classes": (*product.classes, more)})


@pytest.mark.parametrize(("change", "words"), [(other_model, "made for none"), (other_classes, "every class")])
def test_limits_that_do_not_fit_the_recipe_any_more_stop_the_start_with_the_remedy(
    tmp_path: Path, change: Callable[[Recipe], Recipe], words: str
) -> None:
    with Bench(tmp_path, product=DIVERT) as bench:
        put_in_force(desk_of(bench), WIDE)
        file = change(DIVERT)
        code, said = refused(lambda: recipe_in_force(bench.ledger, file))
        assert code == "does_not_fit"
        assert words in said
        assert "station limits rollback --recipe disc" in said
        # The remedy is one: back to the file, or new limits that a second person approves.
        desk = LimitsDesk(bench.ledger, file)
        version = draft(desk, limits_of(file))
        assert refused(lambda: desk.activate(act(), version))[0] == "not_approved", "nothing is proven across models"
        desk.roll_back(act())
        assert recipe_in_force(bench.ledger, file) == (file, None)


def test_a_version_for_another_model_is_not_put_in_force(tmp_path: Path) -> None:
    with Bench(tmp_path, product=DIVERT) as bench:
        version = draft(LimitsDesk(bench.ledger, other_model(DIVERT)), STRICT)
        code, words = refused(lambda: desk_of(bench).activate(act(), version))
        assert (code, "made for disc/2" in words) == ("does_not_fit", True)


# ------------------------------------------------------------------ between two parts


def test_a_part_inspected_before_and_written_after_keeps_its_run_and_its_limits(tmp_path: Path) -> None:
    with Bench(tmp_path, product=DIVERT) as bench:
        desk = desk_of(bench)
        old = bench.show_part(UNCERTAIN, act=False)  # judged, not yet written down
        put_in_force(desk, WIDE)
        new = bench.show_part(UNCERTAIN, act=False)
        bench.turn()
        assert bench.rows("SELECT part_id, run_id, evaluation FROM inspection ORDER BY number") == [
            (old, 1, "NOT_DECIDABLE"), (new, 2, "OK"),
        ]  # fmt: skip
        assert bench.line.released() == [new]
        agree(bench)


def test_limits_that_change_while_a_part_is_looked_at_do_not_touch_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Bench(tmp_path, product=DIVERT) as bench:
        version = draft(desk_of(bench), WIDE)
        desk_of(bench).approve(act("Ada"), version)
        inspect = bench.inspector.inspect

        def changed_meanwhile(part: Part, times: StageTimes) -> Inspection:
            desk_of(bench).activate(act(), version)
            return inspect(part, times)

        monkeypatch.setattr(bench.inspector, "inspect", changed_meanwhile)
        bench.show_part(UNCERTAIN)
        bench.show_part(UNCERTAIN)
        assert bench.rows("SELECT run_id, evaluation FROM inspection ORDER BY number") == [
            (1, "NOT_DECIDABLE"), (2, "OK"),
        ]  # fmt: skip
        agree(bench)


def test_parts_that_wait_are_answered_under_the_limits_that_stopped_them(tmp_path: Path) -> None:
    with Bench(tmp_path, product=DIVERT) as bench:
        bench.show_part(UNCERTAIN)
        put_in_force(desk_of(bench), WIDE)
        bench.answer(1, Answer.AGREE)  # under the new limits nothing would be proposed
        bench.turn(1.0, turns=2)
        assert bench.rows("SELECT label, proposed FROM sample") == [("scratch", "scratch")]


def test_while_parts_stream_every_one_agrees_with_its_run(tmp_path: Path) -> None:
    parts = 150
    source = FakeSource([frame(n) for n in range(parts)])
    scores = [(OK, UNCERTAIN, BAD, 0.04)[n % 4] for n in range(parts)]
    clock = SystemClock()
    with Bench(tmp_path, product=DIVERT, source=source, scores=scores, clock=clock, durable=False) as bench:
        working = threading.Thread(target=bench.loop.run)
        wide, strict = draft(desk_of(bench), WIDE), draft(desk_of(bench), STRICT)
        desk_of(bench).approve(act("Ada"), wide)
        desk_of(bench).approve(act("Ada"), strict)
        working.start()
        turns = 0
        until(lambda: bench.loop.status().parts > 3, "no parts come")
        while working.is_alive() and not bench.loop._eyes.done.is_set():
            version = (wide, strict)[turns % 2]
            bench.loop.ask_limits(lambda desk, v=version: desk.activate(act(), v))
            turns += 1
            at = bench.loop.status().parts
            until(lambda at=at: bench.loop.status().parts > at + 2 or bench.loop._eyes.done.is_set(), "it stands")
        working.join(timeout=20)
        assert turns >= 5
        assert bench.one("SELECT count(*) FROM inspection") == parts
        assert bench.one("SELECT count(DISTINCT run_id) FROM inspection") >= 5
        agree(bench)


# ------------------------------------------------------------------ whatever dies: the old or the new


class Crash(BaseException):
    """The process is gone."""


STEPS = ("event", "run", "commit", "committed", "taken up", "eyes")


def crash_at(step: str, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Has the process die at a step of putting limits in force."""

    def before(owner: Any, name: str) -> None:
        def gone(*_: Any, **__: Any) -> Any:
            raise Crash(step)

        monkeypatch.setattr(owner, name, gone)

    if step == "event":
        before(kept.Writing, "add_event")
    elif step == "run":
        before(kept.Writing, "next_run")
    elif step == "commit":
        next_run = kept.Writing.next_run

        def then_gone(*a: Any) -> int:
            next_run(*a)
            raise Crash(step)

        monkeypatch.setattr(kept.Writing, "next_run", then_gone)
    elif step == "committed":
        before(bench.loop._hand, "go_on")
    elif step == "taken up":
        go_on = bench.loop._hand.go_on

        def gone_after(*a: Any) -> None:
            go_on(*a)
            raise Crash(step)

        monkeypatch.setattr(bench.loop._hand, "go_on", gone_after)


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("back", [False, True], ids=["activate", "roll back"])
def test_a_crash_at_any_step_leaves_the_old_or_the_new_limits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, back: bool
) -> None:
    with Bench(tmp_path, product=DIVERT) as bench:
        desk = desk_of(bench)
        first = put_in_force(desk, scratch(pass_below=0.55))
        second = draft(desk, WIDE)
        desk.approve(act("Ada"), second)
        bench.show_part(UNCERTAIN)
        bench.show_part(0.57, act=False)  # inspected, lost with the process: never released
        with monkeypatch.context() as broken:
            crash_at(step, bench, broken)
            try:
                desk.roll_back(act()) if back else desk.activate(act(), second)
            except Crash:
                assert step != "eyes"
        done = step in ("committed", "taken up", "eyes")
        expected = (None if back else second) if done else first
        bench.restart()
        assert desk_of(bench).past().in_force == expected
        assert bench.one("SELECT limits_version FROM run ORDER BY id DESC LIMIT 1") == expected
        bench.show_part(0.57)
        passes = {None: "NOT_DECIDABLE", first: "NOT_DECIDABLE", second: "OK"}
        assert bench.one("SELECT evaluation FROM inspection ORDER BY number DESC LIMIT 1") == passes[expected]
        agree(bench)


def test_a_refused_commit_leaves_the_old_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Bench(tmp_path, product=DIVERT) as bench:
        desk = desk_of(bench)
        version = draft(desk, STRICT)
        with monkeypatch.context() as broken:
            broken.setattr(Session, "commit", refusing)
            broken.setattr("sqlalchemy.orm.session.SessionTransaction.commit", refusing)
            with pytest.raises(LedgerFault):
                desk.activate(act(), version)
        assert desk.past().in_force is None
        bench.show_part(OK)
        assert bench.line.released() != []
        agree(bench)


def refusing(*_: Any, **__: Any) -> None:
    raise OperationalError("COMMIT", {}, Exception("disk I/O error"))


def test_a_commit_that_is_there_although_it_was_refused_stops_automatic_release(tmp_path: Path) -> None:
    with Bench(tmp_path, product=DIVERT) as bench:
        version = draft(desk_of(bench), STRICT)
        # Event and run are written, but this loop never hears of it.
        other = LimitsDesk(bench.ledger, DIVERT, running=Deaf(bench))
        other.activate(act(), version)
        bench.turn(11.0)
        assert bench.state() is StationState.FAULT
        assert "restart the station" in bench.faults()["books"]
        bench.show_part(OK)
        assert bench.line.released() == []
        bench.restart()
        bench.show_part(0.01)
        assert len(bench.line.released()) == 1
        bench.books_may_be_wrong = True


class Deaf:
    """A loop that makes ready and is never told."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench

    def turn_to(self, product: Recipe, version: int | None) -> Any:
        return replace(self._bench.loop.turn_to(product, version), done=lambda run_id: None)


def test_what_was_done_is_told_whole(tmp_path: Path) -> None:
    with Bench(tmp_path, product=DIVERT) as bench:
        desk = desk_of(bench)
        version = draft(desk, WIDE, by=act("Eva", "false scratches"))
        desk.approve(act("Ada", "seen"), version)
        past = desk.past()
        assert [(e.kind, e.person, e.reason, e.via, e.version) for e in past.events] == [
            (Did.DRAFTED, "Eva", "false scratches", COMMAND_LINE, version),
            (Did.APPROVED, "Ada", "seen", COMMAND_LINE, version),
        ]
        made = past.versions[0]
        assert (made.made_by, made.reason, made.base, made.diff, made.widens) == (
            "Eva", "false scratches", None, DIFF, True,
        )  # fmt: skip
        assert LimitsSet.model_validate(made.limits) == WIDE


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        ("UPDATE limits_version SET limits = replace(limits, '0.6', '0.5')", "run 2 judged by other limits than those"),
        ("UPDATE run SET limits_version = 2 WHERE id = 2", "run 2 judged by other limits than those"),
        ("DELETE FROM limits_event WHERE kind = 'approved'", "without a second person: version 1"),
        ("UPDATE limits_event SET person = 'eva ' WHERE kind = 'approved'", "without a second person: version 1"),
    ],
)
def test_limits_that_were_tampered_with_are_found_in_the_books(tmp_path: Path, damage: str, words: str) -> None:
    with Bench(tmp_path, product=DIVERT) as bench:
        put_in_force(desk_of(bench), WIDE)
        draft(desk_of(bench), STRICT)
        bench.show_part(UNCERTAIN)
        assert books.faults_in_books(bench.reader) == []
        with closing(sqlite3.connect(bench.database, isolation_level=None)) as raw:
            for (name,) in raw.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
                raw.execute(f"DROP TRIGGER {name}")
            raw.execute(damage)
        assert any(words in fault for fault in books.faults_in_books(bench.reader))
        bench.books_may_be_wrong = True
