"""What would the station say to this footage? The same loop as live, over a folder or a video.

Where the footage is labelled the answer is measured: AUROC, overkill, misses at the limits in force.
"""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from station.build import build
from station.calibration.rates import auroc, overkill_at
from station.config import FootageSource, StationConfig
from station.core.verdict import Evaluation, Inspection


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
        labelled = [p for p in self.parts if p.truth is not None and p.score is not None]
        good = np.array([p.score for p in labelled if p.truth == "ok"], dtype=np.float64)
        bad = np.array([p.score for p in labelled if p.truth != "ok"], dtype=np.float64)
        known = [p for p in self.parts if p.truth is not None]
        if known:
            missed = [p for p in known if p.truth != "ok" and p.verdict is Evaluation.OK]
            stopped = [p for p in known if p.truth == "ok" and p.verdict is not Evaluation.OK]
            out["labelled"] = {
                "good": sum(p.truth == "ok" for p in known),
                "defective": sum(p.truth != "ok" for p in known),
                "not_inspected": len(known) - len(labelled),
                "missed": len(missed),
                "overkill": len(stopped),
                "missed_sources": [p.source for p in missed],
            }
            if good.size and bad.size:
                out["labelled"] |= {
                    "auroc": round(auroc(good, bad), 4),
                    "overkill_at_95": round(overkill_at(good, bad, detection=0.95), 4),
                    "overkill_at_98": round(overkill_at(good, bad, detection=0.98), 4),
                    "auroc_per_class": {
                        label: round(
                            auroc(good, np.array([p.score for p in labelled if p.truth == label], dtype=np.float64)), 4
                        )
                        for label in sorted({p.truth for p in labelled if p.truth and p.truth != "ok"})
                    },
                }
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


def replay(
    path: Path,
    config: StationConfig,
    recipe_name: str,
    *,
    database: Path | None = None,
    progress: Callable[[int], None] = lambda n: None,
) -> Replay:
    """Runs footage through the station's own loop.

    Args:
        path: Video, image folder or tile-style folder.
        config: The station; its source is replaced by the footage.
        recipe_name: The recipe.
        database: Keep the ledger in this file (pictures beside it); otherwise it is thrown away.
        progress: Called with the number of parts so far.

    Raises:
        UsageError: Footage, recipe, model or the ledger's name cannot be used.
    """
    parts: list[ReplayedPart] = []

    def recorded(inspection: Inspection) -> None:
        parts.append(_replayed(inspection))
        progress(len(parts))

    with tempfile.TemporaryDirectory(prefix="station-replay-") as scratch:
        store = config.store.at(database or Path(scratch) / "replay.db")
        station = build(
            config.model_copy(update={"source": FootageSource(path=path), "store": store}),
            recipe_name,
            on_recorded=recorded,
            throw_away=database is None,
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
