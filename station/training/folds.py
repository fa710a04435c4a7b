"""Which parts are kept aside in which fold?"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from station.training.samples import Sample


def split_by_part(samples: Sequence[Sample], *, folds: int, seed: int) -> tuple[int, ...]:
    """Return the fold of every sample; all samples of a part share one fold.

    Parts are dealt out class by class, the rarest class first, each to the fold that has the fewest parts (then the
    fewest pictures) of that class. The same seed gives the same split.

    Raises:
        ValueError: fewer than two folds, or fewer parts than folds.
    """
    by_part: dict[str, list[int]] = defaultdict(list)
    for k, sample in enumerate(samples):
        by_part[sample.part].append(k)
    if folds < 2 or len(by_part) < folds:
        raise ValueError(
            f"cannot split {len(by_part)} parts into {folds} folds: give 2 or more folds and at least as many parts"
        )
    part_classes = {part: {samples[k].label for k in ks} for part, ks in by_part.items()}
    classes = sorted({c for found in part_classes.values() for c in found})
    rarity = {c: sum(c in found for found in part_classes.values()) for c in classes}
    rng = np.random.default_rng(seed)
    order = [sorted(by_part)[int(i)] for i in rng.permutation(len(by_part))]
    order.sort(key=lambda part: (min(rarity[c] for c in part_classes[part]), -len(by_part[part])))
    parts_in: dict[tuple[int, int], int] = defaultdict(int)
    pictures_in: dict[tuple[int, int], int] = defaultdict(int)
    fold_of = [0] * len(samples)
    for part in order:
        rarest = min(part_classes[part], key=lambda c: (rarity[c], c))
        fold = min(range(folds), key=lambda f: (parts_in[f, rarest], pictures_in[f, rarest], f))
        for c in part_classes[part]:
            parts_in[fold, c] += 1
        for k in by_part[part]:
            fold_of[k] = fold
            pictures_in[fold, samples[k].label] += 1
    return tuple(fold_of)
