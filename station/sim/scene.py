"""What do the belt, the lamp and the sensor make of the picture around the parts?

Three layers: the woven belt that moves with the parts, the light that falls off across the field and stays where
the camera is, and the noise of the sensor, fresh in every exposure. All three are drawn once; an exposure only
copies, multiplies and adds.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
import numpy.typing as npt

from station.sim.disc import DiscImage

BgrImage = npt.NDArray[np.uint8]

_BELT_BGR = (70.0, 66.0, 56.0)
_BELT_VIEWS = 3  # the belt's pattern repeats after this many fields of view
_NOISE_STEPS = 64  # offsets of the noise pool in x and y
_NOISE_GREY = 2.4  # standard deviation of the sensor's noise, in grey values


class Scene:
    """Belt, light and sensor of one seed and picture size."""

    def __init__(self, *, seed: int, width: int = 640, height: int = 480) -> None:
        """Draw belt, light and noise pool.

        Raises:
            ValueError: A picture side below 32 px.
        """
        if width < 32 or height < 32:
            raise ValueError(f"picture of {width} x {height} px; each side needs at least 32")
        self.width, self.height = width, height
        rng = np.random.default_rng([seed, 2])
        self._length = _BELT_VIEWS * width
        self._belt = _belt(rng, self._length, width, height)
        self._light = _light(rng, width, height)
        shape = (height + _NOISE_STEPS, width + _NOISE_STEPS, 3)
        noise = rng.normal(0, _NOISE_GREY, (*shape[:2], 1)) * 0.75 + rng.normal(0, _NOISE_GREY, shape) * 0.65
        # Two unsigned halves: saturating add and subtract are many times faster than signed arithmetic.
        self._brighter = np.clip(np.rint(noise), 0, 255).astype(np.uint8)
        self._darker = np.clip(np.rint(-noise), 0, 255).astype(np.uint8)

    def belt(self, travelled_px: int) -> BgrImage:
        """The empty belt after it has moved right by this many pixels; (height, width, 3), a fresh array."""
        start = -travelled_px % self._length
        return self._belt[:, start : start + self.width].copy()

    def expose(self, picture: BgrImage, rng: np.random.Generator) -> BgrImage:
        """Light a picture and read it out with noise drawn from `rng`, in place."""
        cv2.multiply(picture, self._light, dst=picture, scale=1 / 255)
        dx, dy = (int(offset) for offset in rng.integers(_NOISE_STEPS, size=2))
        window = np.s_[dy : dy + self.height, dx : dx + self.width]
        cv2.add(picture, self._brighter[window], dst=picture)
        cv2.subtract(picture, self._darker[window], dst=picture)
        return picture


class Sprite:
    """A rendered disc, ready to be pasted many times."""

    def __init__(self, image: DiscImage) -> None:
        self.image = image
        # What is left of the belt, once per channel: the multiplication then runs over whole rows at once.
        self._left = np.ascontiguousarray(np.repeat(255 - image.alpha[:, :, None], 3, axis=2))

    def paste(self, picture: BgrImage, x: int, y: int) -> None:
        """Lay the disc into a picture, in place, its centre pixel at x, y; what lies outside is cut off."""
        half, side = self.image.half, 2 * self.image.half + 1
        left, top = x - half, y - half
        x0, x1 = max(left, 0), min(left + side, picture.shape[1])
        y0, y1 = max(top, 0), min(top + side, picture.shape[0])
        if x0 >= x1 or y0 >= y1:
            return
        there = np.s_[y0:y1, x0:x1]
        here = np.s_[y0 - top : y1 - top, x0 - left : x1 - left]
        mixed = cv2.multiply(picture[there], self._left[here], scale=1 / 255)
        picture[there] = cv2.add(mixed, self.image.bgr[here])


def _belt(rng: np.random.Generator, length: int, width: int, height: int) -> BgrImage:
    """Woven rubber with worn tracks and a few scuffs; (height, length + width, 3), the end like the beginning."""
    scale = width / 640
    x, y = np.arange(length, dtype=np.float32), np.arange(height, dtype=np.float32)[:, None]
    # Whole periods along the belt, so that the pattern closes.
    thread = 2 * math.pi * round(length / (6.4 * max(scale, 0.5))) / length
    weave = np.cos(thread * x + 0.5 * math.pi * np.sign(np.sin(thread * y))) * np.cos(thread * y)
    coarse = rng.normal(0, 1, (height, length)).astype(np.float32)
    grey = 1 + 0.10 * weave + 0.05 * coarse
    for sigma, weight in ((5 * scale, 0.05), (38 * scale, 0.055)):
        blurred = cv2.GaussianBlur(np.concatenate([coarse, coarse], axis=1), (0, 0), max(sigma, 0.8))
        middle = np.roll(blurred[:, length // 2 : length // 2 + length], length // 2, axis=1)
        grey += (weight / float(middle.std())) * middle
    tracks = rng.normal(0, 1, (height, 1)).astype(np.float32)
    worn = cv2.GaussianBlur(tracks, (1, 0), sigmaX=0.8, sigmaY=max(6 * scale, 0.8)).reshape(height, 1)
    grey += (0.05 / float(worn.std())) * worn
    scuffs = np.zeros((height, length), np.float32)
    for _ in range(26):
        x0, y0 = int(rng.integers(length)), int(rng.integers(height))
        reach = rng.uniform(8, 60) * scale
        end = (round(min(x0 + reach, length - 1)), round(y0 + rng.normal(0, 0.15) * reach))
        cv2.line(scuffs, (x0, y0), end, (float(rng.uniform(-0.12, 0.2)),), 1, cv2.LINE_AA)
    grey += scuffs
    belt = np.clip(grey[:, :, None] * np.array(_BELT_BGR, np.float32), 0, 255).astype(np.uint8)
    return np.ascontiguousarray(np.concatenate([belt, belt[:, :width]], axis=1))


def _light(rng: np.random.Generator, width: int, height: int) -> BgrImage:
    """Share of the light that reaches each pixel, times 255; (height, width, 3)."""
    x = np.linspace(-1, 1, width, dtype=np.float32)
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    across, down = (
        -rng.uniform(0.06, 0.13),
        -rng.uniform(0.05, 0.10),
    )  # brighter up and left, where the lamp stands
    share = 0.93 + across * x + down * y - rng.uniform(0.04, 0.08) * (x * x + y * y)
    # Rounding alone would draw steps across a smooth field; half a grey value of noise dissolves them.
    level = np.clip(255 * share + rng.uniform(-0.5, 0.5, (height, width)), 0, 255)
    return np.ascontiguousarray(np.repeat(np.rint(level).astype(np.uint8)[:, :, None], 3, axis=2))
