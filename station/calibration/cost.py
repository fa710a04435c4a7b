"""Which lower limit is cheapest?

Two things can be done with a part: let it pass, or stop it for a person. Passing a defective part costs an escape;
stopping costs the person's time, and with a good part what the delay costs. At a share ``pi`` of defective parts, a
limit with miss rate F and overkill rate O costs per part::

    pi * (F * escape + (1 - F) * review) + (1 - pi) * O * (review + overkill)

This is the reject rule of Chow, IEEE Trans. Information Theory 16 (1970) 41-46, with one limit: a part is stopped
where its chance of being defective reaches ``(review + overkill) / (escape + overkill)``. A cheapest limit is a
proposal. It promises nothing, and where escapes seem cheap it lies too high:
:func:`station.calibration.guarantee.limit_to_set` takes the lower of the two.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from station.calibration.sweep import Curves, Floats, checked_limits, checked_prevalence
from station.core.errors import DataRefused


@dataclass(frozen=True, slots=True)
class Costs:
    """What the outcomes cost, all in one currency.

    Attributes:
        escape: One escape, by the severity of the defect.
        review_minute: One minute of an inspector.
        review_s: Seconds of an inspector per stopped part.
        overkill: What stopping a good part costs beyond its review: delay, handling, a line that waits.
    """

    escape: Mapping[str, float]
    review_minute: float
    review_s: float
    overkill: float = 0.0

    def __post_init__(self) -> None:
        named = {f"escape {severity}": value for severity, value in self.escape.items()}
        named |= {"review_minute": self.review_minute, "review_s": self.review_s, "overkill": self.overkill}
        for name, value in named.items():
            if not 0.0 <= value < math.inf:
                raise DataRefused(f"cost {name} = {value} cannot be; give a number from 0 up")

    @property
    def review(self) -> float:
        """One review: ``review_minute * review_s / 60``."""
        return self.review_minute * self.review_s / 60.0


def cost_line(curves: Curves, limits: Floats, costs: Costs, *, severity: str, prevalence: float) -> Floats:
    """Expected cost per inspected part at each limit.

    Args:
        curves: Labelled parts.
        limits: Candidates for ``pass_below``, shape ``(limits,)``.
        costs: What the outcomes cost.
        severity: Which escape cost counts.
        prevalence: Share of defective parts on the line, in [0, 1]. Not that of the labelled parts, among which
            defects were collected on purpose.

    Returns:
        Cost in the currency of ``costs``, shape ``(limits,)``.

    Raises:
        DataRefused: The severity has no cost, or the limits or the prevalence are out of range.
    """
    if severity not in costs.escape:
        raise DataRefused(f"no cost of an escape for severity {severity!r}; known: {', '.join(sorted(costs.escape))}")
    share = checked_prevalence(prevalence)
    limits = checked_limits(limits)
    missed = curves.misses(limits) / len(curves.defective)
    stopped = curves.overkill(limits) / len(curves.good)
    of_defective = missed * costs.escape[severity] + (1.0 - missed) * costs.review
    return np.asarray(share * of_defective + (1.0 - share) * stopped * (costs.review + costs.overkill))


def t_cost(curves: Curves, costs: Costs, *, severity: str, prevalence: float) -> float:
    """The limit with the least cost on the labelled parts; of equally cheap ones the lowest, which is the safest.

    Only scores that were seen are candidates, so that the largest of them always stops: no proposal passes
    everything, however cheap an escape is said to be.

    Args:
        curves: Labelled parts.
        costs: What the outcomes cost.
        severity: Which escape cost counts.
        prevalence: Share of defective parts on the line, in [0, 1].

    Raises:
        DataRefused: As :func:`cost_line`.
    """
    candidates = np.unique(np.concatenate([curves.good, curves.defective])).astype(np.float64, copy=False)
    line = cost_line(curves, candidates, costs, severity=severity, prevalence=prevalence)
    # Equal costs differ in their last digits when they are sums of other counts.
    return float(candidates[np.argmax(line <= line.min() * (1.0 + 1e-12))])
