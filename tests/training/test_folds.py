"""Does a split keep the pictures of a part together, whatever the data and the seed?"""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from station.training.folds import split_by_part
from station.training.samples import Sample

IMAGE, MASK = np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4), np.uint8)


def sample(part: int, label: int) -> Sample:
    return Sample("s", IMAGE, MASK, f"part-{part}", label, label < 0)


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 30), st.integers(-1, 3)), min_size=10, max_size=80),
    st.integers(2, 4),
    st.integers(0, 99),
)
def test_a_part_is_never_divided(rows: list[tuple[int, int]], folds: int, seed: int):
    samples = [sample(part, label) for part, label in rows]
    if len({s.part for s in samples}) < folds:
        return
    split = split_by_part(samples, folds=folds, seed=seed)
    assert split == split_by_part(samples, folds=folds, seed=seed)
    assert set(split) <= set(range(folds))
    of_part: dict[str, int] = {}
    for s, fold in zip(samples, split, strict=True):
        assert of_part.setdefault(s.part, fold) == fold


def test_rare_classes_are_spread():
    samples = [sample(n, n % 4 if n < 12 else -1) for n in range(60)]
    split = split_by_part(samples, folds=3, seed=1)
    for label in range(4):
        assert set(Counter(f for s, f in zip(samples, split, strict=True) if s.label == label).values()) == {1}
    assert split != split_by_part(samples, folds=3, seed=2)


def test_too_few_parts_are_refused():
    with pytest.raises(ValueError, match="cannot split 2 parts into 3 folds"):
        split_by_part([sample(0, 0), sample(1, -1)], folds=3, seed=0)
