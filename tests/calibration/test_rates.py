"""Are the rates those of scikit-learn, scipy and plain counting?"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from scipy import stats

from station.calibration.rates import (
    Rates,
    Share,
    auroc,
    clopper_pearson,
    clopper_pearson_upper,
    overkill_at,
    rates_at_limits,
    threshold_at,
)
from station.core.errors import DataRefused

FINE = st.floats(0.0, 1.0)
COARSE = st.sampled_from([0.0, 0.1, 0.3, 0.30000001, 0.5, 1.0])  # many ties
SCORES = st.one_of(
    npst.arrays(np.float64, st.integers(1, 40), elements=FINE),
    npst.arrays(np.float64, st.integers(1, 40), elements=COARSE),
)


@settings(deadline=None)
@given(SCORES, SCORES)
def test_auroc_is_scikit_learns(good: np.ndarray, defective: np.ndarray) -> None:
    metrics = pytest.importorskip("sklearn.metrics", reason="scikit-learn is the oracle (extra: dev)")
    labels = np.r_[np.zeros(len(good)), np.ones(len(defective))]
    assert auroc(good, defective) == pytest.approx(metrics.roc_auc_score(labels, np.r_[good, defective]), abs=1e-12)


@settings(deadline=None)
@given(SCORES, SCORES)
def test_auroc_turned_round_is_the_rest(good: np.ndarray, defective: np.ndarray) -> None:
    assert auroc(good, defective) + auroc(defective, good) == pytest.approx(1.0, abs=1e-12)


def test_auroc_by_hand() -> None:
    assert auroc(np.array([0.1, 0.2]), np.array([0.3, 0.4])) == 1.0
    assert auroc(np.array([0.1, 0.5]), np.array([0.5])) == 0.75
    assert auroc(np.full(100_000, 0.5), np.full(100_000, 0.5)) == 0.5


@settings(deadline=None)
@given(SCORES, st.floats(0.001, 1.0))
def test_the_threshold_is_the_largest_score_that_detects_enough(defective: np.ndarray, detection: float) -> None:
    limit = threshold_at(defective, detection)
    enough = [t for t in defective if np.count_nonzero(defective >= t) / len(defective) >= detection]
    assert limit == max(enough)
    above = np.nextafter(limit, 2.0)
    assert np.count_nonzero(defective >= above) / len(defective) < detection


def test_the_rank_is_not_pushed_up_by_rounding() -> None:
    scores = np.arange(1, 101) / 100.0
    for percent in range(1, 101):  # 0.07 * 100 is 7.000000000000001
        assert threshold_at(scores, percent / 100) == scores[100 - percent]


@settings(deadline=None)
@given(SCORES, SCORES, st.sampled_from([0.5, 0.95, 0.98, 1.0]))
def test_overkill_is_the_share_of_good_parts_at_or_above(
    good: np.ndarray, defective: np.ndarray, detection: float
) -> None:
    limit = threshold_at(defective, detection)
    assert overkill_at(good, defective, detection) == sum(g >= limit for g in good) / len(good)


def test_overkill_by_hand() -> None:
    good, defective = np.array([0.1, 0.2, 0.3, 0.4]), np.array([0.2, 0.35, 0.9, 0.95])
    assert overkill_at(good, defective, 1.0) == 0.75  # limit 0.2
    assert overkill_at(good, defective, 0.75) == 0.25  # limit 0.35
    assert overkill_at(good, defective, 0.5) == 0.0


@settings(deadline=None)
@given(SCORES, SCORES, st.tuples(COARSE, COARSE))
def test_rates_are_plain_counts(good: np.ndarray, defective: np.ndarray, limits: tuple[float, float]) -> None:
    low, high = sorted(limits)
    everything = [*good, *defective]
    found = rates_at_limits(good, defective, pass_below=low, fail_above=high)
    assert found == Rates(
        misses=Share(sum(s < low for s in defective), len(defective)),
        overkill=Share(sum(s >= low for s in good), len(good)),
        review_load=Share(sum(s >= low for s in everything), len(everything)),
        rejected=Share(sum(s > high for s in everything), len(everything)),
    )


def test_float32_scores_are_compared_as_the_decision_compares_them() -> None:
    score = np.array([0.3], np.float32)  # 0.30000001192...
    assert float(score[0]) > 0.3
    assert rates_at_limits(score, score, pass_below=float(score[0])).overkill.count == 1
    assert rates_at_limits(score, score, pass_below=0.3, fail_above=0.3).rejected.count == 2


@pytest.mark.parametrize("confidence", [0.8, 0.95, 0.99])
@pytest.mark.parametrize("total", [1, 2, 12, 59, 300])
def test_clopper_pearson_is_scipys(total: int, confidence: float) -> None:
    for count in sorted({0, 1, total // 3, total - 1, total}):
        both = stats.binomtest(count, total).proportion_ci(confidence, "exact")
        assert clopper_pearson(count, total, confidence) == pytest.approx((both.low, both.high), abs=1e-9)
        upper = stats.binomtest(count, total, alternative="less").proportion_ci(confidence, "exact").high
        assert clopper_pearson_upper(count, total, confidence) == pytest.approx(upper, abs=1e-9)
        assert Share(count, total).interval(confidence) == clopper_pearson(count, total, confidence)
        assert Share(count, total).upper(confidence) == clopper_pearson_upper(count, total, confidence)


@pytest.mark.parametrize(
    ("bound", "by_misses"), [(0.05, (59, 93)), (0.02, (149, 236)), (0.01, (299, 473)), (0.005, (598, 947))]
)
def test_the_parts_needed_for_a_claim_at_95_percent(bound: float, by_misses: tuple[int, ...]) -> None:
    for misses, parts in enumerate(by_misses):
        assert clopper_pearson_upper(misses, parts) <= bound < clopper_pearson_upper(misses, parts - 1)


@settings(deadline=None)
@given(st.integers(1, 5000), st.data())
def test_bounds_hold_the_share_between_them(total: int, data: st.DataObject) -> None:
    count = data.draw(st.integers(0, total))
    lower, upper = clopper_pearson(count, total)
    assert 0.0 <= lower <= count / total <= upper <= 1.0
    assert clopper_pearson_upper(count, total) <= upper
    assert clopper_pearson_upper(count, total) >= count / total


def test_no_miss_has_a_closed_form() -> None:
    for total in (1, 59, 2995):
        assert clopper_pearson_upper(0, total) == pytest.approx(1 - 0.05 ** (1 / total), rel=1e-12)


def test_a_share_shows_its_counts() -> None:
    assert str(Share(3, 120)) == "3 of 120 (2.5%)"
    assert Share(3, 120).value == 0.025


@pytest.mark.parametrize(("count", "total"), [(-1, 5), (6, 5), (0, 0), (0, -1)])
def test_what_is_no_share_is_refused(count: int, total: int) -> None:
    for make in (Share, clopper_pearson, clopper_pearson_upper):
        with pytest.raises(DataRefused, match="is no share"):
            make(count, total)


@pytest.mark.parametrize("confidence", [0.0, 1.0, 95.0, math.nan])
def test_a_confidence_out_of_range_is_refused(confidence: float) -> None:
    for make in (clopper_pearson, clopper_pearson_upper):
        with pytest.raises(DataRefused, match=r"write 0\.95"):
            make(1, 5, confidence)


@pytest.mark.parametrize("detection", [0.0, -0.1, 1.01, 98.0, math.nan])
def test_a_detection_out_of_range_is_refused(detection: float) -> None:
    with pytest.raises(DataRefused, match=r"write 0\.98"):
        overkill_at(np.array([0.1]), np.array([0.2]), detection)


@pytest.mark.parametrize(("low", "high"), [(0.5, 0.4), (math.nan, 0.5), (0.5, math.nan)])
def test_limits_that_cross_or_are_no_numbers_are_refused(low: float, high: float) -> None:
    with pytest.raises(DataRefused, match="must not be above"):
        rates_at_limits(np.array([0.1]), np.array([0.2]), pass_below=low, fail_above=high)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (np.array([]), "no score"),
        (np.array([0.1, math.nan]), "1 of 2 scores"),
        (np.array([math.inf]), "1 of 1 scores"),
        (np.array([[0.1]]), "1-D float array"),
        (np.array([1, 0]), "1-D float array"),
        ([0.1], "1-D float array"),
        (None, "1-D float array"),
    ],
)
@pytest.mark.parametrize("side", ["good", "defective"])
def test_scores_that_are_none_are_refused_by_name(bad: Any, message: str, side: str) -> None:
    fine = np.array([0.5])
    good, defective = (bad, fine) if side == "good" else (fine, bad)
    for call in (
        lambda: auroc(good, defective),
        lambda: overkill_at(good, defective, 0.9),
        lambda: rates_at_limits(good, defective, pass_below=0.5),
    ):
        with pytest.raises(DataRefused, match=message) as refused:
            call()
        assert side in str(refused.value)
