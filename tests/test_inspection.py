"""How one part is judged: whatever goes wrong, it is held with the reason, and never looks like a pass."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from station.core.errors import ConfigError, DetectorFault, ImageFault
from station.core.part import Detections
from station.core.verdict import Disposition, Evaluation
from station.inspection import Inspector
from tests.builders import BAD, KEY, MODEL, OK, UNCERTAIN, FakeDetector, detections, part, recipe, spoiled, times


def inspector(*script: Any, audit_fraction: float = 0.0, blind_fraction: float = 0.0) -> Inspector:
    return Inspector(
        recipe(audit_fraction=audit_fraction, blind_fraction=blind_fraction), FakeDetector(script), key=KEY
    )


def test_a_clean_part_passes_with_model_recipe_and_times_kept() -> None:
    it = inspector(OK).inspect(part(), times())
    assert it.verdict.evaluation is Evaluation.OK
    assert it.disposition is Disposition.RELEASE
    assert it.model == MODEL
    assert it.preprocess == "c" * 64
    assert it.recipe_sha256 == recipe().sha256
    assert set(it.stage_ms) == {"health", "detect", "decide"}
    assert it.p_select == 0.0


@pytest.mark.parametrize(("score", "evaluation"), [(UNCERTAIN, Evaluation.NOT_DECIDABLE), (BAD, Evaluation.NOT_OK)])
def test_a_stopped_part_is_held_and_surely_goes_before_a_person(score: float, evaluation: Evaluation) -> None:
    it = inspector(score).inspect(part(), times())
    assert it.verdict.evaluation is evaluation
    assert it.disposition is Disposition.HOLD
    assert it.p_select == 1.0
    assert not it.audit


@pytest.mark.parametrize(
    "failure",
    [
        DetectorFault("out of memory"),
        ImageFault("the picture does not fit the model"),
        RuntimeError("cuda"),
        MemoryError(),
        ZeroDivisionError("in our own code"),
        spoiled({"scratch": math.nan, "dent": 0.0}),
        spoiled({"scratch": -1.0, "dent": 0.0}),
        spoiled({"scratch": 0.1}),
        spoiled({}),
        {"scratch": 0.1, "dent": 0.1, "extra": 0.1},
        lambda image: None,
    ],
)
def test_a_detector_that_fails_or_gives_no_scores_leaves_the_part_undefined_and_held(failure: Any) -> None:
    it = inspector(failure).inspect(part(), times())
    assert it.verdict.evaluation is Evaluation.UNDEFINED
    assert it.disposition is Disposition.HOLD
    assert it.verdict.reason
    assert it.p_select == 1.0


def test_broken_scores_do_not_travel_on_into_the_ledger() -> None:
    it = inspector(spoiled({"scratch": math.nan, "dent": 0.0})).inspect(part(), times())
    assert it.detections is None


@pytest.mark.parametrize(
    ("image", "fault", "words"),
    [
        (None, "cable pulled", "cable pulled"),
        (None, None, "no picture"),
        (np.zeros((64, 96, 3), np.uint8), None, ""),
        (np.full((64, 96, 3), 255, np.uint8), None, ""),
    ],
)
def test_a_part_without_a_trustworthy_picture_never_reaches_the_detector(
    image: Any, fault: str | None, words: str
) -> None:
    judge = inspector(OK)
    it = judge.inspect(part(image=image, fault=fault, blank=True), times())
    assert it.verdict.evaluation is Evaluation.UNDEFINED
    assert words in it.verdict.reason
    assert isinstance(judge.detector, FakeDetector)
    assert judge.detector.seen == 0


def test_a_picture_is_not_trusted_where_its_frame_was_ill() -> None:
    image = part().image
    assert inspector(OK).inspect(part(image=image, fault="frozen"), times()).verdict.evaluation is Evaluation.UNDEFINED


def test_without_a_model_a_person_decides_every_part() -> None:
    it = Inspector(recipe(), None, key=KEY).inspect(part(), times())
    assert it.verdict.evaluation is Evaluation.NOT_DECIDABLE
    assert it.disposition is Disposition.HOLD
    assert (it.model, it.preprocess, it.detections) == (None, None, None)


def test_an_audited_part_passed_but_is_held_blind_with_its_probability() -> None:
    judge = inspector(OK, BAD, audit_fraction=1.0)
    passed = judge.inspect(part(1), times())
    assert passed.audit
    assert passed.verdict.evaluation is Evaluation.OK
    assert passed.disposition is Disposition.HOLD
    assert passed.p_select == 1.0
    assert judge.blind(passed)
    stopped = judge.inspect(part(2), times())
    assert not stopped.audit
    assert not judge.blind(stopped)


def test_the_audit_draw_does_not_see_the_score() -> None:
    """The same parts are drawn whether they scored low or just below the limit."""
    judge = Inspector(recipe(audit_fraction=0.3), FakeDetector([0.0] * 60 + [0.29] * 60), key=KEY)
    drawn = [judge.inspect(part(1 + n % 60), times()).audit for n in range(120)]
    assert drawn[:60] == drawn[60:]
    assert 0 < sum(drawn) < 120


def test_a_share_of_stopped_parts_is_blind_so_that_audits_look_like_others() -> None:
    judge = Inspector(recipe(blind_fraction=0.4), FakeDetector([BAD] * 100), key=KEY)
    blind = sum(judge.blind(judge.inspect(part(n), times())) for n in range(100))
    assert 20 <= blind <= 60


def test_detections_are_kept_with_the_inspection() -> None:
    found = detections(("dent", 0.6, (1, 2, 30, 40)), scratch=0.2)
    it = inspector(found).inspect(part(), times())
    assert it.detections == found
    assert it.verdict.label == "dent"


def test_a_recipe_in_square_millimetres_needs_a_scale_before_the_first_part() -> None:
    product = recipe()
    sized = product.classes[0].model_copy(update={"min_area_mm2": 1.0})
    product = product.model_copy(update={"classes": (sized, product.classes[1])})
    with pytest.raises(ConfigError, match="scratch: min_area_mm2 needs the scale"):
        Inspector(product, FakeDetector(()), key=KEY)
    for mm_per_px, evaluation in ((0.01, Evaluation.OK), (0.1, Evaluation.NOT_OK)):
        found = detections(("scratch", BAD, (20, 16, 44, 32)))
        told = Detections(found.candidates, found.scores, None, {"scratch": 0.0})
        it = Inspector(product, FakeDetector([told]), key=KEY, mm_per_px=mm_per_px).inspect(part(), times())
        assert it.verdict.evaluation is evaluation
        assert it.detections is not None
        assert it.detections.scores["scratch"] == BAD, "what the detector said is kept as it was"


def test_a_picture_that_cannot_be_trusted_is_named_without_asking_the_detector() -> None:
    made = inspector()
    assert made.ill(part()) is None
    assert made.ill(part(fault="camera lost")) == "camera lost"
    assert made.ill(part(image=np.zeros((64, 64, 3), np.uint8))) is not None
    assert made.ill(part(blank=True)) == "the part has no picture"
