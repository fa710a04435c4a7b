"""What does the loop write down about a part, and do the books balance?

All writes of the loop's process go through one :class:`Ledger`, one transaction each; when a method
returns, what it wrote is durable.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from datetime import datetime
from pathlib import Path
from typing import Any

import cv2
from sqlalchemy import insert, text, update
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import Session, SQLModel

from station.core.errors import ConfigError, LedgerFault
from station.core.part import PartId
from station.core.timing import Clock
from station.core.verdict import Disposition, Evaluation, Inspection, ReviewReason
from station.store.challenges import open_challenge
from station.store.database import WriterLock, open_writer
from station.store.images import EncodedImage
from station.store.tables import CommandRow, DroppedImageRow, EventRow, InspectionRow, ReviewRow, RunRow

_INSPECTION, _REVIEW, _COMMAND = (
    SQLModel.metadata.tables[t]
    for t in (InspectionRow.__tablename__, ReviewRow.__tablename__, CommandRow.__tablename__)
)

log = logging.getLogger(__name__)

OLDEST_PASSED_IMAGES = 256
"""Pictures considered in one go when the disk budget asks for room."""


@dataclass(frozen=True, slots=True)
class RunStart:
    """What is noted when a loop starts."""

    station: str
    recipe: str
    recipe_sha256: str
    recipe_json: str
    model: str | None
    model_sha256: str | None
    source: str
    line: str
    software: str
    optics_sha256: str | None = None
    """The camera's corrections in force, read once at the start; ``None``: frames were left as they are."""
    limits_version: int | None = None
    """The version of the limits in force; ``None``: those of the recipe file."""


@dataclass(frozen=True, slots=True)
class Record:
    """One inspection on its way into the ledger.

    Attributes:
        inspection: What happened.
        image: The part's picture, already durable; ``None`` where there is none.
        blind: Whether a review of it hides the model's verdict.
        challenge: Whether a known part is to be shown again beside it, where it is held.
        run_id: The run under whose recipe it was inspected; ``None``: the one it is written down in.
    """

    inspection: Inspection
    image: EncodedImage | None
    blind: bool
    challenge: bool = False
    run_id: int | None = None


@dataclass(frozen=True, slots=True)
class Command:
    """A disposition that is committed and must now reach the line."""

    id: int
    part_id: PartId
    disposition: Disposition


@dataclass(frozen=True, slots=True)
class Balance:
    """The books: every triggered part is disposed of, on its way to the line, or waiting for a person.

    Attributes:
        triggered: Inspection rows.
        disposed: Parts whose final command the line acknowledged.
        in_transit: Final command committed, not yet acknowledged.
        waiting: Parts with an open review.
        gaps: Part numbers that are missing.
    """

    triggered: int
    disposed: int
    in_transit: int
    waiting: int
    gaps: int

    @property
    def holds(self) -> bool:
        """True where nothing is missing and nothing counted twice."""
        return self.triggered == self.disposed + self.in_transit + self.waiting and self.gaps == 0

    def __str__(self) -> str:
        sign = "=" if self.triggered == self.disposed + self.in_transit + self.waiting else "!="
        gaps = f", {self.gaps} part numbers missing" if self.gaps else ""
        return (
            f"{self.triggered} triggered {sign} {self.disposed} disposed + {self.in_transit} on the way "
            f"+ {self.waiting} waiting{gaps}"
        )


BALANCE_SQL = """
SELECT
  (SELECT count(*) FROM inspection) AS triggered,
  (SELECT count(*) FROM command WHERE disposition <> 'HOLD' AND acknowledged_at IS NOT NULL) AS disposed,
  (SELECT count(*) FROM command WHERE disposition <> 'HOLD' AND acknowledged_at IS NULL) AS in_transit,
  (SELECT count(*) FROM review WHERE settled_at IS NULL AND moves = 1) AS waiting,
  (SELECT coalesce(max(number), 0) - count(*) FROM inspection) AS gaps
"""


class Ledger:
    """The one writer of the ledger; its methods may be called from any thread, one at a time."""

    def __init__(self, path: Path, *, clock: Clock, durable: bool = True) -> None:
        self.path = path
        self.clock = clock
        self._alone = WriterLock(path)
        try:
            self.engine = open_writer(path, durable=durable)
        except BaseException:
            self._alone.release()
            raise
        self._lock = threading.RLock()

    def close(self) -> None:
        """Closes the file; the WAL is folded in by SQLite."""
        self.engine.dispose()
        self._alone.release()

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """One write transaction: committed and durable at the end of the block, or nothing of it.

        Raises:
            LedgerFault: The database refused, with its words.
        """
        with self._lock:
            try:
                with Session(self.engine) as session, session.begin():
                    yield session
            except (SQLAlchemyError, UnicodeError, OverflowError) as error:
                # The last two: SQLite's driver on text or numbers that no database can hold.
                cause = getattr(error, "orig", None) or error
                raise LedgerFault(f"the ledger refused: {cause}") from error

    def now(self) -> str:
        """This moment as the ledger writes it."""
        return stamp(self.clock.now())

    def start_run(self, start: RunStart) -> int:
        """Notes a start of the loop; returns its id.

        Raises:
            ConfigError: Parts of another product still wait for a person: one station shows one product at a time.
        """
        with self.transaction() as session:
            others = session.execute(
                text(
                    "SELECT n.recipe, count(*) FROM review r JOIN inspection i ON i.part_id = r.part_id "
                    "JOIN run n ON n.id = i.run_id WHERE r.settled_at IS NULL AND r.moves = 1 AND n.recipe <> :recipe "
                    "GROUP BY n.recipe"
                ),
                {"recipe": start.recipe},
            ).all()
            if others:
                held = " and ".join(f"{n} part{'s' if n > 1 else ''} of {name}" for name, n in others)
                raise ConfigError(
                    f"{held} still wait for a person in {self.path}: start with that recipe and answer them, "
                    "or name another ledger with --db"
                )
            return add_run(session, start, self.now())

    def end_run(self, run_id: int) -> None:
        """Notes an orderly end."""
        with self.transaction() as session:
            session.execute(
                update(RunRow).values(ended_at=stamp(self.clock.now())).where(text("id = :run")), {"run": run_id}
            )

    def newest_run(self) -> int:
        """Id of the run that began last, 0 in a fresh ledger."""
        with self.transaction() as session:
            return int(session.execute(text("SELECT coalesce(max(id), 0) FROM run")).scalar_one())

    def next_number(self) -> int:
        """The number of the next part: one above the highest in the ledger."""
        with self.transaction() as session:
            return int(session.execute(text("SELECT coalesce(max(number), 0) + 1 FROM inspection")).scalar_one())

    def record(
        self, run_id: int, records: Sequence[Record], acknowledged: Sequence[tuple[int, datetime]] = ()
    ) -> list[Command]:
        """Writes inspections with their first command and, where held, the open review.

        Args:
            run_id: The run they belong to, where a record names no other.
            records: Inspections in the order of their part numbers.
            acknowledged: Commands the line has acknowledged since the last call, noted in the same commit.

        Returns:
            The commands that may now be sent to the line, in order.
        """
        with self.transaction() as session:
            self._note_acknowledged(session, acknowledged)
            if not records:
                return []
            # Into the tables, not through row objects: half the time of a commit otherwise.
            session.connection().execute(insert(_INSPECTION), [_inspection_row(run_id, r) for r in records])
            again = [{"h": r.image.sha256} for r in records if r.image is not None]
            if again:  # on disk now, so no longer a dropped picture
                session.execute(text("DELETE FROM dropped_image WHERE image_sha256 = :h"), again)
            now = stamp(self.clock.now())
            held = [r for r in records if r.inspection.disposition is not Disposition.RELEASE]
            if held:
                session.connection().execute(insert(_REVIEW), [_review_row(r, now) for r in held])
            for _ in (r for r in held if r.challenge):
                try:
                    with session.begin_nested():
                        open_challenge(session, now)
                except SQLAlchemyError as error:  # a test of people never costs the record of a real part
                    log.error("no known part is shown again: %s", error)
            commands = []
            for r in records:
                part_id, disposition = r.inspection.part.part_id, r.inspection.disposition
                commands.append(add_command(session, part_id, disposition, None, now))
            return commands

    def acknowledge(self, acknowledged: Sequence[tuple[int, datetime]]) -> None:
        """Notes that the line acknowledged these commands."""
        if acknowledged:
            with self.transaction() as session:
                self._note_acknowledged(session, acknowledged)

    def unacknowledged(self) -> list[Command]:
        """Commands that were committed but never acknowledged (after a crash): to be sent again."""
        with self.transaction() as session:
            rows = session.execute(
                text("SELECT id, part_id, disposition FROM command WHERE acknowledged_at IS NULL ORDER BY id")
            ).all()
        return [Command(r[0], PartId(r[1]), Disposition(r[2])) for r in rows]

    def balance(self) -> Balance:
        """Counts the books."""
        with self.transaction() as session:
            return Balance(*session.execute(text(BALANCE_SQL)).one())

    def event(self, kind: str, words: str) -> None:
        """Notes that something happened at the station."""
        with self.transaction() as session:
            session.add(EventRow(at=stamp(self.clock.now()), kind=kind, text=words))

    def oldest_passed_images(self) -> list[str]:
        """Pictures that may leave for the disk budget: oldest first, never of a part a person was asked about."""
        with self.transaction() as session:
            rows = session.execute(
                text(
                    "SELECT image_sha256 FROM inspection i WHERE image_sha256 IS NOT NULL "
                    # By picture, not by part: footage may show two parts in the very same bytes.
                    "AND image_sha256 NOT IN (SELECT j.image_sha256 FROM review r "
                    "JOIN inspection j ON j.part_id = r.part_id WHERE j.image_sha256 IS NOT NULL) "
                    "AND NOT EXISTS (SELECT 1 FROM dropped_image d WHERE d.image_sha256 = i.image_sha256) "
                    "ORDER BY number LIMIT :n"
                ),
                {"n": OLDEST_PASSED_IMAGES},
            ).all()
        return [r[0] for r in rows]

    def note_dropped_images(self, hashes: Sequence[str]) -> None:
        """Notes pictures that leave for the disk budget; call before removing them."""
        with self.transaction() as session:
            now = stamp(self.clock.now())
            for sha256 in dict.fromkeys(hashes):
                session.merge(DroppedImageRow(image_sha256=sha256, dropped_at=now))

    def _note_acknowledged(self, session: Session, acknowledged: Sequence[tuple[int, datetime]]) -> None:
        for command_id, at in acknowledged:
            session.execute(
                text("UPDATE command SET acknowledged_at = :at WHERE id = :id AND acknowledged_at IS NULL"),
                {"at": stamp(at), "id": command_id},
            )


def add_command(
    session: Session, part_id: PartId, disposition: Disposition, confirmation_id: int | None, now: str
) -> Command:
    """Adds one command to the running transaction; the database refuses one that has no ground."""
    done = session.connection().execute(
        insert(_COMMAND),
        {
            "part_id": part_id,
            "disposition": disposition.value,
            "confirmation_id": confirmation_id,
            "decided_at": now,
        },
    )
    assert done.inserted_primary_key is not None
    return Command(int(done.inserted_primary_key[0]), part_id, disposition)


def add_run(session: Session, start: RunStart, now: str) -> int:
    """Adds a run to the running transaction; returns its id."""
    row = RunRow(started_at=now, **{f.name: getattr(start, f.name) for f in fields(start)})
    session.add(row)
    session.flush()
    assert row.id is not None
    return row.id


def stamp(moment: datetime) -> str:
    """ISO 8601 with microseconds: text that sorts by time."""
    return moment.isoformat(timespec="microseconds")


def _inspection_row(run_id: int, record: Record) -> dict[str, Any]:
    it, image = record.inspection, record.image
    found = it.detections
    return {
        "number": it.part.number,
        "part_id": it.part.part_id,
        "run_id": run_id if record.run_id is None else record.run_id,
        "triggered_at": stamp(it.part.triggered_at),
        "source": it.part.source,
        "frame_index": it.part.frame_index,
        "origin_x": it.part.origin[0],
        "origin_y": it.part.origin[1],
        "simulated": int(it.part.simulated),
        "serial": it.part.serial,
        "lot": it.part.lot,
        "truth": it.part.truth,
        "image_sha256": image.sha256 if image else None,
        "image_width": image.width if image else None,
        "image_height": image.height if image else None,
        "recipe_sha256": it.recipe_sha256,
        "model_sha256": it.model.sha256 if it.model else None,
        "preprocess": it.preprocess,
        "evaluation": it.verdict.evaluation.value,
        "reason": it.verdict.reason,
        "score": it.verdict.score,
        "label": it.verdict.label,
        "scores": json.dumps({k: round(v, 6) for k, v in found.scores.items()} if found else {}),
        "candidates": json.dumps(
            [
                {"label": d.label, "score": round(d.score, 6), "xyxy": [round(v, 2) for v in d.box.xyxy]}
                for d in (found.candidates if found else ())
            ]
        ),
        "p_select": it.p_select,
        "audit": int(it.audit),
        "stage_ms": json.dumps({k: round(v, 3) for k, v in it.stage_ms.items()}),
        "heat": _heat_png(it),
    }


_REVIEW_REASON = {
    Evaluation.OK: ReviewReason.AUDIT,
    Evaluation.NOT_DECIDABLE: ReviewReason.UNCERTAIN,
    Evaluation.NOT_OK: ReviewReason.REJECTED,
    Evaluation.UNDEFINED: ReviewReason.UNDEFINED,
}


def _review_row(record: Record, now: str) -> dict[str, Any]:
    it = record.inspection
    return {
        "part_id": it.part.part_id,
        "opened_at": now,
        "reason": _REVIEW_REASON[it.verdict.evaluation].value,
        "blind": int(record.blind or it.audit),
        "moves": 1,
    }


def _heat_png(inspection: Inspection) -> bytes | None:
    heat = inspection.detections.heat if inspection.detections else None
    if heat is None or inspection.disposition is Disposition.RELEASE:
        return None  # nobody will look at it
    done, data = cv2.imencode(".png", heat, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    return data.tobytes() if done else None
