"""What is the one score of a physical part that was pictured several times?

A promise needs one score per part: pictures of one part are no independent witnesses. This station judges every
picture by itself, so a defective part passes as soon as *one* picture that shows its defect passes, and a good part is
stopped as soon as one picture is: of a defective part the lowest score over its defective pictures counts, of a good
one the highest. That is the careful reading; a station that waits for all views of a part would miss fewer.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from station.calibration.certificate import EVERY_CLASS
from station.core.errors import DataRefused
from station.footage.columns import Judged
from station.footage.table import Table
from station.footage.truth import OK, Truths


@dataclass(slots=True)
class Unit:
    """A physical part with the scores of its pictures.

    Attributes:
        name: Its serial, or the key of its only picture.
        keys: Its pictures in the footage.
        lot: Where known.
        people: How many people's marks agree on its pictures, the fewest over them; imports and simulators are none.
        views: ``(truth, scores of every class)`` of each picture that was inspected and whose truth is known.
        left_out: Its pictures that were not inspected, are disputed, or that nobody marked.
    """

    name: str
    keys: list[str]
    lot: str = ""
    people: int = 0
    views: list[tuple[str, NDArray[np.float64]]] = field(default_factory=list)
    left_out: int = 0

    @property
    def defective(self) -> bool:
        """Whether any of its pictures shows a defect."""
        return any(truth != OK for truth, _ in self.views)

    def labels(self) -> list[str]:
        """Defect classes that its pictures show."""
        return sorted({truth for truth, _ in self.views if truth != OK})

    def score(self, label: str, classes: Sequence[str]) -> float:
        """The score that the limit of ``label`` judges: its own class's, or the largest for every class.

        Args:
            label: A class, or :data:`station.calibration.certificate.EVERY_CLASS`.
            classes: In the order of the scores.
        """
        joint = label == EVERY_CLASS
        chosen = [s for t, s in self.views if not self.defective or (t != OK if joint else t == label)]
        values = [float(s.max() if joint else s[classes.index(label)]) for s in chosen]
        return min(values) if self.defective else max(values)


def units_of(table: Table, judged: Judged, known: Truths) -> dict[str, Unit]:
    """The physical parts of a footage by their names, with scores as the recipe's sizes and regions leave them.

    Args:
        table: The footage's parts.
        judged: Under the recipe; its ``scores`` are used, not its limits.
        known: What is true of the parts.
    """
    units = _bare(table, known)
    for k, part in enumerate(table.parts):
        unit, truth = units[part.unit], known.agreed.get(part.key)
        if truth is None or table.row[k] < 0:
            unit.left_out += 1
        else:
            unit.views.append((truth, judged.scores[k]))
    for name in _known_bad(table, known):
        if not units[name].defective:  # what shows its defect was not inspected: it is no good part for that
            units[name].views, units[name].left_out = [], len(units[name].keys)
    return units


def units_from_csv(path: Path, table: Table, known: Truths, classes: Sequence[str]) -> dict[str, Unit]:
    """The same with scores from a file, such as those that a model's members gave to parts that they never saw.

    Args:
        path: CSV with the columns ``part`` (the serial), ``label`` and one for each class; a row per picture.
        table: The footage's parts; serials that the file does not name have no views.
        known: What is true of the parts.
        classes: Of the recipe.

    Raises:
        DataRefused: The file cannot be read, a column is missing, a score is none, or a label contradicts the footage.
    """
    units = _bare(table, known)
    known_bad = _known_bad(table, known)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file, strict=True))
        for number, row in enumerate(rows, start=2):
            scores = np.array([float(row[c]) for c in classes])
            if not ((scores >= 0.0) & (scores <= 1.0)).all():
                raise DataRefused(f"{path} line {number} has a score that is not in [0, 1]")
            unit = units.get(f"serial:{row['part']}")
            if unit is not None:
                unit.views.append((row["label"], scores))
    except (OSError, UnicodeDecodeError, csv.Error, KeyError, TypeError, ValueError) as error:
        raise DataRefused(
            f"{path} cannot be used ({type(error).__name__} {error}): it needs part, label and a column for each of "
            f"{', '.join(classes)}"
        ) from error
    if not any(unit.views for unit in units.values()):
        raise DataRefused(f"{path} names no part of footage: its column 'part' must hold the serials")
    for unit in units.values():
        if unit.views and unit.defective != (unit.name in known_bad):
            raise DataRefused(f"{path} and the footage do not agree whether {unit.name} is defective: mend one of them")
        unit.left_out = 0 if unit.views else len(unit.keys)
    return units


def _bare(table: Table, known: Truths) -> dict[str, Unit]:
    units: dict[str, Unit] = {}
    people: dict[str, list[int]] = {}
    for part in table.parts:
        unit = units.setdefault(part.unit, Unit(part.unit, []))
        unit.keys.append(part.key)
        unit.lot = unit.lot or part.lot or ""
        people.setdefault(part.unit, []).append(_people(known, part.key, simulated=part.source))
    for name, unit in units.items():
        unit.people = min(people[name])
    return units


def _known_bad(table: Table, known: Truths) -> set[str]:
    return {p.unit for p in table.parts if known.agreed.get(p.key, OK) != OK}


def _people(known: Truths, key: str, *, simulated: str) -> int:
    truth = known.agreed.get(key)
    names = {it.person for it in known.marks.get(key, ()) if it.truth == truth}
    return sum(not name.startswith("import:") and name != simulated for name in names)


def defective_scores(units: Sequence[Unit], label: str, classes: Sequence[str]) -> NDArray[np.float64]:
    """One score of each defective part that the limit of ``label`` judges, ``(parts,)``."""
    chosen = [u for u in units if u.defective and (label == EVERY_CLASS or label in u.labels())]
    return np.array([u.score(label, classes) for u in chosen], np.float64)


def good_scores(units: Sequence[Unit], label: str, classes: Sequence[str]) -> NDArray[np.float64]:
    """One score of each good part, ``(parts,)``."""
    return np.array([u.score(label, classes) for u in units if u.views and not u.defective], np.float64)


def on_side(units: Mapping[str, Unit], side: Mapping[str, str], which: str) -> list[Unit]:
    """The parts of one side of the split, those with views only, in the footage's order."""
    return [u for u in units.values() if u.views and all(side.get(key) == which for key in u.keys)]
