"""A real ledger with every kind of answer, for the export."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from station.answers import GivenAnswer
from station.core.timing import ManualClock
from station.core.verdict import Answer, Evaluation
from station.export import ExportFormat, ExportReport, export_samples
from station.review import ReviewDesk
from station.store.images import ImageStore
from station.store.ledger import Ledger, Record
from station.store.reviews import settle
from tests.builders import detections, picture, recipe, record, write_parts

CREATED = ManualClock()
TWO = detections(("scratch", 0.9, (10, 8, 30, 24)), ("dent", 0.8, (32, 10, 44, 26)))
"""Two proposals so close together that the crop of each shows the other."""


@dataclass(frozen=True)
class Filled:
    """A ledger on disk.

    Attributes:
        database: Its file.
        images: Folder of its part pictures.
        undone: Crops of the answer that was taken back.
    """

    database: Path
    images: Path
    undone: tuple[bytes, ...]

    def crops(self) -> dict[int, tuple[str, bytes]]:
        """What an independent connection reads: ``{sample id: (part id, crop)}`` of all standing answers."""
        with closing(sqlite3.connect(self.database)) as books:
            found = books.execute(
                "SELECT s.id, s.part_id, s.crop FROM sample s JOIN confirmation c ON c.id = s.confirmation_id "
                "WHERE c.undone_at IS NULL"
            ).fetchall()
        return {i: (p, b) for i, p, b in found}

    def tamper(self, sql: str, *given: Any) -> None:
        """Changes the file behind the station's back."""
        with closing(sqlite3.connect(self.database)) as books:
            triggers = books.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall()
            for (name,) in triggers:
                books.execute(f"DROP TRIGGER {name}")
            books.execute(sql, given)
            books.commit()

    def export(self, target: Path, form: ExportFormat = ExportFormat.COCO, **how: Any) -> ExportReport:
        """Exports with the clock standing still."""
        how.setdefault("images", None)
        how.setdefault("progress", lambda _: None)
        how.setdefault("clock", CREATED)
        return export_samples(self.database, target, form=form, **how)


def filled(folder: Path) -> Filled:
    """A ledger with nine parts.

    ====  ===================  ======================================  ==========================
    part  came to a person as  answer                                  samples
    ====  ===================  ======================================  ==========================
    1     rejected, two finds  agree                                   scratch and dent
    2     rejected             false alarm                             ok
    3     uncertain            other class                             dent
    4     blind audit          missed defect, box drawn, by bert       scratch, p_select 0.02
    5     failed inspection    other class without any find            dent on the whole part
    6     rejected             agree, taken back, then false alarm     ok
    7     uncertain            unsure, then false alarm (bert)         ok, second_person
    8     rejected             rework                                  none
    9     rejected             nobody answered                         none
    ====  ===================  ======================================  ==========================

    Parts 1 and 2 are of lot ``L1``, 3 and 4 the same piece with serial ``S-3``; 2 is simulated.
    """
    clock = ManualClock()
    ledger = Ledger(folder / "ledger.db", clock=clock, durable=False)
    images = ImageStore(folder / "images", durable=False)
    try:
        write_parts(ledger, _records(images))
        desk = ReviewDesk(ledger, images, recipe(), clock=clock)
        keys = iter(range(100))

        def say(review: int, answer: Answer, person: str = "anna", **how: Any) -> None:
            clock.wait(1.0)
            desk.confirm(GivenAnswer(f"k{next(keys)}", review, answer, person, 2.5, **how))

        say(6, Answer.AGREE)
        with ledger.transaction() as session:
            taken_back = session.connection().exec_driver_sql("SELECT crop FROM sample").scalars().all()
        desk.undo("anna", "u1")
        say(6, Answer.FALSE_ALARM)
        say(1, Answer.AGREE)
        say(2, Answer.FALSE_ALARM)
        say(3, Answer.OTHER_CLASS, label="dent")
        say(4, Answer.MISSED_DEFECT, "bert", label="scratch", xyxy=(50, 30, 70, 50))
        say(5, Answer.OTHER_CLASS, label="dent")
        say(7, Answer.UNSURE)
        say(8, Answer.REWORK)
        clock.wait(10.0)
        settle(ledger, undo_s=3.0)
        say(10, Answer.FALSE_ALARM, "bert")
    finally:
        ledger.close()
    return Filled(folder / "ledger.db", folder / "images", tuple(taken_back))


def _records(images: ImageStore) -> list[Record]:
    bad, unsure, failed = Evaluation.NOT_OK, Evaluation.NOT_DECIDABLE, Evaluation.UNDEFINED
    made = [
        record(1, images=images, evaluation=bad, found=TWO, image=picture(1)),
        record(2, images=images, evaluation=bad),
        record(3, images=images, evaluation=unsure),
        record(4, images=images, evaluation=Evaluation.OK, audit=True),
        record(5, images=images, evaluation=failed),
        record(6, images=images, evaluation=bad),
        record(7, images=images, evaluation=unsure),
        record(8, images=images, evaluation=bad),
        record(9, images=images, evaluation=bad),
    ]
    known: dict[int, dict[str, Any]] = {
        1: {"lot": "L1"},
        2: {"lot": "L1", "simulated": True},
        3: {"serial": "S-3"},
        4: {"serial": "S-3"},
    }
    return [
        replace(r, inspection=replace(r.inspection, part=replace(r.inspection.part, **known.get(k, {}))))
        for k, r in enumerate(made, 1)
    ]
