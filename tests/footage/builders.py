"""Small footage for tests: pictures that tell themselves apart, a footage in a folder, detections in columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import cv2
import numpy as np

from station.core.part import BgrImage, Detections
from station.footage.book import About, Footage, FootagePart, pixel_hash
from station.footage.record import png
from station.footage.truth import Mark, mark
from tests.builders import picture

AT = datetime(2026, 1, 1, tzinfo=UTC)


def about(name: str = "shift", kind: str = "imported") -> About:
    return About(name, kind, AT.isoformat(), "a test", "nowhere")


def footage(
    root: Path,
    truths: Sequence[str | None] = ("ok", "scratch"),
    *,
    serials: Sequence[str | None] | None = None,
    lots: Sequence[str | None] | None = None,
    name: str = "shift",
) -> Footage:
    """A footage with one picture per truth: ``p0``, ``p1`` ..., each marked by ``mia`` where a truth is given."""
    made = Footage.make(root / name, about(name))
    parts = []
    for n in range(len(truths)):
        image = picture(n)
        data = png(image)
        parts.append(
            FootagePart(
                key=f"p{n}",
                picture=made.keep_picture(f"p{n}.png", data),
                sha256=pixel_hash(image),
                file_sha256="f" * 64,
                width=image.shape[1],
                height=image.shape[0],
                source="a test",
                captured_at=AT.isoformat(),
                serial=serials[n] if serials else None,
                lot=lots[n] if lots else None,
            )
        )
    made.add(parts)
    mark(made, [Mark(f"p{n}", t, "mia", AT.isoformat()) for n, t in enumerate(truths) if t is not None])
    return made


def save(path: Path, image: BgrImage) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), image)
    return path


def sha(n: int) -> str:
    return f"{n:064x}"


def same(one: Detections, other: Detections) -> bool:
    return (one.candidates, dict(one.scores), dict(one.unlisted)) == (
        other.candidates,
        dict(other.scores),
        dict(other.unlisted),
    )


def csv_of(path: Path, rows: Sequence[Mapping[str, object]]) -> Path:
    names = list(rows[0])
    path.write_text("\n".join([",".join(names), *(",".join(str(r[n]) for n in names) for r in rows)]) + "\n")
    return path


def noise(seed: int, side: int = 64) -> BgrImage:
    return np.random.default_rng(seed).integers(40, 200, (side, side, 3), dtype=np.uint8)
