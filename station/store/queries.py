"""What do people ask the ledger about parts, reviews and runs? Read-only."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from sqlalchemy import Engine, text
from sqlmodel import Session

from station.core.part import Box, Detection
from station.store.ledger import BALANCE_SQL, Balance


@dataclass(frozen=True, slots=True)
class RunInfo:
    """The newest run of the loop."""

    id: int
    started_at: str
    ended_at: str | None
    station: str
    recipe: str
    recipe_json: str
    model: str | None
    source: str
    line: str
    limits_version: int | None


@dataclass(frozen=True, slots=True)
class PartView:
    """One part as the ledger knows it.

    Attributes:
        disposition: The newest command for it.
        image_sha256: Name of its picture, ``None`` where there is none.
        scores: Part score by class.
    """

    number: int
    part_id: str
    triggered_at: str
    source: str
    serial: str | None
    truth: str | None
    simulated: bool
    image_sha256: str | None
    width: int | None
    height: int | None
    evaluation: str
    reason: str
    score: float | None
    label: str | None
    scores: Mapping[str, float]
    candidates: tuple[Detection, ...]
    audit: bool
    disposition: str
    stage_ms: Mapping[str, float] = field(default_factory=dict)
    run_id: int = 0
    has_heat: bool = False


@dataclass(frozen=True, slots=True)
class ReviewView:
    """One open or answered question with its part.

    Attributes:
        blind: The model's verdict must not be shown for it.
        answered_by: Who gave the standing answer, if one stands.
        settled: The answer's undo time is over.
        moves: The answer moves the part; false for challenges and corrections.
        shown_as: Number, part id and serial under which people see it: its own, or what a challenge borrows.
    """

    id: int
    reason: str
    blind: bool
    opened_at: str
    claimed_by: str | None
    claimed_until: str | None
    answered_by: str | None
    settled: bool
    moves: bool
    shown_as: tuple[int, str, str | None]
    part: PartView


@dataclass(frozen=True, slots=True)
class ShiftCounts:
    """What a shift adds up to; every rate is printed with its denominator."""

    parts: int
    by_evaluation: Mapping[str, int]
    by_disposition: Mapping[str, int]
    by_answer: Mapping[str, int]
    waiting: int
    audits: int
    labels: int
    undone: int
    overkill: int
    confirmed_defects: int
    audit_escapes: int


_PART_COLUMNS = """
  i.number, i.part_id, i.triggered_at, i.source, i.serial, i.truth, i.simulated, i.image_sha256, i.image_width,
  i.image_height, i.evaluation, i.reason, i.score, i.label, i.scores, i.candidates, i.audit,
  (SELECT disposition FROM command c WHERE c.part_id = i.part_id ORDER BY c.id DESC LIMIT 1), i.stage_ms,
  i.run_id, i.heat IS NOT NULL
"""

_REVIEW_COLUMNS = """
  r.id, r.reason, r.blind, r.opened_at, r.claimed_by, r.claimed_until,
  (SELECT person FROM confirmation c WHERE c.review_id = r.id AND c.undone_at IS NULL), r.settled_at IS NOT NULL,
  r.moves, coalesce(a.number, i.number), coalesce(a.part_id, i.part_id),
  CASE WHEN a.number IS NULL THEN i.serial ELSE a.serial END
"""


def newest_run(engine: Engine) -> RunInfo | None:
    """The run that started last; ``None`` in a fresh ledger."""
    return _run(engine, "ORDER BY id DESC LIMIT 1")


def run(engine: Engine, run_id: int) -> RunInfo | None:
    """One run by its id."""
    return _run(engine, "WHERE id = :id", id=run_id)


def _run(engine: Engine, which: str, **given: int) -> RunInfo | None:
    with Session(engine) as session:
        row = session.execute(
            text(
                "SELECT id, started_at, ended_at, station, recipe, recipe_json, model, source, line, limits_version "
                f"FROM run {which}"
            ),
            given,
        ).first()
    return RunInfo(*row) if row else None


def open_reviews(engine: Engine, *, limit: int = 50) -> list[ReviewView]:
    """Questions without a standing answer, oldest first."""
    return _reviews(
        engine,
        "WHERE r.settled_at IS NULL AND NOT EXISTS "
        "(SELECT 1 FROM confirmation c WHERE c.review_id = r.id AND c.undone_at IS NULL) "
        "ORDER BY r.opened_at, r.id LIMIT :limit",
        limit=limit,
    )


def count_open_reviews(engine: Engine) -> int:
    """How many questions wait for an answer."""
    with Session(engine) as session:
        return int(
            session.execute(
                text(
                    "SELECT count(*) FROM review r WHERE r.settled_at IS NULL AND NOT EXISTS "
                    "(SELECT 1 FROM confirmation c WHERE c.review_id = r.id AND c.undone_at IS NULL)"
                )
            ).scalar_one()
        )


def newest_review(engine: Engine) -> int:
    """Id of the newest question ever asked, 0 where there is none; of constant cost."""
    with engine.connect() as connection:
        return int(connection.exec_driver_sql("SELECT coalesce(max(id), 0) FROM review").scalar_one())


def review(engine: Engine, review_id: int) -> ReviewView | None:
    """One question with its part; ``None`` where there is none of that id."""
    found = _reviews(engine, "WHERE r.id = :id", id=review_id)
    return found[0] if found else None


def recent_parts(engine: Engine, *, limit: int = 20) -> list[PartView]:
    """The newest parts, newest first."""
    with Session(engine) as session:
        rows = session.execute(
            text(f"SELECT {_PART_COLUMNS} FROM inspection i ORDER BY i.number DESC LIMIT :limit"), {"limit": limit}
        ).all()
    return [_part(tuple(r)) for r in rows]


def stopped_parts(engine: Engine, *, limit: int = 8) -> list[PartView]:
    """The newest parts that did not pass, newest first."""
    with Session(engine) as session:
        rows = session.execute(
            text(
                f"SELECT {_PART_COLUMNS} FROM inspection i WHERE i.evaluation <> 'OK' "
                "ORDER BY i.number DESC LIMIT :limit"
            ),
            {"limit": limit},
        ).all()
    return [_part(tuple(r)) for r in rows]


def part(engine: Engine, part_id: str) -> PartView | None:
    """One part by its id."""
    with Session(engine) as session:
        row = session.execute(
            text(f"SELECT {_PART_COLUMNS} FROM inspection i WHERE i.part_id = :p"), {"p": part_id}
        ).first()
    return _part(tuple(row)) if row else None


def balance(engine: Engine) -> Balance:
    """The books, counted by a reader."""
    with Session(engine) as session:
        return Balance(*session.execute(text(BALANCE_SQL)).one())


def shift_counts(engine: Engine, *, since: str = "") -> ShiftCounts:
    """Counts over all parts triggered at or after ``since`` (ISO UTC; empty: all)."""
    given = {"since": since}
    with Session(engine) as session:

        def pairs(sql: str) -> dict[str, int]:
            return {str(k): int(n) for k, n in session.execute(text(sql), given).all()}

        def one(sql: str) -> int:
            return int(session.execute(text(sql), given).scalar_one())

        standing = (
            "FROM confirmation c JOIN inspection i ON i.part_id = c.part_id "
            "JOIN review r ON r.id = c.review_id AND r.moves = 1 WHERE i.triggered_at >= :since AND c.undone_at IS NULL"
        )
        stopped = "i.evaluation IN ('NOT_OK', 'NOT_DECIDABLE')"
        return ShiftCounts(
            parts=one("SELECT count(*) FROM inspection WHERE triggered_at >= :since"),
            by_evaluation=pairs(
                "SELECT evaluation, count(*) FROM inspection WHERE triggered_at >= :since GROUP BY evaluation"
            ),
            by_disposition=pairs(
                "SELECT c.disposition, count(*) FROM command c JOIN inspection i ON i.part_id = c.part_id "
                "WHERE i.triggered_at >= :since AND c.id = (SELECT max(id) FROM command d WHERE d.part_id = c.part_id) "
                "GROUP BY c.disposition"
            ),
            by_answer=pairs(f"SELECT c.answer, count(*) {standing} GROUP BY c.answer"),
            waiting=one("SELECT count(*) FROM review WHERE settled_at IS NULL AND moves = 1 AND opened_at >= :since"),
            audits=one("SELECT count(*) FROM inspection WHERE audit = 1 AND triggered_at >= :since"),
            labels=one(
                "SELECT count(*) FROM sample s JOIN confirmation c ON c.id = s.confirmation_id "
                "WHERE c.undone_at IS NULL AND c.answered_at >= :since"
            ),
            undone=one("SELECT count(*) FROM confirmation WHERE undone_at IS NOT NULL AND answered_at >= :since"),
            # Settled ones only: within the undo time this count would tell what a blind part's verdict was.
            overkill=one(
                f"SELECT count(*) {standing} AND c.answer = 'false_alarm' AND {stopped} AND r.settled_at IS NOT NULL"
            ),
            confirmed_defects=one(
                f"SELECT count(*) {standing} AND c.answer IN ('agree', 'other_class', 'missed_defect', 'rework')"
            ),
            audit_escapes=one(
                f"SELECT count(*) {standing} AND i.audit = 1 AND c.answer IN "
                "('agree', 'other_class', 'missed_defect', 'rework')"
            ),
        )


@dataclass(frozen=True, slots=True)
class KnownOutcome:
    """A part whose true class is known (simulator, labelled footage) and what became of it."""

    part_id: str
    truth: str
    evaluation: str
    disposition: str


def truths(engine: Engine, *, since: str = "") -> list[KnownOutcome]:
    """Every part with a known truth, triggered at or after ``since``."""
    with Session(engine) as session:
        rows = session.execute(
            text(
                "SELECT i.part_id, i.truth, i.evaluation, "
                "(SELECT disposition FROM command c WHERE c.part_id = i.part_id ORDER BY c.id DESC LIMIT 1) "
                "FROM inspection i WHERE i.truth IS NOT NULL AND i.triggered_at >= :since ORDER BY i.number"
            ),
            {"since": since},
        ).all()
    return [KnownOutcome(*r) for r in rows]


class ChangeWatch:
    """Tells cheaply whether any other process has committed since the last question; one thread only."""

    def __init__(self, engine: Engine) -> None:
        self._connection = engine.connect()
        self._mark = -1

    def changed(self) -> bool:
        """True at the first call and after every commit of the writer."""
        mark = int(self._connection.exec_driver_sql("PRAGMA data_version").scalar_one())
        self._connection.rollback()
        if mark == self._mark:
            return False
        self._mark = mark
        return True

    def close(self) -> None:
        """Gives the connection back."""
        self._connection.close()


def _reviews(engine: Engine, where: str, **given: int) -> list[ReviewView]:
    sql = (
        f"SELECT {_REVIEW_COLUMNS}, {_PART_COLUMNS} FROM review r JOIN inspection i ON i.part_id = r.part_id "
        f"LEFT JOIN inspection a ON a.part_id = r.shown_as {where}"
    )
    with Session(engine) as session:
        rows = session.execute(text(sql), given).all()
    return [
        ReviewView(
            r[0], r[1], bool(r[2]), r[3], r[4], r[5], r[6], bool(r[7]), bool(r[8]), (r[9], r[10], r[11]), _part(r[12:])
        )
        for r in map(tuple, rows)
    ]


def _part(row: tuple[object, ...]) -> PartView:
    r = list(row)
    r[6], r[16] = bool(r[6]), bool(r[16])
    r[14] = json.loads(str(r[14]))
    r[15] = tuple(Detection(c["label"], c["score"], Box(*c["xyxy"])) for c in json.loads(str(r[15])))
    r[17] = r[17] or "HOLD"
    r[18] = json.loads(str(r[18]))
    r[20] = bool(r[20])
    return PartView(*r)  # type: ignore[arg-type]
