"""What does a broken camera deliver?

Faults to plant in frames, so that tests and demos can show that none of them passes a part.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import cv2
import numpy as np
import numpy.typing as npt

BgrImage = npt.NDArray[np.uint8]


def black(frame: BgrImage) -> BgrImage:
    """The lamp failed or the cap is on: nothing but the sensor's floor of 0 to 2 grey values; (h, w, 3)."""
    return np.random.default_rng(0).integers(0, 3, frame.shape, dtype=np.uint8)


def saturated(frame: BgrImage) -> BgrImage:
    """The exposure ran away: five times the light, so nearly everything is white; (h, w, 3)."""
    return np.asarray(cv2.convertScaleAbs(frame, alpha=5.0, beta=60.0), dtype=np.uint8)


def blurred(frame: BgrImage, *, sigma_px: float | None = None) -> BgrImage:
    """The lens lost its focus; (h, w, 3).

    Args:
        frame: The sharp picture.
        sigma_px: Radius of the blur; one hundredth of the width where left out.
    """
    sigma = max(frame.shape[1] / 100, 0.8) if sigma_px is None else sigma_px
    if not sigma > 0:
        raise ValueError(f"sigma_px is {sigma_px}; a blur is positive")
    return np.asarray(cv2.GaussianBlur(frame, (0, 0), sigma), dtype=np.uint8)


STATELESS: Mapping[str, Callable[[BgrImage], BgrImage]] = MappingProxyType(
    {"black": black, "saturated": saturated, "blurred": blurred}
)
FAULTS = (*STATELESS, "frozen")


class FaultyCamera:
    """Passes frames through and spoils them while a fault is set.

    Attributes:
        fault: One of `FAULTS`, or None for a healthy camera.
    """

    def __init__(self) -> None:
        self.fault: str | None = None
        self._held: BgrImage | None = None

    def set(self, fault: str | None) -> None:
        """Break the camera from the next frame on, or mend it with None.

        Raises:
            ValueError: An unknown fault.
        """
        if fault is not None and fault not in FAULTS:
            raise ValueError(f"unknown fault {fault!r}; known faults: {', '.join(FAULTS)}")
        self.fault = fault
        self._held = None

    def see(self, frame: BgrImage) -> BgrImage:
        """The frame as this camera delivers it; the frame given is left as it is.

        A frozen camera repeats, to the byte and noise included, the first frame after it froze.
        """
        if self.fault is None:
            return frame
        if self.fault == "frozen":
            if self._held is None:
                self._held = frame.copy()
            return self._held.copy()
        return STATELESS[self.fault](frame)
