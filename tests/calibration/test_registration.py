"""Is the place of a part against its reference found, and is it said when it is not?"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from station.calibration.registration import LEAST_SCORE, SCALE_RANGE, Matrix, Registration, register, warp
from station.core.errors import ImageFault
from station.core.part import BgrImage
from station.sim.disc import DiscSpec
from station.sim.world import Belt, PartInView

SHIPPED = Path(__file__).resolve().parents[2] / "calibration" / "recipes" / "demo-disc.jpg"
SIDE = 344  # of a disc as the trigger cuts it


def blocks(seed: int = 0, *, width: int = 300, height: int = 240) -> BgrImage:
    """A part without any symmetry: rectangles on grey ground, clear of the border."""
    rng = np.random.default_rng(seed)
    image = np.full((height, width, 3), 70, np.uint8)
    for _ in range(14):
        x, y = int(rng.integers(60, width - 110)), int(rng.integers(50, height - 90))
        w, h = (int(side) for side in rng.integers(15, 60, 2))
        cv2.rectangle(image, (x, y), (x + w, y + h), [int(v) for v in rng.integers(0, 255, 3)], -1)
    return image


def similarity(
    image: BgrImage, *, degrees: float = 0.0, scale: float = 1.0, dx: float = 0.0, dy: float = 0.0
) -> Matrix:
    """Turns and scales about the middle, then shifts by shares of the sides."""
    height, width = image.shape[:2]
    a, b = scale * math.cos(math.radians(degrees)), scale * math.sin(math.radians(degrees))
    turn = np.array([[a, -b], [b, a]])
    middle = np.array([(width - 1) / 2, (height - 1) / 2])
    return np.hstack([turn, (middle - turn @ middle + [dx * width, dy * height])[:, np.newaxis]])


def moved(image: BgrImage, matrix: Matrix) -> BgrImage:
    size = image.shape[1], image.shape[0]
    return np.asarray(cv2.warpAffine(image, matrix, size, borderMode=cv2.BORDER_REPLICATE), np.uint8)


def lit(image: BgrImage, *, gain: float, offset: float, gamma: float = 1.0, noise: float = 0.0) -> BgrImage:
    """Brighter on one side than on the other, besides."""
    fall = np.linspace(0.75, 1.2, image.shape[1])[np.newaxis, :, np.newaxis]
    bent = 255 * (np.clip(image * fall, 0, 255) / 255) ** gamma
    grain = np.random.default_rng(0).normal(0, noise, image.shape) if noise else 0.0
    return np.clip(bent * gain + offset + grain, 0, 255).astype(np.uint8)


def corner_error(found: Matrix, true: Matrix, image: BgrImage) -> float:
    """Pixels by which the worst corner of the reference is off."""
    height, width = image.shape[:2]
    corners = np.array([[0, 0, 1], [width, 0, 1], [0, height, 1], [width, height, 1]], float)
    return float(np.hypot(*(corners @ (found - true).T).T).max())


def texture(height: int = 373, width: int = 248, seed: int = 5) -> BgrImage:
    """Ground stone, as a tile has it."""
    rough = cv2.GaussianBlur(np.random.default_rng(seed).normal(0, 1, (height, width)), (0, 0), 2.0)
    grey = np.clip(110 + 120 * rough, 0, 255).astype(np.uint8)
    return np.ascontiguousarray(np.repeat(grey[:, :, np.newaxis], 3, axis=2))


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 30),
    degrees=st.floats(-180, 180),
    scale=st.floats(1 / (1 + SCALE_RANGE), 1 + SCALE_RANGE),
    dx=st.floats(-0.08, 0.08),
    dy=st.floats(-0.08, 0.08),
    gain=st.floats(0.5, 1.3),
    offset=st.floats(-20, 40),
)
def test_turn_shift_scale_and_light_are_recovered(
    seed: int, degrees: float, scale: float, dx: float, dy: float, gain: float, offset: float
) -> None:
    reference = blocks(seed)
    true = similarity(reference, degrees=degrees, scale=scale, dx=dx, dy=dy)
    found = register(lit(moved(reference, true), gain=gain, offset=offset, noise=2.0), reference)
    assert found.good, found.words
    assert corner_error(found.matrix, true, reference) < 2.0
    assert found.scale == pytest.approx(scale, abs=0.01)
    assert abs((found.rotation_deg - degrees + 180) % 360 - 180) < 0.5


def cut_discs(belt: Belt, side: int = SIDE) -> Iterator[tuple[BgrImage, PartInView, tuple[int, int]]]:
    """Every disc of a belt near the middle of the view: its cut, its truth, where the cut lies in the frame."""
    taken = -1
    while not belt.finished:
        belt.advance(3.0)
        for part in belt.truth():
            if part.index > taken and abs(part.x - belt.width / 2) < 40:
                taken = part.index
                # Off the middle by a few pixels, another for every part, as a trigger cuts.
                left = round(part.x) - side // 2 + part.index % 9 - 4
                top = min(max(round(part.y) - side // 2 + part.index % 7 - 3, 0), belt.height - side)
                frame = belt.frame()
                yield np.ascontiguousarray(frame[top : top + side, left : left + side]), part, (left, top)


def disc_error(
    found: Registration, part: PartInView, at: tuple[int, int], reference: tuple[PartInView, tuple[int, int]]
):
    """Degrees (modulo the ring's symmetry: each of its holes is like the next) and pixels at the disc's centre."""
    good, good_at = reference
    pitch = 360 / part.spec.holes
    turn = math.degrees(part.spec.rotation_rad - good.spec.rotation_rad)
    degrees = abs((found.rotation_deg - turn + pitch / 2) % pitch - pitch / 2)
    centre = found.matrix @ [good.x - good_at[0], good.y - good_at[1], 1.0]
    return degrees, math.hypot(centre[0] - (part.x - at[0]), centre[1] - (part.y - at[1]))


def test_sound_and_defective_discs_are_laid_over_a_good_one() -> None:
    good_belt = Belt(seed=7, parts=1, spec_of=lambda index: DiscSpec("D000000", 11, 0.4))
    ((reference, good, good_at),) = cut_discs(good_belt, side=375)
    results = []
    for image, part, at in cut_discs(Belt(seed=8, parts=50, defect_rate=0.5, harmless_rate=0.5)):
        found = register(image, reference)
        results.append((found.good, *disc_error(found, part, at, (good, good_at)), part.spec.defective))
    right = [degrees < 3.0 and pixels < 2.0 for _, degrees, pixels, _ in results]
    assert len(results) == 50
    assert 10 < sum(defective for *_, defective in results) < 40
    assert sum(said for said, *_ in results) >= 49
    assert all(is_right for (said, *_), is_right in zip(results, right, strict=True) if said)


def test_the_shipped_reference_fits_the_simulated_discs() -> None:
    reference = np.asarray(cv2.imread(str(SHIPPED)), np.uint8)
    found = [register(image, reference) for image, _, _ in cut_discs(Belt(seed=9, parts=12, defect_rate=0.5))]
    assert [one.good for one in found] == [True] * 12
    assert all(abs(one.scale - 1) < 0.01 for one in found)


def test_a_sixth_of_a_turn_is_told_from_half_of_that() -> None:
    """Between two holes there is none: the wrong place must lose against the right one by far."""
    spec = {angle: DiscSpec("D000000", 3, math.radians(angle)) for angle in (0, 30)}
    pictures = {}
    for angle, one in spec.items():
        ((pictures[angle], _, _),) = cut_discs(Belt(seed=4, parts=1, spec_of=lambda index, one=one: one))
    found = register(pictures[30], pictures[0])
    assert found.good
    assert abs(abs(found.rotation_deg) - 30) < 1.0


@pytest.mark.parametrize("degrees", [0, 90, 180])
def test_a_large_picture_is_aligned_to_parts_of_its_own_pixels(degrees: float) -> None:
    reference = np.asarray(cv2.resize(blocks(2), None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC), np.uint8)
    true = similarity(reference, degrees=degrees)
    found = register(moved(reference, true), reference)
    assert found.good, found.words
    assert corner_error(found.matrix, true, reference) < 0.5


@pytest.mark.parametrize("factor", [0.5, 2.0, 3.3])
def test_the_reference_may_have_another_resolution(factor: float) -> None:
    reference = blocks(3)
    true = similarity(reference, degrees=77, scale=1.04, dx=0.03)
    part = moved(reference, true)
    other = np.asarray(cv2.resize(reference, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA), np.uint8)
    half = (factor - 1) / 2
    true = true @ np.array([[1 / factor, 0, -half / factor], [0, 1 / factor, -half / factor], [0, 0, 1]])
    found = register(part, other)
    assert found.good, found.words
    assert corner_error(found.matrix, true, other) < 2.0


def test_the_reference_may_have_another_margin() -> None:
    reference = blocks(4)
    wide = cv2.copyMakeBorder(reference, 80, 60, 90, 120, cv2.BORDER_CONSTANT, value=(70, 70, 70))
    true = similarity(reference, degrees=-140)
    found = register(moved(reference, true), np.asarray(wide, np.uint8))
    assert found.good, found.words
    assert corner_error(found.matrix, true @ np.array([[1, 0, -90], [0, 1, -80], [0, 0, 1]]), wide) < 2.0


def disc() -> BgrImage:
    ((image, _, _),) = cut_discs(Belt(seed=1, parts=1))
    return image


@pytest.mark.parametrize("grey", [0, 128, 255])
def test_nothing_is_aligned_with_a_flat_picture(grey: int) -> None:
    flat = np.full((200, 220, 3), grey, np.uint8)
    for pair in ((flat, blocks()), (blocks(), flat), (flat, flat)):
        found = register(*pair)
        assert (found.good, found.score) == (False, 0.0)
        assert "flat" in found.words


def test_another_product_is_not_aligned() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (300, 300, 3), dtype=np.uint8)
    others = {"tile": texture(), "noise": noise, "blocks": blocks(1), "other blocks": blocks(2), "disc": disc()}
    for part in others:
        for reference in others:
            if part != reference:
                found = register(others[part], others[reference])
                assert not found.good, (part, reference, found.words)
                assert found.words.startswith("not aligned")
                assert found.score < LEAST_SCORE - 0.1, (part, reference)  # with room to the limit


@pytest.mark.parametrize("scale", [0.7, 1.4])
def test_a_part_of_another_size_is_not_aligned(scale: float) -> None:
    reference = blocks(6)
    found = register(moved(reference, similarity(reference, scale=scale)), reference)
    assert not found.good
    assert found.words.startswith("not aligned")


def pictures() -> st.SearchStrategy[BgrImage]:
    def make(seed: int, height: int, width: int, kind: str) -> BgrImage:
        rng = np.random.default_rng(seed)
        if kind == "dot":
            image = np.zeros((height, width, 3), np.uint8)
            image[rng.integers(height), rng.integers(width)] = 255
            return image
        if kind == "step":
            return np.repeat((np.arange(width) > width // 2).astype(np.uint8)[None, :, None] * 255, height, 0).repeat(
                3, 2
            )
        coarse = rng.integers(0, 256, (-(-height // 8), -(-width // 8), 3), dtype=np.uint8)
        return np.kron(coarse, np.ones((8, 8, 1), np.uint8))[:height, :width]

    side = st.integers(8, 420)
    return st.builds(make, st.integers(0, 9), side, side, st.sampled_from(["dot", "step", "blocks"]))


@settings(max_examples=30, deadline=None)
@given(pictures(), pictures())
def test_whatever_the_pictures_the_answer_is_whole(part: BgrImage, reference: BgrImage) -> None:
    before = part.copy(), reference.copy()
    found = register(part, reference)
    assert -1.0 <= found.score <= 1.0
    assert found.words
    assert found.matrix.shape == (2, 3)
    assert np.isfinite(found.matrix).all()
    a, b = found.matrix[0, 0], found.matrix[1, 0]
    np.testing.assert_allclose(found.matrix[:, 1], [-b, a], atol=1e-9)  # a similarity
    assert found.scale > 0
    if found.good:
        assert found.score >= LEAST_SCORE
    again = register(part, reference)
    assert (again.score, again.good, again.words) == (found.score, found.good, found.words)
    np.testing.assert_array_equal(again.matrix, found.matrix)
    np.testing.assert_array_equal(part, before[0])
    np.testing.assert_array_equal(reference, before[1])


@pytest.mark.parametrize("image", [None, np.zeros((64, 64), np.uint8), np.zeros((4, 64, 3), np.uint8)])
def test_what_is_no_picture_is_a_fault(image: Any) -> None:
    with pytest.raises(ImageFault):
        register(image, blocks())
    with pytest.raises(ImageFault):
        register(blocks(), image)


def test_the_warped_reference_lies_where_the_part_lies() -> None:
    reference = blocks(8)
    true = similarity(reference, degrees=25, scale=0.95, dx=0.05)
    part = moved(reference, true)
    found = register(part, reference)
    aligned = warp(reference, found, (part.shape[1], part.shape[0]))
    assert aligned.shape == part.shape
    assert aligned.dtype == np.uint8
    middle = np.s_[60:-60, 75:-75]
    off = np.abs(part[middle].astype(int) - aligned[middle]).mean()
    assert off < 0.1 * np.abs(part[middle].astype(int) - reference[middle]).mean()


def test_the_warped_reference_is_black_where_it_does_not_reach() -> None:
    reference = np.full((40, 60, 3), 200, np.uint8)
    shifted = Registration(np.array([[1.0, 0.0, 20.0], [0.0, 1.0, 0.0]]), 1.0, True, "aligned")
    aligned = warp(reference, shifted, (70, 50))
    assert aligned.shape == (50, 70, 3)
    assert (aligned[:40, 20:] == 200).all()
    assert not aligned[:, :20].any()
    assert not aligned[40:].any()
