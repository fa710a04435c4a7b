"""Small material for teaching: photographs of good parts, and a video of the simulated belt."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from station.config import StationConfig
from station.sim.world import Belt


def photograph(number: int, *, width: int = 80, height: int = 72) -> np.ndarray:
    """A plate with a hole, lying a little elsewhere each time."""
    rng = np.random.default_rng(number)
    picture = rng.normal(60, 4, (height, width, 3))
    x, y = (int(v) for v in rng.integers(8, 12, 2))
    picture[y : height - y, x : width - x] += 90
    cv2.circle(picture, (width // 2 + x - 10, height // 2 + y - 10), 9, (40, 40, 40), -1)
    return np.clip(picture, 0, 255).astype(np.uint8)


def photographs(folder: Path, count: int, **size: int) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        assert cv2.imwrite(str(folder / f"{number:03d}.png"), photograph(number, **size))
    return folder


def film(path: Path, *, parts: int, seed: int = 1) -> Path:
    """A lossless-as-can-be video of the simulated belt."""
    belt = Belt(seed=seed, width=160, speed_px=6.0, parts=parts)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25, (160, 120))
    assert writer.isOpened()
    while not belt.finished:
        writer.write(belt.frame())
        belt.advance()
    writer.release()
    return path


def workplace(folder: Path) -> StationConfig:
    """A station with empty folders."""
    (folder / "station.toml").write_text("")
    return StationConfig(recipes=folder / "recipes", models=folder / "models", footage=folder / "footage")
