"""How does each kind of mark change the picture of a disc, and which pixels are its truth?

Defects and harmless marks are drawn by the same hands on purpose: a fibre is a stroke like a scratch, a glint is
bright and long like one. What tells them apart is what does so on a real bench: a scratch is thin, has a bright
burr and a dark flank and points anywhere; a fibre is dark and curled; a glint is soft, has no dark flank and
points to the lamp.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
import numpy.typing as npt

from station.sim.spec import HOLE_CHAMFER, Mark
from station.sim.surface import TO_LIGHT, FloatImage, Stage, patch

# Strokes are drawn this many times larger, then averaged down: widths below one pixel come out right.
_FINE = 4
_STAIN_BGR = (0.66, 0.50, 0.36)  # share of light that a stain of severity 1 swallows; blue most, hence brown

Place = tuple[slice, slice]
Mask = npt.NDArray[np.bool_]


def paint(grey: FloatImage, shared: Stage, mark: Mark, metal: Mask) -> tuple[Place, Mask]:
    """Draw a mark into the grey picture of a disc, in place.

    A missing hole is not drawn here: it was never drilled. Nor is a stain: it needs colour (`paint_stain`).

    Args:
        grey: (side, side) in 0..255; changed.
        shared: What belongs to this diameter.
        mark: The mark.
        metal: (side, side), True where marks can lie.

    Returns:
        Rows and columns of the patch the mark lies in, and which of its pixels belong to the mark.
    """
    x, y, reach = _extent(mark)
    place = patch(shared, x, y, reach + 4 / shared.radius_px)
    change, mask = _PAINTERS[mark.kind](shared, mark, place)
    on_metal = metal[place]
    grey[place] += change * on_metal
    return place, mask & on_metal


def paint_stain(bgr: npt.NDArray[np.uint8], shared: Stage, mark: Mark, metal: Mask) -> tuple[Place, Mask]:
    """Draw a stain into the colour picture (side, side, 3) of a disc, in place; returns as `paint` does."""
    x, y = mark.points[0]
    place = patch(shared, x, y, 1.6 * mark.radius)
    rng = np.random.default_rng(mark.seed)
    du, dv = shared.u[place] - np.float32(x), shared.v[place] - np.float32(y)
    angle = rng.uniform(0, 2 * math.pi)
    d, bearing = np.hypot(du, dv) / np.float32(mark.radius), np.arctan2(dv, du)
    # A lobed drop: three waves around it, and a little unevenness inside.
    lobes = np.zeros_like(d)
    for wave in (2, 3, 5):
        depth = np.float32(rng.normal(0, 0.20 / wave**0.5))
        lobes += depth * np.cos(np.float32(wave) * bearing + np.float32(angle * wave**2))
    coarse = rng.normal(0, 1, (9, 9)).astype(np.float32)
    waves = cv2.resize(cv2.GaussianBlur(coarse, (3, 3), 0), du.shape[::-1], interpolation=cv2.INTER_CUBIC)
    inside = 1 - d * (1 + np.maximum(lobes, -0.3)) + 0.10 * waves
    # A drop dries from its edge inwards and leaves most there.
    body = np.clip(inside / 0.22 + 0.15, 0, 1)
    density = body * (0.62 + 0.28 * waves) + 0.32 * np.exp(-(((inside - 0.14) / 0.09) ** 2))
    density *= metal[place]
    strength = np.float32(0.03 + 0.9 * mark.severity)
    swallowed = np.clip(density, 0, 1.2)[:, :, None] * (strength * np.array(_STAIN_BGR, np.float32))
    bgr[place] = np.clip(bgr[place] * (1 - swallowed) + 0.5, 0, 255).astype(np.uint8)
    return place, (inside > 0.02) & metal[place]


def hole_truth(shared: Stage, mark: Mark) -> tuple[Place, Mask]:
    """Where a missing hole and its bevel should have been; returns as `paint` does."""
    x, y = mark.points[0]
    reach = mark.radius + HOLE_CHAMFER
    place = patch(shared, x, y, reach)
    mask = np.hypot(shared.u[place] - np.float32(x), shared.v[place] - np.float32(y)) <= reach
    return place, np.asarray(mask, dtype=np.bool_)


def _scratch(shared: Stage, mark: Mark, place: Place) -> tuple[FloatImage, Mask]:
    rng = np.random.default_rng(mark.seed)
    scale = max(shared.radius_px / 150, 0.5)
    width = scale * (0.9 + 1.0 * mark.severity)
    ends = np.sin(np.linspace(0.12, math.pi - 0.12, len(mark.points) - 1)) ** 0.5
    depth = ends * rng.uniform(0.7, 1.0, len(ends))
    core = _stroke(shared, mark, place, width, depth)
    off = 0.9 * width / shared.radius_px
    flank = _stroke(shared, mark, place, width * 1.1, depth, (-off * TO_LIGHT[0], -off * TO_LIGHT[1]))
    contrast = 5 + 135 * mark.severity
    change = contrast * (core - 0.62 * flank * (1 - core))
    return _f32(change), (core > 0.22) | (flank > 0.45)


def _dent(shared: Stage, mark: Mark, place: Place) -> tuple[FloatImage, Mask]:
    rng = np.random.default_rng(mark.seed)
    (x, y), sigma = mark.points[0], 0.55 * mark.radius
    angle, squeeze = rng.uniform(0, math.pi), rng.uniform(0.75, 1.0)
    du, dv = (shared.u[place] - np.float32(x)) / sigma, (shared.v[place] - np.float32(y)) / sigma
    along = du * math.cos(angle) + dv * math.sin(angle)
    across = (dv * math.cos(angle) - du * math.sin(angle)) / squeeze
    distance = along * along + across * across
    bell = np.exp(-0.5 * distance)
    # The wall away from the lamp faces it and shines; the near wall lies in its own shade.
    slope = -(du * TO_LIGHT[0] + dv * TO_LIGHT[1]) * bell / 0.607
    change = (4 + 100 * mark.severity) * (slope - 0.30 * bell + 0.5 * np.clip(slope, 0, 1) ** 4)
    return _f32(change), np.asarray(distance < 1.75**2, dtype=np.bool_)


def _dust(shared: Stage, mark: Mark, place: Place) -> tuple[FloatImage, Mask]:
    rng = np.random.default_rng(mark.seed)
    scale = max(shared.radius_px / 150, 0.5)
    contrast = 22 + 75 * mark.severity
    if len(mark.points) > 1:
        fibre = _stroke(shared, mark, place, scale * rng.uniform(0.9, 1.5), np.ones(len(mark.points) - 1))
        soft = cv2.GaussianBlur(fibre, (0, 0), 0.5 * scale)
        return _f32(-0.8 * contrast * soft), np.asarray(soft > 0.25, dtype=np.bool_)
    (x, y), change = mark.points[0], np.zeros_like(shared.u[place])
    bright = -1 if rng.random() < 0.65 else 1
    for _ in range(int(rng.integers(1, 5))):
        dx, dy = rng.normal(0, 0.45 * mark.radius, 2)
        size = max(scale * rng.uniform(0.55, 1.35), 0.5) / shared.radius_px
        distance = ((shared.u[place] - (x + dx)) ** 2 + (shared.v[place] - (y + dy)) ** 2) / size**2
        change = change + bright * contrast * rng.uniform(0.5, 1) * np.exp(-(distance**1.5) / 2)
    return _f32(change), np.asarray(np.abs(change) > 0.2 * contrast, dtype=np.bool_)


def _reflection(shared: Stage, mark: Mark, place: Place) -> tuple[FloatImage, Mask]:
    rng = np.random.default_rng(mark.seed)
    (x0, y0), (x1, y1) = mark.points[0], mark.points[-1]
    length = math.hypot(x1 - x0, y1 - y0)
    tx, ty = (x1 - x0) / length, (y1 - y0) / length
    du, dv = shared.u[place] - np.float32((x0 + x1) / 2), shared.v[place] - np.float32((y0 + y1) / 2)
    along, across = (du * tx + dv * ty) / (0.5 * length), dv * tx - du * ty
    width = max(rng.uniform(0.009, 0.016), 0.8 / shared.radius_px)
    taper = np.clip(1 - along * along, 0, 1)
    glint = taper * np.exp(-0.5 * (across / (width * (0.25 + 0.75 * taper))) ** 2)
    halo = np.exp(-1.6 * along * along) * np.exp(-0.5 * (across / (3 * width)) ** 2)
    change = (30 + 100 * mark.severity) * (glint + 0.16 * halo)
    return _f32(change), np.asarray(glint > 0.25, dtype=np.bool_)


def _stroke(
    shared: Stage,
    mark: Mark,
    place: Place,
    width_px: float,
    depth: npt.NDArray[np.float64],
    shift: tuple[float, float] = (0.0, 0.0),
) -> FloatImage:
    """Cover in 0..1 of a line through the mark's points, each piece between two of them with its own depth."""
    rows, columns = place
    shape = (rows.stop - rows.start, columns.stop - columns.start)
    fine = np.zeros((shape[0] * _FINE, shape[1] * _FINE), np.uint8)
    points = (np.array(mark.points) + shift) * shared.radius_px + shared.half + 0.5 - (columns.start, rows.start)
    corners = np.rint(points * _FINE * 16).astype(np.int64)
    thickness = max(1, round(width_px * _FINE))
    for (x0, y0), (x1, y1), level in zip(corners[:-1].tolist(), corners[1:].tolist(), depth.tolist(), strict=True):
        cv2.line(fine, (x0, y0), (x1, y1), (255 * level,), thickness, cv2.LINE_8, 4)
    cover = cv2.resize(fine, (shape[1], shape[0]), interpolation=cv2.INTER_AREA)
    return _f32(cover.astype(np.float32) / 255)


def _extent(mark: Mark) -> tuple[float, float, float]:
    """Centre and half side of the square that holds a mark, in disc radii."""
    xs, ys = zip(*mark.points, strict=True)
    centre_x, centre_y = (min(xs) + max(xs)) / 2, (min(ys) + max(ys)) / 2
    half = max(max(xs) - min(xs), max(ys) - min(ys)) / 2
    return centre_x, centre_y, half + (0.03 if len(mark.points) > 1 else 1.8 * mark.radius)


def _f32(image: npt.ArrayLike) -> FloatImage:
    return np.asarray(image, dtype=np.float32)


_PAINTERS = {"scratch": _scratch, "dent": _dent, "dust": _dust, "reflection": _reflection}
