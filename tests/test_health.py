"""Is every picture that cannot be trusted refused, and no other?"""

from __future__ import annotations

import time
from datetime import UTC, datetime

import numpy as np
import pytest

from station.core.errors import ImageFault
from station.core.part import Frame
from station.health import FrameWatch, check_part
from station.recipe import HealthLimits

LIMITS = HealthLimits(frozen_frames=3, min_sharpness=20.0, width=64, height=48)


def frame(image: np.ndarray | None, fault: str | None = None) -> Frame:
    return Frame(
        index=0, source="c", captured_at=datetime(2026, 1, 1, tzinfo=UTC), monotonic_s=0.0, image=image, fault=fault
    )


def scene(seed: int = 0, *, width: int = 64, height: int = 48) -> np.ndarray:
    return np.random.default_rng(seed).integers(60, 180, (height, width, 3), dtype=np.uint8)


def watch(*, live: bool = True, limits: HealthLimits = LIMITS) -> FrameWatch:
    return FrameWatch(limits, live=live)


def test_sound_frames_pass():
    eye = watch()
    assert [eye.check(frame(scene(n))) for n in range(20)] == [None] * 20


@pytest.mark.parametrize(
    ("image", "word"),
    [
        (np.zeros((48, 64, 3), np.uint8), "black"),
        (np.full((48, 64, 3), 4, np.uint8), "black"),
        (np.full((48, 64, 3), 255, np.uint8), "saturated"),
        (scene(width=63), "wrong size: 63 x 48 pixels; the recipe expects 64 x 48"),
        (scene(height=50), "wrong size"),
    ],
)
def test_a_frame_that_shows_nothing_is_refused(image, word):
    assert word in (watch().check(frame(image)) or "")


def test_the_limits_of_light_are_the_recipes():
    assert watch().check(frame(np.full((48, 64, 3), 5, np.uint8))) is None
    white = scene()
    white[:, :38] = 255
    assert watch().check(frame(white)) is None
    white[:, :40] = 255
    assert "saturated" in (watch().check(frame(white)) or "")


def test_a_colour_is_not_mistaken_for_black_or_saturated():
    blue = scene()
    blue[:, :, 0] = 255
    assert watch().check(frame(blue)) is None


def test_an_unreadable_frame_keeps_its_own_reason():
    assert watch().check(frame(None, "truncated PNG")) == "truncated PNG"


def test_a_frozen_camera_is_noticed_at_the_set_count_and_forgiven_when_it_moves():
    eye = watch()
    still = scene()
    assert [eye.check(frame(still.copy())) is None for _ in range(4)] == [True, True, False, False]
    assert "4 frames in a row" not in (eye.check(frame(scene(2))) or "")
    assert [eye.check(frame(still.copy())) is None for _ in range(3)] == [True, True, False]


def test_one_changed_byte_is_not_frozen():
    eye = watch()
    for n in range(20):
        image = scene()
        image[1, n, 2] ^= 1  # a row that the first, quick look passes over
        assert eye.check(frame(image)) is None


def test_an_unreadable_frame_between_does_not_unfreeze_a_camera():
    eye = watch()
    for _ in range(2):
        eye.check(frame(scene()))
        eye.check(frame(None, "broken"))
    assert "frozen" in (eye.check(frame(scene())) or "")


def test_footage_and_a_recipe_without_the_check_may_repeat_a_frame():
    eyes = (watch(live=False), watch(limits=HealthLimits(frozen_frames=0)))
    for eye in eyes:
        assert [eye.check(frame(scene())) for _ in range(40)] == [None] * 40


def test_one_frame_alone_is_never_frozen():
    eye = watch(limits=HealthLimits(frozen_frames=1))
    assert eye.check(frame(scene())) is None
    assert "frozen" in (eye.check(frame(scene())) or "")


@pytest.mark.parametrize(
    ("image", "word"),
    [
        (np.zeros((48, 64, 3), np.uint8), "black"),
        (np.full((48, 64, 3), 255, np.uint8), "saturated"),
        (np.full((48, 64, 3), (9, 99, 9), np.uint8), "empty"),
        (np.tile(np.linspace(50, 200, 64, dtype=np.uint8)[None, :, None], (48, 1, 3)), "blurred"),
        (np.zeros((4, 64, 3), np.uint8), "only 64 x 4"),
        (np.zeros((48, 64), np.uint8), "shape"),
        (scene().astype(np.float32), "uint8"),
    ],
)
def test_a_parts_picture_that_shows_nothing_is_refused(image, word):
    with pytest.raises(ImageFault, match=word):
        check_part(image, LIMITS)


def test_a_sound_part_passes_and_blur_is_checked_only_where_asked():
    check_part(scene(), LIMITS)
    smooth = np.tile(np.linspace(50, 200, 64, dtype=np.uint8)[None, :, None], (48, 1, 3))
    check_part(smooth, HealthLimits())


def test_a_frame_check_is_cheap():
    eye = watch(limits=HealthLimits())
    frames = [frame(scene(n, width=640, height=480)) for n in range(20)]
    times = []
    for shown in frames:
        begin = time.perf_counter()
        eye.check(shown)
        times.append(time.perf_counter() - begin)
    assert min(times) < 300e-6
