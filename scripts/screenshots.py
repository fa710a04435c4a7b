#!/usr/bin/env python3
"""What do people see? Pictures of the panel over the simulated line, for the README and for a look.

    .venv/bin/python scripts/screenshots.py [FOLDER]     (default: scripts/screenshots)

Needs the extra ``dev`` (Playwright) and a Chromium on PATH.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import closing
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
LAYOUTS = {"1280x800": (1280, 800), "800x1280": (800, 1280)}
PEOPLE = (("Mia", "1111", ("Review", "Live")), ("Ada", "5555", ("History", "Workbench", "People")))
"""Who shows which tabs."""

HELD_PARTS = 4
"""Parts that must wait before the first picture is taken."""


FOOTAGE_PARTS = 600
"""Simulated parts of the footage that the workbench shows."""


def make_footage(root: Path) -> None:
    """A footage of simulated parts, labelled by what was planted, split, and scored by the demo's model."""
    from datetime import UTC, datetime

    from station.core.part import Part, PartId
    from station.footage.book import About, Footage
    from station.footage.record import kept_part
    from station.footage.split import deal
    from station.footage.truth import mark, now_mark
    from station.sim.crops import training_crops

    at = datetime.now(UTC)
    footage = Footage.make(root / "shift-12", About("shift-12", "recorded", at.isoformat(), "screenshots", "simulator"))
    marks = []
    for n, (image, masks, _) in enumerate(training_crops(99, FOOTAGE_PARTS, defect_rate=0.4), start=1):
        part = Part(
            PartId(f"ST01-{n:06d}"), n, at, image, "simulator (seed 99)", n, simulated=True, lot=f"lot {n % 50}"
        )
        footage.add([kept_part(footage, part)])
        planted = {label: int(mask.sum()) for label, mask in masks.items() if mask.any()}
        marks.append(
            now_mark(part.part_id, max(planted, key=planted.__getitem__, default="ok"), person="simulator", at=at)
        )
    mark(footage, marks)
    deal(footage)
    command = [sys.executable, "-m", "station", "replay", str(footage.folder), "--recipe", "demo-disc"]
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(url: str, seconds: float) -> None:
    end = time.monotonic() + seconds
    while True:
        try:
            urllib.request.urlopen(url, timeout=2).close()
            return
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.3)


def main() -> int:
    """Runs the demo, looks at it in Chromium, writes the pictures."""
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "scripts" / "screenshots"
    browser_path = next((p for n in ("chromium", "chromium-browser", "google-chrome") if (p := shutil.which(n))), None)
    if browser_path is None:
        print("no Chromium on PATH: install one", file=sys.stderr)
        return 1
    from playwright.sync_api import sync_playwright

    target.mkdir(parents=True, exist_ok=True)
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="station-look-") as folder:
        make_footage(Path(folder) / "footage")
        demo = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "station",
                "demo",
                "--seed",
                "4",
                "--port",
                str(port),
                "--db",
                f"{folder}/ledger.db",
            ],
            cwd=ROOT,
            env={**os.environ, "STATION_EXCHANGE__PORT": "0", "STATION_FOOTAGE": f"{folder}/footage"},
        )
        try:
            wait_for(f"http://127.0.0.1:{port}/sign-in", 60)
            with sync_playwright() as play:
                browser = play.chromium.launch(
                    executable_path=browser_path,
                    args=["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking"],
                )
                wait_until_held(folder)
                for name, (width, height) in LAYOUTS.items():
                    look(browser, f"http://127.0.0.1:{port}", target, name, {"width": width, "height": height})
                browser.close()
        finally:
            demo.terminate()
            demo.wait(timeout=20)
    for picture in sorted(target.glob("*.jpg")):
        print(picture)
    return 0


def look(browser: Any, base: str, target: Path, name: str, viewport: dict[str, int]) -> None:
    """One picture of the sign-in and of every tab, each by somebody who has it."""

    def keep(page: Any, what: str, settle_ms: int = 1500) -> None:
        page.wait_for_timeout(settle_ms)
        page.screenshot(path=target / f"{what}-{name}.jpg", type="jpeg", quality=84)

    context = browser.new_context(viewport=viewport)
    page = context.new_page()
    page.goto(f"{base}/sign-in")
    page.wait_for_selector("button")
    keep(page, "sign-in")
    for person, pin, tabs in PEOPLE:
        reply = context.request.post(
            f"{base}/api/sign-in", data={"name": person, "secret": pin}, headers={"origin": base}
        )
        if not reply.ok:
            raise RuntimeError(f"{person} cannot sign in: {reply.text()}")
        page.goto(f"{base}/")
        for tab in tabs:
            page.get_by_role("tab", name=tab, exact=True).click()
            if tab == "Review":
                page.wait_for_selector("#st-review[data-part]:not([data-part=''])", timeout=120_000)
            if tab == "Workbench":
                page.wait_for_selector("#wb-rates table", timeout=30_000)
                page.focus("[data-limit=pass_below]")
                page.keyboard.press("PageDown")
                page.click("#wb-diff [data-do=diff]")
                page.wait_for_selector("#wb-diff .wb-flips")
                page.evaluate("document.querySelector('#st-workbench').scrollTop = 0")
            keep(page, tab.lower(), 2500)
            if tab == "History":
                page.get_by_role("combobox", name="Verdict").select_option("NOT_OK")
                page.get_by_role("button", name="Search").click()
                page.wait_for_timeout(1000)
                page.locator("#st-history [data-part]").last.click()
                keep(page, "story", 2500)
    context.close()


def wait_until_held(folder: str) -> None:
    import sqlite3

    end = time.monotonic() + 180
    while time.monotonic() < end:
        with closing(sqlite3.connect(f"file:{folder}/ledger.db?mode=ro", uri=True)) as raw:
            if raw.execute("SELECT count(*) FROM review WHERE settled_at IS NULL").fetchone()[0] >= HELD_PARTS:
                return
        time.sleep(0.5)
    raise TimeoutError(f"fewer than {HELD_PARTS} parts were held in three minutes")


if __name__ == "__main__":
    sys.exit(main())
