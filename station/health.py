"""Can this picture be trusted?

"No detection" means OK, so a black, frozen or blurred picture would pass if it reached the detector. Every frame is
checked here before trigger and detector, every part's picture once more. All limits are the recipe's.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from station.core.errors import ImageFault
from station.core.part import BgrImage, Frame, check_bgr
from station.recipe import HealthLimits

_SAMPLES = 120  # rows and columns, about, that a frame's light is judged by
_BANDS = 16  # rows compared first: two frames with any noise differ there already


class FrameWatch:
    """Watches a source's frames one after the other; remembers the last one to see a frozen camera."""

    def __init__(self, limits: HealthLimits, *, live: bool) -> None:
        """``live``: the source is a camera, whose noise makes no two frames alike."""
        self._limits = limits
        self._live = live
        self._last: BgrImage | None = None
        self._alike = 1

    def check(self, frame: Frame) -> str | None:
        """Why the frame cannot be trusted, in words; ``None`` when it can. About 0.1 ms at 640 x 480."""
        if frame.image is None:
            return frame.fault or "unreadable: there is no picture"
        frozen = self._frozen(frame.image)  # first, so that a black stretch is counted too
        return self._wrong_size(frame.image) or _wrong_light(_grey(_sampled(frame.image)), self._limits) or frozen

    def _wrong_size(self, image: BgrImage) -> str | None:
        height, width = image.shape[:2]
        expected = (self._limits.width or width, self._limits.height or height)
        if (width, height) == expected:
            return None
        return f"wrong size: {width} x {height} pixels; the recipe expects {expected[0]} x {expected[1]}"

    def _frozen(self, image: BgrImage) -> str | None:
        last, self._last = self._last, image if self._live and self._limits.frozen_frames else None
        self._alike = self._alike + 1 if last is not None and _same(last, image) else 1
        if self._last is None or self._alike < max(self._limits.frozen_frames, 2):
            return None
        return f"frozen: {self._alike} frames in a row are identical to the last byte"


def check_part(image: BgrImage, limits: HealthLimits) -> None:
    """Checks a part's own picture, every pixel of it. About 0.1 ms at 375 x 375.

    Raises:
        ImageFault: It is no BGR picture, or it is black, saturated, empty (one colour) or blurred.
    """
    check_bgr(image)
    grey = _grey(image)
    fault = _wrong_light(grey, limits)
    if fault is not None:
        raise ImageFault(fault)
    lowest, highest, _, _ = cv2.minMaxLoc(grey)
    if lowest == highest and not np.any(image != image[0, 0]):
        raise ImageFault("empty: every pixel has the same colour")
    if limits.min_sharpness > 0:
        sharpness = float(cv2.Laplacian(grey, cv2.CV_32F).var())
        if not sharpness >= limits.min_sharpness:
            raise ImageFault(
                f"blurred: variance of the Laplacian is {sharpness:.1f}; the recipe asks for {limits.min_sharpness:g}"
            )


def _sampled(image: BgrImage) -> BgrImage:
    """Every n-th row and column; odd steps, so that a regular pattern is not met in one phase only."""
    rows, columns = (max(1, side // _SAMPLES) | 1 for side in image.shape[:2])
    return image[::rows, ::columns]


def _grey(image: BgrImage) -> NDArray[np.uint8]:
    return np.asarray(cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_BGR2GRAY), np.uint8)


def _wrong_light(grey: NDArray[np.uint8], limits: HealthLimits) -> str | None:
    mean = cv2.mean(grey)[0]
    if mean <= limits.dark_mean:
        return f"black: mean grey level {mean:.1f}; at or below {limits.dark_mean:g} nothing is to be seen"
    share = cv2.countNonZero(cv2.threshold(grey, 254, 255, cv2.THRESH_BINARY)[1]) / grey.size
    if share > limits.bright_share:
        return f"saturated: {share:.0%} of the pixels are at 255; at most {limits.bright_share:.0%} may be"
    return None


def _same(one: BgrImage, other: BgrImage) -> bool:
    if one.shape != other.shape:
        return False
    step = max(1, one.shape[0] // _BANDS)
    return np.array_equal(one[::step], other[::step]) and np.array_equal(one, other)
