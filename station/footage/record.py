"""How is footage recorded beside a running line without the line ever waiting for it?

``on_recorded`` hands each inspection over after its commit; a bounded queue takes it, a thread of its own encodes and
writes. A full queue or a full disk costs footage, never a part: what was not recorded is counted, logged and said at
the end. Pictures are PNG, because the ledger's JPEG would give other scores.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import queue
import threading

import cv2

from station.core.errors import DataRefused, StationError
from station.core.part import BgrImage, Part
from station.core.verdict import Inspection
from station.footage.book import Footage, FootagePart, Said, pixel_hash, stamped
from station.footage.truth import mark, now_mark

log = logging.getLogger(__name__)

QUEUE_PARTS = 64
"""Parts that may wait for the recorder's thread: at 10 parts/s the disk may stall for six seconds."""

BATCH = 16
"""Parts per appended block, where as many wait: one fsync of the book each."""

_STORED = [cv2.IMWRITE_PNG_COMPRESSION, 0]
"""Not compressed. Measured on parts of 375 x 375 pixels: encoding takes 6 ms instead of 16 beside the running line, and
decoding 1.3 instead of 4.6, which is a seventh of an inference; for that a disc takes 413 instead of 270 KiB."""


class Recorder:
    """Writes inspected parts into a footage; ``close`` it when the run is over.

    Args:
        footage: Where to.
        queue_parts: Parts that may wait.

    Attributes:
        recorded: Parts in the footage's book by now.
        left_out: Parts that are not in it, and will not be.
    """

    def __init__(self, footage: Footage, *, queue_parts: int = QUEUE_PARTS) -> None:
        self.footage = footage
        self.recorded = 0
        self.left_out = 0
        self.trouble: str | None = None
        self._queue: queue.Queue[Inspection | None] = queue.Queue(maxsize=queue_parts)
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._write, name="station-recorder", daemon=True)
        self._thread.start()

    def offer(self, inspection: Inspection) -> None:
        """Takes an inspection if there is room; never blocks and never raises."""
        try:
            self._queue.put_nowait(inspection)
        except queue.Full:
            self._leave_out(inspection, "the disk is slower than the line")

    def close(self) -> str:
        """Writes what waits and ends the thread; blocks for as long as that takes. Says what was recorded."""
        if self._thread.is_alive():
            self._queue.put(None)
            self._thread.join()
        words = f"{self.recorded} parts recorded in {self.footage.folder}"
        return f"{words}; {self.left_out} NOT recorded ({self.trouble})" if self.left_out else words

    def _write(self) -> None:
        going = True
        while going:
            batch = [self._queue.get()]
            with contextlib.suppress(queue.Empty):
                while len(batch) < BATCH:
                    batch.append(self._queue.get_nowait())
            going = None not in batch
            self._keep([it for it in batch if it is not None])

    def _keep(self, batch: list[Inspection]) -> None:
        """Pictures first, then their lines, then what a simulator knows of them."""
        lines: list[tuple[Inspection, FootagePart]] = []
        for inspection in batch:
            try:
                if any(it.part.part_id == inspection.part.part_id for it, _ in lines):
                    raise DataRefused(f"part {inspection.part.part_id} came twice")  # before its picture is replaced
                lines.append((inspection, recorded_part(self.footage, inspection)))
            except Exception as error:  # whatever it is, the line goes on and the loss is counted
                self._leave_out(inspection, str(error) or type(error).__name__)
        try:
            self.footage.add([line for _, line in lines])
            self.recorded += len(lines)
            known = [(it.part, it.part.truth) for it, _ in lines if it.part.truth is not None]
            mark(self.footage, [now_mark(p.part_id, t, person=p.source, at=p.triggered_at) for p, t in known])
        except Exception as error:
            for inspection, line in lines:
                if line.key not in self.footage:
                    self._leave_out(inspection, str(error) or type(error).__name__)
            log.warning("footage %s: %s", self.footage.about.name, error)

    def _leave_out(self, inspection: Inspection, why: str) -> None:
        with self._lock:
            self.left_out += 1
            first, self.trouble = self.trouble is None or self.trouble != why, why
        if first:
            log.warning("part %s was not recorded: %s", inspection.part.part_id, why)


def recorded_part(footage: Footage, inspection: Inspection) -> FootagePart:
    """Writes the part's picture and returns its line, not yet in the book.

    Raises:
        DataRefused: The picture cannot be written.
    """
    part = inspection.part
    found = inspection.detections
    said = Said(
        inspection.verdict.evaluation.value,
        inspection.verdict.reason,
        dict(found.scores) if found is not None else {},
        inspection.recipe_sha256,
        inspection.model.sha256 if inspection.model else None,
        inspection.preprocess,
    )
    return kept_part(footage, part, said=said)


def kept_part(footage: Footage, part: Part, *, said: Said | None = None) -> FootagePart:
    """Writes a part's picture without loss and returns its line, not yet in the book.

    Raises:
        DataRefused: The picture cannot be written.
    """
    key = str(part.part_id)
    if key in footage:
        raise DataRefused(f"footage {footage.about.name} has a part {key} already: record under another name")
    picture = sha256 = file_sha256 = None
    width = height = 0
    if part.image is not None:
        data = png(part.image)
        picture = footage.keep_picture(f"{key}.png", data)
        sha256, file_sha256 = pixel_hash(part.image), hashlib.sha256(data).hexdigest()
        height, width = part.image.shape[:2]
    return FootagePart(
        key=key,
        picture=picture,
        sha256=sha256,
        file_sha256=file_sha256,
        width=width,
        height=height,
        source=part.source,
        captured_at=stamped(part.triggered_at),
        serial=part.serial,
        lot=part.lot,
        simulated=part.simulated,
        fault=part.fault,
        frame_index=part.frame_index,
        origin=part.origin,
        said=said,
    )


def png(image: BgrImage) -> bytes:
    """The picture as PNG bytes.

    Raises:
        StationError: It cannot be encoded.
    """
    done, data = cv2.imencode(".png", image, _STORED)
    if not done:
        raise StationError(f"the picture of {image.shape[1]} x {image.shape[0]} pixels could not be encoded")
    return data.tobytes()
