"""How is a defect planted onto a sound picture, and how is a real one lifted out of its own?

A planted defect is a `Patch`: a factor on the local background and how much of it shows. Working with factors instead
of grey values makes a patch independent of the exposure that it came from.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from station.training.samples import Sample

Floats = NDArray[np.float32]
Rng = np.random.Generator
LONGEST_PX = 160  # a longer piece of a real defect looks cut off wherever it is put


@dataclass(frozen=True)
class Patch:
    """A defect free of its background.

    Attributes:
        factor: float32 (h, w), grey value divided by the local background.
        alpha: float32 (h, w), 0..1, how much of the patch shows.
        number: class index.
        sides: which picture borders it touches: subset of "NSWE".
    """

    factor: Floats
    alpha: Floats
    number: int
    sides: str = ""


def background(grey: Floats, *, size: int = 21) -> Floats:
    """Return the local mean of `grey` (H, W) over `size` px."""
    return np.asarray(cv2.blur(grey, (size, size), borderType=cv2.BORDER_REPLICATE), np.float32)


def plant(image: Floats, mask: NDArray[np.uint8], *, patch: Patch, rng: Rng, value: int) -> None:
    """Put `patch` somewhere onto `image` (H, W, C) and write `value` into `mask`; both are changed in place."""
    height, width = mask.shape
    ph, pw = patch.alpha.shape
    y = _place(height, ph, low="N" in patch.sides, high="S" in patch.sides, rng=rng)
    x = _place(width, pw, low="W" in patch.sides, high="E" in patch.sides, rng=rng)
    y0, x0, y1, x1 = max(y, 0), max(x, 0), min(y + ph, height), min(x + pw, width)
    if y1 <= y0 or x1 <= x0:
        return
    inside = np.s_[y0 - y : y1 - y, x0 - x : x1 - x]
    alpha, factor = patch.alpha[inside][..., None], patch.factor[inside][..., None]
    region = image[y0:y1, x0:x1]
    smooth = cv2.blur(region, (15, 15), borderType=cv2.BORDER_REPLICATE).reshape(region.shape)
    region *= 1.0 - alpha
    region += alpha * factor * smooth
    if value >= 0:
        mask[y0:y1, x0:x1][patch.alpha[inside] > 0.5] = value


def _place(length: int, size: int, *, low: bool, high: bool, rng: Rng) -> int:
    if low and high:
        return (length - size) // 2
    if low:
        return 0
    if high:
        return length - size
    return int(rng.integers(-(size // 3), max(length - size + size // 3, 0) + 1))


def harvest(samples: Sequence[Sample], *, limit_px: int = 9000) -> tuple[Patch, ...]:
    """Cut the real defects (up to `limit_px` px of box) out of `samples`; give training parts only."""
    patches = []
    for sample in samples:
        if sample.label < 0 or not sample.located:
            continue
        grey = cv2.cvtColor(sample.image, cv2.COLOR_BGR2GRAY).astype(np.float32)
        hit = (sample.mask > 0).astype(np.uint8)
        wide = cv2.dilate(hit, np.ones((5, 5), np.uint8))
        free = (1 - cv2.dilate(hit, np.ones((7, 7), np.uint8))).astype(np.float32)
        weight = cv2.blur(free, (41, 41)) + 1e-4
        ground = cv2.blur(grey * free, (41, 41)) / weight
        count, _, stats, _ = cv2.connectedComponentsWithStats(wide)
        for k in range(1, count):
            x, y, w, h, area = (int(v) for v in stats[k])
            if area < 25 or w * h > limit_px or max(w, h) > LONGEST_PX:
                continue
            y0, x0, y1, x1 = max(y - 4, 0), max(x - 4, 0), min(y + h + 4, grey.shape[0]), min(x + w + 4, grey.shape[1])
            factor = np.clip(grey[y0:y1, x0:x1] / (ground[y0:y1, x0:x1] + 2.0), 0.02, 3.0)
            alpha = cv2.GaussianBlur(wide[y0:y1, x0:x1].astype(np.float32), (0, 0), 1.2)
            sides = "".join(
                s
                for s, on in zip(
                    "NSWE", (y <= 3, y + h >= grey.shape[0] - 3, x <= 3, x + w >= grey.shape[1] - 3), strict=True
                )
                if on
            )
            patches.append(Patch(factor.astype(np.float32), alpha.astype(np.float32), sample.label, sides))
    return tuple(patches)


def vary(patch: Patch, *, rng: Rng) -> Patch:
    """Return `patch` mirrored, turned, rescaled and with another depth."""
    factor: Any = patch.factor
    alpha: Any = patch.alpha
    sides = patch.sides
    if rng.random() < 0.5:
        factor, alpha = factor[:, ::-1], alpha[:, ::-1]
        sides = sides.translate(str.maketrans("WE", "EW"))
    if rng.random() < 0.5:
        factor, alpha = factor[::-1], alpha[::-1]
        sides = sides.translate(str.maketrans("NS", "SN"))
    scale = math.exp(rng.normal(0, 0.25))
    aspect = math.exp(rng.normal(0, 0.12))
    h, w = alpha.shape
    if not sides:
        angle = float(rng.uniform(-180, 180) if rng.random() < 0.6 else rng.uniform(-10, 10))
        c, s = abs(math.cos(math.radians(angle))), abs(math.sin(math.radians(angle)))
        nw, nh = int((w * c + h * s) * scale) + 3, int((w * s + h * c) * scale) + 3
        matrix = cv2.getRotationMatrix2D((w / 2, h / 2), angle, scale)
        matrix[:, 2] += (nw / 2 - w / 2, nh / 2 - h / 2)
        factor = cv2.warpAffine(
            np.ascontiguousarray(factor), matrix, (nw, nh), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
        alpha = cv2.warpAffine(np.ascontiguousarray(alpha), matrix, (nw, nh), flags=cv2.INTER_LINEAR)
    else:
        size = (max(int(w * scale * aspect), 3), max(int(h * scale / aspect), 3))
        factor = cv2.resize(np.ascontiguousarray(factor), size, interpolation=cv2.INTER_LINEAR)
        alpha = cv2.resize(np.ascontiguousarray(alpha), size, interpolation=cv2.INTER_LINEAR)
    return Patch(
        np.power(np.maximum(factor, 0.02), rng.uniform(0.6, 1.3)).astype(np.float32),
        alpha.astype(np.float32),
        patch.number,
        sides,
    )
