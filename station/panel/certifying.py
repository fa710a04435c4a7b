"""What does the sealed side say of the limits on the workbench? Each class by its own limit, as its severity asks."""

from __future__ import annotations

from datetime import datetime

import numpy as np

from station.calibration.certificate import Certificate
from station.calibration.guarantee import DELTA
from station.core.errors import DataRefused
from station.footage.sealed import certified
from station.footage.split import SEALED, TUNING
from station.footage.table import Rules, Table
from station.footage.trained import trained_units
from station.footage.units import on_side, units_of
from station.panel.kept_scores import Loaded
from station.panel.tuning import alpha_of
from station.recipe import Recipe


def certify(loaded: Loaded, recipe: Recipe, *, person: str, why: str, now: datetime) -> Certificate:
    """Certifies the limits of ``recipe`` on the sealed side of a footage. This is a look.

    Each class that the sealed side shows is certified by its own limit, at the miss rate of its severity.

    Args:
        loaded: The footage, scored whole and dealt.
        recipe: With the limits, fixed.
        person: Who looks.
        why: For the book of looks.
        now: The time, with its zone.

    Raises:
        DataRefused: The footage is not dealt or not scored whole, its sealed side has no defective part or a score
            that is none, or the disk refuses the look; nobody has looked then.
    """
    footage, split = loaded.footage, loaded.split
    if split is None:
        raise DataRefused(f"{footage.about.name} is not split: deal a sealed side first")
    sealed_rows = [k for k, p in enumerate(loaded.table.parts) if split.side.get(p.key) == SEALED]
    if loaded.unscored:
        raise DataRefused(f"{len(loaded.unscored)} parts were never shown to the model: score the footage first")
    side = Table(
        [loaded.table.parts[k] for k in sealed_rows],
        loaded.table.columns,
        loaded.table.row[np.array(sealed_rows, np.int64)],
        [loaded.table.faults[k] for k in sealed_rows],
    )
    classes = side.columns.classes
    every = units_of(side, side.judged(Rules.of(recipe, loaded.mm_per_px)), loaded.known)
    units = on_side(every, split.side, SEALED)
    labels = sorted({label for unit in units for label in unit.labels()})
    if not labels:
        raise DataRefused("no defective part on the sealed side: mark some, or add parts; nobody has looked")
    strangers = [label for label in labels if label not in recipe.limits]
    if strangers:
        raise DataRefused(
            f"the sealed side shows {', '.join(strangers)}, for which recipe {recipe.name} has no limit; mark those "
            "parts anew, or name the class in the recipe; nobody has looked"
        )
    limits = {label: recipe.limits[label].pass_below for label in labels}
    trained = trained_units(footage, loaded.card, loaded.model_folder)
    tuned = {p.unit for p in footage.parts if split.side.get(p.key) == TUNING}
    return certified(
        footage, split, units, classes, limits,
        alpha={label: alpha_of(recipe, label) for label in labels}, delta=DELTA, recipe=recipe,
        scores_sha256=loaded.card.sha256, seen=None if trained is None else tuned | trained,
        person=person, why=why, now=now,
    )  # fmt: skip
