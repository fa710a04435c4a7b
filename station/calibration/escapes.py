"""How many defective parts leave the station, and how sure is that?

Only stopped parts get labels, so escapes show in the audits alone: passed parts drawn at random, whatever their score.
Of n audits x were escapes. Two bounds on the share of escapes among passed parts follow, wrong with chance delta each:

- **fixed**: Clopper-Pearson, where n was settled beforehand. Read again and again until it pleases, it is wrong more
  often than delta.
- **live**: valid at every moment at once, so it may be watched. For a share p0 the evidence against it is the mixture
  of likelihood ratios of ``j * p0`` against p0::

      E(p0) = sum_j w_j * j^x * ((1 - j p0) / (1 - p0))^(n - x)

  If the share is p0 or more, E is a nonnegative supermartingale that starts at 1, and reaches 1/delta with chance delta
  at most (Ville 1939). The bound is the largest p0 with ``E < 1/delta``. Such mixtures go back to Robbins, Annals of
  Mathematical Statistics 41 (1970) 1397-1409; as bets: Waudby-Smith & Ramdas, Journal of the Royal Statistical Society
  B 86 (2024) 1-27; as e-values: Vovk & Wang, Annals of Statistics 49 (2021) 1736-1754.

Where escapes are many the live bound keeps its distance, a seventh above their share: its nearest bet is three
quarters as many.

Begin both anew when model, recipe or camera changes. A third bound needs no audit: :func:`product_bound`. Where it and
the audits contradict each other, :func:`disagreement` says so.
"""

from __future__ import annotations

import bisect
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from station.calibration.guarantee import DELTA, MOST_PARTS, at_most, between_0_and_1, parts_needed, percent
from station.calibration.rates import Share, clopper_pearson_upper
from station.core.errors import DataRefused

# A bet on fewer escapes than p0. The more lies on "none at all", the fewer clean audits a claim takes and the more it
# takes after an escape: with these 728 for 0.5 % without an escape and 1,372 with one; evenly weighted 761 and 1,337.
_FEWER = ((0.0, 0.300), (1 / 8, 0.175), (1 / 4, 0.175), (1 / 2, 0.175), (3 / 4, 0.175))
# A bet on more, for the alarm: at least twice as many as there should be.
_MORE = ((2.0, 0.25), (4.0, 0.25), (8.0, 0.25), (16.0, 0.25))


@dataclass(frozen=True, slots=True)
class AuditCard:
    """What the audits say.

    Attributes:
        escapes: Audits that were escapes, of all audits since the last change.
        target: Share of escapes among passed parts that is to be shown.
        delta: Chance that a bound is wrong.
        fixed: Bound for a number of audits that was settled beforehand.
        live: Bound that may be watched.
        to_audit_fixed: Audits without an escape until ``fixed`` reaches the target; 0: it has.
        to_audit_live: The same for ``live``.
    """

    escapes: Share
    target: float
    delta: float
    fixed: float
    live: float
    to_audit_fixed: int
    to_audit_live: int

    def __str__(self) -> str:
        words = (
            f"escapes in {self.escapes.count} of {self.escapes.total} audits: "
            f"at most {at_most(self.live)} of passed parts"
        )
        return f"{words}; {percent(self.target)} needs {self.to_audit_live} more" if self.to_audit_live else words


@dataclass(frozen=True, slots=True)
class TotalMiss:
    """The defective parts that leave, as shares of all defective parts.

    Attributes:
        model: Passed by the machine: F.
        inspector: Stopped by the machine, released by a person: ``(1 - F) * m``.
        unaudited: The share of ``model`` that no audit draws, so that nobody ever sees it: ``F * (1 - fraction)``.
    """

    model: float
    inspector: float
    unaudited: float

    @property
    def total(self) -> float:
        """``F + (1 - F) * m``."""
        return self.model + self.inspector


def audit_card(escapes: Share, target: float, *, delta: float = DELTA) -> AuditCard:
    """Both bounds of the uniform audits, and what is still to be done for a target.

    Args:
        escapes: Escapes of all uniform audits since the last change of model, recipe or camera. Parts that were chosen
            for any other reason do not belong here.
        target: Share of escapes among passed parts that is to be shown, in (0, 1).
        delta: Chance that a bound is wrong, in (0, 1).

    Raises:
        DataRefused: A number is out of range.
    """
    between_0_and_1(target, "target")
    return AuditCard(
        escapes=escapes,
        target=target,
        delta=delta,
        fixed=clopper_pearson_upper(escapes.count, escapes.total, 1 - delta),
        live=live_upper(escapes.count, escapes.total, delta),
        to_audit_fixed=max(0, parts_needed(target, 1 - delta, escapes.count) - escapes.total),
        to_audit_live=max(0, audits_needed(target, escapes.count, delta) - escapes.total),
    )


def live_upper(escapes: int, audits: int, delta: float = DELTA) -> float:
    """Upper bound of the share of escapes that holds at every moment at once, wrong with chance delta at most.

    Args:
        escapes: Audits that were escapes.
        audits: Uniform audits so far; 0 gives 1.
        delta: Chance that the bound is ever wrong, in (0, 1).

    Returns:
        The largest p0 with ``E(p0) < 1/delta``, rounded up by 1e-12 of itself at most.

    Raises:
        DataRefused: A number is out of range.
    """
    between_0_and_1(delta, "delta")
    if not 0 <= escapes <= audits:
        raise DataRefused(f"{escapes} escapes in {audits} audits cannot be; count both again")
    if escapes == audits:
        return 1.0
    enough = -math.log(delta)
    low, high = 0.0, 1.0  # E grows with p0, from sum_j w_j j^x at 0 to infinity at 1
    while high - low > 1e-12 * high:
        middle = (low + high) / 2
        low, high = (low, middle) if _log_e(escapes, audits, middle, _FEWER) >= enough else (middle, high)
    return high


def audits_needed(target: float, escapes: int = 0, delta: float = DELTA) -> int:
    """The fewest audits, ``escapes`` of them escapes, with which the live bound reaches the target.

    Args:
        target: Share of escapes among passed parts that is to be shown, in (0, 1).
        escapes: Escapes so far.
        delta: Chance that the bound is ever wrong, in (0, 1).

    Raises:
        DataRefused: A number is out of range, or more than a thousand million audits would be needed.
    """
    between_0_and_1(target, "target")
    enough = -math.log(between_0_and_1(delta, "delta"))
    if escapes < 0:
        raise DataRefused(f"{escapes} escapes cannot be; count them again")

    def reached(audits: int) -> bool:
        return _log_e(escapes, audits, target, _FEWER) >= enough

    most = escapes + 1
    while not reached(most):
        most *= 2
        if most > MOST_PARTS:
            raise DataRefused(f"a share of {percent(target)} needs more than {MOST_PARTS:,} audits; promise less")
    return bisect.bisect_left(range(most), True, lo=escapes, key=reached)


def escapes_estimate(escaped: NDArray[np.bool_], p_select: NDArray[np.floating], passed: int) -> float:
    """Estimated share of escapes among passed parts, from every part that was looked at, for whatever reason.

    ``sum(escaped / p_select) / passed``: Horvitz & Thompson, Journal of the American Statistical Association 47 (1952)
    663-685. Without bias if p_select is right; a point estimate, so it may exceed 1. Its bound comes from the uniform
    audits alone, see :func:`audit_card`.

    Args:
        escaped: Whether the part was defective, shape ``(parts looked at,)``.
        p_select: Chance with which it was drawn by any of the streams, in (0, 1], same shape.
        passed: Parts that the machine passed, looked at or not.

    Raises:
        DataRefused: Shapes differ, a chance is not in (0, 1], or more parts were looked at than passed.
    """
    found, chance = np.asarray(escaped), np.asarray(p_select, dtype=np.float64)
    if found.ndim != 1 or found.dtype != np.bool_ or found.shape != chance.shape:
        raise DataRefused(
            f"escaped must be 1-D bool and p_select as long, got {found.dtype} {found.shape}, {chance.shape}"
        )
    if passed < max(1, len(found)):
        raise DataRefused(f"{len(found)} parts looked at, {passed} passed; give the number of all passed parts")
    if not ((chance > 0.0) & (chance <= 1.0)).all():
        raise DataRefused("a p_select is not in (0, 1]; a part that could not be drawn estimates nothing, leave it out")
    return float(np.sum(1.0 / chance[found]) / passed)


def product_bound(confirmed: int, passed: int, misses: Share, *, delta: float = DELTA) -> float:
    """Bound of the share of escapes among passed parts, from what was stopped instead of what was audited.

    ``c * F / (1 - F)``, delta/2 each, times 10^6 for PPM. For D defective parts of which the share F is passed,
    ``D (1 - F)`` are stopped and ``D F`` escape. c is the number of confirmed defects per passed part, bounded as
    ``q / (1 - q)`` with q the Clopper-Pearson bound of ``confirmed`` among ``confirmed + passed``; F is the bound of
    ``misses``.

    It holds only as long as the line makes the defects that ``misses`` was counted on, and people find what is
    stopped.

    Args:
        confirmed: Stopped parts in which a person confirmed a defect.
        passed: Parts that the machine passed in the same time.
        misses: Defective parts missed at the limits in force, of all defective parts of a set of their own.
        delta: Chance that the bound is wrong, in (0, 1).

    Returns:
        A share of passed parts; infinite where the misses bound nothing (all were missed).

    Raises:
        DataRefused: A number is out of range.
    """
    if confirmed < 0 or passed < 1:
        raise DataRefused(f"{confirmed} confirmed defects and {passed} passed parts bound nothing; count a longer time")
    half = between_0_and_1(delta, "delta") / 2
    per_stop = clopper_pearson_upper(confirmed, confirmed + passed, 1 - half)
    missed = misses.upper(1 - half)
    return per_stop / (1 - per_stop) * missed / (1 - missed) if missed < 1.0 else math.inf


def disagreement(audits: Share, confirmed: int, passed: int, misses: Share, *, delta: float = DELTA) -> str | None:
    """Words of alarm if the audits find more escapes than :func:`product_bound` allows, else None.

    Half of delta goes to the product bound. With the other half the audits are tested against it by the mixture of
    likelihood ratios of j times that share, j in {2, 4, 8, 16}: as for the live bound, so the alarm may be watched.

    Args:
        audits: Escapes of all uniform audits.
        confirmed: As :func:`product_bound`.
        passed: As :func:`product_bound`.
        misses: As :func:`product_bound`.
        delta: Chance of a false alarm, in (0, 1).

    Raises:
        DataRefused: A number is out of range.
    """
    allowed = product_bound(confirmed, passed, misses, delta=delta / 2)
    if allowed >= 1.0 or _log_e(audits.count, audits.total, allowed, _MORE) < -math.log(delta / 2):
        return None
    return (
        f"escapes in {audits.count} of {audits.total} audits, but with {misses.count} of {misses.total} defective "
        f"parts missed and {confirmed} confirmed beside {passed} passed parts at most {at_most(allowed)} should "
        "escape: a new kind of defect, or wrong labels; look at the audited escapes, and review every part until the "
        "cause is known"
    )


def total_miss(model: float, inspector: float, audit_fraction: float = 0.0) -> TotalMiss:
    """Who lets defective parts go: ``F + (1 - F) * m``.

    Put in bounds to get a bound: if each of the two is wrong with chance delta/2, the total is with delta at most.

    Args:
        model: F, share of the defective parts that the machine passes, in [0, 1].
        inspector: m, share of the defective parts before them that people release, in [0, 1]; from challenge parts.
        audit_fraction: Share of the passed parts drawn for an audit, in [0, 1].

    Raises:
        DataRefused: A share is not in [0, 1].
    """
    for value, what in ((model, "model"), (inspector, "inspector"), (audit_fraction, "audit fraction")):
        if not 0.0 <= value <= 1.0:
            raise DataRefused(f"{what} {value} is not in [0, 1]; write 0.02 for 2 %")
    return TotalMiss(model, (1.0 - model) * inspector, model * (1.0 - audit_fraction))


def _log_e(escapes: int, audits: int, share: float, bets: tuple[tuple[float, float], ...]) -> float:
    """Logarithm of E; powers of hundreds of audits leave what a float can hold."""
    clean = audits - escapes
    terms = []
    for j, weight in bets:
        if (j == 0.0 and escapes) or j * share >= 1.0:
            continue  # lost by the first escape; or above 1 and no bet, left out on the safe side
        won = escapes * math.log(j) if escapes else 0.0
        terms.append(math.log(weight) + won + clean * (math.log1p(-j * share) - math.log1p(-share)))
    if not terms:
        return -math.inf
    largest = max(terms)
    return largest + math.log(sum(math.exp(term - largest) for term in terms))
