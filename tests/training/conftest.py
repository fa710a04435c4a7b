"""What do the training tests share? A dozen small pictures, and settings for a network that trains in seconds."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: pip install 'inspection-station[train]'")

from station.training.settings import Geometry, NetShape, Planting, Settings  # noqa: E402 (torch is asked for first)

CLASSES = ("pit", "line")


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    """On small pictures a second thread costs more than it gives, above all beside other tests."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tiny_settings() -> Settings:
    return Settings(
        geometry=Geometry(shapes=((64, 64), (64, 48))),
        net=NetShape(widths=(8, 8, 8, 8), blocks=(1, 1, 1), head=8),
        planting=Planting(share=0.3, paste_share=1.0, harmless_share=0.2),
        batch_pixels=6 * 64 * 64,
        learning_rate=5e-3,
    )


def draw_picture(rng: np.random.Generator, label: str, *, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    picture = np.clip(rng.normal(150, 6, (height, width)), 0, 255).astype(np.uint8)
    mask = np.zeros_like(picture)
    x, y = int(rng.integers(14, width - 14)), int(rng.integers(14, height - 14))
    if label == "pit":
        cv2.circle(mask, (x, y), 5, 255, -1)
    elif label == "line":
        cv2.line(mask, (x - 10, y - 8), (x + 10, y + 8), 255, 3)
    picture[mask > 0] = 40
    return cv2.cvtColor(picture, cv2.COLOR_GRAY2BGR), mask


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve parts: half sound, a quarter pit, a quarter line; the first part was photographed twice."""
    folder = tmp_path_factory.mktemp("tiny")
    rng = np.random.default_rng(5)
    rows = ["image,mask,part,label"]
    for number in range(13):
        label = ("ok", "pit", "ok", "line")[number % 4]
        picture, mask = draw_picture(rng, label, height=70 + number, width=90 - number * 2)
        cv2.imwrite(str(folder / f"{number}.png"), picture)
        cv2.imwrite(str(folder / f"{number}-mask.png"), mask)
        rows.append(f"{number}.png,{number}-mask.png,part-{0 if number == 12 else number},{label}")
    (folder / "index.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return folder
