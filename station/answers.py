"""What may a person say of a part, and which crops follow from it? Pure: checked before anything is stored."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from datetime import datetime

import cv2

from station.core.errors import ReviewRefused
from station.core.part import BgrImage, Box, Detection
from station.core.verdict import Answer, Confirmation, Judgement
from station.recipe import Recipe
from station.store.reviews import NewSample

PNG_UP_TO_PIXELS = 512 * 512
"""Crops up to this size are kept without loss; larger ones as JPEG."""

MIN_CONTEXT_PX = 16.0
"""Least context around a confirmed box on each side."""

PART_LEVEL = (Answer.AGREE, Answer.OTHER_CLASS, Answer.MISSED_DEFECT, Answer.FALSE_ALARM)
"""What single judgements add up to: the first of these that was given. One defect makes the part defective."""


@dataclass(frozen=True, slots=True)
class GivenJudgement:
    """What comes from the screen about one defect.

    Attributes:
        defect: Index among the proposed defects; ``None`` for a drawn one.
        answer: ``agree``, ``other_class`` or ``false_alarm``; ``missed_defect`` for a drawn one.
        label: Class for ``other_class`` and ``missed_defect``.
        xyxy: Drawn box in part pixels.
        cause: Reason of a false alarm.
    """

    defect: int | None
    answer: Answer
    label: str | None = None
    xyxy: tuple[float, float, float, float] | None = None
    cause: str | None = None


@dataclass(frozen=True, slots=True)
class GivenAnswer:
    """What comes from the screen.

    Attributes:
        key: Made by the screen; sending it twice changes nothing.
        review_id: The question.
        answer: What the person said; ``None`` where ``judgements`` say it defect by defect.
        person: Who.
        seconds: From first sight to answer.
        label: Class for ``other_class`` and ``missed_defect``.
        xyxy: Drawn box in part pixels for ``missed_defect``.
        note: Free words.
        shown: What the screen showed, as evidence.
        cause: Reason of a false alarm, one of the recipe's.
        judgements: One for every proposed defect, and one for every drawn box.
    """

    key: str
    review_id: int
    answer: Answer | None
    person: str
    seconds: float
    label: str | None = None
    xyxy: tuple[float, float, float, float] | None = None
    note: str | None = None
    shown: str = ""
    cause: str | None = None
    judgements: tuple[GivenJudgement, ...] = ()


def check(
    given: GivenAnswer,
    person: str,
    recipe: Recipe,
    proposed: list[Detection],
    *,
    blind: bool,
    review_id: int,
    at: datetime,
) -> Confirmation:
    """The answer as the ledger takes it.

    Args:
        given: What came from the screen.
        person: Who.
        recipe: The one the part was inspected with.
        proposed: The defects the machine proposed, in the order in which they are judged.
        blind: Nothing was proposed on the screen.
        review_id: The question.
        at: When.

    Raises:
        ReviewRefused: ``invalid``, with the remedy.
    """
    if not given.key:
        raise ReviewRefused("invalid", "an answer needs a key")
    if not math.isfinite(given.seconds) or given.seconds < 0:
        raise ReviewRefused("invalid", f"{given.seconds} seconds is no time")
    judged = tuple(_judgement(j, recipe, proposed, blind=blind) for j in given.judgements)
    if judged:
        answer = _part_level(judged, given, proposed, blind=blind)
        decisive = next(j for j in judged if j.answer is answer)
        label, cause = decisive.label, next((j.cause for j in judged if j.cause), None)
        cause = cause if answer is Answer.FALSE_ALARM else None
    elif given.answer is None:
        raise ReviewRefused("invalid", "say what the part is, or judge every defect")
    else:
        answer, cause = given.answer, given.cause
        _check_answer(answer, given.label, given.xyxy, cause, recipe)
        label = given.label if answer in (Answer.OTHER_CLASS, Answer.MISSED_DEFECT) else None
        if answer is Answer.AGREE:
            if blind:
                raise ReviewRefused(
                    "invalid", "the model's verdict is hidden on this part: choose a class or 'no defect'"
                )
            if not proposed:
                raise ReviewRefused("invalid", "nothing is proposed on this part: choose a class or 'no defect'")
            label = proposed[0].label
    return Confirmation(
        key=given.key,
        review_id=review_id,
        answer=answer,
        person=person,
        answered_at=at,
        seconds=given.seconds,
        label=label,
        box=Box(*given.xyxy) if given.xyxy else None,
        note=given.note or None,
        shown=given.shown,
        cause=cause,
        judgements=judged,
    )


def crops(
    image: BgrImage, said: Confirmation, proposed: list[Detection], near: list[Detection], *, margin: float
) -> list[NewSample]:
    """The labelled crops that follow from an answer.

    Args:
        image: The part's picture, BGR ``(height, width, 3)`` uint8.
        said: The answer; neither ``unsure`` nor ``rework``.
        proposed: The defects the machine proposed.
        near: Candidates that a class named without a box may be about.
        margin: Context around a box, as a share of its longer side.

    Raises:
        ReviewRefused: ``invalid``: a drawn box lies outside the picture.
    """
    height, width = image.shape[:2]
    for box in (said.box, *(j.box for j in said.judgements if j.defect is None)):
        if box is not None and (box.x1 <= 0 or box.y1 <= 0 or box.x0 >= width or box.y0 >= height):
            raise ReviewRefused("invalid", "the drawn box lies outside the part's picture")
    about: list[tuple[str, Box, str | None, float | None]]
    if said.judgements:
        about = [(j.label or "ok", j.box, j.proposed, j.score) for j in said.judgements]
    elif said.answer is Answer.AGREE:
        about = [(c.label, c.box, c.label, c.score) for c in proposed]
    elif said.answer is Answer.FALSE_ALARM:
        about = [("ok", c.box, c.label, c.score) for c in proposed]
        about = about or [("ok", Box(0, 0, width, height), None, None)]
    else:
        assert said.label is not None
        if said.box is not None:
            about = [(said.label, said.box, None, None)]
        else:
            # The class alone: about the candidate of that class, else the strongest, else the whole part.
            best = max(near, key=lambda c: (c.label == said.label, c.score), default=None)
            whole = (said.label, Box(0, 0, width, height), None, None)
            about = [(said.label, best.box, best.label, best.score) if best else whole]
    return [_sample(image, label, b, was, score, margin) for label, b, was, score in about]


def _judgement(given: GivenJudgement, recipe: Recipe, proposed: list[Detection], *, blind: bool) -> Judgement:
    if given.defect is None:
        if given.answer is not Answer.MISSED_DEFECT:
            raise ReviewRefused("invalid", "a drawn box is a missed defect; name its class")
        _check_answer(given.answer, given.label, given.xyxy, given.cause, recipe)
        assert given.xyxy is not None
        return Judgement(None, given.answer, given.label, Box(*given.xyxy))
    if blind:
        raise ReviewRefused("invalid", "the model's verdict is hidden on this part: answer for the whole part")
    if not 0 <= given.defect < len(proposed):
        raise ReviewRefused("invalid", f"there is no defect {given.defect} on this part")
    if given.answer not in (Answer.AGREE, Answer.OTHER_CLASS, Answer.FALSE_ALARM):
        raise ReviewRefused("invalid", f"'{given.answer.value}' is about a whole part, not about one defect")
    _check_answer(given.answer, given.label, None, given.cause, recipe)
    was = proposed[given.defect]
    label = {Answer.AGREE: was.label, Answer.OTHER_CLASS: given.label}.get(given.answer)
    return Judgement(given.defect, given.answer, label, was.box, was.label, was.score, given.cause)


def _part_level(judged: tuple[Judgement, ...], given: GivenAnswer, proposed: list[Detection], *, blind: bool) -> Answer:
    if given.answer is not None or given.xyxy is not None or given.label is not None or given.cause is not None:
        raise ReviewRefused("invalid", "answer for the whole part or defect by defect, not both")
    wanted = set() if blind else set(range(len(proposed)))
    about = [j.defect for j in judged if j.defect is not None]
    if set(about) != wanted or len(about) != len(wanted):
        raise ReviewRefused("invalid", f"{len(wanted)} defects are proposed: judge each of them once")
    said = {j.answer for j in judged}
    return next(a for a in PART_LEVEL if a in said)


def _check_answer(
    answer: Answer,
    label: str | None,
    xyxy: tuple[float, float, float, float] | None,
    cause: str | None,
    recipe: Recipe,
) -> None:
    if answer in (Answer.OTHER_CLASS, Answer.MISSED_DEFECT) and label not in recipe.class_names:
        raise ReviewRefused("invalid", f"{label!r} is no defect class; choose one of {', '.join(recipe.class_names)}")
    if answer is Answer.MISSED_DEFECT and xyxy is None:
        raise ReviewRefused("invalid", "draw a box around the missed defect")
    if xyxy is not None:
        x0, y0, x1, y1 = xyxy
        if not all(math.isfinite(v) for v in xyxy) or x1 - x0 < 1 or y1 - y0 < 1:
            raise ReviewRefused("invalid", "the drawn box is empty; drag from corner to corner")
    if cause is not None:
        causes = [c.name for c in recipe.review.causes]
        if answer is not Answer.FALSE_ALARM:
            raise ReviewRefused("invalid", "only a false alarm has a reason")
        if cause not in causes:
            raise ReviewRefused("invalid", f"{cause!r} is no reason; choose one of {', '.join(causes)}")


def _sample(image: BgrImage, label: str, box: Box, was: str | None, score: float | None, margin: float) -> NewSample:
    height, width = image.shape[:2]
    inside = box.clipped(width, height)
    around = inside.grown(max(margin * max(inside.width, inside.height), MIN_CONTEXT_PX)).clipped(width, height)
    around = Box(math.floor(around.x0), math.floor(around.y0), math.ceil(around.x1), math.ceil(around.y1))
    pixels = around.cut(image)
    form = "png" if pixels.shape[0] * pixels.shape[1] <= PNG_UP_TO_PIXELS else "jpg"
    settings = [cv2.IMWRITE_PNG_COMPRESSION, 1] if form == "png" else [cv2.IMWRITE_JPEG_QUALITY, 95]
    done, data = cv2.imencode(f".{form}", pixels, settings)
    if not done:
        raise ReviewRefused("invalid", "the crop could not be encoded; the answer was not stored")
    crop = data.tobytes()
    return NewSample(label, inside, around, crop, form, hashlib.sha256(crop).hexdigest(), was, score)
