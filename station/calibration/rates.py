"""How often is a bad part passed and a good one stopped, and how sure is that?

Inputs are part scores, one per part, as 1-D float arrays: ``good`` of parts without, ``defective`` of parts
with a defect. A part passes if its score is below ``pass_below``; a score equal to the limit stops, as in
:func:`station.decision.evaluate`. No rate leaves this module without its two counts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from station.core.errors import DataRefused

Scores = NDArray[np.floating]
"""Part scores, shape ``(parts,)``."""


@dataclass(frozen=True, slots=True)
class Share:
    """So many of so many."""

    count: int
    total: int

    def __post_init__(self) -> None:
        if not 0 <= self.count <= self.total or self.total < 1:
            raise DataRefused(f"{self.count} of {self.total} is no share")

    @property
    def value(self) -> float:
        """``count / total``."""
        return self.count / self.total

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """Exact two-sided interval, see :func:`clopper_pearson`."""
        return clopper_pearson(self.count, self.total, confidence)

    def upper(self, confidence: float = 0.95) -> float:
        """Exact one-sided upper bound, see :func:`clopper_pearson_upper`."""
        return clopper_pearson_upper(self.count, self.total, confidence)

    def __str__(self) -> str:
        return f"{self.count} of {self.total} ({self.value:.1%})"


@dataclass(frozen=True, slots=True)
class Rates:
    """The rates of one pair of limits on one set of parts.

    Attributes:
        misses: Defective parts passed, of all defective (miss rate).
        overkill: Good parts stopped, of all good.
        review_load: Parts stopped, of all parts. It depends on the set's share of defective parts; a line with
            fewer of them has less.
        rejected: Parts above ``fail_above``, of all parts; part of the review load.
    """

    misses: Share
    overkill: Share
    review_load: Share
    rejected: Share


def auroc(good: Scores, defective: Scores) -> float:
    """Chance that a defective part scores above a good one, ties counted as half.

    The Mann-Whitney statistic ``U / (n_good * n_defective)``: Hanley & McNeil, Radiology 143 (1982) 29-36.

    Raises:
        DataRefused: An array is empty, not 1-D or holds something that is no number.
    """
    ordered = np.sort(_checked(good, "good"))
    found = _checked(defective, "defective")
    below, below_or_equal = np.searchsorted(ordered, found, "left"), np.searchsorted(ordered, found, "right")
    return float((int(below.sum()) + int(below_or_equal.sum())) / (2 * len(ordered) * len(found)))


def threshold_at(defective: Scores, detection: float) -> float:
    """The largest limit that still stops at least ``detection`` of the defective parts.

    Rank rule: with n scores sorted downwards and k the smallest whole number with ``k / n >= detection``, the limit
    is the k-th score; parts at or above it stop. Nothing is interpolated, so the limit is always a score that was
    seen. This describes the parts at hand; it is no promise for others, for that see the certified limits.

    Args:
        defective: Scores of defective parts.
        detection: Share to detect, in (0, 1].

    Raises:
        DataRefused: ``detection`` is out of range, or the array is empty, not 1-D or not finite.
    """
    if not 0.0 < detection <= 1.0:
        raise DataRefused(f"detection {detection} is not in (0, 1]; write 0.98 for 98 %")
    ordered = np.sort(_checked(defective, "defective"))[::-1]
    # Counted as shares, not as ceil(detection * n), which rounding pushes up for 0.07 * 100.
    shares = np.arange(1, len(ordered) + 1) / len(ordered)
    return float(ordered[np.searchsorted(shares, detection, "left")])


def overkill_at(good: Scores, defective: Scores, detection: float) -> float:
    """Share of good parts stopped by the limit of :func:`threshold_at`.

    Args:
        good: Scores of good parts.
        defective: Scores of defective parts.
        detection: Share of the defective parts to stop, in (0, 1].

    Raises:
        DataRefused: As :func:`threshold_at`.
    """
    limit = threshold_at(defective, detection)
    return float(np.mean(_checked(good, "good") >= limit))


def rates_at_limits(good: Scores, defective: Scores, *, pass_below: float, fail_above: float = 1.0) -> Rates:
    """Counts what a pair of limits does to labelled parts.

    Args:
        good: Scores of good parts.
        defective: Scores of defective parts.
        pass_below: Scores below pass.
        fail_above: Scores above are rejected; between the two a person decides.

    Raises:
        DataRefused: The limits are no numbers or cross, or an array is empty, not 1-D or not finite.
    """
    if not pass_below <= fail_above:  # also false where one of them is no number
        raise DataRefused(f"pass_below {pass_below} must not be above fail_above {fail_above}")
    good, defective = _checked(good, "good"), _checked(defective, "defective")
    missed = int(np.count_nonzero(defective < pass_below))
    overkill = int(np.count_nonzero(good >= pass_below))
    rejected = int(np.count_nonzero(good > fail_above) + np.count_nonzero(defective > fail_above))
    parts = len(good) + len(defective)
    return Rates(
        misses=Share(missed, len(defective)),
        overkill=Share(overkill, len(good)),
        review_load=Share(overkill + len(defective) - missed, parts),
        rejected=Share(rejected, parts),
    )


def clopper_pearson(count: int, total: int, confidence: float = 0.95) -> tuple[float, float]:
    """Exact two-sided interval of a share: lower and upper bound, each wrong with chance (1 - confidence) / 2 at most.

    ``Beta(a/2; k, n-k+1)`` and ``Beta(1-a/2; k+1, n-k)`` with ``a = 1 - confidence``: Clopper & Pearson, Biometrika 26
    (1934) 404-413.

    Raises:
        DataRefused: ``count`` of ``total`` is no share, or ``confidence`` is not in (0, 1).
    """
    tail = _tail(count, total, confidence) / 2
    lower = 0.0 if count == 0 else float(special.betaincinv(count, total - count + 1, tail))
    upper = 1.0 if count == total else float(special.betaincinv(count + 1, total - count, 1 - tail))
    return lower, upper


def clopper_pearson_upper(count: int, total: int, confidence: float = 0.95) -> float:
    """Exact one-sided upper bound of a share, wrong with chance 1 - confidence at most.

    ``Beta(confidence; k+1, n-k)``; for k = 0 it is ``1 - (1 - confidence)^(1/n)``. Source as :func:`clopper_pearson`.

    Raises:
        DataRefused: ``count`` of ``total`` is no share, or ``confidence`` is not in (0, 1).
    """
    tail = _tail(count, total, confidence)
    return 1.0 if count == total else float(special.betaincinv(count + 1, total - count, 1 - tail))


def _tail(count: int, total: int, confidence: float) -> float:
    Share(count, total)
    if not (math.isfinite(confidence) and 0.0 < confidence < 1.0):
        raise DataRefused(f"confidence {confidence} is not in (0, 1); write 0.95 for 95 %")
    return 1.0 - confidence


def _checked(scores: Scores, what: str) -> Scores:
    if not isinstance(scores, np.ndarray) or scores.ndim != 1 or not np.issubdtype(scores.dtype, np.floating):
        shape = getattr(scores, "shape", type(scores).__name__)
        raise DataRefused(
            f"scores of {what} parts must be a 1-D float array, got {getattr(scores, 'dtype', '')} {shape}"
        )
    if scores.size == 0:
        raise DataRefused(f"there is no score of a {what} part; label at least one")
    if not np.isfinite(scores).all():
        broken = int(np.count_nonzero(~np.isfinite(scores)))
        raise DataRefused(f"{broken} of {scores.size} scores of {what} parts are not finite; leave failed parts out")
    return scores.astype(np.float64, copy=False)  # compared as the decision compares them, never as float32
