"""Is the lens of a known camera found, and is what cannot carry a calibration refused?"""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from station.calibration.optics.board import Corners
from station.calibration.optics.lens import LEAST_VIEWS, View, different, fit_lens
from station.calibration.optics.residuals import WIDTH, residual_picture
from station.core.errors import DataRefused, ImageFault
from tests.calibration.optics.conftest import Known
from tests.calibration.rendered import CAMERA, Pose, looking_at, projected


def exact(poses: list[Pose], known: Known, *, noise: float = 0.0) -> list[View]:
    """Views whose corners come straight from the truth, where the whole board lies in the picture."""
    all_mm = np.array([(4.0 * x, 4.0 * y) for y in range(1, 8) for x in range(1, 10)])
    rng = np.random.default_rng(0)
    views = []
    for number, pose in enumerate(poses):
        pixels = projected(known.camera, all_mm, pose)
        pixels = pixels + rng.normal(0, noise, pixels.shape) if noise else pixels
        inside = np.flatnonzero(((pixels > 2) & (pixels < np.array(CAMERA.size) - 3)).all(axis=1))
        views.append(View(f"exact {number}", Corners(inside, pixels[inside], all_mm[inside])))
    return views


def test_a_known_camera_is_found(known: Known) -> None:
    lens = known.fit.lens
    assert lens.rms_px <= 0.1
    assert max(known.fit.rms_px.values()) <= 0.1
    assert lens.views == len(known.views) == 10
    assert known.fit.left_out == {}
    assert lens.fx == pytest.approx(known.camera.fx, rel=2e-3)
    assert lens.fy == pytest.approx(known.camera.fy, rel=2e-3)
    assert abs(lens.fx - known.camera.fx) < 5 * lens.fx_error_px
    assert lens.k1 == pytest.approx(known.camera.distortion[0], abs=0.02)
    assert lens.coverage > 0.9


def test_straightened_pixels_are_those_of_a_lens_without_distortion(known: Known) -> None:
    """Over the whole field, corners included: what is left is one projective map, as of a turned pinhole camera."""
    x, y = np.meshgrid(np.linspace(0, 639, 15), np.linspace(0, 479, 11))
    bent = np.column_stack([x.ravel(), y.ravel()])
    facing = Pose(at=(0.0, 0.0, 1.0))
    rays = looking_at(known.camera, bent, facing)
    straight = known.fit.lens.rectify_points(bent)
    ways, _ = cv2.findHomography(rays, straight, 0)
    again = cv2.perspectiveTransform(rays.reshape(-1, 1, 2), ways).reshape(-1, 2)
    assert np.abs(again - straight).max() < 0.2
    assert np.sqrt(((again - straight) ** 2).sum(axis=1).mean()) < 0.05
    unbent = cv2.findHomography(rays, bent, 0)[0]
    left = cv2.perspectiveTransform(rays.reshape(-1, 1, 2), unbent).reshape(-1, 2)
    assert np.abs(left - bent).max() > 1.0, "the camera has no distortion: the test would pass on nothing"


def test_pixels_of_a_wide_lens_are_straightened_to_the_end(known: Known) -> None:
    """Strong distortion: bent again, the straightened pixels are the ones that they came from."""
    lens = known.fit.lens.model_copy(update={"fx": 420.0, "fy": 420.0, "k1": -0.32, "k2": 0.1, "k3": -0.01})
    bent = np.array([(0.0, 0.0), (639.0, 0.0), (0.0, 479.0), (639.0, 479.0), (320.0, 10.0)])
    fx, fy, cx, cy = lens.straight
    rays = (lens.rectify_points(bent) - [cx, cy]) / [fx, fy]
    again, _ = cv2.projectPoints(
        np.column_stack([rays, np.ones(5)]), np.zeros(3), np.zeros(3), lens.matrix, lens.distortion
    )
    np.testing.assert_allclose(again.reshape(-1, 2), bent, atol=1e-3)


def test_a_picture_is_straightened_as_its_points_are(known: Known) -> None:
    """A dot drawn at a pixel moves to where rectify_points says it does."""
    lens = known.fit.lens
    for at in ((60.0, 50.0), (320.0, 240.0), (590.0, 430.0)):
        x, y = np.meshgrid(np.arange(640), np.arange(480))
        spot = 200 * np.exp(-((x - at[0]) ** 2 + (y - at[1]) ** 2) / (2 * 3.0**2))
        picture = np.repeat(np.rint(spot).astype(np.uint8)[..., np.newaxis], 3, axis=2)
        seen = lens.rectify(picture)[..., 1].astype(float)
        found = (seen * x).sum() / seen.sum(), (seen * y).sum() / seen.sum()
        np.testing.assert_allclose(found, lens.rectify_points(np.array([at]))[0], atol=0.1)


def test_every_pixel_of_the_straightened_picture_was_seen(known: Known) -> None:
    white = np.full((480, 640, 3), 200, np.uint8)
    assert known.fit.lens.rectify(white).min() == 200


def test_a_picture_of_another_size_is_refused_with_the_remedy(known: Known) -> None:
    with pytest.raises(ImageFault, match="calibrated at 640 x 480: set the camera back"):
        known.fit.lens.rectify(np.zeros((640, 480, 3), np.uint8))


def test_the_third_radial_term_is_kept_only_where_the_views_show_it(known: Known) -> None:
    assert known.fit.lens.k3 == 0.0
    wide = replace(known.camera, fx=500.0, fy=500.0, distortion=(-0.2, 0.1, 0.0, 0.0, -0.08))
    tilts = [(0, 0), (25, 0), (-25, 0), (0, 25), (0, -25), (20, 20), (-20, 20), (20, -20), (-20, -20), (10, 5)]
    poses = [
        Pose(a, b, 9.0 * n, ((n % 3 - 1) * 4, (n % 2) * 3 - 1.5, 24 + n % 3), (20, 16))
        for n, (a, b) in enumerate(tilts)
    ]
    fit = fit_lens(exact(poses, replace(known, camera=wide), noise=0.02), CAMERA.size)
    assert fit.lens.k3 == pytest.approx(-0.08, abs=0.03)


def test_too_few_views_are_refused_with_the_remedy(known: Known) -> None:
    with pytest.raises(DataRefused, match=rf"only {LEAST_VIEWS - 1} views .* show it at more places, tilted"):
        fit_lens(known.views[: LEAST_VIEWS - 1], CAMERA.size)


def test_views_that_show_the_same_count_once(known: Known) -> None:
    again = [replace(view, name=f"again {n}") for n, view in enumerate(known.views[:6])]
    with pytest.raises(DataRefused, match=r"only 6 views .*again 0: shows the same as view 0"):
        fit_lens(known.views[:6] + again, CAMERA.size)
    used, left_out = different(known.views + again, CAMERA.size)
    assert len(used) == 10
    assert len(left_out) == 6


def test_a_view_with_hardly_a_corner_is_left_out_in_words(known: Known) -> None:
    corners = known.views[0].corners
    few = View("few", Corners(corners.ids[:11], corners.pixels[:11], corners.board_mm[:11]))
    fit = fit_lens([*known.views, few], CAMERA.size)
    assert fit.left_out == {"few": "11 corners of the board found, 12 are needed"}
    assert fit.lens == known.fit.lens


def test_parallel_boards_are_refused(known: Known) -> None:
    poses = [Pose(0, 0, 20 * n, ((n % 3 - 1) * 5, (n // 3 - 1) * 4, 95 + 4 * n), (20, 16)) for n in range(10)]
    with pytest.raises(DataRefused, match=r"tilted by .* parallel boards cannot tell focal length from distance"):
        fit_lens(exact(poses, known, noise=0.03), CAMERA.size)


def test_a_field_that_was_not_seen_is_refused_and_named(known: Known) -> None:
    tilts = [(0, 0), (25, 0), (-25, 0), (0, 25), (0, -25), (20, 20), (-20, 20), (20, -20), (-20, -20)]
    poses = [Pose(a, b, 40 * n, (-9, -6, 230 + 3 * n), (20, 16)) for n, (a, b) in enumerate(tilts)]
    with pytest.raises(DataRefused, match=r"seen in \d+% of the field, .* missing bottom right"):
        fit_lens(exact(poses, known), CAMERA.size)


def test_a_view_that_does_not_fit_is_named(known: Known) -> None:
    """The board slipped: one view's corners belong to another plane than the picture shows."""
    view = known.views[3]
    bent = view.corners.pixels + 1.5 * np.sin(view.corners.board_mm / 5)
    views = [*known.views[:3], View("slipped", replace(view.corners, pixels=bent)), *known.views[4:]]
    with pytest.raises(DataRefused, match="view slipped does not fit the others"):
        fit_lens(views, CAMERA.size)


def test_residuals_are_drawn_with_the_field_that_is_missing(known: Known) -> None:
    drawn = residual_picture(known.fit)
    assert drawn.shape == (960 + 40, WIDTH, 3)
    assert len({tuple(c) for c in drawn.reshape(-1, 3)[::7]}) > 10
    cells = known.fit.cells.copy()
    cells[0, 0] = 0
    missing = residual_picture(replace(known.fit, cells=cells))
    assert (missing[20, 20] != drawn[20, 20]).any()
