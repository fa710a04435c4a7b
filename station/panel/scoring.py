"""How is the model asked about a whole footage while line and panel go on? By a process of its own, last in line.

The process is ``station replay``: the very program an engineer would start by hand. So nothing above the panel is
imported here, what it has found is on the disk within seconds, and a replay that was cut off, by whomever, goes on
where it stopped. How far it is, is read from the scores it keeps.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from station.config import StationConfig
from station.core.errors import UsageError
from station.footage.book import Footage
from station.footage.scores import FOLDER
from station.recipe import Recipe, load_recipe

NICENESS = 15
"""Behind the loop, which is not nice at all, and behind the panel."""

END_S = 5.0
WORDS_SHOWN = 400
"""Characters of what a failed replay said last."""


@dataclass(slots=True)
class Progress:
    """How far one footage is.

    Attributes:
        footage: Its name.
        total: Pictures that were not known when it began.
        done: Of those, kept by now.
        running: The process is at work.
        failed: Why it ended without an end; ``None`` otherwise.
        seconds: Since it began.
    """

    footage: str
    total: int
    done: int
    running: bool
    failed: str | None
    seconds: float


@dataclass(slots=True)
class _Job:
    footage: str
    process: subprocess.Popen[bytes]
    said: IO[bytes]
    root: Path
    wanted: set[bytes]
    begun: float
    total: int
    shards: set[Path]
    health: dict[Path, int]
    ended: float | None = None
    stopped: bool = False


class Scoring:
    """At most one replay at a time, started by a person. Safe to use from several threads.

    Args:
        config: Where footage, recipes and models lie; the process reads the same.
    """

    def __init__(self, config: StationConfig) -> None:
        self._config = config
        self._job: _Job | None = None
        self._lock = threading.Lock()

    def start(self, footage: Footage, recipe: Recipe, unscored: Sequence[str]) -> Progress:
        """Begins to ask the model of ``recipe`` about the pictures that it has not seen.

        Args:
            footage: Which.
            recipe: In force; its file must name the same model, because the process reads the file.
            unscored: Pixel hashes of those pictures.

        Raises:
            UsageError: Another footage is being scored, or the recipe's file is about another model.
        """
        file = load_recipe(recipe.name, self._config.recipes)
        if (file.model, file.health) != (recipe.model, recipe.health):
            raise UsageError(
                f"the file of recipe {recipe.name} names model {file.model}, in force is {recipe.model}: start the "
                "loop with the file as it is, then score the footage"
            )
        with self._lock:
            if self._job is not None and self._job.process.poll() is None:
                if self._job.footage != footage.about.name:
                    raise UsageError(f"footage {self._job.footage} is being scored: wait until it is done, or stop it")
                return self._progress(self._job)
            self._forget()
            root = footage.folder.parent / FOLDER
            before = set(root.glob("*/*.npz")), {p: p.stat().st_size for p in root.glob("health-*.txt")}
            said = tempfile.TemporaryFile()  # noqa: SIM115  # closed with the job
            process = subprocess.Popen(
                [sys.executable, "-m", "station", "replay", str(footage.folder.resolve()), "--recipe", recipe.name,
                 "--jobs", "1"],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=said,
                env={**os.environ, **self._environment()},
                start_new_session=True,  # a Ctrl-C meant for the panel is told to it by the panel
            )  # fmt: skip
            with suppress(OSError, AttributeError):
                os.setpriority(os.PRIO_PROCESS, process.pid, NICENESS)
            wanted = {bytes.fromhex(sha) for sha in unscored}
            self._job = _Job(footage.about.name, process, said, root, wanted, time.monotonic(), len(wanted), *before)
            return self._progress(self._job)

    def progress(self) -> Progress | None:
        """How far the newest replay is; ``None`` where none was started."""
        with self._lock:
            return None if self._job is None else self._progress(self._job)

    def stop(self) -> None:
        """Ends the replay, if one runs; what was found stays."""
        with self._lock:
            if self._job is None or self._job.process.poll() is not None:
                return
            self._job.stopped = True
            self._job.process.send_signal(signal.SIGINT)  # as Ctrl-C: what was found is still written
            try:
                self._job.process.wait(timeout=END_S)
            except subprocess.TimeoutExpired:
                self._job.process.kill()
                self._job.process.wait()

    def close(self) -> None:
        """Ends what runs and gives its files back."""
        self.stop()
        with self._lock:
            self._forget()

    def _forget(self) -> None:
        if self._job is not None:
            self._job.said.close()
            self._job = None

    def _progress(self, job: _Job) -> Progress:
        code = job.process.poll()
        if code is not None and job.ended is None:
            job.ended = time.monotonic()
        _look(job)
        if code == 0:
            job.wanted.clear()  # what is left could not be scored, and is told with the footage
        failed = None
        if code not in (None, 0) and not job.stopped:
            job.said.seek(0)
            words = job.said.read().decode(errors="replace").strip()[-WORDS_SHOWN:]
            failed = words or f"the replay ended with code {code}: start it again, it goes on where it stopped"
        seconds = (job.ended or time.monotonic()) - job.begun
        return Progress(job.footage, job.total, job.total - len(job.wanted), code is None, failed, seconds)

    def _environment(self) -> dict[str, str]:
        """The settings of this station that a replay needs, as another process reads them."""
        config = self._config
        return {
            "STATION_STATION": config.station,
            "STATION_RECIPES": str(config.recipes.resolve()),
            "STATION_MODELS": str(config.models.resolve()),
            "STATION_CALIBRATION": str(config.calibration.resolve()),
            "STATION_FOOTAGE": str(config.footage.resolve()),
            "STATION_STORE__FOLDER": str(config.store.folder.resolve()),
            "STATION_STORE__FILE": config.store.file,
        }


def _look(job: _Job) -> None:
    """Takes off what was written since the last look: shards of scores, and lines of pictures that were looked at."""
    for shard in set(job.root.glob("*/*.npz")) - job.shards:
        with suppress(OSError, ValueError, KeyError, EOFError), np.load(shard, allow_pickle=False) as found:
            job.wanted -= {bytes(sha) for sha in found["sha256"]}
        job.shards.add(shard)
    for path in job.root.glob("health-*.txt"):
        with suppress(OSError), path.open("rb") as file:
            file.seek(job.health.get(path, 0))
            lines = file.read().split(b"\n")
            job.health[path] = file.tell() - len(lines[-1])
        for line in lines[:-1]:
            with suppress(ValueError):
                job.wanted.discard(bytes.fromhex(line[:64].decode()))
