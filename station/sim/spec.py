"""What is on one disc: its bolt holes, the defects planted in it and the harmless marks that look like defects?

A specification is geometry without pixels. All lengths are in disc radii, with the origin in the disc's centre,
x to the right and y down as the camera sees the part (so the part's own rotation is already in the numbers). The
same specification renders at any size.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

DEFECT_CLASSES = ("scratch", "dent", "stain", "missing_hole")
"""What makes a disc defective, in the order of its masks."""
HARMLESS = ("dust", "reflection")
"""What only looks like a defect: a disc that carries nothing else is good."""

BORE_RADIUS = 0.25
HUB_RADIUS = 0.42  # the turned step between hub and flange
BOLT_CIRCLE_RADIUS = 0.665
HOLE_RADIUS = 0.09
HOLE_CHAMFER = 0.018  # width of the bevel around a bolt hole
FACE_INNER = 0.30  # the flat face that marks lie on: clear of the bore's bevel ...
FACE_OUTER = 0.93  # ... and of the rim's

LIGHT_AZIMUTH_RAD = math.radians(-128.0)
"""Where the lamp stands as seen from the part: up and to the left (y points down)."""

Points = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Mark:
    """One planted defect or harmless mark, in disc radii.

    Attributes:
        kind: One of `DEFECT_CLASSES` or `HARMLESS`.
        severity: In (0, 1]: 1 is plain to see, 0.1 nearly invisible. For harmless marks, how tempting it is.
        points: The line of a scratch, fibre or glint; the one centre of everything else.
        radius: Extent across: half the length of a glint, the size of a dent or stain, the hole's radius.
        seed: Draws the mark's own irregularities, so they do not change with anything else on the disc.
        hole: Which bolt hole is missing; None for every other kind.
    """

    kind: str
    severity: float
    points: Points
    radius: float
    seed: int
    hole: int | None = None

    def __post_init__(self) -> None:
        if self.kind not in DEFECT_CLASSES + HARMLESS:
            raise ValueError(f"mark kind is {self.kind!r}; known kinds: {', '.join(DEFECT_CLASSES + HARMLESS)}")
        if not 0.0 < self.severity <= 1.0:
            raise ValueError(f"severity of a {self.kind} is {self.severity}; it must lie in (0, 1]")
        if not self.points or any(not math.hypot(x, y) <= 1.0 for x, y in self.points):
            raise ValueError(f"a {self.kind} needs at least one point, and all of them on the disc; got {self.points}")
        if not 0.0 < self.radius <= 1.0:
            raise ValueError(f"radius of a {self.kind} is {self.radius}; it must lie in (0, 1] disc radii")
        if (self.hole is not None) != (self.kind == "missing_hole"):
            raise ValueError(f"hole is {self.hole} for a {self.kind}; exactly the missing_hole names its hole")


@dataclass(frozen=True)
class DiscSpec:
    """One disc, without pixels.

    Attributes:
        serial: Name of the part, such as "D000123".
        seed: Draws the surface: grain, tone and tint.
        rotation_rad: Angle of the first bolt hole from the x axis, clockwise as seen.
        holes: Number of bolt holes of the product.
        planted: The defects.
        harmless: The marks that are not defects.
    """

    serial: str
    seed: int
    rotation_rad: float = 0.0
    holes: int = 6
    planted: tuple[Mark, ...] = ()
    harmless: tuple[Mark, ...] = ()

    def __post_init__(self) -> None:
        if not self.serial:
            raise ValueError("a disc needs a serial")
        if not 3 <= self.holes <= 8:
            raise ValueError(f"{self.holes} bolt holes; this ring holds 3 to 8")
        if not math.isfinite(self.rotation_rad):
            raise ValueError(f"rotation of {self.serial} is {self.rotation_rad}; it must be a finite angle in radians")
        for mark in self.planted:
            if mark.kind not in DEFECT_CLASSES:
                raise ValueError(f"{self.serial}: a {mark.kind} is harmless and cannot be planted as a defect")
            if mark.hole is not None and not 0 <= mark.hole < self.holes:
                raise ValueError(f"{self.serial}: hole {mark.hole} is missing, but there are only {self.holes}")
        for mark in self.harmless:
            if mark.kind not in HARMLESS:
                raise ValueError(f"{self.serial}: a {mark.kind} is a defect and cannot be called harmless")

    @property
    def defective(self) -> bool:
        """Whether any defect is planted, however faint."""
        return bool(self.planted)

    def hole_centres(self) -> npt.NDArray[np.float64]:
        """Centres of the bolt holes as designed, missing ones included; (holes, 2) in disc radii."""
        angles = self.rotation_rad + np.arange(self.holes) * (2 * math.pi / self.holes)
        return BOLT_CIRCLE_RADIUS * np.stack([np.cos(angles), np.sin(angles)], axis=1)
