"""How does an export come to stand whole in its folder, or not at all?

Everything is written into a hidden sibling folder, which is renamed at the end. A folder that is in use
is never written into; a former export is replaced whole, and only where nothing of other origin lies in it.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import secrets
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from station.core.errors import DataRefused

log = logging.getLogger(__name__)

MANIFEST = "manifest.json"
KIND = "inspection-station export"
"""Stands in the manifest: by it a former export is recognised."""

_as_json = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode


class NewFolder:
    """The folder of an export while it is written; counts its files."""

    def __init__(self, root: Path) -> None:
        self.files = 0
        self._root = str(root)
        self._made = {""}

    @property
    def entries(self) -> list[str]:
        """Names at the top of the folder so far, sorted."""
        return sorted(os.listdir(self._root))

    def make(self, relative: str) -> None:
        """Makes a folder, ``/`` between its names; there may be one already."""
        if relative not in self._made:
            os.makedirs(os.path.join(self._root, relative), exist_ok=True)
            self._made.add(relative)

    def write(self, relative: str, data: bytes) -> None:
        """Writes one file as it is.

        Raises:
            FileExistsError: A file of that name was written before.
        """
        with open(self._new(relative), "xb", buffering=0) as file:
            file.write(data)

    def open_text(self, relative: str) -> IO[str]:
        """Opens one new text file, UTF-8 with the line ends as given; the caller closes it."""
        return open(self._new(relative), "x", encoding="utf-8", newline="")

    def _new(self, relative: str) -> str:
        self.make(relative.rpartition("/")[0])
        self.files += 1
        return os.path.join(self._root, relative)


class JsonRows:
    """A JSON array written row by row, one line each, so that no list of all samples is held."""

    def __init__(self, file: IO[str]) -> None:
        self.count = 0
        self._file = file

    def add(self, row: Mapping[str, object]) -> None:
        """Writes one row."""
        self._file.write(",\n" if self.count else "\n")
        self._file.write(_as_json(row))
        self.count += 1

    def pour(self, into: IO[str]) -> None:
        """Copies the rows into another file."""
        self._file.seek(0)
        shutil.copyfileobj(self._file, into)


def safe_name(words: str) -> str:
    """``words`` as a file name on every system; where something had to go, a hash keeps different words apart."""
    safe = re.sub(r"[^A-Za-z0-9._-]", "_", words).strip(".")[:100]
    return safe if safe == words else f"{safe}-{hashlib.sha256(words.encode()).hexdigest()[:8]}"


@contextmanager
def whole_folder(target: Path, *, keep_out: Iterable[Path] = ()) -> Iterator[NewFolder]:
    """Gives a new folder to write into; it takes the place of ``target`` where the block ends well.

    Args:
        target: The folder as it shall be called; its parents are made.
        keep_out: Files and folders that must not lie in ``target``, since it may be replaced.

    Raises:
        DataRefused: ``target`` is in use, or the disk refused. Nothing was changed.
    """
    target = target.resolve()
    for path in keep_out:
        if path.resolve().is_relative_to(target):
            raise DataRefused(f"{path} lies in the target folder {target}: choose another folder for the export")
        if target.is_relative_to(path.resolve()):
            raise DataRefused(f"{target} lies in the station's own folder {path}: choose another folder for the export")
    seen = _usable(target)
    mark = secrets.token_hex(4)
    partial, former = (target.with_name(f".{target.name}.{mark}.{word}") for word in ("partial", "former"))
    try:
        partial.mkdir(parents=True)
        yield NewFolder(partial)
        if _listing(target) != seen:
            raise DataRefused(f"{target} was written to by someone else during the export: look there and repeat it")
        _take_place(partial, target, former)
    except OSError as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise DataRefused(
            f"the export could not be written to {target}: {error}; nothing there was changed: free some disk space "
            "or choose another folder"
        ) from error
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def _take_place(partial: Path, target: Path, former: Path) -> None:
    if not target.exists():
        partial.rename(target)
        return
    target.rename(former)
    try:
        partial.rename(target)
    except OSError:
        former.rename(target)
        raise
    shutil.rmtree(former, ignore_errors=True)
    if former.exists():
        log.warning("the former export could not be removed whole: remove %s by hand", former)


def _listing(target: Path) -> Sequence[str] | None:
    return sorted(os.listdir(target)) if target.exists() else None


def _usable(target: Path) -> Sequence[str] | None:
    """What lies in ``target`` now (``None``: there is no such folder), where all of it may go."""
    if target.exists() and not target.is_dir():
        raise DataRefused(f"{target} is a file: name a folder for the export")
    found = _listing(target)
    if not found:
        return found
    try:
        manifest = json.loads((target / MANIFEST).read_bytes())
    except (OSError, ValueError):
        manifest = None
    if not isinstance(manifest, dict) or manifest.get("kind") != KIND:
        raise DataRefused(f"{target} is not empty and is no former export: choose an empty or a new folder")
    foreign = sorted(set(found) - set(manifest.get("entries", ())))
    if foreign:
        raise DataRefused(
            f"{target} is a former export, but {', '.join(foreign[:3])} in it came from elsewhere and would be lost: "
            "move it away, or choose another folder"
        )
    return found
