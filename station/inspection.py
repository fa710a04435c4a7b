"""How is one part inspected? Health, detector, limits, audit draw: the same for live and replay."""

from __future__ import annotations

import logging

from station.core.errors import ImageFault, InspectionFault
from station.core.part import BgrImage, Detections, Part
from station.core.ports import Detector
from station.core.timing import StageTimes
from station.core.verdict import Evaluation, Inspection, Verdict
from station.decision import counts_of, drawn, judge, undecided_without_model, undefined
from station.health import check_part
from station.recipe import Recipe

log = logging.getLogger(__name__)


class Inspector:
    """A recipe with its detector, ready to judge parts.

    Args:
        recipe: What to inspect.
        detector: The model's detector; ``None`` sends every part to review.
        key: The station's secret drawing key for audits.
        mm_per_px: Millimetres on the part per pixel of its picture; ``None`` where the station has no scale.

    Raises:
        ConfigError: The recipe asks for square millimetres and the station has no scale.
    """

    def __init__(
        self, recipe: Recipe, detector: Detector | None, *, key: bytes, mm_per_px: float | None = None
    ) -> None:
        self.recipe = recipe
        self.detector = detector
        self._key = key
        self._mm_per_px = mm_per_px
        self._limits = recipe.limits
        self._counts = counts_of(recipe, mm_per_px)
        self._recipe_sha256 = recipe.sha256

    def under(self, recipe: Recipe) -> Inspector:
        """Another inspector with the same detector, key and scale, for the same product under other limits.

        Raises:
            ConfigError: The recipe asks for square millimetres and the station has no scale.
        """
        return Inspector(recipe, self.detector, key=self._key, mm_per_px=self._mm_per_px)

    def inspect(self, part: Part, times: StageTimes) -> Inspection:
        """Judges one part; whatever goes wrong, the part ends ``UNDEFINED`` with the reason."""
        detections: Detections | None = None
        try:
            detections = self._detect(part, times)
            with times.stage("decide"):
                verdict = undecided_without_model() if detections is None else self._judge(detections, part.image)
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

    def ill(self, part: Part) -> str | None:
        """Why the part's picture cannot be trusted, before any detector looks; ``None`` where it can."""
        try:
            self._trusted(part)
        except ImageFault as fault:
            return str(fault)
        return None

    def _trusted(self, part: Part) -> BgrImage:
        if part.fault is not None:
            raise ImageFault(part.fault)
        if part.image is None:
            raise ImageFault("the part has no picture")
        check_part(part.image, self.recipe.health)
        return part.image

    def _detect(self, part: Part, times: StageTimes) -> Detections | None:
        with times.stage("health"):
            image = self._trusted(part)
        if self.detector is None:
            return None
        with times.stage("detect"):
            found = self.detector.detect(image)
            # Checked again at our own door, whoever made it.
            return Detections(found.candidates, found.scores, found.heat, found.unlisted)

    def _judge(self, detections: Detections, image: BgrImage | None) -> Verdict:
        assert image is not None
        return judge(detections, self._limits, self._counts, size=(image.shape[0], image.shape[1]))
