"""Do image and mask stay together through augmentation, and is planted truth where the picture changed?"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from station.training.augment import cut, make_crop, relight
from station.training.batches import Batches
from station.training.drawing import DRAWERS, plant_band, plant_gap
from station.training.planting import Patch, harvest, plant, vary
from station.training.samples import Sample, from_folder
from station.training.settings import Geometry, Photometry, Settings
from tests.training.conftest import CLASSES

GEOMETRY = Geometry(rotation_share=1.0, rotation_deg=8.0, scale_sigma=0.2)


def marked(height: int = 90, width: int = 120) -> Sample:
    """A picture that is its own mask: 200 where the mask is 1."""
    mask = np.zeros((height, width), np.uint8)
    mask[20:50, 30:80] = 1
    image = np.where(mask[..., None] > 0, 200, 20).astype(np.uint8).repeat(3, 2)
    return Sample("marked", image, mask, "p", 0, True)


@pytest.mark.parametrize("seed", range(12))
def test_image_and_mask_go_through_one_matrix(seed: int):
    image, mask = cut(
        marked(), (64, 64), geometry=GEOMETRY, rng=np.random.default_rng(seed), focus=True, colour=seed % 2 == 0
    )
    assert image.shape == (64, 64, 3 if seed % 2 == 0 else 1)
    assert mask.any(), "a focused crop shows the defect"
    bright = image[..., 0] > 110
    assert (bright != (mask > 0)).mean() < 0.03  # only the interpolated rim may differ


def test_relighting_keeps_the_range_and_changes_the_light():
    image = np.full((32, 40, 1), 120, np.float32)
    lit = relight(image, photometry=Photometry(), rng=np.random.default_rng(0))
    assert lit.shape == image.shape
    assert lit.dtype == np.float32
    assert lit.min() >= 0
    assert lit.max() <= 255
    assert not np.allclose(lit, image)


@pytest.mark.parametrize("name", sorted(DRAWERS))
def test_a_drawn_defect_changes_the_picture_where_its_mask_says(name: str):
    changed = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        image, mask = np.full((128, 128, 1), 100, np.float32), np.zeros((128, 128), np.uint8)
        plant(image, mask, patch=DRAWERS[name](1, rng=rng), rng=rng, value=2)
        assert set(np.unique(mask)) <= {0, 2}
        assert np.isfinite(image).all()
        if mask.any():
            changed += 1
            off = np.abs(image[..., 0] - 100)
            assert off[mask > 0].mean() > 4 * off[mask == 0].mean()
    assert changed >= 15


def test_a_band_covers_one_end():
    image, mask = np.full((100, 80, 1), 100, np.float32), np.zeros((100, 80), np.uint8)
    plant_band(image, mask, rng=np.random.default_rng(1), value=3)
    assert (mask[0] > 0).all() != (mask[-1] > 0).all()


@pytest.mark.parametrize("seed", range(8))
def test_a_gap_darkens_one_end_and_nothing_else(seed: int):
    image = np.full((120, 120, 1), 100, np.float32)
    plant_gap(image, rng=np.random.default_rng(seed))
    assert image.min() < 80
    assert np.allclose(image[45:75, 45:75], 100, atol=1.0)


def test_real_defects_are_harvested_and_vary(tiny_folder: Path):
    patches = harvest(from_folder(tiny_folder, classes=CLASSES))
    assert {p.number for p in patches} == {0, 1}
    for patch in patches:
        assert patch.factor[patch.alpha > 0.9].mean() < 0.6  # they are dark
        other = vary(patch, rng=np.random.default_rng(0))
        assert other.alpha.shape == other.factor.shape
        assert other.number == patch.number


def test_a_patch_that_touches_a_border_is_planted_there():
    patch = Patch(np.full((6, 8), 0.2, np.float32), np.ones((6, 8), np.float32), 0, "S")
    image, mask = np.full((40, 40, 1), 100, np.float32), np.zeros((40, 40), np.uint8)
    plant(image, mask, patch=patch, rng=np.random.default_rng(3), value=1)
    assert mask[-1].any()
    assert not mask[:30].any()


def test_a_defect_that_is_not_located_counts_as_unknown_everywhere(tiny_settings: Settings):
    sample = replace(marked(), mask=np.zeros((90, 120), np.uint8), located=False)
    crop = make_crop(
        sample, (64, 64), settings=tiny_settings, classes=CLASSES, bank=((), ()), rng=np.random.default_rng(0)
    )
    assert (crop.mask == 255).all()
    assert crop.defective == 1


def test_a_batch_is_the_same_for_the_same_seed_and_step(tiny_folder: Path, tiny_settings: Settings):
    samples = from_folder(tiny_folder, classes=CLASSES)
    first, again, other = (Batches(samples, classes=CLASSES, settings=tiny_settings, seed=s) for s in (1, 1, 2))
    a, b, c = first.draw(7), again.draw(7), other.draw(7)
    assert (a.image == b.image).all()
    assert (a.mask == b.mask).all()
    assert a.image.shape != c.image.shape or (a.image != c.image).any()
    n, _, h, w = a.image.shape
    assert a.mask.shape == (n, h // 4, w // 4)
    assert set(np.unique(a.defective)) <= {0.0, 1.0}
