"""A line whose limits change all the time, to be killed: ``python -m tests.chaos.limits_worker FOLDER``."""

from __future__ import annotations

import itertools
import sys
import threading
import uuid
from pathlib import Path
from typing import Any

from station.core.part import Frame
from station.core.timing import SystemClock
from station.limits import LimitsSet, limits_of, with_values
from station.store.limits import COMMAND_LINE, Act
from tests.builders import OK, UNCERTAIN, Bench, FakeSource, frame, recipe

PRODUCT = recipe(mode="divert", lane_capacity=10_000)


class EndlessLine(FakeSource):
    """A new part at every look."""

    def __init__(self) -> None:
        super().__init__(endless=True)
        self._numbers = itertools.count()

    def read(self, timeout_s: float) -> Frame | None:
        threading.Event().wait(0.002)
        return frame(next(self._numbers) % 50)


def limits(pass_below: float) -> LimitsSet:
    """Those of the product with another limit for scratches."""
    return with_values(limits_of(PRODUCT), {"scratch": {"pass_below": pass_below}})


def act(person: str = "Eva") -> Act:
    """Somebody does something, for the first time."""
    return Act(uuid.uuid4().hex, person, "because", COMMAND_LINE)


def main() -> None:
    """Activates and rolls back until killed."""
    scores: Any = (s for s in itertools.cycle((OK, UNCERTAIN)))
    bench = Bench(Path(sys.argv[1]), product=PRODUCT, source=EndlessLine(), clock=SystemClock())
    bench.detector.detect = _detect_by(bench, scores)  # type: ignore[method-assign]
    ask = bench.loop.ask_limits
    threading.Thread(target=bench.loop.run, daemon=True).start()
    versions = []
    for pass_below in (0.6, 0.05):
        drafted = ask(lambda desk, low=pass_below: desk.draft(act(), limits(low).to_dict(), diff={"flips": []}))
        ask(lambda desk, v=drafted.version: desk.approve(act("Ada"), v))
        versions.append(drafted.version)
    print("running", flush=True)
    while True:
        for version in versions:
            if ask(lambda desk: desk.past()).in_force != version:
                ask(lambda desk, v=version: desk.activate(act(), v))
        ask(lambda desk: desk.roll_back(act()))


def _detect_by(bench: Bench, scores: Any) -> Any:
    detect = bench.detector.detect

    def scripted(image: Any) -> Any:
        bench.detector.script[:] = [next(scores)]
        return detect(image)

    return scripted


if __name__ == "__main__":
    main()
