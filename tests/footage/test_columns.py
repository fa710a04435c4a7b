"""Is every verdict by columns the decision's own?"""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from station.core.errors import StationError
from station.core.part import Box, Detection, Detections
from station.decision import Counts, counting, judge
from station.footage import columns as module
from station.footage.columns import CODES, check_sample, counting_all, evaluate_all, judge_all
from station.footage.scores import Columns, columns_of
from station.recipe import Limits
from tests.builders import spoiled
from tests.footage.builders import sha

LABELS = ("scratch", "dent", "missing_hole")
SIZE = (40, 60)

# Few different numbers, so that scores meet limits and one another.
some_scores = st.sampled_from([0.0, 0.1, 0.25, 0.3, math.nextafter(0.3, 1), 0.5, 0.75, 1.0]) | st.floats(0.0, 1.0)


@st.composite
def found(draw: st.DrawFn) -> Detections:
    candidates = []
    best = dict.fromkeys(LABELS, 0.0)
    for _ in range(draw(st.integers(0, 5))):
        label, score = draw(st.sampled_from(LABELS)), draw(some_scores)
        x, y = draw(st.integers(0, 50)), draw(st.integers(0, 30))
        box = Box(x, y, x + draw(st.integers(1, 10)), y + draw(st.integers(1, 10)))
        candidates.append(Detection(label, score, box))
        best[label] = max(best[label], score)
    scores = {c: max(s, draw(some_scores)) if draw(st.booleans()) else s for c, s in best.items()}
    unlisted = {c: draw(some_scores) for c in LABELS if draw(st.booleans())}
    return Detections(tuple(sorted(candidates, key=lambda d: -d.score)), scores, None, unlisted)


@st.composite
def limits_of(draw: st.DrawFn) -> dict[str, Limits]:
    made = {}
    for label in LABELS:
        low, high = sorted((draw(some_scores), draw(some_scores)))
        made[label] = Limits(pass_below=low, fail_above=high)
    return made


regions = st.tuples(
    st.sampled_from([0.0, 0.25, 0.5]), st.sampled_from([0.0, 0.25]), st.sampled_from([0.75, 1.0]), st.just(0.9)
)
counts_ = st.dictionaries(
    st.sampled_from(LABELS),
    st.builds(Counts, st.sampled_from([0.0, 4.0, 20.0, 49.0]), st.lists(regions, max_size=2).map(tuple)),
)


def as_columns(several: list[Detections]) -> Columns:
    return columns_of(LABELS, [(sha(n), it, SIZE) for n, it in enumerate(several)])


@given(st.lists(found(), max_size=6), limits_of(), counts_)
@settings(max_examples=400, deadline=None)
def test_every_row_is_what_the_decision_says(
    several: list[Detections], limits: dict[str, Limits], counts: dict[str, Counts]
) -> None:
    columns = as_columns(several)
    judged = judge_all(columns, limits, counts)
    for k, it in enumerate(several):
        verdict = judge(it, limits, counts, size=SIZE)
        assert CODES[judged.code[k]] is verdict.evaluation
        assert columns.classes[judged.label[k]] == verdict.label
        left = counting(it, counts, size=SIZE)
        assert [judged.scores[k][n] for n in range(3)] == [left.scores[c] for c in LABELS]
        assert judged.scores[k][judged.label[k]] == verdict.score
        assert judged.stopped[k] == (verdict.evaluation != "OK")


@given(
    st.lists(st.lists(st.floats(allow_nan=True, allow_infinity=True), min_size=3, max_size=3), max_size=5), limits_of()
)
@settings(max_examples=200, deadline=None)
def test_scores_that_are_none_are_undefined_as_in_the_decision(
    rows: list[list[float]], limits: dict[str, Limits]
) -> None:
    judged = evaluate_all(np.array(rows, np.float64).reshape(-1, 3), LABELS, limits)
    for k, row in enumerate(rows):
        verdict = judge(spoiled(dict(zip(LABELS, row, strict=True))), limits, {}, size=SIZE)
        assert CODES[judged.code[k]] is verdict.evaluation
        assert (LABELS[judged.label[k]] if judged.label[k] >= 0 else None) == verdict.label


@pytest.mark.parametrize("labels", [(), LABELS[:2], (*LABELS, "more")])
def test_limits_that_do_not_fit_the_classes_leave_all_undefined(labels: tuple[str, ...]) -> None:
    limits = {c: Limits(pass_below=1.0, fail_above=1.0) for c in labels}
    judged = evaluate_all(np.zeros((4, 3)), LABELS, limits)
    assert {CODES[c].value for c in judged.code} == {"UNDEFINED"}
    assert judged.stopped.all()


def test_a_row_that_the_decision_sees_otherwise_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = {c: Limits(pass_below=0.3, fail_above=0.7) for c in LABELS}
    several = [Detections((), dict.fromkeys(LABELS, score)) for score in (0.1, 0.5, 0.9)]
    columns = as_columns(several)
    judged = judge_all(columns, limits, {})
    judged.code[1] = 0
    with pytest.raises(StationError, match="by the decision"):
        check_sample(columns, limits, {}, judged)
    right = module.evaluate_all
    monkeypatch.setattr(module, "evaluate_all", lambda s, c, x: right(s * 0.5, c, x))
    with pytest.raises(StationError):
        judge_all(columns, limits, {})


def test_without_rules_the_scores_are_not_even_copied() -> None:
    columns = as_columns([Detections((), dict.fromkeys(LABELS, 0.2))])
    assert counting_all(columns, {"dent": Counts(4.0)}) is columns.scores
    assert len(judge_all(as_columns([]), {}, {}).code) == 0
