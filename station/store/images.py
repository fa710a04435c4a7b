"""Where do the pictures of the parts lie, and how much disk may they take?

A picture is encoded once (JPEG), named by the sha256 of its bytes and written whole or not at all:
temporary file, fsync, rename, fsync of the folder. The row that names it is committed afterwards.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import math
import os
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from station.core.errors import DiskFull, LedgerFault
from station.core.part import BgrImage, check_bgr

JPEG_QUALITY = 95


@dataclass(frozen=True, slots=True)
class EncodedImage:
    """A picture ready for the disk.

    Attributes:
        sha256: Hash of ``data``, its name.
        data: JPEG bytes.
        width: Pixels.
        height: Pixels.
    """

    sha256: str
    data: bytes
    width: int
    height: int


def encode(image: BgrImage) -> EncodedImage:
    """Encodes a part picture for the store; ``image`` is BGR ``(height, width, 3)`` uint8."""
    check_bgr(image)
    done, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    if not done:
        raise LedgerFault(f"the picture of {image.shape[1]} x {image.shape[0]} pixels could not be encoded")
    raw = data.tobytes()
    return EncodedImage(hashlib.sha256(raw).hexdigest(), raw, image.shape[1], image.shape[0])


def image_path(folder: Path, sha256: str) -> Path:
    """Where in an image folder the picture of that name lies (whether it is there or not)."""
    if len(sha256) != 64 or not all(c in "0123456789abcdef" for c in sha256):
        raise LedgerFault(f"{sha256!r} is no image hash")
    return folder / sha256[:2] / f"{sha256}.jpg"


class ImageStore:
    """Part pictures on disk by content hash, under a budget."""

    def __init__(
        self, folder: Path, *, budget_bytes: float = 20e9, free_bytes: float = 0.0, durable: bool = True
    ) -> None:
        self.folder = folder
        self._budget = budget_bytes
        self._free = free_bytes
        self._durable = durable
        folder.mkdir(parents=True, exist_ok=True)
        self._used = self._tidy()
        self._unsynced: set[Path] = set()

    @property
    def used_bytes(self) -> int:
        """Bytes of pictures on disk."""
        return self._used

    def path(self, sha256: str) -> Path:
        """Where the picture of that name lies (whether it is there or not)."""
        return image_path(self.folder, sha256)

    def keep(self, images: Sequence[EncodedImage]) -> None:
        """Writes the pictures; when it returns, all of them are durable.

        May be repeated after an error: what is there already is not written again. Until then pictures that
        were written before the error lie on the disk whole and count as used, though no row names them.

        Raises:
            DiskFull: The budget or the free disk does not allow it, and nothing was written; or the disk was full
                in the middle, and some of the pictures may be there.
            LedgerFault: The disk refused; some of the pictures may be there.
        """
        need = sum(len(i.data) for i in images)
        if self._used + need > self._budget:
            raise DiskFull(
                f"part images take {self._used / 1e6:.0f} of {self._budget / 1e6:.0f} MB: raise image_budget_mb "
                "or export and remove old ones"
            )
        try:
            free = shutil.disk_usage(self.folder).free if self._free else math.inf
        except OSError as error:
            raise LedgerFault(f"the picture folder cannot be reached: {error}") from error
        if free - need < self._free:
            raise DiskFull(f"less than {self._free / 1e6:.0f} MB of disk would be left: free some space")
        # Folders stay noted until their fsync went well: after a failed one, a repetition finds the file there.
        folders = self._unsynced
        try:
            for image in images:
                target = self.path(image.sha256)
                if target.exists():
                    continue
                if not target.parent.exists():
                    target.parent.mkdir(parents=True, exist_ok=True)
                    folders.add(self.folder)
                self._write_whole(target, image.data)
                self._used += len(image.data)
                folders.add(target.parent)
            if self._durable:
                for folder in sorted(folders):
                    _sync_folder(folder)
            folders.clear()
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise DiskFull(f"the disk is full: {error}") from error
            raise LedgerFault(f"the part image could not be written: {error}") from error

    def read_bytes(self, sha256: str) -> bytes:
        """The stored JPEG bytes, checked against their name.

        Raises:
            LedgerFault: It is not there or was changed.
        """
        try:
            data = self.path(sha256).read_bytes()
        except OSError as error:
            raise LedgerFault(f"part image {sha256[:12]}… is not on disk: {error}") from error
        if hashlib.sha256(data).hexdigest() != sha256:
            raise LedgerFault(f"part image {sha256[:12]}… was changed on disk")
        return data

    def read(self, sha256: str) -> BgrImage:
        """The stored picture, BGR ``(height, width, 3)`` uint8."""
        image = cv2.imdecode(np.frombuffer(self.read_bytes(sha256), np.uint8), cv2.IMREAD_COLOR)
        if image is None:
            raise LedgerFault(f"part image {sha256[:12]}… cannot be decoded")
        return np.asarray(image, dtype=np.uint8)

    def drop(self, hashes: Iterable[str]) -> int:
        """Removes pictures to make room; returns the bytes won. Those that are gone already count for nothing.

        The ledger notes them first, so the next start finishes what a crash or an error cut off.

        Raises:
            LedgerFault: One cannot be removed; those before it are gone and no longer count as used.
        """
        won = 0
        for sha256 in hashes:
            path = self.path(sha256)
            try:
                size = path.stat().st_size
                path.unlink()
            except FileNotFoundError:
                continue
            except OSError as error:
                raise LedgerFault(
                    f"part image {path} could not be removed ({error.strerror}): let the station's user write there, "
                    "or remove the file by hand"
                ) from error
            won += size
            self._used -= size
        return won

    def _write_whole(self, target: Path, data: bytes) -> None:
        temporary = target.with_suffix(".part")
        try:
            with temporary.open("wb") as file:
                file.write(data)
                if self._durable:
                    file.flush()
                    os.fsync(file.fileno())
            temporary.replace(target)
        except OSError:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)  # a full disk must not be filled further with halves
            raise

    def _tidy(self) -> int:
        used = 0
        for folder in self.folder.iterdir():
            if folder.is_dir():
                for entry in os.scandir(folder):
                    if entry.name.endswith(".part"):
                        os.unlink(entry.path)  # a write that a crash cut off; no row names it
                    else:
                        used += entry.stat().st_size
        return used


def _sync_folder(folder: Path) -> None:
    if os.name == "nt":  # folders cannot be opened for fsync there; NTFS journals the rename
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
