"""What does :func:`station.decision.judge` say of many parts at once?

The same rules as in :mod:`station.decision`, on columns instead of one part: for trying limits on hundreds of thousands
of parts per second. The decision stays the one judge: a property test holds every row of this against it, and every
call here has a sample of its own rows judged by it as well (:func:`check_sample`), so that the two cannot drift apart
unseen.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from station.core.errors import StationError
from station.core.verdict import Evaluation
from station.decision import Counts, judge
from station.footage.scores import Columns
from station.recipe import Limits

CODES = (Evaluation.OK, Evaluation.NOT_DECIDABLE, Evaluation.NOT_OK, Evaluation.UNDEFINED)
"""What a code in :attr:`Judged.code` means: its place here."""

OK, NOT_DECIDABLE, NOT_OK, UNDEFINED = range(4)
SAMPLE = 64
"""Rows of each call that the decision itself judges once more: half a millisecond."""


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """Verdicts of many parts.

    Attributes:
        classes: In the order of the columns.
        code: ``uint8`` ``(n,)``, see :data:`CODES`.
        label: ``int16`` ``(n,)``: number of the class that decided; -1 where none did.
        scores: ``float64`` ``(n, C)``: part scores after small and ignored places were left out.
    """

    classes: tuple[str, ...]
    code: NDArray[np.uint8]
    label: NDArray[np.int16]
    scores: NDArray[np.float64]

    @property
    def stopped(self) -> NDArray[np.bool_]:
        """Everything but ``OK``: ``(n,)``."""
        return np.asarray(self.code != OK)


def judge_all(columns: Columns, limits: Mapping[str, Limits], counts: Mapping[str, Counts]) -> Judged:
    """Verdicts of every row, without their reasons.

    Args:
        columns: Detections.
        limits: Of every class of the recipe.
        counts: From :func:`station.decision.counts_of`.

    Raises:
        StationError: A row got another verdict here than from the decision; nothing here may be used then.
    """
    scores = counting_all(columns, counts) if counts else columns.scores
    judged = evaluate_all(scores, columns.classes, limits)
    check_sample(columns, limits, counts, judged)
    return judged


def evaluate_all(scores: NDArray[np.float64], classes: tuple[str, ...], limits: Mapping[str, Limits]) -> Judged:
    """:func:`station.decision.evaluate` on ``(n, C)`` part scores; same reading of NaN, of ties, of missing limits."""
    n = len(scores)
    code, label = np.full(n, UNDEFINED, np.uint8), np.full(n, -1, np.int16)
    if not limits or set(limits) != set(classes):
        return Judged(classes, code, label, scores)
    # By name downwards, because the first of equals wins in argmax and the last name wins in the decision.
    order = sorted(range(len(classes)), key=lambda k: classes[k], reverse=True)
    known = scores[:, order]
    low = np.array([limits[classes[k]].pass_below for k in order])
    high = np.array([limits[classes[k]].fail_above for k in order])
    number = np.array(order, np.int16)
    with np.errstate(invalid="ignore"):
        sound = ((known >= 0.0) & (known <= 1.0)).all(axis=1)
        failed, passed = known > high, known < low
        above, beyond = known - high, known - low
    any_failed = failed.any(axis=1)
    all_passed = passed.all(axis=1)
    code[sound & any_failed] = NOT_OK
    code[sound & ~any_failed & all_passed] = OK
    code[sound & ~any_failed & ~all_passed] = NOT_DECIDABLE
    for rows, margin in (
        (code == NOT_OK, np.where(failed, above, -np.inf)),
        (code == OK, beyond),
        (code == NOT_DECIDABLE, np.where(passed, -np.inf, beyond)),
    ):
        label[rows] = number[np.argmax(margin[rows], axis=1)]
    return Judged(classes, code, label, scores)


def counting_all(columns: Columns, counts: Mapping[str, Counts]) -> NDArray[np.float64]:
    """Part scores ``(n, C)`` as :func:`station.decision.counting` leaves them."""
    n, c = columns.scores.shape
    out = np.zeros(len(columns.label), np.bool_)
    part = np.repeat(np.arange(n), np.diff(columns.first))
    height, width = columns.size[part, 0].astype(np.float64), columns.size[part, 1].astype(np.float64)
    x0, y0, x1, y1 = columns.xyxy.T
    area = (x1 - x0) * (y1 - y0)
    for k, name in enumerate(columns.classes):
        rule = counts.get(name)
        if rule is None:
            continue
        small = area < rule.min_area_px
        for left, top, right, bottom in rule.ignored:
            small |= (x0 >= left * width) & (y0 >= top * height) & (x1 <= right * width) & (y1 <= bottom * height)
        out |= small & (columns.label == k)
    if not out.any():
        return columns.scores
    cell = part * c + columns.label
    best, kept = np.zeros(n * c), np.zeros(n * c)
    lowered = np.zeros(n * c, np.bool_)
    np.maximum.at(best, cell, columns.score)
    np.maximum.at(kept, cell[~out], columns.score[~out])
    lowered[cell[out]] = True
    whole = columns.scores.reshape(-1)
    unlisted = columns.unlisted.reshape(-1)
    rest = np.maximum(kept, np.where(np.isnan(unlisted), whole, unlisted))
    explained = lowered & (whole <= best)
    return np.where(explained, np.minimum(whole, rest), whole).reshape(n, c)


def check_sample(columns: Columns, limits: Mapping[str, Limits], counts: Mapping[str, Counts], judged: Judged) -> None:
    """Has the decision judge some rows, spread evenly, once more.

    Raises:
        StationError: It says otherwise.
    """
    n = len(columns)
    for k in {int(k) for k in np.linspace(0, n - 1, min(n, SAMPLE))} if n else ():
        verdict = judge(columns.row(k), limits, counts, size=(int(columns.size[k, 0]), int(columns.size[k, 1])))
        label = columns.classes[judged.label[k]] if judged.label[k] >= 0 else None
        if CODES[judged.code[k]] is not verdict.evaluation or label != verdict.label:
            raise StationError(
                f"part {k} is {verdict.evaluation} by the decision and {CODES[judged.code[k]]} by columns: "
                "do not use these figures, and report this as a fault of the program"
            )
