"""Known parts shown again: unmarked, without moving, counting or training anything."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from station.core.errors import ReviewRefused
from station.core.verdict import Answer, Disposition
from station.store import queries
from station.store.challenges import OUT_OF_SIGHT, ChallengeResult, challenge_results
from station.store.tables import RunRow
from tests.builders import BAD, OK, Bench, recipe

PRODUCT = recipe(mode="divert", lane_capacity=3, undo_s=0.0, challenge_fraction=1.0)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """Part 1 rejected by a person, part 2 released by one, then so many passed that a number can be borrowed."""
    with Bench(tmp_path, product=PRODUCT, durable=False) as it:
        it.show_part(BAD)
        it.show_part(BAD)
        it.answer(1, Answer.AGREE)
        it.answer(2, Answer.FALSE_ALARM)
        it.turn()
        for _ in range(OUT_OF_SIGHT + 5):
            it.show_part(OK)
        yield it


def test_a_challenge_looks_like_a_fresh_blind_part(bench: Bench) -> None:
    bench.desk.know("ST01-000001", "defect", "eva")
    bench.show_part(BAD)
    fresh, challenge = queries.open_reviews(bench.reader)
    assert (fresh.moves, challenge.moves) == (True, False)
    assert challenge.blind is True
    number, part_id, serial = challenge.shown_as
    assert challenge.part.part_id == "ST01-000001"
    assert part_id != "ST01-000001"
    assert fresh.part.number - number >= OUT_OF_SIGHT
    borrowed = queries.part(bench.reader, part_id)
    assert borrowed is not None
    assert (borrowed.number, borrowed.serial, borrowed.disposition) == (number, serial, "RELEASE")
    assert challenge.opened_at == fresh.opened_at


def test_its_answer_moves_counts_and_trains_nothing(bench: Bench) -> None:
    bench.desk.know("ST01-000001", "defect", "eva")
    bench.show_part(BAD)
    before = queries.shift_counts(bench.reader), bench.one("SELECT count(*) FROM sample"), dict(bench.line.moved)
    assert queries.balance(bench.reader).waiting == 1
    bench.answer(4, Answer.FALSE_ALARM, person="tom")
    bench.turn(1.0, turns=3)
    after = queries.shift_counts(bench.reader), bench.one("SELECT count(*) FROM sample"), dict(bench.line.moved)
    assert after == before
    assert bench.one("SELECT count(*) FROM command WHERE part_id = 'ST01-000001'") == 2
    assert bench.one("SELECT settled_at IS NOT NULL FROM review WHERE id = 4") == 1
    assert bench.line.standing["ST01-000001"] is Disposition.REJECT


def test_unsure_of_a_known_part_asks_no_second_person(bench: Bench) -> None:
    bench.desk.know("ST01-000001", "defect", "eva")
    bench.show_part(BAD)
    bench.answer(4, Answer.UNSURE)
    bench.turn(1.0)
    assert bench.one("SELECT count(*) FROM review WHERE reason = 'second_person'") == 0


def test_known_parts_take_turns_and_are_not_shown_twice_at_once(bench: Bench) -> None:
    bench.desk.know("ST01-000001", "defect", "eva")
    bench.desk.know("ST01-000002", "ok", "eva")
    for _ in range(3):
        bench.show_part(BAD)
    shown = bench.rows("SELECT part_id, shown_as FROM review WHERE reason = 'challenge' ORDER BY id")
    assert [p for p, _ in shown] == ["ST01-000001", "ST01-000002"]
    assert len({alias for _, alias in shown}) == 2
    bench.answer(4, Answer.OTHER_CLASS, person="tom", label="dent")
    bench.answer(6, Answer.FALSE_ALARM, person="tom")
    bench.turn(1.0)
    bench.show_part(BAD)
    assert bench.rows("SELECT part_id FROM review WHERE reason = 'challenge' ORDER BY id DESC LIMIT 1") == [
        ("ST01-000001",)
    ]


def test_results_tell_who_found_what(bench: Bench) -> None:
    bench.desk.know("ST01-000001", "defect", "eva")
    bench.desk.know("ST01-000002", "ok", "eva")
    bench.show_part(BAD)
    bench.show_part(BAD)
    bench.answer(4, Answer.FALSE_ALARM, person="tom")
    bench.answer(6, Answer.FALSE_ALARM, person="tom")
    assert challenge_results(bench.reader) == []  # it can still be taken back
    bench.turn(1.0)
    bench.show_part(BAD)
    bench.answer(8, Answer.MISSED_DEFECT, person="mia", label="dent", xyxy=(1, 1, 9, 9))
    bench.turn(1.0)
    bench.desk.forget("ST01-000001", "eva")  # what was known then stays what it was measured by
    assert challenge_results(bench.reader) == [
        ChallengeResult("mia", defects=(1, 1), good=(0, 0)),
        ChallengeResult("tom", defects=(1, 0), good=(1, 1)),
    ]
    assert challenge_results(bench.reader, since="2999") == []


def test_no_known_part_or_no_number_to_borrow_means_no_challenge(tmp_path: Path) -> None:
    with Bench(tmp_path, product=PRODUCT, durable=False) as bench:
        bench.show_part(BAD)
        bench.answer(1, Answer.FALSE_ALARM)
        bench.turn(1.0)
        bench.desk.know("ST01-000001", "ok", "eva")
        for _ in range(OUT_OF_SIGHT - 2):
            bench.show_part(OK)
        bench.show_part(BAD)
        assert bench.one("SELECT count(*) FROM review WHERE reason = 'challenge'") == 0
        bench.show_part(OK)
        bench.show_part(BAD)
        bench.show_part(BAD)
        assert bench.one("SELECT count(*) FROM review WHERE reason = 'challenge'") == 1
        bench.desk.forget("ST01-000001", "eva")
        bench.show_part(BAD)
        assert bench.one("SELECT count(*) FROM review WHERE reason = 'challenge'") == 1


def test_a_challenge_waits_behind_the_parts_that_stop_the_line(bench: Bench) -> None:
    bench.desk.know("ST01-000001", "defect", "eva")
    bench.show_part(BAD)
    first = bench.desk.claim("mia")
    assert first == 3
    assert bench.desk.claim("mia", skip=(3,)) == 4  # the lane has room: in the order of opening
    bench.desk.leave("mia")
    bench.show_part(BAD)
    bench.show_part(BAD)  # three wait: the line stands
    assert [bench.desk.claim("tom", skip=skip) for skip in ((), (3,), (3, 5), (3, 5, 6))] == [3, 5, 6, 4]


@pytest.mark.parametrize(
    ("part_id", "expected", "code", "words"),
    [
        ("ST01-000099", "ok", "unknown", "no part"),
        ("ST01-000001", "perhaps", "invalid", "'ok' or 'defect'"),
        ("ST01-000028", "defect", "invalid", "still waits"),
    ],
)
def test_only_settled_parts_can_be_known(bench: Bench, part_id: str, expected: str, code: str, words: str) -> None:
    assert bench.show_part(BAD) == "ST01-000028"
    with pytest.raises(ReviewRefused, match=words) as refused:
        bench.desk.know(part_id, expected, "eva")
    assert refused.value.code == code
    assert bench.one("SELECT count(*) FROM known_part") == 0


def test_knowing_twice_changes_nothing_and_knowing_otherwise_is_refused(bench: Bench) -> None:
    bench.desk.know("ST01-000001", "defect", "eva")
    bench.desk.know("ST01-000001", "defect", "max")
    with pytest.raises(ReviewRefused, match="withdraw that first"):
        bench.desk.know("ST01-000001", "ok", "eva")
    bench.desk.forget("ST01-000001", "ada")
    with pytest.raises(ReviewRefused, match="not among"):
        bench.desk.forget("ST01-000001", "ada")
    bench.desk.know("ST01-000001", "ok", "eva")
    assert bench.rows("SELECT expected, noted_by, withdrawn_by FROM known_part ORDER BY id") == [
        ("defect", "eva", "ada"),
        ("ok", "eva", None),
    ]


def test_a_part_without_a_picture_cannot_be_shown_again(bench: Bench) -> None:
    part_id = bench.show_part(BAD, image=None, fault="camera unplugged")
    bench.answer(3, Answer.REWORK)
    bench.turn(1.0)
    with pytest.raises(ReviewRefused, match="no picture"):
        bench.desk.know(part_id, "defect", "eva")


def test_several_stopped_parts_in_one_commit_get_different_known_parts(bench: Bench) -> None:
    bench.desk.know("ST01-000001", "defect", "eva")
    bench.desk.know("ST01-000002", "ok", "eva")
    for _ in range(4):
        bench.show_part(BAD, act=False)
    bench.loop.act(0.0)
    assert bench.faults() == {}
    shown = bench.rows("SELECT part_id, shown_as FROM review WHERE reason = 'challenge' ORDER BY id")
    assert [p for p, _ in shown] == ["ST01-000001", "ST01-000002"]
    assert len({alias for _, alias in shown}) == 2
    assert bench.one("SELECT count(*) FROM review WHERE settled_at IS NULL AND moves = 1") == 4


def test_a_challenge_that_cannot_be_opened_never_costs_a_real_part(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.desk.know("ST01-000001", "defect", "eva")
    monkeypatch.setattr("station.store.challenges.ReviewRow", lambda **_: RunRow())  # the database will refuse it
    part_id = bench.show_part(BAD)
    assert bench.faults() == {}
    assert bench.rows("SELECT part_id FROM review WHERE settled_at IS NULL") == [(part_id,)]
