"""What is written when a person is asked, answers, takes it back, and the answer is settled?"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import text
from sqlmodel import Session

from station.core.errors import ReviewRefused
from station.core.part import Box, Detection, PartId
from station.core.verdict import Answer, Confirmation, Disposition, ReviewReason
from station.store.ledger import Command, Ledger, add_command, stamp
from station.store.tables import ConfirmationRow, EventRow, ReviewRow, SampleRow


@dataclass(frozen=True, slots=True)
class NewSample:
    """A confirmed crop on its way into the ledger.

    Attributes:
        label: The class the person gave, ``"ok"`` for a false alarm.
        box: What the label is about, in part pixels.
        crop_box: What the crop shows, in part pixels.
        crop: Encoded picture.
        crop_format: ``png`` or ``jpg``.
        crop_sha256: Hash of ``crop``.
        proposed: The class the model proposed there, if it did.
        score: The model's score there.
    """

    label: str
    box: Box
    crop_box: Box
    crop: bytes
    crop_format: str
    crop_sha256: str
    proposed: str | None
    score: float | None


@dataclass(frozen=True, slots=True)
class OpenReview:
    """What must be known of a review to answer it."""

    id: int
    part_id: PartId
    reason: ReviewReason
    blind: bool
    image_sha256: str | None
    candidates: tuple[Detection, ...]
    recipe_sha256: str
    recipe_json: str


DISPOSITION_OF: dict[Answer, Disposition] = {
    Answer.AGREE: Disposition.REJECT,
    Answer.FALSE_ALARM: Disposition.RELEASE,
    Answer.OTHER_CLASS: Disposition.REJECT,
    Answer.MISSED_DEFECT: Disposition.REJECT,
    Answer.UNSURE: Disposition.HOLD,
    Answer.REWORK: Disposition.REWORK,
}
"""What each answer does with the part; the database checks the same table."""


def claim(
    ledger: Ledger, person: str, *, lease_s: float, skip: Sequence[int] = (), capacity: int | None = None
) -> int | None:
    """Gives ``person`` the oldest open review nobody else holds; returns its id, or ``None``.

    Args:
        ledger: The writer.
        person: Who asks; keeps what this person already holds.
        lease_s: Seconds after which the claim lapses unless renewed by asking again.
        skip: Reviews this person's screen has already answered or shown.
        capacity: Held parts at which the line waits; while it does, a challenge waits behind the parts that stop it.
    """
    now = ledger.clock.now()
    skipped = ",".join(str(int(s)) for s in skip) or "-1"
    with ledger.transaction() as session:
        row = session.execute(
            text(
                "SELECT r.id FROM review r WHERE r.settled_at IS NULL "
                "AND NOT EXISTS (SELECT 1 FROM confirmation c WHERE c.review_id = r.id AND c.undone_at IS NULL) "
                "AND (r.claimed_by IS NULL OR r.claimed_by = :person OR r.claimed_until < :now) "
                "AND (r.excluded_person IS NULL OR r.excluded_person <> :person) "
                f"AND r.id NOT IN ({skipped}) "
                "ORDER BY (r.claimed_by IS :person) DESC, CASE WHEN r.moves = 0 THEN "
                "(SELECT count(*) FROM review w WHERE w.settled_at IS NULL AND w.moves = 1) >= :capacity "
                "ELSE 0 END, r.opened_at, r.id LIMIT 1"
            ),
            {"person": person, "now": stamp(now), "capacity": 2**31 if capacity is None else capacity},
        ).first()
        if row is None:
            return None
        session.execute(
            text("UPDATE review SET claimed_by = :person, claimed_until = :until WHERE id = :id"),
            {"person": person, "until": stamp(now + timedelta(seconds=lease_s)), "id": row[0]},
        )
        return int(row[0])


def leave(ledger: Ledger, person: str) -> None:
    """Frees everything ``person`` holds without having answered."""
    with ledger.transaction() as session:
        session.execute(
            text(
                "UPDATE review SET claimed_by = NULL, claimed_until = NULL WHERE claimed_by = :p AND settled_at IS NULL"
            ),
            {"p": person},
        )


def read_open(ledger: Ledger, review_id: int) -> OpenReview:
    """What the review is about.

    Raises:
        ReviewRefused: There is no such review (``unknown``).
    """
    with ledger.transaction() as session:
        row = session.execute(
            text(
                "SELECT r.id, r.part_id, r.reason, r.blind, i.image_sha256, i.candidates, i.recipe_sha256, "
                "n.recipe_json FROM review r JOIN inspection i ON i.part_id = r.part_id JOIN run n ON n.id = i.run_id "
                "WHERE r.id = :id"
            ),
            {"id": review_id},
        ).first()
    if row is None:
        raise ReviewRefused("unknown", f"there is no review {review_id}")
    return _open_review(*row)


def read_part(ledger: Ledger, part_id: str) -> OpenReview:
    """What must be known of a part to correct what was said of it; its ``id`` is 0, as no question is open.

    A picture that had to leave for the disk budget is none: an escape must be noted without it as well.

    Raises:
        ReviewRefused: There is no such part (``unknown``).
    """
    with ledger.transaction() as session:
        row = session.execute(
            text(
                "SELECT 0, i.part_id, 'correction', 0, CASE WHEN EXISTS (SELECT 1 FROM dropped_image d "
                "WHERE d.image_sha256 = i.image_sha256) THEN NULL ELSE i.image_sha256 END, "
                "i.candidates, i.recipe_sha256, n.recipe_json "
                "FROM inspection i JOIN run n ON n.id = i.run_id WHERE i.part_id = :p"
            ),
            {"p": part_id},
        ).first()
    if row is None:
        raise ReviewRefused("unknown", f"there is no part {part_id}")
    return _open_review(*row)


def _open_review(
    review_id: int, part_id: str, reason: str, blind: int, image: str | None, candidates: str, sha256: str, recipe: str
) -> OpenReview:
    found = tuple(Detection(c["label"], float(c["score"]), Box(*c["xyxy"])) for c in json.loads(candidates))
    return OpenReview(review_id, PartId(part_id), ReviewReason(reason), bool(blind), image, found, sha256, recipe)


def confirm(ledger: Ledger, confirmation: Confirmation, samples: Sequence[NewSample]) -> int:
    """Writes the answer and its crops in one transaction; returns the confirmation's id.

    Repeating a key changes nothing and returns the id of the first time.

    Raises:
        ReviewRefused: ``unknown``, ``settled``, ``answered`` (by another answer), ``taken`` (another person
            holds it), ``same_person`` (a second opinion is asked from someone else).
    """
    c = confirmation
    with ledger.transaction() as session:
        known = session.execute(text("SELECT id FROM confirmation WHERE key = :k"), {"k": c.key}).first()
        if known is not None:
            return int(known[0])
        review = session.get(ReviewRow, c.review_id)
        if review is None:
            raise ReviewRefused("unknown", f"there is no review {c.review_id}")
        if review.settled_at is not None:
            raise ReviewRefused("settled", f"part {review.part_id} has been settled")
        if review.excluded_person == c.person:
            raise ReviewRefused("same_person", "a second person is asked about this part")
        standing = session.execute(
            text("SELECT person FROM confirmation WHERE review_id = :r AND undone_at IS NULL"), {"r": c.review_id}
        ).first()
        if standing is not None:
            raise ReviewRefused("answered", f"part {review.part_id} was answered by {standing[0]}")
        if (
            review.claimed_by not in (None, c.person)
            and review.claimed_until is not None
            and review.claimed_until >= stamp(c.answered_at)
        ):
            raise ReviewRefused("taken", f"{review.claimed_by} is looking at part {review.part_id}")
        # A challenge never trains: its crops were stored when the part was first answered.
        crops = () if review.reason == ReviewReason.CHALLENGE else samples
        return _add_confirmation(session, c, review, crops)


def correct(ledger: Ledger, confirmation: Confirmation, part_id: str, samples: Sequence[NewSample]) -> int:
    """Writes what a part really is after it has gone; moves nothing, and takes the place of the earlier labels.

    A part that turns out to be defective after it was released is noted as an escape as well.
    ``confirmation.review_id`` is not looked at: the correction is its own review, opened and settled here.
    Repeating a key changes nothing and returns the id of the first time.

    Raises:
        ReviewRefused: ``unknown`` part; ``invalid``: it has not gone yet, or a challenge with it is open.
    """
    c = confirmation
    with ledger.transaction() as session:
        known = session.execute(text("SELECT id FROM confirmation WHERE key = :k"), {"k": c.key}).first()
        if known is not None:
            return int(known[0])
        went = session.execute(
            text("SELECT disposition FROM command WHERE part_id = :p AND disposition <> 'HOLD'"), {"p": part_id}
        ).first()
        if went is None:
            raise ReviewRefused("invalid", f"part {part_id} has not gone yet: answer its question, or take that back")
        if session.execute(
            text("SELECT 1 FROM review WHERE part_id = :p AND settled_at IS NULL"), {"p": part_id}
        ).first():
            raise ReviewRefused("invalid", f"part {part_id} cannot be corrected just now: try again in a few minutes")
        now = stamp(c.answered_at)
        review = ReviewRow(
            part_id=part_id, opened_at=now, reason=ReviewReason.CORRECTION.value, blind=0, moves=0, claimed_by=c.person
        )
        session.add(review)
        session.flush()
        stored = _add_confirmation(session, c, review, samples)
        session.execute(text("UPDATE review SET settled_at = :now WHERE id = :id"), {"now": now, "id": review.id})
        if went[0] == Disposition.RELEASE and c.answer is not Answer.FALSE_ALARM:
            words = f"part {part_id} was released and is defective ({c.label or c.answer.value}), says {c.person}"
            session.add(EventRow(at=now, kind="escape", text=words))
        return stored


def _add_confirmation(session: Session, c: Confirmation, review: ReviewRow, samples: Sequence[NewSample]) -> int:
    assert review.id is not None
    row = ConfirmationRow(
        key=c.key,
        review_id=review.id,
        part_id=review.part_id,
        answer=c.answer.value,
        person=c.person,
        answered_at=stamp(c.answered_at),
        seconds=c.seconds,
        label=c.label,
        box=json.dumps(c.box.xyxy) if c.box else None,
        note=c.note,
        shown=c.shown,
        cause=c.cause,
        judgements=json.dumps(
            [
                {
                    "defect": j.defect,
                    "answer": j.answer.value,
                    "label": j.label,
                    "xyxy": j.box.xyxy,
                    "proposed": j.proposed,
                    "score": j.score,
                    "cause": j.cause,
                }
                for j in c.judgements
            ]
        ),
    )
    session.add(row)
    session.flush()
    assert row.id is not None
    _add_samples(session, row, samples)
    return row.id


def _add_samples(session: Session, answer: ConfirmationRow, samples: Sequence[NewSample]) -> None:
    about = session.execute(
        text(
            "SELECT i.model_sha256, i.p_select, r.reason FROM inspection i JOIN review r ON r.part_id = i.part_id "
            "WHERE r.id = :r"
        ),
        {"r": answer.review_id},
    ).one()
    for s in samples:
        assert answer.id is not None
        session.add(
            SampleRow(
                confirmation_id=answer.id,
                part_id=answer.part_id,
                label=s.label,
                box=json.dumps(s.box.xyxy),
                crop_box=json.dumps(s.crop_box.xyxy),
                crop=s.crop,
                crop_format=s.crop_format,
                crop_sha256=s.crop_sha256,
                person=answer.person,
                confirmed_at=answer.answered_at,
                seconds=answer.seconds,
                model_sha256=about[0],
                proposed=s.proposed,
                score=s.score,
                reason=about[2],
                p_select=about[1],
            )
        )


def undo(ledger: Ledger, person: str, key: str) -> tuple[int, PartId]:
    """Takes back the last answer of ``person`` that is not settled; returns its review and part.

    The answer stays in the ledger, marked with who took it back and when. Repeating ``key`` changes nothing.

    Raises:
        ReviewRefused: ``nothing_to_undo``.
    """
    with ledger.transaction() as session:
        done = session.execute(
            text("SELECT review_id, part_id FROM confirmation WHERE undo_key = :k"), {"k": key}
        ).first()
        if done is not None:
            return int(done[0]), PartId(done[1])
        row = session.execute(
            text(
                "SELECT c.id, c.review_id, c.part_id FROM confirmation c JOIN review r ON r.id = c.review_id "
                "WHERE c.person = :p AND c.undone_at IS NULL AND r.settled_at IS NULL ORDER BY c.id DESC LIMIT 1"
            ),
            {"p": person},
        ).first()
        if row is None:
            raise ReviewRefused("nothing_to_undo", "the last answer is already settled; nothing to take back")
        now = ledger.clock.now()
        session.execute(
            text("UPDATE confirmation SET undone_at = :at, undone_by = :p, undo_key = :k WHERE id = :id"),
            {"at": stamp(now), "p": person, "k": key, "id": row[0]},
        )
        # Back to the one who took it back, ahead of the rest.
        session.execute(
            text("UPDATE review SET claimed_by = :p, claimed_until = :until WHERE id = :r"),
            {"p": person, "until": stamp(now + timedelta(seconds=60)), "r": row[1]},
        )
        return int(row[1]), PartId(row[2])


def settle(ledger: Ledger, *, undo_s: float) -> list[Command]:
    """Turns answers whose undo time is over into commands, in one transaction.

    An ``unsure`` opens the question anew for a second person instead; a challenge is only closed.

    Returns:
        The commands that may now be sent to the line.
    """
    now = ledger.clock.now()
    commands: list[Command] = []
    with ledger.transaction() as session:
        due = session.execute(
            text(
                "SELECT c.id, c.review_id, c.part_id, c.answer, c.person, r.blind, r.moves FROM confirmation c "
                "JOIN review r ON r.id = c.review_id "
                "WHERE r.settled_at IS NULL AND c.undone_at IS NULL AND c.answered_at <= :before ORDER BY c.id"
            ),
            {"before": stamp(now - timedelta(seconds=undo_s))},
        ).all()
        for confirmation_id, review_id, part_id, answer, person, blind, moves in due:
            session.execute(
                text("UPDATE review SET settled_at = :now WHERE id = :id"), {"now": stamp(now), "id": review_id}
            )
            if not moves:
                continue  # a challenge: the part went long ago
            if Answer(answer) is Answer.UNSURE:
                session.add(
                    ReviewRow(
                        part_id=part_id,
                        opened_at=stamp(now),
                        reason=ReviewReason.SECOND_PERSON.value,
                        blind=blind,
                        excluded_person=person,
                    )
                )
                session.flush()
            else:
                disposition = DISPOSITION_OF[Answer(answer)]
                commands.append(add_command(session, PartId(part_id), disposition, confirmation_id, stamp(now)))
    return commands


def next_settlement(ledger: Ledger) -> bool:
    """Whether an answer waits for its undo time to pass."""
    with ledger.transaction() as session:
        return (
            session.execute(
                text(
                    "SELECT 1 FROM confirmation c JOIN review r ON r.id = c.review_id "
                    "WHERE r.settled_at IS NULL AND c.undone_at IS NULL LIMIT 1"
                )
            ).first()
            is not None
        )
