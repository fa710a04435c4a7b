"""What may the browser know of footage, rates, promises and certificates? Pure: values in, plain dicts out.

Every rate goes out as ``{"count", "of"}``: no share leaves without its denominator.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from station.calibration.certificate import Certificate, Claim
from station.calibration.guarantee import DELTA, allowed_misses, parts_needed
from station.calibration.rates import Share, clopper_pearson_upper
from station.footage.diff import Diff
from station.footage.split import SEALED, TUNING
from station.footage.truth import OK
from station.panel.audit_card import Escapes
from station.panel.kept_scores import Loaded
from station.panel.scoring import Progress
from station.panel.tuning import Bounded, Point, Sweep, alpha_of
from station.panel.views import Json
from station.recipe import DefectClass, Recipe

FLIPS_SHOWN = 200
"""Parts of a difference that go to the browser, and into a draft; the counts are of all of them."""


def footage(loaded: Loaded, looks: int) -> Json:
    """What a footage holds, at a glance."""
    parts, known = loaded.footage.parts, loaded.known
    return {
        "name": loaded.footage.about.name,
        "parts": len(parts),
        "lots": len({p.lot for p in parts if p.lot}),
        "disputed": len(known.disputed),
        "unmarked": len(parts) - len(known.agreed) - len(known.disputed),
        "looks": looks,
    }


def sides(loaded: Loaded) -> Json | None:
    """How many physical parts stand on each side of the split, and how many of them are defective."""
    split = loaded.split
    if split is None:
        return None
    units: dict[str, set[str]] = {TUNING: set(), SEALED: set()}
    defective: dict[str, set[str]] = {TUNING: set(), SEALED: set()}
    for part in loaded.footage.parts:
        side = split.side.get(part.key)
        if side is not None:
            units[side].add(part.unit)
            if loaded.known.agreed.get(part.key, OK) != OK:
                defective[side].add(part.unit)
    counted = {side: {"units": len(units[side]), "defective_units": len(defective[side])} for side in units}
    return {"by": split.by, "nowhere": len(loaded.footage.parts) - len(split.side), **counted}


def bench(loaded: Loaded, looks: int) -> Json:
    """Everything that does not change with the limits tried."""
    tuning, recipe = loaded.tuning, loaded.recipe
    return {
        "footage": footage(loaded, looks),
        "recipe": recipe.name,
        "recipe_sha256": recipe.sha256,
        "model": str(loaded.card.ref),
        "model_sha256": loaded.card.sha256,
        "unscored": len(loaded.unscored),
        "mm_per_px": loaded.mm_per_px,
        "delta": DELTA,
        "sides": sides(loaded),
        "tuning": {
            "parts": len(tuning),
            "pictures": tuning.pictures,
            "left_out": tuning.left_out,
            "good": len(tuning.good),
            "defective": len(tuning.defective),
        },
        "classes": [_class(kind, recipe, len(tuning.by_class.get(kind.name, ()))) for kind in recipe.classes],
        "strangers": sorted(set(tuning.by_class) - set(recipe.limits)),
        "in_force": limits_of(recipe),
    }


def _class(kind: DefectClass, recipe: Recipe, parts: int) -> Json:
    return {
        "name": kind.name,
        "title": kind.title,
        "severity": kind.severity.value,
        "alpha": alpha_of(recipe, kind.name),
        "defective": parts,
    }


def limits_of(recipe: Recipe) -> Json:
    """The limits of a recipe as the routes of limits write them."""
    names = ("pass_below", "fail_above", "min_area_px", "min_area_mm2")
    return {
        "classes": {kind.name: {name: getattr(kind, name) for name in names} for kind in recipe.classes},
        "ignore": [r.model_dump(mode="json") for r in recipe.ignore],
    }


def share(it: Share | None) -> Json | None:
    """A share with both counts."""
    return None if it is None else {"count": it.count, "of": it.total}


def _bounded(it: Bounded) -> Json | None:
    return None if it.share is None else {"count": it.share.count, "of": it.share.total, "upper": it.upper}


def point(it: Point) -> Json:
    """What one set of limits does."""
    return {
        "misses": _bounded(it.misses),
        "overkill": share(it.overkill),
        "review_load": share(it.review_load),
        "rejected": share(it.rejected),
        "line_load": it.line_load,
        "escapes": it.escapes,
        "escapes_upper": it.escapes_upper,
        "by_class": {name: _bounded(bounded) for name, bounded in it.by_class.items()},
    }


def sweep(it: Sweep, *, minutes_per_load: float) -> Json:
    """The curves of one class; review load in minutes per hour of the line."""
    load = None if it.line_load is None else it.line_load * minutes_per_load
    return {
        "limits": _plain(it.limits),
        "miss_bound": _plain(it.miss_bound),
        "minutes": _plain(load),
        "cost": _plain(it.cost),
    }


def histogram(counted: Mapping[str, NDArray[np.int64]]) -> Json:
    """Counts per bin."""
    return {name: values.tolist() for name, values in counted.items()}


def too_few(parts: int, alpha: float, delta: float) -> Json | None:
    """What holds with so few parts and how many more it takes; ``None`` where they are enough."""
    if parts and allowed_misses(parts, alpha, delta) >= 0:
        return None
    upper = clopper_pearson_upper(0, parts, 1 - delta) if parts else 1.0
    return {"parts": parts, "upper": upper, "alpha": alpha, "more": parts_needed(alpha, 1 - delta) - parts}


def difference(it: Diff, after: Recipe, loaded: Loaded) -> Json:
    """A difference as ``station diff --json`` writes it, with the first flips alone, each with its picture."""
    told = it.to_dict()
    flips = told.pop("flips")
    before, now = loaded.recipe, after.limits
    return {
        "footage": loaded.footage.about.name,
        "side": "tuning",
        "recipe": before.name,
        "against": after.name,
        "model": str(loaded.card.ref),
        "parts": len(loaded.shown),
        "limits": {
            label: {"before": [old.pass_below, old.fail_above], "after": [now[label].pass_below, now[label].fail_above]}
            for label, old in before.limits.items()
            if old != now[label]
        },
        **told,
        "flipped": len(flips),
        "flips": [flip | {"picture": loaded.footage.part(flip["part"]).sha256} for flip in flips[:FLIPS_SHOWN]],
    }


def without_pictures(told: Json) -> Json:
    """A difference as it is kept with a draft."""
    return told | {"flips": [{k: v for k, v in f.items() if k != "picture"} for f in told["flips"]]}


def certificate(it: Certificate, now: datetime) -> Json:
    """A certificate as it is kept (``certificate``), and how a screen tells it."""
    return {
        "certificate": it.to_dict(),
        "claims": [_claim(claim) for claim in it.claims],
        "assumptions": [{"name": a.name, "holds": a.holds, "words": a.words} for a in it.assumptions],
        "looks": it.looks,
        "issued_at": it.issued_at.isoformat(),
        "expires_at": it.expires_at.isoformat(),
        "expired": it.expires_at <= now,
        "delta": it.delta,
    }


def _claim(claim: Claim) -> Json:
    names = ("label", "limit", "alpha", "parts", "lots", "misses", "single", "upper", "looks", "reached")
    more = 0
    if not claim.reached:
        more = parts_needed(claim.alpha, 1 - claim.delta / claim.looks, claim.misses) - claim.parts
    return {name: getattr(claim, name) for name in names} | {"more": more}


def progress(it: Progress | None) -> Json | None:
    """How far a replay is."""
    if it is None:
        return None
    names = ("footage", "total", "done", "running", "failed")
    return {name: getattr(it, name) for name in names} | {"seconds": round(it.seconds, 1)}


def escapes(it: Escapes) -> Json:
    """What is known of escapes."""
    return {
        "since": it.since,
        "audits": share(it.audits),
        "bounds": None
        if it.card is None
        else {
            "target": it.card.target,
            "fixed": it.card.fixed,
            "live": it.card.live,
            "to_audit_fixed": it.card.to_audit_fixed,
            "to_audit_live": it.card.to_audit_live,
        },
        "passed": it.passed,
        "confirmed": it.confirmed,
        "waiting": it.waiting,
        "audit_fraction": it.audit_fraction,
        "misses": share(it.misses),
        "product": it.product,
        "alarm": it.alarm,
        "inspectors": share(it.inspectors),
        "total": None
        if it.total is None
        else {
            "model": it.total.model,
            "inspector": it.total.inspector,
            "unaudited": it.total.unaudited,
            "total": it.total.total,
        },
    }


def _plain(values: NDArray[np.float64] | None) -> list[float] | None:
    return None if values is None else np.round(values, 6).tolist()
