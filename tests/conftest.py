"""What does every test get? The option --long, the shared pictures, a browser, and a look for threads left behind."""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path

# Before anything imports gradio or a hub client: tests ask nothing of the outside network.
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import cv2
import pytest

ROOT = Path(__file__).resolve().parent.parent
THREAD_GRACE_S = 2.0
"""A thread that was told to stop may need a moment; one that was not told stays for ever."""

cv2.setNumThreads(1)  # the same arithmetic in the same order on every machine, and no fight with the loop for cores


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="also run the tests that take minutes")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    # Side by side a file stays whole and in its order, and one browser at a time has the machine.
    browsing = {item.path for item in items if {"chromium", "chromium_path"} & set(getattr(item, "fixturenames", ()))}
    for item in items:
        item.add_marker(pytest.mark.xdist_group("browser" if item.path in browsing else str(item.path)))
    if config.getoption("--long"):
        return
    skip = pytest.mark.skip(reason="takes minutes: runs with --long")
    for item in items:
        if item.get_closest_marker("long"):
            item.add_marker(skip)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of public pictures and footage, which is not part of the checkout."""
    named = os.environ.get("STATION_DATA")
    folder = Path(named) if named else ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no shared data at {folder}: set STATION_DATA to its folder")
    return folder


@pytest.fixture(scope="session")
def chromium_path() -> str:
    """The system's Chromium; its own download is not possible in many plants."""
    for name in ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable"):
        path = shutil.which(name)
        if path:
            return path
    pytest.skip("no chromium on PATH: scripts/test.py installs it where it may")


def left_behind(before: set[threading.Thread], *, grace_s: float = THREAD_GRACE_S) -> list[str]:
    """Names the threads that a test started and did not end.

    The process cannot end before its non-daemon threads do; and a thread of the station's own, daemon or
    not, would go on to work on the next test's files.
    """
    deadline = time.monotonic() + grace_s
    while True:
        names = [
            thread.name
            for thread in threading.enumerate()
            if thread not in before and thread.is_alive() and (not thread.daemon or thread.name.startswith("station"))
        ]
        if not names or time.monotonic() > deadline:
            return names
        time.sleep(0.01)


@pytest.fixture(autouse=True)
def no_thread_left_behind() -> Iterator[None]:
    """Fails a test that leaves a thread running. Set up first, so it looks after the test's own fixtures are gone."""
    before = set(threading.enumerate())
    yield
    names = left_behind(before)
    if names:
        pytest.fail(f"threads left running: {', '.join(sorted(names))}", pytrace=False)
