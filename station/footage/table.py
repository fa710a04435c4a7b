"""What is known of every part of a footage under one model: its scores, or the fault it is held for?

The table knows no limits: any number of them can be tried on it without asking the model or opening a picture. A part
without scores stays in it and is ``UNDEFINED`` under any limits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from station.core.part import Detections
from station.core.verdict import Evaluation, Verdict
from station.decision import Counts, counts_of, judge, undecided_without_model
from station.footage.book import FootagePart
from station.footage.columns import CODES, NOT_DECIDABLE, UNDEFINED, Judged, judge_all
from station.footage.scores import Columns
from station.recipe import Limits, Recipe


@dataclass(frozen=True, slots=True, eq=False)
class Rules:
    """Everything of a recipe that turns scores into a verdict.

    Attributes:
        limits: By class.
        counts: Which candidates count, by class.
    """

    limits: Mapping[str, Limits]
    counts: Mapping[str, Counts]

    @classmethod
    def of(cls, recipe: Recipe, mm_per_px: float | None = None) -> Rules:
        """The recipe's.

        Raises:
            ConfigError: It asks for square millimetres and the station has no scale.
        """
        return cls(recipe.limits, counts_of(recipe, mm_per_px))


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """Scores of a footage's parts.

    Attributes:
        parts: The parts, in the order of the rows.
        columns: One row per scored part.
        row: ``int64`` ``(parts,)``: row in ``columns``; -1 where the part has no scores.
        faults: ``(parts,)``: why a part has no scores; ``None`` for a scored one, and where no model looks.
    """

    parts: Sequence[FootagePart]
    columns: Columns
    row: NDArray[np.int64]
    faults: Sequence[str | None]

    def __len__(self) -> int:
        return len(self.parts)

    @property
    def scored(self) -> NDArray[np.bool_]:
        """Parts with scores, ``(parts,)``."""
        return np.asarray(self.row >= 0)

    def judged(self, rules: Rules) -> Judged:
        """Verdicts of all parts under these rules.

        Raises:
            StationError: The columns' verdicts are not the decision's.
        """
        classes = self.columns.classes
        code, label = np.full(len(self), UNDEFINED, np.uint8), np.full(len(self), -1, np.int16)
        scores = np.full((len(self), len(classes)), np.nan)
        scored = self.scored
        if scored.any():
            found = judge_all(self.columns, rules.limits, rules.counts)
            at = self.row[scored]
            code[scored], label[scored], scores[scored] = found.code[at], found.label[at], found.scores[at]
        if not classes:  # a recipe without a model: a person decides what is healthy
            code[np.array([fault is None for fault in self.faults], np.bool_)] = NOT_DECIDABLE
        return Judged(classes, code, label, scores)

    def detections(self, k: int) -> Detections | None:
        """What the model said of one part; ``None`` where it has no scores."""
        return self.columns.row(int(self.row[k])) if self.row[k] >= 0 else None

    def verdict(self, k: int, rules: Rules) -> Verdict:
        """The decision's own verdict on one part, with its reason."""
        found = self.detections(k)
        if found is not None:
            part = self.parts[k]
            return judge(found, rules.limits, rules.counts, size=(part.height, part.width))
        fault = self.faults[k]
        if fault is None:
            return undecided_without_model()
        return Verdict(Evaluation.UNDEFINED, fault)

    def differs_from_live(
        self, judged: Judged, *, recipe_sha256: str, model_sha256: str | None
    ) -> tuple[int, list[int]]:
        """Parts recorded under this very recipe and model, and those whose verdict was another then."""
        compared, differ = 0, []
        for k, part in enumerate(self.parts):
            said = part.said
            if said is not None and (said.recipe_sha256, said.model_sha256) == (recipe_sha256, model_sha256):
                compared += 1
                if said.verdict != CODES[judged.code[k]].value:
                    differ.append(k)
        return compared, differ
