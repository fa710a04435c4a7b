"""How does a good part look at the very place where this part is looked at? The reference, laid over the part."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass

import cv2
import numpy as np

from station.calibration.registration import register, warp
from station.panel.reading import Reading
from station.store.queries import PartView

KEPT = 64
"""Aligned pictures kept in memory: a queue's worth."""


@dataclass(frozen=True, slots=True)
class AlignedReference:
    """The reference in the part's own pixels.

    Attributes:
        jpeg: As wide and high as the part's picture.
        good: Whether the alignment can be trusted; if not, the reference is only fitted to the size.
    """

    jpeg: bytes
    good: bool


class Alignment:
    """Lays the recipe's reference over parts; remembers the newest. Safe to use from several threads."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        self._kept: OrderedDict[tuple[str, str, int], AlignedReference] = OrderedDict()
        self._lock = threading.Lock()
        self._one = threading.Lock()

    def reference_on(self, part: PartView) -> AlignedReference | None:
        """The reference for ``part``; ``None`` without a reference or a picture of the part."""
        reference = self._reading.reference_path()
        path = self._reading.image_path(part.image_sha256) if part.image_sha256 else None
        if reference is None or path is None:
            return None
        key = (part.image_sha256 or "", str(reference), reference.stat().st_mtime_ns)
        with self._lock:
            known = self._kept.get(key)
            if known is not None:
                self._kept.move_to_end(key)
                return known
        with self._one:  # one at a time: answers go before nicer pictures
            made = _lay(cv2.imread(str(path)), cv2.imread(str(reference)))
        if made is not None:
            with self._lock:
                self._kept[key] = made
                while len(self._kept) > KEPT:
                    self._kept.popitem(last=False)
        return made


def _lay(part: cv2.typing.MatLike | None, reference: cv2.typing.MatLike | None) -> AlignedReference | None:
    if part is None or reference is None:
        return None
    seen, good = np.asarray(part, np.uint8), np.asarray(reference, np.uint8)
    height, width = seen.shape[:2]
    found = register(seen, good)
    laid = warp(good, found, (width, height)) if found.good else cv2.resize(good, (width, height))
    done, data = cv2.imencode(".jpg", laid, [cv2.IMWRITE_JPEG_QUALITY, 90])
    return AlignedReference(data.tobytes(), found.good) if done else None
