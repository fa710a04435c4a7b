"""Does what the ledger says agree with itself, with the pictures on disk and with what the line did?"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from station.config import StationConfig
from station.sim.devices import read_journal
from station.store import queries
from station.store.database import open_reader
from station.store.ledger import Balance


@dataclass(frozen=True, slots=True)
class LedgerCheck:
    """The books and everything wrong with them, in words."""

    books: Balance
    faults: tuple[str, ...]


def check_station(config: StationConfig, *, journal: Path | None = None) -> LedgerCheck:
    """Checks a station's ledger, its pictures, and optionally the line's own journal.

    Raises:
        LedgerFault: There is no ledger.
    """
    engine = open_reader(config.store.database)
    try:
        faults = queries.faults_in_books(engine)
        images = config.store.folder / "images"
        absent = [
            part_id
            for part_id, sha256 in queries.needed_images(engine)
            if not (images / sha256[:2] / f"{sha256}.jpg").is_file()
        ]
        if absent:
            faults.append(f"picture is not on disk: {', '.join(absent[:5])} ({len(absent)} in all)")
        if journal is not None:
            faults.extend(_line_faults(read_journal(journal), queries.releases(engine)))
        return LedgerCheck(queries.balance(engine), tuple(faults))
    finally:
        engine.dispose()


def newest_parts(config: StationConfig, *, limit: int) -> list[queries.PartView]:
    """The newest parts of a station's ledger.

    Raises:
        LedgerFault: There is no ledger.
    """
    engine = open_reader(config.store.database)
    try:
        return queries.recent_parts(engine, limit=limit)
    finally:
        engine.dispose()


def _line_faults(journal: list[tuple[str, str]], decided: dict[str, str]) -> list[str]:
    faults = []
    left: dict[str, str] = {}
    for part_id, disposition in journal:
        if disposition == "HOLD":
            continue
        if part_id in left:
            faults.append(f"the line let part {part_id} go twice")
        left[part_id] = disposition
        if decided.get(part_id) != disposition:
            faults.append(f"the line was told {disposition} for part {part_id}, the ledger says {decided.get(part_id)}")
    return faults
