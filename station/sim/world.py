"""Which discs lie where on the moving belt, what does the camera see of them, and what is the truth about them?

Discs enter on the left and leave on the right. Where disc n lies is a function of the seed and n alone, whatever
the speed and however the belt was stopped, so the truth is exact to the pixel. Belt and discs move together by
whole pixels; a fraction is carried on. Discs that have left are forgotten, so a belt can run for ever.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from station.sim.crops import training_crops
from station.sim.disc import DiscImage, DiscSpec, Planted, draw_spec, render_disc
from station.sim.scene import BgrImage, Scene, Sprite

__all__ = ["Belt", "CropTruth", "PartInView", "training_crops"]

Masks = Mapping[str, npt.NDArray[np.bool_]]

# Smallest distance of two centres in diameters: discs never touch, nor does the shadow of one fall on another.
_CLEARANCE = 1.14


@dataclass(frozen=True, eq=False)
class CropTruth:
    """The truth about one part inside a box.

    Attributes:
        part: The part whose centre lies in the box.
        planted: Its defects, boxes in pixels of the crop; a box may reach beyond a crop that cuts the part.
        masks: For every defect class its pixels, (box height, box width) bool.
    """

    part: PartInView
    planted: tuple[Planted, ...]
    masks: Masks


@dataclass(frozen=True, eq=False)
class PartInView:
    """One part as it lay when the truth was asked for, whatever the belt has done since.

    Attributes:
        index: Which part of the belt, from 0.
        serial: Its name.
        spec: What was planted.
        x: Column of its centre in frame pixels.
        y: Row of its centre.
        diameter_px: Its diameter.
        fully_visible: The whole disc lies in the frame (its shadow may not).
        planted: Its defects, boxes in frame pixels.
        harmless: Its harmless marks likewise.
    """

    index: int
    serial: str
    spec: DiscSpec
    x: float
    y: float
    diameter_px: float
    fully_visible: bool
    planted: tuple[Planted, ...]
    harmless: tuple[Planted, ...]
    image: DiscImage = field(repr=False)

    @property
    def defective(self) -> bool:
        """Whether any defect is planted on the part."""
        return self.spec.defective

    @property
    def box(self) -> tuple[float, float, float, float]:
        """x0, y0, x1, y1 of the disc in frame pixels; may reach beyond the frame."""
        r = self.diameter_px / 2
        return self.x - r, self.y - r, self.x + r, self.y + r

    def truth_in(self, xyxy: tuple[float, float, float, float]) -> CropTruth:
        """Map the part's truth into a crop of the frame that this part was seen in.

        Args:
            xyxy: x0, y0, x1, y1 of the crop in frame pixels, rounded to whole ones; it may reach
                beyond the frame.

        Raises:
            ValueError: A box without area.
        """
        x0, y0, x1, y1 = (round(edge) for edge in xyxy)
        if x0 >= x1 or y0 >= y1:
            raise ValueError(f"box {tuple(xyxy)} has no area; expected x0 < x1 and y0 < y1")
        left, top = round(self.x) - self.image.half, round(self.y) - self.image.half
        masks = self.image.masks_in(x0 - left, y0 - top, width=x1 - x0, height=y1 - y0)
        return CropTruth(self, tuple(mark.moved(-x0, -y0) for mark in self.planted), MappingProxyType(masks))


class Belt:
    """A belt with discs on it, under one camera."""

    def __init__(
        self,
        *,
        seed: int,
        width: int = 640,
        height: int | None = None,
        speed_px: float | None = None,
        pitch_px: float | None = None,
        diameter_px: float | None = None,
        defect_rate: float = 0.15,
        harmless_rate: float = 0.3,
        holes: int = 6,
        parts: int | None = None,
        spec_of: Callable[[int], DiscSpec] | None = None,
    ) -> None:
        """Lay out the world. Lengths left out scale with the picture.

        Args:
            seed: Everything is drawn from it.
            width: Of the picture in pixels.
            height: Of the picture; three quarters of the width.
            speed_px: How far the belt moves per frame; 12 px at 640 px width.
            pitch_px: Mean distance of parts; 460 px at 640 px width.
            diameter_px: Of the discs; 300 px at 640 px width.
            defect_rate: Share of defective discs.
            harmless_rate: Share of discs with harmless marks.
            holes: Bolt holes per disc.
            parts: The belt ends after so many; None for an endless belt.
            spec_of: What lies on part n instead of a draw: for challenge parts and scripted tests.

        Raises:
            ValueError: A length that is not positive, discs that do not fit the picture, a pitch that would let
                two touch, or a rate outside [0, 1].
        """
        height = round(width * 0.75) if height is None else height
        scale = width / 640
        self.width, self.height = width, height
        self.speed_px = 12.0 * scale if speed_px is None else float(speed_px)
        self.diameter_px = 300.0 * scale if diameter_px is None else float(diameter_px)
        self.pitch_px = max(460.0 * scale, 1.25 * self.diameter_px) if pitch_px is None else float(pitch_px)
        if not (self.speed_px > 0 and math.isfinite(self.speed_px)):
            raise ValueError(f"speed_px is {speed_px}; it must be positive (let the belt stand by not advancing it)")
        if not self.diameter_px < min(width, height):
            raise ValueError(f"a disc of {self.diameter_px:.0f} px does not fit a picture of {width} x {height}")
        self._closest = math.ceil(_CLEARANCE * self.diameter_px)
        if not (self.pitch_px >= self._closest and math.isfinite(self.pitch_px)):
            raise ValueError(
                f"pitch_px is {self.pitch_px:.0f}, but discs of {self.diameter_px:.0f} px need at least {self._closest}"
            )
        if parts is not None and parts < 0:
            raise ValueError(f"parts is {parts}; it must not be negative")
        if not (0.0 <= defect_rate <= 1.0 and 0.0 <= harmless_rate <= 1.0):
            raise ValueError(f"rates are {defect_rate} (defects) and {harmless_rate} (harmless); a rate lies in [0, 1]")
        self.seed, self.parts = seed, parts
        self._spec_of = spec_of or (
            lambda index: draw_spec(seed, index, defect_rate=defect_rate, harmless_rate=harmless_rate, holes=holes)
        )
        self._scene = Scene(seed=seed, width=width, height=height)
        self._pictures = 0  # taken since the belt last moved
        self._travelled = 0.0
        self._reach = math.ceil(self.diameter_px * 0.58) + 3  # half a sprite, shadow included
        self._first = 0  # the oldest part that may still be in view
        self._next = 0  # the next one to enter
        self._places: dict[int, tuple[int, int]] = {}
        self._sprites: dict[int, Sprite] = {}

    @property
    def travelled_px(self) -> float:
        """How far the belt has moved since the start."""
        return self._travelled

    @property
    def crossed(self) -> int:
        """How many parts have reached the middle of the picture so far."""
        count = self._first
        while self._exists(count) and self._x(count) >= self.width // 2:
            count += 1
        return count

    @property
    def finished(self) -> bool:
        """All parts have left the view; never true of an endless belt."""
        return self.parts is not None and self._first >= self.parts

    def spec(self, index: int) -> DiscSpec:
        """What lies, lay or will lie on part number `index`; needs no picture.

        Raises:
            IndexError: The belt has no such part.
        """
        if not self._exists(index):
            raise IndexError(f"part {index} does not exist; this belt carries {self.parts} parts from 0")
        return self._spec_of(index)

    def advance(self, dt_frames: float = 1.0) -> None:
        """Move the belt by so many frames at its speed; 0 leaves it standing.

        Raises:
            ValueError: A belt does not run backwards, nor without end.
        """
        if not (dt_frames >= 0 and math.isfinite(dt_frames)):
            raise ValueError(f"dt_frames is {dt_frames}; the belt only moves forward by a finite time")
        if dt_frames:
            self._pictures = 0
        self._travelled += self.speed_px * dt_frames
        while self._exists(self._first) and self._x(self._first) - self._reach >= self.width:
            self._places.pop(self._first, None)
            self._sprites.pop(self._first, None)
            self._first += 1
        self._next = max(self._next, self._first)
        while self._exists(self._next) and self._x(self._next) + self._reach >= 0:
            self._next += 1

    def frame(self) -> BgrImage:
        """Take a picture of the belt as it lies; (height, width, 3) uint8, a fresh array with fresh noise."""
        picture = self._scene.belt(math.floor(self._travelled))
        for index in range(self._first, self._next):
            self._sprite(index).paste(picture, self._x(index), self._place(index)[1])
        # By place, not by count: how long the belt stood before must not change what is seen of the next part.
        noise = np.random.default_rng([self.seed, 3, math.floor(self._travelled * 16), self._pictures])
        self._pictures += 1
        return self._scene.expose(picture, noise)

    def truth(self) -> tuple[PartInView, ...]:
        """The parts of which any of the disc is in view now, the one farthest along first."""
        radius = self.diameter_px / 2
        seen = []
        for index in range(self._first, self._next):
            x, y = self._x(index), self._place(index)[1]
            if x + radius < 0 or x - radius >= self.width:
                continue  # only its shadow
            image = self._sprite(index).image
            shift = (x - image.half, y - image.half)
            seen.append(
                PartInView(
                    index=index,
                    serial=image.spec.serial,
                    spec=image.spec,
                    x=float(x),
                    y=float(y),
                    diameter_px=self.diameter_px,
                    fully_visible=x - radius >= 0 and x + radius < self.width,
                    planted=tuple(mark.moved(*shift) for mark in image.planted),
                    harmless=tuple(mark.moved(*shift) for mark in image.harmless),
                    image=image,
                )
            )
        return tuple(seen)

    def truth_for_box(self, xyxy: tuple[float, float, float, float]) -> CropTruth | None:
        """The truth about the part whose centre lies in a box of the frame now; None where none does.

        Of several the one nearest to the middle of the box.
        """
        x0, y0, x1, y1 = xyxy
        inside = [part for part in self.truth() if x0 <= part.x < x1 and y0 <= part.y < y1]
        if not inside:
            return None
        middle = min(inside, key=lambda part: math.hypot(part.x - (x0 + x1) / 2, part.y - (y0 + y1) / 2))
        return middle.truth_in(xyxy)

    def _exists(self, index: int) -> bool:
        return index >= 0 and (self.parts is None or index < self.parts)

    def _place(self, index: int) -> tuple[int, int]:
        """How far before the picture's left edge part `index` starts, and its row; whole pixels."""
        if index not in self._places:
            rng = np.random.default_rng([self.seed, index, 1])
            # Each part strays from its even place by less than half of the room between two.
            play = math.floor((self.pitch_px - self._closest) / 2)
            start = self._reach + math.ceil(self.pitch_px * index) + play + round(rng.uniform(-1, 1) * play)
            free = max((self.height - self.diameter_px) / 2 - 2, 0)
            row = self.height // 2 + round(rng.uniform(-1, 1) * min(free, 0.07 * self.height))
            self._places[index] = (start, row)
        return self._places[index]

    def _x(self, index: int) -> int:
        return math.floor(self._travelled) - self._place(index)[0]

    def _sprite(self, index: int) -> Sprite:
        if index not in self._sprites:
            self._sprites[index] = Sprite(render_disc(self._spec_of(index), diameter_px=self.diameter_px))
        return self._sprites[index]
