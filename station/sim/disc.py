"""What does the camera see of one disc, and which of its pixels are defective?

The one place where a specification becomes pixels: a clean surface, the marks on it, its colour. The picture
is a sprite: it lies over black, and `alpha` says how much of the belt it hides, so it composites as
`bgr + belt * (1 - alpha / 255)`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import cv2
import numpy as np
import numpy.typing as npt

from station.sim.draw import draw_spec
from station.sim.marks import hole_truth, paint, paint_stain
from station.sim.spec import DEFECT_CLASSES, HARMLESS, DiscSpec, Mark
from station.sim.surface import clean_disc, stage

__all__ = [
    "DEFECT_CLASSES",
    "HARMLESS",
    "DiscImage",
    "DiscSpec",
    "Mark",
    "Planted",
    "draw_spec",
    "render_disc",
]

_METAL_BGR = (1.035, 1.0, 0.965)  # steel is a little cooler than grey


@dataclass(frozen=True)
class Planted:
    """A mark found again in a picture.

    Attributes:
        kind: Class of the defect or kind of the harmless mark.
        severity: As planted, in (0, 1].
        box: x0, y0, x1, y1 in pixels of the picture it came with, tight around the mark; x1 and y1 exclusive.
    """

    kind: str
    severity: float
    box: tuple[float, float, float, float]

    def moved(self, dx: float, dy: float) -> Planted:
        """The same mark in a picture whose origin lies elsewhere."""
        x0, y0, x1, y1 = self.box
        return Planted(self.kind, self.severity, (x0 + dx, y0 + dy, x1 + dx, y1 + dy))


@dataclass(frozen=True, eq=False)
class DiscImage:
    """One rendered disc with the truth of its pixels. The arrays are read-only.

    Attributes:
        spec: What was rendered.
        diameter_px: Diameter of the disc; the picture is larger, by the shadow.
        bgr: (side, side, 3) uint8 over black, already multiplied by its cover.
        alpha: (side, side) uint8: how much of the belt is hidden; 255 on metal, less in shadow and in holes.
        metal: (side, side) bool: the disc without bore and open bolt holes.
        masks: For every defect class its pixels, (side, side) bool; all False where nothing is planted.
        planted: The defects in order of `spec.planted`, boxes in sprite pixels.
        harmless: The harmless marks likewise; they are in no mask.
    """

    spec: DiscSpec
    diameter_px: float
    bgr: npt.NDArray[np.uint8]
    alpha: npt.NDArray[np.uint8]
    metal: npt.NDArray[np.bool_]
    masks: Mapping[str, npt.NDArray[np.bool_]]
    planted: tuple[Planted, ...]
    harmless: tuple[Planted, ...]

    @property
    def half(self) -> int:
        """Centre pixel in x and y; the side of the picture is `2 * half + 1`."""
        return int(self.bgr.shape[0]) // 2

    def masks_in(self, left: int, top: int, *, width: int, height: int) -> dict[str, npt.NDArray[np.bool_]]:
        """The masks in a window whose upper left corner lies at `left`, `top` of the sprite, even outside of it.

        Returns:
            For every defect class (height, width) bool, fresh arrays.
        """
        side = self.bgr.shape[0]
        x0, x1, y0, y1 = max(left, 0), min(left + width, side), max(top, 0), min(top + height, side)
        window = {kind: np.zeros((height, width), np.bool_) for kind in self.masks}
        if x0 < x1 and y0 < y1:
            for kind, mask in self.masks.items():
                window[kind][y0 - top : y1 - top, x0 - left : x1 - left] = mask[y0:y1, x0:x1]
        return window


def render_disc(spec: DiscSpec, *, diameter_px: float = 300.0) -> DiscImage:
    """Draw a disc; the same arguments give the same bytes.

    Raises:
        ValueError: A diameter below 16 px or above 4096 px.
    """
    shared = stage(diameter_px)
    grey, alpha, metal = clean_disc(spec, shared)
    # A blank array costs nothing until it is written; most discs are clean, so most of these stay untouched.
    masks = {kind: np.zeros(metal.shape, np.bool_) for kind in DEFECT_CLASSES}
    found: dict[int, Planted] = {}
    marks = spec.planted + spec.harmless

    def note(number: int, mark: Mark, place: tuple[slice, slice], mask: npt.NDArray[np.bool_]) -> None:
        if mark.kind in masks:
            masks[mark.kind][place] |= mask
        found[number] = Planted(mark.kind, mark.severity, _tight_box(place, mask))

    for number, mark in enumerate(marks):
        if mark.kind == "missing_hole":
            note(number, mark, *hole_truth(shared, mark))
        elif mark.kind != "stain":
            note(number, mark, *paint(grey, shared, mark, metal))
    rng = np.random.default_rng([spec.seed, 1])
    warmth = rng.uniform(-0.012, 0.012)
    tint = (_METAL_BGR[0] - warmth, _METAL_BGR[1], _METAL_BGR[2] + warmth)
    np.maximum(grey, 0, out=grey)  # convertScaleAbs would fold a negative grey back to a bright one
    bgr = np.asarray(cv2.merge([cv2.convertScaleAbs(grey, alpha=share) for share in tint]), dtype=np.uint8)
    for number, mark in enumerate(marks):
        if mark.kind == "stain":
            note(number, mark, *paint_stain(bgr, shared, mark, metal))
    cover = np.asarray(cv2.convertScaleAbs(alpha, alpha=255.0), dtype=np.uint8)
    for array in (bgr, cover, metal, *masks.values()):
        array.flags.writeable = False
    return DiscImage(
        spec=spec,
        diameter_px=diameter_px,
        bgr=bgr,
        alpha=cover,
        metal=metal,
        masks=MappingProxyType(masks),
        planted=tuple(found[number] for number in range(len(spec.planted))),
        harmless=tuple(found[number] for number in range(len(spec.planted), len(marks))),
    )


def _tight_box(place: tuple[slice, slice], mask: npt.NDArray[np.bool_]) -> tuple[float, float, float, float]:
    """Box of the pixels of a mask, or of its whole patch where the mark is too small to fill a pixel."""
    rows, columns = place
    across, down = np.flatnonzero(mask.any(axis=0)), np.flatnonzero(mask.any(axis=1))
    if not across.size:
        return float(columns.start), float(rows.start), float(columns.stop), float(rows.stop)
    x, y = columns.start, rows.start
    return float(x + across[0]), float(y + down[0]), float(x + across[-1] + 1), float(y + down[-1] + 1)
