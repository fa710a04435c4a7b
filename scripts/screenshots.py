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

ROOT = Path(__file__).resolve().parents[1]
LAYOUTS = {"1280x800": (1280, 800), "800x1280": (800, 1280)}
HELD_PARTS = 4
"""Parts that must wait before the first picture is taken."""


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
            env={**os.environ, "STATION_EXCHANGE__PORT": "0"},
        )
        try:
            wait_for(f"http://127.0.0.1:{port}/", 60)
            with sync_playwright() as play:
                browser = play.chromium.launch(
                    executable_path=browser_path,
                    args=["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking"],
                )
                for name, (width, height) in LAYOUTS.items():
                    page = browser.new_page(viewport={"width": width, "height": height})
                    page.goto(f"http://127.0.0.1:{port}/?person=Ana")
                    page.wait_for_selector("text=/scratch|dent|stain|hole/i", timeout=120_000)
                    wait_until_held(folder)
                    page.wait_for_timeout(1500)
                    page.screenshot(path=target / f"review-{name}.png")
                    page.get_by_role("tab", name="Live").click()
                    page.wait_for_timeout(2500)
                    page.screenshot(path=target / f"live-{name}.png")
                    page.close()
                browser.close()
        finally:
            demo.terminate()
            demo.wait(timeout=20)
    for picture in sorted(target.glob("*.png")):
        print(picture)
    return 0


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
