"""Are millimetres right: the scale over the whole field, distances, areas, and how sure they are said to be?"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from station.calibration.optics.board import Corners, find_corners
from station.calibration.optics.plane import fit_plane
from station.core.errors import DataRefused
from station.core.part import Box
from tests.calibration.optics.conftest import Known
from tests.calibration.rendered import (
    BELT,
    BOARD,
    CAMERA,
    Pose,
    charuco_texture,
    dot_centres,
    dots_texture,
    projected,
    render,
)

FIELD = np.column_stack([v.ravel() for v in np.meshgrid(np.linspace(2, 637, 13), np.linspace(2, 477, 11))])


def local_scale(to_mm: object, at: NDArray[np.float64]) -> NDArray[np.float64]:
    """Root of the area that a pixel covers, by differences."""
    assert callable(to_mm)
    right, below = np.array([0.5, 0.0]), np.array([0.0, 0.5])
    across, down = to_mm(at + right) - to_mm(at - right), to_mm(at + below) - to_mm(at - below)
    return np.sqrt(np.abs(across[:, 0] * down[:, 1] - across[:, 1] * down[:, 0]))


def test_the_scale_is_right_over_the_whole_field(known: Known) -> None:
    """From the camera's own pixels, through the lens, onto the belt: 0.2 % at most, at every place."""

    def measured(pixels: NDArray[np.float64]) -> NDArray[np.float64]:
        return known.plane.to_mm(known.fit.lens.rectify_points(pixels))

    truth = local_scale(known.truth_mm, FIELD)
    assert truth.mean() == pytest.approx(0.05, rel=0.03)
    assert truth.max() / truth.min() > 1.01, "the scale is the same everywhere: the test would pass on one factor"
    assert np.abs(local_scale(measured, FIELD) / truth - 1).max() <= 0.002
    assert np.abs(measured(FIELD) - known.truth_mm(FIELD)).max() <= 0.01


def test_mm_per_px_is_the_scale_at_its_place(known: Known) -> None:
    expected = local_scale(known.plane.to_mm, FIELD)
    found = [known.plane.mm_per_px(x, y) for x, y in FIELD]
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    corners = [known.plane.mm_per_px(x, y) for x in (0, 639) for y in (0, 479)]
    assert known.plane.coarsest_mm_per_px == max(corners) >= max(found)


def test_twenty_distances_are_right_to_a_hundredth_of_a_millimetre(known: Known) -> None:
    """Dots at known places are rendered, straightened, found and measured."""
    rng = np.random.default_rng(5)
    grid = np.stack(np.meshgrid(np.linspace(5.5, 30.5, 5), np.linspace(4.5, 22.5, 4)), axis=-1).reshape(-1, 2)
    places = grid + rng.uniform(-0.7, 0.7, grid.shape)
    picture = render(CAMERA, dots_texture(places, 0.6, (36, 27)), BELT, seed=7)
    about = known.fit.lens.rectify_points(projected(CAMERA, places, BELT))
    found = dot_centres(known.fit.lens.rectify(picture), about, 0.6 / 0.05)
    partner = np.roll(np.arange(20), 7)
    measured = [known.plane.distance_mm(tuple(found[n]), tuple(found[m])) for n, m in enumerate(partner)]
    truth = np.hypot(*(places - places[partner]).T)
    assert truth.max() > 20
    assert np.abs(measured - truth).max() <= 0.01


def test_areas_of_boxes_are_exact_and_know_where_the_part_was_cut(known: Known) -> None:
    box = Box(100, 80, 300, 220)
    grid = np.stack(np.meshgrid(np.arange(100, 300), np.arange(80, 220)), axis=-1).reshape(-1, 2).astype(float)
    counted = sum(known.plane.mm_per_px(x, y) ** 2 for x, y in grid[::37]) * 37 * len(grid) / (37 * len(grid[::37]))
    assert known.plane.area_mm2(box) == pytest.approx(counted, rel=1e-4)
    inside_part = Box(60, 30, 260, 170)
    assert known.plane.area_mm2(inside_part, origin=(40.0, 50.0)) == pytest.approx(known.plane.area_mm2(box), rel=1e-12)


def test_a_box_begins_half_a_pixel_before_the_centre_of_its_first_pixel(known: Known) -> None:
    """Seen at a strong slant, so that half a pixel shows: a box of one pixel is what that pixel covers."""
    rows = ((0.1, 0.0, 0.0), (0.0, 0.1, 0.0), (0.004, 0.002, 1.0))
    slanted = known.plane.model_copy(update={"to_mm_rows": rows})
    assert slanted.area_mm2(Box(20, 30, 21, 31)) == pytest.approx(slanted.mm_per_px(20, 30) ** 2, rel=1e-4)
    assert slanted.area_mm2(Box(20, 30, 21, 31)) != pytest.approx(slanted.mm_per_px(20.5, 30.5) ** 2, rel=1e-3)


@pytest.mark.parametrize("above_mm", [6.0, -3.0])
def test_a_face_above_the_belt_has_its_own_scale(known: Known, above_mm: float) -> None:
    corners = find_corners(known.belt_picture, known.board)
    plane = fit_plane(corners, CAMERA.size, lens=known.fit.lens, above_mm=above_mm)
    at = known.fit.lens.rectify_points(FIELD)
    assert np.abs(plane.to_mm(at) - known.truth_mm(FIELD, above_mm=above_mm)).max() < 0.03
    ratio = plane.mm_per_px(320, 240) / known.plane.mm_per_px(320, 240)
    assert ratio == pytest.approx(1 - above_mm / 100, rel=2e-3)


def test_the_error_that_is_claimed_is_the_error_that_is_made() -> None:
    """Forty planes fitted to corners with known noise: two standard errors hold about 95 % of them."""
    board_mm = np.array([(4.0 * x, 4.0 * y) for y in range(1, 8) for x in range(1, 10)])
    flat = replace(CAMERA, distortion=(0.0,) * 5)
    exact = projected(flat, board_mm, BELT)
    rng = np.random.default_rng(1)
    field = np.column_stack([v.ravel() for v in np.meshgrid(np.linspace(0, 639, 5), np.linspace(0, 479, 5))])
    truth = fit_plane(Corners(np.arange(63), exact, board_mm), CAMERA.size, lens=None)
    expected = np.array([truth.mm_per_px(x, y) for x, y in field])
    off, claimed = [], []
    for _ in range(40):
        corners = Corners(np.arange(63), exact + rng.normal(0, 0.1, exact.shape), board_mm)
        plane = fit_plane(corners, CAMERA.size, lens=None)
        off.append([100 * (plane.mm_per_px(x, y) / e - 1) for (x, y), e in zip(field, expected, strict=True)])
        claimed.append(plane.scale_error_percent)
    worst = 2 * np.std(off, axis=0).max()
    assert np.mean(claimed) == pytest.approx(worst, rel=0.35)
    assert truth.scale_error_percent < 1e-4


def test_a_board_that_fills_too_little_of_the_field_is_refused(known: Known) -> None:
    corners = find_corners(known.belt_picture, known.board)
    near = np.argsort(np.linalg.norm(corners.pixels - [120, 100], axis=1))[:20]
    few = Corners(corners.ids[near], corners.pixels[near], corners.board_mm[near])
    with pytest.raises(DataRefused, match=r"uncertain by .* use a board that fills more of the picture"):
        fit_plane(few, CAMERA.size, lens=known.fit.lens)


def test_too_few_corners_are_refused(known: Known) -> None:
    corners = find_corners(known.belt_picture, known.board)
    few = Corners(corners.ids[:19], corners.pixels[:19], corners.board_mm[:19])
    with pytest.raises(DataRefused, match=r"19 corners .* lay the board so that it fills"):
        fit_plane(few, CAMERA.size, lens=known.fit.lens)


def test_without_its_lens_a_bent_picture_is_no_plane() -> None:
    board_mm = np.array([(4.0 * x, 4.0 * y) for y in range(1, 8) for x in range(1, 10)])
    strong = replace(CAMERA, distortion=(-1.5, 0.0, 0.0, 0.0, 0.0))
    corners = Corners(np.arange(63), projected(strong, board_mm, BELT), board_mm)
    with pytest.raises(DataRefused, match=r"does not fit a plane.*calibrate optics"):
        fit_plane(corners, CAMERA.size, lens=None)
    with pytest.raises(DataRefused, match="a height above the board needs the lens"):
        fit_plane(corners, CAMERA.size, lens=None, above_mm=2.0)


def test_a_picture_of_another_size_than_the_lens_is_refused(known: Known) -> None:
    with pytest.raises(DataRefused, match="set the camera back"):
        fit_plane(find_corners(known.belt_picture, known.board), (480, 640), lens=known.fit.lens)


def test_a_slanted_plane_is_measured_too(known: Known) -> None:
    slant = Pose(12.0, -9.0, 30.0, (1.0, -1.0, 104.0), (18.0, 13.5))
    picture = render(CAMERA, charuco_texture(*BOARD), slant, seed=3)
    corners = find_corners(picture, known.board)
    plane = fit_plane(corners, CAMERA.size, lens=known.fit.lens)
    at = projected(CAMERA, np.array([[9.0, 8.0], [25.0, 20.0]]), slant)
    a, b = known.fit.lens.rectify_points(at)
    assert plane.distance_mm(tuple(a), tuple(b)) == pytest.approx(math.hypot(16, 12), abs=0.01)
    assert "mm per pixel in the middle" in plane.words()
