"""What does a shift add up to, with the truth beside it?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from station.store import books, queries
from station.store.database import Reader


@dataclass(frozen=True, slots=True)
class ShiftSummary:
    """What a shift on the simulated line adds up to, with the truth beside it."""

    counts: queries.ShiftCounts
    books: str
    faults_in_books: tuple[str, ...]
    defective_parts: int
    good_parts: int
    released_defective: int
    stopped_good: int
    seconds: float
    stage_ms: dict[str, dict[str, float]]

    @property
    def sound(self) -> bool:
        """True where the ledger has nothing to object to."""
        return not self.faults_in_books

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        c = self.counts
        return {
            "parts": c.parts,
            "verdicts": dict(c.by_evaluation),
            "dispositions": dict(c.by_disposition),
            "answers": dict(c.by_answer),
            "waiting": c.waiting,
            "audits": c.audits,
            "labels": c.labels,
            "defective_parts": self.defective_parts,
            "good_parts": self.good_parts,
            "released_defective": self.released_defective,
            "stopped_good": self.stopped_good,
            "seconds": round(self.seconds, 2),
            "parts_per_s": round(c.parts / self.seconds, 2) if self.seconds else None,
            "books": self.books,
            "faults_in_books": list(self.faults_in_books),
            "stage_ms": self.stage_ms,
        }


def summarise(engine: Reader, *, since: str, seconds: float, stage_ms: dict[str, dict[str, float]]) -> ShiftSummary:
    """Adds up the parts triggered since ``since`` (ISO UTC)."""
    known = queries.truths(engine, since=since)
    return ShiftSummary(
        counts=queries.shift_counts(engine, since=since),
        books=str(queries.balance(engine)),
        faults_in_books=tuple(books.faults_in_books(engine)),
        defective_parts=sum(1 for t in known if t.truth != "ok"),
        good_parts=sum(1 for t in known if t.truth == "ok"),
        released_defective=sum(1 for t in known if t.truth != "ok" and t.disposition == "RELEASE"),
        stopped_good=sum(1 for t in known if t.truth == "ok" and t.evaluation != "OK"),
        seconds=seconds,
        stage_ms=stage_ms,
    )
