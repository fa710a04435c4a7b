"""What does the live camera or stream show now?

A reader thread drains the device, so a picture never waits in a queue: a slot of one holds the newest frame, and
every frame that it replaces is counted. A device that fails is released and opened again, for ever, with growing
pauses::

    open ──> read, read, read ──failed──> release ──> pause (0.5 s, 1 s, ... 10 s) ──> open

The same code plays a video file given as address; it starts again when the file is over.
"""

from __future__ import annotations

import logging
import re
import sys
import threading
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np

from station.config import CameraSource
from station.core.errors import ImageFault, SourceEnded, SourceLost
from station.core.part import Frame, check_bgr
from station.core.timing import Clock
from station.sources.pictures import to_bgr

_log = logging.getLogger(__name__)

_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 10.0


class Capture(Protocol):
    """What is used of ``cv2.VideoCapture``."""

    def isOpened(self) -> bool: ...
    def read(self) -> tuple[bool, Any]: ...
    def get(self, what: int) -> float: ...
    def release(self) -> None: ...


def open_capture(settings: CameraSource) -> Capture:
    """Opens the device or stream through OpenCV; blocks for at most ``open_timeout_s`` where that can be said.

    A stream or file is opened through FFmpeg by name, with its time-outs: without them a silent host blocks for
    30 s. A device on this machine (a number or ``/dev/...``) takes none; its driver has its own.
    """
    address = settings.address
    if address.isdecimal():
        return cv2.VideoCapture(int(address))
    if address.startswith("/dev/") and sys.platform == "linux":
        return cv2.VideoCapture(address, cv2.CAP_V4L2)
    options = [
        cv2.CAP_PROP_OPEN_TIMEOUT_MSEC,
        max(1, round(settings.open_timeout_s * 1000)),
        cv2.CAP_PROP_READ_TIMEOUT_MSEC,
        max(1, round(settings.read_timeout_s * 1000)),
    ]
    place = address if "://" in address else str(Path(address).resolve())
    capture = cv2.VideoCapture(place, cv2.CAP_FFMPEG, options)
    if capture.isOpened():
        capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 0)  # pixels as they come, as for photographs
    return capture


class Camera:
    """A live camera as a source: the newest frame wins, every drop is counted.

    A frame older than ``read_timeout_s`` is stale: it is counted as dropped, never handed over.
    """

    live = True

    def __init__(
        self,
        settings: CameraSource,
        *,
        clock: Clock,
        open_capture: Callable[[CameraSource], Capture] = open_capture,
        first_pause_s: float = _FIRST_PAUSE_S,
        longest_pause_s: float = _LONGEST_PAUSE_S,
    ) -> None:
        """Starts the reader thread, which opens the device; does not wait for it.

        Args:
            settings: Address and time-outs.
            clock: For the frames' times and ages.
            open_capture: Opens the device; tests give their own.
            first_pause_s: Before the first attempt to open again; doubles with each failure.
            longest_pause_s: Upper bound of the pause.
        """
        self.name = _without_password(settings.address)
        self._settings = settings
        self._clock = clock
        self._open_capture = open_capture
        self._pauses = (first_pause_s, longest_pause_s)
        self._stop = threading.Event()
        self._news = threading.Condition()  # guards everything below
        self._slot: Frame | None = None
        self._captured = 0
        self._dropped = 0
        self._waiting_since = clock.monotonic()  # for the next frame
        self._patience_s = settings.open_timeout_s  # for the first frame after opening; then read_timeout_s
        self._lost_at: datetime | None = None
        self._reason = ""
        self._told = False  # whether the present loss was raised once
        self._facts: dict[str, float] = {}
        self._reader = threading.Thread(target=self._run, name="station-camera", daemon=True)
        self._reader.start()

    @property
    def dropped(self) -> int:
        """Frames captured but never handed over: replaced by a newer one, or stale."""
        with self._news:
            return self._dropped

    @property
    def facts(self) -> dict[str, float]:
        """What the open device says of itself: ``width``, ``height``, ``frames_per_s``; empty while it is away."""
        with self._news:
            return dict(self._facts)

    def read(self, timeout_s: float) -> Frame | None:
        """Waits at most ``timeout_s`` for the newest frame; ``None`` when none came but the device is not given up.

        The frame is at most ``read_timeout_s`` old. While the device is away the first call raises at once and
        each later one waits ``timeout_s`` for its return.

        Raises:
            SourceLost: The device is away; names the address, since when, and why. It is being opened again.
            SourceEnded: The camera was closed.
        """
        with self._news:
            deadline = self._clock.monotonic() + timeout_s
            self._news.wait_for(lambda: self._ready(deadline), timeout=timeout_s)
            if self._stop.is_set():
                raise SourceEnded(f"camera {self.name} is closed")
            frame, self._slot = self._slot, None
            if frame is not None and self._clock.monotonic() - frame.monotonic_s <= self._settings.read_timeout_s:
                return frame
            self._dropped += frame is not None
            self._check_patience()
            if self._lost_at is None:
                return None
            self._told = True
            raise SourceLost(
                f"camera {self.name} is away since {self._lost_at:%Y-%m-%d %H:%M:%S} UTC ({self._reason}); "
                f"check cable, power and address - it is being opened again"
            )

    def close(self) -> None:
        """Ends the reader thread and frees the device; may be called twice.

        Blocks until the device lets go of a read or open in progress: for a stream at most the two time-outs.
        """
        self._stop.set()
        with self._news:
            self._news.notify_all()
        patience_s = self._settings.open_timeout_s + self._settings.read_timeout_s + 2.0
        self._reader.join(patience_s)
        with self._news:
            self._dropped += self._slot is not None
            self._slot = None
        if self._reader.is_alive():
            _log.error(
                "camera %s: its driver has not answered for %.0f s; its thread ends when it does", self.name, patience_s
            )

    def _ready(self, deadline: float) -> bool:
        return (
            self._slot is not None
            or self._stop.is_set()
            or (self._lost_at is not None and not self._told)
            or self._clock.monotonic() >= deadline
        )

    # -- the reader thread -------------------------------------------------------------------------------------

    def _run(self) -> None:
        pause, longest = self._pauses
        reason = "its reader thread ended"
        try:
            while not self._stop.is_set():
                frames, reason = self._watch()
                if self._stop.is_set():
                    break
                self._lose(reason)
                pause = self._pauses[0] if frames else min(2 * pause, longest)
                self._stop.wait(pause)
                with self._news:
                    self._waiting_since = self._clock.monotonic()
        except BaseException as error:
            reason = f"its reader thread died of {type(error).__name__}: {error}; restart the station"
            raise
        finally:
            if not self._stop.is_set():
                self._lose(reason)

    def _watch(self) -> tuple[int, str]:
        """Opens the device and reads until it fails; how many frames came, and why no more do."""
        frames = 0
        try:
            capture = self._open_capture(self._settings)
        except (cv2.error, OSError) as error:
            return 0, f"cannot be opened: {error}"
        try:
            if not capture.isOpened():
                return 0, "cannot be opened"
            self._ask(capture)
            while not self._stop.is_set():
                ok, image = capture.read()
                if not ok:
                    return frames, "it gives no more frames" if frames else "it opens but gives no frame"
                self._take(image)
                frames += 1
            return frames, "closed"
        except (cv2.error, OSError) as error:
            return frames, f"reading failed: {error}"
        finally:
            capture.release()

    def _ask(self, capture: Capture) -> None:
        """Asks the device what it really does; nothing is taken for granted from the settings."""
        facts = {
            "width": float(capture.get(cv2.CAP_PROP_FRAME_WIDTH)),
            "height": float(capture.get(cv2.CAP_PROP_FRAME_HEIGHT)),
            "frames_per_s": float(capture.get(cv2.CAP_PROP_FPS)),
        }
        with self._news:
            changed, self._facts = facts != self._facts, facts
        if changed:
            _log.info("camera %s gives %s", self.name, ", ".join(f"{k} {v:g}" for k, v in facts.items()))

    def _take(self, image: Any) -> None:
        picture, fault = None, None
        try:
            if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim not in (2, 3):
                raise ImageFault("it is no 8-bit picture")
            picture = check_bgr(to_bgr(image))
        except (ImageFault, cv2.error) as error:
            fault = f"the camera gave a broken frame: {error}"
        with self._news:
            frame = Frame(
                index=self._captured,
                source=self.name,
                captured_at=self._clock.now(),
                monotonic_s=self._clock.monotonic(),
                image=picture,
                fault=fault,
            )
            self._captured += 1
            self._dropped += self._slot is not None
            self._slot = frame
            self._waiting_since = frame.monotonic_s
            self._patience_s = self._settings.read_timeout_s
            if self._lost_at is not None:
                _log.warning("camera %s is back; it was away since %s", self.name, f"{self._lost_at:%H:%M:%S} UTC")
                self._lost_at = None
            self._news.notify_all()

    def _lose(self, reason: str) -> None:
        with self._news:
            self._facts = {}
            self._patience_s = self._settings.open_timeout_s
            self._note_loss(reason)

    def _check_patience(self) -> None:
        """A driver that blocks is as lost as one that fails; only the asking side can notice it."""
        waited = self._clock.monotonic() - self._waiting_since
        if self._lost_at is None and waited > self._patience_s:
            self._note_loss(f"no frame for {waited:.1f} s")

    def _note_loss(self, reason: str) -> None:
        self._reason = reason
        if self._lost_at is None:
            self._lost_at, self._told = self._clock.now(), False
            _log.warning("camera %s is away: %s", self.name, reason)
            self._news.notify_all()


def _without_password(address: str) -> str:
    """The address as it may be logged and stored."""
    return re.sub(r"(://)[^/@]*@", r"\1***@", address)
