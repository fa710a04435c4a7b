"""How does recorded material of others become footage? Pictures byte for byte, videos through the trigger.

Every picture of a set becomes one part, unreadable ones too, with their fault. What a set says of a picture becomes a
mark under the set's own name, so that it can be told from a person's word. An import that was cut off goes on where
it stopped; a picture that is there already is not taken again, and one of the same name with other bytes is refused.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from station.core.errors import DataRefused, ImageFault
from station.core.part import Part
from station.core.ports import FrameSource, Trigger
from station.core.timing import Clock
from station.eyes import Eyes, Seen
from station.faults import Faults
from station.footage.book import MAX_PIXELS, About, Footage, FootagePart, pixel_hash, stamped
from station.footage.labelled import Labelled, pictures_of
from station.footage.record import kept_part
from station.footage.truth import Mark, mark, truths
from station.health import FrameWatch
from station.inspection import Inspector
from station.recipe import Recipe
from station.sources.pictures import decode_picture

BATCH = 32
"""Parts per appended block: one fsync of the book each."""


@dataclass(frozen=True, slots=True)
class BroughtIn:
    """What an import did.

    Attributes:
        kind: What the material was.
        added: Parts new in the footage.
        there: Parts that were there already.
        marked: Parts that the set says something of.
        unreadable: Parts whose picture cannot be read.
    """

    kind: str
    added: int
    there: int
    marked: int
    unreadable: int


def bring_in(
    path: Path, folder: Path, *, by: str, clock: Clock, progress: Callable[[int], None] = lambda n: None
) -> BroughtIn:
    """Imports a folder, an indexed folder, a COCO or a YOLO set into the footage in ``folder``.

    Args:
        path: The material; it is only read.
        folder: The footage, new or of a former import.
        by: Who does it.
        clock: For the note when.
        progress: Called with the number of pictures so far.

    Raises:
        DataRefused: The material or the target cannot be used.
    """
    kind, pictures = pictures_of(path, clock=clock)
    footage = Footage.make(folder, About(folder.name, "imported", stamped(clock.now()), by, str(path.resolve())))
    said = set(truths(footage).marks)
    person = f"import:{path.name}"
    added = there = marked = unreadable = 0
    waiting: list[FootagePart] = []
    marks: list[Mark] = []

    def flush() -> None:
        footage.add(waiting)
        mark(footage, marks)
        waiting.clear()
        marks.clear()

    names: set[str] = set()
    for number, it in enumerate(pictures, start=1):
        key = _key(it.name)
        if key in names:
            raise DataRefused(f"{path} names {it.name} twice: give each picture its own name")
        names.add(key)
        data = _bytes(it)
        if key in footage:
            if footage.part(key).file_sha256 != (hashlib.sha256(data).hexdigest() if data is not None else None):
                raise DataRefused(f"footage {footage.about.name} has another picture {key}: import under another name")
            there += 1
        else:
            part = _taken(footage, it, key, data, clock)
            waiting.append(part)
            unreadable += part.fault is not None
            added += 1
        if it.truth is not None:
            marked += 1
            if key not in said:
                marks.append(Mark(key, it.truth, person, stamped(clock.now()), it.boxes))
        if len(waiting) >= BATCH:
            flush()
        progress(number)
    flush()
    if not names:
        raise DataRefused(f"no picture in {path}: name a folder of pictures")
    return BroughtIn(kind, added, there, marked, unreadable)


def bring_in_video(
    source: FrameSource,
    trigger: Trigger,
    recipe: Recipe,
    folder: Path,
    *,
    by: str,
    station: str,
    clock: Clock,
    progress: Callable[[int], None] = lambda n: None,
) -> BroughtIn:
    """Cuts the parts out of a video as the loop would, and keeps them without loss.

    Args:
        source: The opened video.
        trigger: The recipe's.
        recipe: Whose health limits say which frames can be trusted.
        folder: The footage; begun anew, because part numbers count from its first frame.
        by: Who does it.
        station: First part of the part ids.
        clock: For the note when.
        progress: Called with the number of parts so far.

    Raises:
        DataRefused: The target cannot be used.
    """
    about = About(folder.name, "imported", stamped(clock.now()), by, source.name, station, recipe.name, recipe.sha256)
    footage = Footage.make(folder, about)
    added = there = unreadable = 0
    for part in parts_in(source, trigger, recipe, station=station, clock=clock):
        if str(part.part_id) in footage:  # cut off before: the same video gives the same parts
            there += 1
        else:
            footage.add([kept_part(footage, part)])
            added += 1
        unreadable += part.fault is not None
        progress(added + there)
    return BroughtIn("video", added, there, 0, unreadable)


def parts_in(source: FrameSource, trigger: Trigger, recipe: Recipe, *, station: str, clock: Clock) -> Iterator[Part]:
    """The parts that the loop's own eyes see in a source, not inspected; ends with the source.

    The eyes are the loop's, so which parts there are and how they are cut cannot differ from a live run. Their
    inspector has no model: a fault is found where the recipe's health limits find it, the rest is the caller's.
    """
    seen: list[Seen] = []

    def take(it: Seen) -> None:
        seen.append(it)
        eyes.make_room(1)

    without_model = recipe.model_copy(update={"model": None, "ignore": (), "classes": _unlimited(recipe)})
    eyes = Eyes(
        source=source,
        trigger=trigger,
        watch=FrameWatch(recipe.health, live=source.live),
        inspector=Inspector(without_model, None, key=bytes(32)),
        clock=clock,
        faults=Faults(clock),
        station=station,
        next_number=1,
        stopping=threading.Event(),
        deliver=take,
    )
    going = True
    while going:
        going = eyes.see()
        for it in seen:
            yield it.inspection.part
        seen.clear()


def _unlimited(recipe: Recipe) -> tuple[object, ...]:
    return tuple(c.model_copy(update={"min_area_px": None, "min_area_mm2": None}) for c in recipe.classes)


def _key(name: str) -> str:
    """A name inside the footage: the path in the set, kept inside."""
    parts = [p for p in PurePosixPath(name.replace("\\", "/")).parts if p not in ("/", "..", ".")]
    return "/".join(parts) or "picture"


def _bytes(it: Labelled) -> bytes | None:
    try:
        return it.path.read_bytes() if it.path.is_file() else None
    except OSError:
        return None


def _taken(footage: Footage, it: Labelled, key: str, data: bytes | None, clock: Clock) -> FootagePart:
    picture = sha256 = fault = None
    width = height = 0
    if data is None:
        fault = "missing: there is no such file, or it cannot be read"
    else:
        picture = footage.keep_picture(key, data)
        try:
            image = decode_picture(data, max_pixels=MAX_PIXELS)
            sha256 = pixel_hash(image)
            height, width = image.shape[:2]
        except ImageFault as error:
            fault = str(error)
    return FootagePart(
        key=key,
        picture=picture,
        sha256=sha256,
        file_sha256=None if data is None else hashlib.sha256(data).hexdigest(),
        width=width,
        height=height,
        source=it.name,
        captured_at=stamped(clock.now()),
        serial=it.serial,
        lot=it.lot,
        fault=fault,
        whole_frame=True,
    )
