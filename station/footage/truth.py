"""What is true of a part, who said so, when, and do people agree?

``truth.jsonl`` is only ever appended. Of each person the newest line about a part counts. Where all say the same that
is the truth; where two differ the part is *disputed* and counts in no figure, until someone settles it by a line that
says so with a note. A recorded simulator or an imported label counts as one person, under its own name.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from station.core.errors import DataRefused, DetectorFault
from station.core.part import Box
from station.footage import lines
from station.footage.book import TRUTH, Footage, stamped

OK = "ok"


@dataclass(frozen=True, slots=True)
class Mark:
    """One person's word about one part.

    Attributes:
        part: Key of the part.
        truth: ``ok`` or the defect class that matters most.
        person: Who said so.
        at: When, ISO 8601.
        boxes: ``(class, box)`` in part pixels, where known.
        note: Free words.
        settles: It decides whatever others said.
    """

    part: str
    truth: str
    person: str
    at: str
    boxes: tuple[tuple[str, Box], ...] = ()
    note: str | None = None
    settles: bool = False

    def __post_init__(self) -> None:
        if not self.truth or not self.person.strip():
            raise DataRefused("a mark needs a truth ('ok' or a defect class) and the person who says so")
        if self.settles and not (self.note or "").strip():
            raise DataRefused("who settles a dispute writes a note: why is this the truth?")

    def to_row(self) -> dict[str, Any]:
        """As a line of ``truth.jsonl``."""
        row: dict[str, Any] = {"part": self.part, "truth": self.truth, "person": self.person, "at": self.at}
        if self.boxes:
            row["boxes"] = [{"label": label, "xyxy": list(box.xyxy)} for label, box in self.boxes]
        return row | ({"note": self.note} if self.note else {}) | ({"settles": True} if self.settles else {})


@dataclass(frozen=True, slots=True)
class Truths:
    """What is true of the parts of a footage.

    Attributes:
        agreed: Truth by key, where it is known and nobody differs (or it was settled).
        disputed: What was said by whom, by key, where people differ.
        marks: Every mark that counts, by key.
    """

    agreed: dict[str, str]
    disputed: dict[str, tuple[Mark, ...]]
    marks: dict[str, tuple[Mark, ...]]


def mark(footage: Footage, marks: Sequence[Mark], *, classes: Iterable[str] | None = None) -> None:
    """Adds marks; durable when it returns.

    Args:
        footage: Whose parts they are about.
        marks: What was said.
        classes: Classes of the recipe; a truth that is none of them is refused. ``None`` takes any.

    Raises:
        DataRefused: A part or a class is unknown, or the disk refuses; nothing of it counts.
    """
    known = None if classes is None else {OK, *classes}
    for it in marks:
        footage.part(it.part)
        for said in (it.truth, *(label for label, _ in it.boxes)):
            if known is not None and said not in known:
                raise DataRefused(f"{said!r} is no truth here: name one of {', '.join(sorted(known))}")
    lines.append(footage.folder / TRUTH, (it.to_row() for it in marks))


def truths(footage: Footage) -> Truths:
    """What is true of the footage's parts now.

    Raises:
        DataRefused: The file is damaged, or names a part that is not there.
    """
    by_part: dict[str, dict[str, Mark]] = {}
    settled: dict[str, Mark] = {}
    path = str(footage.folder / TRUTH)  # once: a footage may have a hundred thousand lines
    for number, row in enumerate(lines.read(footage.folder / TRUTH), start=1):
        it = _mark_from(row, f"line {number} of {path}")
        if it.part not in footage:
            raise DataRefused(f"line {number} of {path} is about {it.part!r}, which is no part here")
        by_part.setdefault(it.part, {})[it.person] = it
        if it.settles:
            settled[it.part] = it
        elif it.part in settled and settled[it.part].person == it.person:
            del settled[it.part]  # who settled it says something else now
    agreed: dict[str, str] = {}
    disputed: dict[str, tuple[Mark, ...]] = {}
    for key, said in by_part.items():
        if key in settled:
            agreed[key] = settled[key].truth
        elif len({it.truth for it in said.values()}) == 1:
            agreed[key] = next(iter(said.values())).truth
        else:
            disputed[key] = tuple(said.values())
    return Truths(agreed, disputed, {key: tuple(said.values()) for key, said in by_part.items()})


def now_mark(part: str, truth: str, *, person: str, at: datetime, **more: Any) -> Mark:
    """A mark made at this moment."""
    return Mark(part, truth, person, stamped(at), **more)


def parse_box(words: str) -> tuple[str, Box]:
    """``CLASS:x0,y0,x1,y1`` as a class and its box.

    Raises:
        DataRefused: It is none.
    """
    label, _, edges = words.rpartition(":")
    try:
        x0, y0, x1, y1 = map(float, edges.split(","))
        if not label:
            raise ValueError("no class")
        return label, Box(x0, y0, x1, y1)
    except (ValueError, DetectorFault) as error:
        raise DataRefused(f"{words!r} is no box ({error}): write CLASS:x0,y0,x1,y1 in part pixels") from error


def _mark_from(row: dict[str, Any], where: str) -> Mark:
    try:
        boxes = tuple((str(b["label"]), Box(*map(float, b["xyxy"]))) for b in row.get("boxes", ()))
        return Mark(
            part=str(row["part"]),
            truth=str(row["truth"]),
            person=str(row["person"]),
            at=str(row["at"]),
            boxes=boxes,
            note=row.get("note"),
            settles=bool(row.get("settles", False)),
        )
    except (KeyError, TypeError, ValueError, DetectorFault, DataRefused) as error:
        raise DataRefused(f"{where} is no mark ({error}): restore the file from a backup") from error
