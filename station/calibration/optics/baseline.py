"""Does the camera still see the fixed target as it did when all was well?

Position, turn and scale come from the board's corners where the target is the printed board, and from registration of
any other picture; sharpness, brightness and colour from :mod:`station.calibration.optics.exposure`. The answer is a
list of words; an empty one means that the camera is as it was.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from station.calibration.optics.board import LEAST_CORNERS, Board, find_corners
from station.calibration.optics.exposure import Look, Windows, look_of, out_of
from station.calibration.optics.record import Record
from station.calibration.registration import register
from station.core.errors import DataRefused
from station.core.part import BgrImage

LEAST_SHARPNESS = 1e-6  # gradient energy over squared brightness: below it the picture shows nothing
BENT_PX = 1.0  # rms of the corners after the best similarity: more is a camera that was tilted


class BaselineRecord(Record):
    """What the target looked like when all was well, and how far it may be from that."""

    made_at: datetime = Field(description="When the picture was taken (UTC).")
    picture_sha256: str = Field(pattern=r"^[0-9a-f]{64}$", description="Hash of baseline.png beside this file.")
    optics_sha256: str | None = Field(default=None, description="Corrections that the picture was taken with.")
    board: Board | None = Field(default=None, description="The printed board, where it is the target.")
    look: Look
    windows: Windows = Windows()


@dataclass(frozen=True, slots=True, eq=False)
class Baseline:
    """The target as it was, ready to be compared with.

    Attributes:
        record: Figures and windows.
        picture: The target then, corrected: BGR pixels.
    """

    record: BaselineRecord
    picture: BgrImage

    def compare(self, image: BgrImage) -> list[str]:
        """What is out, in words with the remedy; empty where all is well.

        Args:
            image: The target now, corrected as the baseline's picture was.

        Raises:
            ImageFault: It is no BGR picture.
        """
        now = look_of(image)
        if image.shape != self.picture.shape:
            height, width = self.picture.shape[:2]
            size = f"{image.shape[1]} x {image.shape[0]} pixels"
            return [f"the picture has {size}, had {width} x {height}: set the camera back"]
        windows = self.record.windows
        moved = self._moved(image)
        if isinstance(moved, str):
            place = [f"the target is not found ({moved}): put it back into its place, and check light and focus"]
        else:
            place = _place_out(moved, windows)
        return place + out_of(now, self.record.look, windows)

    def _moved(self, image: BgrImage) -> _Move | str:
        if self.record.board is not None:
            return _by_board(self.picture, image, self.record.board)
        found = register(image, self.picture)
        if not found.good:
            return found.words
        height, width = self.picture.shape[:2]
        middle = np.array([(width - 1) / 2, (height - 1) / 2])
        shift = found.matrix[:, :2] @ middle + found.matrix[:, 2] - middle
        return _Move(float(shift[0]), float(shift[1]), found.rotation_deg, found.scale, 0.0)


def make_baseline(
    image: BgrImage, *, made_at: datetime, picture_sha256: str, optics_sha256: str | None, board: Board | None
) -> Baseline:
    """A baseline from a picture of the target.

    Args:
        image: The target, corrected.
        made_at: When it was taken.
        picture_sha256: Hash of the file that the picture is kept in.
        optics_sha256: Hash of the corrections.
        board: The station's printed board, if there is one: taken as the target where it is seen.

    Raises:
        DataRefused: The picture does not even fit itself: too little can be seen in it.
        ImageFault: It is no BGR picture.
    """
    look = look_of(image)
    if board is not None and len(find_corners(image, board)) < LEAST_CORNERS:
        board = None
    record = BaselineRecord(
        made_at=made_at, picture_sha256=picture_sha256, optics_sha256=optics_sha256, board=board, look=look
    )
    baseline = Baseline(record, image)
    words = baseline.compare(image)
    if look.sharpness < LEAST_SHARPNESS:
        words.append("nothing is to be seen in it")
    if words:
        raise DataRefused(
            f"this picture cannot be a baseline ({'; '.join(words)}): take a sharp one of a target that fills a good "
            "part of the picture, such as the printed board"
        )
    return baseline


@dataclass(frozen=True, slots=True)
class _Move:
    dx: float
    dy: float
    turn_deg: float
    scale: float
    bent_px: float


def _place_out(moved: _Move, windows: Windows) -> list[str]:
    found = []
    far = math.hypot(moved.dx, moved.dy)
    if not far <= windows.position_px:
        across = f"{abs(moved.dx):.1f} {'right' if moved.dx > 0 else 'left'}"
        down = f"{abs(moved.dy):.1f} {'down' if moved.dy > 0 else 'up'}"
        found.append(
            f"the target lies {far:.1f} px from where it was ({across}, {down}; {windows.position_px:g} px are allowed)"
            ": put target or camera back into place"
        )
    if not abs(moved.turn_deg) <= windows.turn_deg:
        found.append(
            f"it is turned by {moved.turn_deg:+.2f} degrees ({windows.turn_deg:g} are allowed): put target or camera "
            "back into place"
        )
    scale = 100.0 * (moved.scale - 1.0)
    if not abs(scale) <= windows.scale_percent:
        found.append(
            f"it looks {abs(scale):.2f} % {'larger' if scale > 0 else 'smaller'} ({windows.scale_percent:g} % is "
            "allowed): millimetres are wrong by as much; check distance and lens, then run 'station calibrate scale'"
        )
    if not moved.bent_px <= BENT_PX:
        found.append(
            f"its shape changed by {moved.bent_px:.1f} px ({BENT_PX:g} px are allowed): the camera or the target is "
            "tilted, put it back and run 'station calibrate scale'"
        )
    return found


def _by_board(before: BgrImage, now: BgrImage, board: Board) -> _Move | str:
    """The similarity that carries the corners then to the corners now, by least squares (Umeyama, IEEE Trans. Pattern
    Analysis and Machine Intelligence 13 (1991) 376-380), and what it leaves over."""
    one, other = find_corners(before, board), find_corners(now, board)
    both, here, there = np.intersect1d(one.ids, other.ids, return_indices=True)
    if len(both) < LEAST_CORNERS:
        return f"{len(both)} corners of the board in common, {LEAST_CORNERS} are needed"
    was, came = _complex(one.pixels[here]), _complex(other.pixels[there])
    was_middle, came_middle = was.mean(), came.mean()
    turn = np.vdot(was - was_middle, came - came_middle) / np.vdot(was - was_middle, was - was_middle).real
    left = came - came_middle - turn * (was - was_middle)
    shift = came_middle - was_middle
    return _Move(
        float(shift.real),
        float(shift.imag),
        math.degrees(float(np.angle(turn))),
        float(abs(turn)),
        math.sqrt(float((np.abs(left) ** 2).mean())),
    )


def _complex(points: NDArray[np.float64]) -> NDArray[np.complex128]:
    return np.asarray(points[:, 0] + 1j * points[:, 1], np.complex128)


def encoded(picture: BgrImage) -> bytes:
    """The picture as the bytes of a PNG file: nothing of it is lost."""
    _, data = cv2.imencode(".png", picture)
    return bytes(data.tobytes())
