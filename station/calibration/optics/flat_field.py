"""How much brighter must each place be made, so that an evenly lit field looks even, and a grey one grey?

The mean of some pictures of an empty, even field tells where light and lens fall off; each place is multiplied by what
it lacks against the brightest (EMVA 1288, release 4.0, on photo response non-uniformity; the dark level is taken as 0,
which holds where a capped lens gives black). Kept as a small grid: what falls off does so slowly, and dust on the
target must not be printed into every picture.

No gain is below 1: a pixel at 255 stays at 255, so a picture that was too bright is still seen to be.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from station.calibration.optics.record import Record
from station.core.errors import ConfigError, DataRefused, ImageFault
from station.core.part import BgrImage, check_bgr

LEAST_FRAMES = 5
MOST_GAIN = 4.0
GRID = 48  # cells along the longer side
SATURATED, MOST_SATURATED = 250, 0.001  # grey value and share of the pixels
LEAST_BRIGHT, LEAST_DIM = 60.0, 12.0  # grey values of the brightest and the dimmest cell
MOST_UNEVEN = 0.05  # share by which a cell may differ from its neighbours: more is an object
_RIM = 2  # cells

Gains = NDArray[np.float32]
"""``(rows, columns, 3)`` ``float32``, at least 1: a coarse grid over the picture, from edge to edge."""


class FlatField(Record):
    """What a flat field says of itself; its gains lie in the file beside it."""

    width: int = Field(gt=0, description="Pixels of the picture, across.")
    height: int = Field(gt=0, description="Pixels of the picture, down.")
    frames: int = Field(ge=1, description="Pictures that it is the mean of.")
    dimmest: float = Field(gt=0, le=1, description="Brightness of the dimmest place, as a share of the brightest.")
    neutral: bool = Field(description="Whether the target was neutral grey, so that the colours were balanced by it.")
    balance: tuple[float, float, float] = Field(description="White balance: gains of blue, green and red.")
    gains_sha256: str = Field(pattern=r"^[0-9a-f]{64}$", description="Hash of flat-field.npz beside this file.")


@dataclass(frozen=True, slots=True, eq=False)
class FlatFieldFit:
    """A flat field before it is kept: its gains, white balance included, and what it says of itself."""

    gains: Gains
    frames: int
    dimmest: float
    neutral: bool
    balance: tuple[float, float, float]
    size: tuple[int, int]


def fit_flat_field(frames: Sequence[BgrImage], *, neutral: bool) -> FlatFieldFit:
    """Measures the flat field.

    Args:
        frames: Pictures of an empty, even, bright field, out of focus if possible, under the light of production.
        neutral: The field is neutral grey: colours are balanced by it too.

    Raises:
        DataRefused: Too few, of several sizes, too bright, too dark, or something lies in the field; says what to do.
        ImageFault: One is no BGR picture.
    """
    if len(frames) < LEAST_FRAMES:
        raise DataRefused(f"{len(frames)} pictures of the empty field, at least {LEAST_FRAMES} are needed: take more")
    shapes = {check_bgr(frame).shape for frame in frames}
    if len(shapes) > 1:
        raise DataRefused("the pictures differ in size: take them all with one setting of the camera")
    height, width = frames[0].shape[:2]
    if any(float((frame.max(axis=2) >= SATURATED).mean()) > MOST_SATURATED for frame in frames):
        raise DataRefused("the field is saturated in places: expose shorter, the brightest place should be about 200")
    coarse = np.stack([_coarse(frame) for frame in frames])
    mean = np.asarray(coarse.mean(axis=0, dtype=np.float64), dtype=np.float32)
    wider = _extended(mean)
    smooth = np.dstack([cv2.medianBlur(np.ascontiguousarray(wider[..., c]), 3) for c in range(3)])[
        _RIM:-_RIM, _RIM:-_RIM
    ]
    peaks: NDArray[np.float32] = smooth.reshape(-1, 3).max(axis=0)
    if float(peaks.max()) < LEAST_BRIGHT or float(smooth.min()) < LEAST_DIM:
        raise DataRefused(
            f"the field is too dark ({float(smooth.min()):.0f} to {float(peaks.max()):.0f} of 255): expose longer, the "
            "brightest place should be about 200, and take the cap off"
        )
    uneven = float((np.abs(mean - smooth) / smooth).max())
    if uneven > MOST_UNEVEN:
        raise DataRefused(
            f"something lies in the field (a place differs from its neighbours by {uneven:.0%}): clear and clean the "
            "target, and put it out of focus"
        )
    balance = float(peaks.max()) / peaks if neutral else np.ones(3)
    gains = peaks / smooth * balance
    if float(gains.max()) > MOST_GAIN:
        raise DataRefused(
            f"some place would need {float(gains.max()):.1f} times its light, at most {MOST_GAIN:g}: light the field "
            "more evenly; noise is multiplied too"
        )
    return FlatFieldFit(
        np.maximum(gains, 1.0).astype(np.float32),
        len(frames),
        float((smooth / peaks).min()),
        neutral,
        (float(balance[0]), float(balance[1]), float(balance[2])),
        (width, height),
    )


def packed(gains: Gains) -> bytes:
    """The gains as the bytes of an ``.npz`` file; the same gains give the same bytes."""
    buffer = io.BytesIO()
    np.savez(buffer, gains=gains)
    return buffer.getvalue()


def unpacked(data: bytes, *, name: str) -> Gains:
    """The gains from the bytes of an ``.npz`` file.

    Raises:
        ConfigError: They hold no gains.
    """
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            gains = file["gains"]
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise ConfigError(f"{name} holds no flat field ({error}): run 'station calibrate flat-field' again") from error
    sound = gains.dtype == np.float32 and gains.ndim == 3 and gains.shape[2] == 3 and min(gains.shape[:2]) > _RIM
    if not sound or not bool(((gains >= 1.0) & (gains <= MOST_GAIN)).all()):
        raise ConfigError(f"{name} holds no gains from 1 to {MOST_GAIN:g}: run 'station calibrate flat-field' again")
    return np.asarray(gains, np.float32)


def spread(gains: Gains, size: tuple[int, int]) -> Gains:
    """The gains of every pixel, ``(height, width, 3)``, for a picture of ``size`` ``(width, height)``."""
    rows, columns = gains.shape[:2]
    x = (np.arange(size[0], dtype=np.float32) + 0.5) * (columns / size[0]) - 0.5 + _RIM
    y = (np.arange(size[1], dtype=np.float32) + 0.5) * (rows / size[1]) - 0.5 + _RIM
    across, down = np.meshgrid(x, y)
    full = cv2.remap(_extended(gains), across, down, cv2.INTER_CUBIC)
    return np.maximum(np.asarray(full, np.float32), 1.0)


def flattened(image: BgrImage, gains: Gains) -> BgrImage:
    """The picture with each pixel multiplied by its gain, rounded, at most 255.

    Args:
        image: BGR pixels as the camera gives them.
        gains: From :func:`spread`.

    Raises:
        ImageFault: It has another size.
    """
    if image.shape != gains.shape:
        raise ImageFault(
            f"picture of {image.shape[1]} x {image.shape[0]} pixels, the flat field was taken at {gains.shape[1]} x "
            f"{gains.shape[0]}: set the camera back, or run 'station calibrate flat-field' again"
        )
    return np.asarray(cv2.multiply(image, gains, dtype=cv2.CV_8U), np.uint8)


def _extended(grid: NDArray[np.float32]) -> NDArray[np.float32]:
    """The grid with a rim in which its slope goes on: light falls off most where a plain rim would make it level."""
    rim = ((_RIM, _RIM), (_RIM, _RIM), (0, 0))
    return np.asarray(np.pad(grid, rim, mode="reflect", reflect_type="odd"), np.float32)


def _coarse(frame: BgrImage) -> NDArray[np.float32]:
    height, width = frame.shape[:2]
    factor = GRID / max(width, height)
    size = (max(_RIM + 1, round(width * factor)), max(_RIM + 1, round(height * factor)))
    return np.asarray(cv2.resize(frame.astype(np.float32), size, interpolation=cv2.INTER_AREA), np.float32)
