"""What would these limits do to the labelled parts of a tuning set, within milliseconds?

One score per physical part, read as carefully as :mod:`station.footage.units` does: a defective part is missed as soon
as one picture that shows its defect passes, a good one is stopped as soon as one of its pictures is. Everything that
does not depend on the limits is laid out once; a moved limit costs a few passes over columns and no loop over parts.

A part stops if any class stops it. The curves of one class hold the limits of all others: a picture that another class
stops has the score 1 there, which every limit stops.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from station.calibration.cost import Costs, cost_line, t_cost
from station.calibration.guarantee import ALPHA_BY_SEVERITY, DELTA, LowerLimit, lower_limit
from station.calibration.rates import Share
from station.calibration.sweep import Curves, Histogram, checked_prevalence, miss_bound
from station.core.errors import DataRefused
from station.decision import counts_of
from station.footage.columns import counting_all
from station.footage.table import Table
from station.footage.truth import OK
from station.panel.views_of_parts import NOBODY, Floats, Group
from station.recipe import Recipe

BINS = 50
STEPS = 101
"""Limits at which a curve is drawn: one per hundredth of the score."""

KEPT = 6
"""Layouts kept for limits that come back: moving one class to and fro asks for the same ones."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Bounded:
    """Misses among defective parts, with the upper bound of their rate; ``None`` where there is no such part."""

    share: Share | None
    upper: float | None


@dataclass(frozen=True, slots=True)
class Point:
    """What one set of limits does to the tuning set; every share with its own denominator.

    Attributes:
        misses: Defective parts passed, of all defective ones.
        overkill: Good parts stopped, of all good ones.
        review_load: Parts stopped, of all labelled parts.
        rejected: Parts above a reject limit, of all labelled parts; they are part of the review load.
        line_load: Share of all parts that would stop on the line, at ``prevalence``; ``None`` where it cannot be told.
        escapes: Share of the passed parts that would be defective there; ``None`` likewise.
        escapes_upper: The same with the bound of the miss rate.
        by_class: Misses among the parts of each class, bounds at a C-th of the risk.
    """

    misses: Bounded
    overkill: Share | None
    review_load: Share
    rejected: Share
    line_load: float | None
    escapes: float | None
    escapes_upper: float | None
    by_class: Mapping[str, Bounded]


@dataclass(frozen=True, slots=True, eq=False)
class Sweep:
    """One class's limit moved from 0 to 1, all others held; ``None`` where there is no part to tell by.

    Attributes:
        limits: ``(STEPS,)``.
        miss_bound: Upper bound of the miss rate among the parts of this class.
        line_load: Share of all parts that stop on the line.
        cost: Expected cost per part, for the defects of this class.
    """

    limits: Floats
    miss_bound: Floats | None
    line_load: Floats | None
    cost: Floats | None


class TuningSet:
    """The labelled, inspected parts of a tuning set under one model. Safe to use from several threads.

    Args:
        table: Pictures of the tuning side alone.
        known: What is true of them, by key.
        mm_per_px: The station's scale, for minimum sizes in square millimetres.

    Attributes:
        classes: The model's.
        good: Parts without a defect.
        defective: Parts with one; only the pictures that show it.
        by_class: Defective parts of each class that is seen here.
        pictures: Pictures that count.
        left_out: Pictures that do not: not inspected, disputed, or that nobody marked.
    """

    def __init__(self, table: Table, known: Mapping[str, str], *, mm_per_px: float | None = None) -> None:
        self.classes = table.columns.classes
        self._mm_per_px = mm_per_px
        # What is no number or leaves [0, 1] is UNDEFINED under any limits: held, and no witness for a rate.
        found = table.columns.scores
        sound = np.asarray(((found >= 0.0) & (found <= 1.0)).all(axis=1))
        units: dict[str, int] = {}
        truths: dict[str, int] = {OK: 0}
        picked, unit, truth = [], [], []
        for k, part in enumerate(table.parts):
            said = known.get(part.key)
            if said is not None and table.row[k] >= 0 and sound[table.row[k]]:
                picked.append(k)
                unit.append(units.setdefault(part.unit, len(units)))
                truth.append(truths.setdefault(said, len(truths)))
        self.pictures, self.left_out = len(picked), len(table.parts) - len(picked)
        self._columns = table.columns.taken(table.row[np.array(picked, np.int64)])
        of, what = np.array(unit, np.int64), np.array(truth, np.int64)
        bad_unit = np.zeros(len(units), np.bool_)
        bad_unit[of[what > 0]] = True
        every = np.arange(len(picked), dtype=np.int64)
        self.good = Group.of(every[~bad_unit[of]], of)
        self.defective = Group.of(every[what > 0], of)
        self.by_class = {name: Group.of(every[what == k], of) for name, k in sorted(truths.items()) if k}
        self._kept: OrderedDict[object, object] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self.good) + len(self.defective)

    def point(self, recipe: Recipe, *, prevalence: float, delta: float = DELTA) -> Point:
        """What the recipe's limits do.

        Args:
            recipe: With the limits.
            prevalence: Share of defective parts on the line, in [0, 1].
            delta: Chance that a bound is wrong.

        Raises:
            DataRefused: There is no labelled part at all, or a number is out of range.
            ConfigError: A minimum size in square millimetres, and no scale.
        """
        if not len(self):
            raise DataRefused("no part of the tuning set is both labelled and inspected: mark some, then score it")
        share = checked_prevalence(prevalence)
        scores = self._scores(recipe)
        passes, above = np.ones(self.pictures, np.bool_), np.zeros(self.pictures, np.bool_)
        for name, column in zip(self.classes, scores, strict=True):
            limits = recipe.limits[name]
            passes &= column < limits.pass_below
            above |= column > limits.fail_above
        missed, stopped_good = int(self.defective.any(passes).sum()), int(self.good.any(~passes).sum())
        rejected = int(self.good.any(above).sum() + self.defective.any(above).sum())
        misses = _bounded(missed, len(self.defective), delta)
        overkill = Share(stopped_good, len(self.good)) if len(self.good) else None
        line_load = escapes = escapes_upper = None
        if misses.share is not None and misses.upper is not None and overkill is not None:
            line_load = share * (1.0 - misses.share.value) + (1.0 - share) * overkill.value
            escapes, escapes_upper = (
                _escaping(share, rate, overkill.value) for rate in (misses.share.value, misses.upper)
            )
        return Point(
            misses=misses,
            overkill=overkill,
            review_load=Share(len(self.defective) - missed + stopped_good, len(self)),
            rejected=Share(rejected, len(self)),
            line_load=line_load,
            escapes=escapes,
            escapes_upper=escapes_upper,
            by_class={
                name: _bounded(int(group.any(passes).sum()), len(group), delta / len(self.by_class))
                for name, group in self.by_class.items()
            },
        )

    def sweep(
        self, recipe: Recipe, label: str, *, prevalence: float, costs: Costs, severity: str, delta: float = DELTA
    ) -> Sweep:
        """The curves of one class with the limits of all others as the recipe has them.

        Raises:
            DataRefused: A number is out of range.
        """
        limits = np.linspace(0.0, 1.0, STEPS)
        every, own = self._curves(recipe, label)
        return Sweep(
            limits,
            own.at(limits, delta=delta / len(self.by_class)).miss_bound if own is not None else None,
            every.at(limits, prevalence=prevalence).review_load if every is not None else None,
            cost_line(own, limits, costs, severity=severity, prevalence=self.share_of(label, prevalence))
            if own is not None
            else None,
        )

    def histogram(self, recipe: Recipe, label: str) -> dict[str, NDArray[np.int64]]:
        """Parts by their score of one class: good ones, those of this class, those with another defect."""
        own = self.by_class.get(label, NOBODY)
        scores = self._scores(recipe)[self.classes.index(label)]

        def counted(values: Floats) -> NDArray[np.int64]:
            return _histogram(values).good if len(values) else np.zeros(BINS, np.int64)

        def compute() -> dict[str, NDArray[np.int64]]:
            mine, all_defective = counted(own.least(scores)), counted(self.defective.least(scores))
            return {"good": counted(self.good.most(scores)), "own": mine, "other": np.maximum(all_defective - mine, 0)}

        return self._once(("histogram", label, _sizes(recipe)), compute)

    def promise(self, recipe: Recipe, label: str, *, alpha: float | None = None, delta: float = DELTA) -> LowerLimit:
        """The highest limit that promises the miss rate of the class's severity, its share of the risk taken.

        Raises:
            DataRefused: There are too few parts of the class; the message says what holds and how many more it takes.
        """
        wanted = alpha_of(recipe, label) if alpha is None else alpha
        return lower_limit(self.own_scores(recipe, label), wanted, delta=delta, limits=max(1, len(self.by_class)))

    def own_scores(self, recipe: Recipe, label: str) -> Floats:
        """The score that the limit of ``label`` judges, of every defective part of that class."""
        return self.by_class.get(label, NOBODY).least(self._scores(recipe)[self.classes.index(label)])

    def cheapest(self, recipe: Recipe, label: str, costs: Costs, *, severity: str, prevalence: float) -> float:
        """The limit of one class that costs least, with the limits of all others held.

        Raises:
            DataRefused: There is no good part or none of this class, or a number is out of range.
        """
        _, own = self._curves(recipe, label)
        if own is None:
            raise DataRefused(f"a cheapest limit of {label} needs good parts and parts with {label}: mark some")
        return t_cost(own, costs, severity=severity, prevalence=self.share_of(label, prevalence))

    def share_of(self, label: str, prevalence: float) -> float:
        """Share of parts with this class of defect on the line, if its defects are mixed as they are here."""
        mine, all_defective = len(self.by_class.get(label, NOBODY)), len(self.defective)
        return checked_prevalence(prevalence) * (mine / all_defective if all_defective else 0.0)

    def _scores(self, recipe: Recipe) -> list[Floats]:
        """Part scores by class, each ``(pictures,)``, without what the recipe calls too small or ignored."""

        def compute() -> list[Floats]:
            counts = counts_of(recipe, self._mm_per_px)
            left = counting_all(self._columns, counts) if counts else self._columns.scores
            return [np.ascontiguousarray(left[:, k]) for k in range(len(self.classes))]

        return self._once(("scores", _sizes(recipe)), compute)

    def _curves(self, recipe: Recipe, label: str) -> tuple[Curves | None, Curves | None]:
        """All defective parts, and those of this class, against the good ones; the other classes' limits held."""
        held = tuple((c, recipe.limits[c].pass_below) for c in self.classes if c != label)

        def compute() -> tuple[Curves | None, Curves | None]:
            scores = self._scores(recipe)
            stopped = np.zeros(self.pictures, np.bool_)
            for name, limit in held:
                stopped |= scores[self.classes.index(name)] >= limit
            left = np.where(stopped, 1.0, scores[self.classes.index(label)])
            own = self.by_class.get(label, NOBODY)
            if not len(self.good) or not len(self.defective):
                return None, None
            good = self.good.most(left)
            return Curves(good, self.defective.least(left)), Curves(good, own.least(left)) if len(own) else None

        return self._once(("curves", label, held, _sizes(recipe)), compute)

    def _once(self, key: object, compute: Callable[[], T]) -> T:
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]  # type: ignore[return-value]
        made = compute()
        with self._lock:
            self._kept[key] = made
            while len(self._kept) > KEPT * (len(self.classes) + 2):
                self._kept.popitem(last=False)
        return made


def alpha_of(recipe: Recipe, label: str) -> float:
    """The miss rate to promise for a class, by its severity."""
    return ALPHA_BY_SEVERITY[severity_of(recipe, label)]


def severity_of(recipe: Recipe, label: str) -> str:
    """A class's severity.

    Raises:
        DataRefused: The recipe has no such class.
    """
    for kind in recipe.classes:
        if kind.name == label:
            return kind.severity.value
    raise DataRefused(f"recipe {recipe.name} has no class {label!r}: one of {', '.join(recipe.class_names)}")


def _sizes(recipe: Recipe) -> Sequence[object]:
    """What of a recipe, besides its limits, decides which candidates count."""
    return tuple((c.name, c.min_area_px, c.min_area_mm2) for c in recipe.classes), recipe.ignore


def _bounded(missed: int, total: int, delta: float) -> Bounded:
    if not total:
        return Bounded(None, None)
    return Bounded(Share(missed, total), float(miss_bound(np.array([missed]), total, delta)[0]))


def _escaping(prevalence: float, miss_rate: float, overkill: float) -> float | None:
    passed = prevalence * miss_rate + (1.0 - prevalence) * (1.0 - overkill)
    return prevalence * miss_rate / passed if passed else None


def _histogram(values: Floats) -> Histogram:
    return Curves(values, np.zeros(1)).histogram(BINS)  # its defective side is not asked for
