"""Which frames does a video file hold, in order, and are they all there?"""

from __future__ import annotations

import logging
from pathlib import Path

import cv2
import numpy as np

from station.core.errors import DataRefused, ImageFault, SourceEnded
from station.core.part import BgrImage, Frame, check_bgr
from station.core.timing import Clock
from station.sources.pictures import to_bgr

_log = logging.getLogger(__name__)

_MAX_PIXELS = 40_000_000


class VideoFile:
    """A video (MP4, MKV, AVI, MOV, GIF ...) as a source: every frame is delivered, in order, then ``SourceEnded``.

    A frame that cannot be decoded comes as ``Frame(image=None, fault=...)`` where the decoder says so; where it
    passes over it in silence, the video ends early, which is counted in ``missing`` and logged.
    """

    live = False

    def __init__(self, path: Path, *, clock: Clock, max_pixels: int = _MAX_PIXELS) -> None:
        """Opens the file; blocks for as long as that takes.

        Raises:
            DataRefused: There is no such file, or it cannot be opened as a video, or its frames are too large.
        """
        self.name = str(path)
        self._source = path.name
        self._clock = clock
        if not path.is_file():
            raise DataRefused(f"no file {path}; name a video file or a folder of pictures")
        try:
            self._capture = cv2.VideoCapture(str(path.resolve()), cv2.CAP_FFMPEG)
        except cv2.error as error:
            raise DataRefused(f"{path} cannot be opened as a video: {error.err}") from error
        if not self._capture.isOpened():
            raise DataRefused(
                f"{path} cannot be opened as a video: it is damaged, cut or no video; "
                f"play it elsewhere to see, or convert it to MP4 (H.264)"
            )
        self._capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 0)  # pixels as they lie in the file, as for photographs
        width = int(self._capture.get(cv2.CAP_PROP_FRAME_WIDTH))
        height = int(self._capture.get(cv2.CAP_PROP_FRAME_HEIGHT))
        if min(width, height) < 8 or width * height > max_pixels:
            self._capture.release()
            raise DataRefused(
                f"{path} has frames of {width} x {height} pixels; expected 8 x 8 up to {max_pixels} pixels in all"
            )
        self.promised = max(int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT)), 0)
        """Frames that the file says it holds; 0 where it does not say."""
        self.missing = 0
        """Frames promised but not there, known once the video is over."""
        self._index = 0
        self._over = False

    @property
    def dropped(self) -> int:
        """Always 0: a file waits."""
        return 0

    def read(self, timeout_s: float) -> Frame | None:
        """Decodes the next frame; blocks for as long as that takes, ``timeout_s`` is not needed.

        Raises:
            SourceEnded: The video is over or closed; says how many frames are missing.
        """
        if self._over or not self._grab():
            self._end()
        image, fault = self._picture()
        index = self._index
        self._index += 1
        return Frame(
            index=index,
            source=self._source,
            captured_at=self._clock.now(),
            monotonic_s=self._clock.monotonic(),
            image=image,
            fault=fault,
        )

    def close(self) -> None:
        """Closes the file; may be called twice. Reading afterwards raises ``SourceEnded``."""
        self._over = True
        self._capture.release()

    def _grab(self) -> bool:
        try:
            return bool(self._capture.grab())
        except cv2.error:
            return False  # the video ends here, and what is missing is counted

    def _picture(self) -> tuple[BgrImage | None, str | None]:
        try:
            ok, image = self._capture.retrieve()
            if not ok or image is None:
                return None, f"frame {self._index} cannot be decoded"
            return check_bgr(to_bgr(np.asarray(image))), None
        except (cv2.error, ImageFault) as error:
            return None, f"frame {self._index} cannot be decoded: {error}"

    def _end(self) -> None:
        if not self._over:
            self._over = True
            self._capture.release()
            self.missing = max(self.promised - self._index, 0)
            if self.missing:
                _log.warning("%s: %d of %d promised frames are missing", self.name, self.missing, self.promised)
        short = f", {self.missing} of {self.promised} promised are missing" if self.missing else ""
        raise SourceEnded(f"{self.name}: {self._index} frames delivered{short}")
