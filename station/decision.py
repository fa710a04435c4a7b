"""What follows from the scores of a part? Pure: the same scores and limits give the same verdict, for ever.

Live running, replay and threshold tuning all go through :func:`evaluate`. Nothing here defaults to
pass: ``OK`` needs a finite score below ``pass_below`` for every class of the recipe.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence

from station.core.errors import InspectionFault
from station.core.part import Box, Detection, Detections, PartId
from station.core.verdict import Evaluation, Verdict
from station.recipe import Limits

SAME_PLACE = 0.5
"""Share of the smaller of two boxes from which both mean the same place."""


def evaluate(detections: Detections, limits: Mapping[str, Limits]) -> Verdict:
    """Judges the part scores of one part against the limits of every class.

    Args:
        detections: What the detector found; ``scores`` holds one part score per class of the model.
        limits: ``pass_below`` and ``fail_above`` of every class of the recipe.

    Returns:
        ``OK`` only if every class of the recipe was scored, every scored class has limits, and every
        score is below its ``pass_below``. ``NOT_OK`` if one is above ``fail_above``. Else
        ``NOT_DECIDABLE``. ``UNDEFINED`` where limits and scores do not fit each other.
    """
    if not limits:
        return Verdict(Evaluation.UNDEFINED, "no limits are set for this product")
    unscored = sorted(limits.keys() - detections.scores.keys())
    if unscored:
        return Verdict(Evaluation.UNDEFINED, f"the model gave no score for {', '.join(unscored)}")
    unlimited = sorted(detections.scores.keys() - limits.keys())
    if unlimited:
        return Verdict(Evaluation.UNDEFINED, f"the recipe has no limits for {', '.join(unlimited)}")
    broken = sorted(label for label, score in detections.scores.items() if not 0.0 <= score <= 1.0)  # NaN as well
    if broken:
        return Verdict(Evaluation.UNDEFINED, f"the score of {', '.join(broken)} is not a number in [0, 1]")

    # The class that decides is the one furthest along its own limits, not the one with the largest score.
    failed = {c: s for c, s in detections.scores.items() if s > limits[c].fail_above}
    if failed:
        label = max(failed, key=lambda c: (failed[c] - limits[c].fail_above, c))
        return Verdict(
            Evaluation.NOT_OK,
            f"{label} {failed[label]:.2f} is above the reject limit {limits[label].fail_above:.2f}",
            failed[label],
            label,
        )
    passed = {c: s for c, s in detections.scores.items() if s < limits[c].pass_below}
    if len(passed) == len(detections.scores):
        label = max(passed, key=lambda c: (passed[c] - limits[c].pass_below, c))
        return Verdict(
            Evaluation.OK,
            f"every class is below its pass limit; nearest: {label} {passed[label]:.2f} "
            f"of {limits[label].pass_below:.2f}",
            passed[label],
            label,
        )
    unclear = {c: s for c, s in detections.scores.items() if c not in passed}
    label = max(unclear, key=lambda c: (unclear[c] - limits[c].pass_below, c))
    return Verdict(
        Evaluation.NOT_DECIDABLE,
        f"{label} {unclear[label]:.2f} lies between pass {limits[label].pass_below:.2f} "
        f"and reject {limits[label].fail_above:.2f}",
        unclear[label],
        label,
    )


def proposals(candidates: Sequence[Detection], limits: Mapping[str, Limits]) -> list[Detection]:
    """What the machine proposes to a person: candidates that stop the part, one per place, strongest first.

    Several classes often answer at one defect; agreeing to all of them would store labels that contradict.
    """
    stopping = [c for c in candidates if c.label in limits and not c.score < limits[c.label].pass_below]
    return strongest_per_place(stopping)


def strongest_per_place(candidates: Sequence[Detection]) -> list[Detection]:
    """The strongest of the candidates that lie at one place, strongest first.

    Two lie at one place where the smaller box is covered by half or more.
    """
    kept: list[Detection] = []
    for candidate in sorted(candidates, key=lambda c: (-c.score, c.label)):
        if not any(_covered(candidate.box, stronger.box) >= SAME_PLACE for stronger in kept):
            kept.append(candidate)
    return kept


def _covered(a: Box, b: Box) -> float:
    width = min(a.x1, b.x1) - max(a.x0, b.x0)
    height = min(a.y1, b.y1) - max(a.y0, b.y0)
    return max(width, 0.0) * max(height, 0.0) / min(a.area, b.area)


def undefined(fault: InspectionFault) -> Verdict:
    """The verdict on a part whose inspection failed: held, with the reason."""
    return Verdict(Evaluation.UNDEFINED, f"not inspected: {fault}")


def undecided_without_model() -> Verdict:
    """The verdict for a recipe that has no model yet: a person decides every part."""
    return Verdict(Evaluation.NOT_DECIDABLE, "no model for this product yet: a person decides")


def drawn(key: bytes, part_id: PartId, fraction: float, purpose: str) -> bool:
    """Whether a part falls into a random share that anyone holding ``key`` can check afterwards.

    ``HMAC-SHA256(key, purpose ":" part_id)`` read as a number in [0, 1) and compared with ``fraction``:
    independent of the score, repeatable, not steerable without the key.

    Args:
        key: The station's secret drawing key.
        part_id: The part.
        fraction: Share to draw, in [0, 1].
        purpose: Separates draws from one another (``"audit"``, ``"blind"``).
    """
    digest = hmac.new(key, f"{purpose}:{part_id}".encode(), hashlib.sha256).digest()
    return int.from_bytes(digest[:8], "big") < fraction * 2.0**64
