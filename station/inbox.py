"""What waits for the loop's hand? Inspected parts from the eyes, and what people ask of the review desk."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from station.core.errors import StationError
from station.eyes import Seen
from station.review import ReviewDesk

log = logging.getLogger(__name__)

BATCH_PARTS = 8
"""Most parts committed together: each waits for the commit it is in."""


@dataclass(frozen=True, slots=True)
class Question:
    """Work on the review desk that somebody waits for."""

    work: Callable[[ReviewDesk], Any]
    reply: Future[Any] = field(default_factory=Future)

    def answer(self, desk: ReviewDesk) -> None:
        """Does the work; who asked gets its result or its refusal, and a fault of our own ends nothing else."""
        if not self.reply.set_running_or_notify_cancel():
            return
        try:
            self.reply.set_result(self.work(desk))
        except StationError as refused:
            self.reply.set_exception(refused)
        except Exception as error:
            log.exception("a request of the panel failed")
            self.reply.set_exception(StationError(f"{type(error).__name__}: {error}"))


class Inbox:
    """Filled from any thread, emptied by the hand alone."""

    def __init__(self) -> None:
        self._queue: queue.Queue[Seen | Question] = queue.Queue()
        self._lock = threading.Lock()
        self._closed = False

    def put(self, part: Seen) -> None:
        """Adds a part; never blocks. The eyes bound how many there are."""
        self._queue.put(part)

    def ask(self, question: Question) -> None:
        """Adds a question; never blocks.

        Raises:
            StationError: The station has halted; nobody would answer.
        """
        with self._lock:
            if self._closed:
                raise StationError("the inspection loop has halted: start it again, then ask again")
            self._queue.put(question)

    def close(self) -> None:
        """Takes no more questions; those that are there can still be collected."""
        with self._lock:
            self._closed = True

    @property
    def empty(self) -> bool:
        """True where nothing waits."""
        return self._queue.empty()

    def collect(self, timeout_s: float) -> tuple[list[Seen], list[Question]]:
        """Waits at most ``timeout_s`` for something, then takes what is there: at most ``BATCH_PARTS`` parts."""
        seen: list[Seen] = []
        asked: list[Question] = []
        try:
            item = self._queue.get(timeout=timeout_s) if timeout_s > 0 else self._queue.get_nowait()
            while True:
                if isinstance(item, Seen):
                    seen.append(item)
                else:
                    asked.append(item)
                if len(seen) >= BATCH_PARTS:
                    break
                item = self._queue.get_nowait()
        except queue.Empty:
            pass
        return seen, asked

    def collect_all(self) -> tuple[list[Seen], list[Question]]:
        """Takes everything that is there, without waiting."""
        seen: list[Seen] = []
        asked: list[Question] = []
        while not self.empty:
            more_seen, more_asked = self.collect(0.0)
            seen += more_seen
            asked += more_asked
        return seen, asked
