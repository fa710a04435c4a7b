"""How does the lens bend the picture, and how is it straightened?

Several views of the board give focal lengths, principal point and distortion: Zhang, "A flexible new technique for
camera calibration", IEEE Trans. Pattern Analysis and Machine Intelligence 22 (2000) 1330-1334, with the radial and
tangential terms of Brown, Photogrammetric Engineering 37 (1971) 855-866, as OpenCV's ``calibrateCameraExtended`` fits
them. The third radial term is kept only where it is larger than three times its own standard error: a term that the
views cannot tell from nothing bends the corners of the picture at will.

What is refused is refused before it is believed: too few views, views that are all alike, a board that never reached
the rim, a fit that does not fit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from station.calibration.optics.board import LEAST_CORNERS, Corners, Points
from station.calibration.optics.record import Record
from station.core.errors import DataRefused, ImageFault
from station.core.part import BgrImage

LEAST_VIEWS = 8
LEAST_COVERAGE = 0.75  # of the cells of the field
LEAST_TILT_DEG = 15.0  # between the two views of the board that differ most
WORST_RMS_PX = 0.5
OUTLIER = 3.0  # times the median of all views' rms
ALIKE_PX = 0.02  # of the diagonal: two views whose common corners lie nearer on average show the same

_EXACT = 10

CELLS = (8, 6)  # of the field, across and down

Matrix = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """One picture of the board.

    Attributes:
        name: Of the picture, for messages.
        corners: What was found in it.
    """

    name: str
    corners: Corners


class Lens(Record):
    """The lens, and the straightened picture that is made through it."""

    width: int = Field(gt=0, description="Pixels of the picture, across.")
    height: int = Field(gt=0, description="Pixels of the picture, down.")
    fx: float = Field(gt=0, description="Focal length in pixels, across and down.")
    fy: float = Field(gt=0)
    cx: float = Field(description="Where the optical axis meets the picture, in pixels.")
    cy: float
    k1: float = Field(description="Radial distortion (Brown).")
    k2: float
    k3: float = 0.0
    p1: float = Field(description="Tangential distortion (Brown).")
    p2: float
    straight: tuple[float, float, float, float] = Field(
        description="fx, fy, cx, cy of the straightened picture: the largest without a place the lens did not see."
    )
    rms_px: float = Field(ge=0, description="Root mean square of the corners' residuals, in pixels.")
    fx_error_px: float = Field(ge=0, description="Standard error of fx.")
    views: int = Field(ge=1, description="Pictures of the board that were used.")
    corners: int = Field(ge=1, description="Corners in all of them.")
    coverage: float = Field(ge=0, le=1, description="Share of the field's cells in which a corner was seen.")

    @property
    def matrix(self) -> Matrix:
        """``(3, 3)``, board rays to pixels of the picture as the camera gives it."""
        return np.array([[self.fx, 0.0, self.cx], [0.0, self.fy, self.cy], [0.0, 0.0, 1.0]])

    @property
    def straight_matrix(self) -> Matrix:
        """``(3, 3)``, rays to pixels of the straightened picture."""
        fx, fy, cx, cy = self.straight
        return np.array([[fx, 0.0, cx], [0.0, fy, cy], [0.0, 0.0, 1.0]])

    @property
    def distortion(self) -> Matrix:
        """``(5,)``: k1, k2, p1, p2, k3, in OpenCV's order."""
        return np.array([self.k1, self.k2, self.p1, self.p2, self.k3])

    def rectify(self, image: BgrImage) -> BgrImage:
        """The picture as a lens without distortion would give it, of the same size.

        The way of each pixel is worked out once and kept.

        Args:
            image: BGR pixels, ``(height, width, 3)`` of this lens.

        Raises:
            ImageFault: It has another size.
        """
        if image.shape[:2] != (self.height, self.width):
            raise ImageFault(
                f"picture of {image.shape[1]} x {image.shape[0]} pixels, the lens was calibrated at "
                f"{self.width} x {self.height}: set the camera back, or run 'station calibrate optics' again"
            )
        whole, fraction = _ways(self)
        return np.asarray(cv2.remap(image, whole, fraction, cv2.INTER_LINEAR), dtype=np.uint8)

    def rectify_points(self, pixels: Points) -> Points:
        """Where pixels ``(n, 2)`` of the camera's picture lie in the straightened one."""
        bent = np.ascontiguousarray(pixels, dtype=np.float64).reshape(-1, 1, 2)
        rays = cv2.undistortPoints(bent, self.matrix, self.distortion).reshape(-1, 2)
        focal = np.array([self.fx, self.fy])
        for _ in range(_EXACT):  # OpenCV stops after five steps, which leaves a hundredth of a pixel in a corner
            ahead = np.column_stack([rays, np.ones(len(rays))])
            seen, _ = cv2.projectPoints(ahead, np.zeros(3), np.zeros(3), self.matrix, self.distortion)
            rays = rays + (bent - seen).reshape(-1, 2) / focal
        fx, fy, cx, cy = self.straight
        return np.asarray(rays * [fx, fy] + [cx, cy], np.float64)


@lru_cache(maxsize=4)
def _ways(lens: Lens) -> tuple[NDArray[Any], NDArray[Any]]:
    size = (lens.width, lens.height)
    whole, fraction = cv2.initUndistortRectifyMap(
        lens.matrix, lens.distortion, np.eye(3), lens.straight_matrix, size, cv2.CV_16SC2
    )
    return whole, fraction


@dataclass(frozen=True, slots=True, eq=False)
class LensFit:
    """A lens with what speaks for it.

    Attributes:
        lens: The lens.
        rms_px: Residual of each view, by its name.
        at: ``(n, 2)``, all corners as found.
        off: ``(n, 2)``, found less predicted, in pixels.
        cells: ``(rows, columns)``, corners seen in each cell of the field.
        left_out: Names of the views that showed what another showed already, or too little, with the reason.
    """

    lens: Lens
    rms_px: dict[str, float]
    at: Points
    off: Points
    cells: NDArray[np.int64]
    left_out: dict[str, str]


def fit_lens(views: Sequence[View], size: tuple[int, int]) -> LensFit:
    """Calibrates the lens.

    Args:
        views: Pictures of the board at different places, distances and tilts.
        size: ``(width, height)`` of the pictures.

    Raises:
        DataRefused: The views cannot carry a calibration; says what is missing and how to get it.
    """
    used, left_out = different(views, size)
    if len(used) < LEAST_VIEWS:
        why = "; ".join(f"{name}: {reason}" for name, reason in list(left_out.items())[:4])
        raise DataRefused(
            f"only {len(used)} views of the board can be used, at least {LEAST_VIEWS} are needed"
            f"{f' ({why})' if why else ''}: show it at more places, tilted by 15 to 30 degrees to each side, "
            "and near to each corner of the picture"
        )
    cells = _cells(used, size)
    coverage = float((cells > 0).mean())
    if coverage < LEAST_COVERAGE:
        raise DataRefused(
            f"the board was seen in {coverage:.0%} of the field, at least {LEAST_COVERAGE:.0%} are needed; "
            f"missing {_missing(cells)}: take views with the board there"
        )
    third = _fit(used, size, 0)
    k3, k3_error = third.distortion[4], third.errors[8]
    fit = third if abs(k3) > 3.0 * k3_error else _fit(used, size, cv2.CALIB_FIX_K3)
    tilt = _largest_angle(fit.turns)
    if tilt < LEAST_TILT_DEG:
        raise DataRefused(
            f"the board was tilted by {tilt:.0f} degrees at most between views, at least {LEAST_TILT_DEG:.0f} are "
            "needed: parallel boards cannot tell focal length from distance; tilt it to each side"
        )
    per_view = {view.name: float(rms) for view, rms in zip(used, fit.per_view, strict=True)}
    worst = max(per_view, key=lambda name: per_view[name])
    if per_view[worst] > max(OUTLIER * float(np.median(fit.per_view)), 0.1):
        raise DataRefused(
            f"view {worst} does not fit the others (rms {per_view[worst]:.2f} px, median "
            f"{float(np.median(fit.per_view)):.2f}): the board moved or bent there, leave the picture out"
        )
    if fit.rms > WORST_RMS_PX:
        raise DataRefused(
            f"the views do not fit one lens: rms {fit.rms:.2f} px, at most {WORST_RMS_PX:g}: is the board flat, the "
            "focus fixed, and its squares and markers as wide as given?"
        )
    straight, _ = cv2.getOptimalNewCameraMatrix(fit.matrix, fit.distortion, size, 0.0)
    k1, k2, p1, p2, k3 = (float(v) for v in fit.distortion)
    lens = Lens(
        width=size[0],
        height=size[1],
        fx=float(fit.matrix[0, 0]),
        fy=float(fit.matrix[1, 1]),
        cx=float(fit.matrix[0, 2]),
        cy=float(fit.matrix[1, 2]),
        k1=k1,
        k2=k2,
        k3=k3,
        p1=p1,
        p2=p2,
        straight=(float(straight[0, 0]), float(straight[1, 1]), float(straight[0, 2]), float(straight[1, 2])),
        rms_px=fit.rms,
        fx_error_px=float(fit.errors[0]),
        views=len(used),
        corners=sum(len(view.corners) for view in used),
        coverage=coverage,
    )
    at = np.concatenate([view.corners.pixels for view in used])
    return LensFit(lens, per_view, at, fit.off, cells, left_out)


def different(views: Sequence[View], size: tuple[int, int]) -> tuple[list[View], dict[str, str]]:
    """The views that add something, and why the others do not, by name."""
    used: list[View] = []
    left_out: dict[str, str] = {}
    near = ALIKE_PX * math.hypot(*size)
    for view in views:
        if len(view.corners) < LEAST_CORNERS:
            left_out[view.name] = f"{len(view.corners)} corners of the board found, {LEAST_CORNERS} are needed"
            continue
        if np.linalg.matrix_rank(view.corners.board_mm - view.corners.board_mm[0], tol=1e-6) < 2:
            left_out[view.name] = "its corners lie on one line"
            continue
        twin = next((other.name for other in used if _distance(view.corners, other.corners) < near), None)
        if twin is not None:
            left_out[view.name] = f"shows the same as {twin}"
            continue
        used.append(view)
    return used, left_out


def _distance(one: Corners, other: Corners) -> float:
    """Mean distance of the corners in both, in pixels; infinite where hardly one is."""
    both, here, there = np.intersect1d(one.ids, other.ids, return_indices=True)
    if len(both) < LEAST_CORNERS // 2:
        return math.inf
    return float(np.linalg.norm(one.pixels[here] - other.pixels[there], axis=1).mean())


def _cells(views: Sequence[View], size: tuple[int, int]) -> NDArray[np.int64]:
    at = np.concatenate([view.corners.pixels for view in views])
    across, down = CELLS
    seen, _, _ = np.histogram2d(at[:, 1], at[:, 0], bins=(down, across), range=((0, size[1]), (0, size[0])))
    return np.asarray(seen, dtype=np.int64)


def _missing(cells: NDArray[np.int64]) -> str:
    """Where most of the empty cells lie, in words."""
    rows, columns = np.nonzero(cells == 0)
    down, across = cells.shape
    names = {(0, 0): "top left", (0, 1): "top right", (1, 0): "bottom left", (1, 1): "bottom right"}
    sides = [names[int(r >= down / 2), int(c >= across / 2)] for r, c in zip(rows, columns, strict=True)]
    return ", ".join(sorted(set(sides), key=lambda side: -sides.count(side)))


@dataclass(frozen=True, slots=True, eq=False)
class _Fit:
    rms: float
    matrix: Matrix
    distortion: Matrix
    turns: Sequence[Matrix]
    errors: Matrix
    per_view: Matrix
    off: Points


def _fit(views: Sequence[View], size: tuple[int, int], flags: int) -> _Fit:
    places = [np.column_stack([v.corners.board_mm, np.zeros(len(v.corners))]).astype(np.float32) for v in views]
    pixels = [v.corners.pixels.astype(np.float32).reshape(-1, 1, 2) for v in views]
    try:
        rms, matrix, bent, turns, moves, errors, _, per_view = cv2.calibrateCameraExtended(
            places,
            pixels,
            size,
            np.eye(3),
            np.zeros(5),
            flags=flags,
            criteria=(cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 100, 1e-10),
        )
    except cv2.error as error:
        raise DataRefused(f"the views give no lens ({error.err}): take views with the board tilted") from error
    distortion = np.ravel(bent).astype(np.float64)[:5]
    if not (math.isfinite(rms) and np.isfinite(matrix).all() and np.isfinite(distortion).all()):
        raise DataRefused("the views give no lens: take views with the board tilted to each side")
    off = []
    for place, found, turn, move in zip(places, pixels, turns, moves, strict=True):
        predicted, _ = cv2.projectPoints(place, turn, move, matrix, distortion)
        off.append((found - predicted).reshape(-1, 2).astype(np.float64))
    return _Fit(
        float(rms),
        np.asarray(matrix, np.float64),
        distortion,
        [np.asarray(turn, np.float64) for turn in turns],
        np.ravel(errors).astype(np.float64),
        np.ravel(per_view).astype(np.float64),
        np.concatenate(off),
    )


def _largest_angle(turns: Sequence[Matrix]) -> float:
    """Degrees between the two boards whose normals differ most."""
    normals = np.stack([np.asarray(cv2.Rodrigues(turn)[0], np.float64)[:, 2] for turn in turns])
    return math.degrees(math.acos(float(np.clip((normals @ normals.T).min(), -1.0, 1.0))))
