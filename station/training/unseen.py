"""How might a defect look that nobody has shown yet?

Where only good parts are at hand, a network can still learn to tell what belongs from what does not, if things that
do not belong are planted: pieces of the picture put elsewhere (CutPaste, arXiv:2104.04015), places with another
texture (DRAEM, arXiv:2108.07610), and drawn strokes, spots, chips and bands, darker or brighter than the ground. The
truth is where the picture really changed, so nothing invisible is called a defect.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from station.training.drawing import DRAWERS, outlined, plant_band, soft_noise
from station.training.planting import Floats, Patch, Rng, plant

LEAST_CHANGE = 5.0
"""Grey levels (mean over 3 x 3 px) below which a change is not called a defect."""
LEAST_PX = 10
"""Changed pixels below which a planted thing is taken back."""
_KINDS = ("drawn", "drawn", "drawn", "moved", "moved", "texture", "flat", "band")


def plant_unseen(image: Floats, mask: NDArray[np.uint8], *, rng: Rng, value: int = 1) -> bool:
    """Plant something that does not belong into `image` (h, w, C); both are changed in place.

    Returns:
        Whether enough changed; where not, image and mask are as before.
    """
    before = image.copy()
    kind = _KINDS[int(rng.integers(len(_KINDS)))]
    if kind == "drawn":
        _drawn(image, rng=rng)
    elif kind == "band":
        plant_band(image, np.zeros_like(mask), rng=rng, value=0)
    else:
        _FILLS[kind](image, rng=rng)
    np.clip(image, 0.0, 255.0, out=image)
    change = np.abs(image - before).max(2)
    hit = cv2.blur(change, (3, 3)) >= LEAST_CHANGE
    if int(np.count_nonzero(hit)) < LEAST_PX:
        image[:] = before
        return False
    mask[hit] = value
    return True


def _drawn(image: Floats, *, rng: Rng) -> None:
    """A stroke, spot, chip or bare place, dark or (its factors turned over) bright, in colour with a tint."""
    name = sorted(DRAWERS)[int(rng.integers(len(DRAWERS)))]
    patch = DRAWERS[name](0, rng=rng)
    factor = np.power(np.maximum(patch.factor, 0.05), rng.uniform(0.25, 1.0))
    if rng.random() < 0.45:
        factor = np.minimum(1.0 / factor, 2.2)
    shown = Patch(np.asarray(factor, np.float32), patch.alpha, 0, patch.sides)
    before = image.copy()
    plant(image, np.zeros(image.shape[:2], np.uint8), patch=shown, rng=rng, value=-1)
    if image.shape[2] == 3 and rng.random() < 0.5:
        changed = (np.abs(image - before).max(2, keepdims=True) > 1.0).astype(np.float32)
        image += changed * rng.normal(0, 22, 3).astype(np.float32)


def _region(image: Floats, *, rng: Rng) -> tuple[Floats, tuple[slice, slice]]:
    """An irregular place: its alpha (h, w, 1) in 0..1 and where it lies in the picture."""
    height, width = image.shape[:2]
    radius = min(math.exp(rng.uniform(math.log(4), math.log(38))), 0.3 * min(height, width))
    points = outlined(radius, math.exp(rng.normal(0, 0.5)), rng.uniform(0, math.pi), 0.15, rng=rng)
    half = np.ceil(np.abs(points).max(0)) + 4
    h, w = min(int(2 * half[1]), height), min(int(2 * half[0]), width)
    canvas = np.zeros((h, w), np.float32)
    cv2.fillPoly(canvas, [np.round(points + half).astype(np.int32)], 1.0)
    alpha = np.asarray(cv2.GaussianBlur(canvas, (0, 0), rng.uniform(0.6, 2.5)), np.float32)
    y, x = int(rng.integers(0, height - h + 1)), int(rng.integers(0, width - w + 1))
    return alpha[..., None], np.s_[y : y + h, x : x + w]


def _moved(image: Floats, *, rng: Rng) -> None:
    """A piece of the same picture from elsewhere, mirrored or turned by half, a little brighter or darker."""
    alpha, place = _region(image, rng=rng)
    h, w = alpha.shape[:2]
    y, x = int(rng.integers(0, image.shape[0] - h + 1)), int(rng.integers(0, image.shape[1] - w + 1))
    piece = image[y : y + h, x : x + w][:: int(rng.choice([1, -1])), :: int(rng.choice([1, -1]))]
    image[place] += alpha * (piece * math.exp(rng.normal(0, 0.08)) - image[place])


def _texture(image: Floats, *, rng: Rng) -> None:
    """Another texture: blotches or streaks of another grain over the ground."""
    alpha, place = _region(image, rng=rng)
    noise = soft_noise(alpha.shape[:2], rng=rng, grain=math.exp(rng.uniform(0.3, 2.5)), strength=rng.uniform(0.1, 0.4))
    gain = noise[..., None] * math.exp(rng.normal(0, 0.25))
    image[place] += alpha * (image[place] * gain - image[place])
    if image.shape[2] == 3 and rng.random() < 0.5:
        image[place] += alpha * rng.normal(0, 18, 3).astype(np.float32)


def _flat(image: Floats, *, rng: Rng) -> None:
    """A feature that is missing: the place is filled with one smooth grey of its surroundings."""
    alpha, place = _region(image, rng=rng)
    region = image[place]
    rim = np.concatenate([region[0], region[-1], region[:, 0], region[:, -1]])
    level = np.median(rim, axis=0) if rng.random() < 0.6 else region.mean((0, 1))
    image[place] += alpha * (level + rng.normal(0, 2, region.shape).astype(np.float32) - region)


_FILLS: dict[str, Callable[..., None]] = {"moved": _moved, "texture": _texture, "flat": _flat}
