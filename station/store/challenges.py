"""Do people still see? Known parts, shown again unmarked, and what was said of them.

A challenge is a review that moves no part, trains no model and counts in no rate. It is opened beside a stopped
part, is always blind, and is shown under the number of a part that passed a while ago, so that nothing on the
screen tells it from an audit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import Engine, text
from sqlmodel import Session

from station.core.errors import ReviewRefused
from station.core.verdict import ReviewReason
from station.store.tables import KnownPartRow, ReviewRow

if TYPE_CHECKING:
    from station.store.ledger import Ledger  # which opens challenges as it records

OUT_OF_SIGHT = 20
"""Newest parts whose numbers are not borrowed: the live screen still shows that they passed."""


@dataclass(frozen=True, slots=True)
class ChallengeResult:
    """How one person did on known parts.

    Attributes:
        person: Who answered.
        defects: Defective known parts answered, and of those found.
        good: Good known parts answered, and of those called good.
    """

    person: str
    defects: tuple[int, int]
    good: tuple[int, int]


def know(ledger: Ledger, part_id: str, expected: str, person: str) -> None:
    """Marks a settled part as known (``expected``: ``ok`` or ``defect``); repeating it changes nothing.

    Raises:
        ReviewRefused: ``unknown`` part, ``invalid`` (no picture, not settled yet, known as something else).
    """
    if expected not in ("ok", "defect"):
        raise ReviewRefused("invalid", f"a known part is 'ok' or 'defect', not {expected!r}")
    with ledger.transaction() as session:
        part = session.execute(
            text(
                "SELECT image_sha256, EXISTS (SELECT 1 FROM command c WHERE c.part_id = i.part_id "
                "AND c.disposition <> 'HOLD') FROM inspection i WHERE part_id = :p"
            ),
            {"p": part_id},
        ).first()
        if part is None:
            raise ReviewRefused("unknown", f"there is no part {part_id}")
        if part[0] is None:
            raise ReviewRefused("invalid", f"part {part_id} has no picture to show again")
        if not part[1]:
            raise ReviewRefused("invalid", f"part {part_id} still waits: mark it once it is settled")
        standing = session.execute(
            text("SELECT expected FROM known_part WHERE part_id = :p AND withdrawn_at IS NULL"), {"p": part_id}
        ).first()
        if standing is not None:
            if standing[0] != expected:
                raise ReviewRefused("invalid", f"part {part_id} is known as {standing[0]}: withdraw that first")
            return
        session.add(KnownPartRow(part_id=part_id, expected=expected, noted_at=ledger.now(), noted_by=person))


def forget(ledger: Ledger, part_id: str, person: str) -> None:
    """Takes a part out of the known ones; what was answered stays in the ledger.

    Raises:
        ReviewRefused: ``unknown``: it is not among them.
    """
    with ledger.transaction() as session:
        standing = session.execute(
            text("SELECT id FROM known_part WHERE part_id = :p AND withdrawn_at IS NULL"), {"p": part_id}
        ).first()
        if standing is None:
            raise ReviewRefused("unknown", f"part {part_id} is not among the known parts")
        session.execute(
            text("UPDATE known_part SET withdrawn_at = :now, withdrawn_by = :p WHERE id = :id"),
            {"now": ledger.now(), "p": person, "id": standing[0]},
        )


def open_challenge(session: Session, now: str) -> bool:
    """Opens a challenge in the running transaction; False where no known part or no number to borrow is at hand.

    The part that was not shown for the longest time comes next. The borrowed number is that of the newest part the
    machine released that has left the live screen.
    """
    part = session.execute(
        text(
            "SELECT k.part_id FROM known_part k WHERE k.withdrawn_at IS NULL "
            "AND NOT EXISTS (SELECT 1 FROM review r WHERE r.part_id = k.part_id AND r.settled_at IS NULL) "
            "ORDER BY (SELECT coalesce(max(r.opened_at), '') FROM review r "
            "WHERE r.part_id = k.part_id AND r.reason = 'challenge'), k.id LIMIT 1"
        )
    ).first()
    if part is None:
        return False
    alias = session.execute(
        text(
            "SELECT i.part_id FROM inspection i "
            "WHERE i.number <= (SELECT max(number) FROM inspection) - :sight "
            "AND i.number > (SELECT max(number) FROM inspection) - 50 * :sight "
            "AND i.evaluation = 'OK' AND i.audit = 0 AND i.part_id <> :part "
            "AND NOT EXISTS (SELECT 1 FROM review r WHERE r.shown_as = i.part_id) "
            "ORDER BY i.number DESC LIMIT 1"
        ),
        {"sight": OUT_OF_SIGHT, "part": part[0]},
    ).first()
    if alias is None:
        return False
    session.add(
        ReviewRow(
            part_id=part[0],
            opened_at=now,
            reason=ReviewReason.CHALLENGE.value,
            blind=1,
            moves=0,
            shown_as=alias[0],
        )
    )
    return True


def challenge_results(engine: Engine, *, since: str = "") -> list[ChallengeResult]:
    """What people said of known parts since ``since`` (ISO UTC; empty: ever), settled answers only, by person.

    ``unsure`` and ``rework`` count as found: the part would not have gone through.
    """
    with Session(engine) as session:
        rows = session.execute(
            text(
                "SELECT c.person, k.expected, count(*), sum((c.answer <> 'false_alarm') = (k.expected = 'defect')) "
                "FROM confirmation c JOIN review r ON r.id = c.review_id AND r.reason = 'challenge' "
                # What was known when the question was opened, also where it was withdrawn later.
                "JOIN known_part k ON k.id = (SELECT max(id) FROM known_part "
                "WHERE part_id = r.part_id AND noted_at <= r.opened_at) "
                "WHERE c.undone_at IS NULL AND r.settled_at IS NOT NULL AND c.answered_at >= :since "
                "GROUP BY c.person, k.expected ORDER BY c.person"
            ),
            {"since": since},
        ).all()
    by: dict[str, dict[str, tuple[int, int]]] = {}
    for person, expected, asked, right in rows:
        by.setdefault(str(person), {})[str(expected)] = (int(asked), int(right))
    return [ChallengeResult(p, r.get("defect", (0, 0)), r.get("ok", (0, 0))) for p, r in by.items()]
