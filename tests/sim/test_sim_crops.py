"""Are training crops what a station would cut, with the truth in the right pixels?"""

from __future__ import annotations

import numpy as np
import pytest

from station.sim.crops import training_crops
from station.sim.disc import DEFECT_CLASSES


def test_crops_are_deterministic_and_hold_the_whole_part():
    one, two = list(training_crops(1, 30, diameter_px=120)), list(training_crops(1, 30, diameter_px=120))
    assert len(one) == 30
    for (crop, masks, spec), (same, same_masks, same_spec) in zip(one, two, strict=True):
        assert crop.tobytes() == same.tobytes()
        assert spec == same_spec
        assert crop.shape == (150, 150, 3)
        assert crop.dtype == np.uint8
        assert list(masks) == list(DEFECT_CLASSES)
        assert all(masks[kind].shape == (150, 150) and masks[kind].dtype == np.bool_ for kind in masks)
        assert all((masks[kind] == same_masks[kind]).all() for kind in masks)
        assert {kind for kind in masks if masks[kind].any()} == {mark.kind for mark in spec.planted}
        border = np.concatenate([crop[:3].ravel(), crop[-3:].ravel()])
        assert border.mean() < 90  # belt, not metal
    assert one[0][0].tobytes() != next(training_crops(2, 1, diameter_px=120))[0].tobytes()


def test_defect_free_twins_differ_only_in_the_masks():
    bad = list(training_crops(3, 12, defect_rate=1.0, harmless_rate=0, diameter_px=150))
    good = list(training_crops(3, 12, defect_rate=0.0, harmless_rate=0, diameter_px=150))
    clear = 0
    for (crop, masks, _), (twin, none, _) in zip(bad, good, strict=True):
        assert not any(mask.any() for mask in none.values())
        change = np.abs(crop.astype(int) - twin).mean(axis=2)  # same belt, light and noise: only the defect differs
        everywhere = np.any(list(masks.values()), axis=0)
        assert change[~everywhere].mean() < 0.25
        clear += change[everywhere].mean() > 4
    assert clear >= 7


def test_margin_sets_the_size_and_nonsense_is_refused():
    crop, _, _ = next(training_crops(1, 1, diameter_px=100, margin=0.4))
    assert crop.shape == (140, 140, 3)
    with pytest.raises(ValueError, match="margin"):
        next(training_crops(1, 1, margin=0.0))
    with pytest.raises(ValueError, match="crops"):
        next(training_crops(1, -1))
