"""Does the lower limit keep its promise, and is it the highest one that does?"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from scipy import stats

from station.calibration.guarantee import (
    ALPHA_BY_SEVERITY,
    allowed_misses,
    at_most,
    limit_to_set,
    lower_limit,
    parts_needed,
    percent,
    what_holds,
)
from station.calibration.rates import Share, clopper_pearson_upper
from station.core.errors import DataRefused

FINE = npst.arrays(np.float64, st.integers(59, 200), elements=st.floats(0.0, 1.0))
TIED = npst.arrays(np.float64, st.integers(59, 200), elements=st.sampled_from([0.0, 0.2, 0.20000001, 0.5, 1.0]))
SCORES = st.one_of(FINE, TIED)
ALPHAS = st.sampled_from([0.05, 0.07, 0.2, 0.5])
STATIONS = 2_000

NEEDED = [(0.05, 59, 93), (0.02, 149, 236), (0.01, 299, 473), (0.005, 598, 947), (0.001, 2995, None)]


@pytest.mark.parametrize(("alpha", "without", "with_one"), NEEDED)
def test_the_parts_needed_are_those_of_the_table(alpha: float, without: int, with_one: int | None) -> None:
    assert parts_needed(alpha, 0.95) == without
    assert parts_needed(alpha) == without
    if with_one:
        assert parts_needed(alpha, 0.95, misses=1) == with_one


@settings(deadline=None)
@given(st.floats(0.002, 0.9), st.floats(0.5, 0.999), st.integers(0, 30))
def test_one_part_fewer_than_needed_is_too_few(alpha: float, confidence: float, misses: int) -> None:
    parts = parts_needed(alpha, confidence, misses)
    assert clopper_pearson_upper(misses, parts, confidence) <= alpha + 1e-12
    if parts > misses + 1:
        assert clopper_pearson_upper(misses, parts - 1, confidence) > alpha - 1e-12


@settings(deadline=None)
@given(st.integers(1, 3000), st.floats(0.001, 0.5), st.floats(0.001, 0.5))
def test_the_allowed_misses_are_the_most_whose_binomial_tail_is_small_enough(
    parts: int, alpha: float, delta: float
) -> None:
    allowed = allowed_misses(parts, alpha, delta)
    # The tail of 7 among 15 at 0.5 is 0.5 exactly, but not to the last digit.
    assert allowed < 0 or stats.binom.cdf(allowed, parts, alpha) <= delta * (1 + 1e-12)
    assert allowed == parts - 1 or stats.binom.cdf(allowed + 1, parts, alpha) > delta * (1 - 1e-12)


@pytest.mark.parametrize(("parts", "allowed"), [(58, -1), (59, 0), (92, 0), (93, 1), (300, 8)])
def test_the_allowed_misses_of_5_percent(parts: int, allowed: int) -> None:
    assert allowed_misses(parts, 0.05) == allowed


def test_the_limit_by_hand() -> None:
    scores = np.arange(100, 0, -1) / 100.0  # 0.01 to 1.00, unsorted
    found = lower_limit(scores, 0.05)  # 93 parts allow one miss
    assert (found.pass_below, found.allowed, found.misses) == (0.02, 1, Share(1, 100))
    assert found.claim == pytest.approx(stats.beta.ppf(0.95, 2, 99), abs=1e-12)
    assert str(found) == (
        "pass below 0.02: 1 of 100 defective parts missed, at most 4.66 % of all such parts, 95 % sure"
    )


@pytest.mark.parametrize("count", [0, 1, 7, 299])
@pytest.mark.parametrize("parts", [300, 947, 2995])
def test_the_claim_is_statsmodels_and_scipys(count: int, parts: int) -> None:
    proportion = pytest.importorskip("statsmodels.stats.proportion", reason="an oracle (extra: dev)")
    upper = clopper_pearson_upper(count, parts, 0.95)
    assert upper == pytest.approx(proportion.proportion_confint(count, parts, alpha=0.10, method="beta")[1], abs=1e-9)
    assert upper == pytest.approx(stats.binomtest(count, parts).proportion_ci(0.90, "exact").high, abs=1e-9)


@settings(deadline=None)
@given(SCORES, ALPHAS)
def test_the_limit_is_the_highest_that_is_allowed(scores: np.ndarray, alpha: float) -> None:
    found = lower_limit(scores, alpha)
    assert found.pass_below == np.sort(scores)[found.allowed]
    assert found.misses.count == np.count_nonzero(scores < found.pass_below) <= found.allowed
    assert np.count_nonzero(scores < np.nextafter(found.pass_below, 2.0)) > found.allowed
    assert found.claim == clopper_pearson_upper(found.allowed, len(scores), 0.95) <= alpha


@settings(deadline=None)
@given(SCORES, ALPHAS, st.randoms(use_true_random=False))
def test_the_order_of_the_parts_does_not_matter(scores: np.ndarray, alpha: float, random: Any) -> None:
    shuffled = scores.tolist()
    random.shuffle(shuffled)
    assert lower_limit(np.array(shuffled), alpha) == lower_limit(scores, alpha)


@settings(deadline=None)
@given(SCORES, ALPHAS, ALPHAS, st.integers(1, 4))
def test_who_asks_for_more_gets_no_higher_limit(scores: np.ndarray, one: float, other: float, limits: int) -> None:
    strict, lax = sorted((one, other))
    assert allowed_misses(200, strict) <= allowed_misses(200, lax)
    assert lower_limit(scores, strict).pass_below <= lower_limit(scores, lax).pass_below
    assert lower_limit(scores, 0.5, limits=limits).pass_below <= lower_limit(scores, 0.5).pass_below


@settings(deadline=None)
@given(st.integers(2, 2000), st.data())
def test_fewer_misses_promise_more(parts: int, data: st.DataObject) -> None:
    misses = data.draw(st.integers(1, parts))
    assert clopper_pearson_upper(misses - 1, parts) < clopper_pearson_upper(misses, parts)


def test_equal_scores_at_the_limit_stop_and_do_not_tighten_the_claim() -> None:
    scores = np.r_[np.full(50, 0.3), np.full(50, 0.9)]
    found = lower_limit(scores, 0.05)
    assert (found.pass_below, found.misses.count, found.allowed) == (0.3, 0, 1)
    assert found.claim == clopper_pearson_upper(1, 100)  # not that of 0 misses
    all_equal = lower_limit(np.full(100, 0.3), 0.05)
    assert (all_equal.pass_below, all_equal.misses.count) == (0.3, 0)


def test_several_limits_share_delta() -> None:
    scores = np.linspace(0, 1, 2000)
    shared = lower_limit(scores, 0.01, delta=0.05, limits=5)
    assert shared.delta == 0.01
    assert shared.pass_below == lower_limit(scores, 0.01, delta=0.01).pass_below
    assert shared.pass_below < lower_limit(scores, 0.01).pass_below
    assert shared.claim == clopper_pearson_upper(shared.allowed, 2000, 0.99)


@pytest.mark.parametrize("decimals", [16, 2, 1])
def test_no_more_stations_than_promised_break_the_promise(decimals: int) -> None:
    """With scores uniform on [0, 1] the miss rate of a limit t is t, and of rounded ones the share below t."""
    random, parts, alpha, delta = np.random.default_rng(20260101), 300, 0.05, 0.05
    scores = np.round(random.random((STATIONS, parts)), decimals)
    limits = np.array([lower_limit(row, alpha, delta=delta).pass_below for row in scores])
    true = limits if decimals == 16 else np.where(limits > 0, limits - 0.5 * 10.0**-decimals, 0.0)
    broken = np.mean(true > alpha)
    expected = stats.binom.cdf(allowed_misses(parts, alpha, delta), parts, alpha)
    slack = 3 * math.sqrt(delta * (1 - delta) / STATIONS)
    assert broken <= delta + slack
    if decimals == 16:  # and no fewer than the rank says: the limit is not needlessly low
        assert broken == pytest.approx(expected, abs=slack)
    naive = np.sort(scores, axis=1)[:, int(alpha * parts)]  # the share of these very parts, as if it were a promise
    assert np.mean(naive > alpha) > 0.3


MAPIE_CASES = [(59, 0.05, 0.05), (93, 0.05, 0.05), (250, 0.05, 0.1), (400, 0.1, 0.05), (640, 0.02, 0.2)]
MAPIE_COUNTS_ONE_TOO_MANY = [(100, 0.2, 0.1)]


@pytest.mark.parametrize("decimals", [16, 2])
@pytest.mark.parametrize(("parts", "alpha", "delta"), MAPIE_CASES + MAPIE_COUNTS_ONE_TOO_MANY)
def test_mapie_finds_the_same_limit(parts: int, alpha: float, delta: float, decimals: int) -> None:
    """Learn-then-test with a fixed sequence of limits from the lowest up asks the same question.

    MAPIE 1.6 gives its binomial tail ``ceil(n * risk)`` misses, with ``risk = misses / n`` as a float. Where that lands
    above the whole number (100 * 0.14 = 14.000000000000002) it counts one miss too many. If the count is m*, MAPIE
    stops one limit early: safe, but lower than it need be.
    """
    controllers = pytest.importorskip("mapie.risk_control", reason="MAPIE is an oracle (extra: dev)")
    miss = controllers.BinaryRisk(
        risk_occurrence=lambda truth, stopped: stopped == 0,
        risk_condition=lambda truth, stopped: truth == 1,
        higher_is_better=False,
    )
    scores = np.round(np.random.default_rng(7).beta(4, 2, parts), decimals)
    candidates = np.unique(scores)
    controller = controllers.BinaryClassificationController(
        predict_function=lambda x: np.column_stack([1 - x[:, 0], x[:, 0]]),
        risk=miss,
        target_level=alpha,
        confidence_level=1 - delta,
        best_predict_param_choice=miss,
        list_predict_params=candidates,
        fwer_method="fixed_sequence",
    )
    controller.calibrate(scores[:, None], np.ones(parts, int))
    found = lower_limit(scores, alpha, delta=delta)
    theirs = controller.valid_predict_params.max()
    if math.ceil(parts * (found.misses.count / parts)) == found.misses.count:
        assert theirs == found.pass_below
    else:
        assert (parts, alpha, delta) in MAPIE_COUNTS_ONE_TOO_MANY
        assert theirs == candidates[np.searchsorted(candidates, found.pass_below) - 1]


def test_too_few_parts_are_told_what_holds_and_what_is_missing() -> None:
    with pytest.raises(DataRefused, match=r"^12 parts, 0 missed: at most 22\.1 %; 1 % needs 287 more; label more"):
        lower_limit(np.linspace(0.5, 1, 12), 0.01)
    with pytest.raises(DataRefused, match="needs 1 more"):
        lower_limit(np.linspace(0.5, 1, 58), 0.05)
    assert lower_limit(np.linspace(0.5, 1, 59), 0.05).pass_below == 0.5
    with pytest.raises(DataRefused, match="needs"):
        lower_limit(np.linspace(0.5, 1, 59), 0.05, limits=2)


def test_what_holds_counts_the_misses() -> None:
    assert what_holds(Share(0, 299), 0.01) == "299 parts, 0 missed: at most 0.997 %"
    assert what_holds(Share(1, 299), 0.01) == "299 parts, 1 missed: at most 1.58 %; 1 % needs 174 more"
    assert what_holds(Share(3, 3), 0.5).startswith("3 parts, 3 missed: at most 100 %")


@pytest.mark.parametrize(
    ("bound", "words"),
    [(0.2209, "22.1 %"), (0.01, "1 %"), (0.0100001, "1.01 %"), (0.3, "30 %"), (0.99951, "100 %"), (0.07, "7 %"),
     (1.0, "100 %"), (0.0, "0 %"), (0.000123401, "0.0124 %")],
)  # fmt: skip
def test_a_bound_is_never_rounded_down(bound: float, words: str) -> None:
    assert at_most(bound) == words


@given(st.floats(1e-9, 1.0))
def test_what_is_shown_is_no_lower_than_the_bound(bound: float) -> None:
    shown = float(at_most(bound).removesuffix(" %")) / 100
    assert bound * (1 - 1e-9) <= shown <= bound * 1.0101


def test_the_lower_of_two_limits_is_set() -> None:
    assert limit_to_set(0.3, 0.2) == limit_to_set(0.2, 0.3) == 0.2
    for pair in ((math.nan, 0.2), (0.2, math.nan)):
        with pytest.raises(DataRefused, match="no number"):
            limit_to_set(*pair)


def test_the_severities_have_their_miss_rates() -> None:
    assert dict(ALPHA_BY_SEVERITY) == {"critical": 0.005, "major": 0.01, "minor": 0.05}
    assert percent(ALPHA_BY_SEVERITY["critical"]) == "0.5 %"


@pytest.mark.parametrize("value", [0.0, 1.0, -0.1, 5.0, math.nan])
def test_a_share_out_of_range_is_refused(value: float) -> None:
    scores = np.linspace(0, 1, 100)
    for call in (
        lambda: lower_limit(scores, value),
        lambda: lower_limit(scores, 0.05, delta=value),
        lambda: allowed_misses(100, value),
        lambda: allowed_misses(100, 0.05, value),
        lambda: parts_needed(value),
        lambda: parts_needed(0.05, value),
    ):
        with pytest.raises(DataRefused, match=r"write 0\.01 for 1 %"):
            call()


def test_counts_that_cannot_be_are_refused() -> None:
    for call, words in (
        (lambda: allowed_misses(0, 0.05), "label at least one"),
        (lambda: parts_needed(0.05, misses=-1), "cannot be"),
        (lambda: parts_needed(1e-12), "promise less"),
        (lambda: lower_limit(np.linspace(0, 1, 100), 0.05, limits=0), "cannot share"),
        (lambda: lower_limit(np.array([]), 0.05), "no score of a defective part"),
        (lambda: lower_limit(np.array([0.1, math.nan]), 0.05), "1 of 2 scores"),
    ):
        with pytest.raises(DataRefused, match=words):
            call()
