"""How is the camera of this station measured? One function per step, from pictures or the live camera to files.

::

    board ──> optics (lens) ──> scale (plane) ──> flat-field ──> baseline ──> check, at every start of a shift
                                                                └──> reference (per recipe)

All but ``reference`` want pictures as the camera gives them, not corrected ones.
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

import cv2
import numpy as np

from station.calibration.optics.baseline import Baseline, encoded, make_baseline
from station.calibration.optics.board import LEAST_CORNERS, Board, find_corners
from station.calibration.optics.files import (
    keep_baseline,
    keep_board,
    keep_flat_field,
    keep_lens,
    keep_plane,
    load_baseline,
    load_board,
    load_optics,
)
from station.calibration.optics.flat_field import FlatField, fit_flat_field
from station.calibration.optics.lens import LensFit, View, different, fit_lens
from station.calibration.optics.paper import board_pdf
from station.calibration.optics.plane import Plane, fit_plane
from station.calibration.optics.record import write_bytes
from station.calibration.optics.residuals import residual_picture
from station.calibration.optics.standing import Check, keep_check
from station.calibration.registration import register
from station.config import CameraSource, StationConfig
from station.core.errors import ConfigError, DataRefused, ImageFault, SourceLost
from station.core.part import BgrImage, Box
from station.core.timing import Clock
from station.recipe import load_recipe
from station.sources.camera import Camera
from station.sources.pictures import decode_picture

log = logging.getLogger(__name__)

BOARD_PDF, RESIDUALS = "board.pdf", "residuals.png"
ENDINGS = {".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff"}
MOST_PIXELS = 40_000_000
PATIENCE_S = 15.0
"""A camera that gives no picture for so long is given up."""
STILL_PX = 0.5
"""Two pictures in a row whose corners lie nearer show a board that is held still."""


@dataclass(frozen=True, slots=True, eq=False)
class Shot:
    """One picture as the camera gave it, with its name and the time at which it was taken."""

    name: str
    image: BgrImage
    at: datetime


def shots(
    pictures: Sequence[Path], config: StationConfig, camera: CameraSource | None, *, clock: Clock
) -> Generator[Shot]:
    """The pictures of files and folders, in the order of their names; of the camera, for ever, where none are named.

    Raises:
        DataRefused: A file is no picture, a folder holds none, or the camera gives none.
        ConfigError: Neither pictures nor a camera are named.
    """
    if pictures:
        yield from _from_files(pictures)
        return
    settings = camera or (config.source if isinstance(config.source, CameraSource) else None)
    if settings is None:
        raise ConfigError("no picture is named and the station's source is no camera: name pictures, or give --source")
    source = Camera(settings, clock=clock)
    try:
        since = clock.monotonic()
        while True:
            try:
                frame = source.read(0.5)
            except SourceLost as lost:
                if clock.monotonic() - since > PATIENCE_S:
                    raise DataRefused(str(lost)) from lost
                continue
            if frame is not None and frame.image is not None:
                since = clock.monotonic()
                yield Shot(f"frame {frame.index}", frame.image, frame.captured_at)
            elif clock.monotonic() - since > PATIENCE_S:
                raise DataRefused(f"camera {source.name} gave no picture for {PATIENCE_S:.0f} s: check cable and power")
    finally:
        source.close()


def print_board(folder: Path, board: Board, *, paper: str, printed_mm: float) -> Path:
    """Writes the board's PDF and remembers the board as it is on the paper.

    Args:
        folder: The station's calibration.
        board: As it was meant to be.
        paper: What it is printed on.
        printed_mm: What the ruler of 100 mm measures on the paper.

    Raises:
        DataRefused: It does not fit on the paper, or the print is too far off.
        ConfigError: The folder cannot be written.
    """
    if not abs(printed_mm - 100.0) <= 5.0:
        raise DataRefused(
            f"the ruler measures {printed_mm:g} instead of 100 mm: print again at 100 %, not fitted to page"
        )
    path = folder / BOARD_PDF
    write_bytes(path, board_pdf(board, paper))
    keep_board(folder, board.scaled(printed_mm / 100.0))
    return path


def calibrate_optics(
    folder: Path,
    taken: Iterator[Shot],
    *,
    live: bool,
    views: int,
    seconds: float,
    clock: Clock,
    progress: Callable[[int], None] = lambda n: None,
) -> LensFit:
    """Measures the lens and puts it into force, with a picture of its residuals.

    Args:
        folder: The station's calibration; the board was printed before.
        taken: Pictures of the board.
        live: They come from a camera without end: views are taken while the board is held still at a new place.
        views: So many are wanted from a camera.
        seconds: Longest time for that.
        clock: For that time.
        progress: Called with the number of views so far.

    Raises:
        DataRefused: The views cannot carry a calibration.
        ConfigError: There is no board, or the folder cannot be written.
    """
    board = load_board(folder)
    found: list[View] = []
    size: tuple[int, int] | None = None
    before: View | None = None
    end_s = clock.monotonic() + seconds
    for shot in taken:
        height, width = shot.image.shape[:2]
        if size is not None and size != (width, height):
            raise DataRefused(f"{shot.name} has {width} x {height} pixels, those before {size[0]} x {size[1]}")
        size = (width, height)
        view = View(shot.name, find_corners(shot.image, board))
        if not live or (_still(before, view) and len(different([*found, view], size)[0]) > len(found)):
            found.append(view)
            progress(len(found))
        before = view
        if live and (len(found) >= views or clock.monotonic() > end_s):
            break
    if size is None:
        raise DataRefused("there are no pictures of the board")
    fit = fit_lens(found, size)
    keep_lens(folder, fit.lens)
    write_bytes(folder / RESIDUALS, encoded(residual_picture(fit)))
    return fit


def _still(before: View | None, now: View) -> bool:
    if before is None or len(now.corners) < LEAST_CORNERS:
        return False
    _, here, there = np.intersect1d(before.corners.ids, now.corners.ids, return_indices=True)
    if len(here) < LEAST_CORNERS:
        return False
    moved = before.corners.pixels[here] - now.corners.pixels[there]
    return float(np.linalg.norm(moved, axis=1).mean()) < STILL_PX


def calibrate_scale(folder: Path, taken: Iterator[Shot], *, above_mm: float) -> Plane:
    """Measures millimetres per pixel from one view of the board on the plane of the part, and puts it into force.

    Raises:
        DataRefused: The picture cannot carry it.
        ConfigError: There is no board, or the folder cannot be written.
    """
    board = load_board(folder)
    image = _one(taken).image
    optics = load_optics(folder)
    lens = optics.record.lens if optics is not None else None
    plane = fit_plane(find_corners(image, board), (image.shape[1], image.shape[0]), lens=lens, above_mm=above_mm)
    keep_plane(folder, plane)
    return plane


def calibrate_flat_field(folder: Path, taken: Iterator[Shot], *, frames: int, neutral: bool) -> FlatField:
    """Measures the flat field, and the white balance on a neutral target, and puts them into force.

    Raises:
        DataRefused: The pictures cannot carry it.
        ConfigError: The folder cannot be written.
    """
    return keep_flat_field(folder, fit_flat_field([shot.image for shot in islice(taken, frames)], neutral=neutral))


def take_baseline(folder: Path, taken: Iterator[Shot]) -> Baseline:
    """Keeps a picture of the fixed target, corrected, as what later checks compare with.

    Raises:
        DataRefused: Too little can be seen in it.
        ConfigError: What is in force is broken, or the folder cannot be written.
    """
    shot = _one(taken)
    optics = load_optics(folder)
    picture = shot.image if optics is None else optics.correct(shot.image)
    try:
        board = load_board(folder)
    except ConfigError:
        board = None
    baseline = make_baseline(
        picture,
        made_at=shot.at,
        picture_sha256=hashlib.sha256(encoded(picture)).hexdigest(),
        optics_sha256=optics.sha256 if optics is not None else None,
        board=board,
    )
    keep_baseline(folder, baseline)
    return baseline


def check_camera(folder: Path, taken: Iterator[Shot]) -> Check:
    """Compares the fixed target with its baseline and keeps the outcome, good or bad.

    Raises:
        DataRefused: There is no picture.
        ConfigError: There is no baseline, what is in force is broken, or the folder cannot be written.
    """
    baseline = load_baseline(folder)
    optics = load_optics(folder)
    shot = _one(taken)
    now = optics.sha256 if optics is not None else None
    if now != baseline.record.optics_sha256:
        words = ["the calibration changed since the baseline was taken: run 'station calibrate baseline' first"]
    else:
        try:
            words = baseline.compare(shot.image if optics is None else optics.correct(shot.image))
        except ImageFault as fault:
            words = [str(fault)]
    check = Check(
        at=shot.at, good=not words, words=tuple(words), baseline_sha256=baseline.record.sha256, optics_sha256=now
    )
    keep_check(folder, check)
    return check


def make_reference(config: StationConfig, recipe: str, taken: Iterator[Shot], *, region: Box | None, raw: bool) -> Path:
    """Cuts the picture of a good part out and makes it the recipe's reference.

    Args:
        config: Where recipes and calibration lie.
        recipe: Name of the recipe; the line ``reference`` of its file is written, the rest stays as it is.
        taken: The good part.
        region: The part with a margin, in pixels of the corrected picture; ``None`` takes all of it.
        raw: The picture is as the camera gives it and is corrected first.

    Returns:
        The reference picture, beside the recipe.

    Raises:
        DataRefused: The region lies outside, or parts could not be laid over this picture.
        ConfigError: Recipe or calibration are wrong, or the folder cannot be written.
    """
    load_recipe(recipe, config.recipes)
    shot = _one(taken)
    optics = load_optics(config.optics_folder) if raw else None
    picture = shot.image if optics is None else optics.correct(shot.image)
    if region is not None:
        height, width = picture.shape[:2]
        if region.x0 < 0 or region.y0 < 0 or region.x1 > width or region.y1 > height:
            raise DataRefused(f"the region {region.xyxy} does not lie inside the picture of {width} x {height} pixels")
        picture = region.cut(picture)
    _registrable(picture)
    path = config.recipes / f"{recipe}.reference.png"
    write_bytes(path, encoded(picture))
    _name_reference(config.recipes / f"{recipe}.toml", path.name)
    load_recipe(recipe, config.recipes)
    return path


def _registrable(picture: BgrImage) -> None:
    """Whether a part that lies a little turned would be found by this picture."""
    height, width = picture.shape[:2]
    turn = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), 7.0, 1.0)
    turned = cv2.warpAffine(picture, turn, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    found = register(np.asarray(turned, np.uint8), picture)
    if not found.good:
        raise DataRefused(
            f"parts could not be laid over this picture ({found.words}): take a sharp one of a good part that fills "
            "most of the region"
        )


def _name_reference(path: Path, name: str) -> None:
    """Writes the one line into the recipe; comments and all else stay."""
    text = path.read_text(encoding="utf-8")
    line = f'reference = "{name}"'
    first = re.search(r"(?m)^\s*\[", text)
    head, tables = (text, "") if first is None else (text[: first.start()], text[first.start() :])
    if re.search(r"(?m)^\s*reference\s*=", head):
        head = re.sub(r"(?m)^\s*reference\s*=.*$", lambda _: line, head, count=1)
    else:
        head = re.sub(r"(?m)^(title\s*=.*)$", lambda found: f"{found[1]}\n{line}", head, count=1)
    write_bytes(path, (head + tables).encode())


def _one(taken: Iterator[Shot]) -> Shot:
    shot = next(taken, None)
    if shot is None:
        raise DataRefused("there is no picture")
    return shot


def _from_files(pictures: Sequence[Path]) -> Iterator[Shot]:
    for place in pictures:
        files = [place]
        if place.is_dir():
            files = sorted(p for p in place.iterdir() if p.suffix.lower() in ENDINGS and not p.name.startswith("."))
            if not files:
                raise DataRefused(f"{place} holds no pictures ({', '.join(sorted(ENDINGS))}): name another folder")
        for file in files:
            try:
                image = decode_picture(file.read_bytes(), max_pixels=MOST_PIXELS)
                at = datetime.fromtimestamp(file.stat().st_mtime, UTC)
            except OSError as error:
                raise DataRefused(f"{file} cannot be read: {error.strerror}") from error
            except ImageFault as fault:
                raise DataRefused(f"{file} is no picture that can be used: {fault}") from fault
            yield Shot(file.name, image, at)
