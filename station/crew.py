"""How are many parts inspected at once, on all cores, in the order in which they came?

Each worker is a process of its own (started afresh, so that no thread or lock of ours is copied into it) with its own
verified detector and the station's own :class:`station.inspection.Inspector`; the arithmetic of one inspection is that
of the live loop, with the same number of threads, so scores are the same to the bit. Work goes out in small lots, a
bounded number ahead; results come back in order. Ctrl-C reaches this process alone: the workers finish their lot.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import cv2

from station.build import open_detector
from station.calibration.optics.files import load_optics
from station.config import StationConfig
from station.core.errors import StationError
from station.core.part import Part
from station.core.timing import StageTimes
from station.core.verdict import Inspection
from station.footage.book import FootagePart, pixel_hash
from station.footage.reading import part_from
from station.inspection import Inspector
from station.recipe import Recipe

LOT = 4
"""Parts per message: a worker's answer is awaited for a tenth of a second, and messages cost a hundredth of it."""

AHEAD = 3
"""Lots per worker that may be under way."""

SMALL = 48
"""So few parts are inspected in this process: starting workers takes as long."""


@dataclass(frozen=True, slots=True)
class FromFootage:
    """A part that the worker reads from a footage itself.

    Attributes:
        folder: The footage's.
        line: Its line.
        number: Running number in the replay, from 1.
    """

    folder: Path
    line: FootagePart
    number: int


Work = Part | FromFootage


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one part.

    Attributes:
        inspection: Without the part's pixels and without heat map: neither is needed, both are large.
        size: ``(height, width)`` of the picture; ``(0, 0)`` where there was none.
        sha256: Hash of its pixels.
        ill: Why the picture itself could not be trusted, before any model looked; ``None`` where it could.
    """

    inspection: Inspection
    size: tuple[int, int]
    sha256: str | None
    ill: str | None


@dataclass(frozen=True, slots=True)
class Tools:
    """What a worker needs to know to become an inspector.

    Attributes:
        recipe: The product, with the limits to use.
        models: Folder of the models.
        threads: Threads of one inference.
        mm_per_px: The station's scale.
    """

    recipe: Recipe
    models: Path
    threads: int
    mm_per_px: float | None = None

    def inspector(self) -> Inspector:
        """A new inspector with its own detector.

        Raises:
            ModelRefused: The recipe's model is missing or not what its card says.
            ConfigError: The recipe asks for square millimetres and there is no scale.
        """
        detector = open_detector(self.recipe, StationConfig(models=self.models, threads=self.threads))
        return Inspector(self.recipe, detector, key=bytes(32), mm_per_px=self.mm_per_px)


def scale_of(config: StationConfig) -> float | None:
    """Millimetres per pixel as the live station takes them: the coarsest of its field; ``None`` without a scale.

    Raises:
        ConfigError: The calibration on disk is damaged.
    """
    optics = load_optics(config.optics_folder)
    plane = optics.record.plane if optics is not None else None
    return plane.coarsest_mm_per_px if plane is not None else None


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def inspect_all(
    work: Iterable[Work], tools: Tools, *, jobs: int | None = None, inspector: Inspector | None = None
) -> Iterator[Outcome]:
    """Inspects parts, several at a time; yields their outcomes in the order of ``work``.

    Args:
        work: Parts, or where to read them; taken as they are needed.
        tools: For the workers.
        jobs: Workers; ``None``: one per core, or per ``threads`` cores. 1 works in this process.
        inspector: Made from the same tools already: used where this process does the work.

    Raises:
        StationError: A worker died, for example because the memory was used up.
        ModelRefused: The model cannot be run.
    """
    jobs = max(1, cores() // tools.threads) if jobs is None else max(1, jobs)
    rest = iter(work)
    first = list(islice(rest, SMALL)) if jobs > 1 else []
    if jobs == 1 or len(first) < SMALL:
        chosen = inspector or tools.inspector()
        for it in (*first, *rest):
            yield _inspected(chosen, it)
        return
    yield from _by_workers(first, rest, tools, jobs)


def _by_workers(first: list[Work], rest: Iterator[Work], tools: Tools, jobs: int) -> Iterator[Outcome]:
    def lots() -> Iterator[list[Work]]:
        yield from (first[k : k + LOT] for k in range(0, len(first), LOT))
        while lot := list(islice(rest, LOT)):
            yield lot

    spawn = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(jobs, mp_context=spawn, initializer=_become_inspector, initargs=(tools,))
    waiting: deque[Future[list[Outcome]]] = deque()
    try:
        source = lots()
        for lot in islice(source, jobs * AHEAD):
            waiting.append(pool.submit(_inspect_lot, lot))
        while waiting:
            done = waiting.popleft().result()
            waiting.extend(pool.submit(_inspect_lot, lot) for lot in islice(source, 1))
            yield from done
    except BrokenProcessPool as error:
        # A worker that cannot start says why here, in our own words, before memory is blamed.
        tools.inspector()
        raise StationError(
            "a worker process died, perhaps for want of memory: run again with fewer --jobs; what was inspected is kept"
        ) from error
    finally:
        for future in waiting:
            future.cancel()
        pool.shutdown(wait=True, cancel_futures=True)


_own: list[Inspector] = []


def _become_inspector(tools: Tools) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    cv2.setNumThreads(1)
    _own[:] = [tools.inspector()]


def _inspect_lot(lot: Sequence[Work]) -> list[Outcome]:
    return [_inspected(_own[0], it) for it in lot]


def _inspected(inspector: Inspector, it: Work) -> Outcome:
    times = StageTimes()
    if isinstance(it, Part):
        part = it
    else:
        with times.stage("read"):
            part = part_from(it.folder, it.line, it.number, inspector.recipe.health)
    inspection = inspector.inspect(part, times)
    size = (0, 0) if part.image is None else (part.image.shape[0], part.image.shape[1])
    sha256 = it.line.sha256 if isinstance(it, FromFootage) else None
    if sha256 is None and part.image is not None:
        sha256 = pixel_hash(part.image)
    found = inspection.detections
    bare = replace(
        inspection,
        part=replace(part, image=None),
        detections=None if found is None else replace(found, heat=None),
    )
    return Outcome(bare, size, sha256, inspector.ill(part) if found is None else None)
