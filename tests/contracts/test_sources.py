"""Does every frame source keep the contract of the port?

A new source joins by one entry in ``SOURCES``.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from station.config import CameraSource
from station.core.errors import SourceEnded, SourceLost
from station.core.part import Frame, check_bgr
from station.core.ports import FrameSource
from station.core.timing import SystemClock
from station.sources.camera import Camera
from station.sources.footage import ImageFolder, VideoFile
from tests.sources.files import encoded, number_of, picture, write_tiles, write_video

COUNT = 12


def camera(path: Path) -> FrameSource:
    address = str(write_video(path / "v.avi", COUNT))
    return Camera(CameraSource(address=address), clock=SystemClock(), first_pause_s=0.01)


def video(path: Path) -> FrameSource:
    return VideoFile(write_video(path / "v.avi", COUNT), clock=SystemClock())


def folder(path: Path) -> FrameSource:
    for number in range(COUNT):
        (path / f"{number:02}.png").write_bytes(encoded(picture(number, width=64, height=48)))
    return ImageFolder(path, clock=SystemClock(), max_pixels=10_000)


def indexed_folder(path: Path) -> FrameSource:
    rows = [(f"images/{chr(ord('z') - n)}.png", f"part-{n}", "ok") for n in range(COUNT)]
    return ImageFolder(write_tiles(path / "t", rows), clock=SystemClock(), max_pixels=10_000)


SOURCES: list[Callable[[Path], FrameSource]] = [camera, video, folder, indexed_folder]


@pytest.fixture(params=SOURCES, ids=lambda make: make.__name__)
def source(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[FrameSource]:
    before = set(threading.enumerate())
    made = request.param(tmp_path)
    yield made
    made.close()
    assert set(threading.enumerate()) <= before, "a thread is left"


def frames_of(source: FrameSource, count: int = 100) -> list[Frame]:
    """Up to ``count`` frames of one playing; live sources lose frames and end with a loss."""
    frames: list[Frame] = []
    for _ in range(10_000):
        try:
            frame = source.read(1.0)
        except SourceEnded:
            break
        except SourceLost:
            if frames:
                break
            continue  # between two playings
        if frame is not None:
            frames.append(frame)
        if len(frames) == count:
            break
    assert frames
    return frames


def test_every_frame_is_whole_and_says_where_it_is_from(source: FrameSource):
    assert source.name
    for frame in frames_of(source):
        assert frame.image is not None
        check_bgr(frame.image)
        assert frame.fault is None
        assert frame.source
        assert frame.captured_at.tzinfo is not None


def test_indexes_start_at_0_rise_and_a_gap_is_a_counted_drop(source: FrameSource):
    frames = frames_of(source)
    indexes = [frame.index for frame in frames]
    assert indexes == sorted(set(indexes))
    if source.live:
        assert source.dropped >= indexes[-1] + 1 - len(frames)
    else:
        assert indexes == list(range(COUNT))
        assert source.dropped == 0


def test_frames_come_in_the_order_of_the_world(source: FrameSource):
    numbers = [number_of(frame.image) for frame in frames_of(source) if frame.image is not None]
    assert numbers == sorted(numbers)
    if not source.live:
        assert numbers == list(range(COUNT))


def test_times_never_run_backwards(source: FrameSource):
    frames = frames_of(source)
    assert [f.monotonic_s for f in frames] == sorted(f.monotonic_s for f in frames)
    assert [f.captured_at for f in frames] == sorted(f.captured_at for f in frames)


def test_blue_is_left_and_red_is_right_on_every_path(source: FrameSource):
    image = frames_of(source, 1)[0].image
    assert image is not None
    left, right = image[:, 4:28].mean(axis=(0, 1)), image[:, 36:60].mean(axis=(0, 1))
    assert left[0] > 150 > left[2]
    assert right[2] > 150 > right[0]


def test_a_frame_is_not_changed_by_the_next_one(source: FrameSource):
    first = frames_of(source, 1)[0]
    assert first.image is not None
    kept = first.image.copy()
    frames_of(source, 3)
    assert np.array_equal(first.image, kept)


def test_footage_ends_for_good(source: FrameSource):
    if source.live:
        pytest.skip("a live source does not end")
    frames_of(source)
    for _ in range(3):
        with pytest.raises(SourceEnded):
            source.read(0.0)


def test_closing_twice_is_closing_once_and_reading_afterwards_ends(source: FrameSource):
    frames_of(source, 2)
    source.close()
    source.close()
    for _ in range(2):
        with pytest.raises(SourceEnded):
            source.read(0.0)


def test_closing_before_the_first_read_is_fine(source: FrameSource):
    source.close()
    with pytest.raises(SourceEnded):
        source.read(0.0)
