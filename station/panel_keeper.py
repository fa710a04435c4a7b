"""Who keeps the panel alive beside the loop? A thread that starts its process, and starts it again when it dies."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from station.config import StationConfig

log = logging.getLogger(__name__)

STARTS = 5
STARTS_WITHIN_S = 60.0
POLL_S = 0.2
END_S = 5.0
CANNOT_START = 2
"""Exit code of a process that has said what must be mended before it can start."""


@contextmanager
def panel_beside(config: StationConfig) -> Iterator[None]:
    """Serves the panel of this station in a process of its own for the length of the block.

    The panel's death never ends the block: it is started again, at most 5 times in a minute.
    """
    stopping = threading.Event()
    keeper = threading.Thread(
        target=keep,
        args=([sys.executable, "-m", "station", "panel"], {**os.environ, **panel_environment(config)}, stopping),
        name="station-panel-keeper",
        daemon=True,
    )
    keeper.start()
    try:
        yield
    finally:
        stopping.set()
        keeper.join(timeout=2 * END_S)


def panel_environment(config: StationConfig) -> dict[str, str]:
    """The settings of ``config`` that a panel needs, as another process on this machine reads them."""
    settings = {
        "STATION_STATION": config.station,
        "STATION_RECIPES": str(config.recipes.resolve()),
        "STATION_MODELS": str(config.models.resolve()),
        "STATION_CALIBRATION": str(config.calibration.resolve()),
        "STATION_FOOTAGE": str(config.footage.resolve()),
        "STATION_STORE__FOLDER": str(config.store.folder.resolve()),
        "STATION_STORE__FILE": config.store.file,
    }
    for name, value in config.panel.model_dump(mode="json").items():
        settings[f"STATION_PANEL__{name.upper()}"] = value if isinstance(value, str) else json.dumps(value)
    return settings


def keep(command: Sequence[str], environment: dict[str, str], stopping: threading.Event) -> None:
    """Runs ``command`` until ``stopping``, again where it dies; blocks.

    It gives up, with a word in the log, where the command cannot start or dies again and again.
    """
    starts: deque[float] = deque(maxlen=STARTS)
    while not stopping.is_set():
        if len(starts) == STARTS and time.monotonic() - starts[0] < STARTS_WITHIN_S:
            log.error("the panel died %d times in a minute; the loop goes on without it", STARTS)
            return
        starts.append(time.monotonic())
        child = subprocess.Popen(command, env=environment)
        while child.poll() is None and not stopping.wait(POLL_S):
            pass
        if stopping.is_set():
            child.terminate()
            try:
                child.wait(timeout=END_S)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        elif child.returncode == CANNOT_START:  # it has said what to mend; trying again would only say it again
            log.error("the panel cannot start; the loop goes on without it")
            return
        elif child.returncode != 0:
            log.warning("the panel ended with code %s; starting it again", child.returncode)
