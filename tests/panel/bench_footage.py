"""A scored footage for the workbench's tests: pictures, truth, a split, and scores that no model had to give."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from station.config import StationConfig
from station.core.part import Box, Detection, Detections
from station.detector.tensors import preprocess_hash
from station.footage.book import Footage, FootagePart, pixel_hash
from station.footage.checked import Checked
from station.footage.reading import health_hash
from station.footage.record import png
from station.footage.scores import FOLDER, ScoreCache
from station.footage.split import deal
from station.footage.truth import Mark, mark
from station.recipe import HealthLimits
from station.registry import ModelRegistry
from tests.footage.builders import AT, about
from tests.panel.rehearsal import CLASSES, config

ROOT = Path(__file__).resolve().parents[2]
NAMES = tuple(name for name, _ in CLASSES)
TRUTHS = ("ok", "ok", "ok", "scratch", "ok", "dent", "ok", "stain", "ok", "missing_hole")

RECIPE = """name = "disc"
title = "Machined disc"
model = "disc/1"

[trigger]
kind = "free-run"
""" + "".join(f'\n[[classes]]\nname = "{n}"\ntitle = "{t}"\npass_below = 0.3\nfail_above = 0.8\n' for n, t in CLASSES)


def bench_config(folder: Path) -> StationConfig:
    """The rehearsal's station with models and footage of its own below ``folder``."""
    return config(folder).model_copy(update={"models": folder / "models", "footage": folder / "footage"})


def make_model(folder: Path) -> None:
    """The disc model under the name that the rehearsal's recipe gives it, and that recipe's file."""
    target = folder / "models" / "disc" / "1"
    shutil.copytree(ROOT / "models" / "demo-disc" / "1", target)
    card = target / "card.toml"
    card.write_text(card.read_text().replace('name = "demo-disc"', 'name = "disc"'))
    (folder / "disc.toml").write_text(RECIPE)


def make_footage(
    folder: Path,
    parts: int = 120,
    *,
    name: str = "shift",
    views: int = 1,
    split: bool = True,
    keep: float = 1.0,
    first: int = 0,
) -> Footage:
    """A footage of ``parts`` pictures, every tenth of a part with each defect, scored for ``disc/1`` but for a rest.

    Args:
        folder: Of the station.
        parts: Pictures.
        name: Of the footage.
        views: Pictures of each physical part.
        split: Deal it by half.
        keep: Share of the pictures whose scores are kept.
        first: Number that the first picture shows: those of two footages with the same number are the same.
    """
    rng = np.random.default_rng(7)
    made = Footage.make(folder / "footage" / name, about(name))
    rows, lines, marks = [], [], []
    for n in range(parts):
        truth = TRUTHS[n // views % len(TRUTHS)]
        image = np.full((48, 64, 3), 90, np.uint8)
        image[0, 0] = ((first + n) % 251, (first + n) // 251 % 251, 7)
        box = (12, 12, 44, 36) if truth != "ok" else (2, 2, 8, 8)
        cv2.rectangle(image, box[:2], box[2:], (40, 40, 200), 2)
        data = png(image)
        lines.append(
            FootagePart(
                key=f"p{n}", picture=made.keep_picture(f"p{n}.png", data), sha256=pixel_hash(image),
                file_sha256="f" * 64, width=64, height=48, source="a test", captured_at=AT.isoformat(),
                serial=f"s{n // views}" if views > 1 else None, lot=f"lot{n % 40}",
            )
        )  # fmt: skip
        marks.append(Mark(f"p{n}", truth, "mia", AT.isoformat()))
        rows.append((pixel_hash(image), found(rng, truth, box), (48, 64)))
    made.add(lines)
    mark(made, marks)
    keep_scores(folder, rows[: round(keep * parts)])
    if split:
        deal(made)
    return made


def found(rng: np.random.Generator, truth: str, box: Sequence[float]) -> Detections:
    """Scores that tell most defects, with one candidate box for the class that scores most."""
    scores = {name: float(rng.beta(1.2, 9.0)) for name in NAMES}
    if truth != "ok":
        scores[truth] = float(rng.beta(6.0, 2.5))
    label = max(scores, key=lambda c: scores[c])
    return Detections(
        (Detection(label, scores[label], Box(*map(float, box))),), scores, None, dict.fromkeys(NAMES, 0.01)
    )


def keep_scores(folder: Path, rows: Sequence[tuple[str, Detections, tuple[int, int]]]) -> None:
    """Puts scores where a replay would keep them."""
    card = ModelRegistry(folder / "models").open("disc/1").card
    cache = ScoreCache(
        folder / "footage" / FOLDER,
        model_sha256=card.sha256,
        preprocess=preprocess_hash(card.input),
        classes=card.head.classes,
    )
    health = Checked(folder / "footage" / FOLDER, health_hash(HealthLimits(), whole_frame=False))
    for row in rows:
        cache.add(*row)
        health.add(row[0], None)
    cache.flush()
    health.flush()
