"""Does the past show whole, only what may be shown, and at once? And is the shift's tally always right?"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, text

from station.core.errors import ReviewRefused
from station.core.part import PartId
from station.core.timing import ManualClock
from station.core.verdict import Answer, Evaluation
from station.review import GivenAnswer, ReviewDesk
from station.store import history, queries, story
from station.store.challenges import OUT_OF_SIGHT, open_challenge
from station.store.database import open_reader
from station.store.history import FoundPart, Wanted
from station.store.images import ImageStore, encode
from station.store.ledger import Ledger, Record, stamp
from station.store.tally import ShiftTally, audited
from tests.builders import BAD, OK, START, UNCERTAIN, detections, inspection, picture, recipe, run_start

SCORE = {"OK": OK, "NOT_DECIDABLE": UNCERTAIN, "NOT_OK": BAD}
UNDO_S = 3.0


class Books:
    """A ledger with its desk, a clock moved by hand and one picture for all parts."""

    def __init__(self, folder: Path) -> None:
        self.clock = ManualClock()
        self.ledger = Ledger(folder / "ledger.db", clock=self.clock, durable=False)
        images = ImageStore(folder / "images", durable=False)
        self.image = encode(picture(1))
        images.keep([self.image])
        self.desk = ReviewDesk(self.ledger, images, recipe(undo_s=UNDO_S), clock=self.clock)
        self.run = self.ledger.start_run(run_start())
        self.reader = open_reader(folder / "ledger.db")
        self.number = 0
        self.keys = 0

    def close(self) -> None:
        self.reader.dispose()
        self.ledger.close()

    def part(
        self,
        evaluation: str = "OK",
        *,
        label: str = "scratch",
        audit: bool = False,
        blind: bool = False,
        serial: str | None = None,
        lot: str | None = None,
        acknowledge: bool = True,
        back_s: float = 0.0,
    ) -> str:
        """Inspects one part now; ``back_s``: with a trigger clock that had been set back."""
        self.number += 1
        score = SCORE.get(evaluation)
        found = None if score is None else detections((label, score, (20, 16, 44, 32)))
        it = inspection(self.number, evaluation=Evaluation(evaluation), audit=audit, found=found)
        at = self.clock.now() - timedelta(seconds=back_s)
        part = replace(it.part, triggered_at=at, serial=serial, lot=lot)
        verdict = replace(it.verdict, label=None if score is None else label)
        record = Record(replace(it, part=part, verdict=verdict), self.image, blind)
        commands = self.ledger.record(self.run, [record])
        if acknowledge:
            self.ledger.acknowledge([(c.id, self.clock.now()) for c in commands])
        return part.part_id

    def answer(self, person: str, answer: Answer = Answer.FALSE_ALARM, **more: Any) -> int | None:
        """Claims the next question and answers it; ``None`` where nothing waits."""
        review = self.desk.claim(person)
        return None if review is None else self.confirm(review, person, answer, **more)

    def confirm(self, review: int, person: str, answer: Answer = Answer.FALSE_ALARM, **more: Any) -> int:
        given = GivenAnswer(key=self.key(), review_id=review, answer=answer, person=person, seconds=2.5, **more)
        return self.desk.confirm(given)

    def correct(self, part_id: str, person: str, answer: Answer, **more: Any) -> int:
        given = GivenAnswer(
            key=self.key(), review_id=0, answer=answer, person=person, seconds=0.0, note="seen in the lab", **more
        )
        return self.desk.correct(given, part_id)

    def settle(self, seconds: float = UNDO_S + 0.1) -> None:
        self.clock.wait(seconds)
        self.ledger.acknowledge([(c.id, self.clock.now()) for c in self.desk.settle()])

    def key(self) -> str:
        self.keys += 1
        return f"key-{self.keys:06d}"

    def open_review(self, part_id: str) -> int:
        with self.reader.connect() as connection:
            return int(
                connection.execute(
                    text("SELECT id FROM review WHERE part_id = :p AND settled_at IS NULL"), {"p": part_id}
                ).scalar_one()
            )

    def challenge(self, part_id: str, expected: str = "defect") -> str:
        """Shows a settled part again as a challenge; returns the part whose number is borrowed."""
        self.desk.know(part_id, expected, "eva")
        for _ in range(OUT_OF_SIGHT + 2):
            self.part()
        with self.ledger.transaction() as session:
            assert open_challenge(session, stamp(self.clock.now()))
        with self.reader.connect() as connection:
            return str(connection.execute(text("SELECT shown_as FROM review ORDER BY id DESC LIMIT 1")).scalar_one())


@pytest.fixture
def books(tmp_path: Path) -> Iterator[Books]:
    made = Books(tmp_path)
    yield made
    made.close()


def ids(engine: Engine, limit: int = 50, **wanted: Any) -> list[str]:
    """Every page of a search, one after the other."""
    found: list[str] = []
    before: int | None = None
    for _ in range(1000):
        page = history.search(engine, Wanted(**wanted), before=before, limit=limit)
        found += [p.part_id for p in page.parts]
        assert len(page.parts) <= limit
        if page.next is None:
            return found
        assert before is None or page.next != before, "a page must get further"
        before = page.next
    raise AssertionError("the search has no end")


def one(engine: Engine, part_id: str) -> FoundPart:
    """The line of one part."""
    page = history.search(engine, Wanted(part=part_id))
    assert page.next is None
    (found,) = page.parts
    return found


# --- search


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Books, list[dict[str, Any]]]]:
    """Some hundred parts of every kind, and what is true of each."""
    books, draw = Books(tmp_path_factory.mktemp("many")), random.Random(7)
    parts: list[dict[str, Any]] = []
    for i in range(160):
        books.clock.wait(10)
        evaluation = draw.choice(["OK"] * 4 + ["NOT_OK", "NOT_DECIDABLE", "UNDEFINED"])
        label, lot, serial = draw.choice(["scratch", "dent"]), f"L{i // 40}", f"S{i}"
        audit = evaluation == "OK" and draw.random() < 0.2
        back_s = 25.0 if draw.random() < 0.1 else 0.0
        part_id = books.part(evaluation, label=label, audit=audit, serial=serial, lot=lot, back_s=back_s)
        at = stamp(books.clock.now() - timedelta(seconds=back_s))
        part = {"part_id": part_id, "number": i + 1, "evaluation": evaluation, "serial": serial, "lot": lot, "at": at}
        part |= {"people": set(), "named": set(), "label": None if evaluation == "UNDEFINED" else label}
        part["disposition"] = "RELEASE" if evaluation == "OK" and not audit else "HOLD"
        if part["disposition"] == "HOLD" and (audit or draw.random() < 0.8):
            person = draw.choice(["Mia", "Tom"])
            answer, more = Answer.FALSE_ALARM, {}
            if not audit and draw.random() < 0.6:
                named = draw.choice(["scratch", "dent"])
                answer, more = Answer.OTHER_CLASS, {"label": named}
            books.confirm(books.open_review(part_id), person, answer, **more)
            if draw.random() < 0.3:
                books.desk.undo(person, books.key())
                books.desk.leave(person)
                part["people"].add(person)
                books.confirm(books.open_review(part_id), "Ada", Answer.REWORK)
                person, part["disposition"], more = "Ada", "REWORK", {}
            else:
                part["disposition"] = "RELEASE" if answer is Answer.FALSE_ALARM else "REJECT"
            part["named"] |= {more["label"]} if more else set()
            part["people"].add(person)
            books.settle()
        parts.append(part)
    yield books, parts
    books.close()


ASKED = st.fixed_dictionaries(
    {},
    optional={
        "serial": st.sampled_from(["S7", "S90", "nothing"]),
        "lot": st.sampled_from(["L0", "L2", "nothing"]),
        "label": st.sampled_from(["scratch", "dent", "nothing"]),
        "evaluation": st.sampled_from([e.value for e in Evaluation]),
        "disposition": st.sampled_from(["RELEASE", "HOLD", "REJECT", "REWORK"]),
        "person": st.sampled_from(["Mia", "Tom", "Ada", "nobody"]),
        "since": st.integers(0, 170).map(lambda i: stamp(START + timedelta(seconds=10 * i))),
        "until": st.integers(0, 170).map(lambda i: stamp(START + timedelta(seconds=10 * i))),
    },
)


def fits(part: dict[str, Any], asked: dict[str, Any]) -> bool:
    """What a search must find, said once more."""
    equal = all(part[k] == asked[k] for k in ("serial", "lot", "evaluation", "disposition") if k in asked)
    label = asked.get("label")
    if label is not None and asked.get("evaluation") == "OK":
        equal = equal and part["label"] == label
    elif label is not None:
        equal = equal and (label in part["named"] or (part["label"] == label and part["evaluation"] != "OK"))
    equal = equal and ("person" not in asked or asked["person"] in part["people"])
    return equal and asked.get("since", "") <= part["at"] < asked.get("until", "9")


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(asked=ASKED, few=st.sampled_from([0, 3, 4000]), walk=st.sampled_from([7, 10_000]), limit=st.sampled_from([1, 9]))
def test_all_pages_together_are_exactly_what_fits_newest_first(
    many: tuple[Books, list[dict[str, Any]]], asked: dict[str, Any], few: int, walk: int, limit: int
) -> None:
    books, parts = many
    expected = [p for p in parts if fits(p, asked)]
    expected.sort(key=lambda p: (p["at"], p["number"]), reverse=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(history, "FEW", few)
        patch.setattr(history, "WALK", walk)
        assert ids(books.reader, limit, **asked) == [p["part_id"] for p in expected]


def test_a_part_is_found_by_number_and_by_id(books: Books) -> None:
    first, second = books.part(), books.part("NOT_OK")
    assert ids(books.reader, part="2") == ids(books.reader, part="#2") == [second]
    assert ids(books.reader, part=first.lower()) == [first]
    assert ids(books.reader, part="3") == ids(books.reader, part="²") == ids(books.reader, part="9" * 40) == []
    assert history.search(books.reader, Wanted(), before=99).parts == ()


def test_a_line_says_who_answered_last_and_a_correction_as_such(books: Books) -> None:
    part = books.part("NOT_OK")
    books.answer("mia", Answer.OTHER_CLASS, label="dent")
    books.desk.undo("mia", books.key())
    assert one(books.reader, part).answer is None
    books.answer("mia")
    books.settle()
    found = one(books.reader, part)
    assert found.answer is not None
    assert (found.answer.person, found.answer.answer, found.disposition) == ("mia", "false_alarm", "RELEASE")
    books.correct(part, "eva", Answer.OTHER_CLASS, label="dent")
    found = one(books.reader, part)
    assert found.answer is not None
    assert (found.answer.person, found.answer.label, found.answer.reason) == ("eva", "dent", "correction")
    assert found.disposition == "RELEASE", "a correction moves nothing"
    assert ids(books.reader, label="dent") == [part]
    assert history.people(books.reader) == ["eva", "mia"]


def test_lots_and_people_are_named_once(many: tuple[Books, list[dict[str, Any]]]) -> None:
    books, _ = many
    assert history.lots(books.reader) == ["L3", "L2", "L1", "L0"]
    assert history.people(books.reader) == ["Ada", "Mia", "Tom"]


def test_no_search_reads_the_whole_ledger(many: tuple[Books, list[dict[str, Any]]]) -> None:
    books, _ = many
    plans: list[str] = []
    with books.reader.connect() as connection:
        for rare in history._filters(Wanted(part="1", serial="S1", lot="L1", person="Mia", disposition="REJECT"))[0]:
            plans += _plan(connection, rare)
        for wanted in (Wanted(label="dent"), Wanted(evaluation="NOT_OK"), Wanted(disposition="HOLD")):
            plans += _plan(connection, history._filters(wanted)[0][0])
    assert plans
    assert [p for p in plans if p.startswith("SCAN") and "review" not in p and not p.startswith("SCAN (")] == []


def _plan(connection: Any, sql: str) -> list[str]:
    every = dict.fromkeys(("part", "number", "serial", "lot", "label", "evaluation", "disposition", "person"), "x")
    return [r[3] for r in connection.execute(text(f"EXPLAIN QUERY PLAN SELECT n FROM ({sql}) LIMIT 9"), every).all()]


# --- what must not show


def test_a_part_under_a_blind_question_shows_no_opinion_anywhere(books: Books) -> None:
    audited_part, rejected = books.part("OK", audit=True, serial="A"), books.part("NOT_OK", blind=True, serial="B")
    for part, serial in ((audited_part, "A"), (rejected, "B")):
        found = one(books.reader, part)
        assert (found.hidden, found.disposition) == (True, "HOLD")
        assert (found.evaluation, found.score, found.label, found.answer) == (None, None, None, None)
        assert ids(books.reader, serial=serial) == ids(books.reader, serial=serial, disposition="HOLD") == [part]
        told = story.story(books.reader, part)
        assert told is not None
        assert told.hidden
    for filters in ({"evaluation": "OK"}, {"evaluation": "NOT_OK"}, {"label": "scratch"}, {"disposition": "RELEASE"}):
        assert ids(books.reader, **filters) == [], filters
    first = books.answer("mia")
    assert first is not None
    assert one(books.reader, audited_part).hidden, "an answer that can be taken back tells nothing yet"
    assert one(books.reader, audited_part).answer is None
    books.answer("mia")
    books.settle()
    assert ids(books.reader, evaluation="NOT_OK") == [rejected]
    assert ids(books.reader, evaluation="OK") == [audited_part]
    told = story.story(books.reader, rejected)
    assert told is not None
    assert not told.hidden


def test_an_open_challenge_looks_like_an_audit_and_its_part_tells_nothing(books: Books) -> None:
    known = books.part("NOT_OK")
    books.answer("mia", Answer.OTHER_CLASS, label="dent")
    books.settle()
    borrowed = books.challenge(known)
    assert one(books.reader, borrowed).hidden
    assert one(books.reader, borrowed).disposition == "HOLD"
    assert borrowed in ids(books.reader, disposition="HOLD")
    assert borrowed not in ids(books.reader, disposition="RELEASE", limit=200)
    assert borrowed not in ids(books.reader, evaluation="OK", limit=200)
    before = story.story(books.reader, known)
    review = books.open_review(known)
    books.desk.claim("tom")
    books.confirm(review, "tom")
    during = story.story(books.reader, known)
    assert before is not None
    assert during is not None
    assert not during.hidden
    assert [r.reason for r in during.reviews] == ["rejected"]
    assert during.answers == before.answers, "the answer to an open challenge is not told"
    assert not one(books.reader, known).hidden
    assert ids(books.reader, person="tom") == []
    books.settle()
    after = story.story(books.reader, known)
    assert after is not None
    assert [(r.reason, r.shown_as, r.moves) for r in after.reviews][-1] == ("challenge", borrowed, False)
    assert after.answers[-1].person == "tom"
    assert not one(books.reader, borrowed).hidden
    assert one(books.reader, known).disposition == "REJECT"
    assert {p.part_id for p in history.passed(books.reader, since="")} >= {borrowed}


# --- the story


def test_a_story_holds_every_answer_also_the_ones_taken_back(books: Books) -> None:
    part = books.part("NOT_OK", serial="S1", lot="L1")
    books.clock.wait(5)
    books.ledger.event("source", "camera lost")
    books.answer("mia", note="a reflex", shown='{"boxes":true}')
    books.clock.wait(1)
    books.desk.undo("mia", books.key())
    books.answer("mia", Answer.UNSURE)
    books.settle()
    books.answer("tom", Answer.OTHER_CLASS, label="dent")
    books.settle()
    books.correct(part, "eva", Answer.FALSE_ALARM)
    books.desk.know(part, "ok", "eva")
    books.desk.forget(part, "ada")
    told = story.story(books.reader, part)
    assert told is not None
    assert [(a.person, a.answer, a.undone_by) for a in told.answers] == [
        ("mia", "false_alarm", "mia"), ("mia", "unsure", None), ("tom", "other_class", None),
        ("eva", "false_alarm", None),
    ]  # fmt: skip
    assert told.answers[0].note == "a reflex"
    assert told.answers[0].shown == {"boxes": True}
    assert [r.reason for r in told.reviews] == ["rejected", "second_person", "correction"]
    assert told.reviews[1].excluded_person == "mia"
    assert [(c.disposition, c.confirmation_id is None) for c in told.commands] == [("HOLD", True), ("REJECT", False)]
    assert all(c.acknowledged_at for c in told.commands)
    assert [(k.expected, k.noted_by, k.withdrawn_by) for k in told.known] == [("ok", "eva", "ada")]
    assert [e.kind for e in told.events] == ["source"]
    assert {c.confirmation_id for c in told.crops} == {a.id for a in told.answers if a.answer != "unsure"}
    assert told.run.recipe_json == run_start().recipe_json
    assert told.inspection.scores["scratch"] == BAD
    form, pixels = story.crop(books.reader, told.crops[0].id) or ("", b"")
    assert (form, pixels[:4]) == ("png", b"\x89PNG")
    assert story.story(books.reader, "ST01-999999") is None


def test_crops_and_heat_of_a_hidden_part_are_not_given(books: Books) -> None:
    part = books.part("NOT_OK", blind=True)
    books.answer("mia")
    with books.reader.connect() as connection:
        crop = connection.execute(text("SELECT id FROM sample")).scalar_one()
    assert story.crop(books.reader, crop) is None
    books.settle()
    assert story.crop(books.reader, crop) is not None
    assert story.heat(books.reader, part) is None, "this detector makes none"


# --- what passed


@pytest.mark.parametrize("chunk", [1, 2, 500])
def test_passed_lists_every_released_part_once(books: Books, chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "PASSED_CHUNK", chunk)
    books.part(lot="A")
    books.clock.wait(100)
    since = stamp(books.clock.now())
    by_machine, held = books.part(lot="A"), books.part("NOT_OK", lot="A")
    audited_part, scrapped = books.part("OK", audit=True, lot="B"), books.part("NOT_OK", lot="B")
    books.clock.wait(1)
    books.confirm(books.open_review(audited_part), "mia")
    books.confirm(books.open_review(scrapped), "mia", Answer.OTHER_CLASS, label="dent")
    books.settle()
    books.clock.wait(1)
    until = stamp(books.clock.now())
    on_its_way = books.part(lot="B", acknowledge=False)
    listed = list(history.passed(books.reader, since=since))
    assert [(p.part_id, p.person) for p in listed] == [(by_machine, None), (audited_part, "mia"), (on_its_way, None)]
    assert held not in {p.part_id for p in listed}
    count = history.count_passed(books.reader, since=since)
    assert (count.parts, count.by_person, count.first, count.last) == (
        3, 1, listed[0].released_at, listed[-1].released_at,
    )  # fmt: skip
    assert [p.part_id for p in history.passed(books.reader, since=since, lot="B")] == [audited_part, on_its_way]
    assert history.count_passed(books.reader, since=since, lot="B").parts == 2
    assert [p.part_id for p in history.passed(books.reader, since=since, until=until)] == [by_machine, audited_part]


def test_a_release_the_line_hears_late_is_in_the_list(books: Books) -> None:
    part = books.part(acknowledge=False)
    books.clock.wait(50)
    since = stamp(books.clock.now())
    books.clock.wait(1)
    books.ledger.acknowledge([(c.id, books.clock.now()) for c in books.ledger.unacknowledged()])
    assert [p.part_id for p in history.passed(books.reader, since=since)] == [part]


def test_a_part_acknowledged_while_the_list_is_read_is_in_it_once(
    books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "PASSED_CHUNK", 1)
    parts = [books.part(acknowledge=False) for _ in range(3)]
    until = stamp(books.clock.now() + timedelta(seconds=1))
    reading = history.passed(books.reader, since="", until=until)
    got = [next(reading).part_id]
    books.clock.wait(5)
    books.ledger.acknowledge([(c.id, books.clock.now()) for c in books.ledger.unacknowledged()])
    got += [p.part_id for p in reading]
    assert sorted(got) == sorted(parts)


# --- the tally

STEPS = st.lists(
    st.one_of(
        st.tuples(
            st.just("part"),
            st.sampled_from(["OK", "OK", "audit", "NOT_OK", "NOT_DECIDABLE", "UNDEFINED"]),
            st.booleans(),
            st.sampled_from([0.0, 0.0, 90.0]),
        ),
        st.tuples(
            st.just("answer"), st.sampled_from(["mia", "tom"]), st.sampled_from([Answer.FALSE_ALARM] * 4 + [*Answer])
        ),
        st.tuples(st.just("undo"), st.sampled_from(["mia", "tom"])),
        st.tuples(st.just("settle")),
        st.tuples(st.just("wait"), st.sampled_from([1.0, 40.0])),
        st.tuples(st.just("correct"), st.integers(1, 30), st.booleans()),
        st.tuples(st.just("look")),
    ),
    min_size=5,
    max_size=45,
)


def do(books: Books, step: tuple[Any, ...]) -> None:
    """One step of a shift; what the desk refuses is no step."""
    kind, *how = step
    if kind == "part":
        evaluation = "OK" if how[0] == "audit" else how[0]
        books.part(evaluation, audit=how[0] == "audit", blind=how[1], back_s=how[2])
    elif kind == "answer":
        label = "dent" if how[1] in (Answer.OTHER_CLASS, Answer.MISSED_DEFECT) else None
        box = (4.0, 4.0, 30.0, 30.0) if how[1] is Answer.MISSED_DEFECT else None
        books.answer(how[0], how[1], label=label, xyxy=box)
    elif kind == "undo":
        books.desk.undo(how[0], books.key())
    elif kind == "settle":
        books.settle()
    elif kind == "wait":
        books.clock.wait(how[0])
    elif kind == "correct":
        answer = Answer.FALSE_ALARM if how[1] else Answer.OTHER_CLASS
        books.correct(PartId(f"ST01-{how[0]:06d}"), "eva", answer, label=None if how[1] else "dent")


@settings(max_examples=60, deadline=None)
@given(steps=STEPS, since_s=st.sampled_from([-1.0, 30.0, 80.0]))
def test_the_tally_equals_the_count_of_everything_at_every_moment(steps: list[tuple[Any, ...]], since_s: float) -> None:
    with tempfile.TemporaryDirectory() as folder:
        books = Books(Path(folder))
        try:
            tally, since = ShiftTally(), stamp(START + timedelta(seconds=since_s))
            for step in steps:
                try:
                    do(books, step)
                except ReviewRefused:
                    continue
                if step[0] == "look":  # not after every step: several things come between two looks
                    assert tally.counts(books.reader, since=since) == queries.shift_counts(books.reader, since=since)
            assert tally.counts(books.reader, since=since) == queries.shift_counts(books.reader, since=since)
            later = stamp(START + timedelta(seconds=since_s + 45))
            assert tally.counts(books.reader, since=later) == queries.shift_counts(books.reader, since=later)
        finally:
            books.close()


def test_the_tally_counts_challenges_and_corrections_as_the_whole_count_does(books: Books) -> None:
    tally, since = ShiftTally(), stamp(START)
    known = books.part("NOT_OK")
    books.answer("mia", Answer.OTHER_CLASS, label="dent")
    books.settle()
    for act in (
        lambda: books.challenge(known),
        lambda: books.confirm(books.open_review(known), "mia"),
        lambda: books.settle(),
        lambda: books.correct(known, "eva", Answer.FALSE_ALARM),
    ):
        act()
        assert tally.counts(books.reader, since=since) == queries.shift_counts(books.reader, since=since)
    assert tally.counts(books.reader, since=since).by_answer == {"other_class": 1}


def test_overkill_is_counted_once_it_is_settled(books: Books) -> None:
    tally, since = ShiftTally(), stamp(START)
    books.part("NOT_OK")
    books.answer("mia")
    assert tally.counts(books.reader, since=since).by_answer == {"false_alarm": 1}
    assert tally.counts(books.reader, since=since).overkill == 0
    books.settle()
    assert tally.counts(books.reader, since=since).overkill == 1
    assert tally.counts(books.reader, since=since) == queries.shift_counts(books.reader, since=since)


def test_audits_are_counted_once_they_are_settled(books: Books) -> None:
    good, bad = books.part("OK", audit=True), books.part("OK", audit=True)
    books.confirm(books.open_review(good), "mia")
    books.confirm(books.open_review(bad), "tom", Answer.OTHER_CLASS, label="dent")
    assert audited(books.reader, since="") == (0, 0)
    books.settle()
    assert audited(books.reader, since="") == (2, 1)
