"""How is a line added to a file for ever, and what counts after a crash?

One JSON object per line, only ever appended. A line counts once its end is on the disk: half a line at the end is what
a crash left of one that was never confirmed; it is passed over when reading and cut off before the next is written,
with a word each time. A broken line before the end is damage, and is refused.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from station.core.errors import DataRefused

log = logging.getLogger(__name__)

Row = Mapping[str, Any]


def append(path: Path, rows: Iterable[Row]) -> None:
    """Adds lines; when it returns, they are on the disk. Blocks for one fsync.

    Raises:
        DataRefused: The file cannot be written; none or only the first of the lines are there, whole.
    """
    data = "".join(json.dumps(row, separators=(",", ":"), ensure_ascii=False) + "\n" for row in rows).encode()
    if not data:
        return
    try:
        new = not path.exists()
        with path.open("ab+") as file:
            _cut_half_line(file.fileno(), path)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if new:
            sync_folder(path.parent)
    except OSError as error:
        raise DataRefused(f"{path} cannot be written ({error}): check the disk and the right to write there") from error


def read(path: Path) -> list[dict[str, Any]]:
    """All whole lines, in order; none where there is no file.

    Raises:
        DataRefused: The file cannot be read, or a line before the last is no JSON object; says which.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise DataRefused(f"{path} cannot be read ({error}): grant the right to read it") from error
    *whole, rest = data.split(b"\n")
    if rest:
        log.warning("%s ends in half a line (%d bytes), left by a crash: it does not count", path, len(rest))
    if all(line[:1] == b"{" and line[-1:] == b"}" for line in whole):
        try:  # all at once is twice as fast; whatever is wrong is found line by line below
            at_once = json.loads(b"[" + b",".join(whole) + b"]")
            if len(at_once) == len(whole):
                return list(at_once)
        except ValueError:
            pass
    rows = []
    for number, line in enumerate(whole, start=1):
        try:
            row = json.loads(line)
        except ValueError as error:
            raise DataRefused(
                f"line {number} of {path} is no JSON ({error}): restore the file from a backup"
            ) from error
        if not isinstance(row, dict):
            raise DataRefused(f"line {number} of {path} is no JSON object: restore the file from a backup")
        rows.append(row)
    return rows


def write_whole(path: Path, data: bytes) -> None:
    """Writes a file whole or not at all, durable when it returns.

    Raises:
        OSError: The disk refused; a former file of that name is still there.
    """
    temporary = path.with_name(path.name + ".part")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)  # a full disk must not be filled further with halves
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Makes new names in a folder durable."""
    if os.name == "nt":  # folders cannot be opened for fsync there; NTFS journals the rename
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _cut_half_line(descriptor: int, path: Path) -> None:
    size = os.lseek(descriptor, 0, os.SEEK_END)
    keep = size
    while keep:
        begin = max(keep - 65536, 0)
        os.lseek(descriptor, begin, os.SEEK_SET)
        at = os.read(descriptor, keep - begin).rfind(b"\n")
        keep = begin + at + 1
        if at >= 0:
            break
    if keep != size:
        log.warning("%s ended in half a line (%d bytes), left by a crash: cut off", path, size - keep)
        os.ftruncate(descriptor, keep)
