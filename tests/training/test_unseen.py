"""Is what is planted for want of real defects really there, where its mask says, and only there?"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from station.training.augment import make_crop
from station.training.samples import Sample, resized
from station.training.settings import Settings, for_good_parts
from station.training.unseen import LEAST_PX, plant_unseen


def ground(channels: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    picture = np.linspace(60, 160, 96)[None, :, None] + rng.normal(0, 3, (80, 96, channels))
    return picture.astype(np.float32)


@pytest.mark.parametrize("channels", [1, 3])
def test_the_mask_is_where_the_picture_changed(channels: int) -> None:
    planted = 0
    for seed in range(60):
        image, mask = ground(channels), np.zeros((80, 96), np.uint8)
        before = image.copy()
        done = plant_unseen(image, mask, rng=np.random.default_rng(seed))
        change = np.abs(image - before).max(2)
        assert np.isfinite(image).all()
        assert image.min() >= 0
        assert image.max() <= 255
        assert done == mask.any()
        if done:
            planted += 1
            assert int((mask > 0).sum()) >= LEAST_PX
            assert change[mask > 0].mean() > 3 * change[mask == 0].mean()
        else:
            assert (change == 0).all()
    assert planted >= 45


def test_a_crop_for_good_parts_is_defective_only_with_something_planted() -> None:
    settings = for_good_parts(colour=False)
    sample = Sample("s", ground(3).astype(np.uint8), np.zeros((80, 96), np.uint8), "p", -1, True)

    def defective(chosen: Settings) -> float:
        crops = [
            make_crop(sample, (64, 64), settings=chosen, classes=("odd",), bank=((),), rng=np.random.default_rng(seed))
            for seed in range(40)
        ]
        assert all(set(np.unique(c.mask)) <= {0, 1} for c in crops)
        return float(np.mean([c.defective for c in crops]))

    assert 0.25 < defective(settings) < 0.85
    assert defective(replace(settings, planting=replace(settings.planting, share=0.0))) == 0.0


def test_pictures_are_resized_as_the_station_does() -> None:
    picture = ground(3).astype(np.uint8)
    assert resized(picture, long_px=0).shape == (80, 96, 3)
    assert resized(picture, long_px=48).shape == (40, 48, 3)
