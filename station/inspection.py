"""How is one part inspected? Health, detector, limits, audit draw: the same for live and replay."""

from __future__ import annotations

import logging

from station.core.errors import ImageFault, InspectionFault
from station.core.part import Detections, Part
from station.core.ports import Detector
from station.core.timing import StageTimes
from station.core.verdict import Evaluation, Inspection, Verdict
from station.decision import drawn, evaluate, undecided_without_model, undefined
from station.health import check_part
from station.recipe import Recipe

log = logging.getLogger(__name__)


class Inspector:
    """A recipe with its detector, ready to judge parts.

    Args:
        recipe: What to inspect.
        detector: The model's detector; ``None`` sends every part to review.
        key: The station's secret drawing key for audits.
    """

    def __init__(self, recipe: Recipe, detector: Detector | None, *, key: bytes) -> None:
        self.recipe = recipe
        self.detector = detector
        self._key = key
        self._limits = recipe.limits
        self._recipe_sha256 = recipe.sha256

    def inspect(self, part: Part, times: StageTimes) -> Inspection:
        """Judges one part; whatever goes wrong, the part ends ``UNDEFINED`` with the reason."""
        detections: Detections | None = None
        try:
            detections = self._detect(part, times)
            with times.stage("decide"):
                verdict = undecided_without_model() if detections is None else evaluate(detections, self._limits)
        except InspectionFault as fault:
            detections, verdict = None, undefined(fault)
        except Exception as error:
            # A fault of our own must not take the line down, and must never look like a pass.
            log.exception("inspection of part %s failed", part.part_id)
            detections = None
            verdict = Verdict(Evaluation.UNDEFINED, f"not inspected: {type(error).__name__}: {error}")
        passed = verdict.evaluation is Evaluation.OK
        fraction = self.recipe.review.audit_fraction
        return Inspection(
            part=part,
            detections=detections,
            verdict=verdict,
            recipe_sha256=self._recipe_sha256,
            model=self.detector.model if self.detector else None,
            p_select=fraction if passed else 1.0,
            audit=passed and drawn(self._key, part.part_id, fraction, "audit"),
            stage_ms=times.as_ms(),
            preprocess=self.detector.preprocess if self.detector else None,
        )

    def blind(self, inspection: Inspection) -> bool:
        """Whether a review of this part hides the verdict: every audit, and a share of the stopped parts like it."""
        return inspection.audit or drawn(self._key, inspection.part.part_id, self.recipe.review.blind_fraction, "blind")

    def challenge(self, inspection: Inspection) -> bool:
        """Whether a known part is shown again beside this stopped one."""
        fraction = self.recipe.review.challenge_fraction
        return drawn(self._key, inspection.part.part_id, fraction, "challenge")

    def _detect(self, part: Part, times: StageTimes) -> Detections | None:
        if part.fault is not None:
            raise ImageFault(part.fault)
        if part.image is None:
            raise ImageFault("the part has no picture")
        with times.stage("health"):
            check_part(part.image, self.recipe.health)
        if self.detector is None:
            return None
        with times.stage("detect"):
            found = self.detector.detect(part.image)
            # Checked again at our own door, whoever made it.
            return Detections(found.candidates, found.scores, found.heat)
