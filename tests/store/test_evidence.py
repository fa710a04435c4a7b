"""What lies beside a question: the model's record on a class, the heat of the part, what stopped before it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from station.core.part import Detections
from station.core.verdict import Answer
from station.store import evidence, queries
from station.store.evidence import ClassRecord, class_record
from tests.builders import BAD, MODEL, OK, UNCERTAIN, Bench, detections, recipe

PRODUCT = recipe(mode="divert", lane_capacity=99, undo_s=3.0)
AT = (20.0, 16.0, 44.0, 32.0)
HEAT = np.arange(24, dtype=np.uint8).reshape(4, 6)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with Bench(tmp_path, product=PRODUCT, durable=False) as it:
        yield it


def answered(bench: Bench, proposed: str, answer: Answer, **how: str) -> None:
    bench.show_part(detections((proposed, 0.9, AT)))
    bench.answer(bench.one("SELECT max(id) FROM review"), answer, **how)


def test_the_record_counts_settled_answers_about_the_class_by_this_model(bench: Bench) -> None:
    answered(bench, "scratch", Answer.AGREE)
    answered(bench, "scratch", Answer.FALSE_ALARM, cause="dust")
    answered(bench, "scratch", Answer.FALSE_ALARM, cause="dust")
    answered(bench, "scratch", Answer.FALSE_ALARM)
    answered(bench, "scratch", Answer.OTHER_CLASS, label="dent")
    answered(bench, "scratch", Answer.REWORK)
    answered(bench, "dent", Answer.FALSE_ALARM, cause="mark")
    assert class_record(bench.reader, "scratch", MODEL.sha256).judged == 0, "they can still be taken back"
    bench.turn(3.0)
    assert class_record(bench.reader, "scratch", MODEL.sha256) == ClassRecord("scratch", 5, 3, {"dust": 2}, {"dent": 1})
    assert class_record(bench.reader, "dent", MODEL.sha256) == ClassRecord("dent", 1, 1, {"mark": 1}, {})
    assert class_record(bench.reader, "scratch", "another model").judged == 0


def test_what_was_taken_back_is_not_in_the_record(bench: Bench) -> None:
    answered(bench, "scratch", Answer.FALSE_ALARM)
    bench.desk.undo("anna", "undo-1")
    bench.turn(3.0)
    assert class_record(bench.reader, "scratch", MODEL.sha256).judged == 0


def test_the_record_looks_back_on_the_newest_only(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evidence, "RECORD_OF", 3)
    for answer in (Answer.FALSE_ALARM, Answer.FALSE_ALARM, Answer.AGREE, Answer.AGREE, Answer.FALSE_ALARM):
        answered(bench, "scratch", answer)
    bench.turn(3.0)
    record = class_record(bench.reader, "scratch", MODEL.sha256)
    assert (record.judged, record.false_alarms) == (3, 1)


def hot(score: float) -> Detections:
    found = detections(("scratch", score, AT))
    return Detections(found.candidates, found.scores, HEAT)


def test_the_heat_of_held_parts_is_kept_and_not_told_to_a_first_look(tmp_path: Path) -> None:
    with Bench(tmp_path / "seen", product=PRODUCT, durable=False) as bench:
        bench.show_part(hot(0.9))
        bench.show_part(hot(0.1))  # released: nobody will look
        png = evidence.heat(bench.reader, 1)
        assert png is not None
        np.testing.assert_array_equal(cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED), HEAT)
        assert bench.rows("SELECT heat IS NOT NULL FROM inspection ORDER BY number") == [(1,), (0,)]
        assert evidence.heat(bench.reader, 99) is None
    blind = recipe(mode="divert", blind_fraction=1.0)
    with Bench(tmp_path / "blind", product=blind, durable=False) as bench:
        bench.show_part(hot(0.9))
        assert evidence.heat(bench.reader, 1) is None


def test_a_first_look_is_told_once_it_is_settled(tmp_path: Path) -> None:
    with Bench(tmp_path, product=recipe(mode="divert", undo_s=3.0, blind_fraction=1.0), durable=False) as bench:
        part_id = bench.show_part(BAD)
        bench.answer(1, Answer.OTHER_CLASS, label="dent", person="mia")
        assert evidence.first_look(bench.reader, 1) is None
        bench.turn(3.0)
        assert evidence.first_look(bench.reader, 1) == evidence.FirstLook("mia", "other_class", "dent", part_id)


def test_an_open_question_has_no_first_look(bench: Bench) -> None:
    bench.show_part(BAD)
    bench.answer(1, Answer.FALSE_ALARM)
    bench.turn(3.0)
    assert evidence.first_look(bench.reader, 1) is None, "it was not blind"


def test_stopped_parts_come_newest_first(bench: Bench) -> None:
    for score in (BAD, OK, UNCERTAIN, OK, BAD):
        bench.show_part(score)
    assert [p.number for p in queries.stopped_parts(bench.reader)] == [5, 3, 1]
    assert [p.number for p in queries.stopped_parts(bench.reader, limit=2)] == [5, 3]
