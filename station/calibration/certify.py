"""What does a sealed set of parts certify about limits that were fixed before it was opened?

Certifying chooses nothing. The limits are fixed first; then a sealed set, which neither training nor tuning has seen,
is opened once: k of its n defective parts pass, and the miss rate is at most ``Beta(1 - delta; k + 1, n - k)``
(Clopper & Pearson, Biometrika 26 (1934) 404-413). C classes with limits of their own share delta (Bonferroni).

Every evaluation of a sealed set is a look. The best of several looks promises less than it shows, so with L looks each
bound is taken at ``delta / L``, which holds for all L results at once. That is exact where L was settled beforehand;
who looks again until a result pleases has no L, and needs a new set.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from station.calibration.certificate import EVERY_CLASS, Assumption, Certificate, Claim, digest
from station.calibration.guarantee import DELTA, between_0_and_1
from station.calibration.rates import clopper_pearson_upper
from station.core.errors import DataRefused

GOOD = "ok"
"""Truth of a part without a defect."""

LEAST_LOTS = 30
"""Distinct lots asked for. A rule of thumb, no theorem: defects of one lot are alike, so the lots are what is
independent. Simulated, with 600 defective parts taken as independent while 30 % of the variance of their scores lay
between lots: of the promises of 1 %, meant to break in 5 % of stations at most, 10 % broke with 12 lots, 5 % with 30,
2 % with 120; of the promises of 5 %, which rest on more misses, 24 %, 14 % and 6 %."""


@dataclass(frozen=True, slots=True)
class SealedPart:
    """One part of a sealed set.

    Attributes:
        part_id: Each part once.
        truth: Its class, :data:`GOOD` without a defect.
        score: The one score that the limit of its class judges: the largest over views and boxes.
        lot: Where it came from; empty if unknown.
        people: How many people gave its label independently; 0 if unknown.
    """

    part_id: str
    truth: str
    score: float
    lot: str = ""
    people: int = 0


def issue(
    parts: Sequence[SealedPart],
    limits: Mapping[str, float],
    *,
    alpha: Mapping[str, float],
    model_sha256: str,
    recipe_sha256: str,
    optics_sha256: str | None,
    issued_at: datetime,
    expires_at: datetime,
    looks: int,
    delta: float = DELTA,
    seen: Collection[str] | None = None,
) -> Certificate:
    """Certifies limits that were fixed before the sealed set was opened. This is a look: count it.

    A part counts as missed if its score is below the limit of its class; where another class would have stopped it,
    the claim is only safer. Evidence that is too thin is no error: the certificate says what holds and what is missing.

    Args:
        parts: The sealed set; good parts are part of its hash, and say nothing about misses.
        limits: ``pass_below`` by class, one for each class among the parts, or one for :data:`EVERY_CLASS`.
        alpha: Miss rate to show, by the same keys.
        model_sha256: Of the model that gave the scores.
        recipe_sha256: Of the recipe with these limits.
        optics_sha256: Of camera, lens and light; ``None`` for a station that is not calibrated.
        issued_at: Now, with its time zone.
        expires_at: When it is to be done again.
        looks: Evaluations of this set so far, with any model and limits, this one included. A set that was only added
            to keeps its looks.
        delta: Chance that any claim is wrong, in (0, 1).
        seen: Ids of all parts used in training or tuning; None if nobody knows.

    Raises:
        DataRefused: A part appears twice or its score is no number, limits and parts do not fit each other, there is
            no defective part for a limit, or a number is out of range.
    """
    if looks < 1:
        raise DataRefused(f"{looks} looks cannot be: this one counts; give the number kept with the set, plus one")
    between_0_and_1(delta, "delta")
    by_label = _defective_by_limit(parts, limits)
    claims = []
    for label, limit in limits.items():
        if label not in alpha:
            raise DataRefused(f"no miss rate to show for {label}; give alpha for every limit")
        mine = by_label[label]
        missed, shared = sum(part.score < limit for part in mine), delta / len(limits)
        claims.append(
            Claim(
                label=label,
                limit=float(limit),
                alpha=between_0_and_1(alpha[label], f"alpha of {label}"),
                delta=shared,
                looks=looks,
                parts=len(mine),
                lots=len({part.lot for part in mine} - {""}),
                misses=missed,
                single=clopper_pearson_upper(missed, len(mine), 1 - shared),
                upper=clopper_pearson_upper(missed, len(mine), 1 - shared / looks),
            )
        )
    return Certificate(
        claims=tuple(claims),
        delta=delta,
        looks=looks,
        set_sha256=set_sha256(parts),
        model_sha256=model_sha256,
        recipe_sha256=recipe_sha256,
        optics_sha256=optics_sha256,
        issued_at=issued_at,
        expires_at=expires_at,
        assumptions=(
            *_assumptions([p for p in parts if p.truth != GOOD], claims, looks, seen),
            Assumption(
                "camera as it was",
                None if optics_sha256 is None else True,
                "the camera is not calibrated: nobody would notice that it moved"
                if optics_sha256 is None
                else f"calibrated, {optics_sha256[:12]}",
            ),
        ),
    )


def set_sha256(parts: Sequence[SealedPart]) -> str:
    """Identifies a sealed set by its parts, their truth and lots, in any order; looks are counted under it."""
    return digest(sorted((part.part_id, part.truth, part.lot) for part in parts))


def _defective_by_limit(parts: Sequence[SealedPart], limits: Mapping[str, float]) -> dict[str, list[SealedPart]]:
    if not limits:
        raise DataRefused("there is no limit to certify; give one for each class, or one for all")
    twice = [part_id for part_id, times in Counter(part.part_id for part in parts).items() if times > 1]
    if twice:
        raise DataRefused(
            f"{len(twice)} parts have several scores, such as {twice[0]}; give one per part, the largest over its views"
        )
    joint = EVERY_CLASS in limits
    if joint and len(limits) > 1:
        raise DataRefused(f"limits for {EVERY_CLASS} and for single classes at once; give one or the other")
    by_label: dict[str, list[SealedPart]] = {label: [] for label in limits}
    for part in parts:
        if not 0.0 <= part.score <= 1.0:  # also where it is no number
            raise DataRefused(
                f"part {part.part_id} has the score {part.score}, not a number in [0, 1]; inspect it again"
            )
        if part.truth == GOOD:
            continue
        label = EVERY_CLASS if joint else part.truth
        if label not in by_label:
            raise DataRefused(f"part {part.part_id} is {part.truth}, for which there is no limit; give one")
        by_label[label].append(part)
    for label, limit in limits.items():
        if not 0.0 <= limit <= 1.0:
            raise DataRefused(f"limit {limit} of {label} is not a number in [0, 1]")
        if not by_label[label]:
            raise DataRefused(f"no defective part for the limit of {label}; good parts alone say nothing about escapes")
    return by_label


def _assumptions(
    defective: Sequence[SealedPart], claims: Sequence[Claim], looks: int, seen: Collection[str] | None
) -> tuple[Assumption, ...]:
    total = len(defective)
    without = sum(not part.lot for part in defective)
    fewest = min(claims, key=lambda claim: claim.lots)
    in_lots = f"{fewest.subject}: {fewest.parts} defective parts from {fewest.lots} lots, {LEAST_LOTS} are asked for"
    single = sum(part.people == 1 for part in defective)
    doubled = sum(part.people >= 2 for part in defective)
    overlap = len({part.part_id for part in defective} & set(seen or ()))
    return (
        Assumption("one score per part", True, f"{total} defective parts, each once"),
        Assumption(
            "lots",
            True if fewest.lots >= LEAST_LOTS else None if without else False,
            f"{in_lots}; {without} without a known lot" if without else in_lots,
        ),
        Assumption(
            "sealed set used once",
            True if looks == 1 else None,  # paid for by delta / looks, if their number was settled beforehand
            "first look" if looks == 1 else f"looked at {looks} times; holds if it was settled to look {looks} times",
        ),
        Assumption(
            "apart from training and tuning",
            None if seen is None else overlap == 0,
            "nobody has said what was trained and tuned on"
            if seen is None
            else f"{overlap} of {total} defective parts were trained or tuned on",
        ),
        Assumption(
            "labels by two people",
            False if single else True if doubled == total else None,
            f"{doubled} of {total} defective parts were labelled by two people or more, {single} by one",
        ),
    )
