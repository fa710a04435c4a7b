"""What a part really was, said after it has gone: moves nothing, takes the place of the earlier label."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from station.answers import GivenAnswer
from station.core.errors import ConfigError, ReviewRefused
from station.core.verdict import Answer
from station.recipe import Recipe
from station.review import ReviewDesk
from station.store import queries
from station.store.samples import stored_samples
from tests.builders import BAD, OK, UNCERTAIN, Bench, detections, recipe, run_start

PRODUCT = recipe(mode="divert", lane_capacity=9, undo_s=3.0)
SCRATCH = (20.0, 16.0, 44.0, 32.0)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with Bench(tmp_path, product=PRODUCT, durable=False) as it:
        yield it


def correct(bench: Bench, part_id: str, answer: Answer = Answer.OTHER_CLASS, key: str = "fix-1", **how: Any) -> int:
    how.setdefault("note", "customer complaint 4711")
    given = GivenAnswer(key=key, review_id=0, answer=answer, person="eva", seconds=30.0, **how)
    return bench.desk.correct(given, part_id)


def settled(bench: Bench, score: Any = None) -> str:
    part_id = bench.show_part(detections(("scratch", 0.9, SCRATCH)) if score is None else score)
    bench.answer(bench.one("SELECT max(id) FROM review"), Answer.FALSE_ALARM)
    bench.turn(3.0)
    return part_id


def test_a_corrected_label_takes_the_place_of_the_first(bench: Bench) -> None:
    part_id = settled(bench)
    assert [s.label for s in stored_samples(bench.reader)] == ["ok"]
    correct(bench, part_id, label="dent")
    assert [(s.label, s.person, s.reason) for s in stored_samples(bench.reader)] == [("dent", "eva", "correction")]
    correct(bench, part_id, Answer.FALSE_ALARM, key="fix-2")
    assert [s.label for s in stored_samples(bench.reader)] == ["ok"]
    assert bench.one("SELECT count(*) FROM sample") == 3  # nothing is lost


def test_it_moves_nothing_and_is_noted_as_an_escape(bench: Bench) -> None:
    part_id = settled(bench)
    moved, counts = dict(bench.line.moved), queries.shift_counts(bench.reader)
    correct(bench, part_id, label="dent")
    bench.turn(9.0, turns=3)
    assert bench.line.moved == moved
    after = queries.shift_counts(bench.reader)
    assert (after.by_answer, after.by_disposition, after.overkill) == (
        counts.by_answer,
        counts.by_disposition,
        counts.overkill,
    )
    assert bench.rows("SELECT kind, text FROM event WHERE kind = 'escape'") == [
        ("escape", f"part {part_id} was released and is defective (dent), says eva")
    ]
    assert bench.rows("SELECT reason, moves, settled_at IS NOT NULL FROM review ORDER BY id DESC LIMIT 1") == [
        ("correction", 0, 1)
    ]


def test_a_passed_part_can_be_corrected(bench: Bench) -> None:
    part_id = bench.show_part(OK)
    correct(bench, part_id, Answer.MISSED_DEFECT, label="scratch", xyxy=(4, 4, 20, 20))
    assert [(s.label, s.box.xyxy) for s in stored_samples(bench.reader)] == [("scratch", (4.0, 4.0, 20.0, 20.0))]
    assert bench.one("SELECT count(*) FROM event WHERE kind = 'escape'") == 1


def test_a_rejected_part_called_good_is_no_escape(bench: Bench) -> None:
    part_id = bench.show_part(BAD)
    bench.answer(1, Answer.OTHER_CLASS, label="dent")
    bench.turn(3.0)
    correct(bench, part_id, Answer.FALSE_ALARM)
    assert bench.one("SELECT count(*) FROM event WHERE kind = 'escape'") == 0


def test_a_repeated_key_changes_nothing(bench: Bench) -> None:
    part_id = settled(bench)
    assert correct(bench, part_id, label="dent") == correct(bench, part_id, label="dent")
    assert bench.one("SELECT count(*) FROM review WHERE reason = 'correction'") == 1


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"label": "dent", "note": None}, "needs a note"),
        ({"label": "dent", "note": "  "}, "needs a note"),
        ({"answer": Answer.UNSURE}, "says what the part is"),
        ({"answer": Answer.REWORK}, "says what the part is"),
        ({"label": "rust"}, "no defect class"),
    ],
)
def test_half_a_correction_is_refused(bench: Bench, how: dict[str, Any], words: str) -> None:
    part_id = settled(bench)
    with pytest.raises(ReviewRefused, match=words):
        correct(bench, part_id, **how)
    assert bench.one("SELECT count(*) FROM review") == 1


def test_a_part_that_waits_or_does_not_exist_is_refused(bench: Bench) -> None:
    part_id = bench.show_part(BAD)
    with pytest.raises(ReviewRefused, match="has not gone yet"):
        correct(bench, part_id, label="dent")
    with pytest.raises(ReviewRefused, match="no part") as refused:
        correct(bench, "ST01-000099", label="dent")
    assert refused.value.code == "unknown"


def test_nobody_takes_a_correction_back_by_undo(bench: Bench) -> None:
    part_id = settled(bench)
    correct(bench, part_id, label="dent")
    with pytest.raises(ReviewRefused, match="nothing to take back"):
        bench.desk.undo("eva", "undo-1")


# ------------------------------------------------------------------ the recipe changed between part and answer


def changed(pass_below: float) -> Recipe:
    classes = tuple(c.model_copy(update={"pass_below": pass_below, "fail_above": 0.95}) for c in PRODUCT.classes)
    return PRODUCT.model_copy(update={"classes": classes})


def test_a_part_is_answered_under_the_limits_it_was_stopped_by(bench: Bench) -> None:
    bench.show_part(detections(("scratch", 0.5, SCRATCH)))
    today = ReviewDesk(bench.ledger, bench.images, changed(0.8), clock=bench.clock)
    assert today.confirm(GivenAnswer("key-0001", 1, Answer.AGREE, "mia", 1.0)) == 1  # today's would propose nothing
    assert [s.label for s in stored_samples(bench.reader)] == ["scratch"]


def test_another_product_does_not_start_over_parts_that_wait(tmp_path: Path) -> None:
    with Bench(tmp_path, product=PRODUCT, durable=False) as bench:
        bench.show_part(UNCERTAIN)
        other = replace(run_start(), recipe="bolt")
        with pytest.raises(ConfigError, match="1 part of disc still wait"):
            bench.ledger.start_run(other)
        bench.answer(1, Answer.FALSE_ALARM)
        bench.turn(3.0)
        assert bench.ledger.start_run(other) == 2


def test_an_escape_is_noted_also_where_the_passed_parts_picture_had_to_go(bench: Bench) -> None:
    part_id = bench.show_part(OK)
    gone = bench.ledger.oldest_passed_images()
    bench.ledger.note_dropped_images(gone)
    bench.images.drop(gone)
    correct(bench, part_id, Answer.OTHER_CLASS, label="dent")
    assert bench.one("SELECT count(*) FROM event WHERE kind = 'escape'") == 1
    assert list(stored_samples(bench.reader)) == []  # there is nothing left to cut a crop from


def test_a_picture_that_is_merely_lost_is_asked_for(bench: Bench) -> None:
    part_id = bench.show_part(OK)
    bench.images.drop([bench.one("SELECT image_sha256 FROM inspection")])
    with pytest.raises(ReviewRefused, match="restore the picture"):
        correct(bench, part_id, Answer.OTHER_CLASS, label="dent")
