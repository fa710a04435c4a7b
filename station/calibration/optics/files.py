"""Which corrections are in force at this station, and what do they make of a picture?

``calibration/stations/<station>/`` holds ``board.toml`` (what was printed), ``optics.toml`` with ``flat-field.npz``
(the corrections), ``baseline.toml`` with ``baseline.png`` (the target of the check) and ``check.json`` (its newest
outcome).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import cv2
import numpy as np
from pydantic import ValidationError, model_validator

from station.calibration.optics.baseline import Baseline, BaselineRecord, encoded
from station.calibration.optics.board import Board, Points
from station.calibration.optics.flat_field import FlatField, FlatFieldFit, Gains, flattened, packed, spread, unpacked
from station.calibration.optics.lens import Lens
from station.calibration.optics.plane import Plane
from station.calibration.optics.record import Record, read_record, words_of, write_bytes, write_record
from station.calibration.optics.standing import BASELINE, PICTURE
from station.core.errors import ConfigError
from station.core.part import BgrImage, Box

OPTICS, GAINS, BOARD = "optics.toml", "flat-field.npz", "board.toml"


class OpticsRecord(Record):
    """What ``optics.toml`` holds: each part is measured by a command of its own and may be absent."""

    lens: Lens | None = None
    plane: Plane | None = None
    flat_field: FlatField | None = None

    @model_validator(mode="after")
    def _agree(self) -> Self:
        sizes = {name: (it.width, it.height) for name, it in self if it is not None}
        if len(set(sizes.values())) > 1:
            raise ValueError(f"measured on pictures of several sizes: {sizes}")
        if self.plane is not None and self.plane.lens_sha256 != (self.lens.sha256 if self.lens else None):
            raise ValueError("the plane was measured through another lens: run 'station calibrate scale' again")
        return self


@dataclass(frozen=True, slots=True, eq=False)
class Optics:
    """The corrections of one station, ready to be applied.

    Attributes:
        record: As read from the file.
        gains: Of every pixel, ``(height, width, 3)``; ``None`` without a flat field.
    """

    record: OpticsRecord
    gains: Gains | None = None

    @property
    def sha256(self) -> str:
        """Hash of all corrections; kept with every run."""
        return self.record.sha256

    def correct(self, image: BgrImage) -> BgrImage:
        """The picture as the rest of the station sees it: flat field, white balance, then lens; of the same size.

        Raises:
            ImageFault: It is not of the size that was calibrated.
        """
        flat = image if self.gains is None else flattened(image, self.gains)
        return self.rectify(flat)

    def rectify(self, image: BgrImage) -> BgrImage:
        """The picture straightened; itself where no lens was measured.

        Raises:
            ImageFault: It is not of the size that was calibrated.
        """
        return image if self.record.lens is None else self.record.lens.rectify(image)

    def mm_per_px(self, x: float, y: float) -> float:
        """Millimetres per pixel at that place of a corrected frame.

        Raises:
            ConfigError: The scale was not measured.
        """
        return self.plane.mm_per_px(x, y)

    def to_mm(self, pixels: Points) -> Points:
        """Millimetres on the plane for pixels ``(n, 2)`` of a corrected frame.

        Raises:
            ConfigError: The scale was not measured.
        """
        return self.plane.to_mm(pixels)

    def area_mm2(self, box: Box, origin: tuple[float, float] = (0.0, 0.0)) -> float:
        """Square millimetres of a box in a picture that was cut from a corrected frame at ``origin``.

        Raises:
            ConfigError: The scale was not measured.
        """
        return self.plane.area_mm2(box, origin)

    @property
    def plane(self) -> Plane:
        """The plane of the part.

        Raises:
            ConfigError: The scale was not measured.
        """
        if self.record.plane is None:
            raise ConfigError("this station has no scale: run 'station calibrate scale' before giving limits in mm")
        return self.record.plane


def load_optics(folder: Path) -> Optics | None:
    """Reads the corrections of a station; ``None`` where none were measured.

    Raises:
        ConfigError: A file is broken, lost or not the one it was; names the remedy.
    """
    path = folder / OPTICS
    if not path.exists():
        return None
    record = read_record(path, OpticsRecord, remedy="mend or remove it, then run 'station calibrate' again")
    field = record.flat_field
    if field is None:
        return Optics(record)
    data = _read(folder / GAINS, field.gains_sha256, "run 'station calibrate flat-field' again")
    return Optics(record, spread(unpacked(data, name=str(folder / GAINS)), (field.width, field.height)))


def keep_lens(folder: Path, lens: Lens) -> None:
    """Puts a lens into force; a scale measured through another one is dropped, as it is right no longer.

    Raises:
        ConfigError: What is there is broken, does not fit, or the folder cannot be written.
    """
    before = _record(folder)
    stays = before.plane is not None and before.plane.lens_sha256 == lens.sha256
    _keep(folder, before.model_copy(update={"lens": lens, "plane": before.plane if stays else None}))


def keep_plane(folder: Path, plane: Plane) -> None:
    """Puts a scale into force.

    Raises:
        ConfigError: What is there is broken, does not fit, or the folder cannot be written.
    """
    _keep(folder, _record(folder).model_copy(update={"plane": plane}))


def keep_flat_field(folder: Path, fit: FlatFieldFit) -> FlatField:
    """Puts a flat field into force; its gains first, then the record that names their hash.

    Raises:
        ConfigError: What is there is broken, does not fit, or the folder cannot be written.
    """
    data = packed(fit.gains)
    field = FlatField(
        width=fit.size[0],
        height=fit.size[1],
        frames=fit.frames,
        dimmest=fit.dimmest,
        neutral=fit.neutral,
        balance=fit.balance,
        gains_sha256=hashlib.sha256(data).hexdigest(),
    )
    record = _checked(_record(folder).model_copy(update={"flat_field": field}), folder)
    write_bytes(folder / GAINS, data)
    _keep(folder, record)
    return field


def keep_board(folder: Path, board: Board) -> None:
    """Remembers which board was printed.

    Raises:
        ConfigError: The folder cannot be written.
    """
    write_record(folder / BOARD, board, heading="The printed board of this station, in millimetres on the paper.")


def load_board(folder: Path) -> Board:
    """The printed board of a station.

    Raises:
        ConfigError: None was printed, or the file is broken.
    """
    return read_record(folder / BOARD, Board, remedy="run 'station calibrate board'")


def keep_baseline(folder: Path, baseline: Baseline) -> None:
    """Puts a baseline into force; its picture first, then the record that names its hash.

    Raises:
        ConfigError: The folder cannot be written.
    """
    write_bytes(folder / PICTURE, encoded(baseline.picture))
    heading = "The target of the check at shift start; the windows may be changed, then check again."
    write_record(folder / BASELINE, baseline.record, heading=heading)


def load_baseline(folder: Path) -> Baseline:
    """The baseline of a station.

    Raises:
        ConfigError: There is none, or a file is broken, lost or not the one it was.
    """
    remedy = "run 'station calibrate baseline'"
    record = read_record(folder / BASELINE, BaselineRecord, remedy=remedy)
    data = _read(folder / PICTURE, record.picture_sha256, remedy)
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    if picture is None:
        raise ConfigError(f"{folder / PICTURE} is no picture: {remedy}")
    return Baseline(record, np.asarray(picture, np.uint8))


def _record(folder: Path) -> OpticsRecord:
    if not (folder / OPTICS).exists():
        return OpticsRecord()
    return read_record(folder / OPTICS, OpticsRecord, remedy="mend or remove it, then run this again")


def _checked(record: OpticsRecord, folder: Path) -> OpticsRecord:
    """``model_copy`` checks nothing: what is written must be readable again."""
    try:
        return OpticsRecord.model_validate(record.model_dump())
    except ValidationError as error:
        raise ConfigError(
            f"this does not fit what {folder / OPTICS} holds ({words_of(error)}): the camera's settings changed; move "
            "the file away and calibrate anew"
        ) from error


def _keep(folder: Path, record: OpticsRecord) -> None:
    heading = "The camera of this station, as measured by 'station calibrate'. Not to be written by hand."
    write_record(folder / OPTICS, _checked(record, folder), heading=heading)


def _read(path: Path, sha256: str, remedy: str) -> bytes:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path} cannot be read ({error.strerror}): {remedy}") from error
    if hashlib.sha256(data).hexdigest() != sha256:
        raise ConfigError(f"{path} is not the file that was written with the calibration: {remedy}")
    return data
