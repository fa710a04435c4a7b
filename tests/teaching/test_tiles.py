"""How well do models taught from good parts alone tell real defects, on real tiles that they never saw?"""

from __future__ import annotations

import csv
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

from station.calibration.rates import auroc
from station.detector.onnx import OnnxDetector
from station.registry import ModelRegistry
from station.sources.pictures import decode_picture

pytestmark = pytest.mark.long


def test_tiles_taught_from_the_good_half(shared_data: Path, tmp_path: Path) -> None:
    """Good photographs of half the tiles teach for six minutes; the other good ones and all defective ones test.

    Measured on two shared cores without AVX-512, most of their time taken by others: image AUROC 0.78 (by part 0.84).
    A filter bank with one Gaussian over its responses reached 0.53 on the same split.
    """
    pytest.importorskip("torch", reason="torch is not installed: pip install 'inspection-station[train]'")
    from station.training.good_only import GoodParts, teach

    folder = shared_data / "magnetic-tiles"
    if not folder.is_dir():
        pytest.skip("no magnetic-tiles in the shared data")
    with (folder / "index.csv").open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    parts = sorted({r["part"] for r in rows})
    np.random.default_rng(0).shuffle(parts)
    shown = set(parts[: len(parts) // 2])
    good = [r for r in rows if r["part"] in shown and r["label"] == "ok"]
    rest = [r for r in rows if not (r["part"] in shown and r["label"] == "ok")]
    pictures = tuple(folder / r["image"] for r in good)
    report = teach(
        GoodParts(None, ("anomaly",), pictures=pictures, parts=tuple(r["part"] for r in good)),
        out=tmp_path / "tile" / "1",
        minutes=6.0,
    )
    detector = OnnxDetector(ModelRegistry(tmp_path).open("tile/1"))
    scores = np.array(
        [
            detector.detect(decode_picture((folder / r["image"]).read_bytes(), max_pixels=10**7)).scores["anomaly"]
            for r in rest
        ]
    )
    bad = np.array([r["label"] != "ok" for r in rest])
    of_part: dict[tuple[str, bool], list[float]] = defaultdict(list)
    for row, score, defective in zip(rest, scores, bad, strict=True):
        of_part[row["part"], bool(defective)].append(float(score))
    by_part = [
        np.array([np.mean(v) for (_, defective), v in of_part.items() if defective == wanted])
        for wanted in (False, True)
    ]
    found = auroc(scores[~bad], scores[bad])
    print(report.metrics)
    print(f"image AUROC {found:.3f} ({(~bad).sum()} good, {bad.sum()} defective), by part {auroc(*by_part):.3f}")
    for label in sorted({r["label"] for r in rest} - {"ok"}):
        own = np.array([r["label"] == label for r in rest])
        print(f"{label}: {auroc(scores[~bad], scores[own]):.3f} ({own.sum()} pictures)")
    assert found > 0.68
