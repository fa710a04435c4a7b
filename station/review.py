"""How does a person answer for a held part, and what becomes of the answer?

Open → claimed → confirmed → (undo) → settled. Every answer is checked against the recipe, its crops are
cut here, and both go into the ledger in one transaction.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass

import cv2

from station.core.errors import LedgerFault, ReviewRefused
from station.core.part import BgrImage, Box, Detection, PartId
from station.core.timing import Clock
from station.core.verdict import Answer, Confirmation
from station.decision import proposals
from station.recipe import Recipe
from station.store.images import ImageStore
from station.store.ledger import Command, Ledger
from station.store.reviews import NewSample, OpenReview, claim, confirm, leave, read_open, settle, undo

LEASE_S = 60.0
"""A claim lapses after so many seconds unless the screen renews it."""

PNG_UP_TO_PIXELS = 512 * 512
"""Crops up to this size are kept without loss; larger ones as JPEG."""

MIN_CONTEXT_PX = 16.0
"""Least context around a confirmed box on each side."""


@dataclass(frozen=True, slots=True)
class GivenAnswer:
    """What comes from the screen.

    Attributes:
        key: Made by the screen; sending it twice changes nothing.
        review_id: The question.
        answer: What the person said.
        person: Who.
        seconds: From first sight to answer.
        label: Class for ``other_class`` and ``missed_defect``.
        xyxy: Drawn box in part pixels for ``missed_defect``.
        note: Free words.
        shown: What the screen showed, as evidence.
    """

    key: str
    review_id: int
    answer: Answer
    person: str
    seconds: float
    label: str | None = None
    xyxy: tuple[float, float, float, float] | None = None
    note: str | None = None
    shown: str = ""


class ReviewDesk:
    """Review of one recipe's parts over one ledger; runs in the writing process only."""

    def __init__(self, ledger: Ledger, images: ImageStore, recipe: Recipe, *, clock: Clock) -> None:
        self._ledger = ledger
        self._images = images
        self._recipe = recipe
        self._clock = clock

    def claim(self, person: str, *, skip: tuple[int, ...] = ()) -> int | None:
        """The next review for ``person``, theirs alone for a minute; ``None`` where nothing waits."""
        return claim(self._ledger, _person(person), lease_s=LEASE_S, skip=skip)

    def leave(self, person: str) -> None:
        """``person`` went away: what they held is free again."""
        leave(self._ledger, _person(person))

    def confirm(self, given: GivenAnswer) -> int:
        """Takes an answer with its crops; returns the confirmation's id, the same for a repeated key.

        Raises:
            ReviewRefused: ``invalid`` with the remedy, or a conflict with another answer.
        """
        self._check(given)
        review = read_open(self._ledger, given.review_id)
        box = Box(*given.xyxy) if given.xyxy else None
        samples = self._samples(review, given, box)
        return confirm(
            self._ledger,
            Confirmation(
                key=given.key,
                review_id=given.review_id,
                answer=given.answer,
                person=_person(given.person),
                answered_at=self._clock.now(),
                seconds=given.seconds,
                label=self._label(review, given),
                box=box,
                note=given.note or None,
                shown=given.shown,
            ),
            samples,
        )

    def undo(self, person: str, key: str) -> tuple[int, PartId]:
        """Takes back the person's last unsettled answer; returns the review and the part."""
        if not key:
            raise ReviewRefused("invalid", "an undo needs a key")
        return undo(self._ledger, _person(person), key)

    def settle(self) -> list[Command]:
        """Commands from answers whose undo time is over."""
        return settle(self._ledger, undo_s=self._recipe.hold.undo_s)

    def _check(self, given: GivenAnswer) -> None:
        if not given.key:
            raise ReviewRefused("invalid", "an answer needs a key")
        if not math.isfinite(given.seconds) or given.seconds < 0:
            raise ReviewRefused("invalid", f"{given.seconds} seconds is no time")
        needs_label = given.answer in (Answer.OTHER_CLASS, Answer.MISSED_DEFECT)
        if needs_label and given.label not in self._recipe.class_names:
            raise ReviewRefused(
                "invalid", f"{given.label!r} is no defect class; choose one of {', '.join(self._recipe.class_names)}"
            )
        if given.answer is Answer.MISSED_DEFECT and given.xyxy is None:
            raise ReviewRefused("invalid", "draw a box around the missed defect")
        if given.xyxy is not None:
            x0, y0, x1, y1 = given.xyxy
            if not all(math.isfinite(v) for v in given.xyxy) or x1 - x0 < 1 or y1 - y0 < 1:
                raise ReviewRefused("invalid", "the drawn box is empty; drag from corner to corner")

    def _label(self, review: OpenReview, given: GivenAnswer) -> str | None:
        if given.answer is Answer.AGREE:
            return next((c.label for c in self._proposed(review)), None)
        return given.label if given.answer in (Answer.OTHER_CLASS, Answer.MISSED_DEFECT) else None

    def _proposed(self, review: OpenReview) -> list[Detection]:
        return proposals(review.candidates, self._recipe.limits)

    def _samples(self, review: OpenReview, given: GivenAnswer, box: Box | None) -> list[NewSample]:
        proposed = self._proposed(review)
        if given.answer is Answer.AGREE:
            if review.blind:
                raise ReviewRefused(
                    "invalid", "the model's verdict is hidden on this part: choose a class or 'no defect'"
                )
            if not proposed:
                raise ReviewRefused("invalid", "nothing is proposed on this part: choose a class or 'no defect'")
        if review.image_sha256 is None or given.answer in (Answer.UNSURE, Answer.REWORK):
            return []
        try:
            image = self._images.read(review.image_sha256)
        except LedgerFault as fault:
            raise ReviewRefused("invalid", f"{fault}: answer 'Rework', or restore the picture") from fault
        height, width = image.shape[:2]
        whole = Box(0, 0, width, height)
        if box is not None and (box.x1 <= 0 or box.y1 <= 0 or box.x0 >= width or box.y0 >= height):
            raise ReviewRefused("invalid", "the drawn box lies outside the part's picture")
        about: list[tuple[str, Box, str | None, float | None]]
        if given.answer is Answer.AGREE:
            about = [(c.label, c.box, c.label, c.score) for c in proposed]
        elif given.answer is Answer.FALSE_ALARM:
            about = [("ok", c.box, c.label, c.score) for c in proposed]
            about = about or [("ok", whole, None, None)]
        else:
            assert given.label is not None
            if box is not None:
                about = [(given.label, box, None, None)]
            else:
                # The class alone: about the candidate of that class, else the strongest, else the whole part.
                near = [] if review.blind else proposed or list(review.candidates)  # never a box nobody saw
                best = max(near, key=lambda c: (c.label == given.label, c.score), default=None)
                about = [(given.label, best.box, best.label, best.score) if best else (given.label, whole, None, None)]
        return [self._sample(image, label, b, was, score) for label, b, was, score in about]

    def _sample(self, image: BgrImage, label: str, box: Box, was: str | None, score: float | None) -> NewSample:
        height, width = image.shape[:2]
        inside = box.clipped(width, height)
        margin = max(self._recipe.review.crop_margin * max(inside.width, inside.height), MIN_CONTEXT_PX)
        around = inside.grown(margin).clipped(width, height)
        around = Box(math.floor(around.x0), math.floor(around.y0), math.ceil(around.x1), math.ceil(around.y1))
        pixels = around.cut(image)
        form = "png" if pixels.shape[0] * pixels.shape[1] <= PNG_UP_TO_PIXELS else "jpg"
        settings = [cv2.IMWRITE_PNG_COMPRESSION, 1] if form == "png" else [cv2.IMWRITE_JPEG_QUALITY, 95]
        done, data = cv2.imencode(f".{form}", pixels, settings)
        if not done:
            raise ReviewRefused("invalid", "the crop could not be encoded; the answer was not stored")
        crop = data.tobytes()
        return NewSample(label, inside, around, crop, form, hashlib.sha256(crop).hexdigest(), was, score)


def _person(name: str) -> str:
    name = name.strip()
    if not name or len(name) > 64:
        raise ReviewRefused("invalid", "an answer needs the name of a person (at most 64 letters)")
    return name
