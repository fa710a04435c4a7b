"""Who answers on the simulated line when no person is there? One who sees the truth, now and then errs or asks."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable

import numpy as np

from station.answers import GivenAnswer
from station.build import Station
from station.core.errors import StationError
from station.core.part import Box
from station.core.verdict import Answer
from station.decision import proposals
from station.review import ReviewDesk
from station.sim.devices import KnownPart
from station.store import queries
from station.store.database import open_reader

POLL_S = 0.02


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
