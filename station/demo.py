"""What does the whole station do, shown on the simulated line? With simulated inspectors or with people."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing

from station.build import build
from station.config import StationConfig
from station.core.timing import SystemClock
from station.core.verdict import Inspection
from station.exchange import ExchangeServer
from station.panel_keeper import panel_beside
from station.run import run_loop
from station.shift import ShiftSummary, summarise
from station.simulated_inspector import SimulatedInspector
from station.store.database import open_reader
from station.store.demo_people import ensure_demo_people
from station.store.ledger import stamp

DEMO_RECIPE = "demo-disc"


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
    with closing(station), ExchangeServer(station.loop, config.store.door):
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


def run_with_panel(config: StationConfig) -> None:
    """The simulated line with the panel in a process of its own; the panel is started again if it dies.

    A folder without people gets the demo's, so that somebody can sign in.
    """
    ensure_demo_people(config.store.people)
    with panel_beside(config):
        run_loop(config, DEMO_RECIPE)
