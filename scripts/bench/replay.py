#!/usr/bin/env python3
"""How many recorded parts are replayed per second, from kept scores and with inference on all cores?

limits     verdicts of many parts from columns in memory, without and with minimum sizes and ignored regions
cached     the whole replay of a footage whose scores are kept, its files read from the disk
inference  A: bare ``session.run`` in one process per core; B: the replay of a footage that no model has seen,
           pictures read, checked, inspected and kept, with as many workers. Same pictures, alternating.
           Efficiency = time of A / time of B, start of the workers left out on both sides and shown beside it.

    python3 scripts/bench/replay.py [--quick] [--json FILE] [--recipe demo-disc] [--jobs N]
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import cv2
import numpy as np

from station.config import StationConfig
from station.core.errors import StationError
from station.core.part import Detections
from station.core.timing import SystemClock
from station.crew import cores
from station.decision import Counts
from station.detector.onnx import OnnxDetector
from station.detector.tensors import prepare
from station.footage.book import About, Footage, FootagePart, pixel_hash, stamped
from station.footage.checked import Checked
from station.footage.columns import evaluate_all, judge_all
from station.footage.reading import health_hash
from station.footage.record import png
from station.footage.scores import Columns, ScoreCache
from station.footage_replay import cache_root, model_card, preprocess_hash, replay_footage
from station.recipe import Limits, load_recipe
from station.registry import ModelRegistry
from station.sim.world import training_crops

ROOT = Path(__file__).resolve().parents[2]
CLASSES = ("scratch", "dent", "stain", "missing_hole")


def made_up(parts: int) -> Columns:
    """Columns like those of a model: few high scores, three candidates on two parts."""
    rng = np.random.default_rng(0)
    counts = rng.poisson(1.5, parts)
    first = np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
    total = int(first[-1])
    owner, label = np.repeat(np.arange(parts), counts), rng.integers(0, 4, total).astype(np.uint8)
    score = rng.beta(1, 6, total)
    scores = rng.beta(1, 30, (parts, 4))
    np.maximum.at(scores, (owner, label), score)
    x, y = rng.uniform(0, 300, total), rng.uniform(0, 300, total)
    return Columns(
        CLASSES,
        rng.integers(0, 256, (parts, 32)).astype(np.uint8),
        scores,
        np.full((parts, 4), 0.02),
        np.full((parts, 2), 320, np.int32),
        first,
        label,
        score,
        np.stack([x, y, x + rng.uniform(2, 20, total), y + rng.uniform(2, 20, total)], axis=1),
    )


def limits_rows(parts: int, rounds: int) -> list[dict[str, Any]]:
    """Verdicts of many parts from columns in memory."""
    columns = made_up(parts)
    limits = {c: Limits(pass_below=0.3, fail_above=0.9) for c in CLASSES}
    counts = {c: Counts(40.0, ((0.0, 0.0, 0.2, 0.2), (0.8, 0.8, 1.0, 1.0))) for c in CLASSES}
    rows = []
    for name, do in (
        ("limits alone", lambda: evaluate_all(columns.scores, CLASSES, limits)),
        ("limits, sample checked", lambda: judge_all(columns, limits, {})),
        ("limits, sizes, regions, sample checked", lambda: judge_all(columns, limits, counts)),
    ):
        times = [timed(do) for _ in range(rounds)]
        rows.append(row(name, parts, times))
    return rows


def cached_row(folder: Path, parts: int, rounds: int, config: StationConfig) -> dict[str, Any]:
    """The whole replay of a footage from its files."""
    recipe = load_recipe("demo-disc", config.recipes)
    card = model_card(recipe, config)
    assert card is not None
    footage = Footage.make(folder / "cached", about("cached"))
    cache = ScoreCache(
        cache_root(footage), model_sha256=card.sha256, preprocess=preprocess_hash(card.input), classes=card.head.classes
    )
    healthy = Checked(cache_root(footage), health_hash(recipe.health, whole_frame=False))
    columns = made_up(parts)
    lines = []
    for n in range(parts):
        sha256 = columns.sha256[n].tobytes().hex()
        lines.append(FootagePart(f"ST01-{n:06d}", None, sha256, None, 320, 320, "camera", "2026-01-01T00:00:00+00:00"))
        cache.add(sha256, Detections((), dict(zip(CLASSES, columns.scores[n].tolist(), strict=True))), (320, 320))
        healthy.add(sha256, None)
    cache.flush()
    healthy.flush()
    footage.add(lines)

    def whole() -> None:
        result = replay_footage(Footage.open(footage.folder), recipe, config)
        if result.inspected or len(result.judged.code) != parts:
            raise StationError(f"{result.inspected} of {parts} parts were inspected, none should be")

    return row("replay of a footage from its cache, files read", parts, [timed(whole) for _ in range(rounds)])


def inference_row(
    folder: Path,
    recipe_name: str,
    parts: int,
    rounds: int,
    jobs: int,
    config: StationConfig,
    say: Callable[[str], None],
) -> dict[str, Any]:
    """Raw inference against replay, on all cores, alternating."""
    recipe = load_recipe(recipe_name, config.recipes)
    if recipe.model is None:
        raise StationError(f"recipe {recipe_name} has no model")
    footage = pictures(folder / "seen", recipe_name, parts)
    raws, wholes, starts = [], [], []
    for turn in range(rounds):
        for what in ("raw", "replay") if turn % 2 == 0 else ("replay", "raw"):
            if what == "raw":
                raws.append(raw_on_all_cores(footage, recipe.model, config, jobs))
            else:
                shutil.rmtree(cache_root(footage), ignore_errors=True)
                steady, start = replayed(footage, recipe_name, config, jobs)
                wholes.append(steady)
                starts.append(start)
        say(f"  round {turn + 1}: raw {1 / raws[-1]:.1f}, replay {1 / wholes[-1]:.1f} parts/s")
    ratios = sorted(a / b for a, b in zip(raws, wholes, strict=True))
    return {
        "name": f"replay with inference, {recipe_name}",
        "jobs": jobs,
        "parts": parts,
        "rounds": rounds,
        "raw_parts_per_s": round(1 / statistics.median(raws), 2),
        "parts_per_s": round(1 / statistics.median(wholes), 2),
        "efficiency": round(statistics.median(ratios), 4),
        "efficiency_min": round(ratios[0], 4),
        "efficiency_max": round(ratios[-1], 4),
        "start_s": round(statistics.median(starts), 2),
    }


def replayed(footage: Footage, recipe_name: str, config: StationConfig, jobs: int) -> tuple[float, float]:
    """Seconds per part once the workers run, and seconds until then."""
    begin = time.perf_counter()
    marks: list[tuple[int, float]] = []
    recipe = load_recipe(recipe_name, config.recipes)
    result = replay_footage(
        footage, recipe, config, jobs=jobs, progress=lambda done: marks.append((done, time.perf_counter()))
    )
    end = time.perf_counter()
    if result.inspected != len(footage.parts):
        raise StationError(f"{result.inspected} of {len(footage.parts)} parts were inspected")
    done, at = next(it for it in marks if it[0] >= len(footage.parts) // 5)
    return (end - at) / (len(footage.parts) - done), marks[1][1] - begin


def raw_on_all_cores(footage: Footage, model: str, config: StationConfig, jobs: int) -> float:
    """Seconds per picture of bare inference, one process per core, from their common start to the last one's end."""
    context = multiprocessing.get_context("spawn")
    barrier, answers = context.Barrier(jobs), context.Queue()
    files = [str(footage.folder / str(p.picture)) for p in footage.parts]
    workers = [
        context.Process(target=_raw, args=(files[k::jobs], model, str(config.models), barrier, answers))
        for k in range(jobs)
    ]
    for worker in workers:
        worker.start()
    spans = [answers.get(timeout=600) for _ in workers]
    for worker in workers:
        worker.join()
    return (max(end for _, end in spans) - min(begin for begin, _ in spans)) / len(files)


def _raw(files: list[str], model: str, models: str, barrier: Any, answers: Any) -> None:
    cv2.setNumThreads(1)
    detector = OnnxDetector(ModelRegistry(Path(models)).open(model), threads=1)
    tensors = [prepare(np.asarray(cv2.imread(f), np.uint8), detector.card.input).tensor for f in files]
    name = detector._session.get_inputs()[0].name
    detector._session.run(None, {name: tensors[0]})
    barrier.wait(timeout=300)
    begin = time.time()
    for tensor in tensors:
        detector._session.run(None, {name: tensor})
    answers.put((begin, time.time()))


def pictures(folder: Path, recipe: str, parts: int) -> Footage:
    """Real part pictures as footage: rendered discs, or tiles where the data set is at hand; each once."""
    if recipe == "magnetic-tile":
        source = Path(os.environ.get("STATION_DATA", ROOT.parent / "shared" / "data")) / "magnetic-tiles" / "images"
        files = sorted(source.glob("*.jpg"))
        if not files:
            raise StationError("no magnetic tiles: set STATION_DATA")
        images = [np.asarray(cv2.imread(str(f)), np.uint8) for f in files[:: max(1, len(files) // parts)][:parts]]
    else:
        images = [crop for crop, _masks, _spec in training_crops(7, parts, defect_rate=0.1)]
    footage = Footage.make(folder, about(folder.name))
    lines = []
    for n, image in enumerate(images):
        (folder / "pictures" / f"{n}.png").write_bytes(png(image))
        height, width = image.shape[:2]
        at = "2026-01-01T00:00:00+00:00"
        lines.append(FootagePart(f"p{n}", f"pictures/{n}.png", pixel_hash(image), None, width, height, "camera", at))
    footage.add(lines)
    return footage


def about(name: str) -> About:
    return About(name, "recorded", stamped(SystemClock().now()), "a benchmark", "made up")


def timed(do: Callable[[], object]) -> float:
    begin = time.perf_counter()
    do()
    return time.perf_counter() - begin


def row(name: str, parts: int, times: list[float]) -> dict[str, Any]:
    rates = sorted(parts / t for t in times)
    return {
        "name": name,
        "parts": parts,
        "rounds": len(times),
        "parts_per_s": round(statistics.median(rates)),
        "min": round(rates[0]),
        "max": round(rates[-1]),
    }


def main() -> int:
    """Measures and prints; exits non-zero only where nothing could be measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="under a minute")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--recipe", action="append", help="default: demo-disc; without --quick magnetic-tile as well")
    parser.add_argument("--jobs", type=int, default=cores())
    given = parser.parse_args()
    cv2.setNumThreads(1)
    rounds = 3 if given.quick else 7
    config = StationConfig(recipes=ROOT / "calibration" / "recipes", models=ROOT / "models", threads=1)
    rows = limits_rows(200_000 if given.quick else 1_000_000, rounds)
    compared = []
    with tempfile.TemporaryDirectory(prefix="station-bench-") as folder:
        rows.append(cached_row(Path(folder) / "a", 20_000 if given.quick else 200_000, rounds, config))
        for recipe in given.recipe or (["demo-disc"] if given.quick else ["demo-disc", "magnetic-tile"]):
            print(recipe)
            try:
                parts = 160 if given.quick else 600
                here = Path(folder) / recipe
                found = inference_row(here, recipe, parts, rounds, jobs=given.jobs, config=config, say=print)
                compared.append(found)
            except StationError as error:
                print(f"  not measured: {error}")
    print(f"\n{platform.processor() or platform.machine()}, {cores()} cores")
    print(f"{'what':52}{'parts':>10}{'parts/s':>12}{'spread':>24}")
    for r in rows:
        print(f"{r['name']:52}{r['parts']:>10}{r['parts_per_s']:>12}{r['min']:>12}-{r['max']}")
    print(f"\n{'A raw, B replay, on all cores':40}{'jobs':>5}{'A parts/s':>11}{'B parts/s':>11}", end="")
    print(f"{'A/B time':>10}{'spread':>16}")
    for r in compared:
        spread = f"{r['efficiency_min']}-{r['efficiency_max']}"
        print(
            f"{r['name']:40}{r['jobs']:>5}{r['raw_parts_per_s']:>11}{r['parts_per_s']:>11}"
            f"{r['efficiency']:>10}{spread:>16}   workers start in {r['start_s']} s"
        )
    if given.json:
        found = {"machine": platform.platform(), "cores": cores(), "rows": rows, "inference": compared}
        given.json.write_text(json.dumps(found, indent=1) + "\n")
    return 0 if rows else 1


if __name__ == "__main__":
    sys.exit(main())
