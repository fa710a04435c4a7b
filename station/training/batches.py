"""Which samples meet in a batch, and as what arrays?"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from station.training.augment import make_crop
from station.training.planting import Patch, harvest
from station.training.samples import Sample
from station.training.settings import Settings


@dataclass(frozen=True)
class Batch:
    """What one training step sees.

    Attributes:
        image: float32 (N, 3 or 1, h, w), BGR or grey, 0..255.
        mask: uint8 (N, h / stride, w / stride), the highest value of each block.
        defective: float32 (N,), 0 or 1.
    """

    image: NDArray[np.float32]
    mask: NDArray[np.uint8]
    defective: NDArray[np.float32]


@dataclass(frozen=True)
class _Group:
    shape: tuple[int, int]
    samples: tuple[Sample, ...]
    weights: NDArray[np.float64]  # (n,), sums to 1
    share: float


class Batches:
    """Draws batches: half sound, half defective; classes alike, parts alike within a class.

    A batch has one crop shape; every sample belongs to the widest shape that it fills, so that narrow parts are not
    seen with invented pixels beside them.
    """

    def __init__(self, samples: Sequence[Sample], *, classes: Sequence[str], settings: Settings, seed: int) -> None:
        if not samples:
            raise ValueError("no training samples: check the data folder")
        self.classes, self.settings, self.seed = tuple(classes), settings, seed
        bank: list[list[Patch]] = [[] for _ in classes]
        if settings.planting.share > 0 and settings.planting.paste_share > 0:
            for patch in harvest(samples):
                bank[patch.number].append(patch)
        self.bank = tuple(tuple(patches) for patches in bank)
        self.groups = _groups(samples, settings=settings)

    def draw(self, step: int) -> Batch:
        """Return batch number `step`; the same number gives the same batch."""
        rng = np.random.default_rng((self.seed, step))
        group = self.groups[int(rng.choice(len(self.groups), p=[g.share for g in self.groups]))]
        h, w = group.shape
        count = max(2, round(self.settings.batch_pixels / (h * w)))
        picks = rng.choice(len(group.samples), size=count, p=group.weights)
        crops = [
            make_crop(
                group.samples[int(k)],
                group.shape,
                settings=self.settings,
                classes=self.classes,
                bank=self.bank,
                rng=rng,
            )
            for k in picks
        ]
        image = np.stack([c.image for c in crops]).transpose(0, 3, 1, 2)
        s = self.settings.net.stride
        mask = np.stack([c.mask.reshape(h // s, s, w // s, s).max((1, 3)) for c in crops])
        return Batch(np.ascontiguousarray(image), mask, np.array([c.defective for c in crops], np.float32))


def _groups(samples: Sequence[Sample], *, settings: Settings) -> tuple[_Group, ...]:
    shapes = sorted(settings.geometry.shapes, key=lambda shape: -shape[1])
    members: dict[tuple[int, int], list[int]] = defaultdict(list)
    for k, sample in enumerate(samples):
        fitting = [shape for shape in shapes if shape[1] <= sample.mask.shape[1] * 1.1]
        members[fitting[0] if fitting else shapes[-1]].append(k)
    weights = _weights(samples)
    groups = []
    for shape, ks in members.items():
        own = weights[ks]
        sound = np.array([samples[k].label < 0 for k in ks])
        share = float(own.sum())
        if sound.any() and not sound.all():
            own = np.where(
                sound,
                own / own[sound].sum() * settings.sound_share,
                own / own[~sound].sum() * (1 - settings.sound_share),
            )
        groups.append(_Group(shape, tuple(samples[k] for k in ks), own / own.sum(), share))
    total = sum(g.share for g in groups)
    return tuple(_Group(g.shape, g.samples, g.weights, g.share / total) for g in groups)


def _weights(samples: Sequence[Sample]) -> NDArray[np.float64]:
    """Sound: square root of the pictures per part; defective: classes alike, parts alike within a class."""
    per = Counter((s.label, s.part) for s in samples)
    parts = Counter(label for label, _ in per)
    defects = sum(label >= 0 for label in parts)
    sound_total = sum(n**0.5 for (label, _), n in per.items() if label < 0)
    result = np.zeros(len(samples))
    for k, s in enumerate(samples):
        n = per[s.label, s.part]
        result[k] = n**-0.5 / sound_total if s.label < 0 else 1.0 / (n * parts[s.label] * defects)
    return result
