"""These limits instead of those: which parts flip, and what does it change in work, overkill and misses?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from station.calibration.rates import Share
from station.footage.columns import CODES, Judged
from station.footage.table import Table
from station.footage.truth import OK


@dataclass(frozen=True, slots=True)
class Flip:
    """One part that gets another verdict.

    Attributes:
        key: The part.
        truth: What is true of it, where known.
        before: Verdict under those limits.
        after: Verdict under these.
        label: The class that decides now, or decided before where none does.
    """

    key: str
    truth: str | None
    before: str
    after: str
    label: str | None


@dataclass(frozen=True, slots=True)
class Change:
    """A share under both limits; ``None`` where nothing is counted (no labelled part of that kind)."""

    before: Share | None
    after: Share | None

    def to_dict(self) -> dict[str, Any]:
        """Both with their counts."""
        return {
            name: None if share is None else {"count": share.count, "of": share.total, "share": round(share.value, 6)}
            for name, share in (("before", self.before), ("after", self.after))
        }

    def __str__(self) -> str:
        if self.before is None or self.after is None:
            return "no labelled part to tell by"
        return f"{self.before} before, {self.after} after ({self.after.count - self.before.count:+d})"


@dataclass(frozen=True, slots=True)
class Diff:
    """What a change of limits does to a footage.

    Attributes:
        flips: Parts whose verdict changes, in the footage's order.
        review_load: Stopped parts, of all parts.
        overkill: Good parts stopped, of all good ones.
        misses: Defective parts passed, of all defective ones.
    """

    flips: tuple[Flip, ...]
    review_load: Change
    overkill: Change
    misses: Change

    @property
    def counted(self) -> dict[str, int]:
        """Flips by class and direction, ``"crack: OK -> NOT_OK"``, the most frequent first."""
        found = Counter(f"{it.label or 'part'}: {it.before} -> {it.after}" for it in self.flips)
        return dict(sorted(found.items(), key=lambda it: (-it[1], it[0])))

    def to_dict(self) -> dict[str, Any]:
        """The whole of it as JSON-ready data."""
        return {
            "flips": [
                {"part": f.key, "truth": f.truth, "before": f.before, "after": f.after, "class": f.label}
                for f in self.flips
            ],
            "counted": self.counted,
            "review_load": self.review_load.to_dict(),
            "overkill": self.overkill.to_dict(),
            "misses": self.misses.to_dict(),
        }


def diff(table: Table, before: Judged, after: Judged, known: Mapping[str, str]) -> Diff:
    """Holds two sets of verdicts on the same parts against each other.

    Args:
        table: The parts.
        before: Under those limits.
        after: Under these.
        known: Truth by key.
    """
    flips = []
    for k in np.flatnonzero(before.code != after.code):
        deciding = after.label[k] if after.label[k] >= 0 else before.label[k]
        key = table.parts[int(k)].key
        flips.append(
            Flip(
                key,
                known.get(key),
                CODES[before.code[k]].value,
                CODES[after.code[k]].value,
                after.classes[deciding] if deciding >= 0 else None,
            )
        )
    truth = np.array([known.get(p.key, "") for p in table.parts], dtype=object)
    good, bad = truth == OK, (truth != OK) & (truth != "")

    def change(of: np.ndarray[Any, np.dtype[np.bool_]], stopped: bool) -> Change:
        total = int(of.sum())
        if not total:
            return Change(None, None)
        counts = [int((of & (judged.stopped == stopped)).sum()) for judged in (before, after)]
        return Change(Share(counts[0], total), Share(counts[1], total))

    everything = np.ones(len(table), np.bool_)
    return Diff(tuple(flips), change(everything, True), change(good, True), change(bad, False))
