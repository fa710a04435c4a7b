"""How does a clean machined disc look under the station's lamp?

Everything that does not depend on the part (bevels, bore, shadow, the bow-tie highlight of turned metal) is
computed once per diameter and kept; a part then only adds its own grain and its bolt holes. That is what makes a
part cheap enough to draw while the belt runs.

The highlight follows Kajiya and Kay (1989): a turned face is a bundle of circular grooves, and a groove shines
where its tangent stands across the half vector between lamp and camera. On a disc these places form a bow tie
through the centre.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

from station.sim.spec import (
    BORE_RADIUS,
    HOLE_CHAMFER,
    HOLE_RADIUS,
    HUB_RADIUS,
    LIGHT_AZIMUTH_RAD,
    DiscSpec,
)

FloatImage = npt.NDArray[np.float32]

TO_LIGHT = (math.cos(LIGHT_AZIMUTH_RAD), math.sin(LIGHT_AZIMUTH_RAD))
"""Unit vector in the picture from a part towards the lamp."""
_KEY_LIGHT = (2.2 * TO_LIGHT[0], 2.2 * TO_LIGHT[1], 2.3)  # in disc radii; z is the height above the face
_FILL_LIGHT = (2.3, -0.5, 2.9)
_CAMERA_HEIGHT = 5.0
_GRAIN_COLUMNS = 1024  # around the disc
_MIN_DIAMETER_PX = 16.0


@dataclass(frozen=True)
class Stage:
    """What all discs of one diameter share. Images are (side, side) float32, grey values in 0..255.

    Attributes:
        radius_px: Radius of the disc.
        half: Centre pixel of the sprite in x and y; side = 2 * half + 1.
        u: x of every pixel in disc radii from the centre.
        v: y likewise.
        face: Grey of the clean metal without grain, over black: zero outside of the metal.
        gloss: How strongly the grain shows.
        alpha: Cover of the belt: 1 on metal, the depth of shadow beside it and in the bore.
        metal: True where there is metal, bore and outside excluded (bolt holes are the part's own).
        grain_x: Columns into the polar grain, fixed-point map of `cv2.convertMaps`.
        grain_y: Its interpolation table.
        grain_rows: Rows of polar grain that one disc needs.
    """

    radius_px: float
    half: int
    u: FloatImage
    v: FloatImage
    face: FloatImage
    gloss: FloatImage
    alpha: FloatImage
    metal: npt.NDArray[np.bool_]
    grain_x: npt.NDArray[np.int16]
    grain_y: npt.NDArray[np.uint16]
    grain_rows: int


@lru_cache(maxsize=8)
def stage(diameter_px: float) -> Stage:
    """Prepare everything that discs of this diameter share; kept for the next call.

    Raises:
        ValueError: A diameter too small to show anything, or not finite.
    """
    if not _MIN_DIAMETER_PX <= diameter_px <= 4096:
        raise ValueError(f"disc diameter is {diameter_px} px; it must lie in [{_MIN_DIAMETER_PX:.0f}, 4096]")
    radius = diameter_px / 2
    half = math.ceil(radius * 1.16) + 1  # room for the shadow
    axis = (np.arange(2 * half + 1, dtype=np.float32) - half) / np.float32(radius)
    u, v = np.meshgrid(axis, axis)
    r = np.hypot(u, v)
    safe_r = np.maximum(r, 1e-3)
    facing = (u * TO_LIGHT[0] + v * TO_LIGHT[1]) / safe_r  # 1 where the outward direction points to the lamp

    key, fill = _groove_highlight(u, v, _KEY_LIGHT), _groove_highlight(u, v, _FILL_LIGHT)
    face = 116 + 74 * key + 30 * fill
    # The far side sees the lamp at a flatter angle and returns more of it; light across the field is the scene's.
    face *= 1 - 0.05 * facing * r
    gloss = 0.45 + 0.75 * key + 0.25 * fill
    edge = 1 / radius  # one pixel in disc radii
    for inner, outer, sign in (
        (BORE_RADIUS, BORE_RADIUS + 0.03, -1),
        (HUB_RADIUS, HUB_RADIUS + 0.016, 1),
        (0.955, 1.02, 1),
    ):
        cover = _band(r, inner, outer, edge)
        lit = sign * facing
        bevel = 96 + 92 * np.maximum(lit, 0) + 70 * np.maximum(lit, 0) ** 8 - 46 * np.maximum(-lit, 0)
        face += cover * (bevel - face)
        gloss *= 1 - 0.8 * cover
    # A fine dark line where a tool left a burr at the foot of each bevel.
    for at in (BORE_RADIUS + 0.032, HUB_RADIUS - 0.004, 0.951):
        face *= 1 - 0.22 * np.exp(-(((r - at) / max(0.005, 0.6 * edge)) ** 2))

    outline = np.clip((1 - r) * radius + 0.5, 0, 1)
    bore = np.clip((BORE_RADIUS - r) * radius + 0.5, 0, 1)
    wall, cover = hole_look(u / BORE_RADIUS, v / BORE_RADIUS, depth=0.42)
    face = face * outline
    face += bore * (wall - face)
    alpha = outline + bore * (cover - outline)
    alpha += _shadow(half, radius) * (1 - outline)

    rows = math.ceil(radius * 1.05) + 4
    column = (np.arctan2(v, u) / (2 * math.pi) + 0.5) * _GRAIN_COLUMNS
    maps = cv2.convertMaps(column.astype(np.float32), (r * radius).astype(np.float32), cv2.CV_16SC2)
    return Stage(
        radius_px=radius,
        half=half,
        u=u,
        v=v,
        face=_f32(face),
        gloss=_f32(gloss * outline * (1 - bore)),
        alpha=_f32(alpha),
        metal=(outline > 0.5) & (bore < 0.5),
        grain_x=np.asarray(maps[0], dtype=np.int16),
        grain_y=np.asarray(maps[1], dtype=np.uint16),
        grain_rows=rows,
    )


def clean_disc(spec: DiscSpec, shared: Stage) -> tuple[FloatImage, FloatImage, npt.NDArray[np.bool_]]:
    """Draw the disc with all marks of `spec.planted` but the missing holes left out.

    Returns:
        Grey over black, cover of the belt in 0..1, and the metal as a mask; each (side, side).
    """
    rng = np.random.default_rng(spec.seed)
    pool = _grain_pool(shared.grain_rows)
    top = int(rng.integers(pool.shape[0] - shared.grain_rows))
    left = int(rng.integers(_GRAIN_COLUMNS))
    window = np.ascontiguousarray(pool[top : top + shared.grain_rows, left : left + _GRAIN_COLUMNS + 2])
    # The feed of the tool: rings of slightly different depth, the same all the way round.
    feed = rng.normal(0, 0.045, (shared.grain_rows, 1)).astype(np.float32)
    pitch = rng.uniform(3.3, 4.4)
    feed[:, 0] += 0.05 * np.sin(np.arange(shared.grain_rows) * (2 * math.pi / pitch)).astype(np.float32)
    grain = cv2.remap(window + feed, shared.grain_x, shared.grain_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    tone = np.float32(rng.uniform(0.95, 1.05))
    grey = _f32(shared.face * (tone + shared.gloss * grain))
    alpha = shared.alpha.copy()
    metal = shared.metal.copy()
    filled = {mark.hole: mark.severity for mark in spec.planted if mark.hole is not None}
    for number, (x, y) in enumerate(spec.hole_centres()):
        _drill(grey, alpha, metal, shared, float(x), float(y), filled.get(number, 0.0))
    return grey, alpha, metal


def patch(shared: Stage, x: float, y: float, reach: float) -> tuple[slice, slice]:
    """Rows and columns of the sprite around a place, all in disc radii, cut at the sprite's edge."""
    low_x, high_x = (math.floor((x + s * reach) * shared.radius_px + shared.half) for s in (-1, 1))
    low_y, high_y = (math.floor((y + s * reach) * shared.radius_px + shared.half) for s in (-1, 1))
    side = 2 * shared.half + 1
    return slice(max(low_y, 0), min(high_y + 2, side)), slice(max(low_x, 0), min(high_x + 2, side))


def hole_look(x: FloatImage, y: FloatImage, *, depth: float) -> tuple[FloatImage, FloatImage]:
    """Look into a through hole: the lit wall, and how much of the belt below is hidden in the dark.

    Args:
        x: Distance from the hole's axis in hole radii.
        y: Likewise.
        depth: How far the rim's shadow reaches over the floor, in hole radii.

    Returns:
        Grey of the wall over black, and cover of the belt in 0..1.
    """
    d = np.hypot(x, y)
    away = -(x * TO_LIGHT[0] + y * TO_LIGHT[1])
    floor = _ramp(1.08, 0.72, np.hypot(x + depth * TO_LIGHT[0], y + depth * TO_LIGHT[1]))
    rim = _ramp(0.80, 1.0, d)
    lit = np.clip(away / np.maximum(d, 1e-3), 0, 1)
    wall = rim * (16 + 92 * lit * lit)
    cover = np.maximum(0.90 - 0.42 * floor * (1 - 0.8 * depth), rim * 0.9)
    return _f32(wall), _f32(cover)


def _drill(
    grey: FloatImage,
    alpha: FloatImage,
    metal: npt.NDArray[np.bool_],
    shared: Stage,
    x: float,
    y: float,
    filled: float,
) -> None:
    """Drill one bolt hole in place. `filled` 0 is a through hole, 1 no hole at all, between them a blind one."""
    if filled >= 1.0:
        return
    rows, columns = patch(shared, x, y, HOLE_RADIUS + HOLE_CHAMFER + 3 / shared.radius_px)
    du, dv = shared.u[rows, columns] - np.float32(x), shared.v[rows, columns] - np.float32(y)
    d = np.hypot(du, dv)
    edge = 1 / shared.radius_px
    # A drill that hardly touched the face left no bevel.
    rim = 1 - float(_ramp(0.75, 1.0, np.float32(filled)))
    inward = -(du * TO_LIGHT[0] + dv * TO_LIGHT[1]) / np.maximum(d, 1e-3)
    bevel = 92 + 88 * np.maximum(inward, 0) + 50 * np.maximum(inward, 0) ** 6 - 58 * np.maximum(-inward, 0)
    here, cover = grey[rows, columns], alpha[rows, columns]
    flat = here.copy()
    here += rim * _band(d, HOLE_RADIUS, HOLE_RADIUS + HOLE_CHAMFER, edge) * (bevel - here)
    inside = np.clip((HOLE_RADIUS - d) * shared.radius_px + 0.5, 0, 1)
    wall, dark = hole_look(_f32(du / HOLE_RADIUS), _f32(dv / HOLE_RADIUS), depth=0.75)
    if filled > 0:
        # The floor of a blind hole rises with `filled`: its shadow shrinks and it takes on the grey of the face.
        rise = filled**0.8
        shade = _ramp(
            1.25,
            0.85,
            np.hypot(
                du / HOLE_RADIUS + 0.75 * (1 - filled) * TO_LIGHT[0],
                dv / HOLE_RADIUS + 0.75 * (1 - filled) * TO_LIGHT[1],
            ),
        )
        floor = flat * (1 - (1 - filled) * (0.75 - 0.45 * shade))
        wall = _f32(wall + rise * (floor - wall))
        dark = _f32(dark + rise * (1 - dark))
    else:
        metal[rows, columns] &= inside < 0.5
    here += inside * (wall - here)
    cover += inside * (dark - cover)


def _groove_highlight(u: FloatImage, v: FloatImage, light: tuple[float, float, float]) -> FloatImage:
    """Brightness in 0..1 of circular grooves under one lamp (see the module's docstring)."""
    to_light = _unit(light[0] - u, light[1] - v, np.full_like(u, light[2]))
    to_camera = _unit(-u, -v, np.full_like(u, _CAMERA_HEIGHT))
    hx, hy, _ = _unit(*(a + b for a, b in zip(to_light, to_camera, strict=True)))
    r = np.maximum(np.hypot(u, v), 1e-3)
    along = (-v * hx + u * hy) / r
    return _f32(np.exp(-((along / 0.115) ** 2)) + 0.28 * np.exp(-((along / 0.3) ** 2)))


def _unit(x: FloatImage, y: FloatImage, z: FloatImage) -> tuple[FloatImage, FloatImage, FloatImage]:
    length = np.sqrt(x * x + y * y + z * z)
    return x / length, y / length, z / length


def _shadow(half: int, radius: float) -> FloatImage:
    """Shadow of the disc on the belt, away from the lamp: cover in 0..1."""
    drawn = np.zeros((2 * half + 1, 2 * half + 1), np.float32)
    shift = 0.045 * radius
    centre = tuple(round((half - shift * part) * 16) for part in TO_LIGHT)
    cv2.circle(drawn, (centre[0], centre[1]), round(radius * 1.004 * 16), (1.0,), -1, cv2.LINE_AA, 4)
    return _f32(0.72 * cv2.GaussianBlur(drawn, (0, 0), max(0.03 * radius, 0.6)))


@lru_cache(maxsize=8)
def _grain_pool(rows: int) -> FloatImage:
    """Polar grain to cut windows from: long streaks around the disc, fine across; twice round, so every cut wraps."""
    rng = np.random.default_rng(20_260_101)
    rough = rng.normal(0, 1, (rows * 2 + 64, _GRAIN_COLUMNS)).astype(np.float32)
    pool = np.zeros_like(rough)
    for length, weight in ((9, 0.35), (41, 0.75), (151, 0.8)):
        wrapped = np.concatenate([rough, rough, rough], axis=1)
        streak = cv2.blur(wrapped, (length, 1))[:, _GRAIN_COLUMNS : 2 * _GRAIN_COLUMNS]
        pool += np.float32(weight * 0.095 / streak.std()) * streak
        rough = np.roll(rough, 317, axis=0)
    return np.ascontiguousarray(np.concatenate([pool, pool, pool[:, :2]], axis=1))


def _band(r: FloatImage, inner: float, outer: float, edge: float) -> FloatImage:
    """1 between two radii, falling to 0 over one pixel (`edge`) on each side."""
    return _f32(np.clip((r - inner) / edge + 0.5, 0, 1) * np.clip((outer - r) / edge + 0.5, 0, 1))


def _ramp(start: float, end: float, at: npt.NDArray[np.float32] | np.float32) -> FloatImage:
    """Smooth step from 0 at `start` to 1 at `end`."""
    t = np.clip((at - start) / (end - start), 0, 1)
    return _f32(t * t * (3 - 2 * t))


def _f32(image: npt.ArrayLike) -> FloatImage:
    return np.asarray(image, dtype=np.float32)
