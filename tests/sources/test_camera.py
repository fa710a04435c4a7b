"""Does the camera give the newest frame, count what it drops, and come back after every loss?"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest

from station.config import CameraSource
from station.core.errors import SourceEnded, SourceLost
from station.core.part import Frame
from station.core.timing import ManualClock, SystemClock
from station.sources import camera as camera_module
from station.sources.camera import Camera
from tests.sources.files import number_of, picture, write_video


class FakeDevice:
    """A device under the test's hand: what is put in is read, in order; a read blocks until then."""

    def __init__(self, *, opens: bool = True) -> None:
        self.opens = opens
        self.released = False
        self.reads = 0
        self._news = threading.Condition()
        self._frames: deque[Any] = deque()

    def put(self, *frames: Any) -> None:
        """An image is a frame, ``None`` a failed read, an exception is raised."""
        with self._news:
            self._frames.extend(frames)
            self._news.notify_all()

    def taken(self, count: int) -> bool:
        """Waits until the camera has come back for the read after ``count`` frames."""
        with self._news:
            return self._news.wait_for(lambda: self.reads > count, timeout=5)

    def isOpened(self) -> bool:
        return self.opens

    def set(self, what: int, value: float) -> bool:
        return True

    def get(self, what: int) -> float:
        return {cv2.CAP_PROP_FRAME_WIDTH: 40.0, cv2.CAP_PROP_FRAME_HEIGHT: 30.0, cv2.CAP_PROP_FPS: 25.0}[what]

    def read(self) -> tuple[bool, Any]:
        with self._news:
            self.reads += 1
            self._news.notify_all()
            self._news.wait_for(lambda: bool(self._frames), timeout=10)
            frame = self._frames.popleft() if self._frames else None
        if isinstance(frame, Exception):
            raise frame
        return frame is not None, frame

    def release(self) -> None:
        self.released = True


class Bench:
    """Cameras over fake devices, each opened in turn; closed, with nothing left blocking, at the end."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.opened: list[FakeDevice] = []
        self.pauses: list[float] = []
        self._cameras: list[Camera] = []
        self._devices: deque[FakeDevice] = deque()

    def camera(self, *devices: FakeDevice, address: str = "rtsp://user:secret@cam/1", **settings: float) -> Camera:
        self._devices.extend(devices)
        self.address = address
        made = Camera(
            CameraSource(address=address, **settings),
            clock=self.clock,
            open_capture=self._open,
            first_pause_s=0.01,
            longest_pause_s=0.04,
        )
        self._cameras.append(made)
        return made

    def _open(self, settings: CameraSource) -> FakeDevice:
        assert settings.address == self.address
        device = self._devices.popleft() if self._devices else FakeDevice(opens=False)
        self.opened.append(device)
        return device

    def close(self) -> None:
        for camera in self._cameras:
            camera._stop.set()
            for device in self.opened:
                device.put(None)
            camera.close()
            assert not camera._reader.is_alive()


@pytest.fixture
def bench():
    made = Bench()
    yield made
    made.close()


def until(what: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 5
    while not what():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.002)
    return True


def frame_from(camera: Camera) -> Frame:
    frame = camera.read(5.0)
    assert frame is not None
    assert frame.image is not None
    return frame


def loss_from(camera: Camera) -> str:
    for _ in range(50):
        try:
            camera.read(0.1)
        except SourceLost as lost:
            return str(lost)
    raise AssertionError("never lost")


def test_the_newest_frame_wins_and_every_drop_is_counted(bench):
    device = FakeDevice()
    camera = bench.camera(device)
    device.put(*(picture(n) for n in range(5)))
    assert device.taken(5)
    frame = frame_from(camera)
    assert (frame.index, number_of(frame.image), camera.dropped) == (4, 4, 4)
    device.put(picture(5))
    frame = frame_from(camera)
    assert (frame.index, number_of(frame.image), camera.dropped) == (5, 5, 4), "the one read is not dropped too"
    assert camera.read(0.01) is None
    device.put(picture(6))
    assert device.taken(7)
    camera._stop.set()
    device.put(None)
    camera.close()
    assert camera.dropped == 5, "captured = handed over + dropped, also at the end"


def test_a_camera_that_fails_is_released_opened_again_and_delivers(bench, caplog):
    first, second = FakeDevice(), FakeDevice()
    camera = bench.camera(first, FakeDevice(opens=False), FakeDevice(opens=False), second)
    first.put(picture(1))
    assert frame_from(camera).index == 0
    with caplog.at_level(logging.WARNING):
        first.put(None)
        words = loss_from(camera)
        assert until(lambda: len(bench.opened) == 4)
        second.put(picture(2))
        frame = frame_from(camera)
    assert number_of(frame.image) == 2
    assert frame.index == 1
    assert [d.released for d in bench.opened] == [True, True, True, False]
    assert "rtsp://***@cam/1 is away since 2026-01-01 00:00:00 UTC" in words
    assert "secret" not in words + caplog.text + camera.name + frame.source
    assert [r.message.split(" is ")[1][:4] for r in caplog.records] == ["away", "back"], "once each"


@pytest.mark.parametrize("error", [cv2.error("driver"), OSError(5, "Input/output error")])
def test_a_driver_that_raises_is_a_loss_and_not_the_end(bench, error):
    first, second = FakeDevice(), FakeDevice()
    camera = bench.camera(first, second)
    first.put(error)
    assert "reading failed" in loss_from(camera)
    second.put(picture(3))
    assert number_of(frame_from(camera).image) == 3


def test_a_camera_that_never_opens_is_lost_at_once_and_tried_again_with_growing_pauses(bench):
    camera = bench.camera()
    waits: list[float] = []
    waited = camera._stop.wait
    camera._stop.wait = lambda s: waits.append(s) or waited(s)  # type: ignore[method-assign,func-returns-value,assignment]
    assert "cannot be opened" in loss_from(camera)
    assert until(lambda: len(waits) >= 5)
    assert waits[-1] == 0.04, "capped"
    assert waits == sorted(waits)


def test_a_stalled_driver_is_lost_after_the_read_time_out_and_back_with_its_next_frame(bench):
    device = FakeDevice()
    camera = bench.camera(device, read_timeout_s=1.0)
    device.put(picture(0))
    frame_from(camera)
    bench.clock.wait(0.9)
    assert camera.read(0.01) is None
    bench.clock.wait(0.2)
    with pytest.raises(SourceLost, match=r"no frame for 1\.1 s"):
        camera.read(0.01)
    device.put(picture(1))
    assert number_of(frame_from(camera).image) == 1
    assert camera.read(0.01) is None


def test_opening_has_a_time_of_its_own(bench):
    camera = bench.camera(FakeDevice(), open_timeout_s=5.0, read_timeout_s=1.0)
    bench.clock.wait(4.9)
    assert camera.read(0.01) is None
    bench.clock.wait(0.2)
    with pytest.raises(SourceLost):
        camera.read(0.01)


def test_a_stale_frame_is_dropped_and_counted_not_handed_over(bench):
    device = FakeDevice()
    camera = bench.camera(device, read_timeout_s=1.0)
    device.put(picture(0))
    assert device.taken(1)
    bench.clock.wait(60)
    with pytest.raises(SourceLost):
        camera.read(0.01)
    assert camera.dropped == 1


@pytest.mark.parametrize(
    "image",
    [None, np.zeros((2, 2, 3), np.uint8), np.zeros((30, 40, 3), np.uint16), np.zeros((30, 40, 2), np.uint8), "x"],
)
def test_a_broken_frame_is_a_fault_and_not_the_end_of_the_thread(bench, image):
    device = FakeDevice()
    camera = bench.camera(device)
    broken = image if image is not None else np.zeros(0, np.uint8)
    device.put(broken)
    frame = camera.read(5.0)
    assert frame is not None
    assert frame.image is None
    assert "broken frame" in (frame.fault or "")
    device.put(picture(1))
    assert frame_from(camera).index == 1


def test_a_grey_camera_gives_bgr(bench):
    device = FakeDevice()
    camera = bench.camera(device)
    device.put(np.full((30, 40), 99, np.uint8))
    assert frame_from(camera).image.shape == (30, 40, 3)


def test_the_device_is_asked_what_it_really_gives(bench):
    device = FakeDevice()
    camera = bench.camera(device)
    device.put(picture())
    frame_from(camera)
    assert camera.facts == {"width": 40.0, "height": 30.0, "frames_per_s": 25.0}


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_reader_that_dies_is_told_and_not_waited_for(bench):
    device = FakeDevice()
    camera = bench.camera(device)
    device.put(ZeroDivisionError("a fault of ours"))
    assert "its reader thread died of ZeroDivisionError" in loss_from(camera)
    assert device.released


def test_closing_wakes_a_waiting_reader_and_reading_after_it_ends(bench):
    device = FakeDevice()
    camera = bench.camera(device)
    ended = threading.Event()

    def wait() -> None:
        with pytest.raises(SourceEnded):
            camera.read(30.0)
        ended.set()

    waiting = threading.Thread(target=wait)
    waiting.start()
    camera._stop.set()
    device.put(None)
    camera.close()
    camera.close()
    assert ended.wait(5)
    waiting.join()
    with pytest.raises(SourceEnded):
        camera.read(0.0)


def test_closing_during_a_pause_does_not_wait_for_it():
    settings = CameraSource(address="none")
    camera = Camera(settings, clock=SystemClock(), open_capture=lambda _: FakeDevice(opens=False), first_pause_s=60.0)
    assert "cannot be opened" in loss_from(camera)
    begin = time.monotonic()
    camera.close()
    assert time.monotonic() - begin < 5
    assert not camera._reader.is_alive()


def test_a_thread_that_cannot_be_ended_is_told(bench, caplog):
    device = FakeDevice()
    camera = bench.camera(device, open_timeout_s=0.01, read_timeout_s=0.01)
    assert device.taken(0)
    camera._reader.join, joined = (lambda _: None), camera._reader.join  # type: ignore[method-assign]
    camera.close()
    assert "its driver has not answered" in caplog.text
    camera._reader.join = joined  # type: ignore[method-assign]


# -- the true driver over files --------------------------------------------------------------------------------


def test_a_video_plays_as_a_camera_over_and_over(tmp_path):
    path = write_video(tmp_path / "v.avi", 6)
    camera = Camera(CameraSource(address=str(path)), clock=SystemClock(), first_pause_s=0.01)
    seen, losses, last = [], 0, -1
    deadline = time.monotonic() + 20
    while (len(seen) < 8 or losses < 2) and time.monotonic() < deadline:
        try:
            frame = camera.read(1.0)
        except SourceLost:
            losses += 1
            continue
        if frame is not None:
            assert frame.index > last
            last = frame.index
            assert frame.image is not None
            seen.append(number_of(frame.image))
    camera.close()
    assert len(seen) >= 8, "no frame came"
    assert losses >= 2
    assert set(seen) <= set(range(6))
    assert not camera._reader.is_alive()


def test_the_true_driver_gives_blue_left_and_red_right(tmp_path):
    path = write_video(tmp_path / "v.avi", 3)
    camera = Camera(CameraSource(address=str(path)), clock=SystemClock())
    image = frame_from(camera).image
    camera.close()
    assert image[:, 4:28, 0].mean() > 150 > image[:, 4:28, 2].mean()
    assert image[:, 36:60, 2].mean() > 150 > image[:, 36:60, 0].mean()


def test_a_stream_is_opened_through_ffmpeg_with_both_time_outs(monkeypatch):
    asked = []
    monkeypatch.setattr(camera_module.cv2, "VideoCapture", lambda *given: asked.append(given) or FakeDevice())
    camera_module.open_capture(CameraSource(address="rtsp://cam/1", open_timeout_s=2.0, read_timeout_s=0.5))
    camera_module.open_capture(CameraSource(address="3"))
    (stream, backend, options), device = asked
    assert (stream, backend) == ("rtsp://cam/1", cv2.CAP_FFMPEG)
    pairs = dict(zip(options[::2], options[1::2], strict=True))
    assert (pairs[cv2.CAP_PROP_OPEN_TIMEOUT_MSEC], pairs[cv2.CAP_PROP_READ_TIMEOUT_MSEC]) == (2000, 500)
    assert device == (3,)


def test_a_camera_that_is_not_there_is_lost_with_its_address(tmp_path):
    camera = Camera(CameraSource(address=str(tmp_path / "none.avi")), clock=SystemClock())
    assert "none.avi" in loss_from(camera)
    camera.close()
