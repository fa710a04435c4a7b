"""What would every limit have done to these parts?

Scores are sorted once; then any number of limits is answered by binary search, a moved one in O(log n). The bound on
the miss rate is exact for each limit taken alone. Who looks at the line and then picks a limit has looked many times:
for a promise take :func:`station.calibration.guarantee.lower_limit` or a certificate.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy import special

from station.calibration.guarantee import DELTA, between_0_and_1
from station.calibration.rates import Rates, Scores, Share, _checked
from station.core.errors import DataRefused

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Operating:
    """What K limits do, one entry per limit; every array has the shape ``(limits,)``.

    Attributes:
        limits: ``pass_below``.
        defective: Defective parts, the denominator of ``misses``.
        good: Good parts, the denominator of ``overkill``.
        misses: Defective parts passed.
        miss_bound: Upper bound of the miss rate, in [0, 1]; for each limit alone wrong with chance delta at most.
        overkill: Good parts stopped.
        review_load: Share of all parts on the line that stop, at ``prevalence``.
        prevalence: Share of defective parts that ``review_load`` is computed for.
    """

    limits: Floats
    defective: int
    good: int
    misses: Counts
    miss_bound: Floats
    overkill: Counts
    review_load: Floats
    prevalence: float

    @property
    def miss_rate(self) -> Floats:
        """``misses / defective``."""
        return self.misses / self.defective

    @property
    def overkill_rate(self) -> Floats:
        """``overkill / good``."""
        return self.overkill / self.good

    def review_minutes_per_h(self, parts_per_h: float, review_s: float) -> Floats:
        """Minutes of review that an hour of the line makes; above 60 one inspector cannot keep up.

        Args:
            parts_per_h: Parts inspected per hour.
            review_s: Seconds of an inspector per stopped part.

        Raises:
            DataRefused: One of them is negative or no number.
        """
        for value, what in ((parts_per_h, "parts per hour"), (review_s, "seconds per review")):
            if not 0.0 <= value < np.inf:
                raise DataRefused(f"{value} {what} cannot be; give a number from 0 up")
        return self.review_load * (parts_per_h * review_s / 60.0)


@dataclass(frozen=True, slots=True, eq=False)
class Histogram:
    """Parts by score in fixed bins, so that two models or two days can be laid over each other.

    Attributes:
        edges: Shape ``(bins + 1,)``, from 0 to 1. A bin holds its left edge; the last one holds both.
        good: Good parts in each bin, shape ``(bins,)``.
        defective: Defective parts in each bin, shape ``(bins,)``.
    """

    edges: Floats
    good: Counts
    defective: Counts


@dataclass(frozen=True, slots=True, eq=False)
class Curves:
    """Labelled part scores, made ready for any limit.

    Attributes:
        good: Scores of good parts in [0, 1], one per part; kept sorted, shape ``(good parts,)``.
        defective: Scores of defective parts in [0, 1], one per part; kept sorted, shape ``(defective parts,)``.

    Raises:
        DataRefused: An array is empty, not 1-D, not finite or leaves [0, 1].
    """

    good: Scores = field(repr=False)
    defective: Scores = field(repr=False)

    def __post_init__(self) -> None:
        for name in ("good", "defective"):
            ordered = np.sort(_checked(getattr(self, name), name))
            if ordered[0] < 0.0 or ordered[-1] > 1.0:
                raise DataRefused(f"scores of {name} parts reach {ordered[0]:.4g} to {ordered[-1]:.4g}, not in [0, 1]")
            ordered.flags.writeable = False  # an array put out of order would give wrong counts without a word
            object.__setattr__(self, name, ordered)

    def misses(self, limits: Floats) -> Counts:
        """Defective parts below each limit; same shape as ``limits``."""
        return np.searchsorted(self.defective, limits, "left").astype(np.int64, copy=False)

    def overkill(self, limits: Floats) -> Counts:
        """Good parts at or above each limit; same shape as ``limits``."""
        return len(self.good) - np.searchsorted(self.good, limits, "left").astype(np.int64, copy=False)

    def at(self, limits: Floats, *, delta: float = DELTA, prevalence: float | None = None) -> Operating:
        """What each of the limits does: O(K log n) for K limits over n parts.

        Args:
            limits: Candidates for ``pass_below``, shape ``(limits,)``, in any order.
            delta: Chance that the bound of one limit is wrong, in (0, 1).
            prevalence: Share of defective parts on the line, in [0, 1]; by default that of these parts, which where
                defects were collected on purpose is far above the line's.

        Raises:
            DataRefused: The limits are not a 1-D float array of numbers, or a number is out of range.
        """
        limits = checked_limits(limits)
        own = len(self.defective) / (len(self.defective) + len(self.good))
        share = own if prevalence is None else checked_prevalence(prevalence)
        misses, overkill = self.misses(limits), self.overkill(limits)
        stopped_defective = 1.0 - misses / len(self.defective)
        return Operating(
            limits=limits,
            defective=len(self.defective),
            good=len(self.good),
            misses=misses,
            miss_bound=miss_bound(misses, len(self.defective), delta),
            overkill=overkill,
            review_load=share * stopped_defective + (1.0 - share) * overkill / len(self.good),
            prevalence=share,
        )

    def rates(self, *, pass_below: float, fail_above: float = 1.0) -> Rates:
        """The counts of one pair of limits in O(log n), as :func:`station.calibration.rates.rates_at_limits`.

        Raises:
            DataRefused: The limits are no numbers or cross.
        """
        if not pass_below <= fail_above:  # also where one of them is no number
            raise DataRefused(f"pass_below {pass_below} must not be above fail_above {fail_above}")
        missed = int(np.searchsorted(self.defective, pass_below, "left"))
        overkill = len(self.good) - int(np.searchsorted(self.good, pass_below, "left"))
        parts = len(self.good) + len(self.defective)
        not_rejected = sum(int(np.searchsorted(s, fail_above, "right")) for s in (self.good, self.defective))
        return Rates(
            misses=Share(missed, len(self.defective)),
            overkill=Share(overkill, len(self.good)),
            review_load=Share(overkill + len(self.defective) - missed, parts),
            rejected=Share(parts - not_rejected, parts),
        )

    def histogram(self, bins: int = 50) -> Histogram:
        """Counts in ``bins`` bins of equal width over [0, 1], in O(bins log n).

        Raises:
            DataRefused: There is not at least one bin.
        """
        if bins < 1:
            raise DataRefused(f"{bins} bins cannot be drawn; ask for at least one")
        edges = np.linspace(0.0, 1.0, bins + 1)
        good, defective = (
            np.diff(np.r_[np.searchsorted(scores, edges[:-1], "left"), len(scores)]).astype(np.int64, copy=False)
            for scores in (self.good, self.defective)
        )
        return Histogram(edges, good, defective)


def miss_bound(misses: Counts, defective: int, delta: float = DELTA) -> Floats:
    """Exact one-sided upper bound of the miss rate for many counts at once.

    ``Beta(1 - delta; k + 1, n - k)``, 1 where all are missed: Clopper & Pearson, Biometrika 26 (1934) 404-413.

    Args:
        misses: Defective parts passed, whole numbers in [0, defective], any shape.
        defective: Defective parts.
        delta: Chance that one bound is wrong, in (0, 1).

    Returns:
        Same shape as ``misses``, in [0, 1].

    Raises:
        DataRefused: A number is out of range.
    """
    between_0_and_1(delta, "delta")
    counts = np.asarray(misses)
    if defective < 1 or (counts.size and (counts.min() < 0 or counts.max() > defective)):
        raise DataRefused(f"misses must lie between 0 and the {defective} defective parts")
    bound = np.ones(counts.shape)
    some = counts < defective
    bound[some] = special.betaincinv(counts[some] + 1.0, defective - counts[some], 1.0 - delta)
    return bound


def checked_limits(limits: Floats) -> Floats:
    """The limits as float64.

    Raises:
        DataRefused: They are not a 1-D float array of numbers.
    """
    if not isinstance(limits, np.ndarray) or limits.ndim != 1 or not np.issubdtype(limits.dtype, np.floating):
        raise DataRefused(f"limits must be a 1-D float array, got {getattr(limits, 'shape', type(limits).__name__)}")
    if np.isnan(limits).any():
        raise DataRefused("one of the limits is no number; leave it out")
    return limits.astype(np.float64, copy=False)


def checked_prevalence(prevalence: float) -> float:
    """The share of defective parts, if it is one.

    Raises:
        DataRefused: It is not in [0, 1].
    """
    if not 0.0 <= prevalence <= 1.0:
        raise DataRefused(f"prevalence {prevalence} is not in [0, 1]; write 0.005 for 5 defective parts in 1,000")
    return prevalence
