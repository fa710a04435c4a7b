"""Nothing defaults to pass: what must hold of the decision for every score and every limit."""

from __future__ import annotations

import math

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from station.core.errors import DetectorFault
from station.core.part import Box, Detection, Detections, PartId
from station.core.verdict import Evaluation
from station.decision import drawn, evaluate, proposals, strongest_per_place, undecided_without_model, undefined
from station.recipe import Limits
from tests.builders import detections, spoiled

LABELS = ("scratch", "dent", "missing_hole")
BADNESS = {Evaluation.OK: 0, Evaluation.NOT_DECIDABLE: 1, Evaluation.NOT_OK: 2, Evaluation.UNDEFINED: 3}

scores_ = st.floats(0.0, 1.0)
any_float = st.floats(allow_nan=True, allow_infinity=True)


@st.composite
def limits_of(draw: st.DrawFn, labels: tuple[str, ...] = LABELS) -> dict[str, Limits]:
    found = {}
    for label in labels:
        low, high = sorted((draw(scores_), draw(scores_)))
        found[label] = Limits(pass_below=low, fail_above=high)
    return found


def scored(labels: tuple[str, ...] = LABELS) -> st.SearchStrategy[dict[str, float]]:
    return st.fixed_dictionaries(dict.fromkeys(labels, scores_))


@given(st.dictionaries(st.sampled_from([*LABELS, "extra"]), any_float), limits_of())
@settings(max_examples=200)
def test_ok_needs_every_class_finite_and_strictly_below_its_pass_limit(
    scores: dict[str, float], limits: dict[str, Limits]
) -> None:
    verdict = evaluate(spoiled(scores), limits)
    deserved = set(scores) == set(limits) and all(
        math.isfinite(s) and 0.0 <= s < limits[label].pass_below for label, s in scores.items()
    )
    assert (verdict.evaluation is Evaluation.OK) == deserved
    assert verdict.reason.strip()


@given(scored(), limits_of(), st.sampled_from(LABELS), scores_)
def test_raising_a_score_never_makes_the_verdict_better(
    scores: dict[str, float], limits: dict[str, Limits], label: str, higher: float
) -> None:
    assume(higher >= scores[label])
    before = evaluate(Detections((), scores), limits).evaluation
    after = evaluate(Detections((), scores | {label: higher}), limits).evaluation
    assert BADNESS[after] >= BADNESS[before]


@given(scored(), limits_of(), st.sampled_from(LABELS), scores_, scores_)
def test_tightening_limits_never_releases_more(
    scores: dict[str, float], limits: dict[str, Limits], label: str, low: float, high: float
) -> None:
    old = limits[label]
    assume(low <= old.pass_below and low <= high <= old.fail_above)
    tighter = limits | {label: Limits(pass_below=low, fail_above=high)}
    before = evaluate(Detections((), scores), limits).evaluation
    after = evaluate(Detections((), scores), tighter).evaluation
    assert BADNESS[after] >= BADNESS[before]


@pytest.mark.parametrize("broken", [math.nan, math.inf, -math.inf, -0.1, 1.1])
def test_a_nan_score_compared_as_not_above_any_limit_was_released(broken: float) -> None:
    """First fault of the first draft."""
    limits = {"scratch": Limits(pass_below=0.5, fail_above=1.0), "dent": Limits(pass_below=0.5, fail_above=1.0)}
    verdict = evaluate(spoiled({"scratch": broken, "dent": 0.1}), limits)
    assert verdict.evaluation is Evaluation.UNDEFINED
    assert "scratch" in verdict.reason
    with pytest.raises(DetectorFault, match="not a number in"):
        Detections((), {"scratch": broken, "dent": 0.1})


@pytest.mark.parametrize(
    ("scores", "labels", "words"),
    [
        ({"scratch": 0.0}, ("scratch", "dent"), "no score for dent"),
        ({"scratch": 0.0, "dent": 0.0}, ("scratch",), "no limits for dent"),
        ({"scratch": 0.0}, (), "no limits are set"),
        ({}, ("scratch",), "no score for scratch"),
        ({}, (), "no limits are set"),
    ],
)
def test_scores_and_limits_that_do_not_fit_are_never_ok(
    scores: dict[str, float], labels: tuple[str, ...], words: str
) -> None:
    verdict = evaluate(Detections((), scores), {c: Limits(pass_below=0.5, fail_above=0.9) for c in labels})
    assert verdict.evaluation is Evaluation.UNDEFINED
    assert words in verdict.reason


@pytest.mark.parametrize(
    ("score", "evaluation"),
    [
        (0.29, Evaluation.OK),
        (0.3, Evaluation.NOT_DECIDABLE),
        (0.7, Evaluation.NOT_DECIDABLE),
        (0.71, Evaluation.NOT_OK),
        (1.0, Evaluation.NOT_OK),
    ],
)
def test_a_score_equal_to_a_limit_is_uncertain(score: float, evaluation: Evaluation) -> None:
    limits = {c: Limits(pass_below=0.3, fail_above=0.7) for c in ("scratch", "dent")}
    verdict = evaluate(detections(dent=score), limits)
    assert verdict.evaluation is evaluation
    assert verdict.label == "dent"
    assert verdict.score == score


def test_the_reason_names_class_score_and_both_limits() -> None:
    limits = {c: Limits(pass_below=0.3, fail_above=0.7) for c in ("scratch", "dent")}
    assert evaluate(detections(dent=0.5), limits).reason == "dent 0.50 lies between pass 0.30 and reject 0.70"
    assert evaluate(detections(dent=0.9), limits).reason == "dent 0.90 is above the reject limit 0.70"
    assert "nearest: dent 0.20 of 0.30" in evaluate(detections(dent=0.2), limits).reason


def test_a_pass_limit_of_zero_passes_nothing() -> None:
    assert evaluate(
        Detections((), {"scratch": 0.0}), {"scratch": Limits(pass_below=0.0, fail_above=1.0)}
    ).evaluation is (Evaluation.NOT_DECIDABLE)


def test_the_class_that_decides_is_the_one_furthest_along_its_own_limits() -> None:
    limits = {"scratch": Limits(pass_below=0.8, fail_above=0.9), "dent": Limits(pass_below=0.1, fail_above=0.2)}
    assert evaluate(Detections((), {"scratch": 0.7, "dent": 0.4}), limits).label == "dent"
    assert evaluate(Detections((), {"scratch": 0.7, "dent": 0.15}), limits).label == "dent"
    assert evaluate(Detections((), {"scratch": 0.5, "dent": 0.09}), limits).label == "dent"


def test_a_failed_inspection_and_a_missing_model_are_held_with_their_reason() -> None:
    assert undefined(DetectorFault("out of memory")).evaluation is Evaluation.UNDEFINED
    assert "out of memory" in undefined(DetectorFault("out of memory")).reason
    assert undecided_without_model().evaluation is Evaluation.NOT_DECIDABLE


PARTS = [PartId(f"ST01-{n:06d}") for n in range(20_000)]


@pytest.mark.parametrize("fraction", [0.02, 0.1, 0.5])
def test_the_audit_draw_has_the_right_share(fraction: float) -> None:
    share = sum(drawn(b"key", p, fraction, "audit") for p in PARTS) / len(PARTS)
    assert abs(share - fraction) < 5 * math.sqrt(fraction * (1 - fraction) / len(PARTS))


def test_the_audit_draw_is_all_or_nothing_at_the_ends() -> None:
    assert not any(drawn(b"key", p, 0.0, "audit") for p in PARTS[:500])
    assert all(drawn(b"key", p, 1.0, "audit") for p in PARTS[:500])


def test_the_audit_draw_repeats_itself_and_hangs_on_key_part_and_purpose() -> None:
    def draw(key: bytes, purpose: str) -> list[bool]:
        return [drawn(key, p, 0.5, purpose) for p in PARTS[:200]]

    assert draw(b"key", "audit") == draw(b"key", "audit")
    assert draw(b"key", "audit") != draw(b"other", "audit")
    assert draw(b"key", "audit") != draw(b"key", "blind")
    # As written down: anyone with the key must find the same parts in ten years.
    assert [n for n, p in enumerate(PARTS[:200]) if drawn(b"key", p, 0.05, "audit")] == FROZEN_DRAW


@given(st.floats(0.0, 1.0), st.floats(0.0, 1.0), st.integers(0, 999))
def test_a_larger_fraction_draws_the_same_parts_and_more(one: float, other: float, number: int) -> None:
    low, high = sorted((one, other))
    assert drawn(b"key", PARTS[number], high, "audit") or not drawn(b"key", PARTS[number], low, "audit")


FROZEN_DRAW = [1, 20, 36, 59, 73, 86, 90, 100, 106, 108, 130, 135, 146, 185]


def found(label: str, score: float, *xyxy: float) -> Detection:
    return Detection(label, score, Box(*xyxy))


def test_of_several_classes_at_one_place_the_strongest_is_proposed() -> None:
    limits = {c: Limits(pass_below=0.3, fail_above=0.8) for c in ("scratch", "dent")}
    here = [found("dent", 0.5, 10, 10, 30, 30), found("scratch", 0.9, 12, 12, 28, 28)]
    elsewhere = found("dent", 0.4, 60, 60, 80, 80)
    faint = found("scratch", 0.29, 100, 100, 120, 120)
    assert proposals([*here, elsewhere, faint], limits) == [here[1], elsewhere]
    assert proposals([faint], limits) == []
    assert proposals([found("unknown", 0.9, 0, 0, 9, 9)], limits) == []


def test_a_candidate_exactly_at_its_pass_limit_is_proposed_since_it_stops_the_part() -> None:
    limits = {"dent": Limits(pass_below=0.3, fail_above=0.8)}
    assert [c.score for c in proposals([found("dent", 0.3, 0, 0, 9, 9)], limits)] == [0.3]


@given(st.lists(st.tuples(st.floats(0, 1), st.integers(0, 50), st.integers(0, 50), st.integers(1, 40)), max_size=12))
def test_no_place_loses_its_strongest_candidate(boxes: list[tuple[float, int, int, int]]) -> None:
    candidates = [found("dent", s, x, y, x + side, y + side) for s, x, y, side in boxes]
    kept = strongest_per_place(candidates)
    assert [c.score for c in kept] == sorted((c.score for c in kept), reverse=True)
    if candidates:
        assert kept[0].score == max(c.score for c in candidates)
    for candidate in candidates:
        overlapping = [
            k
            for k in kept
            if k.box.x0 < candidate.box.x1
            and candidate.box.x0 < k.box.x1
            and k.box.y0 < candidate.box.y1
            and candidate.box.y0 < k.box.y1
        ]
        assert candidate in kept or any(k.score >= candidate.score for k in overlapping)
