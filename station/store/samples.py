"""Which confirmed crops does the ledger hold? What exports and training read, one by one."""

from __future__ import annotations

import json
from collections.abc import Generator
from dataclasses import dataclass

from sqlalchemy import Engine, text

from station.core.part import Box


@dataclass(frozen=True, slots=True)
class StoredSample:
    """A confirmed crop as exports read it."""

    id: int
    part_id: str
    serial: str | None
    lot: str | None
    label: str
    box: Box
    crop_box: Box
    crop: bytes
    crop_format: str
    crop_sha256: str
    person: str
    confirmed_at: str
    seconds: float
    answer: str
    model_sha256: str | None
    proposed: str | None
    score: float | None
    reason: str
    p_select: float
    simulated: bool
    image_sha256: str | None
    width: int | None
    height: int | None


def stored_samples(engine: Engine) -> Generator[StoredSample, None, None]:
    """Confirmed crops whose answer stands and was not corrected, in the order given; crops are read one by one."""
    sql = text(
        "SELECT s.id, s.part_id, i.serial, i.lot, s.label, s.box, s.crop_box, s.crop, s.crop_format, s.crop_sha256, "
        "s.person, s.confirmed_at, s.seconds, c.answer, s.model_sha256, s.proposed, s.score, s.reason, s.p_select, "
        "i.simulated, i.image_sha256, i.image_width, i.image_height "
        "FROM sample s JOIN confirmation c ON c.id = s.confirmation_id JOIN inspection i ON i.part_id = s.part_id "
        "WHERE c.undone_at IS NULL AND NOT EXISTS (SELECT 1 FROM confirmation k JOIN review r ON r.id = k.review_id "
        "WHERE k.part_id = s.part_id AND k.id > c.id AND r.reason = 'correction') ORDER BY s.id"
    )
    with engine.connect() as connection:
        for row in connection.execution_options(yield_per=64).execute(sql):
            r = list(row)
            r[5], r[6], r[19] = Box(*json.loads(r[5])), Box(*json.loads(r[6])), bool(r[19])
            yield StoredSample(*r)
