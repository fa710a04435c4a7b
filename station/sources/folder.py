"""Which photographs lie in a folder, in which order, and what does each show?

With an ``index.csv`` (columns ``image``, and where known ``part``, ``label``, ``mask``) its rows come first and in
their order, then every further file in the same image folders, so that nothing is lost quietly. Without one, every
file below the folder, sorted by path. Each file gives exactly one frame, whatever is in it.
"""

from __future__ import annotations

import csv
import logging
import os
import posixpath
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from station.core.errors import DataRefused, ImageFault, SourceEnded
from station.core.part import BgrImage, Frame
from station.core.timing import Clock
from station.sources.pictures import decode_picture

_log = logging.getLogger(__name__)

INDEX = "index.csv"
_NO_PARTS = frozenset({INDEX, "Thumbs.db", "desktop.ini"})
_MASKS = "masks"


@dataclass(frozen=True, slots=True)
class _Entry:
    """One frame to come: its path below the folder, as written, and what is known of it."""

    path: str
    serial: str | None = None
    truth: str | None = None
    fault: str | None = None


class ImageFolder:
    """A folder of part photographs as a source: every file is delivered, in order, then ``SourceEnded``.

    The list of files is taken once, when the source is made; a file that vanishes afterwards gives a faulty frame.
    """

    live = False

    def __init__(self, path: Path, *, clock: Clock, max_pixels: int) -> None:
        """Lists the folder; decodes nothing yet.

        Args:
            path: The folder.
            clock: For the frames' times: footage carries the time of reading.
            max_pixels: Larger pictures are not decoded.

        Raises:
            DataRefused: No such folder, it cannot be opened, its index cannot be used, or no file lies in it.
        """
        self.name = str(path)
        self._path = path
        self._clock = clock
        self._max_pixels = max_pixels
        if not path.is_dir():
            raise DataRefused(f"no folder {path}; name a folder of pictures or a video file")
        index = path / INDEX
        self._entries = _indexed(path, index) if index.is_file() else list(_below(path, "", skip=frozenset()))
        if not self._entries:
            raise DataRefused(f"no file to inspect in {path}; put pictures there or name another folder")
        self._next = 0
        self._closed = False

    def __len__(self) -> int:
        """Frames that the folder gives in all."""
        return len(self._entries)

    @property
    def dropped(self) -> int:
        """Always 0: a folder waits."""
        return 0

    def read(self, timeout_s: float) -> Frame | None:
        """Decodes the next file; blocks for as long as that takes, ``timeout_s`` is not needed.

        Raises:
            SourceEnded: All files were delivered, or the source is closed.
        """
        if self._closed or self._next >= len(self._entries):
            raise SourceEnded(f"{self.name}: {self._next} of {len(self._entries)} files delivered")
        entry, index = self._entries[self._next], self._next
        self._next += 1
        image, fault = self._picture(entry)
        return Frame(
            index=index,
            source=_printable(entry.path) or self.name,
            captured_at=self._clock.now(),
            monotonic_s=self._clock.monotonic(),
            image=image,
            fault=fault,
            serial=entry.serial,
            truth=entry.truth,
        )

    def close(self) -> None:
        """Nothing stays open; reading afterwards raises ``SourceEnded``."""
        self._closed = True

    def _picture(self, entry: _Entry) -> tuple[BgrImage | None, str | None]:
        if entry.fault is not None:
            return None, entry.fault
        most = 4 * self._max_pixels + 2**24  # no 8-bit picture within the limit is stored in more bytes
        try:
            # Not blocking: what was a file when it was listed may be a pipe by now.
            handle = os.open(self._path / entry.path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
            with open(handle, "rb") as file:
                status = os.fstat(file.fileno())
                if not stat.S_ISREG(status.st_mode):
                    return None, "no regular file"
                if status.st_size > most:
                    return None, f"too large: {status.st_size} bytes; at most {most} are read"
                return decode_picture(file.read(most), max_pixels=self._max_pixels), None
        except FileNotFoundError:
            return None, "missing: there is no such file"
        except (OSError, ValueError) as error:
            return None, f"cannot be read: {getattr(error, 'strerror', None) or error}"
        except ImageFault as fault:
            return None, str(fault)


def _below(root: Path, under: str, *, skip: frozenset[str], seen: frozenset[str] = frozenset()) -> Iterator[_Entry]:
    """Every file below ``root/under``, sorted by path; a folder that cannot be opened gives one faulty entry."""
    real = os.path.realpath(root / under)
    if real in seen:
        return  # a link back to a folder we are in
    try:
        with os.scandir(root / under) as listing:
            # A folder sorts as its files do: "a/" after "a.png".
            found = sorted((e.name + "/" if e.is_dir() else e.name, e.is_file() or e.is_symlink()) for e in listing)
    except OSError as error:
        if not under:
            raise DataRefused(f"cannot open the folder {root}: {error.strerror}; grant the right to read it") from error
        yield _Entry(under, fault=f"folder cannot be opened: {error.strerror}")
        return
    for name, is_file in found:
        path = posixpath.join(under, name.rstrip("/"))
        if name.startswith(".") or name in _NO_PARTS or path in skip:
            continue
        if name.endswith("/"):
            if name != _MASKS + "/":
                yield from _below(root, path, skip=skip, seen=seen | {real})
        elif is_file:
            yield _Entry(path)


def _indexed(root: Path, index: Path) -> list[_Entry]:
    """The index's rows in their order, then the files beside them that it does not list."""
    rows = _rows(index)
    masks = frozenset(posixpath.normpath(row["mask"]) for row in rows.values() if row.get("mask"))
    entries, listed = [], set()
    for line, row in rows.items():
        path = row["image"]
        plain = posixpath.normpath(path) if path else ""
        if plain and plain in listed:
            _log.warning("%s line %d lists %s again; taken once", index, line, path)
            continue
        listed.add(plain)
        fault = None
        if not path:
            fault = f"{INDEX} line {line} names no image"
        elif plain.startswith(("/", "..")) or "\0" in plain or Path(plain).is_absolute():
            fault = f"{INDEX} line {line} points outside the folder"
        entries.append(_Entry(path, row.get("part") or None, row.get("label") or None, fault))
    folders = {posixpath.dirname(posixpath.normpath(e.path)) for e in entries if e.fault is None}
    skip = masks | {posixpath.dirname(mask) for mask in masks} - folders
    further: dict[str, _Entry] = {}
    for folder in sorted(folders):
        if (root / folder).is_dir():
            further |= {e.path: e for e in _below(root, folder, skip=skip) if e.path not in listed}
    if further:
        _log.info("%s: %d files lie beside its pictures that %s does not list", root, len(further), INDEX)
    return entries + [further[path] for path in sorted(further)]


def _rows(index: Path) -> dict[int, dict[str, str]]:
    try:
        with index.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            if "image" not in (reader.fieldnames or ()):
                raise DataRefused(f"{index} has no column 'image' (it has {reader.fieldnames}); name it in line 1")
            rows = {}
            for row in reader:
                rows[reader.line_num] = {
                    name: row[name] or "" for name in ("image", "part", "label", "mask") if name in row
                }
            return rows
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataRefused(f"{index} cannot be read as CSV in UTF-8: {error}; mend it or remove it") from error


def _printable(path: str) -> str:
    """A name that is no text on disk becomes text that can be stored."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
