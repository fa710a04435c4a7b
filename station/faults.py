"""What is wrong at the station now, and since when? And what is still to be noted of it in the ledger?"""

from __future__ import annotations

import logging
import threading
from collections import deque
from dataclasses import dataclass
from datetime import datetime

from station.core.timing import Clock

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Fault:
    """Something is wrong now.

    Attributes:
        kind: Short name, one standing fault per kind.
        words: What and what to do.
        since: When it began.
    """

    kind: str
    words: str
    since: datetime


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened and belongs into the ledger: ``fault:<kind>``, ``over:<kind>`` or a plain kind."""

    kind: str
    words: str


class Faults:
    """The standing faults, one per kind, and the events not yet noted; safe to use from several threads."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._standing: dict[str, Fault] = {}
        self._events: deque[Event] = deque()
        self._lock = threading.Lock()

    def __contains__(self, kind: str) -> bool:
        return kind in self._standing

    def __bool__(self) -> bool:
        return bool(self._standing)

    def standing(self) -> tuple[Fault, ...]:
        """All that is wrong now, in the order in which it began."""
        with self._lock:
            return tuple(self._standing.values())

    def words(self, kind: str) -> str | None:
        """What is wrong of that kind now; ``None`` where nothing is."""
        fault = self._standing.get(kind)
        return fault.words if fault is not None else None

    def begin(self, kind: str, words: str) -> None:
        """Notes that something is wrong. New words for a standing fault replace the old ones; its age goes on."""
        with self._lock:
            before = self._standing.get(kind)
            if before is not None and before.words == words:
                return
            self._standing[kind] = Fault(kind, words, before.since if before else self._clock.now())
            if before is None:
                log.warning("fault: %s: %s", kind, words)
                self._events.append(Event(f"fault:{kind}", words))

    def end(self, kind: str) -> None:
        """Notes that it is over; nothing happens where nothing of that kind was wrong."""
        if kind not in self._standing:
            return
        with self._lock:
            gone = self._standing.pop(kind, None)
            if gone is not None:
                log.warning("fault over: %s", kind)
                self._events.append(Event(f"over:{kind}", gone.words))

    def note(self, kind: str, words: str) -> None:
        """Has something noted in the ledger that is no standing fault."""
        self._events.append(Event(kind, words))

    def next_event(self) -> Event | None:
        """The oldest event that is not noted yet; it stays so until :meth:`noted`."""
        return self._events[0] if self._events else None

    def noted(self) -> None:
        """The oldest event is in the ledger now."""
        self._events.popleft()
