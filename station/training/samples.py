"""Where do the training pictures and their pixel truth come from?"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from station.core.errors import DataRefused
from station.detector.tensors import prepare
from station.registry import InputSpec
from station.sim.crops import training_crops

SOUND = "ok"
MIN_MASK_PX = 20  # a mask smaller than this says "somewhere", not "here"


@dataclass(frozen=True)
class Sample:
    """One picture of one part with its truth.

    Attributes:
        name: Short name for messages.
        image: uint8, shape (H, W, 3), BGR.
        mask: uint8, shape (H, W); 0 is sound, k + 1 is class k.
        part: Physical part; pictures of one part never stand on both sides of a split.
        label: Index of the class, or -1 for a sound part.
        located: False where the picture is defective but the mask does not say where.
    """

    name: str
    image: NDArray[np.uint8]
    mask: NDArray[np.uint8]
    part: str
    label: int
    located: bool

    def __post_init__(self) -> None:
        if self.image.ndim != 3 or self.image.shape[2] != 3 or self.image.dtype != np.uint8:
            raise ValueError(f"{self.name}: image must be uint8 (H, W, 3), got {self.image.dtype} {self.image.shape}")
        if self.mask.shape != self.image.shape[:2] or self.mask.dtype != np.uint8:
            raise ValueError(
                f"{self.name}: mask must be uint8 {self.image.shape[:2]}, got {self.mask.dtype} {self.mask.shape}"
            )


@dataclass(frozen=True)
class Source:
    """Where samples come from; small enough to hand to another process, which loads them itself.

    Attributes:
        folder: Data set folder with index.csv; None for simulated discs.
        classes: Names of the defect classes.
        simulated_parts: How many discs are rendered where `folder` is None.
        seed: Draws the simulated discs.
    """

    folder: Path | None
    classes: tuple[str, ...]
    simulated_parts: int = 0
    seed: int = 0

    @property
    def title(self) -> str:
        """What the card says about the data."""
        return f"simulated discs, seed {self.seed}" if self.folder is None else self.folder.name

    def load(self) -> tuple[Sample, ...]:
        """Read or render all samples, always in the same order.

        Raises:
            DataRefused: The folder cannot be used, or there is nothing in it.
        """
        if self.folder is None:
            found = simulated(self.simulated_parts, classes=self.classes, seed=self.seed)
        else:
            found = from_folder(self.folder, classes=self.classes)
        if not any(s.label < 0 for s in found) or not any(s.label >= 0 for s in found):
            raise DataRefused(f"{self.title}: {len(found)} pictures; training needs sound and defective ones")
        return found


def resized(image: NDArray[np.uint8], *, long_px: int) -> NDArray[np.uint8]:
    """Return `image` as the station resizes it for a card with `resize_long = long_px`; 0 leaves it as it is."""
    spec = InputSpec(multiple=1, padding="replicate", max_pixels=200_000_000, resize_long=long_px)
    return prepare(image, spec).tensor[0]


def simulated(count: int, *, classes: Sequence[str], seed: int) -> tuple[Sample, ...]:
    """Render `count` discs with pixel truth; a third of them sound, most with harmless marks.

    A disc that carries several defects is filed under the class with the most pixels.
    """
    samples = []
    for index, (image, masks, spec) in enumerate(training_crops(seed, count, defect_rate=0.6, harmless_rate=0.6)):
        unknown = sorted(set(masks) - set(classes))
        if unknown:
            raise DataRefused(f"the simulated discs carry {', '.join(unknown)}, which the recipe does not name")
        mask = np.zeros(image.shape[:2], np.uint8)
        for name, hit in masks.items():
            mask[hit] = classes.index(name) + 1
        sizes = np.bincount(mask.ravel(), minlength=len(classes) + 1)[1:]
        label = int(sizes.argmax()) if spec.defective and sizes.any() else -1
        samples.append(Sample(f"disc-{index:05d}", image, mask, f"disc-{index:05d}", label, True))
    return tuple(samples)


def from_folder(folder: Path, *, classes: Sequence[str]) -> tuple[Sample, ...]:
    """Read a folder with `index.csv` (image, mask, part, label) in the manner of the magnetic tiles.

    Raises:
        DataRefused: `index.csv` or a picture is missing, or a label is neither `ok` nor one of `classes`.
    """
    index = folder / "index.csv"
    if not index.is_file():
        raise DataRefused(f"no index.csv in {folder.name}: point --data at a folder with index.csv, images and masks")
    samples = []
    with index.open(newline="", encoding="utf-8") as lines:
        for row in csv.DictReader(lines):
            label = row["label"]
            if label != SOUND and label not in classes:
                raise DataRefused(f"{row['image']}: label {label!r} is not one of {', '.join(classes)} or {SOUND!r}")
            image = _read(folder / row["image"], cv2.IMREAD_COLOR)
            mask = np.zeros(image.shape[:2], np.uint8)
            number = -1
            if label != SOUND:
                number = classes.index(label)
                if row.get("mask"):
                    mask[_read(folder / row["mask"], cv2.IMREAD_GRAYSCALE) > 127] = number + 1
            located = number < 0 or int(np.count_nonzero(mask)) >= MIN_MASK_PX
            if not located:
                mask[:] = 0
            samples.append(Sample(row["image"], image, mask, row["part"], number, located))
    return tuple(samples)


def _read(path: Path, flag: int) -> NDArray[np.uint8]:
    picture = cv2.imread(str(path), flag)
    if picture is None:
        raise DataRefused(f"cannot read {path.name}: it is named in index.csv but missing or no picture")
    return np.asarray(picture, np.uint8)
