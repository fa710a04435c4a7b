"""Which limits would have been right on this footage, and what may be claimed of them?

::

    footage ─> scores ─> tuning set ──> limit (rank rule) ──> fixed
                     └─> sealed set ──────────────────────────┴─> one look, written down first ─> certificate

Choosing and certifying never see the same parts. The same question asked twice gives the same answer and is one look;
another limit, model or size rule on the same sealed set is another.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from station.calibration.certificate import EVERY_CLASS, Certificate
from station.calibration.guarantee import allowed_misses, lower_limit, percent, what_holds
from station.calibration.rates import Share
from station.config import StationConfig
from station.core.errors import DataRefused, UsageError
from station.footage.book import Footage, find
from station.footage.diff import Diff, diff
from station.footage.scores import columns_of
from station.footage.sealed import certified
from station.footage.split import SEALED, TUNING, Split, read_split
from station.footage.table import Rules, Table
from station.footage.trained import trained_units
from station.footage.truth import OK, truths
from station.footage.units import Unit, defective_scores, on_side, units_from_csv, units_of
from station.footage_replay import footage_scale, scored_table
from station.limits_fit import recipe_here
from station.recipe import Recipe
from station.registry import ModelRegistry


@dataclass(frozen=True, slots=True)
class Chosen:
    """A limit found on the tuning set.

    Attributes:
        label: Its class, or every class.
        pass_below: The limit.
        promised: The rank rule allows it; otherwise it is only the lowest score of a defective part that was seen.
        words: How it came about, with its counts.
    """

    label: str
    pass_below: float
    promised: bool
    words: str


@dataclass(frozen=True, slots=True, eq=False)
class Tuning:
    """The report of ``station tune``.

    Attributes:
        footage: Its name.
        recipe: The recipe with the limits proposed.
        former: The recipe as it is in force.
        base: The version of its limits; ``None``: those of its file.
        model: The model, or the file that the scores were taken from.
        chosen: One limit per class, or one for every class.
        certificate: What the sealed set says of them; ``None`` where it was not opened.
        sealed: Overkill and review load on the sealed parts; ``None`` likewise.
        tuning: What the proposal changes on the tuning set's pictures; ``None`` where scores came from a file.
        counts: Parts by side.
        warnings: What a reader must know before believing any of it.
    """

    footage: str
    recipe: Recipe
    former: Recipe
    base: int | None
    model: str
    chosen: tuple[Chosen, ...]
    certificate: Certificate | None
    sealed: Mapping[str, Share] | None
    tuning: Diff | None
    counts: Mapping[str, Any]
    warnings: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """The whole of it as JSON-ready data."""
        return {
            "footage": self.footage,
            "recipe": self.former.name,
            "base": self.base,
            "model": self.model,
            "limits": {
                new.name: {
                    "before": {"pass_below": old.pass_below, "fail_above": old.fail_above},
                    "proposed": {"pass_below": new.pass_below, "fail_above": new.fail_above},
                }
                for old, new in zip(self.former.classes, self.recipe.classes, strict=True)
            },
            "recipe_sha256": self.recipe.sha256,
            "chosen": [
                {"class": c.label, "pass_below": c.pass_below, "promised": c.promised, "words": c.words}
                for c in self.chosen
            ],
            "counts": dict(self.counts),
            "tuning": self.tuning.to_dict() if self.tuning else None,
            "certificate": self.certificate.to_dict() if self.certificate else None,
            "claims": [str(claim) for claim in self.certificate.claims] if self.certificate else [],
            "assumptions": [
                {"name": a.name, "holds": a.holds, "words": a.words}
                for a in (self.certificate.assumptions if self.certificate else ())
            ],
            "missing": list(self.certificate.missing) if self.certificate else [],
            "sealed": {
                name: {"count": share.count, "of": share.total, "share": round(share.value, 6)}
                for name, share in (self.sealed or {}).items()
            },
            "warnings": list(self.warnings),
        }


def tune(
    name: str,
    recipe_name: str,
    config: StationConfig,
    *,
    miss: float,
    confidence: float,
    now: datetime,
    person: str,
    why: str = "tune",
    scores: Path | None = None,
    per_class: bool = False,
    certify: bool = True,
    jobs: int | None = None,
    progress: Callable[[int], None] = lambda n: None,
) -> Tuning:
    """Chooses ``pass_below`` on the tuning set and certifies it once on the sealed set.

    Args:
        name: The footage; it must be split.
        recipe_name: The recipe.
        config: Where things lie.
        miss: Miss rate to promise.
        confidence: How sure the promise shall be, for all limits together.
        now: The time, with its zone.
        person: Who looks.
        why: Written into ``looks.jsonl``.
        scores: Scores from a file instead of the model's own, such as a model's ``out-of-fold.csv``.
        per_class: A limit for each class from its own parts, sharing the risk; else one limit for every class.
        certify: Open the sealed set.
        jobs: Worker processes.
        progress: Called with the number of parts so far.

    Raises:
        UsageError: The footage is not split or has no labelled defective parts on a side, or an argument is wrong.
        StationError: A worker died.
    """
    delta = 1.0 - confidence
    if not 0.0 < miss < 1.0 or not 0.0 < delta < 1.0:
        raise UsageError(f"--miss {miss} and --confidence {confidence} lie between 0 and 1: write 0.01 and 0.95")
    recipe, base = recipe_here(recipe_name, config)
    if recipe.model is None:
        raise UsageError(f"recipe {recipe.name} has no model: there are no scores to set limits for")
    footage = find(name, config.footage)
    split = read_split(footage)
    if split is None:
        raise UsageError(f"{footage.about.name} is not split: 'station footage split {footage.about.name}' first")
    verified = ModelRegistry(config.models).open(recipe.model)
    known = truths(footage)
    scale = footage_scale(footage, config)
    warnings = _warnings_of(footage, split, len(known.disputed))
    if scores is None:
        table, _, _, _ = scored_table(footage, recipe, config, jobs=jobs, progress=progress)
        classes = table.columns.classes
        units = units_of(table, table.judged(Rules.of(recipe, scale)), known)
        scorer, scorer_sha256 = str(verified.card.ref), verified.card.ref.sha256
        trained = trained_units(footage, verified.card, verified.folder)
        if trained:
            warnings.insert(
                0,
                f"{len(trained)} of {len(units)} parts of this footage were used to train {scorer}: its scores on them "
                "look better than on new parts, so nothing here holds for the line. Record new footage, or give scores "
                f"of models that never saw these parts (--scores {verified.folder / 'out-of-fold.csv'})",
            )
    else:
        classes = recipe.class_names
        table = Table(footage.parts, columns_of(classes, []), np.full(len(footage.parts), -1, np.int64), [])
        units = units_from_csv(scores, table, known, classes)
        scorer, scorer_sha256 = str(scores), hashlib.sha256(scores.read_bytes()).hexdigest()
        trained = frozenset()
        warnings.append(
            f"the scores are those of {scores}, not of {verified.card.ref} as it runs: the certificate does not hold "
            "for the model in use, it tells what footage of this size and models of this kind can show"
        )
    tuning, sealed = on_side(units, split.side, TUNING), on_side(units, split.side, SEALED)
    labels = _labels(units, per_class)
    chosen = tuple(_choose(label, tuning, classes, miss, delta / len(labels), recipe) for label in labels)
    warnings += [f"{c.label if c.label != EVERY_CLASS else 'all classes'}: {c.words}" for c in chosen if not c.promised]
    proposed = _with_limits(recipe, chosen)
    certificate = shares = None
    if certify:
        limits = {c.label: c.pass_below for c in chosen}
        certificate = certified(
            footage, split, sealed, classes, limits,
            alpha=dict.fromkeys(limits, miss), delta=delta, recipe=proposed, scores_sha256=scorer_sha256,
            seen=None if trained is None else {u.name for u in tuning} | trained, person=person, why=why, now=now,
        )  # fmt: skip
        shares = _sealed_shares(sealed, proposed, classes)
    left_out = sum(u.left_out for u in units.values())
    if left_out:
        warnings.append(f"{left_out} pictures were not inspected, are disputed or not marked, and count nowhere")
    return Tuning(
        footage.about.name,
        proposed,
        recipe,
        base,
        scorer,
        chosen,
        certificate,
        shares,
        None if scores is not None else _change(table, split, recipe, proposed, known.agreed, scale),
        {side: _counts(us) for side, us in ((TUNING, tuning), (SEALED, sealed))},
        tuple(warnings),
    )


def _labels(units: Mapping[str, Unit], per_class: bool) -> list[str]:
    return sorted({label for u in units.values() for label in u.labels()}) if per_class else [EVERY_CLASS]


def _choose(
    label: str, units: Sequence[Unit], classes: Sequence[str], alpha: float, delta: float, recipe: Recipe
) -> Chosen:
    """The rank rule's limit; with too few parts the lowest score seen, which promises little and says so.

    Without a promise the recipe's own limit is never raised: too little evidence must not pass more parts.
    """
    found = defective_scores(units, label, classes)
    what = "defective parts" if label == EVERY_CLASS else f"parts with {label}"
    if not found.size:
        raise DataRefused(f"no {what} on the tuning side: mark some, or split by another share")
    if allowed_misses(len(found), alpha, delta) >= 0:
        limit = lower_limit(found, alpha, delta=delta)
        return Chosen(label, limit.pass_below, True, str(limit))
    holds = what_holds(Share(0, len(found)), alpha, delta)
    words = (
        f"no limit can promise {percent(alpha)} here ({holds}); limits above the lowest score seen are lowered to it"
    )
    highest = max(c.pass_below for c in recipe.classes if label in (EVERY_CLASS, c.name))
    return Chosen(label, min(float(found.min()), highest), False, words)


def _sealed_shares(units: Sequence[Unit], recipe: Recipe, classes: Sequence[str]) -> dict[str, Share]:
    """Overkill and review load of the sealed parts, where any class at or above its limit stops a picture."""
    limits = np.array([recipe.limits[c].pass_below for c in classes])

    def stops(unit: Unit) -> bool:
        views = [bool((s >= limits).any()) for t, s in unit.views if not unit.defective or t != OK]
        return all(views) if unit.defective else any(views)

    good = [u for u in units if not u.defective]
    shares = {"review_load": Share(sum(map(stops, units)), len(units))}
    if good:
        shares["overkill"] = Share(sum(map(stops, good)), len(good))
    return shares


def _with_limits(recipe: Recipe, chosen: Sequence[Chosen]) -> Recipe:
    """The recipe with the limits; ``fail_above`` only moves where it would lie below."""
    by_label = {c.label: c for c in chosen}
    data = recipe.model_dump(mode="json")
    for kind in data["classes"]:
        it = by_label.get(EVERY_CLASS, by_label.get(kind["name"]))
        if it is not None:
            low = it.pass_below if it.promised else min(it.pass_below, kind["pass_below"])
            kind["pass_below"], kind["fail_above"] = low, max(kind["fail_above"], low)
    return Recipe.model_validate(data)


def _change(
    table: Table, split: Split, before: Recipe, after: Recipe, known: Mapping[str, str], scale: float | None
) -> Diff:
    """On the tuning pictures alone: a diff over sealed ones would be a look."""
    rows = np.array([k for k, p in enumerate(table.parts) if split.side.get(p.key) == TUNING], np.int64)
    part = Table([table.parts[k] for k in rows], table.columns, table.row[rows], [table.faults[k] for k in rows])
    return diff(part, part.judged(Rules.of(before, scale)), part.judged(Rules.of(after, scale)), known)


def _counts(units: Sequence[Unit]) -> dict[str, int]:
    return {
        "parts": len(units),
        "pictures": sum(len(u.views) for u in units),
        "defective": sum(u.defective for u in units),
        "good": sum(not u.defective for u in units),
        "lots": len({u.lot for u in units if u.lot}),
    }


def _warnings_of(footage: Footage, split: Split, disputed: int) -> list[str]:
    found = []
    nowhere = len(footage.parts) - len(split.side)
    if nowhere:
        found.append(f"{nowhere} pictures stand on neither side yet: 'station footage split' deals them")
    if disputed:
        found.append(f"{disputed} pictures are disputed: settle them with 'station footage mark --settle'")
    if footage.about.optics_sha256 is None:
        found.append("the camera was not calibrated for this footage: nobody would notice that it moved")
    return found
