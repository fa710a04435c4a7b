"""How does a training go from samples to a finished model folder, and what does it report?

```
source.load ──> split by part ──> k members, each blind to its fold ──> out-of-fold figures
                                        └──> averaged in one graph ──> model.onnx + card.toml + parity/
```

Nothing is trained twice: the members of the cross validation are the model. The figures are those of single members
on parts that they never saw; the shipped average is usually a little better, and is never measured on its own parts.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from station.detector.onnx import OnnxDetector
from station.registry import ModelRegistry
from station.training.card import Card, Metrics, Parity, Provenance, write_card
from station.training.export_onnx import export, part_scores
from station.training.measure import measure
from station.training.samples import Sample, Source, resized
from station.training.settings import Settings, for_recipe
from station.training.workers import Job, Trained, run_job, train_side_by_side, worker_count

Progress = Callable[[str, float], None]
MAX_PIXELS = 4_000_000
TERMS = {
    "magnetic-tile": "trained on Huang et al., 'Surface defect saliency of magnetic tile' (cite when used)",
    "demo-disc": "trained on rendered pictures of this project only",
}


@dataclass(frozen=True)
class TrainingReport:
    """What a training made: the model folder and its out-of-fold figures."""

    name: str
    version: str
    folder: Path
    sha256: str
    minutes: float
    members: int
    size_bytes: int
    metrics: Metrics

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {**asdict(self), "folder": str(self.folder)}


def train(
    data: Path | None,
    *,
    recipe_name: str,
    classes: tuple[str, ...],
    out: Path,
    minutes: float = 38.0,
    seed: int = 0,
    folds: int = 4,
    simulated_parts: int = 600,
    progress: Progress = lambda step, share: None,
    settings: Settings | None = None,
    workers: int | None = None,
) -> TrainingReport:
    """Train, cross-validate by part and write the model folder `out`, named <name>/<version>.

    Args:
        data: Folder with index.csv, images and masks; None renders simulated discs.
        recipe_name: Recipe that the model is for; chooses the settings.
        classes: Defect classes, in the order of the maps.
        out: Model folder to write; its last component is the version. Replaced only when everything is ready.
        minutes: Wall clock for the whole thing.
        seed: Split, weights and augmentation.
        folds: Members, and parts of the cross validation.
        simulated_parts: Discs rendered when `data` is None.
        progress: Told (step, share of the whole in 0..1).
        settings: Instead of the recipe's own.
        workers: Members trained at a time; None: one per core. 1 stays in this process.

    Raises:
        DataRefused: the data cannot be used.
        ModelRefused: the written model does not compute what torch computed.
        StationError: a worker failed.
    """
    start = time.monotonic()
    chosen = settings or for_recipe(recipe_name)
    source = Source(data, classes, simulated_parts=simulated_parts, seed=seed)
    progress("samples", 0.0)
    samples = source.load()
    count = workers or worker_count(folds)
    trained = train_all(
        source,
        samples,
        chosen=chosen,
        folds=folds,
        seed=seed,
        count=count,
        deadline=start + minutes * 60.0,
        progress=progress,
    )
    scores = np.zeros((len(samples), len(classes)), np.float32)
    for member in trained:
        scores[member.indices] = member.scores
    metrics = measure(samples, scores, classes=classes, folds=folds)
    progress("export", 0.97)
    with tempfile.TemporaryDirectory(prefix="model-", dir=parent_made(out)) as place:
        folder = Path(place) / recipe_name / out.name
        parity = write_model(folder, trained, classes=classes, settings=chosen, seed=seed)
        _write_out_of_fold(folder / "out-of-fold.csv", samples, scores, classes=classes)
        sha256 = hashlib.sha256((folder / "model.onnx").read_bytes()).hexdigest()
        spent = (time.monotonic() - start) / 60.0
        card = Card(
            name=recipe_name,
            version=out.name,
            created=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            sha256=sha256,
            classes=classes,
            stride=chosen.net.stride,
            multiple=chosen.multiple,
            max_pixels=MAX_PIXELS,
            training=Provenance(
                data=source.title,
                images=len(samples),
                parts=len({s.part for s in samples}),
                seed=seed,
                minutes=round(spent, 2),
                software=f"torch {torch.__version__.split('+')[0]}, python {platform.python_version()}",
                command=f"station train --recipe {recipe_name} --minutes {minutes:g} --seed {seed} --folds {folds}",
                notes=f"average of {folds} members, each blind to its fold; figures are out of fold, of single members",
                terms=TERMS.get(recipe_name, "as the training data"),
            ),
            metrics=metrics,
            parity=parity,
        )
        write_card(card, path=folder / "card.toml")
        OnnxDetector(
            ModelRegistry(Path(place)).open(f"{recipe_name}/{out.name}")
        )  # the graph gives torch's scores, or raises
        size = (folder / "model.onnx").stat().st_size
        swap_in(folder, out)
    progress("done", 1.0)
    return TrainingReport(recipe_name, out.name, out, sha256, round(spent, 2), folds, size, metrics)


def train_all(
    source: Source,
    samples: Sequence[Sample],
    *,
    chosen: Settings,
    folds: int,
    seed: int,
    count: int,
    deadline: float,
    progress: Progress,
) -> list[Trained]:
    """Train the members in rounds of `count`; every round gets an equal share of what time is left."""
    trained: list[Trained] = []
    rounds = [list(range(folds))[k : k + count] for k in range(0, folds, count)]
    for number, round_folds in enumerate(rounds):
        left = deadline - time.monotonic()
        seconds = left * (1.0 - chosen.reserve) / (len(rounds) - number)
        jobs = [Job(source, chosen, fold, folds, time.time() + seconds, seed) for fold in round_folds]

        def tell(share: float, number: int = number) -> None:
            progress(
                f"members {number * count + 1}-{min((number + 1) * count, folds)} of {folds}",
                (number + share) / len(rounds) * 0.96,
            )

        if count > 1:
            trained += train_side_by_side(jobs, progress=tell)
        else:
            trained += [run_job(job, samples, progress=tell) for job in jobs]
    return trained


def parent_made(out: Path) -> Path:
    out.parent.mkdir(parents=True, exist_ok=True)
    return out.parent


def swap_in(folder: Path, out: Path) -> None:
    """Put the finished folder in place of an earlier one."""
    if out.exists():
        shutil.rmtree(out)
    os.replace(folder, out)


def write_model(
    folder: Path,
    trained: Sequence[Trained],
    *,
    classes: Sequence[str],
    settings: Settings,
    seed: int,
    resize_long: int = 0,
) -> tuple[Parity, ...]:
    """Write model.onnx and the parity pictures; return what torch says about them, so that the graph has to agree.

    `resize_long` is the card's: the station resizes the parity pictures too, so torch is shown them resized.
    """
    (folder / "parity").mkdir(parents=True)
    members = [t.network(classes=len(classes), settings=settings) for t in trained]
    path = folder / "model.onnx"
    deployed = export(members, path=path, multiple=settings.multiple)
    rows = []
    for number, picture in enumerate(parity_pictures(seed)):
        name = f"parity/{number}.png"
        cv2.imwrite(str(folder / name), picture)
        shown = resized(picture, long_px=resize_long)
        scores = part_scores(deployed, shown, multiple=settings.multiple, stride=settings.net.stride)
        rows.append(Parity(name, tuple((c, float(s)) for c, s in zip(classes, scores, strict=True))))
    return tuple(rows)


def parity_pictures(seed: int) -> tuple[NDArray[np.uint8], ...]:
    """Draw three pictures from `seed`: streaky noise, one with a dark pit, one with a line; two sizes need padding."""
    rng = np.random.default_rng((seed, 77))
    pictures = []
    for number, (height, width) in enumerate(((160, 128), (150, 201), (203, 117))):
        ground = rng.normal(110, 30, (4, 4)).astype(np.float32)
        grey = np.asarray(cv2.resize(ground, (width, height), interpolation=cv2.INTER_CUBIC), np.float32)
        grey += (rng.normal(0, 6, (1, width)) + rng.normal(0, 4, (height, width))).astype(np.float32)
        if number == 1:
            cv2.circle(grey, (width // 3, height // 2), 7, 25.0, -1)
        if number == 2:
            cv2.line(grey, (20, 30), (80, 150), 30.0, 3)
        soft = cv2.GaussianBlur(grey, (0, 0), 0.8)
        pictures.append(cv2.cvtColor(np.clip(soft, 0, 255).astype(np.uint8), cv2.COLOR_GRAY2BGR))
    return tuple(np.asarray(p, np.uint8) for p in pictures)


def _write_out_of_fold(
    path: Path, samples: Sequence[Sample], scores: NDArray[np.float32], *, classes: Sequence[str]
) -> None:
    """Write part, label and out-of-fold scores per picture: what limits are drawn from."""
    lines = [",".join(("part", "label", *classes))]
    for sample, row in zip(samples, scores, strict=True):
        label = classes[sample.label] if sample.label >= 0 else "ok"
        lines.append(",".join((sample.part, label, *(f"{value:.5f}" for value in row))))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
