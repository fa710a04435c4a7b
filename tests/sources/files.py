"""Which pictures and videos do the tests of the sources play, and how are the bad ones made?"""

from __future__ import annotations

import csv
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]


def picture(number: int = 0, *, width: int = 40, height: int = 30) -> Image:
    """A picture told from others by its grey level, (height, width, 3); blue left, red right."""
    image = np.full((height, width, 3), 20 + 5 * number, np.uint8)
    image[:, : width // 2, 0] = 230
    image[:, width // 2 :, 2] = 230
    return image


def number_of(image: Image) -> int:
    """Which ``picture`` this is, even after a lossy coder."""
    return round((float(np.median(image[:, :, 1])) - 20) / 5)


def encoded(image: NDArray[np.generic], suffix: str = ".png") -> bytes:
    """The bytes of a picture file."""
    done, data = cv2.imencode(suffix, image)
    assert done
    return bytes(data.tobytes())


def png(width: int, height: int, *, bits: int = 8, colour: int = 0, rows: bytes = b"", extra: bytes = b"") -> bytes:
    """A PNG written by hand, with whatever header."""
    ihdr = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    parts = [chunk(b"IHDR", ihdr), extra, chunk(b"IDAT", zlib.compress(rows, 9)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def chunk(name: bytes, data: bytes) -> bytes:
    """One chunk of a PNG."""
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def write_video(path: Path, count: int, *, coder: str = "MJPG", width: int = 64, height: int = 48) -> Path:
    """A video whose frame n is ``picture(n)``."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*coder), 30, (width, height))
    assert writer.isOpened(), f"no coder for {path.name} here"
    for number in range(count):
        writer.write(picture(number, width=width, height=height))
    writer.release()
    return path


def write_tiles(root: Path, rows: list[tuple[str, str, str]], *, draw: Callable[[int], Image] = picture) -> Path:
    """A folder with ``index.csv``: ``rows`` of image, part and label, each with its picture and mask."""
    (root / "images").mkdir(parents=True)
    (root / "masks").mkdir()
    with (root / "index.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "mask", "part", "exposure", "label"])
        for number, (image, part, label) in enumerate(rows):
            mask = f"masks/{number}.png" if label != "ok" else ""
            writer.writerow([image, mask, part, "exp0", label])
            (root / image).write_bytes(encoded(draw(number)))
            if mask:
                (root / mask).write_bytes(encoded(draw(number)[:, :, 0]))
    return root
