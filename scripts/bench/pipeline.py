#!/usr/bin/env python3
"""How much of raw inference speed is left when every part is decided, written down and commanded?

A: ``session.run`` of the recipe's model on prepared tensors of real part pictures, nothing else.
B: the station's own loop from the decoded frame to the committed row, durable ledger and pictures included.
Same pictures, same model, same threads, alternating in one run. Efficiency = time of A / time of B.

    python3 scripts/bench/pipeline.py [--quick] [--json FILE] [--recipe demo-disc] [--threads 1]
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import cv2
import numpy as np

from station import __version__
from station.config import StationConfig
from station.core.errors import SourceEnded, StationError
from station.core.part import BgrImage, Frame
from station.core.timing import SystemClock
from station.detector.onnx import OnnxDetector
from station.detector.tensors import prepare
from station.health import FrameWatch
from station.inspection import Inspector
from station.line.unattended import Unattended
from station.loop import InspectionLoop
from station.recipe import load_recipe
from station.registry import ModelRegistry
from station.review import ReviewDesk
from station.sim.world import training_crops
from station.store.images import ImageStore
from station.store.ledger import Ledger, RunStart
from station.trigger import FreeRun

ROOT = Path(__file__).resolve().parents[2]


class MemorySource:
    """Decoded frames from memory, each given once."""

    name = "memory"
    live = False
    dropped = 0

    def __init__(self, images: list[BgrImage], parts: int) -> None:
        self._images, self._parts, self._index = images, parts, 0
        self._clock = SystemClock()

    def read(self, timeout_s: float) -> Frame | None:
        if self._index >= self._parts:
            raise SourceEnded("all given")
        image = self._images[self._index % len(self._images)]
        self._index += 1
        return Frame(self._index - 1, self.name, self._clock.now(), self._clock.monotonic(), image)

    def close(self) -> None:
        pass


@dataclass(frozen=True)
class Bench:
    """One recipe's model with its pictures."""

    recipe: str
    detector: OnnxDetector
    images: list[BgrImage]
    parts: int

    def raw(self) -> float:
        """Seconds of bare inference."""
        tensors = [prepare(i, self.detector.card.input).tensor for i in self.images]
        run = self.detector._session.run
        name = self.detector._session.get_inputs()[0].name
        begin = time.perf_counter()
        for n in range(self.parts):
            run(None, {name: tensors[n % len(tensors)]})
        return time.perf_counter() - begin

    def station(self) -> tuple[float, dict[str, dict[str, float]]]:
        """Seconds of the whole way, and the stage times."""
        recipe = load_recipe(self.recipe, ROOT / "calibration" / "recipes")
        # Audits and held parts are part of the work; a full review lane must not stop the source here.
        clock = SystemClock()
        with tempfile.TemporaryDirectory(prefix="station-bench-") as folder:
            ledger = Ledger(Path(folder) / "ledger.db", clock=clock)
            images = ImageStore(Path(folder) / "images")
            source = MemorySource(self.images, self.parts)
            loop = InspectionLoop(
                source=source,
                trigger=FreeRun(),
                watch=FrameWatch(recipe.health, live=False),
                inspector=Inspector(recipe, self.detector, key=bytes(32)),
                ledger=ledger,
                images=images,
                line=Unattended(),
                desk=ReviewDesk(ledger, images, recipe, clock=clock),
                hold=recipe.hold,
                clock=clock,
                start=RunStart("ST01", recipe.name, recipe.sha256, "{}", None, None, "memory", "none", __version__),
            )
            begin = time.perf_counter()
            loop.run()
            seconds = time.perf_counter() - begin
            balance = ledger.balance()
            ledger.close()
        if balance.triggered != self.parts or not balance.holds:
            raise StationError(f"{self.parts} parts went in, the books say {balance}")
        return seconds, loop.timer.summary()


def pictures(recipe: str, count: int) -> list[BgrImage]:
    """Real part pictures: rendered discs, or tiles where the data set is at hand."""
    if recipe == "magnetic-tile":
        import os

        folder = Path(os.environ.get("STATION_DATA", ROOT.parent / "shared" / "data")) / "magnetic-tiles" / "images"
        files = sorted(folder.glob("*.jpg"))[:: max(1, 833 // count)][:count]
        if not files:
            raise StationError("no magnetic tiles: set STATION_DATA")
        return [np.asarray(cv2.imread(str(f)), dtype=np.uint8) for f in files]
    return [crop for crop, _masks, _spec in training_crops(7, count, defect_rate=0.1)]


def measure(recipe: str, *, rounds: int, parts: int, threads: int, say: Callable[[str], None]) -> dict[str, object]:
    """Alternates A and B."""
    config = StationConfig(models=ROOT / "models", threads=threads)
    chosen = load_recipe(recipe, ROOT / "calibration" / "recipes")
    if chosen.model is None:
        raise StationError(f"recipe {recipe} has no model")
    detector = OnnxDetector(ModelRegistry(config.models).open(chosen.model), threads=threads)
    bench = Bench(recipe, detector, pictures(recipe, 64), parts)
    bench.raw()
    raws, wholes, stages = [], [], {}
    for turn in range(rounds):
        if turn % 2:
            seconds, stages = bench.station()
            raws.append(bench.raw())
        else:
            raws.append(bench.raw())
            seconds, stages = bench.station()
        wholes.append(seconds)
        say(f"  round {turn + 1}: raw {parts / raws[-1]:.1f}, station {parts / seconds:.1f} parts/s")
    ratios = sorted(a / b for a, b in zip(raws, wholes, strict=True))
    return {
        "recipe": recipe,
        "model": chosen.model,
        "threads": threads,
        "parts_per_round": parts,
        "rounds": rounds,
        "raw_parts_per_s": round(parts / statistics.median(raws), 2),
        "station_parts_per_s": round(parts / statistics.median(wholes), 2),
        "efficiency": round(statistics.median(ratios), 4),
        "efficiency_min": round(ratios[0], 4),
        "efficiency_max": round(ratios[-1], 4),
        "stage_ms": stages,
    }


def main() -> int:
    """Measures and prints; exits non-zero only where nothing could be measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="under a minute")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--recipe", action="append", help="default: demo-disc, and magnetic-tile where its data is")
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    cv2.setNumThreads(1)
    results = []
    for recipe in given.recipe or ["demo-disc", "magnetic-tile"]:
        print(recipe)
        try:
            results.append(
                measure(
                    recipe,
                    rounds=3 if given.quick else 7,
                    parts=150 if given.quick else 400,
                    threads=given.threads,
                    say=print,
                )
            )
        except StationError as error:
            print(f"  not measured: {error}")
    if not results:
        return 1
    print(f"\nA raw session.run, B frame to committed row; {platform.processor() or platform.machine()}")
    print(f"{'recipe':16}{'threads':>8}{'A parts/s':>11}{'B parts/s':>11}{'A/B time':>10}{'spread':>16}")
    for r in results:
        spread = f"{r['efficiency_min']}-{r['efficiency_max']}"
        print(
            f"{r['recipe']:16}{r['threads']:>8}{r['raw_parts_per_s']:>11}{r['station_parts_per_s']:>11}"
            f"{r['efficiency']:>10}{spread:>16}"
        )
        for stage, t in r["stage_ms"].items():  # type: ignore[attr-defined]
            print(f"    {stage:16} median {t['median']:8.3f} ms   p99 {t['p99']:8.3f} ms")
    if given.json:
        given.json.write_text(json.dumps({"machine": platform.platform(), "results": results}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
