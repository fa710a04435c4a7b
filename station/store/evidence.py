"""What helps a person to answer? The model's record on a class, its heat map, and what stopped just before."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Engine, text
from sqlmodel import Session

RECORD_OF = 50
"""Newest answers that a class's record looks back on."""

LOOKED_THROUGH = 1000
"""Newest answers searched for those about the class; older ones say little about the model of today."""


@dataclass(frozen=True, slots=True)
class ClassRecord:
    """What people said of the parts that a model stopped for one class.

    Attributes:
        label: The class.
        judged: Settled answers looked at, at most ``RECORD_OF``.
        false_alarms: Of those, parts without a defect.
        causes: False alarms by their reason, where one was given.
        other: Answers that named another class, by that class.
    """

    label: str
    judged: int
    false_alarms: int
    causes: Mapping[str, int]
    other: Mapping[str, int]


def class_record(engine: Engine, label: str, model_sha256: str | None) -> ClassRecord:
    """How a model did on a class lately, by people's settled answers; challenges and corrections are left out."""
    with Session(engine) as session:
        rows = session.execute(
            text(
                "SELECT c.answer, c.label, c.cause FROM "
                "(SELECT * FROM confirmation WHERE undone_at IS NULL ORDER BY id DESC LIMIT :through) c "
                "JOIN review r ON r.id = c.review_id AND r.moves = 1 AND r.settled_at IS NOT NULL "
                "JOIN inspection i ON i.part_id = c.part_id "
                "WHERE i.label = :label AND i.evaluation IN ('NOT_OK', 'NOT_DECIDABLE') "
                "AND i.model_sha256 IS :model "
                "AND c.answer IN ('agree', 'false_alarm', 'other_class', 'missed_defect') "
                "ORDER BY c.id DESC LIMIT :most"
            ),
            {"label": label, "model": model_sha256, "through": LOOKED_THROUGH, "most": RECORD_OF},
        ).all()
    return ClassRecord(
        label=label,
        judged=len(rows),
        false_alarms=sum(r[0] == "false_alarm" for r in rows),
        causes=dict(Counter(str(r[2]) for r in rows if r[2] is not None).most_common()),
        other=dict(Counter(str(r[1]) for r in rows if r[1] not in (None, label)).most_common()),
    )


def heat(engine: Engine, review_id: int) -> bytes | None:
    """The heat map of the part a question is about, as PNG; ``None`` where there is none or the question is blind."""
    with Session(engine) as session:
        row = session.execute(
            text(
                "SELECT i.heat FROM review r JOIN inspection i ON i.part_id = r.part_id WHERE r.id = :r AND r.blind = 0"
            ),
            {"r": review_id},
        ).first()
    return None if row is None else row[0]


def model_of(engine: Engine, part_id: str) -> str | None:
    """The sha256 of the model that looked at a part."""
    with Session(engine) as session:
        found = session.execute(
            text("SELECT model_sha256 FROM inspection WHERE part_id = :p"), {"p": part_id}
        ).scalar_one_or_none()
    return None if found is None else str(found)


@dataclass(frozen=True, slots=True)
class FirstLook:
    """A settled answer to a blind question.

    Attributes:
        person: Who answered.
        answer: What was said, with its class in ``label``.
        part_id: The part shown; a challenge is told like every other, or its silence would give it away.
    """

    person: str
    answer: str
    label: str | None
    part_id: str


def first_look(engine: Engine, review_id: int) -> FirstLook | None:
    """The settled answer to a blind question; ``None`` before, and where it was not blind."""
    with Session(engine) as session:
        row = session.execute(
            text(
                "SELECT c.person, c.answer, c.label, r.part_id FROM review r "
                "JOIN confirmation c ON c.review_id = r.id AND c.undone_at IS NULL "
                "WHERE r.id = :r AND r.blind = 1 AND r.settled_at IS NOT NULL"
            ),
            {"r": review_id},
        ).first()
    return FirstLook(*row) if row else None
