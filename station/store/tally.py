"""What does the running shift add up to, without counting the whole day again? Read-only.

The ledger's rows are evidence and never change, so what has been counted stays counted: every question looks only
at parts, commands and reviews that came since the last one, and at the few reviews that are still open. The result
equals :func:`station.store.queries.shift_counts` at every moment.
"""

from __future__ import annotations

import copy
import json
import threading
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Engine, text

from station.store.queries import ShiftCounts

_DEFECTS = frozenset({"agree", "other_class", "missed_defect", "rework"})
_STOPPED = frozenset({"NOT_OK", "NOT_DECIDABLE"})

_FACTS = """
SELECT c.answer, c.undone_at IS NULL, i.evaluation, i.audit, r.moves, i.triggered_at >= :since, c.answered_at >= :since,
  (SELECT count(*) FROM sample s WHERE s.confirmation_id = c.id)
FROM json_each(:reviews) asked CROSS JOIN review r ON r.id = asked.value
CROSS JOIN confirmation c ON c.part_id = r.part_id AND +c.review_id = r.id
CROSS JOIN inspection i ON i.part_id = c.part_id
"""

_PARTS = "SELECT i.evaluation, i.audit, count(*) FROM inspection i WHERE {} GROUP BY i.evaluation, i.audit"


@dataclass
class _Answers:
    """What answers add up to."""

    by_answer: Counter[str] = field(default_factory=Counter)
    labels: int = 0
    undone: int = 0
    overkill: int = 0
    confirmed_defects: int = 0
    audit_escapes: int = 0

    def add(self, facts: Iterable[tuple[Any, ...]], *, settled: bool) -> None:
        """Adds rows of :data:`_FACTS`."""
        for answer, stands, evaluation, audit, moves, triggered, answered, samples in facts:
            if answered:
                self.labels += samples if stands else 0
                self.undone += 0 if stands else 1
            if not (stands and triggered and moves):
                continue
            self.by_answer[answer] += 1
            # Settled ones only: within the undo time this count would tell what a blind part's verdict was.
            self.overkill += settled and answer == "false_alarm" and evaluation in _STOPPED
            self.confirmed_defects += answer in _DEFECTS
            self.audit_escapes += bool(audit) and answer in _DEFECTS


class ShiftTally:
    """Counts of one shift, kept up to date; safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._engine: Engine | None = None
        self._since = ""
        self._forget()

    def _forget(self) -> None:
        self._number = self._command = self._review = 0
        self._open: frozenset[int] = frozenset()
        self._evaluations: Counter[str] = Counter()
        self._audits = 0
        self._dispositions: Counter[str] = Counter()
        self._settled = _Answers()

    def counts(self, engine: Engine, *, since: str) -> ShiftCounts:
        """Counts over all parts triggered at or after ``since`` (ISO UTC); another ``since`` counts anew once."""
        with self._lock, engine.connect() as connection:
            connection.exec_driver_sql("BEGIN")  # one state of the ledger for all of it
            try:
                return self._counts(connection, engine, since)
            except BaseException:
                self._engine = None  # half counted: the next question counts anew
                raise
            finally:
                connection.rollback()

    def _counts(self, connection: Connection, engine: Engine, since: str) -> ShiftCounts:
        number, command, review = (
            int(n)
            for n in connection.execute(
                text(
                    "SELECT (SELECT coalesce(max(number), 0) FROM inspection), "
                    "(SELECT coalesce(max(id), 0) FROM command), (SELECT coalesce(max(id), 0) FROM review)"
                )
            ).one()
        )
        fresh = engine is not self._engine or since != self._since
        if fresh or number < self._number or command < self._command or review < self._review:
            self._forget()
            self._engine, self._since, fresh = engine, since, True
        given = {"since": since, "number": self._number, "command": self._command, "review": self._review}
        waiting = self._look(connection, given, fresh=fresh)
        self._number, self._command, self._review = number, command, review
        total = copy.deepcopy(self._settled)
        total.add(_facts(connection, self._open, since), settled=False)
        return ShiftCounts(
            parts=sum(self._evaluations.values()),
            by_evaluation=_some(self._evaluations),
            by_disposition=_some(self._dispositions),
            by_answer=_some(total.by_answer),
            waiting=waiting,
            audits=self._audits,
            labels=total.labels,
            undone=total.undone,
            overkill=total.overkill,
            confirmed_defects=total.confirmed_defects,
            audit_escapes=total.audit_escapes,
        )

    def _look(self, connection: Connection, given: Mapping[str, Any], *, fresh: bool) -> int:
        """Adds what came since the last look; returns how many questions of the shift wait."""

        def rows(sql: str) -> list[Any]:
            return list(connection.execute(text(sql), given).all())

        where = "i.triggered_at >= :since" if fresh else "i.number > :number AND +i.triggered_at >= :since"
        for evaluation, audit, n in rows(_PARTS.format(where)):
            self._evaluations[evaluation] += n
            self._audits += n if audit else 0
        if fresh:
            commands = rows(
                "SELECT c.disposition, NULL, count(*) FROM inspection i CROSS JOIN command c ON c.part_id = i.part_id "
                "WHERE i.triggered_at >= :since AND NOT EXISTS "
                "(SELECT 1 FROM command d WHERE d.part_id = c.part_id AND d.id > c.id) GROUP BY c.disposition"
            )
        else:
            commands = rows(
                "SELECT c.disposition, (SELECT d.disposition FROM command d WHERE d.part_id = c.part_id "
                "AND d.id < c.id ORDER BY d.id DESC LIMIT 1), 1 FROM command c "
                "CROSS JOIN inspection i ON i.part_id = c.part_id WHERE c.id > :command AND i.triggered_at >= :since"
            )
        for disposition, before, n in commands:
            self._dispositions[disposition] += n
            if before is not None:
                self._dispositions[before] -= n

        waiting = rows("SELECT id, opened_at >= :since, moves FROM review WHERE settled_at IS NULL")
        now_open = frozenset(int(r[0]) for r in waiting)
        if fresh:
            closed = rows(
                "SELECT c.review_id FROM inspection i CROSS JOIN confirmation c ON c.part_id = i.part_id "
                "WHERE i.triggered_at >= :since "
                "UNION SELECT review_id FROM confirmation WHERE answered_at >= :since"
            )
        else:
            closed = rows("SELECT id FROM review WHERE id > :review")
        gone = (frozenset(int(r[0]) for r in closed) | self._open) - now_open
        self._settled.add(_facts(connection, gone, str(given["since"])), settled=True)
        self._open = now_open
        return sum(1 for _, mine, moves in waiting if mine and moves)


def parts_since(engine: Engine, moment: str) -> int:
    """How many parts were triggered at or after ``moment`` (ISO UTC, lately: it counts them one by one)."""
    with engine.connect() as connection:
        return int(
            connection.execute(
                text("SELECT count(*) FROM inspection WHERE triggered_at >= :since"), {"since": moment}
            ).scalar_one()
        )


def _facts(connection: Connection, reviews: Iterable[int], since: str) -> list[tuple[Any, ...]]:
    asked = {"reviews": json.dumps(sorted(reviews)), "since": since}
    return [tuple(r) for r in connection.execute(text(_FACTS), asked).all()]


def _some(counted: Counter[str]) -> dict[str, int]:
    return {k: n for k, n in counted.items() if n}


def audited(engine: Engine, *, since: str) -> tuple[int, int]:
    """Audited parts a person has judged since then (ISO UTC, settled answers only), and of those found defective."""
    with engine.connect() as connection:
        judged, escapes = connection.execute(
            text(
                "SELECT count(*), coalesce(sum(c.answer <> 'false_alarm'), 0) FROM confirmation c "
                "CROSS JOIN review r ON r.id = c.review_id CROSS JOIN inspection i ON i.part_id = c.part_id "
                "WHERE c.answered_at >= :since AND c.undone_at IS NULL AND c.answer <> 'unsure' "
                "AND r.settled_at IS NOT NULL AND r.moves = 1 AND i.audit = 1"
            ),
            {"since": since},
        ).one()
    return int(judged), int(escapes)
