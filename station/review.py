"""How does a person answer for a held part, and what becomes of the answer?

Open → claimed → confirmed → (undo) → settled. An answer and its crops go into the ledger in one transaction.
"""

from __future__ import annotations

from station.answers import GivenAnswer, check, crops
from station.core.errors import LedgerFault, ReviewRefused
from station.core.part import PartId
from station.core.timing import Clock
from station.core.verdict import Answer, Confirmation
from station.decision import proposals
from station.recipe import Recipe
from station.store.challenges import forget, know
from station.store.images import ImageStore
from station.store.ledger import Command, Ledger
from station.store.reviews import (
    NewSample,
    OpenReview,
    claim,
    confirm,
    correct,
    leave,
    next_settlement,
    read_open,
    read_part,
    settle,
    undo,
)

LEASE_S = 60.0
"""A claim lapses after so many seconds unless the screen renews it."""


class ReviewDesk:
    """Review over one ledger; runs in the writing process only.

    A part is answered under the recipe it was inspected with, also where the limits have changed since.
    """

    def __init__(self, ledger: Ledger, images: ImageStore, recipe: Recipe, *, clock: Clock) -> None:
        self._ledger = ledger
        self._images = images
        self._recipe = recipe
        self._clock = clock
        self._recipes = {recipe.sha256: recipe}
        self._unsettled = True

    def claim(self, person: str, *, skip: tuple[int, ...] = ()) -> int | None:
        """The next review for ``person``, theirs alone for a minute; ``None`` where nothing waits."""
        return claim(self._ledger, _person(person), lease_s=LEASE_S, skip=skip, capacity=self._recipe.hold.capacity)

    def leave(self, person: str) -> None:
        """``person`` went away: what they held is free again."""
        leave(self._ledger, _person(person))

    def confirm(self, given: GivenAnswer) -> int:
        """Takes an answer with its crops; returns the confirmation's id, the same for a repeated key.

        Raises:
            ReviewRefused: ``invalid`` with the remedy, or a conflict with another answer.
        """
        confirmation, samples = self._taken(read_open(self._ledger, given.review_id), given)
        self._unsettled = True
        return confirm(self._ledger, confirmation, samples)

    def correct(self, given: GivenAnswer, part_id: str) -> int:
        """Takes what a part really is after it has gone; returns the confirmation's id, the same for a repeated key.

        ``given.review_id`` is not looked at. Nothing is moved; the earlier labels no longer train.

        Raises:
            ReviewRefused: ``invalid`` with the remedy, or ``unknown`` part.
        """
        if not given.note or not given.note.strip():
            raise ReviewRefused("invalid", "a correction needs a note: say how it is known")
        if given.answer in (Answer.UNSURE, Answer.REWORK):
            raise ReviewRefused("invalid", "a correction says what the part is: a class, or no defect")
        confirmation, samples = self._taken(read_part(self._ledger, part_id), given)
        return correct(self._ledger, confirmation, part_id, samples)

    def know(self, part_id: str, expected: str, person: str) -> None:
        """Marks a settled part as known (``ok`` or ``defect``): it is shown again now and then as a challenge."""
        know(self._ledger, part_id, expected, _person(person))

    def forget(self, part_id: str, person: str) -> None:
        """Takes a part out of the known ones."""
        forget(self._ledger, part_id, _person(person))

    def undo(self, person: str, key: str) -> tuple[int, PartId]:
        """Takes back the person's last unsettled answer; returns the review and the part."""
        if not key:
            raise ReviewRefused("invalid", "an undo needs a key")
        return undo(self._ledger, _person(person), key)

    def settle(self) -> list[Command]:
        """Commands from answers whose undo time is over; costs nothing while no answer waits for that."""
        if not self._unsettled:
            return []
        commands = settle(self._ledger, undo_s=self._recipe.hold.undo_s)
        self._unsettled = next_settlement(self._ledger)
        return commands

    def _taken(self, review: OpenReview, given: GivenAnswer) -> tuple[Confirmation, list[NewSample]]:
        recipe = self._recipe_of(review)
        proposed = proposals(review.candidates, recipe.limits)
        said = check(
            given,
            _person(given.person),
            recipe,
            proposed,
            blind=review.blind,
            review_id=review.id,
            at=self._clock.now(),
        )
        if review.image_sha256 is None or said.answer in (Answer.UNSURE, Answer.REWORK):
            return said, []
        try:
            image = self._images.read(review.image_sha256)
        except LedgerFault as fault:
            raise ReviewRefused("invalid", f"{fault}: answer 'Rework', or restore the picture") from fault
        # Never a box nobody saw: what lies below the limits is not proposed, and on a blind part nothing was shown.
        near = [] if review.blind else proposed or list(review.candidates)
        return said, crops(image, said, proposed, near, margin=recipe.review.crop_margin)

    def _recipe_of(self, review: OpenReview) -> Recipe:
        known = self._recipes.get(review.recipe_sha256)
        if known is None:
            try:
                known = Recipe.model_validate_json(review.recipe_json)
            except ValueError as error:
                raise ReviewRefused(
                    "invalid", f"the recipe of part {review.part_id} cannot be read: {error}"
                ) from error
            self._recipes[review.recipe_sha256] = known
        return known


def _person(name: str) -> str:
    name = name.strip()
    if not name or len(name) > 64:
        raise ReviewRefused("invalid", "an answer needs the name of a person (at most 64 letters)")
    return name
