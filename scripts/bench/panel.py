#!/usr/bin/env python3
"""How long does an inspector wait for the panel, and what does the panel cost the loop?

Four measurements in a real Chromium, loop, panel and browser as processes of their own on this machine, the loop
busy with a part every ``1 / RATE`` seconds, each through the true model:

key       answer key pressed -> next part painted, at 640 x 640 and 2448 x 2048, by one and by ten inspectors
stop      a held part's commit -> painted on a screen that waited
page      first page, cold: browser without cache, from the address to the first part painted
loop      the loop's cycle (trigger to line) with panel and live screen open against without, alternating

    .venv/bin/python scripts/bench/panel.py [--quick] [--json FILE] [--only key,stop,page,loop]

Needs the extra ``dev`` (Playwright) and a Chromium on PATH. Exits non-zero only where it could not measure.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import platform
import shutil
import signal
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from station import __version__
from station.core.part import BgrImage, Detections
from station.detector.onnx import OnnxDetector
from station.exchange import LoopClient
from station.registry import ModelRegistry
from tests.panel.rehearsal import Rehearsal, Scripted, config
from tests.panel.serving import make_people, secret_of

ROOT = Path(__file__).resolve().parents[2]
SIZES = ((640, 640), (2448, 2048))
RATE = 4.0
"""Parts per second of the busy loop."""

PEOPLE = tuple(f"P{n}" for n in range(10))
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-background-timer-throttling",
    "--disable-renderer-backgrounding", "--disable-backgrounding-occluded-windows",
]  # fmt: skip

SHOWN = "#st-review[data-part]:not([data-part=''])"
"""The review screen while it shows a part."""

WATCH = """() => {
  // Painted: the frame that follows the drawing has begun and its work is done.
  window.bench = { answers: [], shown: [] };
  let pressed = null;
  document.addEventListener("keydown", (event) => { pressed = event.timeStamp; }, true);
  const mark = performance.mark.bind(performance);
  performance.mark = (name, more) => {
    const made = mark(name, more);
    if (name !== "station-painted" || more?.detail?.id == null) return made;
    const { id, why, picture } = more.detail, begun = pressed;
    if (why === "next") pressed = null;
    requestAnimationFrame(() => setTimeout(() => {
      const now = performance.now();
      window.bench.shown.push({ id, why, picture, at: performance.timeOrigin + now });
      if (begun !== null && why === "next") window.bench.answers.push(now - begun);
    }));
    return made;
  };
}"""


class Busy(Scripted):
    """Held parts at first, fast, for a stock; then the plan at the line's pace. Each goes through the true model."""

    def __init__(self, detector: OnnxDetector, plan: str, *, stock: int, pause_s: float, **more: Any) -> None:
        super().__init__(plan, parts=None, pause_s=0.02, **more)
        self._plan = itertools.chain("r" * stock, self._paced(plan, pause_s))
        self._detector = detector

    def _paced(self, plan: str, pause_s: float) -> Iterator[str]:
        self._pause_s = pause_s
        yield from itertools.cycle(plan)

    def detect(self, image: BgrImage) -> Detections:
        self._detector.detect(image)
        return super().detect(image)


def serve_loop(folder: Path, plan: str, size: tuple[int, int], stock: int, pause_s: float) -> None:
    """The loop's process: parts for ever, until told to end."""
    detector = OnnxDetector(ModelRegistry(ROOT / "models").open("demo-disc/1"), threads=1)
    source = Busy(detector, plan, stock=stock, pause_s=pause_s, pictures=4, size=size)
    stage = Rehearsal(folder, plan, undo_s=0.5, lane_capacity=100_000, source=source)
    ending = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ending.set())
    stage.start()
    ending.wait()
    stage.close()


@dataclass
class Station:
    """Loop and panel as processes over one folder; ``stock`` parts are held before the plan begins."""

    folder: Path
    plan: str
    size: tuple[int, int]
    stock: int
    pause_s: float
    port: int = 0
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self) -> None:
        make_people(self.folder, **{p: _inspector() for p in PEOPLE})
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        width, height = self.size
        loop = ["--serve-loop", str(self.folder), "--plan", self.plan, "--size", f"{width}x{height}"]
        self._start("loop", [__file__, *loop, "--stock", str(self.stock), "--pause", str(self.pause_s)])
        self.start_panel()
        until(lambda: config(self.folder).store.door.is_file(), "the loop does not start")
        until(lambda: self.count("review") >= self.stock, "not enough parts are held", 300)

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def ask(self, sql: str, *given: Any) -> list[Any]:
        with closing(sqlite3.connect(f"{self.database.as_uri()}?mode=ro", uri=True)) as books:
            return books.execute(sql, given).fetchall()

    def count(self, table: str) -> int:
        return int(self.ask(f"SELECT count(*) FROM {table}")[0][0])

    def start_panel(self) -> None:
        self._start("panel", ["-m", "tests.panel.serving", str(self.folder), str(self.port)])
        until(lambda: _answers(f"http://127.0.0.1:{self.port}/sign-in"), "the panel does not start")

    def stop(self, name: str) -> None:
        process = self.running.pop(name)
        process.terminate()
        try:
            process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            process.kill()

    def close(self) -> None:
        for name in list(self.running):
            self.stop(name)

    @property
    def database(self) -> Path:
        return config(self.folder).store.database

    def opened(self, review: int) -> float:
        """When a question was committed, in milliseconds since 1970 (its time is taken just before)."""
        at = self.ask("SELECT opened_at FROM review WHERE id = ?", review)[0][0]
        return datetime.fromisoformat(at).timestamp() * 1000.0

    def _start(self, name: str, arguments: list[str]) -> None:
        self.running[name] = subprocess.Popen([sys.executable, *arguments], cwd=ROOT)


def _inspector() -> Any:
    from station.store.people import Role

    return Role.INSPECTOR


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2):
            return True
    except OSError:
        return False


def until(true: Any, words: str, seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            raise TimeoutError(words)
        time.sleep(0.02)


@contextmanager
def station(plan: str, size: tuple[int, int], *, stock: int = 0, pause_s: float = 1.0 / RATE) -> Iterator[Station]:
    """A running station in a folder of its own, at which so many parts wait."""
    with tempfile.TemporaryDirectory(prefix="station-bench-") as folder:
        made = Station(Path(folder), plan, size, stock, pause_s)
        try:
            made.start()
            yield made
        finally:
            made.close()


@contextmanager
def screen(browser: Any, at: Station, person: str, *, path: str | None = "/") -> Iterator[Any]:
    """A signed-in inspector's page in a context of its own, not opened yet where ``path`` is None."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    body = {"name": person, "secret": secret_of(person)}
    reply = context.request.post(f"{at.base}/api/sign-in", data=body, headers={"origin": at.base})
    if not reply.ok:
        raise RuntimeError(f"{person} cannot sign in: {reply.text()}")
    page = context.new_page()
    try:
        if path is not None:
            page.goto(at.base + path)
        yield page
    finally:
        context.close()


def spread(values: list[float]) -> dict[str, float]:
    """Median, 95th percentile and how many."""
    ordered = sorted(values)
    at = min(len(ordered) - 1, round(0.95 * (len(ordered) - 1)))
    return {"n": len(ordered), "median": round(statistics.median(ordered), 1), "p95": round(ordered[at], 1)}


def press(page: Any, pause_ms: float) -> None:
    """Answers the part shown, or the next that comes, after a look at it."""
    page.wait_for_selector(SHOWN)
    page.wait_for_timeout(pause_ms)
    page.keyboard.press("f")


def measure_key(browser: Any, at: Station, inspectors: int, answers: int) -> dict[str, float]:
    """Key to next part painted."""
    with contextlib.ExitStack() as stack:
        pages = [stack.enter_context(screen(browser, at, p)) for p in PEOPLE[:inspectors]]
        for page in pages:
            page.wait_for_selector(SHOWN, timeout=60_000)
            page.wait_for_timeout(500)
            page.evaluate(WATCH)
        for _ in range(answers):
            for page in pages:
                press(page, 300 if inspectors == 1 else 40)
        for page in pages:
            page.wait_for_timeout(300)
        values = [v for page in pages for v in page.evaluate("window.bench.answers")]
    if len(values) < inspectors * answers * 0.8:
        raise RuntimeError(f"{len(values)} paints seen of {inspectors * answers} answers")
    return spread(values)


def measure_stop(browser: Any, at: Station, stops: int) -> dict[str, float]:
    """Commit of a held part to its picture painted, on a screen that waited."""
    with screen(browser, at, PEOPLE[0]) as page:
        page.wait_for_selector("#st-review[data-ready]", timeout=60_000)
        page.evaluate(WATCH)
        values: list[float] = []
        begun = time.time() * 1000.0
        end = time.monotonic() + 60.0 + 2.0 * stops
        while len(values) < stops and time.monotonic() < end:
            page.wait_for_timeout(250)
            page.keyboard.press("f")
            came: dict[int, float] = {}
            new = set()
            for shown in page.evaluate("window.bench.shown"):
                if shown["why"] == "new":  # onto a screen that had nothing to show
                    new.add(shown["id"])
                if shown["id"] in new and shown["picture"] == "here":
                    came.setdefault(shown["id"], shown["at"])
            values = [at_ms - at.opened(review) for review, at_ms in came.items() if at.opened(review) > begun]
    if not values:
        raise RuntimeError("no stop was seen to be painted")
    return spread(values)


def measure_page(browser: Any, at: Station, loads: int) -> dict[str, float]:
    """The address typed to the first part painted, nothing cached; a person whose part is shown at once."""
    values = []
    for n in range(loads):
        with screen(browser, at, PEOPLE[n % len(PEOPLE)], path=None) as page:
            begin = time.perf_counter()
            page.goto(f"{at.base}/", wait_until="commit")
            page.wait_for_selector(SHOWN, timeout=60_000)
            page.evaluate("() => new Promise((done) => requestAnimationFrame(() => setTimeout(done)))")
            values.append((time.perf_counter() - begin) * 1000.0)
    return spread(values)


def measure_loop(browser: Any, rounds: int, seconds: float) -> dict[str, Any]:
    """The loop's cycle with panel and live screen against without, in turns over one running loop."""
    cycle: dict[str, list[float]] = {"without": [], "with": []}
    rate: dict[str, list[float]] = {"without": [], "with": []}
    with station("ppppppppppr", (640, 640), pause_s=0.05) as at:
        client = LoopClient(config(at.folder).store.door)
        until(lambda: client.state().parts > 20, "no parts come")

        def watch(which: str) -> None:
            parts, begin = client.state().parts, time.monotonic()
            time.sleep(seconds)
            now = client.state()
            took = time.monotonic() - begin
            cycle[which].append(_cycle_ms(at, round(now.parts - parts)))
            rate[which].append((now.parts - parts) / took)

        for turn in range(rounds):
            if turn:
                at.start_panel()
            with screen(browser, at, "P0") as page:
                page.wait_for_selector("#station-tabs [role=tab]")
                page.click("#station-tabs [role=tab] >> nth=1")
                time.sleep(2.0)
                watch("with")
            at.stop("panel")
            time.sleep(0.5)
            watch("without")
        client.close()
    ratios = [w / o for w, o in zip(cycle["with"], cycle["without"], strict=True)]
    return {
        "without_ms": [round(v, 2) for v in cycle["without"]],
        "with_ms": [round(v, 2) for v in cycle["with"]],
        "ratio": round(statistics.median(ratios), 3),
        "ratios": [round(r, 3) for r in ratios],
        "parts_per_s": {k: round(statistics.mean(v), 2) for k, v in rate.items()},
    }


def _cycle_ms(at: Station, parts: int) -> float:
    """Median milliseconds that the newest parts took, from their stages in the ledger, held and passed alike."""
    rows = at.ask(
        "SELECT i.triggered_at, (SELECT max(c.acknowledged_at) FROM command c "
        "WHERE c.part_id = i.part_id AND c.confirmation_id IS NULL) FROM inspection i ORDER BY number DESC LIMIT ?",
        max(parts, 1),
    )
    spans = [
        (datetime.fromisoformat(ack) - datetime.fromisoformat(seen)).total_seconds() * 1000.0
        for seen, ack in rows
        if ack
    ]
    return statistics.median(spans)


def main() -> int:
    """Measures and prints."""
    asked = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    asked.add_argument("--quick", action="store_true", help="one inspector, the smaller picture, few repetitions")
    asked.add_argument("--json", type=Path)
    asked.add_argument("--only", default="key,stop,page,loop")
    asked.add_argument("--serve-loop", type=Path, help=argparse.SUPPRESS)
    asked.add_argument("--plan", help=argparse.SUPPRESS)
    asked.add_argument("--size", help=argparse.SUPPRESS)
    asked.add_argument("--stock", type=int, help=argparse.SUPPRESS)
    asked.add_argument("--pause", type=float, help=argparse.SUPPRESS)
    given = asked.parse_args()
    if given.serve_loop is not None:
        width, height = (int(v) for v in given.size.split("x"))
        serve_loop(given.serve_loop, given.plan, (width, height), given.stock, given.pause)
        return 0
    chromium = next((p for n in ("chromium", "chromium-browser", "google-chrome") if (p := shutil.which(n))), None)
    if chromium is None:
        print("no Chromium on PATH: install one", file=sys.stderr)
        return 1
    from playwright.sync_api import sync_playwright

    only = set(given.only.split(","))
    result: dict[str, Any] = {"version": __version__, "machine": platform.processor() or platform.machine()}
    rows: list[tuple[str, str, str]] = []
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=FLAGS)
        for size in SIZES[: 1 if given.quick else None] if only & {"key", "stop", "page"} else ():
            name = f"{size[0]} x {size[1]}"
            answers = 6 if given.quick else 60
            with station("pppr", size, stock=answers + 5) as at:
                if "page" in only and size == SIZES[0]:
                    result["page"] = measure_page(browser, at, 1 if given.quick else 8)
                    rows.append(("first page, cold", _ms(result["page"]), "<= 2000 ms"))
                if "key" in only:
                    result[f"key {name}, 1"] = found = measure_key(browser, at, 1, answers)
                    rows.append((f"key -> next part painted, {name}, 1 inspector", _ms(found), "p95 <= 50 ms"))
                if "stop" in only:
                    result[f"stop {name}"] = found = measure_stop(browser, at, 3 if given.quick else 20)
                    rows.append((f"commit of a stop -> painted, {name}", _ms(found), "<= 100 ms"))
            if "key" in only and not given.quick:
                with station("pppr", size, stock=10 * 14) as at:
                    result[f"key {name}, 10"] = found = measure_key(browser, at, 10, 10)
                rows.append((f"key -> next part painted, {name}, 10 inspectors", _ms(found), "p95 <= 150 ms"))
        if "loop" in only:
            rounds, seconds = (1, 2.0) if given.quick else (4, 15.0)
            result["loop"] = loop = measure_loop(browser, rounds, seconds)
            rows.append(("loop's cycle with panel / without", _ratio(loop), "<= 1.05"))
            if not given.quick:
                with polite(chromium) as path:
                    other = driver.chromium.launch(executable_path=path, args=FLAGS)
                    result["loop, browser at nice 10"] = loop = measure_loop(other, rounds, seconds)
                    other.close()
                rows.append(("loop's cycle with panel / without, browser at nice 10", _ratio(loop), "<= 1.05"))
        browser.close()
    for words, value, aim in rows:
        print(f"{words:<62} {value:<40} {aim}")
    if given.json:
        given.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return 0


@contextmanager
def polite(chromium: str) -> Iterator[str]:
    """A browser that gives way to the loop, as a kiosk on the station's own machine should."""
    with tempfile.TemporaryDirectory(prefix="station-bench-") as folder:
        script = Path(folder) / "chromium"
        script.write_text(f'#!/bin/sh\nexec nice -n 10 {chromium} "$@"\n')
        script.chmod(0o755)
        yield str(script)


def _ratio(loop: dict[str, Any]) -> str:
    return f"{loop['ratio']:.3f} of {loop['ratios']}"


def _ms(found: dict[str, float]) -> str:
    return f"median {found['median']:.0f}, p95 {found['p95']:.0f} ms (n {found['n']:.0f})"


if __name__ == "__main__":
    sys.exit(main())
