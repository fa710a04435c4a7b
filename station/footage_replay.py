"""What does a recipe say of a recorded footage, without asking the model twice?

::

    book ─> cached scores? ──yes──────────────────────────┐
                 └──no──> inspectors on all cores ─> cache ┴─> table ─> verdicts of all parts, by columns

What the inspectors say on the way is held against the columns' verdicts; where a part was recorded under the same
recipe and model, its verdict of then is held against that of now. Whatever was inspected is kept at once, so a replay
that was cut off goes on where it stopped.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from station.build import open_detector
from station.config import StationConfig
from station.core.errors import ImageFault, StationError
from station.core.timing import CycleTimer
from station.core.verdict import Evaluation, ModelRef
from station.crew import FromFootage, Tools, inspect_all, scale_of
from station.decision import undefined
from station.detector.tensors import preprocess_hash
from station.footage.book import Footage, FootagePart
from station.footage.checked import Checked
from station.footage.columns import CODES, Judged
from station.footage.measured import measured
from station.footage.reading import health_hash
from station.footage.scores import FOLDER, ScoreCache
from station.footage.table import Rules, Table
from station.footage.truth import Truths, truths
from station.recipe import Recipe
from station.registry import ModelCard, ModelRegistry

FLUSH_S = 10.0
"""Scores are on the disk at the latest so long after they were known: what a crash may cost."""


@dataclass(frozen=True, slots=True, eq=False)
class FootageReplay:
    """A footage under one recipe.

    Attributes:
        footage: Whose parts.
        recipe: With the limits used.
        model: The model; ``None`` for a recipe without one.
        table: The scores.
        rules: What turned them into verdicts.
        judged: The verdicts.
        known: What is true of the parts.
        inspected: Parts that the model was asked about; all others came from the cache.
        seconds: For everything, reading included.
        stage_ms: Of the inspected parts.
    """

    footage: Footage
    recipe: Recipe
    model: ModelRef | None
    table: Table
    rules: Rules
    judged: Judged
    known: Truths
    inspected: int
    seconds: float
    stage_ms: dict[str, dict[str, float]] = field(default_factory=dict)

    def summary(self) -> dict[str, Any]:
        """Counts, speed, and the figures that labels allow; every rate with its denominator."""
        parts = self.table.parts
        code = self.judged.code
        counted = Counter({CODES[k].value: int(n) for k, n in enumerate(np.bincount(code, minlength=4)) if n})
        compared, differ = self.differs()
        out: dict[str, Any] = {
            "footage": self.footage.about.name,
            "recipe": self.recipe.name,
            "model": str(self.model) if self.model else None,
            "parts": len(parts),
            "verdicts": dict(counted),
            "parts_per_s": round(len(parts) / self.seconds, 2) if self.seconds else None,
            "stage_ms": self.stage_ms,
            "inspected": self.inspected,
            "from_cache": len(parts) - self.inspected,
            "as_live": {
                "recorded": sum(p.said is not None for p in parts),
                "compared": compared,
                "differ": len(differ),
                "differ_keys": [parts[k].key for k in differ[:100]],
            },
            "disputed": len(self.known.disputed),
        }
        at = [k for k, p in enumerate(parts) if p.key in self.known.agreed]
        if at:
            scores = self._part_scores()
            out["labelled"] = measured(
                sources=[parts[k].key for k in at],
                truths=[self.known.agreed[parts[k].key] for k in at],
                passed=code[at] == 0,
                scores=scores[at],
            )
        return out

    def differs(self) -> tuple[int, list[int]]:
        """How many parts have a live verdict under this recipe and model, and which of them have another now."""
        model = self.model.sha256 if self.model else None
        return self.table.differs_from_live(self.judged, recipe_sha256=self.recipe.sha256, model_sha256=model)

    def to_dict(self) -> dict[str, Any]:
        """The whole of it as JSON-ready data; every verdict is asked of the decision once more, with its reason.

        Raises:
            StationError: The decision says otherwise than the columns.
        """
        rows = []
        for k, part in enumerate(self.table.parts):
            verdict, found = self.table.verdict(k, self.rules), self.table.detections(k)
            if verdict.evaluation is not CODES[self.judged.code[k]]:
                raise StationError(f"part {part.key}: the decision says {verdict.evaluation}, the columns otherwise")
            rows.append(
                {
                    "source": part.source,
                    "frame": part.frame_index,
                    "part_id": part.key,
                    "serial": part.serial,
                    "lot": part.lot,
                    "truth": self.known.agreed.get(part.key),
                    "verdict": verdict.evaluation.value,
                    "reason": verdict.reason,
                    "score": round(found.score, 6) if found is not None else None,
                    "scores": {c: round(v, 6) for c, v in found.scores.items()} if found is not None else {},
                    "boxes": [
                        {"label": d.label, "score": round(d.score, 6), "xyxy": [round(v, 2) for v in d.box.xyxy]}
                        for d in (found.candidates if found is not None else ())
                    ],
                }
            )
        return {"parts": rows, "summary": self.summary()}

    def _part_scores(self) -> np.ndarray[Any, np.dtype[np.float64]]:
        """Part score as the detector gave it, ``(parts,)``; NaN where the part was not inspected."""
        out = np.full(len(self.table), np.nan)
        scored = self.table.scored
        if scored.any():
            out[scored] = self.table.columns.scores[self.table.row[scored]].max(axis=1)
        return out


def replay_footage(
    footage: Footage,
    recipe: Recipe,
    config: StationConfig,
    *,
    jobs: int | None = None,
    progress: Callable[[int], None] = lambda n: None,
) -> FootageReplay:
    """Verdicts of all parts of a footage; asks the model only for pictures it has not seen yet.

    Args:
        footage: What to replay.
        recipe: With the limits to use.
        config: Where models and caches lie, and how many threads an inference has.
        jobs: Worker processes; ``None``: one per core.
        progress: Called with the number of parts so far.

    Raises:
        UsageError: Recipe or model cannot be used.
        StationError: A worker died, or a verdict is not the same on both ways.
    """
    begin = time.perf_counter()
    rules = Rules.of(recipe, footage_scale(footage, config))
    table, model, inspected, timer = scored_table(footage, recipe, config, jobs=jobs, progress=progress)
    judged = table.judged(rules)
    known = truths(footage)
    seconds = time.perf_counter() - begin
    for k, said in inspected.items():
        if CODES[judged.code[k]] is not said:
            raise StationError(
                f"part {table.parts[k].key}: the inspector says {said}, its cached scores say {CODES[judged.code[k]]}: "
                "do not use this replay, and report it as a fault of the program"
            )
    return FootageReplay(footage, recipe, model, table, rules, judged, known, len(inspected), seconds, timer.summary())


def scored_table(
    footage: Footage,
    recipe: Recipe,
    config: StationConfig,
    *,
    jobs: int | None = None,
    progress: Callable[[int], None] = lambda n: None,
) -> tuple[Table, ModelRef | None, dict[int, Evaluation], CycleTimer]:
    """The scores of all parts, from the cache and, where they are not there, from the model.

    Returns:
        The table, the model, the inspector's own verdict on each part that was inspected now, and their times.
    """
    tools = Tools(recipe, config.models, config.threads, footage_scale(footage, config))
    card = model_card(recipe, config)
    root = cache_root(footage)
    health = {whole: Checked(root, health_hash(recipe.health, whole_frame=whole)) for whole in (False, True)}
    cache = ScoreCache(
        root,
        model_sha256=card.sha256 if card else "0" * 64,
        preprocess=preprocess_hash(card.input) if card else "0" * 64,
        classes=card.head.classes if card else (),
    )
    parts = footage.parts
    faults: list[str | None] = [_fault_of(p, health) for p in parts]
    row = cache.rows([p.sha256 for p in parts])
    ask = [
        k
        for k, p in enumerate(parts)
        if faults[k] is None and (p.sha256 not in health[p.whole_frame] or (card is not None and row[k] < 0))
    ]
    done = len(parts) - len(ask)
    progress(done)
    said: dict[int, Evaluation] = {}
    timer = CycleTimer()
    flushed = time.monotonic()
    work = (FromFootage(footage.folder, parts[k], k + 1) for k in ask)
    try:
        for k, outcome in zip(ask, inspect_all(work, tools, jobs=jobs), strict=True) if ask else ():
            it = outcome.inspection
            said[k] = it.verdict.evaluation
            timer.add(it.stage_ms)
            sha256 = parts[k].sha256
            if sha256 is not None and outcome.ill is None:
                health[parts[k].whole_frame].add(sha256, None)
            if it.detections is not None and sha256 is not None:
                cache.add(sha256, it.detections, outcome.size)
            elif it.verdict.evaluation is Evaluation.UNDEFINED:
                faults[k] = it.verdict.reason
                if sha256 is not None and outcome.ill is not None and _is_of_the_picture(parts[k], outcome.ill):
                    health[parts[k].whole_frame].add(sha256, outcome.ill)
            done += 1
            progress(done)
            if time.monotonic() - flushed > FLUSH_S:
                flushed = time.monotonic()
                cache.flush()
                for it_health in health.values():
                    it_health.flush()
    finally:
        cache.flush()
        for it_health in health.values():
            it_health.flush()
    row = cache.rows([p.sha256 for p in parts])
    row[[k for k, fault in enumerate(faults) if fault is not None]] = -1
    return Table(parts, cache.columns, row, faults), card.ref if card else None, said, timer


def model_card(recipe: Recipe, config: StationConfig) -> ModelCard | None:
    """The card of the recipe's model, verified by hash but not loaded: kept scores need no session.

    Raises:
        ModelRefused: The model is missing or not what its card says, or scores other classes than the recipe names.
    """
    if recipe.model is None:
        return None
    card = ModelRegistry(config.models).open(recipe.model).card
    if set(card.head.classes) != set(recipe.class_names):
        open_detector(recipe, config)  # says which, and refuses
    return card


def footage_scale(footage: Footage, config: StationConfig) -> float | None:
    """Millimetres per pixel of a footage: what it was recorded with; the station's own for imported pictures."""
    return footage.about.mm_per_px if footage.about.kind == "recorded" else scale_of(config)


def cache_root(footage: Footage) -> Path:
    """Where scores of this footage's pictures are kept: beside it, shared by all footage of one folder."""
    return footage.folder.parent / FOLDER


def _fault_of(part: FootagePart, health: dict[bool, Checked]) -> str | None:
    """The verdict's reason for a part that is known to be ill; ``None`` where it is not known to be."""
    fault = part.fault or health[part.whole_frame].ill(part.sha256)
    return None if fault is None else undefined(ImageFault(fault)).reason


def _is_of_the_picture(part: FootagePart, ill: str) -> bool:
    """False where the file is at fault: it may be restored, and is then looked at again."""
    return not ill.startswith(("missing:", "changed:"))
