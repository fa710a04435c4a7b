"""Does every detector keep the promises of :class:`station.core.ports.Detector`?

To add one, write a function that makes it in an empty folder and put it into :data:`DETECTORS`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from station.core.errors import ImageFault, InspectionFault
from station.core.part import BgrImage
from station.core.ports import Detector
from station.detector.onnx import OnnxDetector
from station.registry import ModelRegistry
from tests.detector.builders import write_model_folder


def _onnx(folder: Path, **spec: Any) -> Detector:
    write_model_folder(folder, classes=("dark", "dim", "never"), gains=(1.0, 0.5, 0.0), **spec)
    return OnnxDetector(ModelRegistry(folder).open("darkness/1"))


DETECTORS: dict[str, Callable[[Path], Detector]] = {
    "onnx": _onnx,
    "onnx, resized": lambda folder: _onnx(folder, resize_long=96),
    "onnx, black padding": lambda folder: _onnx(folder, padding="constant", multiple=16),
}


@pytest.fixture(scope="module", params=DETECTORS)
def detector(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Detector:
    return DETECTORS[request.param](tmp_path_factory.mktemp("models"))


def noise(height: int, width: int, seed: int = 0) -> BgrImage:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


PICTURES: dict[str, BgrImage] = {
    "black": np.zeros((64, 80, 3), np.uint8),
    "white": np.full((64, 80, 3), 255, np.uint8),
    "noise": noise(90, 131),
    "smallest": noise(8, 8),
    "flat": noise(8, 200),
    "tall": noise(201, 9),
    "view": noise(120, 120)[7:90, 11:100],
    "mirrored": noise(64, 64)[:, ::-1],
    "read-only": np.broadcast_to(np.full((1, 1, 3), 90, np.uint8), (64, 64, 3)),
}


def test_it_names_model_and_preprocessing(detector: Detector) -> None:
    assert detector.model.name
    assert detector.model.version
    assert re.fullmatch(r"[0-9a-f]{64}", detector.model.sha256)
    assert re.fullmatch(r"[0-9a-f]{16,64}", detector.preprocess)
    assert detector.model == detector.model


@pytest.mark.parametrize("name", PICTURES)
def test_every_class_is_scored_on_every_picture(detector: Detector, name: str) -> None:
    expected = detector.detect(PICTURES["white"]).scores.keys()
    found = detector.detect(PICTURES[name])
    assert expected
    assert found.scores.keys() == expected
    assert all(0.0 <= score <= 1.0 for score in found.scores.values())  # false for NaN, too


@pytest.mark.parametrize("name", PICTURES)
def test_candidates_are_ordered_and_lie_in_the_picture(detector: Detector, name: str) -> None:
    height, width = PICTURES[name].shape[:2]
    found = detector.detect(PICTURES[name])
    scores = [d.score for d in found.candidates]
    assert scores == sorted(scores, reverse=True)
    for d in found.candidates:
        assert 0 <= d.box.x0 < d.box.x1 <= width
        assert 0 <= d.box.y0 < d.box.y1 <= height
    for label in {d.label for d in found.candidates}:
        best = max(d.score for d in found.candidates if d.label == label)
        assert best == pytest.approx(found.scores[label], abs=1e-6)


@pytest.mark.parametrize("name", PICTURES)
def test_a_heat_map_has_the_shape_of_the_picture_and_the_score_of_the_part(detector: Detector, name: str) -> None:
    height, width = PICTURES[name].shape[:2]
    found = detector.detect(PICTURES[name])
    if found.heat is None:
        return  # a head without maps
    longest = max(found.heat.shape) / max(height, width)
    assert found.heat.shape == (max(1, round(height * longest)), max(1, round(width * longest)))
    assert int(found.heat.max()) == pytest.approx(255 * found.score, abs=0.51)
    np.testing.assert_array_equal(found.heat, detector.detect(PICTURES[name]).heat)


@pytest.mark.parametrize("name", PICTURES)
def test_the_picture_is_not_changed_and_the_answer_is_repeatable(detector: Detector, name: str) -> None:
    image = PICTURES[name]
    before = image.copy()
    first = detector.detect(image)
    detector.detect(PICTURES["noise"])
    assert detector.detect(image) == first
    assert np.array_equal(image, before)


def test_an_answer_outlives_its_picture(detector: Detector) -> None:
    image = noise(64, 64)
    found = detector.detect(image)
    kept = dict(found.scores), found.candidates
    image[:] = 0
    detector.detect(image)
    assert (dict(found.scores), found.candidates) == kept


@pytest.mark.parametrize(
    "image",
    [
        None,
        "picture.png",
        np.zeros((0, 0, 3), np.uint8),
        np.zeros((4, 100, 3), np.uint8),
        np.zeros((64, 64), np.uint8),
        np.zeros((64, 64, 4), np.uint8),
        np.zeros((64, 64, 3), np.float32),
        np.zeros((1, 64, 64, 3), np.uint8),
    ],
    ids=lambda image: str(getattr(image, "shape", image)),
)
def test_what_is_no_picture_is_a_fault_of_the_picture(detector: Detector, image: Any) -> None:
    with pytest.raises(ImageFault):
        detector.detect(image)


def test_a_huge_picture_is_inspected_or_a_fault(detector: Detector) -> None:
    huge = np.broadcast_to(np.uint8(200), (5000, 5000, 3))
    try:
        found = detector.detect(huge)
    except InspectionFault:
        return
    assert all(0.0 <= score <= 1.0 for score in found.scores.values())


def test_several_threads_may_ask_at_once(detector: Detector) -> None:
    images = [noise(64 + 8 * n, 80, seed=n) for n in range(8)]
    alone = [detector.detect(image) for image in images]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(detector.detect, images)) == alone
