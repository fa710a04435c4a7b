"""What travels from the camera to the decision: frames, parts, boxes, candidate defects."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import NewType

import numpy as np
from numpy.typing import NDArray

from station.core.errors import DetectorFault, ImageFault

BgrImage = NDArray[np.uint8]
"""Pixels of shape ``(height, width, 3)``, ``uint8``, blue-green-red, from source to store."""

HEAT_SIDE = 128
"""Longest side of a heat map in pixels: a few kilobytes per part, and finer than the eye needs under a picture."""

PartId = NewType("PartId", str)
"""Names one trigger, for ever: ``<station>-<number>``."""


def check_bgr(image: BgrImage) -> BgrImage:
    """Returns ``image`` if it is a whole BGR picture.

    Raises:
        ImageFault: It is not ``(height, width, 3)`` ``uint8`` with at least 8 x 8 pixels.
    """
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8:
        raise ImageFault(f"expected uint8 pixels, got {getattr(image, 'dtype', type(image).__name__)}")
    if image.ndim != 3 or image.shape[2] != 3:
        raise ImageFault(f"expected a (height, width, 3) BGR picture, got shape {image.shape}")
    if image.shape[0] < 8 or image.shape[1] < 8:
        raise ImageFault(f"picture is only {image.shape[1]} x {image.shape[0]} pixels")
    return image


@dataclass(frozen=True, slots=True)
class Box:
    """An axis-parallel rectangle in pixels, edges ``x0 < x1`` and ``y0 < y1``, origin top left."""

    x0: float
    y0: float
    x1: float
    y1: float

    def __post_init__(self) -> None:
        if not all(math.isfinite(v) for v in self.xyxy):
            raise DetectorFault(f"box has a coordinate that is no number: {self.xyxy}")
        if not (self.x0 < self.x1 and self.y0 < self.y1):
            raise DetectorFault(f"box is empty or turned inside out: {self.xyxy}")

    @property
    def xyxy(self) -> tuple[float, float, float, float]:
        """``(x0, y0, x1, y1)``."""
        return (self.x0, self.y0, self.x1, self.y1)

    @property
    def width(self) -> float:
        """Pixels from left to right edge."""
        return self.x1 - self.x0

    @property
    def height(self) -> float:
        """Pixels from top to bottom edge."""
        return self.y1 - self.y0

    @property
    def area(self) -> float:
        """Square pixels."""
        return self.width * self.height

    @property
    def centre(self) -> tuple[float, float]:
        """``(x, y)`` of the middle."""
        return ((self.x0 + self.x1) / 2, (self.y0 + self.y1) / 2)

    def grown(self, margin: float) -> Box:
        """The box with ``margin`` pixels more on every side."""
        return Box(self.x0 - margin, self.y0 - margin, self.x1 + margin, self.y1 + margin)

    def clipped(self, width: int, height: int) -> Box:
        """The part of the box inside a picture of ``width`` x ``height``.

        Raises:
            DetectorFault: Nothing of the box lies inside.
        """
        return Box(max(self.x0, 0.0), max(self.y0, 0.0), min(self.x1, float(width)), min(self.y1, float(height)))

    def cut(self, image: BgrImage) -> BgrImage:
        """The pixels of ``image`` under this box (whole pixels, clipped, a copy)."""
        inside = self.clipped(image.shape[1], image.shape[0])
        x0, y0 = math.floor(inside.x0), math.floor(inside.y0)
        x1, y1 = max(math.ceil(inside.x1), x0 + 1), max(math.ceil(inside.y1), y0 + 1)
        return image[y0:y1, x0:x1].copy()  # ascontiguousarray would share a full-width cut with its frame


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture from a source, or the reason why there is none.

    Attributes:
        index: Running number of the frame in its source, from 0; a gap is a counted drop.
        source: Which device or file it came from.
        captured_at: UTC time of capture (footage: of reading).
        monotonic_s: Seconds on the station's monotonic clock, for ages and deadlines.
        image: BGR pixels, or ``None`` with ``fault`` set.
        fault: Why the picture is missing or not whole, in words.
        simulated: True for rendered frames.
        serial: Identity of the physical part where the footage knows it.
        lot: Production lot where known.
        truth: Known class of the part (``"ok"`` or a defect class) where the footage is labelled.
    """

    index: int
    source: str
    captured_at: datetime
    monotonic_s: float
    image: BgrImage | None
    fault: str | None = None
    simulated: bool = False
    serial: str | None = None
    lot: str | None = None
    truth: str | None = None

    def __post_init__(self) -> None:
        if (self.image is None) == (self.fault is None):
            raise ImageFault("a frame holds either a picture or the reason why there is none")
        if self.image is not None:
            check_bgr(self.image)


@dataclass(frozen=True, slots=True)
class Sighting:
    """A trigger's word that ``frame`` shows one whole part inside ``box`` (frame pixels)."""

    frame: Frame
    box: Box | None = None

    def cut(self) -> BgrImage | None:
        """The part's own pixels; ``None`` where the frame has none."""
        if self.frame.image is None:
            return None
        return self.frame.image if self.box is None else self.box.cut(self.frame.image)


@dataclass(frozen=True, slots=True)
class Part:
    """One triggered piece: its id, its picture and where both came from.

    Attributes:
        part_id: Unique for ever at this station.
        number: Running number behind the id; gapless, so a missing one is a lost part.
        triggered_at: UTC time of the trigger.
        image: The part's pixels (cropped with margin), or ``None`` with ``fault`` set.
        frame_index: Index of the frame it was cut from.
        origin: ``(x, y)`` of the crop in that frame, in pixels.
    """

    part_id: PartId
    number: int
    triggered_at: datetime
    image: BgrImage | None
    source: str
    frame_index: int
    origin: tuple[float, float] = (0.0, 0.0)
    fault: str | None = None
    simulated: bool = False
    serial: str | None = None
    lot: str | None = None
    truth: str | None = None


@dataclass(frozen=True, slots=True)
class Detection:
    """A candidate defect: class, score in [0, 1] and box in part pixels. Decides nothing."""

    label: str
    score: float
    box: Box

    def __post_init__(self) -> None:
        _check_score(self.label, self.score)


@dataclass(frozen=True, slots=True)
class Detections:
    """All that a detector has to say about one part.

    Attributes:
        candidates: Every candidate above the model's floor, highest score first.
        scores: Part score of **every** class of the model (0 where nothing was seen), so that a
            class the model forgot is noticed. Always at least the best candidate's score.
        heat: Where the model sees something: strongest score over all classes times 255, ``uint8`` ``(h, w)``,
            read-only, sides at most :data:`HEAT_SIDE`, spanning the part picture from edge to edge; ``None`` from
            a detector without maps. For the eye only: it decides nothing and counts in no comparison.
        unlisted: By class, the most that any place **beside** the candidates may score, in [0, 1]: a shoulder of a
            stronger defect, what lies below the floor, what was one candidate too many. A class that is not named
            here may score as much as its part score. Only by this can a recipe leave a candidate out and know what
            is left; it counts in no comparison.
    """

    candidates: tuple[Detection, ...] = ()
    scores: Mapping[str, float] = field(default_factory=dict)
    heat: NDArray[np.uint8] | None = field(default=None, compare=False, repr=False)
    unlisted: Mapping[str, float] = field(default_factory=dict, compare=False, repr=False)

    def __post_init__(self) -> None:
        for label, score in (*self.scores.items(), *self.unlisted.items()):
            _check_score(label, score)
        for found in self.candidates:
            if found.label not in self.scores:
                raise DetectorFault(f"candidate of class {found.label!r}, but no part score for that class")
            if not found.score <= self.scores[found.label] + 1e-6:
                raise DetectorFault(
                    f"candidate {found.label!r} scores {found.score:.4f}, above its part score "
                    f"{self.scores[found.label]:.4f}"
                )
        object.__setattr__(self, "scores", MappingProxyType(dict(self.scores)))
        object.__setattr__(self, "unlisted", MappingProxyType(dict(self.unlisted)))
        if self.heat is not None:
            object.__setattr__(self, "heat", _checked_heat(self.heat))

    def __reduce__(self) -> tuple[type[Detections], tuple[object, ...]]:
        """For another process, where it is checked anew: read-only views cannot be sent."""
        return Detections, (self.candidates, dict(self.scores), self.heat, dict(self.unlisted))

    @property
    def score(self) -> float:
        """The part's score: the largest over all classes; 0 where the model has none."""
        return max(self.scores.values(), default=0.0)


def _check_score(label: str, score: float) -> None:
    if not math.isfinite(score) or not 0.0 <= score <= 1.0:
        raise DetectorFault(f"class {label!r} has the score {score}: not a number in [0, 1]")


def _checked_heat(heat: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A read-only copy, so that nobody can change it afterwards."""
    if not isinstance(heat, np.ndarray) or heat.dtype != np.uint8 or heat.ndim != 2:
        got = f"{getattr(heat, 'dtype', type(heat).__name__)} {getattr(heat, 'shape', '')}"
        raise DetectorFault(f"expected a heat map uint8 (height, width), got {got}")
    if not (min(heat.shape) >= 1 and max(heat.shape) <= HEAT_SIDE):
        raise DetectorFault(f"heat map of {heat.shape}: each side needs 1 to {HEAT_SIDE} pixels")
    kept = np.array(heat, order="C")
    kept.flags.writeable = False
    return kept
