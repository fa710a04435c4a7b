"""What would the station say to this footage? The same eyes and the same inspector as live.

Where the footage is labelled the answer is measured: AUROC, overkill, misses at the limits in force.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from station.build import build
from station.config import FootageSource, StationConfig
from station.core.errors import UsageError
from station.core.timing import CycleTimer, SystemClock
from station.core.verdict import Evaluation, Inspection
from station.crew import Tools, inspect_all, scale_of
from station.footage.book import Footage, is_footage
from station.footage.bring_in import parts_in
from station.footage.measured import measured
from station.footage_replay import FootageReplay, replay_footage
from station.limits_fit import recipe_here
from station.recipe import FreeRunSettings
from station.sources.footage import open_footage
from station.trigger import make_trigger


@dataclass(frozen=True, slots=True)
class ReplayedPart:
    """One part of the footage and what the station said."""

    source: str
    frame: int
    part_id: str
    serial: str | None
    truth: str | None
    verdict: Evaluation
    reason: str
    score: float | None
    scores: dict[str, float]
    boxes: tuple[tuple[str, float, tuple[float, float, float, float]], ...]


@dataclass(frozen=True, slots=True)
class Replay:
    """All parts of a footage with the summary."""

    recipe: str
    model: str | None
    parts: tuple[ReplayedPart, ...]
    seconds: float
    stage_ms: dict[str, dict[str, float]]

    def summary(self) -> dict[str, Any]:
        """Counts, speed, and the figures that labels allow; every rate with its denominator."""
        out: dict[str, Any] = {
            "recipe": self.recipe,
            "model": self.model,
            "parts": len(self.parts),
            "verdicts": dict(Counter(p.verdict.value for p in self.parts)),
            "parts_per_s": round(len(self.parts) / self.seconds, 2) if self.seconds else None,
            "stage_ms": self.stage_ms,
        }
        known = [p for p in self.parts if p.truth is not None]
        if known:
            out["labelled"] = measured(
                sources=[p.source for p in known],
                truths=[str(p.truth) for p in known],
                passed=np.array([p.verdict is Evaluation.OK for p in known], np.bool_),
                scores=np.array([np.nan if p.score is None else p.score for p in known], np.float64),
            )
        return out

    def to_dict(self) -> dict[str, Any]:
        """The whole of it as JSON-ready data."""
        return {
            "parts": [
                {
                    "source": p.source,
                    "frame": p.frame,
                    "part_id": p.part_id,
                    "serial": p.serial,
                    "truth": p.truth,
                    "verdict": p.verdict.value,
                    "reason": p.reason,
                    "score": p.score,
                    "scores": p.scores,
                    "boxes": [
                        {"label": label, "score": round(score, 6), "xyxy": [round(v, 2) for v in xyxy]}
                        for label, score, xyxy in p.boxes
                    ],
                }
                for p in self.parts
            ],
            "summary": self.summary(),
        }


def found_at(source: Path, config: StationConfig) -> tuple[Path, int | None]:
    """Where the material lies, and how many parts it has where that is known; a footage may be called by its name."""
    path = source if source.exists() or not is_footage(config.footage / source) else config.footage / source
    return path, len(Footage.open(path).parts) if is_footage(path) else None


def replay(
    path: Path,
    config: StationConfig,
    recipe_name: str,
    *,
    database: Path | None = None,
    jobs: int | None = None,
    progress: Callable[[int], None] = lambda n: None,
) -> Replay | FootageReplay:
    """Shows material to the station's own inspector and gathers what it says.

    A footage is replayed from its cached scores, see :func:`station.footage_replay.replay_footage`. A video or a folder
    goes through the loop's own eyes, its parts to inspectors on all cores. With ``database`` it goes through the whole
    loop, hand and ledger included, one part after the other: that is the only difference, the inspector is the same.

    Args:
        path: Footage, video, image folder or tile-style folder.
        config: The station; its source is replaced by the material.
        recipe_name: The recipe.
        database: Keep the ledger in this file (pictures beside it).
        jobs: Worker processes; ``None``: one per core.
        progress: Called with the number of parts so far.

    Raises:
        UsageError: Material, recipe, model or the ledger's name cannot be used.
        StationError: A worker died.
    """
    if database is None and is_footage(path):
        recipe, _ = recipe_here(recipe_name, config)
        return replay_footage(Footage.open(path), recipe, config, jobs=jobs, progress=progress)
    if is_footage(path):
        raise UsageError(f"{path} is a footage, which is replayed without a ledger: leave out --db")
    if database is not None:
        return _by_loop(path, config, recipe_name, database, progress)
    return _on_all_cores(path, config, recipe_name, jobs, progress)


def _on_all_cores(
    path: Path, config: StationConfig, recipe_name: str, jobs: int | None, progress: Callable[[int], None]
) -> Replay:
    recipe, _ = recipe_here(recipe_name, config)
    tools = Tools(recipe, config.models, config.threads, scale_of(config))
    inspector = tools.inspector()  # a model that cannot be run is refused before anything starts
    clock = SystemClock()
    source = open_footage(path, clock=clock, max_pixels=recipe.health.max_pixels)
    timer = CycleTimer()
    parts: list[ReplayedPart] = []
    begin = time.perf_counter()
    with closing(source):
        # In a folder every picture is a part; a video shows parts passing by.
        trigger = make_trigger(FreeRunSettings() if path.is_dir() else recipe.trigger)
        seen = parts_in(source, trigger, recipe, station=config.station, clock=clock)
        for outcome in inspect_all(seen, tools, jobs=jobs, inspector=inspector):
            parts.append(_replayed(outcome.inspection))
            timer.add(outcome.inspection.stage_ms)
            progress(len(parts))
    seconds = time.perf_counter() - begin
    model = str(inspector.detector.model) if inspector.detector else None
    return Replay(recipe_name, model, tuple(parts), seconds, timer.summary())


def _by_loop(
    path: Path, config: StationConfig, recipe_name: str, database: Path, progress: Callable[[int], None]
) -> Replay:
    parts: list[ReplayedPart] = []

    def recorded(inspection: Inspection) -> None:
        parts.append(_replayed(inspection))
        progress(len(parts))

    source = FootageSource(path=path)
    station = build(
        config.model_copy(update={"source": source, "store": config.store.at(database)}),
        recipe_name,
        on_recorded=recorded,
    )
    begin = time.perf_counter()
    try:
        station.loop.run()
    finally:
        station.close()
    seconds = time.perf_counter() - begin
    model = str(station.detector.model) if station.detector else None
    return Replay(recipe_name, model, tuple(parts), seconds, station.loop.timer.summary())


def _replayed(it: Inspection) -> ReplayedPart:
    found = it.detections
    return ReplayedPart(
        source=it.part.source,
        frame=it.part.frame_index,
        part_id=it.part.part_id,
        serial=it.part.serial,
        truth=it.part.truth,
        verdict=it.verdict.evaluation,
        reason=it.verdict.reason,
        score=round(found.score, 6) if found is not None else None,
        scores={k: round(v, 6) for k, v in found.scores.items()} if found is not None else {},
        boxes=tuple((d.label, d.score, d.box.xyxy) for d in (found.candidates if found is not None else ())),
    )
