"""Is an even field even afterwards, and a picture that was too bright still seen to be?"""

from __future__ import annotations

import numpy as np
import pytest

from station.calibration.optics.flat_field import (
    LEAST_FRAMES,
    FlatFieldFit,
    fit_flat_field,
    flattened,
    packed,
    spread,
    unpacked,
)
from station.core.errors import ConfigError, DataRefused, ImageFault
from station.core.part import BgrImage
from tests.calibration.rendered import CAMERA, exposed, fall_off

TINT = (0.8, 1.0, 0.9)


def empty(grey: float = 220.0, *, corner: float = 0.6, count: int = LEAST_FRAMES) -> list[BgrImage]:
    """Pictures of an empty, even, neutral field through a lens whose corners are darker, under tinted light."""
    even = np.full((CAMERA.height, CAMERA.width), grey)
    light = fall_off(CAMERA, corner)
    return [exposed(CAMERA, even, seed=n, light=light, tint=TINT) for n in range(count)]


@pytest.fixture(scope="module")
def fit() -> FlatFieldFit:
    return fit_flat_field(empty(), neutral=True)


def test_an_even_grey_field_is_even_and_grey_afterwards(fit: FlatFieldFit) -> None:
    gains = spread(fit.gains, CAMERA.size)
    seen = flattened(empty(180.0, count=1)[0], gains).astype(float)
    assert fit.dimmest == pytest.approx(0.6, abs=0.02)
    assert fit.balance == pytest.approx((1 / 0.8, 1.0, 1 / 0.9), rel=0.01)
    corner, middle = seen[:20, :20].mean(axis=(0, 1)), seen[230:250, 310:330].mean(axis=(0, 1))
    np.testing.assert_allclose(corner / middle, 1.0, atol=0.012)
    np.testing.assert_allclose(middle, 180.0, rtol=0.01)


def test_a_coloured_target_leaves_the_colours_alone() -> None:
    fit = fit_flat_field(empty(), neutral=False)
    assert fit.balance == (1.0, 1.0, 1.0)
    seen = flattened(empty(count=1)[0], spread(fit.gains, CAMERA.size)).astype(float)
    middle = seen[200:280, 280:360].mean(axis=(0, 1))
    np.testing.assert_allclose(middle / middle[1], TINT, atol=0.01)


def test_no_gain_is_below_one_so_that_white_stays_white_and_black_stays_black(fit: FlatFieldFit) -> None:
    gains = spread(fit.gains, CAMERA.size)
    assert gains.min() >= 1.0
    assert flattened(np.full((480, 640, 3), 255, np.uint8), gains).min() == 255
    assert flattened(np.zeros((480, 640, 3), np.uint8), gains).max() == 0


def test_what_is_kept_comes_back_and_is_the_same_to_the_byte(fit: FlatFieldFit) -> None:
    data = packed(fit.gains)
    assert data == packed(fit.gains)
    assert len(data) < 100_000
    np.testing.assert_array_equal(unpacked(data, name="x"), fit.gains)


@pytest.mark.parametrize(
    "gains",
    [
        np.full((4, 4, 3), 0.5, np.float32),
        np.full((4, 4, 3), np.nan, np.float32),
        np.full((4, 4, 3), 9.0, np.float32),
        np.ones((4, 4), np.float32),
        np.ones((4, 4, 3), np.float64),
    ],
    ids=["below 1", "no number", "huge", "no colours", "depth"],
)
def test_gains_that_are_none_are_refused(gains: np.ndarray) -> None:
    with pytest.raises(ConfigError, match="calibrate flat-field"):
        unpacked(packed(gains), name="flat-field.npz")
    with pytest.raises(ConfigError, match="holds no flat field"):
        unpacked(b"no zip", name="flat-field.npz")


def with_object(frames: list[BgrImage]) -> list[BgrImage]:
    for frame in frames:
        frame[200:260, 300:380] //= 2
    return frames


@pytest.mark.parametrize(
    ("frames", "words"),
    [
        (empty(count=LEAST_FRAMES - 1), "4 pictures .* at least 5"),
        (empty(300.0), "saturated in places: expose shorter"),
        (empty(40.0), "too dark .* expose longer"),
        (empty(corner=0.2), "would need .* light the field"),
        (with_object(empty()), "something lies in the field"),
        ([*empty(count=4), np.full((100, 100, 3), 200, np.uint8)], "differ in size"),
    ],
    ids=["few", "saturated", "dark", "steep", "object", "sizes"],
)
def test_pictures_that_cannot_carry_it_are_refused_with_the_remedy(frames: list[BgrImage], words: str) -> None:
    with pytest.raises(DataRefused, match=words):
        fit_flat_field(frames, neutral=True)


def test_a_speck_of_dust_on_the_target_is_not_printed_into_every_picture() -> None:
    frames = empty()
    for frame in frames:
        frame[300:303, 200:203] //= 2
    gains = spread(fit_flat_field(frames, neutral=True).gains, CAMERA.size)
    clean = spread(fit_flat_field(empty(), neutral=True).gains, CAMERA.size)
    assert np.abs(gains / clean - 1).max() < 0.01


def test_a_picture_of_another_size_is_refused(fit: FlatFieldFit) -> None:
    with pytest.raises(ImageFault, match="taken at 640 x 480: set the camera back"):
        flattened(np.zeros((480, 600, 3), np.uint8), spread(fit.gains, CAMERA.size))
