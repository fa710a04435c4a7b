"""Nothing defaults to pass: what must hold of the decision for every score and every limit."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from station.core.errors import ConfigError, DetectorFault
from station.core.part import Box, Detection, Detections, PartId
from station.core.verdict import Evaluation
from station.decision import (
    Counts,
    counting,
    counts_of,
    drawn,
    evaluate,
    judge,
    proposals,
    strongest_per_place,
    undecided_without_model,
    undefined,
)
from station.recipe import IgnoredRegion, Limits, Recipe
from tests.builders import detections, recipe, spoiled

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


def rich(labels: tuple[str, ...] = LABELS) -> st.SearchStrategy[Detections]:
    """Candidates at few places with few scores, part scores that they explain or not, rests that are told or not."""

    @st.composite
    def made(draw: st.DrawFn) -> Detections:
        few = st.sampled_from([0.0, 0.1, 0.3, 0.5, 0.7, 1.0])
        candidates = []
        best = dict.fromkeys(labels, 0.0)
        for _ in range(draw(st.integers(0, 5))):
            label, score = draw(st.sampled_from(labels)), draw(few)
            x, y = draw(st.integers(0, 80)), draw(st.integers(0, 80))
            candidates.append(found(label, score, x, y, x + draw(st.integers(1, 15)), y + draw(st.integers(1, 15))))
            best[label] = max(best[label], score)
        scores = {c: max(s, draw(few)) if draw(st.booleans()) else s for c, s in best.items()}
        unlisted = {c: draw(few) for c in labels if draw(st.booleans())}
        return Detections(tuple(candidates), scores, None, unlisted)

    return made()


regions = st.lists(
    st.sampled_from([(0.0, 0.0, 0.5, 0.5), (0.25, 0.0, 0.75, 1.0), (0.5, 0.5, 0.9, 0.9)]), max_size=3, unique=True
).map(tuple)
rules = st.dictionaries(st.sampled_from(LABELS), st.builds(Counts, st.sampled_from([0.0, 5.0, 30.0, 200.0]), regions))
SIZE = (100, 100)


@given(rich(), limits_of())
@settings(max_examples=150)
def test_without_minimum_and_regions_nothing_changes(it: Detections, limits: dict[str, Limits]) -> None:
    assert judge(it, limits, {}, size=SIZE) == evaluate(it, limits)
    assert judge(it, limits, dict.fromkeys(LABELS, Counts()), size=SIZE) == evaluate(it, limits)
    left = counting(it, dict.fromkeys(LABELS, Counts()), size=SIZE)
    assert (left.candidates, dict(left.scores)) == (it.candidates, dict(it.scores))


@given(rich(), limits_of(), rules, st.sampled_from(LABELS), st.booleans())
@settings(max_examples=300)
def test_removing_a_rule_never_turns_a_stop_into_a_pass(
    it: Detections, limits: dict[str, Limits], counts: dict[str, Counts], label: str, only_a_region: bool
) -> None:
    fewer = {c: r for c, r in counts.items() if c != label}
    if only_a_region and label in counts:
        fewer[label] = Counts(counts[label].min_area_px, counts[label].ignored[1:])
    before = judge(it, limits, counts, size=SIZE).evaluation
    after = judge(it, limits, fewer, size=SIZE).evaluation
    assert BADNESS[after] >= BADNESS[before]


@given(rich(), rules)
@settings(max_examples=300)
def test_a_score_is_lowered_only_where_it_is_explained_and_never_below_what_is_left(
    it: Detections, counts: dict[str, Counts]
) -> None:
    left = counting(it, counts, size=SIZE)
    for label, score in it.scores.items():
        own = [c for c in it.candidates if c.label == label]
        stay = [c for c in own if label not in counts or counts[label].left_out(c.box, SIZE) is None]
        best = max((c.score for c in own), default=0.0)
        floor = max((c.score for c in stay), default=0.0)
        assert left.scores[label] <= score
        assert left.scores[label] >= floor
        if len(stay) == len(own) or score > best or label not in it.unlisted:
            assert left.scores[label] == score
        else:
            assert left.scores[label] == min(score, max(floor, it.unlisted[label]))
        assert [c for c in left.candidates if c.label == label] == stay


def test_a_small_or_ignored_candidate_does_not_count_and_the_reason_says_so() -> None:
    limits = {c: Limits(pass_below=0.3, fail_above=0.8) for c in ("scratch", "dent")}
    speck = Detections((found("dent", 0.9, 10, 10, 13, 13),), {"scratch": 0.1, "dent": 0.9}, None, {"dent": 0.02})
    verdict = judge(speck, limits, {"dent": Counts(9.5)}, size=SIZE)
    assert verdict.evaluation is Evaluation.OK
    assert "dent 0.90 counts as 0.02" in verdict.reason
    assert judge(speck, limits, {"dent": Counts(9.0)}, size=SIZE).evaluation is Evaluation.NOT_OK
    assert judge(speck, limits, {"scratch": Counts(9.5)}, size=SIZE).evaluation is Evaluation.NOT_OK
    inside, across = (0.05, 0.05, 0.2, 0.2), (0.0, 0.0, 0.12, 0.2)
    assert judge(speck, limits, {"dent": Counts(0.0, (inside,))}, size=SIZE).evaluation is Evaluation.OK
    assert judge(speck, limits, {"dent": Counts(0.0, (across,))}, size=SIZE).evaluation is Evaluation.NOT_OK, (
        "its middle lies in the region, its end does not"
    )
    small_picture = judge(speck, limits, {"dent": Counts(0.0, (inside,))}, size=(200, 60))
    assert small_picture.evaluation is Evaluation.NOT_OK, "a region is a share of the picture"


@pytest.mark.parametrize(
    ("unlisted", "evaluation"),
    [({}, Evaluation.NOT_OK), ({"dent": 0.5}, Evaluation.NOT_DECIDABLE), ({"dent": 0.29}, Evaluation.OK)],
)
def test_what_lies_beside_the_candidates_still_counts(unlisted: dict[str, float], evaluation: Evaluation) -> None:
    limits = {"dent": Limits(pass_below=0.3, fail_above=0.8)}
    speck = Detections((found("dent", 0.9, 10, 10, 13, 13),), {"dent": 0.9}, None, unlisted)
    assert judge(speck, limits, {"dent": Counts(50.0)}, size=SIZE).evaluation is evaluation


def test_a_part_score_that_no_candidate_explains_counts_whole() -> None:
    limits = {"dent": Limits(pass_below=0.3, fail_above=0.8)}
    it = Detections((found("dent", 0.4, 10, 10, 13, 13),), {"dent": 0.9}, None, {"dent": 0.0})
    assert judge(it, limits, {"dent": Counts(50.0)}, size=SIZE).evaluation is Evaluation.NOT_OK


@pytest.mark.parametrize("broken", [math.nan, math.inf, 1.5, -0.5])
def test_no_rule_makes_a_broken_score_pass(broken: float) -> None:
    limits = {"dent": Limits(pass_below=0.3, fail_above=0.8)}
    it = Detections((found("dent", 0.9, 10, 10, 13, 13),), {"dent": 0.9}, None, {"dent": 0.0})
    object.__setattr__(it, "scores", {"dent": broken})
    for counts in ({}, {"dent": Counts(50.0)}):
        assert judge(it, limits, counts, size=SIZE).evaluation is Evaluation.UNDEFINED


def small(**more: Any) -> Recipe:
    return recipe().model_copy(update={"classes": (recipe().classes[0].model_copy(update=more), recipe().classes[1])})


def test_square_millimetres_need_the_stations_scale() -> None:
    with pytest.raises(ConfigError, match="scratch: min_area_mm2 needs the scale of this station"):
        counts_of(small(min_area_mm2=0.5), None)
    assert counts_of(small(min_area_mm2=0.5), 0.1)["scratch"].min_area_px == pytest.approx(50.0)
    both = small(min_area_mm2=0.5, min_area_px=60.0)
    assert counts_of(both, 0.1)["scratch"].min_area_px == 60.0
    assert counts_of(both, 0.05)["scratch"].min_area_px == pytest.approx(200.0)
    for scale in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(ConfigError, match="mm_per_px"):
            counts_of(recipe(), scale)


def test_rules_stand_only_where_the_recipe_sets_them() -> None:
    assert counts_of(recipe(), None) == {}
    assert counts_of(small(min_area_px=4.0), None) == {"scratch": Counts(4.0)}
    place = IgnoredRegion(xyxy=(0.0, 0.0, 0.5, 1.0), why="a stamp", classes=("dent",))
    everywhere = IgnoredRegion(xyxy=(0.5, 0.5, 1.0, 1.0), why="glare")
    product = small(min_area_px=4.0).model_copy(update={"ignore": (place, everywhere)})
    assert counts_of(product, None) == {
        "scratch": Counts(4.0, (everywhere.xyxy,)),
        "dent": Counts(0.0, (place.xyxy, everywhere.xyxy)),
    }
