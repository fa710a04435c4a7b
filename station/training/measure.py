"""How good are the out-of-fold scores, with the number of pictures and parts behind every figure?"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from station.calibration.rates import auroc, overkill_at, threshold_at
from station.training.card import ClassMetrics, Metrics
from station.training.samples import Sample


def measure(samples: Sequence[Sample], scores: NDArray[np.float32], *, classes: Sequence[str], folds: int) -> Metrics:
    """Return the figures of `scores` (n, C); a picture's score is its highest.

    By part: the pictures of one part are averaged first, its sound and its defective pictures apart.
    """
    top = np.asarray(scores, np.float64).max(1)
    labels = np.array([s.label for s in samples])
    good, bad = top[labels < 0], top[labels >= 0]
    limit = threshold_at(bad, 0.95)
    rows = []
    for number, name in enumerate(classes):
        own = labels == number
        if own.any():
            parts = {s.part for s in samples if s.label == number}
            rows.append(
                ClassMetrics(name, auroc(good, top[own]), int(own.sum()), len(parts), float((top[own] < limit).mean()))
            )
    good_parts, bad_parts = _by_part(samples, top)
    return Metrics(
        auroc=auroc(good, bad),
        auroc_by_part=auroc(good_parts, bad_parts),
        overkill_at_95=overkill_at(good, bad, 0.95),
        overkill_at_98=overkill_at(good, bad, 0.98),
        n_defective_images=len(bad),
        n_good_images=len(good),
        n_defective_parts=len(bad_parts),
        n_good_parts=len(good_parts),
        folds=folds,
        per_class=tuple(rows),
    )


def _by_part(samples: Sequence[Sample], top: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    found: dict[tuple[bool, str], list[float]] = defaultdict(list)
    for sample, value in zip(samples, top, strict=True):
        found[sample.label >= 0, sample.part].append(float(value))
    good = np.array([np.mean(values) for (defective, _), values in found.items() if not defective])
    bad = np.array([np.mean(values) for (defective, _), values in found.items() if defective])
    return good, bad
