"""How does a line of the book become the part that the station saw?

A recorded part was cut and checked by the loop; its fault, if any, stands in the book. An imported picture is a frame
nobody has looked at, so the loop's own watch checks it here, under the recipe of the replay.
"""

from __future__ import annotations

import hashlib
from datetime import datetime
from pathlib import Path

from station.core.part import Frame, Part, PartId
from station.footage.book import FootagePart, read_picture
from station.health import FrameWatch
from station.recipe import HealthLimits


def part_from(folder: Path, line: FootagePart, number: int, health: HealthLimits) -> Part:
    """The part with its picture, ready for the inspector; whatever is wrong with the picture is its fault.

    Args:
        folder: The footage's.
        line: The part's line in the book.
        number: Its running number in this replay, from 1.
        health: When a frame cannot be trusted.
    """
    image, fault = read_picture(folder, line, max_pixels=health.max_pixels)
    at = datetime.fromisoformat(line.captured_at)
    if image is not None and line.whole_frame:
        fault = FrameWatch(health, live=False).check(Frame(line.frame_index, line.source, at, 0.0, image))
    return Part(
        part_id=PartId(line.key),
        number=number,
        triggered_at=at,
        image=image,
        source=line.source,
        frame_index=line.frame_index,
        origin=line.origin,
        fault=line.fault or fault,
        simulated=line.simulated,
        serial=line.serial,
        lot=line.lot,
    )


def health_hash(health: HealthLimits, *, whole_frame: bool) -> str:
    """Names how pictures were checked: sha256 over the limits and whether the frame's watch looked as well."""
    return hashlib.sha256(f"{whole_frame} {health.model_dump_json()}".encode()).hexdigest()
