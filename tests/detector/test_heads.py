"""Do score maps become the right scores and boxes, and does nothing above the floor get lost?"""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from scipy import ndimage

from station.core.errors import DetectorFault
from station.core.part import HEAT_SIDE, Detection, Detections
from station.detector.heads import MAX_CANDIDATES, TOLERANCE, decode_score_maps
from station.detector.tensors import Prepared

STRIDE = 4


def prepared_for(rows: int, columns: int, *, real: tuple[int, int] | None = None, shrunk: int = 1) -> Prepared:
    """A tensor of ``rows`` x ``columns`` cells from a picture ``shrunk`` times as large."""
    tensor = np.zeros((1, rows * STRIDE, columns * STRIDE, 3), np.uint8)
    real = real or (rows * STRIDE, columns * STRIDE)
    return Prepared(tensor, real, (real[0] * shrunk, real[1] * shrunk))


def decode(
    maps: Any, *, floor: float = 0.02, prepared: Prepared | None = None, classes: tuple[str, ...] = ()
) -> Detections:
    maps = np.asarray(maps, np.float32)
    if maps.ndim == 2:
        maps = maps[np.newaxis, np.newaxis]
    names = classes or tuple("abcdefgh"[: maps.shape[1]])
    prepared = prepared or prepared_for(*maps.shape[2:])
    return decode_score_maps(maps, classes=names, floor=floor, stride=STRIDE, prepared=prepared)


def cells(found: Detection) -> tuple[float, ...]:
    return tuple(edge / STRIDE for edge in found.box.xyxy)


def test_an_empty_map_gives_every_class_its_score_and_no_candidate() -> None:
    maps = np.full((1, 3, 10, 12), 0.0, np.float32)
    maps[0, 1] = 0.019
    found = decode(maps, classes=("crack", "dent", "stain"))
    assert found.candidates == ()
    assert found.scores == {"crack": 0.0, "dent": pytest.approx(0.019), "stain": 0.0}


def test_a_region_becomes_one_tight_box_with_its_peak() -> None:
    maps = np.zeros((1, 2, 10, 12), np.float32)
    maps[0, 1, 2:5, 3:9] = 0.6
    maps[0, 1, 3, 4] = 0.9
    (found,) = decode(maps, classes=("crack", "dent")).candidates
    assert (found.label, found.score) == ("dent", pytest.approx(0.9))
    assert cells(found) == (3, 2, 9, 5)


def test_candidates_come_highest_first_over_all_classes() -> None:
    maps = np.zeros((1, 2, 10, 12), np.float32)
    maps[0, 0, 0, 0], maps[0, 1, 5, 5], maps[0, 0, 9, 9] = 0.3, 0.8, 0.5
    assert [(d.label, round(d.score, 1)) for d in decode(maps).candidates] == [("b", 0.8), ("a", 0.5), ("a", 0.3)]


def test_corners_connect() -> None:
    (found,) = decode(np.eye(8) * 0.7).candidates
    assert cells(found) == (0, 0, 8, 8)


def test_a_faint_tail_does_not_blow_the_box_up() -> None:
    class_map = np.full((20, 30), 0.03)
    class_map[5:8, 10:14] = 0.9
    (found,) = decode(class_map).candidates
    assert cells(found) == (10, 5, 14, 8)


def test_two_defects_joined_by_faint_ground_get_a_box_each() -> None:
    class_map = np.full((20, 30), 0.1)
    class_map[5:8, 2:6] = 0.9
    class_map[5:8, 20:25] = 0.5
    assert [cells(d) for d in decode(class_map).candidates] == [(2, 5, 6, 8), (20, 5, 25, 8)]


def test_a_faint_defect_on_the_tail_of_a_strong_one_keeps_its_box() -> None:
    class_map = np.full((20, 30), 0.05)
    class_map[5:8, 2:6] = 0.9
    class_map[5:8, 20:25] = 0.2
    assert [cells(d) for d in decode(class_map).candidates] == [(2, 5, 6, 8), (20, 5, 25, 8)]


def test_a_shoulder_of_a_defect_is_no_defect() -> None:
    slope = np.linspace(0.9, 0.03, 30)[np.newaxis].repeat(5, axis=0)
    slope[:, 20] += 0.01  # a ripple
    (found,) = decode(slope).candidates
    assert cells(found)[0] == 0
    assert found.score == pytest.approx(0.9)


def test_a_ragged_defect_is_one_box_not_confetti() -> None:
    class_map = np.zeros((20, 30))
    class_map[4:14, 5:25] = np.random.default_rng(1).uniform(0.25, 0.7, (10, 20))
    (found,) = decode(class_map).candidates
    assert cells(found) == (5, 4, 25, 14)


def test_padding_counts_in_no_score_and_no_box() -> None:
    class_map = np.zeros((8, 8))
    class_map[5:, 5:] = 0.5
    class_map[7, 7] = 0.9  # all padding
    prepared = prepared_for(8, 8, real=(25, 26))  # cells 0..6 show some of the part
    found = decode(class_map, prepared=prepared)
    assert found.scores["a"] == pytest.approx(0.5)
    (only,) = found.candidates
    assert only.box.xyxy == (20, 20, 26, 25)


def test_boxes_are_in_pixels_of_the_part_not_of_the_tensor() -> None:
    class_map = np.zeros((8, 8))
    class_map[2:4, 1:5] = 0.5
    (found,) = decode(class_map, prepared=prepared_for(8, 8, shrunk=3)).candidates
    assert found.box.xyxy == (12, 24, 60, 48)


def test_the_floor_itself_is_reported_and_just_below_is_not() -> None:
    for floor in (0.02, 0.3, 0.5):
        at = np.float32(floor)
        at = at if float(at) >= floor else np.nextafter(at, np.float32(1))
        assert len(decode(np.full((4, 4), at), floor=floor).candidates) == 1
        assert decode(np.full((4, 4), np.nextafter(at, np.float32(0))), floor=floor).candidates == ()


def test_a_box_does_not_reach_below_the_floor() -> None:
    below = np.float32(0.02)  # as float32 it is 0.01999999955
    (found,) = decode([[0.03, below, below]], floor=0.02).candidates
    assert cells(found) == (0, 0, 1, 1)


def test_a_strong_defect_between_two_faint_ones_keeps_them_apart() -> None:
    class_map = np.full((3, 30), 0.15)
    class_map[:, 2:5], class_map[:, 12:15], class_map[:, 22:25] = 0.4, 0.9, 0.35
    assert [cells(d)[::2] for d in decode(class_map).candidates] == [(12, 15), (2, 5), (22, 25)]


def test_too_many_candidates_keep_the_highest_and_say_so(caplog: pytest.LogCaptureFixture) -> None:
    class_map = np.zeros((40, 40), np.float32)
    heights = np.linspace(0.2, 0.9, 400, dtype=np.float32)
    np.random.default_rng(0).shuffle(heights)
    class_map[::2, ::2] = heights.reshape(20, 20)
    with caplog.at_level(logging.WARNING):
        found = decode(class_map)
    assert [d.score for d in found.candidates] == sorted(map(float, heights), reverse=True)[:MAX_CANDIDATES]
    assert found.score == pytest.approx(0.9)
    assert "350 regions above the floor 0.02 are left out" in caplog.text


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1.0 + 2 * TOLERANCE, -2 * TOLERANCE])
@pytest.mark.parametrize("place", [(0, 0, 0, 0), (0, 1, 7, 7)])  # the second lies in the padding
def test_what_is_no_probability_is_a_fault_wherever_it_is(value: float, place: tuple[int, ...]) -> None:
    maps = np.full((1, 2, 8, 8), 0.01, np.float32)
    maps[place] = value
    with pytest.raises(DetectorFault, match="not probabilities"):
        decode(maps, prepared=prepared_for(8, 8, real=(20, 20)))


def test_rounding_out_of_the_range_is_clipped() -> None:
    maps = np.full((1, 1, 8, 8), -TOLERANCE / 2, np.float32)
    assert decode(maps).scores == {"a": 0.0}
    maps[0, 0, 3, 3] = 1.0 + TOLERANCE / 2
    found = decode(maps)
    assert found.scores == {"a": 1.0}
    assert found.candidates[0].score == 1.0


@pytest.mark.parametrize(
    "maps",
    [
        np.zeros((1, 2, 8, 7), np.float32),
        np.zeros((1, 1, 8, 8), np.float32),
        np.zeros((2, 2, 8, 8), np.float32),
        np.zeros((2, 8, 8), np.float32),
        np.zeros((1, 2, 8, 8), np.float64),
        np.zeros((1, 2, 8, 8), np.uint8),
        [[0.5]],
        None,
    ],
)
def test_a_wrong_shape_or_type_is_a_fault(maps: Any) -> None:
    with pytest.raises(DetectorFault, match=r"expected score maps float32 \(1, 2, 8, 8\), got"):
        decode_score_maps(maps, classes=("a", "b"), floor=0.02, stride=STRIDE, prepared=prepared_for(8, 8))


def test_the_maps_are_not_changed() -> None:
    maps = np.random.default_rng(0).random((1, 2, 16, 16), dtype=np.float32)
    before = maps.copy()
    maps.flags.writeable = False
    decode(maps)
    assert np.array_equal(maps, before)


def heat_of(found: Detections) -> np.ndarray:
    assert found.heat is not None
    return found.heat


def test_the_heat_map_is_the_strongest_score_over_the_classes() -> None:
    maps = np.random.default_rng(0).random((1, 3, 10, 12), dtype=np.float32)
    np.testing.assert_array_equal(heat_of(decode(maps)), np.rint(maps[0].max(axis=0) * 255))


def test_the_heat_map_shows_no_padding() -> None:
    class_map = np.zeros((8, 8))
    class_map[5:, 5:] = 0.4
    class_map[7, 7] = 0.8  # all padding
    heat = heat_of(decode(class_map, prepared=prepared_for(8, 8, real=(25, 26))))
    assert heat.shape == (7, 7)
    assert heat[-1, -1] == 102
    assert heat.max() == 102


def test_the_heat_map_spans_the_part_from_edge_to_edge() -> None:
    class_map = np.zeros((64, 192))
    class_map[62:, 190:] = 0.6  # the last corner, and its cells lie half in the padding
    class_map[30, 40] = 1.0  # one cell of a map that shrinks
    heat = heat_of(decode(class_map, prepared=prepared_for(64, 192, real=(254, 766), shrunk=3)))
    assert heat.shape == (42, HEAT_SIDE)  # 762 x 2298 part pixels
    assert heat[-1, -1] == 153
    y, x = np.argwhere(heat == 255)[0]
    scale = 766 / HEAT_SIDE  # tensor pixels per pixel of the heat map
    assert abs((x + 0.5) * scale - 40.5 * STRIDE) <= scale
    assert abs((y + 0.5) * scale - 30.5 * STRIDE) <= scale


def test_a_half_padded_last_cell_does_not_stretch_the_heat_map() -> None:
    class_map = np.zeros((40, 40))
    class_map[38, 38] = 1.0  # 152 to 156 of 157 pixels: 38.7 to 39.7 of 40 in the heat map
    heat = heat_of(decode(class_map, prepared=prepared_for(40, 40, real=(157, 157))))
    np.testing.assert_array_equal(np.argwhere(heat == 255), [[39, 39]])


@settings(deadline=None)
@given(st.integers(1, 300), st.integers(1, 300), st.floats(0.2, 4.0), st.data())
def test_heat_and_picture_have_one_shape_and_one_maximum(
    height: int, width: int, scale: float, data: st.DataObject
) -> None:
    real = max(1, round(height * scale)), max(1, round(width * scale))
    rows, columns = -(-real[0] // STRIDE), -(-real[1] // STRIDE)
    prepared = Prepared(np.zeros((1, rows * STRIDE, columns * STRIDE, 3), np.uint8), real, (height, width))
    class_map = np.zeros((rows, columns), np.float32)
    y, x = data.draw(st.integers(0, rows - 1)), data.draw(st.integers(0, columns - 1))
    class_map[y, x] = 0.7
    heat = heat_of(decode(class_map, prepared=prepared))
    assert max(heat.shape) == max(1, min(HEAT_SIDE, max(rows, columns)))
    longest = max(heat.shape) / max(height, width)
    assert abs(heat.shape[0] - height * longest) <= 0.5 + 1e-9 or heat.shape[0] == 1
    assert abs(heat.shape[1] - width * longest) <= 0.5 + 1e-9 or heat.shape[1] == 1
    assert heat.max() == 178  # 0.7 * 255, wherever the one cell lies
    hot = np.argwhere(heat)
    for axis, (cell, side) in enumerate(((y, real[0]), (x, real[1]))):
        pitch = side / STRIDE / heat.shape[axis]  # cells per pixel of the heat map
        low, high = hot[:, axis].min() * pitch, (hot[:, axis].max() + 1) * pitch
        assert low - 0.5 - pitch <= cell <= high + 0.5 + pitch  # no further off than rounding to whole cells


LEVELS = st.sampled_from([0.0, 0.01, 0.05, 0.1, 0.2, 0.3, 0.45, 0.5, 0.9, 1.0])


@settings(max_examples=300, deadline=None)
@given(npst.arrays(np.float32, npst.array_shapes(min_dims=2, max_dims=2, max_side=14), elements=LEVELS))
def test_nothing_above_the_floor_is_lost(class_map: np.ndarray) -> None:
    floor = 0.05
    found = decode(class_map, floor=floor)
    assert found.scores["a"] == class_map.max()
    labels, count = ndimage.label(class_map >= floor, np.ones((3, 3)))
    boxes = [tuple(int(edge) for edge in cells(d)) for d in found.candidates]
    regions = []
    for d, (x0, y0, x1, y1) in zip(found.candidates, boxes, strict=True):
        window = class_map[y0:y1, x0:x1]
        peaks = labels[y0:y1, x0:x1][window == np.float32(d.score)]
        assert peaks.size  # the peak lies in its own box
        assert peaks.all()
        regions.append(set(peaks.tolist()))
        # every edge of the box touches something at least half as high as its peak: it is tight
        high = window >= d.score / 2
        assert high[0].any()
        assert high[-1].any()
        assert high[:, 0].any()
        assert high[:, -1].any()
    for region in range(1, count + 1):
        top = class_map[labels == region].max()
        assert any(d.score == top and region in where for d, where in zip(found.candidates, regions, strict=True))
        # and nothing half as high as the region's peak lies outside all boxes
        for y, x in np.argwhere((labels == region) & (class_map >= top / 2)):
            assert any(x0 <= x < x1 and y0 <= y < y1 for x0, y0, x1, y1 in boxes)
    assert [d.score for d in found.candidates] == sorted((d.score for d in found.candidates), reverse=True)
    if class_map.max() < floor:
        assert not found.candidates


@settings(deadline=None)
@given(st.integers(1, 14), st.integers(1, 14), st.data())
def test_every_box_lies_in_the_part(rows: int, columns: int, data: st.DataObject) -> None:
    real = (
        data.draw(st.integers((rows - 1) * STRIDE + 1, rows * STRIDE)),
        data.draw(st.integers((columns - 1) * STRIDE + 1, columns * STRIDE)),
    )
    prepared = Prepared(
        np.zeros((1, rows * STRIDE, columns * STRIDE, 3), np.uint8),
        real,
        (data.draw(st.integers(1, 200)), data.draw(st.integers(1, 200))),
    )
    maps = data.draw(npst.arrays(np.float32, (1, 1, rows, columns), elements=LEVELS))
    height, width = prepared.source
    for found in decode(maps, prepared=prepared).candidates:
        assert 0 <= found.box.x0 < found.box.x1 <= width
        assert 0 <= found.box.y0 < found.box.y1 <= height


def test_beside_the_candidates_lies_at_most_the_floor_where_nothing_is() -> None:
    maps = np.zeros((1, 2, 10, 12), np.float32)
    maps[0, 1, 2:5, 3:9] = 0.6
    maps[0, 1, 3, 4] = 0.9
    found = decode(maps, classes=("crack", "dent"))
    assert dict(found.unlisted) == {"crack": 0.0, "dent": 0.02}


def test_the_flank_of_a_candidate_belongs_to_it_and_its_shoulder_outside_the_box_does_not() -> None:
    alone = np.zeros((8, 20), np.float32)
    alone[4, 3:12] = [0.9, 0.7, 0.5, 0.44, 0.4, 0.36, 0.32, 0.28, 0.25]
    assert decode(alone).unlisted["a"] == 0.02, "a slope without a top of its own"
    shoulder = alone.copy()
    shoulder[4, 10] = 0.40
    (found,) = decode(shoulder).candidates
    assert cells(found)[2] <= 10
    assert decode(shoulder).unlisted["a"] == pytest.approx(0.40)


def test_what_is_one_candidate_too_many_lies_beside_them() -> None:
    maps = np.zeros((30, 30), np.float32)
    heights = np.linspace(0.9, 0.2, 225, dtype=np.float32)
    maps[::2, ::2] = heights.reshape(15, 15)
    found = decode(maps)
    assert len(found.candidates) == MAX_CANDIDATES
    assert found.unlisted["a"] == pytest.approx(float(heights[MAX_CANDIDATES]))


@settings(max_examples=200, deadline=None)
@given(npst.arrays(np.float32, npst.array_shapes(min_dims=2, max_dims=2, max_side=14), elements=LEVELS))
def test_no_top_outside_the_boxes_is_higher_than_what_is_said_to_lie_beside(class_map: np.ndarray) -> None:
    found = decode(class_map)
    outside = np.ones(class_map.shape, bool)
    for it in found.candidates:
        x0, y0, x1, y1 = (round(v) for v in cells(it))
        outside[y0:y1, x0:x1] = False
    tops = class_map == ndimage.maximum_filter(class_map, size=3, mode="constant")
    highest = class_map[outside & tops].max(initial=0.0)
    assert found.unlisted["a"] <= found.scores["a"]
    assert found.unlisted["a"] >= min(highest, found.scores["a"])
