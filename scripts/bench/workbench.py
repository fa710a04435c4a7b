#!/usr/bin/env python3
"""How long does an engineer wait for the figures of a limit that was moved?

In a real Chromium, with loop, panel and browser as processes of their own on this machine, over a footage of 100,000
labelled tuning parts with four classes:

move    key on a limit -> figures and curves of that limit painted
drag    a limit dragged to and fro: figures painted per second, and how old the figures are that are painted
open    the footage chosen -> its figures painted, the first time and again

    .venv/bin/python scripts/bench/workbench.py [--quick] [--json FILE] [--parts N]

Needs the extra ``dev`` (Playwright) and a Chromium on PATH. Exits non-zero only where it could not measure.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import signal
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np

from station import __version__
from station.core.part import Detections
from station.footage.book import Footage, FootagePart
from station.footage.split import deal
from station.footage.truth import Mark, mark
from tests.footage.builders import AT, about
from tests.panel.bench_footage import NAMES, keep_scores, make_model
from tests.panel.browsing import FLAGS, Stage, until
from tests.panel.serving import sign_in

SEALED = 0.05
DEFECTIVE = 0.02

WATCH = """() => {
  // Painted: the frame that follows the drawing has begun and its work is done.
  window.bench = { moves: [], drawn: [], at: new Map() };
  document.addEventListener("keydown", (event) => { window.bench.key = event.timeStamp; }, true);
  document.addEventListener("pointermove", () => {
    const value = document.querySelector("[data-limit=pass_below]").getAttribute("aria-valuenow");
    window.bench.at.set(value, performance.now());
  });
  const mark = performance.mark.bind(performance);
  performance.mark = (name, more) => {
    const made = mark(name, more);
    if (name !== "station-workbench") return made;
    const limit = more.detail.limits[more.detail.moved].pass_below;
    requestAnimationFrame(() => setTimeout(() => {
      const now = performance.now();
      window.bench.drawn.push({ limit, now, moved: window.bench.at.get(String(limit)) ?? null });
    }));
    return made;
  };
}"""


def make_large(folder: Path, parts: int) -> None:
    """A footage of ``parts`` tuning parts without a picture file: nothing here opens one."""
    rng = np.random.default_rng(3)
    total = round(parts / (1.0 - SEALED))
    bad = rng.random(total) < DEFECTIVE
    kind = rng.integers(0, len(NAMES), total)
    scores = rng.beta(1.2, 12.0, (total, len(NAMES)))
    scores[bad, kind[bad]] = rng.beta(6.0, 2.0, int(bad.sum()))
    made = Footage.make(folder / "footage" / "large", about("large"))
    made.add([
        FootagePart(f"p{n}", None, f"{n + 1:064x}", None, 64, 48, "a bench", AT.isoformat(), lot=f"lot{n % 200}")
        for n in range(total)
    ])  # fmt: skip
    mark(made, [Mark(f"p{n}", NAMES[kind[n]] if bad[n] else "ok", "mia", AT.isoformat()) for n in range(total)])
    rows = [
        (f"{n + 1:064x}", Detections((), dict(zip(NAMES, map(float, scores[n]), strict=True))), (48, 64))
        for n in range(total)
    ]
    keep_scores(folder, rows)
    deal(made, sealed_share=SEALED)


def measure_move(page: Any, moves: int) -> list[float]:
    """Milliseconds from the key to the painted figures of the limit it asked for."""
    page.focus("[data-limit=pass_below]")
    found = []
    for n in range(moves):
        page.keyboard.press("ArrowRight" if n % 20 < 10 else "ArrowLeft")
        page.wait_for_function(
            "() => window.bench.drawn.some((d) => d.now > window.bench.key && "
            "String(d.limit) === document.querySelector('[data-limit=pass_below]').getAttribute('aria-valuenow'))"
        )
        found.append(float(page.evaluate("window.bench.drawn.at(-1).now - window.bench.key")))
        page.wait_for_timeout(60)
    return found


def measure_drag(page: Any, seconds: float) -> tuple[float, list[float]]:
    """Figures painted per second while a limit is dragged, and the age of each in milliseconds."""
    box = page.locator("[data-limit=pass_below]").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.evaluate("window.bench.drawn.length = 0; window.bench.at.clear()")
    begin = time.perf_counter()
    n = 0
    while time.perf_counter() - begin < seconds:
        n += 1
        page.mouse.move(x + 120 * np.sin(n / 15.0), y)
    took = time.perf_counter() - begin
    page.mouse.up()
    drawn = page.evaluate("window.bench.drawn.filter((d) => d.moved !== null)")
    return len(drawn) / took, [d["now"] - d["moved"] for d in drawn]


def measure_open(page: Any, times: int) -> list[float]:
    """Milliseconds from the choice of the footage to its painted figures."""
    found = []
    for _ in range(times):
        before = page.evaluate("window.bench.drawn.length")
        begin = time.perf_counter()
        page.select_option("#wb-footage", "large")
        page.wait_for_function("n => window.bench.drawn.length > n", arg=before, timeout=120_000)
        found.append(1000.0 * (time.perf_counter() - begin))
        page.evaluate("document.querySelector('#wb-footage').value = ''")
    return found


def spread(values: list[float]) -> dict[str, float]:
    """Median, 95th percentile, number."""
    ordered = sorted(values)
    return {
        "median": statistics.median(ordered),
        "p95": ordered[min(len(ordered) - 1, round(0.95 * (len(ordered) - 1)))],
        "n": float(len(ordered)),
    }


def main() -> int:
    """Measures and prints."""
    asked = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    asked.add_argument("--quick", action="store_true", help="few repetitions")
    asked.add_argument("--json", type=Path)
    asked.add_argument("--parts", type=int, default=100_000)
    given = asked.parse_args()
    chromium = next((p for n in ("chromium", "chromium-browser", "google-chrome") if (p := shutil.which(n))), None)
    if chromium is None:
        print("no Chromium on PATH: install one", file=sys.stderr)
        return 1
    from playwright.sync_api import sync_playwright

    result: dict[str, Any] = {
        "version": __version__, "machine": platform.processor() or platform.machine(), "parts": given.parts,
    }  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="station-bench-") as name, sync_playwright() as driver:
        folder = Path(name)
        make_model(folder)
        make_large(folder, given.parts)
        os.environ.update({"STATION_FOOTAGE": str(folder / "footage"), "STATION_MODELS": str(folder / "models")})
        at = Stage(folder)
        try:
            at.start_loop("p" * 16)
            at.start_panel()
            until(at.has_run)
            at.wait_for_panel()
            browser = driver.chromium.launch(executable_path=chromium, args=FLAGS)
            context = browser.new_context(viewport={"width": 1280, "height": 800})
            sign_in(context.request, "Eva", base=f"http://127.0.0.1:{at.port}")
            context.add_init_script(f"({WATCH})()")
            page = context.new_page()
            page.set_default_timeout(120_000)
            page.goto(f"http://127.0.0.1:{at.port}/engineer/")
            page.click("#station-tabs [role=tab][aria-controls=tab-workbench]")
            page.wait_for_function("window.bench.drawn.length > 0")  # the only footage opens by itself
            result["first_s"] = round(page.evaluate("window.bench.drawn[0].now") / 1000.0, 2)
            result["open"] = spread(measure_open(page, 3 if given.quick else 10))
            result["move"] = spread(measure_move(page, 30 if given.quick else 200))
            rate, ages = measure_drag(page, 3.0 if given.quick else 15.0)
            result["drag"] = {"per_s": rate, **spread(ages)}
            browser.close()
        finally:
            for running in list(at.running):
                at.stop(running, signal.SIGKILL)
    rows = (
        (f"limit moved -> figures painted, {given.parts:,} parts", _ms(result["move"]), "<= 200 ms"),
        ("limit dragged: age of the figures painted", _ms(result["drag"]), "<= 200 ms"),
        ("limit dragged: figures painted per second", f"{result['drag']['per_s']:.0f}", ""),
        ("footage opened again -> figures painted", _ms(result["open"]), ""),
        ("page cold, footage laid out -> figures painted", f"{result['first_s']:.1f} s", ""),
    )
    for words, value, aim in rows:
        print(f"{words:<62} {value:<40} {aim}")
    if given.json:
        given.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return 0


def _ms(found: dict[str, float]) -> str:
    return f"median {found['median']:.0f}, p95 {found['p95']:.0f} ms (n {found['n']:.0f})"


if __name__ == "__main__":
    sys.exit(main())
