"""What does the sealed side say of limits that an engineer has fixed? Asking is a look, written down first.

The same question asked twice gives the same answer and is one look; other limits, another model or other sizes on the
same sealed set are another. Limits chosen by ``station tune`` and limits tried here count in the same book.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np

from station.calibration.certificate import Certificate, digest
from station.calibration.certify import SealedPart, issue
from station.calibration.guarantee import DELTA
from station.core.errors import DataRefused
from station.footage.split import SEALED, TUNING, look, looks
from station.footage.table import Rules, Table
from station.footage.trained import trained_units
from station.footage.truth import OK
from station.footage.units import Unit, on_side, units_of
from station.panel.kept_scores import Loaded
from station.panel.tuning import alpha_of
from station.recipe import Recipe

VALID_DAYS = 180
"""As ``station tune``: half a year, unless model, recipe or camera end it sooner."""


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
    question = digest(
        {
            "set": split.hash_of(footage, SEALED),
            "limits": limits,
            "scores": loaded.card.sha256,
            "rules": [c.model_dump(mode="json", exclude={"title"}) for c in recipe.classes],
            "ignore": [r.model_dump(mode="json") for r in recipe.ignore],
        }
    )
    before = looks(footage)
    new = not any(row.get("question") == question for row in before)
    trained = trained_units(footage, loaded.card, loaded.model_folder)
    tuned = {p.unit for p in footage.parts if split.side.get(p.key) == TUNING}

    def issued(count: int) -> Certificate:
        return issue(
            _sealed_parts(units, classes),
            limits,
            alpha={label: alpha_of(recipe, label) for label in labels},
            model_sha256=loaded.card.sha256,
            recipe_sha256=recipe.sha256,
            optics_sha256=footage.about.optics_sha256,
            issued_at=now,
            expires_at=now + timedelta(days=VALID_DAYS),
            looks=count,
            seen=None if trained is None else tuned | trained,
        )

    certificate = issued(len(before) + new)  # refused before it is a look, if it is refused; nobody sees it yet
    if new:
        count = look(
            footage, split, person=person, why=why, at=now, limits=limits, question=question,
            recipe_sha256=recipe.sha256, scores_sha256=loaded.card.sha256, confidence=1.0 - DELTA,
        )  # fmt: skip
        if count != certificate.looks:  # somebody else looked at the same moment
            certificate = issued(count)
    return certificate


def _sealed_parts(units: list[Unit], classes: tuple[str, ...]) -> list[SealedPart]:
    parts = []
    for unit in units:
        labels = unit.labels()
        if not labels:
            parts.append(SealedPart(unit.name, OK, unit.score("*", classes), unit.lot, unit.people))
        for label in labels:  # a part with two kinds of defect is evidence for both limits
            name = unit.name if len(labels) == 1 else f"{unit.name}#{label}"
            parts.append(SealedPart(name, label, unit.score(label, classes), unit.lot, unit.people))
    return parts
