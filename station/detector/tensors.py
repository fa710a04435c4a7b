"""What does a model see of a picture, and where on the part does a place in its output lie?

The one preprocessing of the station: live running, replay, tuning, training and export all call
:func:`prepare`. ::

    part picture  --resize (card: resize_long)-->  real area  --pad right and bottom (card: multiple)-->  tensor
    (h, w, 3)                                      (H', W', 3)                                            (1, H, W, 3)

The picture stays ``uint8`` BGR; normalisation is inside the model's graph. Whoever changes what a pixel
of the tensor becomes must raise :data:`PREPARE_VERSION`, so that old inspections keep their own hash.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from station.core.errors import DetectorFault, ImageFault
from station.core.part import BgrImage, Box, check_bgr
from station.registry import InputSpec

PREPARE_VERSION = 1

_BORDERS = {
    "replicate": cv2.BORDER_REPLICATE,
    "reflect": cv2.BORDER_REFLECT_101,  # without repeating the edge pixel, as numpy's and torch's "reflect"
    "constant": cv2.BORDER_CONSTANT,
}


@dataclass(frozen=True, slots=True)
class Prepared:
    """A picture as a model takes it, with the way back.

    Attributes:
        tensor: ``uint8`` ``(1, H, W, 3)`` BGR, C-contiguous, H and W multiples of the card's ``multiple``. Where
            neither resizing nor padding was needed it shares the picture's memory: use it before that changes.
        real: ``(height, width)`` of the area at the top left that shows the part; the rest is padding.
        source: ``(height, width)`` of the part picture.
    """

    tensor: NDArray[np.uint8]
    real: tuple[int, int]
    source: tuple[int, int]

    def __post_init__(self) -> None:
        shape = self.tensor.shape
        if self.tensor.dtype != np.uint8 or len(shape) != 4 or shape[0] != 1 or shape[3] != 3:
            raise DetectorFault(f"expected a uint8 (1, H, W, 3) tensor, got {self.tensor.dtype} {shape}")
        if not (0 < self.real[0] <= shape[1] and 0 < self.real[1] <= shape[2]):
            raise DetectorFault(f"real area {self.real} does not lie in a tensor of {shape[1:3]}")
        if min(self.source) < 1:
            raise DetectorFault(f"a part picture of {self.source} is empty")

    @property
    def scale(self) -> tuple[float, float]:
        """``(x, y)``: tensor pixels per part pixel; the two differ by the rounding to whole pixels only."""
        return (self.real[1] / self.source[1], self.real[0] / self.source[0])

    def to_part(self, x0: float, y0: float, x1: float, y1: float) -> Box:
        """A rectangle of the tensor in part pixels, without what lies in the padding.

        Raises:
            DetectorFault: All of it lies in the padding.
        """
        height, width = self.real
        scale_x, scale_y = self.scale
        return Box(
            max(x0, 0.0) / scale_x, max(y0, 0.0) / scale_y, min(x1, width) / scale_x, min(y1, height) / scale_y
        ).clipped(self.source[1], self.source[0])


def prepare(image: BgrImage, spec: InputSpec) -> Prepared:
    """Brings a part picture to the form the model takes.

    Resizing (only with ``spec.resize_long``) averages areas when shrinking and interpolates linearly when enlarging;
    padding goes to the right and the bottom, so part and tensor share their origin.

    Args:
        image: The part's pixels; any memory layout.
        spec: The ``[input]`` of the model's card.

    Raises:
        ImageFault: It is no whole BGR picture, or has more pixels (before or after resizing and padding) than the
            card allows.
    """
    height, width = check_bgr(image).shape[:2]
    real_height, real_width = _resized(height, width, spec.resize_long)
    bottom, right = -real_height % spec.multiple, -real_width % spec.multiple
    pixels = max(height * width, (real_height + bottom) * (real_width + right))
    if pixels > spec.max_pixels:
        raise ImageFault(
            f"picture of {width} x {height} pixels takes {pixels:,} pixels in the model, its card allows "
            f"{spec.max_pixels:,}; crop the part closer"
        )
    if (real_height, real_width) != (height, width):
        shrinks = real_height * real_width < height * width
        how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        image = np.asarray(cv2.resize(image, (real_width, real_height), interpolation=how), dtype=np.uint8)
    if bottom or right:
        padded = cv2.copyMakeBorder(image, 0, bottom, 0, right, _BORDERS[spec.padding], value=(0, 0, 0))
        image = np.asarray(padded, dtype=np.uint8)
    return Prepared(np.ascontiguousarray(image)[np.newaxis], (real_height, real_width), (height, width))


def preprocess_hash(spec: InputSpec) -> str:
    """sha256 over :data:`PREPARE_VERSION` and every field of ``spec``; kept in every inspection."""
    text = json.dumps({"prepare": PREPARE_VERSION, **spec.model_dump(mode="json")}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _resized(height: int, width: int, resize_long: int) -> tuple[int, int]:
    longer = max(height, width)
    if resize_long in (0, longer):
        return height, width
    return max(1, round(height * resize_long / longer)), max(1, round(width * resize_long / longer))
