"""How does a model come out of good parts alone, and what can honestly be said about it?

```
good pictures ──> split by part ──> two members, each blind to half of the parts ──> model.onnx + card + parity/
                    things that do not belong are planted (`unseen`)      └──> scores of good parts out of fold
```

The parts are taken as good. A few bad ones among them do little harm: what is on one part only is not learned as
usual before the time is over. What can be measured is how good parts score that a member never saw, and whether it
finds planted things on them. How real defects score is not known before people have answered: the card says so.
"""

from __future__ import annotations

import hashlib
import platform
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from station.calibration.rates import auroc
from station.core.errors import DataRefused, ImageFault
from station.detector.onnx import OnnxDetector
from station.registry import ModelRegistry
from station.sources.pictures import decode_picture
from station.training.card import Card, GoodOnlyMetrics, Provenance, write_card
from station.training.fit import MAX_PIXELS, Progress, parent_made, train_all, write_model
from station.training.folds import split_by_part
from station.training.members import score
from station.training.samples import Sample, Source, resized
from station.training.settings import Settings, for_good_parts
from station.training.unseen import plant_unseen
from station.training.workers import Trained, worker_count

FOLDS = 2
MOST_TRIED = 120
"""Good pictures on which planting is tried afterwards; more cost time and say little more."""
MOST_READ = 200_000_000
"""Pixels beyond which a picture is not decoded."""


@dataclass(frozen=True)
class GoodParts(Source):
    """Pictures of parts taken as good; small enough to hand to another process, which loads them itself.

    Attributes:
        pictures: Picture files.
        parts: Physical part of each; pictures of one part are never split.
        resize_long: Longer side in pixels that they are brought to; 0: as they are.
        pixels: Most pixels of one of them before that.
        called: What the card says about the data.
    """

    pictures: tuple[Path, ...] = ()
    parts: tuple[str, ...] = ()
    resize_long: int = 0
    pixels: int = 0
    called: str = "good parts"

    @property
    def title(self) -> str:
        """What the card says about the data."""
        return self.called

    def load(self) -> tuple[Sample, ...]:
        """Read all pictures, always in the same order.

        Raises:
            DataRefused: One is gone or cannot be read.
        """
        found = []
        for path, part in zip(self.pictures, self.parts, strict=True):
            try:
                image = decode_picture(path.read_bytes(), max_pixels=MOST_READ)
            except (OSError, ImageFault) as error:
                raise DataRefused(f"{path} cannot be read ({error}): take it out and start again") from error
            image = resized(image, long_px=self.resize_long)
            found.append(Sample(path.name, image, np.zeros(image.shape[:2], np.uint8), part, -1, True))
        return tuple(found)


@dataclass(frozen=True)
class TaughtReport:
    """What teaching made: the model folder, and what is known of it."""

    name: str
    version: str
    folder: Path
    sha256: str
    minutes: float
    size_bytes: int
    metrics: GoodOnlyMetrics

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {**asdict(self), "folder": str(self.folder)}


def teach(
    good: GoodParts,
    *,
    out: Path,
    minutes: float = 8.0,
    seed: int = 0,
    progress: Progress = lambda step, share: None,
    settings: Settings | None = None,
    workers: int | None = None,
) -> TaughtReport:
    """Teach a detector of one class from `good` and write the model folder `out`, named <name>/<version>.

    Args:
        good: The parts; its one class is what everything strange is called.
        out: Model folder to write; must not exist.
        minutes: Wall clock for the whole thing.
        seed: Split, weights and planting.
        progress: Told (step, share of the whole in 0..1).
        settings: Instead of those for good parts.
        workers: Members trained at a time; None: one per core. 1 stays in this process.

    Raises:
        DataRefused: `out` exists, or the pictures cannot be used.
        ModelRefused: The written model does not compute what torch computed.
        StationError: A worker failed.
    """
    if out.exists():
        raise DataRefused(f"{out} exists and is never overwritten: teach the next version")
    if len(good.classes) != 1 or len(set(good.parts)) < FOLDS:
        raise DataRefused(f"teaching needs one class and {FOLDS} parts or more, got {good.classes}, {len(good.parts)}")
    start = time.monotonic()
    progress("pictures", 0.0)
    samples = good.load()
    chosen = settings or for_good_parts(colour=_coloured(samples))
    trained = train_all(
        good,
        samples,
        chosen=chosen,
        folds=FOLDS,
        seed=seed,
        count=workers or worker_count(FOLDS),
        deadline=start + minutes * 60.0 * 0.92,  # the rest: the figures, the export
        progress=progress,
    )
    scores = np.zeros(len(samples), np.float32)
    for member in trained:
        scores[member.indices] = member.scores[:, 0]
    progress("figures", 0.96)
    metrics = _measured(samples, trained, scores, chosen=chosen, seed=seed)
    with tempfile.TemporaryDirectory(prefix="model-", dir=parent_made(out)) as place:
        name = out.parent.name
        folder = Path(place) / name / out.name
        parity = write_model(
            folder, trained, classes=good.classes, settings=chosen, seed=seed, resize_long=good.resize_long
        )
        _write_scores(folder / "out-of-fold.csv", samples, scores, label=good.classes[0])
        sha256 = hashlib.sha256((folder / "model.onnx").read_bytes()).hexdigest()
        spent = round((time.monotonic() - start) / 60.0, 2)
        card = Card(
            name=name,
            version=out.name,
            created=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            sha256=sha256,
            classes=good.classes,
            stride=chosen.net.stride,
            multiple=chosen.multiple,
            max_pixels=max(MAX_PIXELS, min(2 * good.pixels, MOST_READ)),
            resize_long=good.resize_long,
            training=Provenance(
                data=good.title,
                images=len(samples),
                parts=len(set(good.parts)),
                seed=seed,
                minutes=spent,
                software=f"torch {torch.__version__.split('+')[0]}, python {platform.python_version()}",
                command=f"station recipe teach {name} --minutes {minutes:g} --seed {seed}",
                notes="taught from parts taken as good, with artificial defects planted; how it meets real defects "
                "is not known: the figures are of planted ones",
                terms="as the pictures",
            ),
            metrics=metrics,
            parity=parity,
        )
        write_card(card, path=folder / "card.toml")
        OnnxDetector(ModelRegistry(Path(place)).open(f"{name}/{out.name}"))  # gives torch's scores, or raises
        size = (folder / "model.onnx").stat().st_size
        if out.exists():
            raise DataRefused(f"{out} appeared meanwhile and is never overwritten: teach the next version")
        folder.rename(out)
    progress("done", 1.0)
    return TaughtReport(name, out.name, out, sha256, spent, size, metrics)


def _coloured(samples: Sequence[Sample]) -> bool:
    """Whether the pictures hold any colour worth looking at: channels apart by more than 3 grey levels on average."""
    few = samples[:: max(1, len(samples) // 12)]
    return any(float(np.ptp(s.image[::4, ::4].astype(np.int16), axis=2).mean()) > 3.0 for s in few)


def _measured(
    samples: Sequence[Sample], trained: Sequence[Trained], scores: NDArray[np.float32], *, chosen: Settings, seed: int
) -> GoodOnlyMetrics:
    """What good parts score out of fold, and how well planted things are told from them by the member that is blind."""
    fold_of = split_by_part(samples, folds=FOLDS, seed=seed)
    picked = range(0, len(samples), max(1, -(-len(samples) // MOST_TRIED)))
    planted: list[float] = []
    for member in trained:
        net = member.network(classes=1, settings=chosen)
        own = [spoilt for k in picked if fold_of[k] == member.fold and (spoilt := _spoilt(samples[k], seed=seed + k))]
        planted += [float(value) for value in score(net, own, settings=chosen)[:, 0]] if own else []
    levels = np.quantile(np.asarray(scores, np.float64), (0.5, 0.9, 0.98))
    return GoodOnlyMetrics(
        good_score_median=float(levels[0]),
        good_score_90=float(levels[1]),
        good_score_98=float(levels[2]),
        n_good_images=len(samples),
        n_good_parts=len({s.part for s in samples}),
        planted_auroc=auroc(np.asarray(scores, np.float64), np.array(planted)) if planted else 0.5,
        n_planted=len(planted),
        folds=FOLDS,
    )


def _spoilt(sample: Sample, *, seed: int) -> Sample | None:
    """The sample with one thing planted onto the whole picture; None where nothing visible came of it."""
    rng = np.random.default_rng((seed, 99))
    image, mask = sample.image.astype(np.float32), sample.mask.copy()
    for _ in range(4):
        if plant_unseen(image, mask, rng=rng):
            return replace(sample, image=np.asarray(np.rint(image), np.uint8), mask=mask, label=0)
    return None


def _write_scores(path: Path, samples: Sequence[Sample], scores: NDArray[np.float32], *, label: str) -> None:
    lines = [f"part,label,{label}"]
    lines += [f"{_plain(s.part)},ok,{value:.5f}" for s, value in zip(samples, scores, strict=True)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _plain(name: str) -> str:
    return name.replace(",", "_").replace('"', "_").replace("\n", "_")
