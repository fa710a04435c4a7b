"""Are samples read with their truth, and refused with a remedy where they cannot be used?"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from station.core.errors import DataRefused
from station.sim.spec import DEFECT_CLASSES
from station.training.samples import Sample, Source, from_folder, simulated
from tests.training.conftest import CLASSES


def test_a_folder_is_read_with_masks_and_parts(tiny_folder: Path):
    samples = from_folder(tiny_folder, classes=CLASSES)
    assert len(samples) == 13
    assert len({s.part for s in samples}) == 12
    for sample in samples:
        assert set(np.unique(sample.mask)) == ({0} if sample.label < 0 else {0, sample.label + 1})


def test_an_unknown_label_is_named(tiny_folder: Path):
    with pytest.raises(DataRefused, match="'line' is not one of pit"):
        from_folder(tiny_folder, classes=("pit",))


def test_a_folder_without_an_index_says_what_is_expected(tmp_path: Path):
    with pytest.raises(DataRefused, match=r"no index\.csv"):
        Source(tmp_path, CLASSES).load()


def test_a_mask_of_a_few_pixels_says_somewhere_not_here(tmp_path: Path, tiny_folder: Path):
    cv2.imwrite(str(tmp_path / "a.png"), np.full((40, 40, 3), 90, np.uint8))
    mask = np.zeros((40, 40), np.uint8)
    mask[3, 3] = 255
    cv2.imwrite(str(tmp_path / "m.png"), mask)
    (tmp_path / "index.csv").write_text("image,mask,part,label\na.png,m.png,p,pit\n", encoding="utf-8")
    (sample,) = from_folder(tmp_path, classes=CLASSES)
    assert sample.label == 0
    assert not sample.located
    assert not sample.mask.any()


def test_a_sample_of_the_wrong_shape_is_refused():
    with pytest.raises(ValueError, match="mask must be"):
        Sample("x", np.zeros((4, 4, 3), np.uint8), np.zeros((4, 5), np.uint8), "p", -1, True)


def test_simulated_discs_are_the_same_for_the_same_seed():
    first, again = (simulated(6, classes=DEFECT_CLASSES, seed=3) for _ in range(2))
    assert all((a.image == b.image).all() and a.label == b.label for a, b in zip(first, again, strict=True))
    assert {s.label < 0 for s in first} == {True, False}


def test_the_shared_tiles_are_read(shared_data: Path):
    folder = shared_data / "magnetic-tiles"
    if not folder.is_dir():
        pytest.skip("no magnetic-tiles in the shared data")
    samples = from_folder(folder, classes=("blowhole", "break", "crack", "fray", "uneven"))
    assert (len(samples), len({s.part for s in samples})) == (833, 176)
    assert sum(not s.located for s in samples) < 10
