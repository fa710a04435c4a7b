"""What does the whole station do, shown on the simulated line? With a simulated inspector or a real one."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import numpy as np

from station.build import Station, build
from station.config import StationConfig
from station.core.errors import StationError
from station.core.part import Box
from station.core.timing import SystemClock
from station.core.verdict import Answer, Inspection
from station.decision import proposals
from station.exchange import ExchangeServer
from station.review import GivenAnswer, ReviewDesk
from station.sim.devices import KnownPart
from station.store import queries
from station.store.database import Reader, open_reader
from station.store.ledger import stamp

log = logging.getLogger(__name__)

DEMO_RECIPE = "demo-disc"
POLL_S = 0.02
PANEL_STARTS = 5
PANEL_STARTS_WITHIN_S = 60.0


class SimulatedInspector:
    """Answers for held parts as a person would who always sees the truth, now and then errs, now and then asks.

    Args:
        station: The running station; its source must be the simulator.
        name: Who answers.
        error_rate: Share of answers that are wrong.
        unsure_rate: Share of parts left to a second person.
        seed: Same seed, same temper.
        on_stored: Called with the key of each answer once the loop says it is stored.
    """

    def __init__(
        self,
        station: Station,
        *,
        name: str = "sim-1",
        error_rate: float = 0.0,
        unsure_rate: float = 0.0,
        seed: int = 0,
        on_stored: Callable[[str], None] = lambda key: None,
    ) -> None:
        assert station.truth is not None
        self._loop, self._truth, self._recipe = station.loop, station.truth, station.recipe
        self._name, self._error_rate, self._unsure_rate = name, error_rate, unsure_rate
        self._rng = np.random.default_rng(seed)
        self._on_stored = on_stored
        self._reader = open_reader(station.ledger.path)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._work, name=f"station-{name}", daemon=True)
        self.answered = 0

    def start(self) -> None:
        """Begins to answer, in a thread of its own."""
        self._thread.start()

    def stop(self) -> None:
        """Goes home; returns when the last answer is given."""
        self._stopping.set()
        self._thread.join(timeout=30.0)
        self._reader.dispose()

    def _work(self) -> None:
        while not self._stopping.is_set():
            try:
                if not self._answer_one():
                    self._stopping.wait(POLL_S)
            except (StationError, TimeoutError):  # refused, or the loop is halting: the next turn asks again
                self._stopping.wait(POLL_S)

    def _answer_one(self) -> bool:
        def claim(desk: ReviewDesk) -> int | None:
            return desk.claim(self._name)

        review_id = self._loop.ask(claim)
        if review_id is None:
            return False
        asked = queries.review(self._reader, review_id)
        if asked is None:
            return False
        given = self._decide(asked)
        self._loop.ask(lambda desk: desk.confirm(given))
        self.answered += 1
        self._on_stored(given.key)
        return True

    def _decide(self, asked: queries.ReviewView) -> GivenAnswer:
        known = self._truth.known(asked.part.serial) if asked.part.serial else None
        if known is not None:
            answer, label, box = self._answer(asked, known)
        else:  # sighted in an earlier run: only the ledger remembers what it was
            answer, label, box = self._answer_from_memory(asked.part.truth)
        return GivenAnswer(
            key=str(uuid.uuid4()),
            review_id=asked.id,
            answer=answer,
            person=self._name,
            seconds=round(float(self._rng.lognormal(0.5, 0.4)), 2),
            label=label,
            xyxy=box.xyxy if box else None,
            shown='{"by": "simulated inspector"}',
        )

    def _answer_from_memory(self, truth: str | None) -> tuple[Answer, str | None, Box | None]:
        if truth is None:
            return Answer.REWORK, None, None
        return (Answer.FALSE_ALARM, None, None) if truth == "ok" else (Answer.OTHER_CLASS, truth, None)

    def _answer(self, asked: queries.ReviewView, known: KnownPart) -> tuple[Answer, str | None, Box | None]:
        if asked.reason != "second_person" and self._rng.random() < self._unsure_rate:
            return Answer.UNSURE, None, None
        truth = known.truth
        if self._rng.random() < self._error_rate:
            wrong = [c for c in (*self._recipe.class_names, "ok") if c != truth]
            truth = str(self._rng.choice(wrong))
        if truth == "ok":
            return Answer.FALSE_ALARM, None, None
        proposed = proposals(asked.part.candidates, self._recipe.limits)
        if proposed and not asked.blind and proposed[0].label == truth:
            return Answer.AGREE, None, None
        planted = [d for d in known.defects if d.label == truth]
        hit = [d for d in planted if any(_overlap(d.box, c.box) for c in proposed)]
        if planted and not hit:
            return Answer.MISSED_DEFECT, truth, planted[0].box
        return Answer.OTHER_CLASS, truth, None


def _overlap(a: Box, b: Box) -> bool:
    return a.x0 < b.x1 and b.x0 < a.x1 and a.y0 < b.y1 and b.y0 < a.y1


@dataclass(frozen=True, slots=True)
class ShiftSummary:
    """What a shift on the simulated line adds up to, with the truth beside it."""

    counts: queries.ShiftCounts
    books: str
    faults_in_books: tuple[str, ...]
    defective_parts: int
    good_parts: int
    released_defective: int
    stopped_good: int
    seconds: float
    stage_ms: dict[str, dict[str, float]]

    @property
    def sound(self) -> bool:
        """True where the ledger has nothing to object to."""
        return not self.faults_in_books

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        c = self.counts
        return {
            "parts": c.parts,
            "verdicts": dict(c.by_evaluation),
            "dispositions": dict(c.by_disposition),
            "answers": dict(c.by_answer),
            "waiting": c.waiting,
            "audits": c.audits,
            "labels": c.labels,
            "defective_parts": self.defective_parts,
            "good_parts": self.good_parts,
            "released_defective": self.released_defective,
            "stopped_good": self.stopped_good,
            "seconds": round(self.seconds, 2),
            "parts_per_s": round(c.parts / self.seconds, 2) if self.seconds else None,
            "books": self.books,
            "faults_in_books": list(self.faults_in_books),
            "stage_ms": self.stage_ms,
        }


def summarise(engine: Reader, *, since: str, seconds: float, stage_ms: dict[str, dict[str, float]]) -> ShiftSummary:
    """Adds up the parts triggered since ``since`` (ISO UTC)."""
    known = queries.truths(engine, since=since)
    return ShiftSummary(
        counts=queries.shift_counts(engine, since=since),
        books=str(queries.balance(engine)),
        faults_in_books=tuple(queries.faults_in_books(engine)),
        defective_parts=sum(1 for t in known if t.truth != "ok"),
        good_parts=sum(1 for t in known if t.truth == "ok"),
        released_defective=sum(1 for t in known if t.truth != "ok" and t.disposition == "RELEASE"),
        stopped_good=sum(1 for t in known if t.truth == "ok" and t.evaluation != "OK"),
        seconds=seconds,
        stage_ms=stage_ms,
    )


def run_headless(
    config: StationConfig,
    *,
    progress: Callable[[int], None] = lambda n: None,
    on_stored: Callable[[str], None] = lambda key: None,
) -> ShiftSummary:
    """A shift on the simulated line without panel; two simulated inspectors answer. Returns its summary.

    Args:
        config: The station; its source must be the simulator with a number of parts.
        progress: Called with the number of parts recorded so far.
        on_stored: Called with the key of each answer once it is stored.
    """
    begin, since = time.perf_counter(), SystemClock().now()
    done = [0]

    def recorded(_inspection: Inspection) -> None:
        done[0] += 1
        progress(done[0])

    station = build(config, DEMO_RECIPE, on_recorded=recorded)
    with closing(station), ExchangeServer(station.loop, config.store.folder):
        people = [
            SimulatedInspector(station, name=name, unsure_rate=0.03, seed=n, on_stored=on_stored)
            for n, name in enumerate(("sim-1", "sim-2"))
        ]
        for person in people:
            person.start()
        try:
            station.loop.run(until_settled=True)
        finally:
            for person in people:
                person.stop()
        seconds = time.perf_counter() - begin
        stage_ms = station.loop.timer.summary()
    reader = open_reader(config.store.database)
    try:
        return summarise(reader, since=stamp(since), seconds=seconds, stage_ms=stage_ms)
    finally:
        reader.dispose()


def run_loop(config: StationConfig, recipe: str) -> None:
    """The inspection loop until its source ends or Ctrl-C; others talk to it through the exchange."""
    station = build(config, recipe)
    with closing(station), ExchangeServer(station.loop, config.store.folder, port=config.exchange.port):
        try:
            station.loop.run(until_settled=True)
        except KeyboardInterrupt:
            log.warning("halted by hand; parts in view stay held")


def run_with_panel(config: StationConfig) -> None:
    """The simulated line with the panel in a process of its own; the panel is started again if it dies."""
    environment = {
        **os.environ,
        "STATION_STORE__FOLDER": str(config.store.folder.resolve()),
        "STATION_STORE__FILE": config.store.file,
        "STATION_PANEL__HOST": config.panel.host,
        "STATION_PANEL__PORT": str(config.panel.port),
        "STATION_RECIPES": str(config.recipes.resolve()),
    }
    stopping = threading.Event()
    keeper = threading.Thread(
        target=_keep_panel, args=(environment, stopping), name="station-panel-keeper", daemon=True
    )
    keeper.start()
    try:
        run_loop(config, DEMO_RECIPE)
    finally:
        stopping.set()
        keeper.join(timeout=10.0)


def _keep_panel(environment: dict[str, str], stopping: threading.Event) -> None:
    starts: deque[float] = deque(maxlen=PANEL_STARTS)
    while not stopping.is_set():
        if len(starts) == PANEL_STARTS and time.monotonic() - starts[0] < PANEL_STARTS_WITHIN_S:
            log.error("the panel died %d times in a minute; the loop goes on without it", PANEL_STARTS)
            return
        starts.append(time.monotonic())
        child = subprocess.Popen([sys.executable, "-m", "station", "panel"], env=environment)
        while child.poll() is None and not stopping.wait(0.2):
            pass
        if stopping.is_set():
            child.terminate()
            try:
                child.wait(timeout=5.0)
            except subprocess.TimeoutExpired:
                child.kill()
        elif child.returncode == 2:  # it has said what to mend; trying again would only say it again
            log.error("the panel cannot start; the loop goes on without it")
            return
        elif child.returncode != 0:
            log.warning("the panel ended with code %s; starting it again", child.returncode)
