"""Is the proposed limit the cheapest one, and Chow's where the chances are known?"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from station.calibration.cost import Costs, cost_line, t_cost
from station.calibration.sweep import Curves
from station.core.errors import DataRefused

COSTS = Costs(escape={"critical": 5000.0, "major": 200.0, "minor": 4.0}, review_minute=1.2, review_s=10.0, overkill=0.3)
SCORES = st.one_of(
    npst.arrays(np.float64, st.integers(1, 30), elements=st.floats(0.0, 1.0)),
    npst.arrays(np.float64, st.integers(1, 30), elements=st.sampled_from([0.0, 0.1, 0.3, 0.5, 1.0])),
)
SEVERITIES = st.sampled_from(["critical", "major", "minor"])


def by_hand(good: Any, defective: Any, limit: float, severity: str, prevalence: float) -> float:
    """One part at a time."""
    of_defective = [COSTS.escape[severity] if s < limit else 0.2 for s in defective]
    of_good = [0.0 if s < limit else 0.2 + 0.3 for s in good]
    return prevalence * float(np.mean(of_defective)) + (1 - prevalence) * float(np.mean(of_good))


@settings(deadline=None)
@given(SCORES, SCORES, SEVERITIES, st.floats(0.0, 1.0))
def test_the_cost_is_that_of_one_part_after_the_other(
    good: np.ndarray, defective: np.ndarray, severity: str, prevalence: float
) -> None:
    limits = np.array([0.0, 0.1, 0.25, 0.3, 1.0])
    line = cost_line(Curves(good, defective), limits, COSTS, severity=severity, prevalence=prevalence)
    expected = [by_hand(good, defective, t, severity, prevalence) for t in limits]
    assert line == pytest.approx(expected, rel=1e-12, abs=1e-12)


@settings(deadline=None)
@given(SCORES, SCORES, SEVERITIES, st.floats(0.0, 1.0))
def test_no_limit_at_a_score_is_cheaper_and_none_as_cheap_is_lower(
    good: np.ndarray, defective: np.ndarray, severity: str, prevalence: float
) -> None:
    found = t_cost(Curves(good, defective), COSTS, severity=severity, prevalence=prevalence)
    candidates = sorted({*good.tolist(), *defective.tolist()})
    costs = {t: by_hand(good, defective, t, severity, prevalence) for t in candidates}
    assert found in candidates
    assert costs[found] <= min(costs.values()) * (1 + 1e-9)
    assert all(costs[t] > costs[found] * (1 - 1e-9) for t in candidates if t < found)


@settings(deadline=None)
@given(SCORES, SCORES, st.floats(0.001, 0.999))
def test_a_worse_escape_never_raises_the_limit(good: np.ndarray, defective: np.ndarray, prevalence: float) -> None:
    curves = Curves(good, defective)
    limits = [t_cost(curves, COSTS, severity=s, prevalence=prevalence) for s in ("critical", "major", "minor")]
    assert limits == sorted(limits)


@pytest.mark.parametrize("escape", [0.8, 2.0, 10.0])
@pytest.mark.parametrize("prevalence", [0.1, 0.5, 0.8])
def test_the_limit_is_chows_where_the_chances_are_known(escape: float, prevalence: float) -> None:
    """Ten scores; at score i/10 there are i defective parts and 10 - i good ones of the labelled hundred."""
    steps = np.arange(1, 10)
    good, defective = np.repeat(steps / 10, 10 - steps), np.repeat(steps / 10, steps)
    costs = Costs({"major": escape}, review_minute=1.2, review_s=10.0, overkill=0.3)
    posterior = prevalence * steps / (prevalence * steps + (1 - prevalence) * (10 - steps))  # 45 parts on either side
    stops = posterior >= (costs.review + costs.overkill) / (escape + costs.overkill)
    assert stops.any()
    expected = (steps / 10)[np.argmax(stops)]
    found = t_cost(Curves(good, defective), costs, severity="major", prevalence=prevalence)
    assert found == pytest.approx(expected)


def test_a_defect_that_costs_nothing_still_does_not_pass_everything() -> None:
    curves = Curves(np.array([0.1, 0.6]), np.array([0.5, 0.9]))
    assert t_cost(curves, Costs({"minor": 0.0}, 1.0, 10.0), severity="minor", prevalence=0.1) == 0.9


def test_of_equally_cheap_limits_the_lowest_is_proposed() -> None:
    """A step up passes one good part more and one defective part more; both cost the same, up to the last digit."""
    steps = np.linspace(0.05, 0.95, 10)
    even = Costs({"major": 4.0}, review_minute=0.0, review_s=0.0, overkill=1.0)
    line = cost_line(Curves(steps, steps), steps, even, severity="major", prevalence=0.2)
    assert line == pytest.approx(np.full(10, 0.8))
    assert line.argmin() > 0
    assert t_cost(Curves(steps, steps), even, severity="major", prevalence=0.2) == steps[0]


def test_a_review_costs_its_minutes() -> None:
    assert COSTS.review == pytest.approx(0.2)


@pytest.mark.parametrize("bad", [-1.0, math.nan, math.inf])
def test_costs_that_cannot_be_are_refused_by_name(bad: float) -> None:
    for given_costs, name in (
        ({"escape": {"major": bad}}, "escape major"),
        ({"review_minute": bad}, "review_minute"),
        ({"review_s": bad}, "review_s"),
        ({"overkill": bad}, "overkill"),
    ):
        fine: dict[str, Any] = {"escape": {"major": 1.0}, "review_minute": 1.0, "review_s": 1.0}
        with pytest.raises(DataRefused, match=name):
            Costs(**fine | given_costs)


def test_an_unknown_severity_and_a_prevalence_out_of_range_are_refused() -> None:
    curves, limits = Curves(np.array([0.1]), np.array([0.2])), np.array([0.15])
    with pytest.raises(DataRefused, match="known: critical, major, minor"):
        cost_line(curves, limits, COSTS, severity="cosmetic", prevalence=0.1)
    with pytest.raises(DataRefused, match=r"write 0\.005"):
        t_cost(curves, COSTS, severity="major", prevalence=1.1)
    with pytest.raises(DataRefused, match="1-D float array"):
        cost_line(curves, np.array([[0.1]]), COSTS, severity="major", prevalence=0.1)
