"""How is a defect, or a mark that is none, drawn from nothing onto a ground part?

The shapes follow what is known of the classes, not single pictures: pits are dark and small, cracks are dark lines,
chips break the rim or lie beside it as a dark-rimmed flake, bare places were not reached by the grinding, a band was
ground differently. Harmless marks look alike but are faint, bright, or belong to the ground beside the part.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from station.training.planting import Floats, Patch, Rng


def soft_noise(shape: tuple[int, int], *, rng: Rng, grain: float, strength: float) -> Floats:
    """Return smooth noise around 1 with features of about `grain` px."""
    h, w = shape
    small = rng.normal(0, 1, (max(int(h / grain) + 2, 2), max(int(w / grain) + 2, 2))).astype(np.float32)
    return np.asarray(np.exp(strength * cv2.resize(small, (w, h), interpolation=cv2.INTER_CUBIC)), np.float32)


def _polygon(shape: tuple[int, int], points: Floats, *, soft: float) -> Floats:
    canvas = np.zeros(shape, np.float32)
    cv2.fillPoly(canvas, [np.round(points * 16).astype(np.int32)], 1.0, lineType=cv2.LINE_8, shift=4)
    return np.asarray(cv2.GaussianBlur(canvas, (0, 0), soft), np.float32)


def outlined(radius: float, aspect: float, angle: float, rough: float, *, rng: Rng) -> Floats:
    """Return the points (n, 2) of a closed irregular outline around 0."""
    t = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    r = radius * np.exp(
        rough
        * (
            rng.normal(0, 1) * np.cos(t + rng.uniform(0, 6))
            + rng.normal(0, 1) * np.cos(2 * t + rng.uniform(0, 6))
            + 0.6 * rng.normal(0, 1, 24)
        )
    )
    x, y = r * np.cos(t) * math.sqrt(aspect), r * np.sin(t) / math.sqrt(aspect)
    c, s = math.cos(angle), math.sin(angle)
    return np.stack([c * x - s * y, s * x + c * y], 1).astype(np.float32)


def _pit(number: int, *, rng: Rng) -> Patch:
    radius, aspect = math.exp(rng.uniform(math.log(2.2), math.log(9))), math.exp(abs(rng.normal(0, 0.45)))
    points = outlined(radius, aspect, rng.uniform(0, math.pi), 0.12, rng=rng)
    half = np.ceil(np.abs(points).max(0)) + 4
    shape = (int(2 * half[1]), int(2 * half[0]))
    alpha = _polygon(shape, points + half, soft=rng.uniform(0.6, 1.3))
    factor = rng.uniform(0.12, 0.6) * soft_noise(shape, rng=rng, grain=3, strength=rng.uniform(0.05, 0.4))
    return Patch(factor, np.clip(alpha * 1.15, 0, 1), number)


def _line(length: float, width: float, wiggle: float, angle: float, *, rng: Rng) -> tuple[Floats, Floats]:
    """Return a random stroke: (alpha (h, w), points (n, 2))."""
    steps = max(int(length / 4), 3)
    turn = np.cumsum(rng.normal(0, wiggle, steps)) * 0.5 + rng.normal(0, wiggle, steps)
    heading = angle + turn
    points = np.cumsum(np.stack([np.cos(heading), np.sin(heading)], 1) * 4, 0)
    points -= points.min(0) - (width + 4)
    size = np.ceil(points.max(0) + width + 4).astype(int)
    canvas = np.zeros((size[1], size[0]), np.float32)
    thick = width * np.exp(cv2.blur(rng.normal(0, 0.6, (steps, 1)).astype(np.float32), (1, 3))[:, 0])
    for a, b, t in zip(points[:-1], points[1:], thick, strict=False):
        cv2.line(
            canvas,
            tuple(int(v) for v in np.round(a * 8)),
            tuple(int(v) for v in np.round(b * 8)),
            1.0,
            max(round(float(t)), 1),
            cv2.LINE_8,
            3,
        )
    return np.asarray(cv2.GaussianBlur(canvas, (0, 0), 0.7), np.float32), points.astype(np.float32)


def _crack(number: int, *, rng: Rng) -> Patch:
    angle = rng.normal(math.pi / 2, 0.5) if rng.random() < 0.6 else rng.uniform(0, math.pi)
    alpha, _ = _line(math.exp(rng.uniform(math.log(18), math.log(220))), rng.uniform(1.4, 4.5), 0.22, angle, rng=rng)
    factor = rng.uniform(0.2, 0.65) * soft_noise(alpha.shape, rng=rng, grain=6, strength=0.25)
    sides = str(rng.choice(["", "", "N", "S", "W", "E"]))
    return Patch(_trim(factor, sides), _trim(np.clip(alpha * 1.1, 0, 1), sides), number, sides)


def _trim(picture: Floats, sides: str, margin: int = 6) -> Floats:
    """Cut the empty rim off where the patch touches a picture border."""
    h, w = picture.shape
    y0, y1 = (margin if "N" in sides else 0), h - (margin if "S" in sides else 0)
    x0, x1 = (margin if "W" in sides else 0), w - (margin if "E" in sides else 0)
    return picture[y0:y1, x0:x1] if y1 - y0 > 4 and x1 - x0 > 4 else picture


def _chip(number: int, *, rng: Rng) -> Patch:
    """A piece out of the rim, or a shell-shaped flake beside it with a dark outline."""
    flake = rng.random() < 0.5
    radius = math.exp(rng.uniform(math.log(5), math.log(26)))
    aspect = math.exp(abs(rng.normal(0.5 if flake else 0.2, 0.5)))
    points = outlined(radius, min(aspect, 5.0), rng.uniform(0, math.pi), 0.10 if flake else 0.2, rng=rng)
    half = np.ceil(np.abs(points).max(0)) + 5
    shape = (int(2 * half[1]), int(2 * half[0]))
    alpha = _polygon(shape, points + half, soft=rng.uniform(0.6, 1.2))
    inner = rng.uniform(0.6, 1.5) if flake else rng.uniform(0.2, 1.3)
    factor = inner * soft_noise(shape, rng=rng, grain=rng.uniform(3, 10), strength=rng.uniform(0.05, 0.3))
    if flake or inner > 0.55:
        rim = np.clip(4 * alpha * (1 - alpha), 0, 1) * _polygon(
            shape, points + half + rng.normal(0, 1.5, 2).astype(np.float32), soft=2.5
        )
        rim /= rim.max() + 1e-6
        factor = factor * (1 - rim) + rim * rng.uniform(0.15, 0.5)
    sides = "" if flake and rng.random() < 0.7 else str(rng.choice(["N", "S", "W", "E"]))
    cut = int(rng.uniform(0.2, 1.0) * radius) + 5 if sides else 0
    return Patch(_trim(factor, sides, cut), _trim(np.clip(alpha * 1.1, 0, 1), sides, cut), number, sides)


def _bare(number: int, *, rng: Rng) -> Patch:
    """A large place that the grinding did not reach, from a border inwards: darker and without streaks."""
    radius = math.exp(rng.uniform(math.log(20), math.log(110)))
    points = outlined(radius, math.exp(rng.normal(0, 0.4)), rng.uniform(0, math.pi), 0.12, rng=rng)
    half = np.ceil(np.abs(points).max(0)) + 6
    shape = (int(2 * half[1]), int(2 * half[0]))
    alpha = _polygon(shape, points + half, soft=rng.uniform(0.8, 3.0))
    factor = rng.uniform(0.45, 0.82) * soft_noise(
        shape, rng=rng, grain=rng.uniform(4, 40), strength=rng.uniform(0.03, 0.15)
    )
    factor *= 1 + rng.normal(0, 0.03, shape).astype(np.float32)
    sides = str(rng.choice(["W", "E"]))
    cut = int(rng.uniform(0.4, 0.9) * radius) + 6
    return Patch(_trim(factor, sides, cut), _trim(alpha, sides, cut), number, sides)


def plant_band(image: Floats, mask: NDArray[np.uint8], *, rng: Rng, value: int) -> None:
    """Grind one end of the picture differently: another brightness and stronger or weaker streaks, in place."""
    h, w = mask.shape
    edge = h * rng.uniform(0.1, 0.6) + rng.normal(0, 12) * np.linspace(-1, 1, w) + 3 * np.cumsum(rng.normal(0, 0.3, w))
    rows = np.arange(h, dtype=np.float32)[:, None]
    weight = 1 / (1 + np.exp((rows - edge[None]) / rng.uniform(0.8, 4.0)))
    if rng.random() < 0.5:
        weight = weight[::-1]
    weight = weight.astype(np.float32)[..., None]
    smooth = cv2.blur(image, (41, 41), borderType=cv2.BORDER_REPLICATE).reshape(image.shape)
    gain = math.exp(rng.choice([1, -1], p=[0.7, 0.3]) * rng.uniform(0.08, 0.45))
    contrast = math.exp(rng.normal(0.1, 0.5))
    streaks = np.exp(
        cv2.GaussianBlur(rng.normal(0, 1, (1, w)).astype(np.float32), (0, 0), rng.uniform(0.5, 2.0))
        * rng.uniform(0, 0.25)
    )
    other = gain * (smooth * streaks[..., None] + contrast * (image - smooth))
    image += weight * (other - image)
    mask[weight[..., 0] > 0.5] = value


def plant_harmless(image: Floats, *, rng: Rng) -> None:
    """Add marks that are no defects: faint strokes, bright scratches, soft stains; in place."""
    for _ in range(int(rng.integers(1, 5))):
        kind = rng.random()
        if kind < 0.45:
            alpha, _ = _line(rng.uniform(15, 160), rng.uniform(1, 4), 0.35, rng.uniform(0, math.pi), rng=rng)
            alpha = np.asarray(cv2.GaussianBlur(alpha, (0, 0), rng.uniform(0.5, 1.5)), np.float32)
            level = rng.uniform(0.80, 0.95)
        elif kind < 0.65:
            alpha, _ = _line(rng.uniform(15, 120), 1, 0.08, rng.uniform(0, math.pi), rng=rng)
            level = rng.uniform(1.15, 1.8)
        else:
            radius = math.exp(rng.uniform(math.log(3), math.log(40)))
            points = outlined(radius, math.exp(rng.normal(0, 0.5)), rng.uniform(0, math.pi), 0.25, rng=rng)
            half = np.ceil(np.abs(points).max(0)) + 8
            alpha = _polygon((int(2 * half[1]), int(2 * half[0])), points + half, soft=rng.uniform(1.0, 4.0))
            level = rng.uniform(0.80, 0.95) if rng.random() < 0.8 else rng.uniform(1.05, 1.2)
        factor = np.full(alpha.shape, level, np.float32)
        _multiply(image, alpha, factor, rng=rng)


def plant_gap(image: Floats, *, rng: Rng) -> None:
    """Let the dark ground show beside one end of the part, along a shallow arc and at its corners; in place.

    Every second photograph has such a gap; without these a network takes it for a bare place or a chip.
    """
    turned = rng.random() < 0.25
    view = image.transpose(1, 0, 2) if turned else image
    h, w = view.shape[:2]
    x = np.linspace(-1, 1, w, dtype=np.float32)
    depth = (
        rng.uniform(1, 12) + rng.normal(0, 5) * x + rng.uniform(0, 16) * (1 - x**2) * (1 if rng.random() < 0.6 else -1)
    )
    if rng.random() < 0.5:
        corner = rng.uniform(5, 30) / w
        depth = depth + rng.uniform(5, 25) * np.exp(-(((x - rng.choice([-1.0, 1.0])) / corner) ** 2))
    rows = np.arange(h, dtype=np.float32)[:, None]
    weight = 1 / (1 + np.exp(np.clip((rows - depth[None]) / rng.uniform(0.4, 2.0), -30, 30)))
    weight = (weight if rng.random() < 0.5 else weight[::-1]).astype(np.float32)[..., None]
    level = float(np.median(view)) * rng.uniform(0.1, 0.55) * soft_noise((h, w), rng=rng, grain=25, strength=0.15)
    view += weight * (level[..., None] + rng.normal(0, 2, (h, w, 1)).astype(np.float32) - view)


def _multiply(image: Floats, alpha: Floats, factor: Floats, *, rng: Rng) -> None:
    h, w = image.shape[:2]
    ph, pw = alpha.shape
    y, x = int(rng.integers(-ph // 2, h - ph // 2)), int(rng.integers(-pw // 2, w - pw // 2))
    y0, x0, y1, x1 = max(y, 0), max(x, 0), min(y + ph, h), min(x + pw, w)
    if y1 > y0 and x1 > x0:
        inside = np.s_[y0 - y : y1 - y, x0 - x : x1 - x]
        image[y0:y1, x0:x1] *= (1 + alpha[inside] * (factor[inside] - 1))[..., None]


DRAWERS: dict[str, Callable[..., Patch]] = {"blowhole": _pit, "break": _chip, "crack": _crack, "fray": _bare}
BAND = "uneven"
