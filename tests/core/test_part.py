"""What travels is checked at the door."""

from __future__ import annotations

import math
import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from station.core.errors import DetectorFault, ImageFault
from station.core.part import HEAT_SIDE, Box, Detection, Detections, Frame, Sighting, check_bgr
from tests.builders import START, detections, frame, picture

edge = st.floats(-200, 200)


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (np.zeros((64, 96), np.uint8), "shape"),
        (np.zeros((64, 96, 4), np.uint8), "shape"),
        (np.zeros((64, 96, 3), np.float32), "float32"),
        (np.zeros((7, 96, 3), np.uint8), "96 x 7"),
        ([[1, 2, 3]], "list"),
        (None, "NoneType"),
    ],
)
def test_only_whole_bgr_pictures_get_in(image: Any, words: str) -> None:
    with pytest.raises(ImageFault, match=words):
        check_bgr(image)


@pytest.mark.parametrize("xyxy", [(0, 0, 0, 1), (0, 0, 1, 0), (5, 0, 1, 1), (0, 0, math.nan, 1), (0, 0, math.inf, 1)])
def test_a_box_is_neither_empty_nor_inside_out_nor_without_numbers(xyxy: tuple[float, ...]) -> None:
    with pytest.raises(DetectorFault):
        Box(*xyxy)


@given(edge, edge, st.floats(1, 100), st.floats(1, 100))
def test_a_cut_holds_exactly_the_pixels_under_the_box(x: float, y: float, w: float, h: float) -> None:
    image = picture(3)
    box = Box(x, y, x + w, y + h)
    outside = box.x1 <= 0 or box.y1 <= 0 or box.x0 >= 96 or box.y0 >= 64
    if outside:
        with pytest.raises(DetectorFault):
            box.cut(image)
        return
    x0, y0 = max(math.floor(x), 0), max(math.floor(y), 0)
    x1, y1 = min(math.ceil(x + w), 96), min(math.ceil(y + h), 64)
    cut = box.cut(image)
    np.testing.assert_array_equal(cut, image[y0:y1, x0:x1])
    assert cut.flags["C_CONTIGUOUS"]
    assert not np.shares_memory(cut, image)


def test_the_measures_of_a_box() -> None:
    box = Box(1, 2, 4, 8)
    assert (box.width, box.height, box.area, box.centre) == (3, 6, 18, (2.5, 5))
    assert box.grown(1).xyxy == (0, 1, 5, 9)


def test_a_frame_holds_either_a_picture_or_the_reason_why_there_is_none() -> None:
    with pytest.raises(ImageFault):
        Frame(0, "cam", START, 0.0, None)
    with pytest.raises(ImageFault):
        Frame(0, "cam", START, 0.0, picture(), "and yet unreadable")
    with pytest.raises(ImageFault, match="shape"):
        Frame(0, "cam", START, 0.0, np.zeros((64, 96), np.uint8))


def test_a_sighting_cuts_the_part_out_of_its_frame() -> None:
    seen = frame(0)
    assert seen.image is not None
    assert Sighting(seen).cut() is seen.image
    cut = Sighting(seen, Box(8, 8, 40, 32)).cut()
    np.testing.assert_array_equal(cut, seen.image[8:32, 8:40])
    assert Sighting(frame(1, fault="dark")).cut() is None


@pytest.mark.parametrize("score", [math.nan, math.inf, -math.inf, -0.01, 1.01])
def test_what_is_no_score_is_refused_in_parts_and_in_candidates(score: float) -> None:
    with pytest.raises(DetectorFault, match="scratch"):
        Detections((), {"scratch": score})
    with pytest.raises(DetectorFault, match="scratch"):
        Detection("scratch", score, Box(0, 0, 1, 1))


def test_a_part_score_is_never_below_its_best_candidate() -> None:
    with pytest.raises(DetectorFault, match="above its part score"):
        detections(("scratch", 0.9, (0, 0, 5, 5)), scratch=0.2)
    with pytest.raises(DetectorFault, match="no part score"):
        Detections((Detection("scratch", 0.9, Box(0, 0, 5, 5)),), {"dent": 0.1})


def test_a_candidate_whose_score_was_broken_later_is_caught_when_it_is_passed_on() -> None:
    found = Detection("scratch", 0.5, Box(0, 0, 5, 5))
    object.__setattr__(found, "score", math.nan)
    with pytest.raises(DetectorFault):
        Detections((found,), {"scratch": 0.5})


def test_scores_cannot_be_changed_afterwards() -> None:
    given_scores = {"scratch": 0.1}
    found = Detections((), given_scores)
    given_scores["scratch"] = 0.9
    assert found.score == 0.1
    with pytest.raises(TypeError):
        found.scores["scratch"] = 0.0  # type: ignore[index]
    assert Detections().score == 0.0


@pytest.mark.parametrize(
    ("heat", "words"),
    [
        (np.zeros((8, 8), np.float32), "float32"),
        (np.zeros((8, 8, 1), np.uint8), "shape|8, 8, 1"),
        (np.zeros((0, 8), np.uint8), "each side needs"),
        (np.zeros((8, HEAT_SIDE + 1), np.uint8), "each side needs"),
        ([[0]], "list"),
    ],
)
def test_a_heat_map_that_is_none_is_refused(heat: Any, words: str) -> None:
    with pytest.raises(DetectorFault, match=words):
        Detections((), {"scratch": 0.1}, heat)


def test_a_heat_map_cannot_be_changed_afterwards() -> None:
    given_heat = np.full((HEAT_SIDE, 8), 7, np.uint8)
    heat = Detections((), {"scratch": 0.1}, given_heat).heat
    given_heat[:] = 0
    assert heat is not None
    assert (heat == 7).all()
    with pytest.raises(ValueError):
        heat[0, 0] = 0
    assert Detections((), {"scratch": 0.1}, heat[:, ::-2]).heat is not None  # any memory layout


def test_a_heat_map_counts_in_no_comparison() -> None:
    with_heat = Detections((), {"scratch": 0.1}, np.zeros((8, 8), np.uint8))
    assert with_heat == Detections((), {"scratch": 0.1}, np.ones((8, 9), np.uint8)) == Detections((), {"scratch": 0.1})
    assert with_heat != Detections((), {"scratch": 0.2}, np.zeros((8, 8), np.uint8))
    assert "heat" not in repr(with_heat)


def test_detections_reach_another_process_whole_and_are_checked_there() -> None:
    it = detections(("scratch", 0.5, (1, 2, 3, 4)))
    sent = Detections(it.candidates, it.scores, np.ones((4, 4), np.uint8), {"scratch": 0.25})
    back = pickle.loads(pickle.dumps(sent))
    assert back == sent
    assert dict(back.unlisted) == {"scratch": 0.25}
    assert back.heat is not None
    with pytest.raises(TypeError):
        back.scores["scratch"] = 0.0
    broken = Detections((), {"scratch": 0.1})
    object.__setattr__(broken, "scores", {"scratch": math.nan})
    with pytest.raises(DetectorFault):
        pickle.loads(pickle.dumps(broken))


@pytest.mark.parametrize("wrong", [math.nan, -0.1, 1.1])
def test_what_lies_beside_the_candidates_is_a_score(wrong: float) -> None:
    with pytest.raises(DetectorFault, match="not a number in"):
        Detections((), {"scratch": 0.1}, None, {"scratch": wrong})
