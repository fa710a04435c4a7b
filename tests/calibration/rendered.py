"""What would a known camera see of a printed board, a field of dots, an even field? The truth behind calibration tests.

Every pixel is an average over ``SUPER`` x ``SUPER`` rays. A ray leaves the known camera (focal length, centre, lens
distortion), meets the plane at its known pose, and takes the plane's brightness there; then come the lens's blur, the
fall-off of light towards the corners, and the sensor's noise. Pixels are named by their centres. Nothing here uses the
code under test; the board's picture is OpenCV's own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from station.core.part import BgrImage

SUPER = 2
PAPER, INK = 225.0, 25.0  # grey values

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class KnownCamera:
    """A camera whose truth is known. The default sees about 0.05 mm per pixel at 100 mm."""

    width: int = 640
    height: int = 480
    fx: float = 2000.0
    fy: float = 2004.0
    cx: float = 326.3
    cy: float = 234.8
    distortion: tuple[float, ...] = (-0.28, 0.25, 0.0006, -0.0004, 0.0)
    blur_px: float = 0.6
    noise: float = 2.0  # grey values

    @property
    def matrix(self) -> Floats:
        return np.array([[self.fx, 0, self.cx], [0, self.fy, self.cy], [0, 0, 1]], dtype=np.float64)

    @property
    def size(self) -> tuple[int, int]:
        return self.width, self.height


@dataclass(frozen=True)
class Pose:
    """Where the plane lies: turned about its origin, then moved. Millimetres and degrees."""

    tilt_x: float = 0.0
    tilt_y: float = 0.0
    turn: float = 0.0
    at: tuple[float, float, float] = (0.0, 0.0, 100.0)
    middle: tuple[float, float] = (0.0, 0.0)  # the point of the plane that is turned about and lies at ``at``

    @property
    def rotation(self) -> Floats:
        x, y, z = (math.radians(a) for a in (self.tilt_x, self.tilt_y, self.turn))
        rx = np.array([[1, 0, 0], [0, math.cos(x), -math.sin(x)], [0, math.sin(x), math.cos(x)]])
        ry = np.array([[math.cos(y), 0, math.sin(y)], [0, 1, 0], [-math.sin(y), 0, math.cos(y)]])
        rz = np.array([[math.cos(z), -math.sin(z), 0], [math.sin(z), math.cos(z), 0], [0, 0, 1]])
        return np.asarray(rz @ ry @ rx, dtype=np.float64)

    @property
    def translation(self) -> Floats:
        return np.array(self.at) - self.rotation @ np.array([*self.middle, 0.0])


@dataclass(frozen=True)
class Texture:
    """A plane's brightness: ``grey[v, u]`` is the mean over a square of ``1 / per_mm`` from ``(u, v) / per_mm``."""

    grey: NDArray[np.float32] = field(repr=False)
    per_mm: float
    origin: tuple[float, float] = (0.0, 0.0)  # plane millimetres of the texture's first edge
    around: float = PAPER


@lru_cache(maxsize=4)
def charuco_texture(columns: int, rows: int, square_mm: float, marker_mm: float, per_square: int = 84) -> Texture:
    """OpenCV's own picture of the board, one square ``per_square`` texels wide, with a white rim of one square."""
    dictionary = cv2.aruco.getPredefinedDictionary(cv2.aruco.DICT_5X5_1000)
    board = cv2.aruco.CharucoBoard((columns, rows), square_mm, marker_mm, dictionary)
    drawn = board.generateImage((columns * per_square, rows * per_square), marginSize=0)
    grey = INK + (PAPER - INK) * (np.asarray(drawn, np.float32) / 255)
    return Texture(grey.astype(np.float32), per_square / square_mm)


def dots_texture(centres_mm: Floats, radius_mm: float, size_mm: tuple[float, float], per_mm: float = 60.0) -> Texture:
    """Dark dots at known places on paper, their rims anti-aliased."""
    width, height = (round(s * per_mm) for s in size_mm)
    grey = np.full((height, width), PAPER, np.float32)
    for x, y in centres_mm * per_mm:
        reach = math.ceil(radius_mm * per_mm) + 3
        u0, v0 = math.floor(x) - reach, math.floor(y) - reach
        u, v = np.meshgrid(np.arange(u0, u0 + 2 * reach) + 0.5, np.arange(v0, v0 + 2 * reach) + 0.5)
        inside = np.clip(radius_mm * per_mm - np.hypot(u - x, v - y) + 0.5, 0, 1)
        patch = grey[v0 : v0 + 2 * reach, u0 : u0 + 2 * reach]
        np.minimum(patch, PAPER + (INK - PAPER) * inside, out=patch)
    return Texture(grey, per_mm)


@lru_cache(maxsize=4)
def _rays(camera: KnownCamera) -> Floats:
    """Where each sub-pixel looks: ``(rows, columns, 2)``, x / z and y / z."""
    shift = (np.arange(camera.width * SUPER) + 0.5) / SUPER - 0.5
    down = (np.arange(camera.height * SUPER) + 0.5) / SUPER - 0.5
    return _straight(camera, np.stack(np.meshgrid(shift, down), axis=-1), steps=7)


def _straight(camera: KnownCamera, pixels: Floats, *, steps: int) -> Floats:
    """The rays ``(..., 2)``, x / z and y / z, of pixels: the inverse of Brown's distortion by fixed point."""
    x, y = (pixels[..., 0] - camera.cx) / camera.fx, (pixels[..., 1] - camera.cy) / camera.fy
    k1, k2, p1, p2, k3 = camera.distortion
    u, v = x.copy(), y.copy()
    for _ in range(steps):
        r2 = u * u + v * v
        radial = 1 + r2 * (k1 + r2 * (k2 + r2 * k3))
        du = 2 * p1 * u * v + p2 * (r2 + 2 * u * u)
        dv = p1 * (r2 + 2 * v * v) + 2 * p2 * u * v
        u, v = (x - du) / radial, (y - dv) / radial
    return np.stack([u, v], axis=-1)


def render(
    camera: KnownCamera,
    texture: Texture,
    pose: Pose,
    *,
    seed: int = 0,
    light: Floats | None = None,
    tint: tuple[float, float, float] = (1.0, 1.0, 1.0),
    above_mm: float = 0.0,
) -> BgrImage:
    """The picture: BGR ``uint8``.

    Args:
        camera: Its truth.
        texture: What is on the plane.
        pose: Where the plane lies.
        seed: Of the noise.
        light: ``(height, width)`` factors, such as :func:`fall_off`.
        tint: Factors of blue, green and red.
        above_mm: The plane is lifted by so much towards the camera.
    """
    rotation = pose.rotation
    lifted = pose.translation - above_mm * rotation[:, 2]
    to_plane = np.linalg.inv(np.column_stack([rotation[:, 0], rotation[:, 1], lifted]))
    rays = _rays(camera)
    ones = np.ones((*rays.shape[:2], 1))
    hit = np.concatenate([rays, ones], axis=-1) @ to_plane.T
    place = hit[..., :2] / hit[..., 2:]
    texels = ((place - np.array(texture.origin)) * texture.per_mm - 0.5).astype(np.float32)
    fine = cv2.remap(
        texture.grey,
        texels[..., 0],
        texels[..., 1],
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=(texture.around,),
    )
    grey = fine.reshape(camera.height, SUPER, camera.width, SUPER).mean(axis=(1, 3))
    return exposed(camera, np.asarray(grey, np.float64), seed=seed, light=light, tint=tint)


def exposed(
    camera: KnownCamera,
    grey: Floats,
    *,
    seed: int = 0,
    light: Floats | None = None,
    tint: tuple[float, float, float] = (1.0, 1.0, 1.0),
) -> BgrImage:
    """A scene of those grey values as the sensor gives it: blurred, lit, tinted, noisy, whole numbers."""
    seen = cv2.GaussianBlur(grey, (0, 0), camera.blur_px) if camera.blur_px else grey
    seen = seen if light is None else seen * light
    colours = np.stack([seen * factor for factor in tint], axis=-1)
    grain: Any = np.random.default_rng(seed).normal(0, camera.noise, colours.shape) if camera.noise else 0.0
    return np.clip(np.rint(colours + grain), 0, 255).astype(np.uint8)


def fall_off(camera: KnownCamera, corner: float) -> Floats:
    """Light that falls from 1 in the middle to ``corner`` in the corners."""
    x = (np.arange(camera.width) - (camera.width - 1) / 2) / (camera.width / 2)
    y = (np.arange(camera.height) - (camera.height - 1) / 2) / (camera.height / 2)
    r2 = (x[np.newaxis, :] ** 2 + y[:, np.newaxis] ** 2) / 2
    return np.asarray(1.0 - (1.0 - corner) * r2, dtype=np.float64)


def dot_centres(image: BgrImage, about: Floats, radius_px: float) -> Floats:
    """Centres of dark dots near the places ``about``, by the centre of gravity of their darkness."""
    grey = image.mean(axis=2)
    reach = math.ceil(radius_px * 2.0)
    found = []
    for x, y in about:
        x0, y0 = round(x) - reach, round(y) - reach
        patch = grey[y0 : y0 + 2 * reach + 1, x0 : x0 + 2 * reach + 1]
        ground = float(np.median(np.concatenate([patch[0], patch[-1], patch[:, 0], patch[:, -1]])))
        dark = np.clip(ground - patch - 12.0, 0.0, None)  # noise does not count
        v, u = np.mgrid[y0 : y0 + patch.shape[0], x0 : x0 + patch.shape[1]]
        found.append((float((dark * u).sum() / dark.sum()), float((dark * v).sum() / dark.sum())))
    return np.array(found)


def projected(camera: KnownCamera, plane_mm: Floats, pose: Pose, *, above_mm: float = 0.0) -> Floats:
    """Where points of the plane lie in the picture, ``(n, 2)``, distortion included."""
    rotation, _ = cv2.Rodrigues(pose.rotation)
    points = np.column_stack([plane_mm, np.full(len(plane_mm), -above_mm)])
    pixels, _ = cv2.projectPoints(points, rotation, pose.translation, camera.matrix, np.array(camera.distortion))
    return np.asarray(pixels, np.float64).reshape(-1, 2)


def looking_at(camera: KnownCamera, pixels: Floats, pose: Pose, *, above_mm: float = 0.0) -> Floats:
    """Where the rays of pixels ``(n, 2)`` meet the plane, in its millimetres: the inverse of :func:`projected`."""
    rotation = pose.rotation
    lifted = pose.translation - above_mm * rotation[:, 2]
    to_plane = np.linalg.inv(np.column_stack([rotation[:, 0], rotation[:, 1], lifted]))
    hit = np.column_stack([_straight(camera, pixels, steps=60), np.ones(len(pixels))]) @ to_plane.T
    return np.asarray(hit[:, :2] / hit[:, 2:], dtype=np.float64)


BOARD = (16, 12, 2.25, 1.6875)  # squares across and down, their side and the markers' in millimetres
CAMERA = KnownCamera()
_MIDDLE = (18.0, 13.5)
BELT = Pose(1.5, -1.0, 3.0, (0.0, 0.0, 100.0), _MIDDLE)
"""How the plane of the part lies before the camera: not quite straight, 0.05 mm per pixel."""

_TILTS = (
    (0, 0, 0), (25, 0, 5), (-25, 0, -5), (0, 25, 90), (0, -25, 180),
    (18, 18, 20), (-18, 18, -20), (18, -18, 10), (-18, -18, -10), (10, 0, 45),
)  # fmt: skip


@lru_cache(maxsize=1)
def board_views() -> tuple[BgrImage, ...]:
    """The board as an engineer shows it: tilted to each side, near to each corner."""
    texture = charuco_texture(*BOARD)
    return tuple(
        render(
            CAMERA,
            texture,
            Pose(*tilt, ((n % 3 - 1) * 4.0, (n // 3 % 3 - 1) * 3.0, 100.0 + 3 * (n % 4)), _MIDDLE),
            seed=n,
        )
        for n, tilt in enumerate(_TILTS)
    )
