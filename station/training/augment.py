"""How does a training crop come out of a sample: place, geometry, planted defects, light?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from station.training.drawing import BAND, DRAWERS, plant_band, plant_gap, plant_harmless
from station.training.planting import Patch, plant, vary
from station.training.samples import Sample
from station.training.settings import Geometry, Photometry, Settings
from station.training.unseen import plant_unseen

Floats = NDArray[np.float32]
Rng = np.random.Generator
UNKNOWN = 255  # mask value: nothing is known about this pixel


@dataclass(frozen=True)
class Crop:
    """A training crop: image float32 (h, w, C) 0..255, mask uint8 (h, w), defective 0 or 1, planted or not."""

    image: Floats
    mask: NDArray[np.uint8]
    defective: int


def cut(
    sample: Sample, shape: tuple[int, int], *, geometry: Geometry, rng: Rng, focus: bool, colour: bool
) -> tuple[Floats, NDArray[np.uint8]]:
    """Cut a moved, turned and rescaled window of `shape` (h, w) px out of `sample`.

    The window keeps to the picture, so its rim is often the picture's rim: chips sit there. With `focus`, the window
    holds a random defect pixel. Image and mask go through one and the same matrix.
    """
    height, width = sample.mask.shape
    h, w = shape
    scale = math.exp(rng.normal(0, geometry.scale_sigma))
    sx, sy = scale * math.exp(rng.normal(0, geometry.aspect_sigma)), scale
    sx, sy = max(sx, w / width), max(sy, h / height) if h <= height * 1.25 else sy
    vw, vh = w / sx, h / sy  # the window's size in picture pixels
    if focus:
        ys, xs = np.nonzero(sample.mask)
        k = int(rng.integers(len(ys)))
        cx, cy = xs[k] + rng.uniform(-0.42, 0.42) * vw, ys[k] + rng.uniform(-0.42, 0.42) * vh
    else:
        cx, cy = rng.uniform(-0.1, 1.1) * width, rng.uniform(-0.1, 1.1) * height
    cx = min(max(cx, vw / 2), width - vw / 2) if vw < width else width / 2
    cy = min(max(cy, vh / 2), height - vh / 2) if vh < height else vh / 2
    angle = math.radians(rng.uniform(-1, 1) * geometry.rotation_deg) if rng.random() < geometry.rotation_share else 0.0
    fx = -1.0 if geometry.flip_x and rng.random() < 0.5 else 1.0
    fy = -1.0 if geometry.flip_y and rng.random() < 0.5 else 1.0
    c, s = math.cos(angle), math.sin(angle)
    a, b, d, e = c * fx / sx, -s * fy / sy, s * fx / sx, c * fy / sy
    back = np.array(
        [[a, b, cx - 0.5 - a * (w - 1) / 2 - b * (h - 1) / 2], [d, e, cy - 0.5 - d * (w - 1) / 2 - e * (h - 1) / 2]]
    )
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    source = sample.image if colour else cv2.cvtColor(sample.image, cv2.COLOR_BGR2GRAY)
    image = cv2.warpAffine(source, back, (w, h), flags=flags, borderMode=cv2.BORDER_REPLICATE).astype(np.float32)
    image = image.reshape(h, w, -1)
    mask = cv2.warpAffine(
        sample.mask, back, (w, h), flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REPLICATE
    )
    return image, np.asarray(mask, np.uint8)


def relight(image: Floats, *, photometry: Photometry, rng: Rng) -> Floats:
    """Return `image` (h, w, C) under another exposure, gamma, light field, sharpness and noise; clipped to 0..255."""
    h, w, channels = image.shape
    if photometry.field_sigma > 0:
        grid = rng.normal(0, photometry.field_sigma, (int(rng.integers(2, 5)), int(rng.integers(2, 5)))).astype(
            np.float32
        )
        light = np.exp(cv2.resize(grid, (w, h), interpolation=cv2.INTER_CUBIC))[..., None]
        image = image * light
    gain = math.exp(rng.normal(0, photometry.gain_sigma))
    gamma = math.exp(rng.normal(0, photometry.gamma_sigma))
    image = 255.0 * np.power(np.clip(image * np.float32(gain / 255.0), 0, 1.5), np.float32(gamma))
    if rng.random() < photometry.blur_share:
        blurred = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.3, photometry.blur_max))
        image = np.asarray(blurred, np.float32).reshape(h, w, channels)
    noise = rng.standard_normal((h, w), dtype=np.float32)[..., None] * np.float32(rng.uniform(0, photometry.noise_max))
    return np.asarray(np.clip(image + noise, 0, 255), np.float32)


def make_crop(
    sample: Sample,
    shape: tuple[int, int],
    *,
    settings: Settings,
    classes: Sequence[str],
    bank: Sequence[Sequence[Patch]],
    rng: Rng,
) -> Crop:
    """Return one augmented crop of `sample`; `bank` holds real patches per class."""
    planting = settings.planting
    focus = sample.label >= 0 and sample.located and rng.random() < settings.geometry.focus_share
    image, mask = cut(sample, shape, geometry=settings.geometry, rng=rng, focus=focus, colour=settings.net.colour)
    if planting.harmless_share and rng.random() < planting.harmless_share:
        plant_harmless(image, rng=rng)
    if planting.gap_share and rng.random() < planting.gap_share:
        plant_gap(image, rng=rng)
    if planting.unseen:
        if rng.random() < planting.share:
            for _ in range(1 if rng.random() < 0.8 else 2):
                plant_unseen(image, mask, rng=rng)
    elif sample.label < 0 and rng.random() < planting.share:
        for _ in range(1 if rng.random() < 0.8 else 2):
            _plant_one(image, mask, settings=settings, classes=classes, bank=bank, rng=rng)
    if sample.label >= 0 and not sample.located:
        mask[:] = UNKNOWN
    defective = int(bool((mask > 0).any()))
    return Crop(relight(image, photometry=settings.photometry, rng=rng), mask, defective)


def _plant_one(
    image: Floats,
    mask: NDArray[np.uint8],
    *,
    settings: Settings,
    classes: Sequence[str],
    bank: Sequence[Sequence[Patch]],
    rng: Rng,
) -> None:
    filled = [k for k, patches in enumerate(bank) if patches]
    if filled and rng.random() < settings.planting.paste_share:
        patches = bank[filled[int(rng.integers(len(filled)))]]
        patch = vary(patches[int(rng.integers(len(patches)))], rng=rng)
        plant(image, mask, patch=patch, rng=rng, value=patch.number + 1)
        return
    if not settings.planting.drawn:
        return
    name = settings.planting.drawn[int(rng.integers(len(settings.planting.drawn)))]
    number = classes.index(name)
    if name == BAND:
        plant_band(image, mask, rng=rng, value=number + 1)
    else:
        plant(image, mask, patch=DRAWERS[name](number, rng=rng), rng=rng, value=number + 1)
