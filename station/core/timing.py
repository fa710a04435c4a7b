"""What time is it, and where did it go?"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Protocol

import numpy as np


class Clock(Protocol):
    """Time as an argument, so that logic never calls ``sleep`` or ``now`` itself."""

    def now(self) -> datetime:
        """UTC wall-clock time, for the record."""
        ...

    def monotonic(self) -> float:
        """Seconds that never jump, for ages and deadlines."""
        ...

    def wait(self, seconds: float) -> None:
        """Lets ``seconds`` pass."""
        ...


class SystemClock:
    """The machine's own clocks."""

    def now(self) -> datetime:
        """UTC now."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """``time.monotonic()``."""
        return time.monotonic()

    def wait(self, seconds: float) -> None:
        """``time.sleep``."""
        time.sleep(seconds)


class ManualClock:
    """A clock moved by hand: for tests and simulation; thread-safe."""

    def __init__(self, start: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self._start = start
        self._elapsed = 0.0
        self._lock = threading.Lock()

    def now(self) -> datetime:
        """Start plus what was waited."""
        return self._start + timedelta(seconds=self.monotonic())

    def monotonic(self) -> float:
        """Seconds waited so far."""
        with self._lock:
            return self._elapsed

    def wait(self, seconds: float) -> None:
        """Moves the clock on at once."""
        with self._lock:
            self._elapsed += max(seconds, 0.0)


class StageTimes:
    """Named sections of one part's way, in milliseconds."""

    def __init__(self) -> None:
        self._ms: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Adds the time spent inside to ``name``."""
        begin = time.perf_counter()
        try:
            yield
        finally:
            self._ms[name] = self._ms.get(name, 0.0) + (time.perf_counter() - begin) * 1000.0

    def branch(self) -> StageTimes:
        """A stopwatch of its own that starts with the times so far."""
        own = StageTimes()
        own._ms = dict(self._ms)
        return own

    def as_ms(self) -> dict[str, float]:
        """A copy of the times so far."""
        return dict(self._ms)


class CycleTimer:
    """Rolling statistics of stage times over the last ``window`` parts."""

    def __init__(self, window: int = 1000) -> None:
        self._stages: dict[str, deque[float]] = {}
        self._window = window
        self._lock = threading.Lock()

    def add(self, stage_ms: Mapping[str, float]) -> None:
        """Takes one part's times."""
        with self._lock:
            for name, ms in stage_ms.items():
                self._stages.setdefault(name, deque(maxlen=self._window)).append(ms)

    def summary(self) -> dict[str, dict[str, float]]:
        """``{stage: {"median", "p99", "n"}}`` in milliseconds."""
        with self._lock:
            return {
                name: {
                    "median": round(float(np.median(values)), 3),
                    "p99": round(float(np.percentile(values, 99)), 3),
                    "n": float(len(values)),
                }
                for name, values in self._stages.items()
                if values
            }
