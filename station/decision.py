"""What follows from the scores of a part? Pure: the same scores and limits give the same verdict, for ever.

Live running, replay and threshold tuning all go through :func:`judge`: :func:`counting` leaves out what the recipe
says is too small or lies in an ignored region, :func:`evaluate` holds what is left against the limits. Nothing here
defaults to pass: ``OK`` needs a finite score below ``pass_below`` for every class of the recipe, and a score is only
lowered as far as the detector says that nothing else is there.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from station.core.errors import ConfigError, InspectionFault
from station.core.part import Box, Detection, Detections, PartId
from station.core.verdict import Evaluation, Verdict
from station.recipe import Limits, Recipe

SAME_PLACE = 0.5
"""Share of the smaller of two boxes from which both mean the same place."""


@dataclass(frozen=True, slots=True)
class Counts:
    """Which candidates of one class count.

    Attributes:
        min_area_px: Least area of a candidate's box in square pixels of the part picture.
        ignored: Regions ``(x0, y0, x1, y1)`` in shares of the part picture; a candidate that lies wholly inside one
            does not count. Wholly, and not by its centre alone: a scratch that runs out of a region has its other
            end where people care.
    """

    min_area_px: float = 0.0
    ignored: tuple[tuple[float, float, float, float], ...] = ()

    def left_out(self, box: Box, size: tuple[int, int]) -> str | None:
        """Why a candidate does not count, in two words; ``None`` where it does.

        Args:
            box: The candidate's, in part pixels.
            size: ``(height, width)`` of the part picture in pixels.
        """
        if box.area < self.min_area_px:
            return "too small"
        height, width = size
        for x0, y0, x1, y1 in self.ignored:
            if box.x0 >= x0 * width and box.y0 >= y0 * height and box.x1 <= x1 * width and box.y1 <= y1 * height:
                return "ignored region"
        return None


def counts_of(recipe: Recipe, mm_per_px: float | None) -> dict[str, Counts]:
    """Which candidates count, for every class that has a minimum size or an ignored region; all others count whole.

    Args:
        recipe: The product.
        mm_per_px: Millimetres on the part per pixel of its picture; ``None`` where the station was not calibrated.

    Raises:
        ConfigError: A class has a minimum in square millimetres, but the station has no scale (or it is no number
            above 0).
    """
    if mm_per_px is not None and not 0.0 < mm_per_px < float("inf"):
        raise ConfigError(f"mm_per_px is {mm_per_px}: a scale is a number above 0; calibrate the station's optics anew")
    found = {}
    for kind in recipe.classes:
        least = kind.min_area_px or 0.0
        if kind.min_area_mm2 is not None:
            if mm_per_px is None:
                raise ConfigError(
                    f"recipe {recipe.name}, class {kind.name}: min_area_mm2 needs the scale of this station, which has "
                    "none: calibrate its optics, or write min_area_px instead"
                )
            least = max(least, kind.min_area_mm2 / mm_per_px**2)
        ignored = tuple(r.xyxy for r in recipe.ignore if not r.classes or kind.name in r.classes)
        if least or ignored:
            found[kind.name] = Counts(least, ignored)
    return found


def judge(
    detections: Detections, limits: Mapping[str, Limits], counts: Mapping[str, Counts], *, size: tuple[int, int]
) -> Verdict:
    """The verdict on one part: :func:`evaluate` on what :func:`counting` leaves, with what was left out in the reason.

    Args:
        detections: What the detector found.
        limits: Of every class of the recipe.
        counts: From :func:`counts_of`.
        size: ``(height, width)`` of the part picture in pixels.
    """
    if not counts:
        return evaluate(detections, limits)
    left = counting(detections, counts, size=size)
    verdict = evaluate(left, limits)
    lowered = [c for c in detections.scores if left.scores.get(c) != detections.scores[c]]
    if not lowered:
        return verdict
    words = ", ".join(f"{c} {detections.scores[c]:.2f} counts as {left.scores[c]:.2f}" for c in sorted(lowered))
    return replace(verdict, reason=f"{verdict.reason} (small or ignored places left out: {words})")


def counting(detections: Detections, counts: Mapping[str, Counts], *, size: tuple[int, int]) -> Detections:
    """The detections without the candidates that do not count, and with part scores that follow from the rest.

    A part score is lowered only where it is fully explained: its best candidate reaches it, and the detector says
    what the places beside its candidates may score at most (``unlisted``). What is left is the best candidate that
    counts or that most, whichever is higher. Otherwise the part score stands: nothing defaults to pass.

    Args:
        detections: What the detector found.
        counts: By class; a class that is not named counts whole.
        size: ``(height, width)`` of the part picture in pixels.
    """
    scores = dict(detections.scores)
    kept = []
    best: dict[str, float] = {}
    counted: dict[str, float] = {}
    out = set()
    for found in detections.candidates:
        label = found.label
        best[label] = max(best.get(label, 0.0), found.score)
        if label in counts and counts[label].left_out(found.box, size) is not None:
            out.add(label)
        else:
            kept.append(found)
            counted[label] = max(counted.get(label, 0.0), found.score)
    for label in out:
        whole = scores.get(label, float("nan"))
        if whole <= best[label]:  # false where it is no number, or none was given
            rest = max(counted.get(label, 0.0), detections.unlisted.get(label, whole))
            scores[label] = min(whole, rest)
    left = Detections()
    # Not checked again: a score that is no number must reach the evaluation, which holds the part for it.
    object.__setattr__(left, "candidates", tuple(kept))
    object.__setattr__(left, "scores", scores)
    return left


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
