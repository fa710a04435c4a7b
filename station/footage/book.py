"""What does a footage hold, where did it come from, and is it still what it was?

A footage is a plain folder that an auditor can read without this program::

    footage/<name>/footage.toml   what it is: when, by whom, from where, with which recipe
                   parts.jsonl    one line per part, only ever appended
                   pictures/      lossless pictures (PNG), or imported files byte for byte
                   truth.jsonl    who said what about which part, only ever appended
                   split.json     which part is for tuning, which for certification
                   looks.jsonl    every evaluation of the certification set

A part is known by the sha256 of its *pixels*: two files of other compression that show the same are the same picture,
and every score is kept under that hash. Pictures are written before the line that names them.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Self

import numpy as np

from station.core.errors import DataRefused, ImageFault
from station.core.part import BgrImage
from station.footage import lines
from station.sources.pictures import decode_picture

ABOUT, PARTS, TRUTH, SPLIT, LOOKS, PICTURES = (
    "footage.toml", "parts.jsonl", "truth.jsonl", "split.json", "looks.jsonl", "pictures",
)  # fmt: skip
_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
MAX_PIXELS = 200_000_000
"""No picture of a footage is decoded beyond this, whatever the recipe allows."""


@dataclass(frozen=True, slots=True)
class About:
    """Where a footage came from.

    Attributes:
        name: Of its folder.
        kind: ``recorded`` on the line or ``imported``.
        made_at: UTC, ISO 8601.
        by: Person or program that made it.
        origin: Source in words, or the path it was imported from.
        station: Station that recorded it.
        recipe: Recipe in force, where one was.
        recipe_sha256: Its hash.
        model: Model in force while recording.
        model_sha256: Its hash.
        optics_sha256: Hash of the optical calibration in force, where there is one.
        mm_per_px: Scale in force while recording; ``None`` where there was none.
        note: Free words.
    """

    name: str
    kind: str
    made_at: str
    by: str
    origin: str
    station: str | None = None
    recipe: str | None = None
    recipe_sha256: str | None = None
    model: str | None = None
    model_sha256: str | None = None
    optics_sha256: str | None = None
    mm_per_px: float | None = None
    note: str | None = None


@dataclass(frozen=True, slots=True)
class Said:
    """What the station said of a part when it was recorded, to hold a replay against.

    Attributes:
        verdict: The evaluation.
        reason: In words.
        scores: Part score of every class, exactly; empty where no model looked.
        recipe_sha256: Recipe in force.
        model_sha256: Model in force.
        preprocess: Hash of its preprocessing.
    """

    verdict: str
    reason: str
    scores: Mapping[str, float]
    recipe_sha256: str
    model_sha256: str | None
    preprocess: str | None


@dataclass(frozen=True, slots=True)
class FootagePart:
    """One part of a footage.

    Attributes:
        key: Its name here, unique: the part id it was recorded under, or the path it was imported from.
        picture: File below the footage's folder; ``None`` where there was none.
        sha256: Of the pixels, see :func:`pixel_hash`; ``None`` where they cannot be read.
        file_sha256: Of the file's bytes.
        width: Pixels.
        height: Pixels.
        serial: Identity of the physical part, where known.
        lot: Production lot, where known.
        source: Device or file it was seen by.
        captured_at: UTC, ISO 8601.
        simulated: Rendered, not photographed.
        fault: Why the picture could not be trusted or read when the part was recorded or imported.
        frame_index: Index of the frame it was cut from.
        origin: ``(x, y)`` of the cut in that frame.
        whole_frame: The picture is a frame no one has looked at yet: a replay checks it as the loop checks frames.
        said: What the station said of it then.
    """

    key: str
    picture: str | None
    sha256: str | None
    file_sha256: str | None
    width: int
    height: int
    source: str
    captured_at: str
    serial: str | None = None
    lot: str | None = None
    simulated: bool = False
    fault: str | None = None
    frame_index: int = 0
    origin: tuple[float, float] = (0.0, 0.0)
    whole_frame: bool = False
    said: Said | None = None

    @property
    def unit(self) -> str:
        """The physical part: its serial where known, else this picture's key."""
        return f"serial:{self.serial}" if self.serial else f"key:{self.key}"

    def to_row(self) -> dict[str, Any]:
        """As a line of ``parts.jsonl``; what is not known is left out."""
        row: dict[str, Any] = {
            name: value
            for name in self.__slots__
            # Not "in (None, False)": 0 is False there, and a width of 0 is a fact.
            if name not in ("said", "origin") and (value := getattr(self, name)) is not None and value is not False
        }
        if self.origin != (0.0, 0.0):
            row["origin"] = list(self.origin)
        if self.said is not None:
            row["said"] = {name: getattr(self.said, name) for name in Said.__slots__} | {
                "scores": dict(self.said.scores)
            }
        return row

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Self:
        """From a line of ``parts.jsonl``.

        Raises:
            TypeError: A field is missing or unknown.
        """
        get = row.get
        if not row.keys() <= _FIELDS:
            raise TypeError(f"unknown: {', '.join(sorted(row.keys() - _FIELDS))}")
        try:
            x, y = get("origin", (0.0, 0.0))
            said = get("said")
            # One by one and by place: a book of 200,000 lines is read before anyone can look at it.
            return cls(
                row["key"],
                get("picture"),
                get("sha256"),
                get("file_sha256"),
                row["width"],
                row["height"],
                row["source"],
                row["captured_at"],
                get("serial"),
                get("lot"),
                get("simulated", False),
                get("fault"),
                get("frame_index", 0),
                (float(x), float(y)),
                get("whole_frame", False),
                None if said is None else Said(**said),
            )
        except KeyError as error:
            raise TypeError(f"{error} is missing") from error


_FIELDS = frozenset(FootagePart.__slots__)


def pixel_hash(image: BgrImage) -> str:
    """sha256 over the picture's size and its BGR ``uint8`` pixels, row by row."""
    digest = hashlib.sha256(f"bgr8 {image.shape[0]}x{image.shape[1]}\n".encode())
    digest.update(np.ascontiguousarray(image).data)
    return digest.hexdigest()


class Footage:
    """One footage, read whole; what is appended goes through :meth:`add`.

    Attributes:
        folder: Where it lies.
        about: Where it came from.
        parts: Its parts in the order in which they were taken.
    """

    def __init__(self, folder: Path, about: About, parts: list[FootagePart]) -> None:
        self.folder, self.about, self.parts = folder, about, parts
        self._by_key = {p.key: p for p in parts}

    @classmethod
    def make(cls, folder: Path, about: About) -> Footage:
        """Begins a footage, or opens one of the same kind to be continued.

        Raises:
            DataRefused: The name is none, something else lies there, or the disk refuses.
        """
        if not re.fullmatch(_NAME, folder.name):
            raise DataRefused(f"{folder.name!r} is no name for a footage: letters, digits, dot, dash, underscore")
        if (folder / ABOUT).exists():
            there = cls.open(folder)
            if there.about.kind != about.kind:
                raise DataRefused(f"{folder} holds {there.about.kind} footage: give the {about.kind} one another name")
            return there
        try:
            if folder.exists() and any(folder.iterdir()):
                raise DataRefused(f"{folder} is not empty and no footage: give another name")
            (folder / PICTURES).mkdir(parents=True, exist_ok=True)
            words = [f"{name} = {json.dumps(value)}" for name in About.__slots__ if (value := getattr(about, name))]
            lines.write_whole(folder / ABOUT, ("\n".join(words) + "\n").encode())
        except OSError as error:
            raise DataRefused(f"{folder} cannot be written ({error}): check the disk and the right to write") from error
        return cls(folder, about, [])

    @classmethod
    def open(cls, folder: Path) -> Footage:
        """Reads a footage; pictures are not touched, see :meth:`faults`.

        Raises:
            DataRefused: It is none, or its files are damaged.
        """
        try:
            about = About(**tomllib.loads((folder / ABOUT).read_text(encoding="utf-8")))
        except FileNotFoundError as error:
            known = ", ".join(names_in(folder.parent)) or "none"
            raise DataRefused(
                f"no footage in {folder} (there: {known}): record one with 'station run --record NAME' or bring one in "
                "with 'station footage import'"
            ) from error
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, TypeError) as error:
            raise DataRefused(f"{folder / ABOUT} cannot be read ({error}): restore it from a backup") from error
        parts: list[FootagePart] = []
        seen: set[str] = set()
        for number, row in enumerate(lines.read(folder / PARTS), start=1):
            try:
                part = FootagePart.from_row(row)
            except (TypeError, ValueError) as error:
                raise DataRefused(
                    f"line {number} of {folder / PARTS} is no part ({error}): restore the file"
                ) from error
            if part.key in seen:
                raise DataRefused(f"line {number} of {folder / PARTS} names {part.key} again: restore the file")
            seen.add(part.key)
            parts.append(part)
        return cls(folder, about, parts)

    def __contains__(self, key: object) -> bool:
        return key in self._by_key

    def part(self, key: str) -> FootagePart:
        """The part of that key.

        Raises:
            DataRefused: There is none.
        """
        try:
            return self._by_key[key]
        except KeyError:
            raise DataRefused(
                f"footage {self.about.name} has no part {key!r}: 'station footage show' lists them"
            ) from None

    def add(self, parts: Sequence[FootagePart]) -> None:
        """Adds parts whose pictures are already on the disk; durable when it returns.

        Raises:
            DataRefused: A key is taken, or the disk refuses; nothing of it counts.
        """
        fresh: set[str] = set()
        for part in parts:
            if part.key in self._by_key or part.key in fresh:
                raise DataRefused(f"footage {self.about.name} has a part {part.key!r} already: give another name")
            fresh.add(part.key)
        lines.append(self.folder / PARTS, (p.to_row() for p in parts))
        self.parts.extend(parts)
        self._by_key.update((p.key, p) for p in parts)

    def keep_picture(self, name: str, data: bytes) -> str:
        """Writes a picture file below ``pictures/``; returns its path in the book. Durable when it returns.

        Raises:
            DataRefused: The name leads out of the folder, or the disk refuses.
        """
        path = f"{PICTURES}/{name}"
        target = self.folder / path
        if os.path.normpath(path) != path or not path.startswith(PICTURES + "/"):
            raise DataRefused(f"{name!r} is no file name for a picture")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            lines.write_whole(target, data)
        except (OSError, ValueError) as error:
            raise DataRefused(f"{target} cannot be written ({error}): check the disk") from error
        return path

    def faults(self, progress: Any = lambda n: None) -> list[str]:
        """Reads every picture and holds it against the book; returns what is not as it was, in words."""
        found = []
        for number, part in enumerate(self.parts, start=1):
            image, fault = read_picture(self.folder, part)
            if image is None and fault != part.fault:
                found.append(f"{part.key}: {fault}")
            progress(number)
        return found


def read_picture(
    folder: Path, part: FootagePart, *, max_pixels: int = MAX_PIXELS
) -> tuple[BgrImage | None, str | None]:
    """The part's picture, checked against the book, or the reason why there is none.

    Args:
        folder: The footage's.
        part: Its line.
        max_pixels: Larger ones are not decoded.

    Returns:
        BGR ``uint8`` ``(height, width, 3)`` and ``None``, or ``None`` and the fault in words.
    """
    if part.picture is None:
        return None, part.fault or "the part has no picture"
    try:
        data = (folder / part.picture).read_bytes()
    except OSError as error:
        return None, f"missing: {part.picture} cannot be read ({error.strerror})"
    try:
        image = decode_picture(data, max_pixels=max_pixels)
    except ImageFault as fault:
        return None, str(fault)
    if part.sha256 is not None and pixel_hash(image) != part.sha256:
        return None, f"changed: {part.picture} does not show the pixels it was recorded with; restore it from a backup"
    return image, None


def is_footage(path: Path) -> bool:
    """Whether a footage lies there."""
    return (path / ABOUT).is_file()


def names_in(root: Path) -> list[str]:
    """Names of the footages below a folder."""
    return sorted(p.parent.name for p in root.glob(f"*/{ABOUT}"))


def find(name: str, root: Path) -> Footage:
    """Opens a footage by its name below ``root``, or by its path.

    Raises:
        DataRefused: There is none.
    """
    return Footage.open(Path(name) if (Path(name) / ABOUT).is_file() else root / name)


def membership_hash(parts: Iterable[FootagePart], truths: Mapping[str, str]) -> str:
    """sha256 over which pictures a set holds and what is true of them: changes when either does.

    Args:
        parts: Of the set.
        truths: Truth by key; a part without one counts as unknown.
    """
    words = sorted(f"{p.key}\0{p.sha256 or ''}\0{truths.get(p.key, '')}" for p in parts)
    return hashlib.sha256("\n".join(words).encode()).hexdigest()


def with_parts(footage: Footage, keys: Iterable[str]) -> list[FootagePart]:
    """The parts of those keys, in the footage's order."""
    wanted = set(keys)
    return [p for p in footage.parts if p.key in wanted]


def stamped(at: datetime) -> str:
    """UTC as it stands in the files: ISO 8601 to the millisecond."""
    return at.isoformat(timespec="milliseconds")
