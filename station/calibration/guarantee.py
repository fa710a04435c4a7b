"""Below which score may parts pass, so that the miss rate is promised and not only seen?

A part passes if its score is below ``pass_below``; a score equal to the limit stops. So the n defective parts with
scores ``s(1) <= ... <= s(n)`` give a limit by rank alone::

    m*         = max{m : BinomCDF(m; n, alpha) <= delta}
    pass_below = s(m* + 1)
    claim      = BetaQuantile(1 - delta; m* + 1, n - m*)

The miss rate below the r-th smallest of n independent scores is ``Beta(r, n - r + 1)`` whatever their distribution
(Wilks, Annals of Mathematical Statistics 12 (1941) 91-96), so it exceeds alpha with chance ``BinomCDF(m*; n, alpha)``:
at most delta. The claim is the Clopper-Pearson bound of m* misses among n. For one limit on a monotone loss this is
risk-controlling prediction sets (Bates, Angelopoulos, Lei, Malik & Jordan, Journal of the ACM 68 (2021) 43) and the
fixed sequence of "learn then test" (Angelopoulos, Bates, Candes, Jordan & Lei, arXiv:2110.01052), with the exact
binomial tail.

Equal scores only help: where several scores equal the limit all of them stop, so fewer than m* parts are missed. The
claim is still made for m*, never for the smaller count: which scores are equal was seen on these very parts.

Everything rests on defective parts drawn independently from those that the line will make: one score per part, and
distinct lots. The limit may be lowered afterwards and the claim holds; raised, it is gone.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from scipy import special

from station.calibration.rates import Scores, Share, _checked, clopper_pearson_upper
from station.core.errors import DataRefused

DELTA = 0.05
"""Chance that a promise is broken, unless another one is asked for."""

ALPHA_BY_SEVERITY: Mapping[str, float] = MappingProxyType({"critical": 0.005, "major": 0.01, "minor": 0.05})
"""Miss rate to promise, by the severity of the defect."""

MOST_PARTS = 10**9
"""Promises that need more defective parts are refused: nobody has them."""


@dataclass(frozen=True, slots=True)
class LowerLimit:
    """A lower limit with the miss rate that it promises.

    Attributes:
        pass_below: Scores below pass. Always a score of a defective part, which itself stops.
        alpha: Miss rate that was asked for.
        delta: Chance that the promise is broken; already divided where several limits share it.
        allowed: m*, the misses that the rank allows.
        misses: Defective parts below the limit, of all defective. Below ``allowed`` only where scores are equal.
        claim: Miss rate that is promised, at most ``alpha``.
    """

    pass_below: float
    alpha: float
    delta: float
    allowed: int
    misses: Share
    claim: float

    def __str__(self) -> str:
        return (
            f"pass below {self.pass_below:.4g}: {self.misses.count} of {self.misses.total} defective parts missed, "
            f"at most {at_most(self.claim)} of all such parts, {percent(1 - self.delta)} sure"
        )


def allowed_misses(parts: int, alpha: float, delta: float = DELTA) -> int:
    """The most misses among ``parts`` with which a miss rate of ``alpha`` can be promised; -1: none, too few parts.

    ``m* = max{m : BinomCDF(m; parts, alpha) <= delta}``; it depends on no score.

    Args:
        parts: Defective parts.
        alpha: Miss rate to promise, in (0, 1).
        delta: Chance that the promise is broken, in (0, 1).

    Raises:
        DataRefused: A number is out of range.
    """
    _checked_parts(parts)
    between_0_and_1(alpha, "alpha")
    between_0_and_1(delta, "delta")
    return bisect.bisect_right(range(parts), delta, key=lambda m: float(special.bdtr(m, parts, alpha))) - 1


def parts_needed(alpha: float, confidence: float = 1 - DELTA, misses: int = 0) -> int:
    """The fewest defective parts among which ``misses`` misses still promise a miss rate of ``alpha``.

    The smallest n with ``BinomCDF(misses; n, alpha) <= 1 - confidence``: 299 for 1 % at 95 % without a miss.

    Args:
        alpha: Miss rate to promise, in (0, 1).
        confidence: Chance that the promise holds, in (0, 1).
        misses: Defective parts passed.

    Raises:
        DataRefused: A number is out of range, or more than :data:`MOST_PARTS` parts would be needed.
    """
    between_0_and_1(alpha, "alpha")
    between_0_and_1(confidence, "confidence")
    if misses < 0:
        raise DataRefused(f"{misses} misses cannot be; count the defective parts that passed")
    delta = 1.0 - confidence

    def reached(parts: int) -> bool:
        return float(special.bdtr(misses, parts, alpha)) <= delta

    enough = misses + 1
    while not reached(enough):
        enough *= 2
        if enough > MOST_PARTS:
            raise DataRefused(f"a miss rate of {percent(alpha)} needs more than {MOST_PARTS:,} parts; promise less")
    return bisect.bisect_left(range(enough), True, lo=misses + 1, key=reached)


def lower_limit(defective: Scores, alpha: float, *, delta: float = DELTA, limits: int = 1) -> LowerLimit:
    """The highest lower limit that promises a miss rate of at most ``alpha``.

    For a recipe with several classes each limit is taken from the parts of its class and ``limits`` is their number:
    each gets ``delta / limits``, so all promises together are broken with chance delta at most (Bonferroni). A part
    that another class stops as well only makes the promise safer.

    Args:
        defective: Scores of defective parts, one per part, shape ``(parts,)``. Not those the model was tuned on.
        alpha: Miss rate to promise, in (0, 1); by severity in :data:`ALPHA_BY_SEVERITY`.
        delta: Chance that any of the promises is broken, in (0, 1).
        limits: Limits that share delta.

    Raises:
        DataRefused: There are too few parts (the message says what holds with them and how many more it takes), a
            number is out of range, or the array is empty, not 1-D or not finite.
    """
    scores = _checked(defective, "defective")
    if limits < 1:
        raise DataRefused(f"{limits} limits cannot share delta; give the number of classes with a limit of their own")
    shared = between_0_and_1(delta, "delta") / limits
    allowed = allowed_misses(len(scores), alpha, shared)
    if allowed < 0:
        raise DataRefused(f"{what_holds(Share(0, len(scores)), alpha, shared)}; label more, or promise less")
    limit = float(np.partition(scores, allowed)[allowed])
    return LowerLimit(
        pass_below=limit,
        alpha=alpha,
        delta=shared,
        allowed=allowed,
        misses=Share(int(np.count_nonzero(scores < limit)), len(scores)),
        claim=clopper_pearson_upper(allowed, len(scores), 1 - shared),
    )


def limit_to_set(t_cost: float, t_guarantee: float) -> float:
    """The lower of the limit that is cheapest and the one that is promised: ``min(t_cost, t_guarantee)``.

    Lowering a limit only lowers the miss rate, so the promise holds for the result however ``t_cost`` was found.

    Raises:
        DataRefused: One of them is no number.
    """
    if math.isnan(t_cost) or math.isnan(t_guarantee):
        raise DataRefused(f"of the limits {t_cost} and {t_guarantee} one is no number; compute both first")
    return min(t_cost, t_guarantee)


def what_holds(misses: Share, alpha: float, delta: float = DELTA) -> str:
    """What so many misses promise, and how many more parts ``alpha`` takes if none of them is missed.

    Example: ``12 parts, 0 missed: at most 22.1 %; 1 % needs 287 more``. A bound is never rounded down.

    Raises:
        DataRefused: A number is out of range.
    """
    bound = clopper_pearson_upper(misses.count, misses.total, 1 - delta)
    words = f"{misses.total} parts, {misses.count} missed: at most {at_most(bound)}"
    more = parts_needed(alpha, 1 - delta, misses.count) - misses.total
    return f"{words}; {percent(alpha)} needs {more} more" if more > 0 else words


def at_most(bound: float) -> str:
    """An upper bound in percent with three figures, rounded up: a promise must not shrink on the screen."""
    value = 100.0 * bound
    if value <= 0.0:
        return "0 %"
    unit = 10.0 ** (math.floor(math.log10(value)) - 2)
    return f"{math.ceil(value / unit - 1e-9) * unit:.3g} %"  # 1e-9: what is 1 % up to rounding stays 1 %


def percent(share: float) -> str:
    """A share that was asked for, in percent."""
    return f"{100.0 * share:.4g} %"


def between_0_and_1(value: float, what: str) -> float:
    """The value, if it lies in the open interval (0, 1).

    Raises:
        DataRefused: It does not, or is no number.
    """
    if not 0.0 < value < 1.0:  # also where it is no number
        raise DataRefused(f"{what} {value} is not in (0, 1); write 0.01 for 1 %")
    return value


def _checked_parts(parts: int) -> None:
    if parts < 1:
        raise DataRefused(f"{parts} defective parts promise nothing; label at least one")
