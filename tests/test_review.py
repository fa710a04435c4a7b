"""What a person may answer, what becomes of the answer, and what must hold whatever people do."""

from __future__ import annotations

import itertools
import json
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from station.core.errors import LedgerFault, ReviewRefused
from station.core.verdict import Answer, Disposition, Evaluation
from station.review import LEASE_S
from station.store import books, queries
from station.store.reviews import DISPOSITION_OF, next_settlement
from station.store.samples import stored_samples
from tests.builders import BAD, MODEL, OK, UNCERTAIN, Bench, detections, picture, recipe

PRODUCT = recipe(mode="divert", lane_capacity=99, undo_s=3.0)
SCRATCH, DENT = (20.0, 16.0, 44.0, 32.0), (60.0, 30.0, 70.0, 50.0)
TWO = detections(("scratch", 0.9, SCRATCH), ("dent", 0.5, DENT), ("dent", 0.1, (1, 1, 9, 9)))
FINAL = {
    Answer.AGREE: Disposition.REJECT,
    Answer.FALSE_ALARM: Disposition.RELEASE,
    Answer.OTHER_CLASS: Disposition.REJECT,
    Answer.MISSED_DEFECT: Disposition.REJECT,
    Answer.REWORK: Disposition.REWORK,
}


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with Bench(tmp_path, product=PRODUCT, durable=False) as it:
        yield it


def refused(bench: Bench, code: str, words: str, *args: Any, **how: Any) -> None:
    before = bench.rows("SELECT count(*) FROM confirmation")
    with pytest.raises(ReviewRefused, match=words) as caught:
        bench.answer(*args, **how)
    assert caught.value.code == code
    assert bench.rows("SELECT count(*) FROM confirmation") == before


# ------------------------------------------------------------------ answers and what follows


def test_the_whole_table_of_answers_is_this_one() -> None:
    assert {**FINAL, Answer.UNSURE: Disposition.HOLD} == DISPOSITION_OF
    assert set(DISPOSITION_OF) == set(Answer)


@pytest.mark.parametrize(("answer", "disposition"), FINAL.items())
def test_each_answer_settles_into_its_disposition_once(bench: Bench, answer: Answer, disposition: Disposition) -> None:
    part_id = bench.show_part(TWO)
    bench.answer(1, answer, label="dent", xyxy=(10, 10, 20, 20))
    bench.turn(2.9)
    assert bench.line.standing[part_id] is Disposition.HOLD
    bench.turn(0.1)
    assert bench.line.standing[part_id] is disposition
    bench.turn(9.0, turns=2)
    assert bench.line.moved[part_id] == 1
    assert bench.one("SELECT count(*) FROM review WHERE settled_at IS NULL") == 0


def samples(bench: Bench) -> list[tuple[str, tuple[float, ...], str | None, float | None]]:
    return [(s.label, s.box.xyxy, s.proposed, s.score) for s in stored_samples(bench.reader)]


@pytest.mark.parametrize(
    ("answer", "how", "expected"),
    [
        (Answer.AGREE, {}, [("scratch", SCRATCH, "scratch", 0.9), ("dent", DENT, "dent", 0.5)]),
        (Answer.FALSE_ALARM, {}, [("ok", SCRATCH, "scratch", 0.9), ("ok", DENT, "dent", 0.5)]),
        (Answer.OTHER_CLASS, {"label": "dent"}, [("dent", DENT, "dent", 0.5)]),
        (
            Answer.OTHER_CLASS,
            {"label": "dent", "xyxy": (5.0, 6.0, 15.0, 16.0)},
            [("dent", (5.0, 6.0, 15.0, 16.0), None, None)],
        ),
        (
            Answer.MISSED_DEFECT,
            {"label": "scratch", "xyxy": (80.0, 50.0, 200.0, 200.0)},
            [("scratch", (80.0, 50.0, 96.0, 64.0), None, None)],
        ),
        (Answer.UNSURE, {}, []),
        (Answer.REWORK, {}, []),
    ],
)
def test_samples_are_about_the_box_that_the_answer_is_about(
    bench: Bench, answer: Answer, how: dict[str, Any], expected: list[Any]
) -> None:
    bench.show_part(TWO)
    bench.answer(1, answer, **how)
    assert samples(bench) == expected


def test_the_class_alone_goes_to_the_strongest_candidate_and_without_one_to_the_whole_part(bench: Bench) -> None:
    bench.show_part(detections(("scratch", 0.9, SCRATCH)))
    bench.answer(1, Answer.OTHER_CLASS, label="dent")
    bench.show_part({"scratch": 0.9, "dent": 0.0})
    bench.answer(2, Answer.OTHER_CLASS, label="dent")
    bench.show_part({"scratch": 0.5, "dent": 0.0})
    bench.answer(3, Answer.FALSE_ALARM)
    whole = (0.0, 0.0, 96.0, 64.0)
    assert samples(bench) == [
        ("dent", SCRATCH, "scratch", 0.9),
        ("dent", whole, None, None),
        ("ok", whole, None, None),
    ]


def test_a_crop_shows_exactly_the_parts_pixels_around_the_box(bench: Bench) -> None:
    bench.show_part(TWO, image=picture(5))
    bench.answer(1, Answer.AGREE)
    stored = bench.images.read(bench.one("SELECT image_sha256 FROM inspection"))
    scratch, dent = stored_samples(bench.reader)
    # Margin: half the longer side, at least 16 pixels, cut at the border.
    assert scratch.crop_box.xyxy == (4.0, 0.0, 60.0, 48.0)
    assert dent.crop_box.xyxy == (44.0, 14.0, 86.0, 64.0)
    for sample in (scratch, dent):
        assert sample.crop_format == "png"
        pixels = cv2.imdecode(np.frombuffer(sample.crop, np.uint8), cv2.IMREAD_COLOR)
        x0, y0, x1, y1 = (int(v) for v in sample.crop_box.xyxy)
        np.testing.assert_array_equal(pixels, stored[y0:y1, x0:x1])


def test_a_large_crop_is_kept_as_jpeg(tmp_path: Path) -> None:
    with Bench(tmp_path, product=PRODUCT, durable=False) as bench:
        bench.show_part({"scratch": 0.9, "dent": 0.0}, image=picture(1, width=640, height=480))
        bench.answer(1, Answer.FALSE_ALARM)
        (sample,) = stored_samples(bench.reader)
        assert sample.crop_format == "jpg"
        assert sample.crop[:2] == b"\xff\xd8"


def test_a_label_keeps_who_when_how_long_what_was_shown_and_why_it_was_asked(bench: Bench) -> None:
    bench.show_part(TWO, serial="S7", lot="L1")
    bench.clock.wait(7.0)
    bench.answer(1, Answer.AGREE, person="  anna ", seconds=4.25, note="at the rim", shown="verdict and boxes")
    assert bench.rows("SELECT person, seconds, label, note, shown, answered_at FROM confirmation") == [
        ("anna", 4.25, "scratch", "at the rim", "verdict and boxes", "2026-01-01T00:00:07.000000+00:00")
    ]
    sample = next(stored_samples(bench.reader))
    assert (sample.person, sample.seconds, sample.answer, sample.reason) == ("anna", 4.25, "agree", "rejected")
    assert (sample.model_sha256, sample.p_select, sample.serial, sample.lot) == (MODEL.sha256, 1.0, "S7", "L1")
    assert (sample.width, sample.height, sample.simulated) == (96, 64, False)
    assert sample.image_sha256 == bench.one("SELECT image_sha256 FROM inspection")


def test_an_audit_keeps_the_probability_with_which_it_was_drawn(tmp_path: Path) -> None:
    with Bench(tmp_path, product=recipe(mode="divert", audit_fraction=0.5), durable=False) as bench:
        while not bench.one("SELECT count(*) FROM review"):
            bench.show_part(OK)
        bench.answer(1, Answer.MISSED_DEFECT, label="dent", xyxy=(8, 8, 24, 24))
        (sample,) = stored_samples(bench.reader)
        assert (sample.reason, sample.p_select) == ("audit", 0.5)
        assert queries.shift_counts(bench.reader).audit_escapes == 1


def test_a_label_is_kept_only_where_the_answer_has_one(bench: Bench) -> None:
    bench.show_part(TWO)
    bench.answer(1, Answer.FALSE_ALARM, label="dent")
    assert bench.one("SELECT label FROM confirmation") is None


# ------------------------------------------------------------------ refused answers


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"key": ""}, "needs a key"),
        ({"seconds": -1.0}, "no time"),
        ({"seconds": float("nan")}, "no time"),
        ({"seconds": float("inf")}, "no time"),
        ({"person": "  "}, "name of a person"),
        ({"person": "x" * 65}, "name of a person"),
        ({"answer": Answer.OTHER_CLASS}, "choose one of scratch, dent"),
        ({"answer": Answer.OTHER_CLASS, "label": "ok"}, "choose one of scratch, dent"),
        ({"answer": Answer.MISSED_DEFECT, "label": "dent"}, "draw a box"),
        ({"answer": Answer.MISSED_DEFECT, "label": "dent", "xyxy": (5, 5, 5, 9)}, "drag from corner"),
        ({"answer": Answer.MISSED_DEFECT, "label": "dent", "xyxy": (9, 9, 5, 5)}, "drag from corner"),
        ({"answer": Answer.MISSED_DEFECT, "label": "dent", "xyxy": (0, 0, float("nan"), 9)}, "drag from corner"),
        ({"answer": Answer.MISSED_DEFECT, "label": "dent", "xyxy": (96, 0, 120, 9)}, "outside the part"),
        ({"answer": Answer.MISSED_DEFECT, "label": "dent", "xyxy": (-20, -20, -5, -5)}, "outside the part"),
    ],
)
def test_an_answer_that_makes_no_sense_is_refused_with_the_remedy(
    bench: Bench, how: dict[str, Any], words: str
) -> None:
    bench.show_part(TWO)
    refused(bench, "invalid", words, 1, **how)
    assert bench.answer(1) == 1


def test_agreeing_needs_something_proposed_and_shown(tmp_path: Path) -> None:
    with Bench(tmp_path, product=recipe(mode="divert", blind_fraction=1.0), durable=False) as bench:
        bench.show_part(TWO)
        refused(bench, "invalid", "verdict is hidden", 1, Answer.AGREE)
        bench.answer(1, Answer.OTHER_CLASS, label="scratch")
        # About the whole part: no machine's box that the person never saw.
        assert [(s[0], s[2], s[3]) for s in samples(bench)] == [("scratch", None, None)]
    with Bench(tmp_path / "seen", product=PRODUCT, durable=False) as bench:
        bench.show_part(RuntimeError("bug"))
        refused(bench, "invalid", "nothing is proposed", 1, Answer.AGREE)


def test_unknown_answered_and_settled_reviews_are_refused(bench: Bench) -> None:
    bench.show_part(TWO)
    refused(bench, "unknown", "no review 9", 9)
    bench.answer(1)
    refused(bench, "answered", "answered by anna", 1, person="berta")
    refused(bench, "answered", "answered by anna", 1, Answer.AGREE)
    bench.turn(3.0)
    refused(bench, "settled", "has been settled", 1)


def test_a_damaged_picture_takes_no_answer_that_needs_it(bench: Bench) -> None:
    bench.show_part(TWO)
    path = bench.images.path(bench.one("SELECT image_sha256 FROM inspection"))
    path.write_bytes(b"other bytes")
    with pytest.raises(ReviewRefused, match=r"was changed.*answer 'Rework'"):
        bench.answer(1)
    assert bench.one("SELECT count(*) FROM confirmation") == 0
    assert bench.answer(1, Answer.REWORK) == 1


def test_sending_an_answer_twice_changes_nothing(bench: Bench) -> None:
    bench.show_part(TWO)
    first = bench.answer(1, Answer.AGREE, key="k")
    for _ in range(3):
        assert bench.answer(1, Answer.AGREE, key="k") == first
    assert bench.answer(1, Answer.FALSE_ALARM, key="k", person="berta") == first
    bench.turn(5.0)
    assert bench.answer(1, Answer.AGREE, key="k") == first
    assert bench.rows("SELECT answer, person FROM confirmation") == [("agree", "anna")]
    assert bench.one("SELECT count(*) FROM sample") == 2


# ------------------------------------------------------------------ one queue, several people


def test_two_people_never_get_the_same_review(bench: Bench) -> None:
    for _ in range(3):
        bench.show_part(BAD)
    assert bench.desk.claim("anna") == 1
    assert bench.desk.claim("berta") == 2
    assert bench.desk.claim("anna") == 1  # keeps what she holds
    assert bench.desk.claim("anna", skip=(1,)) == 3
    assert bench.desk.claim("carla") is None
    refused(bench, "taken", "anna is looking", 1, person="berta")
    bench.desk.leave("anna")
    assert bench.desk.claim("carla") == 1


def test_many_threads_on_one_queue_get_every_review_once(bench: Bench) -> None:
    for _ in range(24):
        bench.show_part(BAD)
    got: list[int] = []
    begin = threading.Barrier(6)

    def work(person: str) -> None:
        begin.wait()
        while (review := bench.desk.claim(person)) is not None:
            got.append(review)
            bench.answer(review, person=person, key=f"{person}-{review}")

    people = [threading.Thread(target=work, args=(f"person {n}",)) for n in range(6)]
    for p in people:
        p.start()
    for p in people:
        p.join()
    assert sorted(got) == list(range(1, 25))


def test_a_claim_lapses_unless_it_is_renewed(bench: Bench) -> None:
    bench.show_part(BAD)
    assert bench.desk.claim("anna") == 1
    bench.clock.wait(LEASE_S)
    assert bench.desk.claim("berta") is None
    assert bench.desk.claim("anna") == 1
    bench.clock.wait(LEASE_S + 0.001)
    assert bench.desk.claim("berta") == 1
    refused(bench, "taken", "berta is looking", 1, person="anna")
    bench.clock.wait(LEASE_S + 0.001)
    assert bench.answer(1, person="anna") == 1  # nobody holds it any more


def test_the_oldest_question_comes_first_and_answered_ones_never(bench: Bench) -> None:
    for _ in range(3):
        bench.show_part(BAD)
        bench.clock.wait(1.0)
    bench.answer(1)
    assert bench.desk.claim("anna") == 2
    assert bench.desk.claim("berta") == 3


# ------------------------------------------------------------------ taking back


def test_an_answer_can_be_taken_back_until_it_is_settled(bench: Bench) -> None:
    part_id = bench.show_part(TWO)
    bench.answer(1, Answer.AGREE)
    bench.turn(2.9)
    assert bench.desk.undo("anna", "u1") == (1, part_id)
    bench.turn(9.0)
    assert bench.line.standing[part_id] is Disposition.HOLD
    assert list(stored_samples(bench.reader)) == []
    assert bench.rows("SELECT undone_by, undone_at IS NOT NULL FROM confirmation") == [("anna", 1)]
    bench.answer(1, Answer.FALSE_ALARM)
    bench.turn(3.0)
    assert bench.line.released() == [part_id]
    assert {s.label for s in stored_samples(bench.reader)} == {"ok"}
    with pytest.raises(ReviewRefused, match="already settled") as caught:
        bench.desk.undo("anna", "u2")
    assert caught.value.code == "nothing_to_undo"


def test_taking_back_twice_with_one_key_takes_back_once(bench: Bench) -> None:
    bench.show_part(TWO)
    bench.show_part(TWO)
    bench.answer(1)
    bench.answer(2)
    assert bench.desk.undo("anna", "u") == bench.desk.undo("anna", "u") == (2, "ST01-000002")
    assert bench.one("SELECT count(*) FROM confirmation WHERE undone_at IS NULL") == 1
    assert bench.desk.undo("anna", "v")[0] == 1
    with pytest.raises(ReviewRefused, match="needs a key"):
        bench.desk.undo("anna", "")


def test_nobody_takes_back_what_another_person_said(bench: Bench) -> None:
    bench.show_part(TWO)
    bench.answer(1)
    with pytest.raises(ReviewRefused):
        bench.desk.undo("berta", "u")
    assert bench.desk.claim("berta") is None


def test_what_is_taken_back_comes_first_to_the_one_who_took_it_back(bench: Bench) -> None:
    bench.show_part(TWO)
    bench.show_part(TWO)
    bench.answer(1)
    bench.desk.undo("anna", "u")
    assert bench.desk.claim("berta") == 2
    assert bench.desk.claim("anna") == 1


# ------------------------------------------------------------------ a second person


def test_unsure_asks_a_second_person_who_is_another_one(bench: Bench) -> None:
    part_id = bench.show_part(TWO)
    bench.answer(1, Answer.UNSURE)
    bench.turn(3.0)
    assert bench.line.commands == [(part_id, Disposition.HOLD)]
    assert bench.rows("SELECT id, reason, excluded_person FROM review WHERE settled_at IS NULL") == [
        (2, "second_person", "anna")
    ]
    assert bench.desk.claim("anna") is None
    refused(bench, "same_person", "second person", 2)
    refused(bench, "same_person", "second person", 2, person=" anna ")
    assert bench.desk.claim("berta") == 2
    bench.answer(2, Answer.AGREE, person="berta")
    bench.turn(3.0)
    assert bench.line.standing[part_id] is Disposition.REJECT
    assert {s.reason for s in stored_samples(bench.reader)} == {"second_person"}
    assert bench.loop.status().waiting == 0


def test_unsure_can_be_taken_back_and_stays_blind_for_the_second_person(tmp_path: Path) -> None:
    with Bench(tmp_path, product=recipe(mode="divert", blind_fraction=1.0), durable=False) as bench:
        bench.show_part(TWO)
        bench.answer(1, Answer.UNSURE)
        bench.desk.undo("anna", "u")
        bench.turn(9.0)
        assert bench.one("SELECT count(*) FROM review") == 1
        bench.answer(1, Answer.UNSURE)
        assert next_settlement(bench.ledger)
        bench.turn(9.0)
        assert not next_settlement(bench.ledger)
        assert bench.rows("SELECT blind FROM review") == [(1,), (1,)]


# ------------------------------------------------------------------ whatever people do

PEOPLE = st.sampled_from(["anna", "berta", "carla"])


class Shift(RuleBasedStateMachine):
    """Parts come, people claim, answer, take back and go away, time passes, the station restarts."""

    def __init__(self) -> None:
        super().__init__()
        self._folder = TemporaryDirectory()
        self.bench = Bench(
            Path(self._folder.name), product=recipe(mode="divert", undo_s=3.0, lane_capacity=99), durable=False
        )
        self.stored: dict[int, tuple[str, int]] = {}
        self.undone: set[int] = set()
        self.held: dict[str, int | None] = {}
        self.keys = itertools.count()

    def teardown(self) -> None:
        self.bench.__exit__(None)
        self._folder.cleanup()

    @rule(score=st.sampled_from([OK, UNCERTAIN, BAD, RuntimeError("bug")]))
    def part(self, score: Any) -> None:
        self.bench.clock.wait(0.6)  # longer than the pause after a refusal, so that the queue never fills
        self.bench.show_part(score)

    @rule(person=PEOPLE)
    def claim(self, person: str) -> None:
        self.held[person] = self.bench.desk.claim(person)
        holders = Counter(r for (r,) in self.bench.rows("SELECT id FROM review WHERE claimed_by IS NOT NULL"))
        assert all(n == 1 for n in holders.values())

    @rule(person=PEOPLE)
    def leave(self, person: str) -> None:
        self.bench.desk.leave(person)

    @precondition(lambda self: any(self.held.values()))
    @rule(person=PEOPLE, answer=st.sampled_from(list(Answer)), twice=st.booleans())
    def confirm(self, person: str, answer: Answer, twice: bool) -> None:
        review = self.held.get(person)
        if review is None:
            return
        key = f"key {next(self.keys)}"
        try:
            done = self.bench.answer(review, answer, person, key=key, label="dent", xyxy=(8, 8, 30, 30))
        except ReviewRefused as no:
            if no.code not in {"answered", "settled", "taken", "invalid"}:
                raise
            return
        self.stored[done] = (key, review)
        if twice:
            assert self.bench.answer(review, answer, person, key=key, label="dent", xyxy=(8, 8, 30, 30)) == done

    @rule(person=PEOPLE)
    def undo(self, person: str) -> None:
        last = self.bench.rows(
            "SELECT c.id FROM confirmation c JOIN review r ON r.id = c.review_id WHERE c.undone_at IS NULL "
            f"AND r.settled_at IS NULL AND c.person = '{person}' ORDER BY c.id DESC"
        )
        try:
            self.bench.desk.undo(person, f"undo {next(self.keys)}")
        except ReviewRefused as no:
            if no.code != "nothing_to_undo" or last:
                raise
            return
        self.undone.add(last[0][0])

    @rule(seconds=st.sampled_from([0.5, 3.0, 61.0]))
    def time_passes(self, seconds: float) -> None:
        self.bench.turn(seconds)

    @rule()
    def disk_refuses(self) -> None:
        keep = self.bench.images.keep

        def once(images: Any) -> None:
            self.bench.images.keep = keep  # type: ignore[method-assign]
            raise LedgerFault("the disk refuses")

        self.bench.images.keep = once  # type: ignore[method-assign]

    @rule()
    def line_refuses(self) -> None:
        self.bench.line.refuse = 1

    @rule()
    def restart(self) -> None:
        self.bench.restart()

    @invariant()
    def books_balance(self) -> None:
        assert queries.balance(self.bench.reader).holds
        assert books.faults_in_books(self.bench.reader) == []
        assert self.bench.line.wrong == []

    @invariant()
    def one_standing_answer_per_review(self) -> None:
        rows = self.bench.rows(
            "SELECT review_id FROM confirmation WHERE undone_at IS NULL GROUP BY review_id HAVING count(*) > 1"
        )
        assert rows == []

    @invariant()
    def every_stored_answer_is_there(self) -> None:
        rows = self.bench.rows("SELECT id, key, review_id, undone_at IS NOT NULL FROM confirmation")
        assert {i: (k, r) for i, k, r, _ in rows} == self.stored
        assert {i for i, _, _, undone in rows if undone} == self.undone

    @invariant()
    def a_held_part_moves_only_by_a_standing_answer(self) -> None:
        rows = self.bench.rows(
            "SELECT i.part_id, i.evaluation, (SELECT group_concat(answer) FROM confirmation c JOIN review r "
            "ON r.id = c.review_id WHERE c.part_id = i.part_id AND c.undone_at IS NULL AND r.settled_at IS NOT NULL) "
            "FROM inspection i"
        )
        for part_id, evaluation, answers in rows:
            final = self.bench.line.standing.get(part_id, Disposition.HOLD)
            if evaluation == Evaluation.OK:
                assert final in (Disposition.HOLD, Disposition.RELEASE)
            elif final is not Disposition.HOLD:
                assert FINAL[Answer(answers.split(",")[-1])] is final


Shift.TestCase.settings = settings(
    max_examples=15, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
)
TestWhateverPeopleDo = Shift.TestCase


def test_the_stored_box_is_the_drawn_one(bench: Bench) -> None:
    bench.show_part(TWO)
    bench.answer(1, Answer.MISSED_DEFECT, label="dent", xyxy=(8.5, 9.0, 30.0, 31.25))
    assert json.loads(bench.one("SELECT box FROM confirmation")) == [8.5, 9.0, 30.0, 31.25]
