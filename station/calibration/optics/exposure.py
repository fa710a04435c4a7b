"""Is a picture as sharp, as bright and of the same colour as one that was good?

Figures of the whole picture, and windows around those of the good one. Sharpness is the energy of the gradient
(Tenenbaum's measure; Krotkov, Int. J. Computer Vision 1 (1988) 223-237) over the squared brightness, so that a dimmer
lamp does not look like a lens out of focus.
"""

from __future__ import annotations

import cv2
import numpy as np
from pydantic import Field

from station.calibration.optics.record import Record
from station.core.part import BgrImage, check_bgr

_GRAIN_PX = 1.0  # blur against noise, which has gradients too


class Look(Record):
    """What a picture looks like as a whole."""

    sharpness: float = Field(ge=0, description="Gradient energy over squared brightness; for comparison only.")
    brightness: float = Field(ge=0, le=255, description="Mean grey value.")
    saturated: float = Field(ge=0, le=1, description="Share of the pixels with a channel at 255.")
    blue: float = Field(ge=0, description="Mean of blue over mean of green.")
    red: float = Field(ge=0, description="Mean of red over mean of green.")


class Windows(Record):
    """How far a picture may be from a good one."""

    sharpness_percent: float = Field(default=25.0, gt=0, description="Gradient energy: so much more or less.")
    brightness_percent: float = Field(default=8.0, gt=0, description="Mean grey value: so much more or less.")
    saturated_share: float = Field(default=0.005, gt=0, le=1, description="So many more pixels at 255.")
    colour_percent: float = Field(default=4.0, gt=0, description="Blue or red against green: so much more or less.")
    position_px: float = Field(default=3.0, gt=0, description="The target may have moved so far.")
    turn_deg: float = Field(default=0.5, gt=0, description="It may have turned so far.")
    scale_percent: float = Field(default=0.5, gt=0, description="It may be so much larger or smaller.")


def look_of(image: BgrImage) -> Look:
    """Measures a picture.

    Raises:
        ImageFault: It is no BGR picture.
    """
    check_bgr(image)
    grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY).astype(np.float32)
    smooth = cv2.GaussianBlur(grey, (0, 0), _GRAIN_PX)
    gx, gy = (cv2.Sobel(smooth, cv2.CV_32F, *way, scale=1 / 8) for way in ((1, 0), (0, 1)))
    brightness = float(grey.mean(dtype=np.float64))
    energy = float((gx * gx + gy * gy).mean(dtype=np.float64))
    blue, green, red = (float(v) for v in cv2.mean(image)[:3])
    return Look(
        sharpness=energy / max(brightness, 1.0) ** 2,
        brightness=brightness,
        saturated=float((image.max(axis=2) == 255).mean()),
        blue=blue / max(green, 1.0),
        red=red / max(green, 1.0),
    )


def out_of(now: Look, good: Look, windows: Windows) -> list[str]:
    """What is out of its window, in words; nothing where all is well."""
    found = []
    if (dim := _percent(now.brightness, good.brightness)) and not abs(dim) <= windows.brightness_percent:
        found.append(
            f"brightness {dim:+.0f} % (mean {now.brightness:.0f}, was {good.brightness:.0f}; "
            f"{windows.brightness_percent:g} % is allowed): check lamp, exposure and aperture"
        )
    if not now.saturated - good.saturated <= windows.saturated_share:
        found.append(f"{now.saturated:.1%} of the pixels are at 255, were {good.saturated:.1%}: expose shorter")
    if (soft := _percent(now.sharpness, good.sharpness)) and not abs(soft) <= windows.sharpness_percent:
        cause = "check focus, and clean lens and window" if soft < 0 else "the target was less sharp at the baseline"
        found.append(f"sharpness {soft:+.0f} % ({windows.sharpness_percent:g} % is allowed): {cause}")
    for name, here, there in (("blue", now.blue, good.blue), ("red", now.red, good.red)):
        off = _percent(here, there)
        if not abs(off) <= windows.colour_percent:
            found.append(
                f"{name} against green {off:+.1f} % ({windows.colour_percent:g} % is allowed): check lamp, stray light "
                "and white balance"
            )
    return found


def _percent(now: float, good: float) -> float:
    return 100.0 * (now / good - 1.0) if good > 0 else (0.0 if now == good else float("inf"))
