"""What several defects on one part add up to, and what a false alarm's reason leaves behind."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from station.answers import GivenAnswer, GivenJudgement
from station.core.errors import ReviewRefused
from station.core.verdict import Answer, Disposition
from station.store.reviews import DISPOSITION_OF
from station.store.samples import stored_samples
from tests.builders import Bench, detections, recipe

PRODUCT = recipe(mode="divert", lane_capacity=99, undo_s=3.0)
SCRATCH, DENT, DRAWN = (20.0, 16.0, 44.0, 32.0), (60.0, 30.0, 70.0, 50.0), (2.0, 40.0, 12.0, 60.0)
TWO = detections(("scratch", 0.9, SCRATCH), ("dent", 0.5, DENT), ("dent", 0.1, (1, 1, 9, 9)))
AGREE, OTHER, FALSE, MISSED = Answer.AGREE, Answer.OTHER_CLASS, Answer.FALSE_ALARM, Answer.MISSED_DEFECT


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with Bench(tmp_path, product=PRODUCT, durable=False) as it:
        yield it


def judge(bench: Bench, *judgements: GivenJudgement, review: int = 1, **how: Any) -> int:
    how.setdefault("answer", None)
    given = GivenAnswer(key=f"key-{review}", review_id=review, person="anna", seconds=2.0, judgements=judgements, **how)
    return bench.desk.confirm(given)


def labels(bench: Bench) -> list[tuple[str, tuple[float, ...], str | None]]:
    return [(s.label, s.box.xyxy, s.proposed) for s in stored_samples(bench.reader)]


def test_each_defect_gets_the_crop_of_its_own_answer(bench: Bench) -> None:
    part_id = bench.show_part(TWO)
    judge(bench, GivenJudgement(0, FALSE, cause="dust"), GivenJudgement(1, OTHER, "scratch"))
    assert labels(bench) == [("ok", SCRATCH, "scratch"), ("scratch", DENT, "dent")]
    assert bench.rows("SELECT answer, label, cause FROM confirmation") == [("other_class", "scratch", None)]
    stored = json.loads(bench.one("SELECT judgements FROM confirmation"))
    assert [(j["defect"], j["answer"], j["label"], j["proposed"], j["cause"]) for j in stored] == [
        (0, "false_alarm", None, "scratch", "dust"),
        (1, "other_class", "scratch", "dent", None),
    ]
    bench.turn(3.0)
    assert bench.line.standing[part_id] is Disposition.REJECT


def test_only_false_alarms_release_the_part_with_the_first_reason(bench: Bench) -> None:
    part_id = bench.show_part(TWO)
    judge(bench, GivenJudgement(1, FALSE), GivenJudgement(0, FALSE, cause="mark"))
    assert bench.rows("SELECT answer, label FROM confirmation") == [("false_alarm", None)]
    bench.turn(3.0)
    assert bench.line.standing[part_id] is Disposition.RELEASE


def test_a_drawn_defect_beside_false_alarms_rejects_the_part(bench: Bench) -> None:
    part_id = bench.show_part(TWO)
    judge(bench, GivenJudgement(0, FALSE), GivenJudgement(1, FALSE), GivenJudgement(None, MISSED, "dent", xyxy=DRAWN))
    assert labels(bench) == [("ok", SCRATCH, "scratch"), ("ok", DENT, "dent"), ("dent", DRAWN, None)]
    assert bench.rows("SELECT answer, label FROM confirmation") == [("missed_defect", "dent")]
    bench.turn(3.0)
    assert bench.line.standing[part_id] is Disposition.REJECT


def test_a_blind_part_takes_drawn_defects_only(tmp_path: Path) -> None:
    product = recipe(mode="divert", lane_capacity=99, undo_s=0.0, blind_fraction=1.0)
    with Bench(tmp_path, product=product, durable=False) as bench:
        bench.show_part(TWO)
        with pytest.raises(ReviewRefused, match="hidden"):
            judge(bench, GivenJudgement(0, FALSE), GivenJudgement(1, FALSE))
        judge(bench, GivenJudgement(None, MISSED, "dent", xyxy=DRAWN))
        assert labels(bench) == [("dent", DRAWN, None)]


WHOLE = (GivenJudgement(0, AGREE), GivenJudgement(1, AGREE))


@pytest.mark.parametrize(
    ("judgements", "how", "words"),
    [
        (WHOLE[:1], {}, "2 defects are proposed"),
        ((*WHOLE, GivenJudgement(1, FALSE)), {}, "judge each of them once"),
        ((GivenJudgement(0, AGREE), GivenJudgement(2, AGREE)), {}, "no defect 2"),
        ((GivenJudgement(0, AGREE), GivenJudgement(-1, AGREE)), {}, "no defect -1"),
        ((GivenJudgement(0, AGREE), GivenJudgement(1, OTHER)), {}, "no defect class"),
        ((GivenJudgement(0, AGREE), GivenJudgement(1, OTHER, "rust")), {}, "no defect class"),
        ((GivenJudgement(0, AGREE), GivenJudgement(1, Answer.UNSURE)), {}, "whole part"),
        ((GivenJudgement(0, AGREE), GivenJudgement(1, Answer.REWORK)), {}, "whole part"),
        ((GivenJudgement(0, AGREE), GivenJudgement(1, MISSED, "dent", xyxy=DRAWN)), {}, "whole part"),
        ((GivenJudgement(0, AGREE), GivenJudgement(1, AGREE, cause="dust")), {}, "only a false alarm"),
        ((GivenJudgement(0, AGREE), GivenJudgement(1, FALSE, cause="gremlins")), {}, "no reason"),
        ((*WHOLE, GivenJudgement(None, MISSED, "dent")), {}, "draw a box"),
        ((*WHOLE, GivenJudgement(None, MISSED, "dent", xyxy=(5, 5, 5, 9))), {}, "empty"),
        ((*WHOLE, GivenJudgement(None, MISSED, "dent", xyxy=(500, 5, 600, 9))), {}, "outside"),
        ((*WHOLE, GivenJudgement(None, FALSE, xyxy=DRAWN)), {}, "missed defect"),
        (WHOLE, {"answer": AGREE}, "not both"),
        (WHOLE, {"label": "dent"}, "not both"),
        (WHOLE, {"cause": "dust"}, "not both"),
        (WHOLE, {"xyxy": DRAWN}, "not both"),
        ((), {}, "judge every defect"),
        ((), {"answer": AGREE, "cause": "dust"}, "only a false alarm"),
        ((), {"answer": FALSE, "cause": "gremlins"}, "no reason"),
    ],
)
def test_what_does_not_fit_is_refused_and_stores_nothing(
    bench: Bench, judgements: tuple[GivenJudgement, ...], how: dict[str, Any], words: str
) -> None:
    bench.show_part(TWO)
    with pytest.raises(ReviewRefused, match=words) as refused:
        judge(bench, *judgements, **how)
    assert refused.value.code == "invalid"
    assert bench.one("SELECT (SELECT count(*) FROM confirmation) + (SELECT count(*) FROM sample)") == 0


def test_the_reason_of_a_false_alarm_is_kept(bench: Bench) -> None:
    bench.show_part(TWO)
    bench.answer(1, FALSE, cause="reflection")
    bench.show_part(TWO)
    bench.answer(2, FALSE)
    assert bench.rows("SELECT cause FROM confirmation ORDER BY id") == [("reflection",), (None,)]


@settings(max_examples=40, deadline=None)
@given(
    said=st.tuples(*[st.sampled_from([AGREE, OTHER, FALSE])] * 2),
    drawn=st.integers(0, 2),
)
def test_one_defect_makes_a_part_defective_and_every_judgement_has_one_crop(
    said: tuple[Answer, Answer], drawn: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with Bench(tmp_path_factory.mktemp("judge"), product=PRODUCT, durable=False) as bench:
        part_id = bench.show_part(TWO)
        judgements = [GivenJudgement(n, a, "dent" if a is OTHER else None) for n, a in enumerate(said)]
        judgements += [GivenJudgement(None, MISSED, "dent", xyxy=DRAWN)] * drawn
        judge(bench, *judgements)
        bench.turn(3.0)
        good = drawn == 0 and set(said) == {FALSE}
        assert bench.line.standing[part_id] is (Disposition.RELEASE if good else Disposition.REJECT)
        assert DISPOSITION_OF[Answer(bench.one("SELECT answer FROM confirmation"))] is bench.line.standing[part_id]
        assert len(labels(bench)) == 2 + drawn
        assert [x[0] == "ok" for x in labels(bench)][:2] == [a is FALSE for a in said]
