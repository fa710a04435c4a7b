"""What does the sealed side of a footage say of limits that were fixed before? Asking is a look, written down first.

The same question asked twice gives the same answer and is one look; other limits, another model or other sizes on the
same sealed set are another, wherever they are asked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from datetime import datetime, timedelta

from station.calibration.certificate import EVERY_CLASS, Certificate, digest
from station.calibration.certify import SealedPart, issue
from station.core.errors import DataRefused
from station.footage.book import Footage
from station.footage.split import SEALED, Split, look, looks
from station.footage.truth import OK
from station.footage.units import Unit
from station.recipe import Recipe

VALID_DAYS = 180
"""A certificate expires after half a year unless model, recipe or camera end it sooner."""


def certified(
    footage: Footage,
    split: Split,
    units: Sequence[Unit],
    classes: Sequence[str],
    limits: Mapping[str, float],
    *,
    alpha: Mapping[str, float],
    delta: float,
    recipe: Recipe,
    scores_sha256: str,
    seen: Set[str] | None,
    person: str,
    why: str,
    now: datetime,
) -> Certificate:
    """Certifies fixed limits on the sealed side. This is a look, unless the same was asked before.

    Args:
        footage: Whose.
        split: How it was dealt.
        units: The physical parts of the sealed side with their scores.
        classes: Of the scores.
        limits: ``pass_below`` by class, or one for :data:`~station.calibration.certificate.EVERY_CLASS`.
        alpha: Miss rate to show, by the same keys.
        delta: Chance that any claim is wrong.
        recipe: With these limits.
        scores_sha256: Of the model, or of the file that the scores came from.
        seen: Names of all parts used in training or tuning; ``None`` if nobody knows.
        person: Who looks.
        why: For the book of looks.
        now: The time, with its zone.

    Raises:
        DataRefused: The sealed side cannot answer, or the disk refuses the look; nobody has looked then.
    """
    parts = _parts(units, limits, classes)
    for label in limits:
        if not any(p.truth != OK and label in (EVERY_CLASS, p.truth) for p in parts):
            words = "no defective part" if label == EVERY_CLASS else f"no part with {label}"
            raise DataRefused(f"{words} on the sealed side: mark some, or split by another share; nobody looked")
    question = digest(
        {
            "set": split.hash_of(footage, SEALED),
            "limits": dict(limits),
            "scores": scores_sha256,
            "rules": [c.model_dump(mode="json", exclude={"title"}) for c in recipe.classes],
            "ignore": [r.model_dump(mode="json") for r in recipe.ignore],
        }
    )
    before = looks(footage)
    new = not any(row.get("question") == question for row in before)

    def issued(count: int) -> Certificate:
        return issue(
            parts,
            limits,
            alpha=alpha,
            model_sha256=scores_sha256,
            recipe_sha256=recipe.sha256,
            optics_sha256=footage.about.optics_sha256,
            issued_at=now,
            expires_at=now + timedelta(days=VALID_DAYS),
            looks=count,
            delta=delta,
            seen=seen,
        )

    certificate = issued(len(before) + new)  # refused before it is a look, if it is refused; nobody sees it yet
    if new:
        count = look(
            footage, split, person=person, why=why, at=now, limits=dict(limits), question=question,
            recipe_sha256=recipe.sha256, scores_sha256=scores_sha256, alpha=dict(alpha), confidence=1.0 - delta,
        )  # fmt: skip
        if count != certificate.looks:  # somebody else looked at the same moment
            certificate = issued(count)
    return certificate


def _parts(units: Sequence[Unit], limits: Mapping[str, float], classes: Sequence[str]) -> list[SealedPart]:
    joint = EVERY_CLASS in limits
    parts = []
    for unit in units:
        if not unit.defective or joint:
            truth = "+".join(unit.labels()) if unit.defective else OK
            parts.append(SealedPart(unit.name, truth, unit.score(EVERY_CLASS, classes), unit.lot, unit.people))
            continue
        for label in unit.labels():  # a part with two kinds of defect is evidence for both limits
            name = unit.name if len(unit.labels()) == 1 else f"{unit.name}#{label}"
            parts.append(SealedPart(name, label, unit.score(label, classes), unit.lot, unit.people))
    return parts
