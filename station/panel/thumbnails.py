"""How does a part look as small as a stamp? What strips and lists show, so that no screen decodes whole pictures."""

from __future__ import annotations

import threading
from collections import OrderedDict
from pathlib import Path

import cv2
import numpy as np

SIDE = 192
"""Longest side in pixels: the largest stamp on any screen, on a display with two pixels per point."""

KEPT = 512
"""Stamps kept in memory, a few kilobytes each."""

_REDUCED = ((8, cv2.IMREAD_REDUCED_COLOR_8), (4, cv2.IMREAD_REDUCED_COLOR_4), (2, cv2.IMREAD_REDUCED_COLOR_2))


class Thumbnails:
    """Small pictures of parts; remembers the newest. Safe to use from several threads."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, bytes] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, path: Path) -> bytes | None:
        """The picture at ``path`` as a JPEG of at most ``SIDE`` pixels; ``None`` where it cannot be read."""
        key = path.stem
        with self._lock:
            known = self._kept.get(key)
            if known is not None:
                self._kept.move_to_end(key)
                return known
        made = _small(path)
        if made is not None:
            with self._lock:
                self._kept[key] = made
                while len(self._kept) > KEPT:
                    self._kept.popitem(last=False)
        return made


def _small(path: Path) -> bytes | None:
    try:
        stored = np.frombuffer(path.read_bytes(), np.uint8)
    except OSError:
        return None
    # A JPEG can be decoded at an eighth of its size for a tenth of the work; how large it is, its eighth tells.
    eighth = cv2.imdecode(stored, cv2.IMREAD_REDUCED_COLOR_8) if stored.size else None
    if eighth is None:
        return None
    longest = 8 * max(eighth.shape[:2])
    reduced = next((flag for by, flag in _REDUCED if longest >= by * SIDE), cv2.IMREAD_COLOR)
    image = cv2.imdecode(stored, reduced)
    if image is None:
        return None
    scale = SIDE / max(image.shape[:2])
    if scale < 1.0:
        size = [max(1, round(side * scale)) for side in image.shape[1::-1]]
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 80])[1].tobytes()
