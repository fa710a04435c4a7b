"""The loop: one row per trigger, release only after the commit, and every fault holds.

Most tests turn the eyes (``see``) and the hand (``act``) by hand on a clock of their own; the last ones run both
threads. The fake line looks into the books itself at the moment of each release.
"""

from __future__ import annotations

import errno
import os
import threading
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from station import eyes, hand
from station.answers import GivenAnswer
from station.core.errors import DetectorFault, LedgerFault, LineFault, ReviewRefused, SourceLost, StationError
from station.core.part import Part, Sighting
from station.core.ports import LineSignals
from station.core.timing import StageTimes, SystemClock
from station.core.verdict import Answer, Disposition, Inspection, StationState
from station.review import ReviewDesk
from station.store import books, queries
from tests.builders import BAD, OK, UNCERTAIN, Bench, FakeSource, frame, picture, recipe, spoiled, until

HELD, RELEASED = Disposition.HOLD, Disposition.RELEASE
DIVERT = recipe(mode="divert", lane_capacity=20, undo_s=1.0)


def disk_that_refuses(code: int = errno.EIO) -> Any:
    def fsync(_: int) -> None:
        raise OSError(code, os.strerror(code))

    return fsync


# ------------------------------------------------------------------ one row per trigger, release after the commit


def test_each_trigger_becomes_exactly_one_row_and_one_command(tmp_path: Path) -> None:
    with Bench(tmp_path, product=DIVERT) as bench:
        for score in (OK, BAD, OK, UNCERTAIN, OK):
            bench.show_part(score)
        bench.turn()
        assert bench.rows("SELECT number, part_id, evaluation FROM inspection") == [
            (1, "ST01-000001", "OK"),
            (2, "ST01-000002", "NOT_OK"),
            (3, "ST01-000003", "OK"),
            (4, "ST01-000004", "NOT_DECIDABLE"),
            (5, "ST01-000005", "OK"),
        ]
        assert [d for _, d in bench.line.commands] == [RELEASED, HELD, RELEASED, HELD, RELEASED]
        assert [p for p, _ in bench.line.commands] == [f"ST01-{n:06d}" for n in range(1, 6)]
        assert bench.one("SELECT count(*) FROM command WHERE acknowledged_at IS NULL") == 0
        assert str(queries.balance(bench.reader)) == "5 triggered = 3 disposed + 0 on the way + 2 waiting"
        assert len(bench.recorded) == 5


def test_several_parts_in_one_turn_are_committed_together_and_sent_in_order(tmp_path: Path) -> None:
    with Bench(tmp_path, product=DIVERT) as bench:
        for score in (OK, BAD, OK):
            bench.show_part(score, act=False)
        assert bench.line.tried == []
        bench.turn()
        assert [d for _, d in bench.line.commands] == [RELEASED, HELD, RELEASED]


def test_nothing_is_sent_before_the_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Bench(tmp_path) as bench:
        steps: list[str] = []

        def note(step: str, owner: object, method: str) -> None:
            real = getattr(owner, method)

            def noted(*a: Any) -> Any:
                steps.append(f"{step} begun")
                done = real(*a)
                steps.append(f"{step} done")
                return done

            monkeypatch.setattr(owner, method, noted)

        note("picture", bench.images, "keep")
        note("row", bench.ledger, "record")
        note("line", bench.line, "sort")
        bench.show_part(OK)
        assert steps == ["picture begun", "picture done", "row begun", "row done", "line begun", "line done"]


def test_two_parts_in_one_frame_get_two_numbers_and_each_its_own_times(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Bench(tmp_path, product=DIVERT) as bench:
        monkeypatch.setattr(bench.trigger, "update", lambda f: (Sighting(f), Sighting(f)))
        times: list[StageTimes] = []
        inspect = bench.inspector.inspect

        def noted(part: Part, own: StageTimes) -> Inspection:
            times.append(own)
            return inspect(part, own)

        monkeypatch.setattr(bench.inspector, "inspect", noted)
        bench.show_part(OK)
        bench.turn()
        assert bench.one("SELECT count(DISTINCT number) FROM inspection") == 2
        assert times[0] is not times[1]


# ------------------------------------------------------------------ the ledger or the disk refuses


def test_a_failed_write_could_not_turn_release_into_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Third fault of the first draft: now the part is held, the fault shown, and it is released once it is written."""
    with Bench(tmp_path) as bench:
        with monkeypatch.context() as broken:
            broken.setattr(os, "fsync", disk_that_refuses())
            part_id = bench.show_part(OK)
            assert bench.line.tried == [], "an id that has no row may be another part's after a restart"
            assert bench.state() is StationState.FAULT
            assert "cannot be written down" in bench.faults()["ledger"]
            assert bench.one("SELECT count(*) FROM inspection") == 0
            bench.turn(1.0, turns=3)
            assert bench.line.tried == []
        bench.turn()
        assert bench.line.released() == []  # not before its pause is over
        bench.turn(1.0)
        assert bench.line.released() == [part_id]
        assert bench.faults() == {}
        bench.turn(1.0, turns=3)
        assert bench.line.released() == [part_id]
        kinds = [k for (k,) in bench.rows("SELECT kind FROM event ORDER BY id")]
        assert kinds == ["fault:ledger", "over:ledger"]


def test_parts_seen_while_the_disk_is_away_keep_their_order_and_none_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Bench(tmp_path, product=DIVERT) as bench:
        with monkeypatch.context() as broken:
            broken.setattr(bench.ledger, "record", _refusing)
            for score in (OK, BAD, OK):
                bench.show_part(score)
                bench.turn(0.6)
            assert bench.line.released() == []
        bench.turn(1.0)
        assert [n for (n,) in bench.rows("SELECT number FROM inspection")] == [1, 2, 3]
        assert bench.line.released() == ["ST01-000001", "ST01-000003"]


def test_acknowledgements_are_not_lost_with_a_failed_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Bench(tmp_path, product=DIVERT) as bench:
        bench.show_part(OK)  # acknowledged by the line, to be noted with the next commit
        with monkeypatch.context() as broken:
            broken.setattr(bench.ledger, "record", _refusing)
            bench.show_part(OK)
        bench.turn(1.0, turns=2)
        assert bench.one("SELECT count(*) FROM command WHERE acknowledged_at IS NULL") == 0


def _refusing(*_: Any) -> Any:
    raise LedgerFault("the ledger refused: disk I/O error")


def test_a_full_budget_removes_pictures_of_passed_parts_first_and_says_so(tmp_path: Path) -> None:
    with Bench(tmp_path, product=DIVERT, budget_bytes=1) as probe:
        probe.show_part(OK)
        assert "ledger" in probe.faults()
        probe.books_may_be_wrong = True
    folder = tmp_path / "two"
    with Bench(folder, product=DIVERT, budget_bytes=12_000) as bench:
        bench.show_part(BAD)
        shown = 1
        while not bench.one("SELECT count(*) FROM dropped_image"):
            bench.show_part(OK)
            shown += 1
            assert "ledger" not in bench.faults()
            assert shown < 60
        bench.turn()
        assert bench.faults() == {}
        assert len(bench.line.released()) == shown - 1
        assert bench.images.used_bytes <= 12_000
        for _, sha256 in books.needed_images(bench.reader):
            bench.images.read_bytes(sha256)
        held = bench.one("SELECT image_sha256 FROM inspection WHERE number = 1")
        assert bench.images.read_bytes(held)
        assert bench.one("SELECT count(*) FROM event WHERE kind = 'disk'") >= 1


def test_a_held_part_keeps_its_picture_even_where_a_passed_part_has_the_same_one(tmp_path: Path) -> None:
    same = picture(7)
    with Bench(tmp_path, product=DIVERT) as bench:
        bench.show_part(OK, image=same)
        bench.show_part(BAD, image=same)
        bench.show_part(OK)
        third = bench.one("SELECT image_sha256 FROM inspection WHERE number = 3")
        assert bench.ledger.oldest_passed_images() == [third]


def test_a_dropped_picture_that_comes_again_counts_as_there_again(tmp_path: Path) -> None:
    same = picture(7)
    with Bench(tmp_path, product=DIVERT) as bench:
        bench.show_part(OK, image=same)
        dropped = bench.ledger.oldest_passed_images()
        bench.ledger.note_dropped_images(dropped)
        bench.images.drop(dropped)
        assert list(books.needed_images(bench.reader)) == []
        bench.show_part(BAD, image=same)
        assert {h for _, h in books.needed_images(bench.reader)} == set(dropped)


def test_a_full_disk_of_held_parts_still_lets_people_free_the_line(tmp_path: Path) -> None:
    """Nothing can be removed and nothing written, but answers still settle."""
    with Bench(tmp_path, product=recipe(mode="divert", undo_s=0.0)) as bench:
        held = bench.show_part(BAD)
        bench.images._budget = 1
        bench.show_part(OK)
        assert "ledger" in bench.faults()
        bench.answer(1)
        for _ in range(4):
            bench.turn(0.6)
        assert bench.line.released() == [held]
        bench.images._budget = 1e9
        bench.turn(1.0)


def test_a_failed_settlement_is_shown_tried_again_and_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Bench(tmp_path, product=recipe(undo_s=0.0)) as bench:
        held = bench.show_part(BAD)
        bench.answer(1)
        with monkeypatch.context() as broken:
            broken.setattr(bench.desk, "settle", _refusing)
            bench.turn()
            assert "cannot be settled" in bench.faults()["settle"]
            assert bench.state() is StationState.FAULT
        bench.turn(1.0)
        assert bench.line.released() == [held]
        assert bench.faults() == {}


def test_a_failed_note_of_an_acknowledgement_is_a_fault_that_ends_without_a_new_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A station in FAULT stops the belt, so no part may be needed to find out that the ledger is back."""
    with Bench(tmp_path) as bench:
        bench.show_part(OK)
        with monkeypatch.context() as broken:
            broken.setattr(bench.ledger, "acknowledge", _refusing)
            broken.setattr(bench.ledger, "event", _refusing)
            bench.turn(turns=2)
            assert bench.state() is StationState.FAULT
        bench.turn(1.0, turns=3)
        assert bench.faults() == {}
        assert bench.state() is StationState.RUNNING
        assert bench.one("SELECT count(*) FROM command WHERE acknowledged_at IS NULL") == 0
        assert bench.one("SELECT count(*) FROM event WHERE kind = 'fault:ledger'") == 1


# ------------------------------------------------------------------ the inspection fails


@pytest.mark.parametrize(
    "failure", [DetectorFault("out of memory"), RuntimeError("bug"), spoiled({"scratch": float("nan"), "dent": 0.0})]
)
def test_a_detector_that_raises_or_gives_nan_holds_the_part_as_undefined(tmp_path: Path, failure: Any) -> None:
    with Bench(tmp_path, product=DIVERT) as bench:
        part_id = bench.show_part(failure)
        assert bench.line.commands == [(part_id, HELD)]
        assert bench.rows("SELECT evaluation, p_select, image_sha256 IS NOT NULL FROM inspection") == [
            ("UNDEFINED", 1.0, 1)
        ]
        assert bench.one("SELECT reason FROM review") == "undefined"
        assert bench.show_part(OK) in bench.line.released()


def test_an_unreadable_frame_is_held_without_a_picture_and_can_be_decided(tmp_path: Path) -> None:
    with Bench(tmp_path, product=DIVERT) as bench:
        part_id = bench.show_part(OK, fault="truncated file")
        assert bench.line.commands == [(part_id, HELD)]
        assert bench.rows("SELECT evaluation, image_sha256 FROM inspection") == [("UNDEFINED", None)]
        assert "truncated file" in bench.one("SELECT reason FROM inspection")
        assert bench.detector.seen == 0
        bench.answer(1, Answer.REWORK)
        bench.turn(2.0)
        assert bench.line.standing[part_id] is Disposition.REWORK
        bench.detector.script.clear()


def test_a_part_too_small_to_store_is_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Bench(tmp_path, product=DIVERT) as bench:

        def refuse(_: Any) -> Any:
            raise LedgerFault("the picture could not be encoded")

        monkeypatch.setattr(hand, "encode", refuse)
        part_id = bench.show_part(OK)
        assert bench.line.commands == [(part_id, HELD)]
        assert "cannot be stored" in bench.one("SELECT reason FROM inspection")


def test_an_ill_picture_of_a_camera_is_a_fault_and_its_part_held(tmp_path: Path) -> None:
    with Bench(tmp_path, product=DIVERT, source=FakeSource(live=True, endless=True)) as bench:
        bench.watch.ill = "frozen"
        part_id = bench.show_part(OK)
        assert bench.line.commands == [(part_id, HELD)]
        assert "frozen" in bench.faults()["picture"]
        assert "frozen" in bench.one("SELECT reason FROM inspection")
        bench.watch.ill = None
        bench.detector.script.clear()
        assert bench.show_part(OK) in bench.line.released()
        assert bench.faults() == {}


# ------------------------------------------------------------------ the source is quiet, away, or over


def test_a_quiet_camera_that_raised_blocked_settle_so_a_stopped_line_could_never_be_freed(tmp_path: Path) -> None:
    """Second fault of the first draft."""
    with Bench(tmp_path, product=recipe(undo_s=1.0)) as bench:
        held = bench.show_part(BAD)
        assert bench.state() is StationState.WAITING
        bench.answer(1)
        bench.clock.wait(2.0)
        bench.source.items += [SourceLost("no frame for 1 s"), None, SourceLost("no frame for 1 s")]
        bench.loop.see(0.0)
        bench.loop.act(0.0)
        assert bench.faults()["source"] == "no frame for 1 s"
        assert bench.line.released() == [held]
        bench.loop.see(0.0)
        bench.loop.act(0.0)
        assert bench.faults() == {}
        assert bench.state() is StationState.RUNNING


def test_a_lost_camera_is_a_fault_noted_once_and_over_when_it_is_back(tmp_path: Path) -> None:
    with Bench(tmp_path) as bench:
        bench.source.items += [SourceLost("unplugged")] * 3
        for _ in range(3):
            assert bench.loop.see(0.0)
            bench.turn()
        assert bench.state() is StationState.FAULT
        assert bench.line.shown[-1] is StationState.FAULT
        bench.show_part(OK)
        assert bench.state() is StationState.RUNNING
        bench.turn()
        assert bench.rows("SELECT kind, text FROM event") == [
            ("fault:source", "unplugged"),
            ("over:source", "unplugged"),
        ]


def test_a_part_in_view_when_the_camera_is_lost_is_held_and_not_forgotten(tmp_path: Path) -> None:
    with Bench(tmp_path, product=DIVERT) as bench:
        bench.trigger.followed = [Sighting(frame(0))]
        bench.source.items += [SourceLost("unplugged")]
        bench.loop.see(0.0)
        bench.turn()
        assert bench.line.commands == [("ST01-000001", HELD)]
        assert "unplugged" in bench.one("SELECT reason FROM inspection")


def test_the_last_part_of_footage_is_inspected(tmp_path: Path) -> None:
    with Bench(tmp_path, source=FakeSource()) as bench:
        bench.trigger.followed = [Sighting(frame(0))]
        assert not bench.loop.see(0.0)
        bench.turn()
        assert bench.line.released() == ["ST01-000001"]


def test_no_frame_in_time_is_normal(tmp_path: Path) -> None:
    with Bench(tmp_path) as bench:
        assert bench.loop.see(0.0)
        bench.turn()
        assert bench.faults() == {}
        assert bench.triggered == 0


def test_eyes_that_do_not_turn_are_a_fault(tmp_path: Path) -> None:
    with Bench(tmp_path) as bench:
        bench.clock.wait(eyes.STALE_S + 0.1)
        bench.loop.act(0.0)
        assert "eyes" in bench.faults()
        bench.loop.see(0.0)
        bench.loop.act(0.0)
        assert bench.faults() == {}


# ------------------------------------------------------------------ the newest frame


def test_the_newest_frame_is_the_very_one_the_source_gave(tmp_path: Path) -> None:
    with Bench(tmp_path, product=DIVERT) as bench:
        assert bench.loop.newest_frame is None
        for _ in range(2):
            bench.show_part(OK)
            shown = bench.loop.newest_frame
            assert shown is not None
            assert shown.index == bench.triggered - 1
        bench.source.items.append(None)
        bench.loop.see(0.0)
        assert bench.loop.newest_frame is shown, "no frame in time is normal"
        given = bench.frame()
        bench.source.items.append(given)
        bench.loop.see(0.0)
        assert bench.loop.newest_frame is given, "a copy per frame would cost more than it is worth"
        bench.turn()


@pytest.mark.parametrize("live", [True, False])
def test_there_is_no_newest_frame_while_the_picture_is_ill(tmp_path: Path, live: bool) -> None:
    with Bench(tmp_path, product=DIVERT, source=FakeSource(live=live, endless=True)) as bench:
        bench.show_part(OK)
        bench.watch.ill = "frozen"
        bench.show_part(OK)
        assert bench.loop.newest_frame is None
        bench.watch.ill = None
        bench.show_part(OK, fault="truncated file")
        assert bench.loop.newest_frame is None
        bench.show_part(OK)
        assert bench.loop.newest_frame is not None


def test_there_is_no_newest_frame_once_the_source_is_lost_or_has_ended(tmp_path: Path) -> None:
    with Bench(tmp_path, source=FakeSource()) as bench:
        bench.show_part(OK)
        bench.source.items.append(SourceLost("unplugged"))
        bench.loop.see(0.0)
        assert bench.loop.newest_frame is None
        bench.show_part(OK)
        assert bench.loop.newest_frame is not None
        assert not bench.loop.see(0.0)
        assert bench.loop.newest_frame is None
        bench.turn()


def test_there_is_no_newest_frame_after_a_run_that_was_stopped(tmp_path: Path) -> None:
    source = FakeSource([frame(0)], endless=True)
    with Bench(tmp_path, source=source, clock=SystemClock(), durable=False) as bench:
        thread, died = running(bench)
        until(lambda: bench.loop.newest_frame is not None, "no frame is seen")
        bench.loop.stop()
        thread.join(timeout=20)
        assert not died
        assert bench.loop.newest_frame is None


# ------------------------------------------------------------------ the line refuses


def test_a_command_the_line_refuses_is_repeated_until_acknowledged(tmp_path: Path) -> None:
    with Bench(tmp_path) as bench:
        bench.line.refuse = 3
        part_id = bench.show_part(OK)
        assert bench.state() is StationState.FAULT
        assert part_id in bench.faults()["line"]
        assert bench.one("SELECT acknowledged_at FROM command") is None
        assert str(queries.balance(bench.reader)) == "1 triggered = 0 disposed + 1 on the way + 0 waiting"
        bench.turn(turns=5)
        assert len(bench.line.tried) == 1  # not in a hurry
        for _ in range(4):
            bench.turn(0.6)
        assert bench.line.released() == [part_id]
        assert len(bench.line.tried) == 4
        assert bench.faults() == {}
        bench.turn(0.6)
        assert bench.one("SELECT acknowledged_at FROM command") is not None
        assert bench.line.moved[part_id] == 1


def test_a_lost_acknowledgement_moves_the_part_once(tmp_path: Path) -> None:
    with Bench(tmp_path) as bench:
        bench.line.lost_answers = 2
        part_id = bench.show_part(OK)
        for _ in range(4):
            bench.turn(0.6)
        assert len(bench.line.tried) == 3
        assert bench.line.moved[part_id] == 1


def test_one_command_refused_for_ever_keeps_neither_parts_nor_answers_waiting(tmp_path: Path) -> None:
    with Bench(tmp_path, product=DIVERT) as bench:
        bench.line.refuses.add("ST01-000001")
        bench.show_part(OK)
        held = bench.show_part(BAD)
        bench.answer(1)
        for _ in range(4):
            bench.turn(0.6)
        assert bench.line.standing[held] is RELEASED
        bench.clock.wait(0.6)
        assert bench.show_part(OK) in bench.line.released()
        assert "line" in bench.faults()


def test_a_late_hold_never_reaches_the_line_after_its_release(tmp_path: Path) -> None:
    """A part hears its commands in order, also those that had to be repeated (the fake line checks)."""
    with Bench(tmp_path, product=recipe(undo_s=0.0)) as bench:
        bench.line.refuse = 2
        part_id = bench.show_part(BAD)
        bench.answer(1)
        for _ in range(6):
            bench.turn(0.3)
        bench.turn(1.0)
        assert bench.line.commands == [(part_id, HELD), (part_id, RELEASED)]


def test_after_a_restart_a_hold_is_not_repeated_behind_its_release(tmp_path: Path) -> None:
    with Bench(tmp_path, product=recipe(undo_s=0.0)) as bench:
        bench.line.refuse = 99
        part_id = bench.show_part(BAD)
        bench.answer(1)
        bench.turn(1.0)
        assert [c.disposition for c in bench.ledger.unacknowledged()] == [HELD, RELEASED]
        bench.line.refuse = 1
        bench.restart()
        bench.turn()
        bench.turn(1.0)
        assert bench.line.commands == [(part_id, HELD), (part_id, RELEASED)]


def test_a_heartbeat_that_failed_once_does_not_stop_the_station_for_ever(tmp_path: Path) -> None:
    with Bench(tmp_path) as bench:
        bench.line.deaf = True
        bench.turn(turns=2)
        assert "line" in bench.faults()
        bench.line.deaf = False
        bench.turn(turns=2)
        assert bench.state() is StationState.RUNNING


# ------------------------------------------------------------------ crashes and books


@pytest.mark.parametrize("heard", [False, True])
def test_a_crash_between_commit_and_command_is_made_good_once(tmp_path: Path, heard: bool) -> None:
    """``heard``: the line had the command, and only the note of its acknowledgement was lost."""
    with Bench(tmp_path) as bench:
        bench.line.refuse = 0 if heard else 1
        part_id = bench.show_part(OK)
        assert bench.one("SELECT acknowledged_at FROM command") is None
        bench.restart()
        assert [c.part_id for c in bench.ledger.unacknowledged()] == [part_id]
        bench.turn(turns=2)
        assert bench.line.standing[part_id] is RELEASED
        assert bench.line.moved[part_id] == 1
        bench.restart()
        sent = len(bench.line.tried)
        bench.turn(1.0, turns=2)
        assert len(bench.line.tried) == sent
        assert bench.show_part(OK) == "ST01-000002"


def test_a_restart_goes_on_counting_and_waiting(tmp_path: Path) -> None:
    with Bench(tmp_path) as bench:
        bench.show_part(OK)
        held = bench.show_part(BAD)
        bench.restart()
        bench.turn()
        assert bench.state() is StationState.WAITING
        assert bench.show_part(OK) == "ST01-000003"
        bench.answer(1)
        bench.turn(5.0)
        assert bench.line.standing[held] is RELEASED
        assert bench.one("SELECT count(*) FROM run") == 2


def test_books_that_do_not_balance_stop_automatic_release(tmp_path: Path) -> None:
    with Bench(tmp_path, product=DIVERT) as bench:
        bench.show_part(OK)
        bench.loop._eyes.next_number = 5  # three triggers vanish
        bench.show_part(OK)
        bench.turn(hand.BALANCE_EVERY_S)
        assert "3 part numbers missing" in bench.faults()["books"]
        assert bench.state() is StationState.FAULT
        before = bench.line.released()
        held = bench.show_part(OK)
        assert bench.line.released() == before
        assert bench.line.standing[held] is HELD
        assert "do not balance" in bench.one("SELECT reason FROM inspection ORDER BY number DESC")
        bench.restart()
        assert "books" in bench.faults()
        bench.books_may_be_wrong = True
        assert any("do not balance" in f for f in books.faults_in_books(bench.reader))


# ------------------------------------------------------------------ every fault names its remedy


def _no_ledger(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench.ledger, "record", _refusing)
    bench.show_part(OK)


def _no_acknowledgement(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench.ledger, "acknowledge", _refusing)
    monkeypatch.setattr(bench.ledger, "event", _refusing)
    bench.show_part(OK)
    bench.turn()


def _no_note(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench.ledger, "event", _refusing)
    bench.source.items.append(SourceLost("unplugged: check its cable"))
    bench.loop.see(0.0)
    bench.turn(turns=2)


def _no_balance(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench.ledger, "balance", _refusing)
    bench.turn(hand.BALANCE_EVERY_S)


def _no_settlement(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench.desk, "settle", _refusing)
    bench.show_part(BAD)
    bench.turn()


def _wrong_books(bench: Bench, _: pytest.MonkeyPatch) -> None:
    bench.books_may_be_wrong = True
    bench.loop._eyes.next_number = 5
    bench.show_part(OK)
    bench.turn(hand.BALANCE_EVERY_S)


def _line_refuses(bench: Bench, _: pytest.MonkeyPatch) -> None:
    bench.line.refuse = 1
    bench.show_part(OK)


def _line_is_deaf(bench: Bench, _: pytest.MonkeyPatch) -> None:
    bench.line.deaf = True
    bench.turn(turns=2)


def _line_driver_says_nothing(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def sort(*_: Any) -> None:
        raise TimeoutError

    monkeypatch.setattr(bench.line, "sort", sort)
    bench.show_part(OK)


def _picture_is_ill(bench: Bench, _: pytest.MonkeyPatch) -> None:
    bench.source.live = True
    bench.watch.ill = "black: mean grey level 1.0"
    bench.show_part(OK)


def _eyes_sleep(bench: Bench, _: pytest.MonkeyPatch) -> None:
    bench.clock.wait(eyes.STALE_S + 0.1)
    bench.loop.act(0.0)


def _eyes_die(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def update(_: Any) -> Any:
        raise ZeroDivisionError("a fault of our own")

    monkeypatch.setattr(bench.trigger, "update", update)
    bench.source.items.append(bench.frame())
    bench.loop._eyes.look()
    bench.turn()


@pytest.mark.parametrize(
    ("cause", "kind", "fact", "remedy"),
    [
        (_no_ledger, "ledger", "disk I/O error", "check the disk"),
        (_no_acknowledgement, "ledger", "disk I/O error", "check the disk"),
        (_no_note, "ledger", "disk I/O error", "check the disk"),
        (_no_balance, "ledger", "disk I/O error", "check the disk"),
        (_no_settlement, "settle", "disk I/O error", "check the disk"),
        (_wrong_books, "books", "4 part numbers missing", "station ledger check"),
        (_line_refuses, "line", "ST01-000001", "check the line"),
        (_line_is_deaf, "line", "the line does not answer", "check cable and power"),
        (_line_driver_says_nothing, "line", "TimeoutError", "check the line"),
        (_picture_is_ill, "picture", "black", "check its lamp, lens"),
        (_eyes_sleep, "eyes", "no frame was looked at for 5 s", "check the camera"),
        (_eyes_die, "eyes", "ZeroDivisionError", "restart the station"),
    ],
)
def test_a_fault_names_the_fact_and_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cause: Any, kind: str, fact: str, remedy: str
) -> None:
    with Bench(tmp_path, product=DIVERT) as bench:
        cause(bench, monkeypatch)
        words = bench.faults()[kind]
        assert fact in words
        assert remedy in words
        monkeypatch.undo()


# ------------------------------------------------------------------ waiting and people


def test_in_stop_mode_the_station_waits_at_the_first_held_part_until_it_is_settled(tmp_path: Path) -> None:
    with Bench(tmp_path, product=recipe(mode="stop", undo_s=3.0)) as bench:
        bench.show_part(OK)
        assert bench.state() is StationState.RUNNING
        held = bench.show_part(UNCERTAIN)
        assert bench.state() is StationState.WAITING
        bench.answer(1, Answer.AGREE)
        bench.turn(2.9)
        assert bench.state() is StationState.WAITING
        assert held in bench.line.standing
        assert bench.line.standing[held] is HELD
        bench.turn(0.2)
        assert bench.line.standing[held] is Disposition.REJECT
        assert bench.state() is StationState.RUNNING


def test_in_divert_mode_the_station_waits_when_the_lane_is_full(tmp_path: Path) -> None:
    with Bench(tmp_path, product=recipe(mode="divert", lane_capacity=3)) as bench:
        states = []
        for _ in range(4):
            bench.show_part(BAD)
            states.append(bench.state())
        assert states == [StationState.RUNNING, StationState.RUNNING, StationState.WAITING, StationState.WAITING]
        bench.answer(1)
        bench.answer(2)
        bench.turn(5.0)
        assert bench.state() is StationState.RUNNING
        assert bench.loop.status().waiting == 2


def test_an_audited_part_is_held_blind_and_released_by_the_persons_answer(tmp_path: Path) -> None:
    with Bench(tmp_path, product=recipe(audit_fraction=1.0, undo_s=0.0)) as bench:
        part_id = bench.show_part(OK)
        assert bench.line.commands == [(part_id, HELD)]
        assert bench.rows("SELECT reason, blind FROM review") == [("audit", 1)]
        bench.answer(1)
        bench.turn()
        assert bench.line.released() == [part_id]


def test_without_a_model_every_part_waits_for_a_person(tmp_path: Path) -> None:
    with Bench(tmp_path, product=DIVERT, without_model=True) as bench:
        bench.show_part(OK)
        assert bench.line.released() == []
        assert bench.one("SELECT reason FROM review") == "uncertain"


def test_questions_are_answered_by_the_hand_and_refusals_reach_the_asker(tmp_path: Path) -> None:
    with Bench(tmp_path) as bench:
        bench.show_part(BAD)
        replies: list[Any] = []

        def ask() -> None:
            replies.append(bench.loop.ask(lambda desk: desk.claim("anna")))
            for wrong in (lambda desk: desk.undo("anna", "u"), lambda desk: 1 / 0):
                try:
                    bench.loop.ask(wrong)
                except StationError as error:
                    replies.append(error)

        asker = threading.Thread(target=ask)
        asker.start()
        while asker.is_alive():
            bench.loop.act(0.005)
        asker.join()
        assert replies[0] == 1
        assert isinstance(replies[1], ReviewRefused)
        assert replies[1].code == "nothing_to_undo"
        assert "ZeroDivisionError" in str(replies[2])


def test_a_question_nobody_comes_to_ends_in_time(tmp_path: Path) -> None:
    with Bench(tmp_path) as bench, pytest.raises(TimeoutError):
        bench.loop.ask(lambda desk: desk.claim("anna"), timeout_s=0.005)


def test_a_question_after_the_halt_is_refused_at_once(tmp_path: Path) -> None:
    """Who asks would otherwise wait its whole patience for a loop that never comes."""
    source = FakeSource([frame(0)])
    with Bench(tmp_path, source=source, clock=SystemClock(), durable=False) as bench:
        bench.loop.run()
        with pytest.raises(StationError, match="has halted: start it again"):
            bench.loop.ask(lambda desk: desk.claim("anna"))


# ------------------------------------------------------------------ both threads


def running(bench: Bench, **how: Any) -> tuple[threading.Thread, list[BaseException]]:
    died: list[BaseException] = []

    def run() -> None:
        try:
            bench.loop.run(**how)
        except BaseException as error:
            died.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, died


def test_a_whole_run_over_footage_releases_the_good_and_holds_the_others(tmp_path: Path) -> None:
    scores = [OK, BAD, OK, UNCERTAIN] * 8
    source = FakeSource([frame(n) for n in range(len(scores))])
    with Bench(tmp_path, product=DIVERT, scores=scores, source=source, clock=SystemClock(), durable=False) as bench:
        bench.loop.run()
        assert bench.one("SELECT count(*) FROM inspection") == 32
        assert len(bench.line.released()) == 16
        assert bench.one("SELECT count(*) FROM command WHERE acknowledged_at IS NULL") == 0
        assert bench.one("SELECT ended_at FROM run") is not None
        assert bench.line.shown[-1] is StationState.HALTED
        assert set(bench.loop.timer.summary()) >= {"read", "detect", "commit", "line", "trigger_to_line"}


def test_people_answer_from_several_threads_while_the_line_runs(tmp_path: Path) -> None:
    scores = [BAD] * 12
    source = FakeSource([frame(n) for n in range(len(scores))])
    product = recipe(mode="divert", undo_s=0.0)
    with Bench(tmp_path, product=product, scores=scores, source=source, clock=SystemClock(), durable=False) as bench:
        answered: list[int] = []

        def work(person: str) -> None:
            while len(answered) < 12:
                review = bench.loop.ask(lambda desk: desk.claim(person))
                if review is None:
                    continue
                given = GivenAnswer(f"{person}-{review}", review, Answer.FALSE_ALARM, person, 1.0)
                bench.loop.ask(partial(ReviewDesk.confirm, given=given))
                answered.append(review)

        thread, died = running(bench, until_settled=True)
        people = [threading.Thread(target=work, args=(p,)) for p in ("anna", "berta", "carla")]
        for p in people:
            p.start()
        for p in people:
            p.join(timeout=20)
        thread.join(timeout=20)
        assert not died
        assert sorted(answered) == list(range(1, 13))
        assert len(bench.line.released()) == 12


def test_stop_under_load_loses_nothing(tmp_path: Path) -> None:
    source = FakeSource([frame(n % 5) for n in range(5000)])
    with Bench(tmp_path, product=DIVERT, source=source, clock=SystemClock(), durable=False) as bench:
        thread, died = running(bench)
        until(lambda: len(bench.recorded) > 20, "the loop does not get going")
        bench.loop.stop()
        thread.join(timeout=20)
        assert not died
        parts = bench.one("SELECT count(*) FROM inspection")
        assert parts == bench.triggered == len(bench.recorded) < 5000
        assert bench.line.released() == [f"ST01-{n:06d}" for n in range(1, parts + 1)]
        bench.restart()
        assert bench.ledger.unacknowledged() == []


def test_dying_eyes_are_a_fault_and_run_raises(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = FakeSource([frame(0), frame(1), frame(2)], endless=True)
    with Bench(tmp_path, source=source, clock=SystemClock(), durable=False) as bench:
        real = bench.trigger.update

        def update(seen: Any) -> Any:
            if seen.index == 1:
                raise ZeroDivisionError("a fault of our own")
            return real(seen)

        monkeypatch.setattr(bench.trigger, "update", update)
        thread, died = running(bench)
        thread.join(timeout=20)
        assert not thread.is_alive()
        assert isinstance(died[0], StationError)
        assert isinstance(died[0].__cause__, ZeroDivisionError)
        assert "restart the station" in bench.faults()["eyes"]
        assert bench.line.released() == ["ST01-000001"]  # seen before; nothing after
        assert bench.line.shown[-1] is StationState.HALTED


def test_an_error_of_our_own_in_the_hand_ends_the_run_and_releases_nothing_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = FakeSource([frame(n) for n in range(20)])
    with Bench(tmp_path, product=DIVERT, source=source, clock=SystemClock(), durable=False) as bench:
        real = bench.line.sort

        def sort(part_id: Any, disposition: Disposition) -> None:
            if part_id >= "ST01-000003":
                raise ZeroDivisionError("a fault of our own")
            real(part_id, disposition)

        monkeypatch.setattr(bench.line, "sort", sort)
        thread, died = running(bench)
        thread.join(timeout=20)
        assert isinstance(died[0], ZeroDivisionError)
        assert bench.line.released() == ["ST01-000001", "ST01-000002"]
        monkeypatch.undo()
        bench.restart()
        bench.turn(turns=2)
        assert set(bench.line.released()) >= {"ST01-000003"}  # committed, so made good after the restart


def test_eyes_wait_when_the_queue_is_full_and_no_part_is_dropped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = FakeSource([frame(n) for n in range(30)])
    with Bench(tmp_path, product=DIVERT, source=source, clock=SystemClock(), durable=False) as bench:
        monkeypatch.setattr(hand, "RETRY_S", 0.01)
        record, allowed = bench.ledger.record, threading.Event()
        monkeypatch.setattr(bench.ledger, "record", lambda *a: record(*a) if allowed.is_set() else _refusing())
        thread, died = running(bench)
        until(lambda: bench.detector.seen > eyes.QUEUE_PARTS, "the eyes do not get as far as the queue")
        until(lambda: "ledger" in bench.faults(), "the fault is not shown")
        beat = bench.loop._eyes.beat_s
        until(lambda: bench.loop._eyes.beat_s > beat, "waiting for the hand is taken for being dead")
        assert bench.detector.seen == eyes.QUEUE_PARTS + 1
        assert bench.line.released() == []
        allowed.set()
        thread.join(timeout=20)
        assert not died
        assert bench.line.released() == [f"ST01-{n:06d}" for n in range(1, 31)]


def test_stop_while_the_disk_is_away_holds_what_could_not_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = FakeSource([frame(n) for n in range(30)])
    with Bench(tmp_path, product=DIVERT, source=source, clock=SystemClock(), durable=False) as bench:
        monkeypatch.setattr(bench.ledger, "record", _refusing)
        thread, died = running(bench)
        until(lambda: bench.detector.seen > eyes.QUEUE_PARTS, "the eyes do not get as far as the queue")
        bench.loop.stop()
        thread.join(timeout=20)
        assert isinstance(died[0], StationError), "a halt that lost parts must not look like a good end"
        for number in range(1, eyes.QUEUE_PARTS + 1):
            assert f"ST01-{number:06d}" in str(died[0])
        assert "keep them on hold" in str(died[0])
        assert "check the disk" in str(died[0])
        assert bench.line.released() == []
        assert bench.one("SELECT count(*) FROM inspection") == 0
        assert bench.line.shown[-1] is StationState.HALTED
        assert bench.one("SELECT ended_at FROM run") is not None, "everything else is done first"
        noted = bench.rows("SELECT text FROM event WHERE kind = 'halt' AND text LIKE '%could not be written down'")
        assert len(noted) == eyes.QUEUE_PARTS


def test_parts_that_could_not_be_written_down_are_named_also_after_ctrl_c(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = FakeSource([frame(0)], endless=True)
    with Bench(tmp_path, source=source, clock=SystemClock(), durable=False) as bench:
        monkeypatch.setattr(bench.ledger, "record", _refusing)

        def ctrl_c() -> None:
            if bench.loop._hand.unrecorded:
                raise KeyboardInterrupt

        monkeypatch.setattr(bench.loop._hand, "settle", ctrl_c)
        thread, died = running(bench)
        thread.join(timeout=20)
        assert isinstance(died[0], StationError)
        assert "ST01-000001" in str(died[0])
        assert isinstance(died[0].__cause__, KeyboardInterrupt)


@pytest.mark.parametrize("trouble", [LineFault("unplugged"), OSError("no such port"), ZeroDivisionError("own fault")])
def test_what_is_in_hand_is_written_down_at_a_halt_whatever_the_line_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trouble: Exception
) -> None:
    source = FakeSource([frame(n) for n in range(6)], endless=True)
    with Bench(tmp_path, product=DIVERT, source=source, clock=SystemClock(), durable=False) as bench:
        in_hand = threading.Event()

        def fails(*_: Any) -> Any:
            raise trouble

        def busy() -> None:
            assert in_hand.wait(10.0)
            monkeypatch.setattr(bench.line, "show", fails)
            monkeypatch.setattr(bench.line, "sort", fails)
            bench.loop.stop()

        monkeypatch.setattr(bench.loop._hand, "check_books_now_and_then", busy)
        thread, died = running(bench)
        until(lambda: bench.detector.seen == 6, "the eyes do not see the parts")
        in_hand.set()
        thread.join(timeout=20)
        assert not thread.is_alive()
        assert bench.one("SELECT count(*) FROM inspection") == bench.triggered == 6
        assert bench.one("SELECT ended_at FROM run") is not None
        if isinstance(trouble, ZeroDivisionError):
            assert died == [trouble], "a fault of our own is no good end"
        else:
            assert not died
            assert "line" in bench.faults()
        monkeypatch.undo()
        bench.restart()
        bench.turn(turns=2)
        assert set(bench.line.released()) == {f"ST01-{n:06d}" for n in range(1, 7)}
        assert set(bench.line.moved.values()) == {1}


def test_a_question_asked_just_before_a_halt_is_answered_although_the_line_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Bench(tmp_path, source=FakeSource(endless=True), clock=SystemClock(), durable=False) as bench:
        bench.show_part(BAD)
        replies: list[Any] = []
        asker = threading.Thread(target=lambda: replies.append(bench.loop.ask(lambda desk: desk.claim("anna"))))

        def fails(*_: Any) -> Any:
            raise ZeroDivisionError("own fault")

        monkeypatch.setattr(bench.line, "show", fails)
        bench.loop.stop()
        asker.start()
        until(lambda: not bench.loop._inbox.empty, "nobody asks")
        with pytest.raises(ZeroDivisionError):
            bench.loop.run()
        asker.join(timeout=10)
        assert replies == [1]


def test_a_line_that_says_it_is_not_connected_is_a_fault_until_it_is_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Bench(tmp_path) as bench:
        with monkeypatch.context() as unplugged:
            unplugged.setattr(bench.line, "poll", lambda: LineSignals(connected=False, moving=False))
            bench.turn(turns=2)
            assert bench.state() is StationState.FAULT
            assert "not connected" in bench.faults()["line"]
        bench.turn(turns=2)
        assert bench.faults() == {}


def test_a_picture_folder_that_is_gone_holds_the_part_and_it_heals_when_it_is_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Bench(tmp_path, product=DIVERT) as bench:
        monkeypatch.setattr(bench.images, "_free", 1.0)
        away = bench.images.folder.with_name("away")
        bench.images.folder.rename(away)
        bench.show_part(OK)
        assert bench.state() is StationState.FAULT
        assert "cannot be reached" in bench.faults()["ledger"]
        assert bench.line.released() == []
        away.rename(bench.images.folder)
        bench.turn(1.0, turns=2)
        assert bench.line.released() == ["ST01-000001"]
