"""Are the last stopped parts no accident but one fault, again and again at the same place?

Three parts in a row with one class at one place are hardly three bad parts: something that all of them met is at fault.
The place is taken in the part's *picture*, and that is on purpose. Parts lie turned at random (discs above all), so
what comes from the material or from one part lies elsewhere in every picture. What stays where it is while the parts
turn does not turn with them: the fixture that presses, the tool that strikes, the lamp, or dirt on the lens. Parts
that always lie the same way show tool marks here as well. Whoever wants faults that turn with the part must turn the
places back first (:mod:`station.calibration.registration`).

Pure: no clock, no store. It stops nothing and decides nothing; it is a hint to people.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from station.core.part import Box
from station.core.verdict import Evaluation

IN_A_ROW = 3  # parts that make it systematic
NEAR = 0.10  # largest distance of two centres, as a share of the longer side of the part's picture

_DEFECTIVE = (Evaluation.NOT_OK, Evaluation.NOT_DECIDABLE)


@dataclass(frozen=True, slots=True)
class Stopped:
    """One held part as far as it matters here.

    Attributes:
        number: Running number of the part.
        evaluation: The machine's verdict.
        label: Class that decided, where one did.
        box: Box of the deciding defect in part pixels, where there is one.
        width: Of the part's picture in pixels.
        height: Likewise.
        hidden: Its verdict must not be seen yet (a blind question).
    """

    number: int
    evaluation: Evaluation
    label: str | None
    box: Box | None
    width: int
    height: int
    hidden: bool = False

    def __post_init__(self) -> None:
        if self.width < 1 or self.height < 1:
            raise ValueError(f"the picture of part {self.number} measures {self.width} x {self.height} pixels")


@dataclass(frozen=True, slots=True)
class Systematic:
    """Parts in a row that were stopped for the same at the same place.

    Attributes:
        label: The class.
        count: How many parts, at least :data:`IN_A_ROW`.
        since_number: Number of the first of them.
        words: What it is and what to check, one sentence for the line.
    """

    label: str
    count: int
    since_number: int
    words: str


_NO_TITLES: Mapping[str, str] = MappingProxyType({})


def systematic(stopped: Iterable[Stopped], *, titles: Mapping[str, str] = _NO_TITLES) -> Systematic | None:
    """Looks back from the newest held part for as long as class and place stay the same.

    The row ends at the first part of another class, at another place (farther than :data:`NEAR` from *any* of the row,
    so a place cannot wander), without a box, or hidden. A hidden part ends it whatever its verdict is, so the answer
    tells nothing about it.

    Args:
        stopped: Held parts in any order, without gaps among the newest; passed parts between them do not matter. A
            number that comes twice counts once, as it came last.
        titles: What people call the classes; a class without a title keeps its name.

    Returns:
        The row up to the newest part, or ``None`` where it is shorter than :data:`IN_A_ROW`.
    """
    row: list[tuple[Stopped, _Fault]] = []
    newest_first = sorted({part.number: part for part in stopped}.values(), key=lambda part: -part.number)
    for part in newest_first:
        fault = _fault(part)
        if fault is None or not all(fault.like(other) for _, other in row):
            break
        row.append((part, fault))
    if len(row) < IN_A_ROW:
        return None
    label, first = row[0][1].label, row[-1][0]
    where = _region([part for part, _ in row])
    words = (
        f"{len(row)} parts in a row stopped for {titles.get(label, label)} at the same place ({where}): "
        "check fixture, tool and lens before going on"
    )
    return Systematic(label, len(row), first.number, words)


@dataclass(frozen=True, slots=True)
class _Fault:
    """What decided, and its centre in longer sides of the part's picture."""

    label: str
    centre: tuple[float, float]

    def like(self, other: _Fault) -> bool:
        return self.label == other.label and math.dist(self.centre, other.centre) <= NEAR


def _fault(part: Stopped) -> _Fault | None:
    """The part's fault; ``None`` where it cannot belong to a row."""
    if part.hidden or part.box is None or part.label is None or part.evaluation not in _DEFECTIVE:
        return None
    x, y = part.box.centre
    longer = max(part.width, part.height)
    return _Fault(part.label, (x / longer, y / longer))


def _region(parts: list[Stopped]) -> str:
    """The ninth of the picture in which the mean place lies, as a person would call it."""
    centres = [(part.box.centre, part) for part in parts if part.box is not None]
    across = sum(x / part.width for (x, _), part in centres) / len(centres)
    down = sum(y / part.height for (_, y), part in centres) / len(centres)
    column = "left" if across < 1 / 3 else "right" if across > 2 / 3 else ""
    line = "upper" if down < 1 / 3 else "lower" if down > 2 / 3 else ""
    if line and column:
        return f"{line} {column}"
    return column or {"upper": "top", "lower": "bottom", "": "middle"}[line]
