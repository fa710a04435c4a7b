"""Is what a limit would have done counted right, for one limit and for a thousand?"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from station.calibration.rates import clopper_pearson_upper, rates_at_limits
from station.calibration.sweep import Curves, miss_bound
from station.core.errors import DataRefused

FINE = st.floats(0.0, 1.0)
COARSE = st.sampled_from([0.0, 0.1, 0.3, 0.30000001, 0.5, 1.0])  # many ties
SCORES = st.one_of(
    npst.arrays(np.float64, st.integers(1, 40), elements=FINE),
    npst.arrays(np.float64, st.integers(1, 40), elements=COARSE),
)
LIMITS = npst.arrays(np.float64, st.integers(0, 12), elements=st.one_of(FINE, COARSE))


@settings(deadline=None)
@given(SCORES, SCORES, LIMITS)
def test_every_limit_is_counted_as_one_alone(good: np.ndarray, defective: np.ndarray, limits: np.ndarray) -> None:
    found = Curves(good, defective).at(limits)
    assert (found.good, found.defective) == (len(good), len(defective))
    for index, limit in enumerate(limits):
        alone = rates_at_limits(good, defective, pass_below=float(limit))
        assert (found.misses[index], found.overkill[index]) == (alone.misses.count, alone.overkill.count)
        assert found.miss_bound[index] == pytest.approx(alone.misses.upper(0.95), abs=1e-12)
        assert found.miss_rate[index] == alone.misses.value
        assert found.overkill_rate[index] == alone.overkill.value
        assert found.review_load[index] == pytest.approx(alone.review_load.value, abs=1e-12)  # at the set's own share


@settings(deadline=None)
@given(SCORES, SCORES, st.tuples(COARSE, COARSE))
def test_a_moved_limit_is_counted_as_on_the_unsorted_parts(
    good: np.ndarray, defective: np.ndarray, limits: tuple[float, float]
) -> None:
    low, high = sorted(limits)
    curves = Curves(good, defective)
    assert curves.rates(pass_below=low, fail_above=high) == rates_at_limits(
        good, defective, pass_below=low, fail_above=high
    )


@settings(deadline=None)
@given(SCORES, SCORES, LIMITS, st.floats(0.0, 1.0))
def test_a_higher_limit_misses_no_less_and_stops_no_more(
    good: np.ndarray, defective: np.ndarray, limits: np.ndarray, prevalence: float
) -> None:
    found = Curves(good, defective).at(np.sort(limits), prevalence=prevalence)
    assert (np.diff(found.misses) >= 0).all()
    assert (np.diff(found.miss_bound) >= 0).all()
    assert (np.diff(found.overkill) <= 0).all()
    assert (np.diff(found.review_load) <= 1e-12).all()


@settings(deadline=None)
@given(SCORES, SCORES, LIMITS, st.randoms(use_true_random=False))
def test_the_order_of_the_parts_does_not_matter(
    good: np.ndarray, defective: np.ndarray, limits: np.ndarray, random: Any
) -> None:
    shuffled = good.tolist()
    random.shuffle(shuffled)
    one, other = Curves(good, defective).at(limits), Curves(np.array(shuffled), defective[::-1]).at(limits)
    assert (one.misses == other.misses).all()
    assert (one.overkill == other.overkill).all()


def test_the_line_has_fewer_defects_than_the_labelled_parts() -> None:
    good, defective = np.array([0.1, 0.2, 0.3, 0.4]), np.array([0.15, 0.9])
    curves = Curves(good, defective)
    found = curves.at(np.array([0.2]), prevalence=0.01)
    assert found.review_load[0] == pytest.approx(0.01 * 0.5 + 0.99 * 0.75)
    assert found.prevalence == 0.01
    assert curves.at(np.array([0.2])).prevalence == pytest.approx(2 / 6)
    # 600 parts an hour, of which 74.75 % stop, 6 s each
    assert found.review_minutes_per_h(600.0, 6.0)[0] == pytest.approx(600 * 0.7475 * 6 / 60)


@settings(deadline=None)
@given(st.integers(1, 400), st.sampled_from([0.01, 0.05, 0.2]), st.data())
def test_many_bounds_are_those_of_each(defective: int, delta: float, data: st.DataObject) -> None:
    counts = np.array(data.draw(st.lists(st.integers(0, defective), max_size=8)), np.int64)
    bounds = miss_bound(counts, defective, delta)
    assert bounds == pytest.approx([clopper_pearson_upper(int(k), defective, 1 - delta) for k in counts], abs=1e-12)


@settings(deadline=None)
@given(SCORES, SCORES, st.integers(1, 60))
def test_the_histogram_is_numpys(good: np.ndarray, defective: np.ndarray, bins: int) -> None:
    found = Curves(good, defective).histogram(bins)
    for counts, scores in ((found.good, good), (found.defective, defective)):
        assert (counts == np.histogram(scores, found.edges)[0]).all()
        assert counts.sum() == len(scores)
    assert (found.edges[0], found.edges[-1], len(found.edges)) == (0.0, 1.0, bins + 1)


def test_the_callers_arrays_are_left_alone_and_the_own_ones_cannot_be_put_out_of_order() -> None:
    good = np.array([0.3, 0.1])
    curves = Curves(good, np.array([0.5]))
    assert good.tolist() == [0.3, 0.1]
    good[0] = 0.9
    assert curves.good.tolist() == [0.1, 0.3]
    with pytest.raises(ValueError, match="read-only"):
        curves.good[0] = 0.9


def test_float32_scores_are_compared_as_the_decision_compares_them() -> None:
    score = np.array([0.3], np.float32)  # 0.30000001192...
    assert Curves(score, score).at(np.array([0.3, float(score[0])])).misses.tolist() == [0, 0]
    assert Curves(score, score).at(np.array([0.3], np.float32)).misses.tolist() == [0]
    assert Curves(score, score).at(np.nextafter(score, np.float32(1))).misses.tolist() == [1]


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (np.array([]), "no score"),
        (np.array([0.1, math.nan]), "1 of 2 scores"),
        (np.array([[0.1]]), "1-D float array"),
        (np.array([1, 0]), "1-D float array"),
        (np.array([0.5, 1.5]), "not in"),
        (np.array([-0.5, 0.5]), "not in"),
    ],
)
@pytest.mark.parametrize("side", ["good", "defective"])
def test_scores_that_are_none_are_refused_by_name(bad: Any, message: str, side: str) -> None:
    fine = np.array([0.5])
    with pytest.raises(DataRefused, match=message) as refused:
        Curves(*((bad, fine) if side == "good" else (fine, bad)))
    assert side in str(refused.value)


def test_what_else_cannot_be_is_refused() -> None:
    curves = Curves(np.array([0.1]), np.array([0.2]))
    one = np.array([0.5])
    calls: list[tuple[Any, str]] = [
        (lambda: curves.at([0.5]), "1-D float array"),  # type: ignore[arg-type]
        (lambda: curves.at(np.array([[0.5]])), "1-D float array"),
        (lambda: curves.at(np.array([1])), "1-D float array"),
        (lambda: curves.at(np.array([math.nan])), "no number"),
        (lambda: curves.at(one, delta=0.0), "delta"),
        (lambda: curves.at(one, prevalence=1.5), "5 defective parts in 1,000"),
        (lambda: curves.at(one, prevalence=math.nan), "prevalence"),
        (lambda: curves.at(one).review_minutes_per_h(-1.0, 5.0), "parts per hour"),
        (lambda: curves.at(one).review_minutes_per_h(600.0, math.nan), "seconds per review"),
        (lambda: curves.rates(pass_below=0.5, fail_above=0.4), "must not be above"),
        (lambda: curves.rates(pass_below=math.nan), "must not be above"),
        (lambda: curves.histogram(0), "at least one"),
        (lambda: miss_bound(np.array([3]), 2), "between 0 and the 2"),
        (lambda: miss_bound(np.array([-1]), 2), "between 0 and the 2"),
        (lambda: miss_bound(np.array([0]), 0), "between 0"),
    ]
    for call, message in calls:
        with pytest.raises(DataRefused, match=message):
            call()
