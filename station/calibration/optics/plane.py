"""How many millimetres is a pixel on the plane that the part lies on?

One view of the board lying on that plane gives the homography from pixels of the straightened picture to millimetres
(Hartley & Zisserman, Multiple View Geometry, 2nd ed. 2004, ch. 4). Where the lens is known the board's pose is sought
instead of eight free numbers, so a plane above or below the board, such as the upper face of a part, is known too.

How sure that is, is worked out and not hoped: the residuals give the noise of a corner, least squares carry it to the
scale at every place of the field, also where the board did not reach.
"""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from station.calibration.optics.board import Corners, Points
from station.calibration.optics.lens import Lens
from station.calibration.optics.record import Record
from station.core.errors import DataRefused
from station.core.part import Box

LEAST_CORNERS = 20
WORST_RESIDUAL_PX = 0.5
WORST_SCALE_PERCENT = 0.2

Row = tuple[float, float, float]


class Plane(Record):
    """The plane of the part. Pixels are those of the straightened picture, named by their centres."""

    to_mm_rows: tuple[Row, Row, Row] = Field(
        description="Homography from pixels (x, y, 1) to millimetres on the plane."
    )
    width: int = Field(gt=0, description="Pixels of the picture, across.")
    height: int = Field(gt=0, description="Pixels of the picture, down.")
    lens_sha256: str | None = Field(default=None, description="Hash of the lens that straightened the picture.")
    above_mm: float = Field(default=0.0, description="So much nearer to the camera than the board lay.")
    corners: int = Field(ge=4, description="Corners of the board that it was fitted to.")
    rms_px: float = Field(ge=0, description="Root mean square of the corners' residuals, in pixels.")
    rms_mm: float = Field(ge=0, description="The same on the plane.")
    scale_error_percent: float = Field(
        ge=0,
        description="Two standard errors of mm per pixel at the worst place of the field, from the "
        "residuals; the print's and the lens's own errors come on top.",
    )

    @property
    def matrix(self) -> NDArray[np.float64]:
        """``(3, 3)``, pixels to millimetres."""
        return np.array(self.to_mm_rows, dtype=np.float64)

    def to_mm(self, pixels: Points) -> Points:
        """Where pixels ``(n, 2)`` lie on the plane, in millimetres, ``(n, 2)``."""
        return _through(self.matrix, np.asarray(pixels, dtype=np.float64))

    def distance_mm(self, one: tuple[float, float], other: tuple[float, float]) -> float:
        """Millimetres between two pixels."""
        a, b = self.to_mm(np.array([one, other]))
        return float(np.hypot(*(b - a)))

    def mm_per_px(self, x: float, y: float) -> float:
        """Side of a square of one pixel's area at that place, in millimetres: the root of the Jacobian."""
        return math.sqrt(float(_areas(self.matrix, np.array([[x, y]]))[0]))

    def area_mm2(self, box: Box, origin: tuple[float, float] = (0.0, 0.0)) -> float:
        """Area of a box on the plane, in square millimetres; exact, as straight lines stay straight.

        Args:
            box: Edges in pixels of a picture.
            origin: Where that picture was cut from the frame, such as ``part.origin``.
        """
        x, y = origin[0] - 0.5, origin[1] - 0.5  # edges lie half a pixel before the centres
        edges = [(box.x0, box.y0), (box.x1, box.y0), (box.x1, box.y1), (box.x0, box.y1)]
        corners = self.to_mm(np.array(edges) + np.array([x, y]))
        u, v = corners.T
        return abs(float(u @ np.roll(v, -1) - v @ np.roll(u, -1))) / 2

    @property
    def coarsest_mm_per_px(self) -> float:
        """The largest :meth:`mm_per_px` of the field, in a corner: with it no defect is taken for a smaller one."""
        return max(self.mm_per_px(x, y) for x in (0, self.width - 1) for y in (0, self.height - 1))

    def words(self) -> str:
        """The scale in the middle and over the field, for people."""
        x, y = (self.width - 1) / 2, (self.height - 1) / 2
        rim = [self.mm_per_px(u, v) for u in (0, self.width - 1) for v in (0, self.height - 1)]
        return (
            f"{self.mm_per_px(x, y):.5f} mm per pixel in the middle, {min(rim):.5f} to {max(rim):.5f} in the corners, "
            f"sure to {self.scale_error_percent:.3f} % by the residuals ({self.rms_px:.3f} px, {self.rms_mm:.4f} mm)"
        )


def fit_plane(corners: Corners, size: tuple[int, int], *, lens: Lens | None, above_mm: float = 0.0) -> Plane:
    """Finds the plane from one view of the board that lies on it.

    Args:
        corners: As found in the camera's own, not straightened picture.
        size: ``(width, height)`` of that picture.
        lens: The lens; ``None`` takes the picture as it is, which is right for a lens without distortion only.
        above_mm: How much nearer to the camera than the board the inspected face lies; negative: further away.

    Raises:
        DataRefused: Too few corners, a residual too large, or too uncertain over the field; says what to do.
    """
    if len(corners) < LEAST_CORNERS:
        raise DataRefused(
            f"{len(corners)} corners of the board found, at least {LEAST_CORNERS} are needed: lay the board so that it "
            "fills the picture, light it evenly and without reflections"
        )
    if lens is None and above_mm:
        raise DataRefused("a height above the board needs the lens: run 'station calibrate optics' first")
    if lens is not None and size != (lens.width, lens.height):
        raise DataRefused(
            f"picture of {size[0]} x {size[1]} pixels, the lens was calibrated at {lens.width} x {lens.height}: "
            "set the camera back, or run 'station calibrate optics' again"
        )
    pixels = corners.pixels if lens is None else lens.rectify_points(corners.pixels)
    to_pixels = _free(corners.board_mm, pixels) if lens is None else _posed(corners.board_mm, pixels, lens, 0.0)
    off = _through(to_pixels, corners.board_mm) - pixels
    rms = math.sqrt(float((off**2).sum(axis=1).mean()))
    if rms > WORST_RESIDUAL_PX:
        remedy = "run 'station calibrate optics' first" if lens is None else "lay the board flat and keep it still"
        raise DataRefused(
            f"the board does not fit a plane: residual {rms:.2f} px, at most {WORST_RESIDUAL_PX:g}: {remedy}"
        )
    error = 200.0 * _scale_error(to_pixels, corners.board_mm, off, size)
    if error > WORST_SCALE_PERCENT:
        raise DataRefused(
            f"mm per pixel would be uncertain by {error:.2f} % at the rim of the picture, at most "
            f"{WORST_SCALE_PERCENT:g} %: use a board that fills more of the picture, or a sharper one"
        )
    mm = _through(np.linalg.inv(to_pixels), pixels) - corners.board_mm
    if above_mm and lens is not None:
        to_pixels = _posed(corners.board_mm, pixels, lens, above_mm)
    whole = np.linalg.inv(to_pixels)
    whole = whole / whole[2, 2]
    rows = tuple((float(a), float(b), float(c)) for a, b, c in whole)
    return Plane(
        to_mm_rows=(rows[0], rows[1], rows[2]),
        width=size[0],
        height=size[1],
        lens_sha256=lens.sha256 if lens is not None else None,
        above_mm=above_mm,
        corners=len(corners),
        rms_px=rms,
        rms_mm=math.sqrt(float((mm**2).sum(axis=1).mean())),
        scale_error_percent=error,
    )


def _free(board_mm: Points, pixels: Points) -> NDArray[np.float64]:
    """The homography from board to pixels with the least residual."""
    found, _ = cv2.findHomography(board_mm, pixels, 0)
    if found is None:
        raise DataRefused("the board's corners lie on one line: lay it so that it fills the picture")
    return np.asarray(found, np.float64)


def _posed(board_mm: Points, pixels: Points, lens: Lens, above_mm: float) -> NDArray[np.float64]:
    """The homography of the plane ``above_mm`` over the board, by the board's pose before the straightened camera."""
    places = np.column_stack([board_mm, np.zeros(len(board_mm))])
    matrix = lens.straight_matrix
    found, turn, move = cv2.solvePnP(places, pixels, matrix, np.zeros(4), flags=cv2.SOLVEPNP_IPPE)
    if not found:
        raise DataRefused(
            "the board's place before the camera cannot be told: lay it flat, so that it fills the picture"
        )
    turn, move = cv2.solvePnPRefineLM(places, pixels, matrix, np.zeros(4), turn, move)
    axes = np.asarray(cv2.Rodrigues(turn)[0], np.float64)
    towards = -axes[:, 2] if float(axes[:, 2] @ np.ravel(move)) > 0 else axes[:, 2]
    at = np.ravel(move) + above_mm * towards
    return np.asarray(matrix @ np.column_stack([axes[:, 0], axes[:, 1], at]), np.float64)


def _through(matrix: NDArray[Any], points: Points) -> Points:
    ahead = np.column_stack([points, np.ones(len(points))]) @ matrix.T
    return np.asarray(ahead[:, :2] / ahead[:, 2:], np.float64)


def _inverse(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.linalg.inv(matrix), dtype=np.float64)


def _areas(matrix: NDArray[np.float64], points: Points) -> NDArray[np.float64]:
    """By how much the homography enlarges an area at each point: ``det H / w^3``."""
    w = np.asarray(np.column_stack([points, np.ones(len(points))]) @ matrix[2], dtype=np.float64)
    return np.asarray(abs(float(np.linalg.det(matrix))) / np.abs(w) ** 3, dtype=np.float64)


def _scale_error(to_pixels: NDArray[np.float64], board_mm: Points, off: Points, size: tuple[int, int]) -> float:
    """Largest relative standard error of mm per pixel over the field.

    Least squares: with the Jacobian J of the residuals by the homography's eight numbers and the residuals' variance
    s^2 the numbers have the covariance ``s^2 (J^T J)^-1``; the scale's gradient carries it to the scale.
    """
    h = to_pixels / to_pixels[2, 2]
    steps = np.maximum(np.abs(h.ravel()[:8]), 1e-6) * 1e-6

    def moved(number: int, sign: float) -> NDArray[np.float64]:
        other: NDArray[np.float64] = h.ravel().copy()
        other[number] += sign * steps[number]
        return np.asarray(other.reshape(3, 3), dtype=np.float64)

    x, y = np.meshgrid(np.linspace(0, size[0] - 1, 5), np.linspace(0, size[1] - 1, 5))
    field = np.column_stack([x.ravel(), y.ravel()])

    def scale(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(0.5 * np.log(_areas(_inverse(matrix), field)), dtype=np.float64)

    residual, slope = [], []
    for number in range(8):
        more, less = moved(number, 1.0), moved(number, -1.0)
        residual.append((_through(more, board_mm) - _through(less, board_mm)).ravel() / (2 * steps[number]))
        slope.append((scale(more) - scale(less)) / (2 * steps[number]))
    weight = np.array([np.linalg.norm(column) for column in residual])
    jacobian = np.column_stack(residual) / weight  # of one size, or the inverse is lost in rounding
    variance = float((off**2).sum()) / max(off.size - 8, 1)
    covariance = variance * np.linalg.pinv(jacobian.T @ jacobian)
    gradient = np.column_stack(slope) / weight
    return math.sqrt(max(float(np.einsum("ij,jk,ik->i", gradient, covariance, gradient).max()), 0.0))
