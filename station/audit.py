"""Does what the ledger says agree with itself, with the pictures on disk and with what the line did?"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from station.config import StationConfig
from station.core.errors import LedgerFault
from station.sim.devices import read_journal
from station.store import books, queries
from station.store.database import Reader, open_reader
from station.store.images import image_path
from station.store.ledger import Balance


@dataclass(frozen=True, slots=True)
class LedgerCheck:
    """The books and everything wrong with them, in words.

    Attributes:
        books: The balance; ``None`` where the ledger is too damaged to count it.
    """

    books: Balance | None
    faults: tuple[str, ...]


def check_station(config: StationConfig, *, journal: Path | None = None) -> LedgerCheck:
    """Checks a station's ledger, its pictures, and optionally the line's own journal.

    A ledger with damaged pages is asked as far as it answers; what it cannot answer is among the faults.

    Raises:
        LedgerFault: There is no ledger, or it cannot even be opened.
    """
    engine = open_reader(config.store.database)
    faults: list[str] = []

    def ask(question: Callable[[], list[str]]) -> None:
        try:
            found = question()
        except LedgerFault as fault:  # damaged pages: each question may meet others of them
            found = [str(fault)]
        faults.extend(f for f in found if f not in faults)

    try:
        ask(lambda: books.faults_in_books(engine))
        ask(lambda: _absent_pictures(engine, config.store.images))
        if journal is not None:
            ask(lambda: _line_faults(read_journal(journal), books.releases(engine)))
        balance: Balance | None = None
        with suppress(LedgerFault):  # told by the first question already
            balance = queries.balance(engine)
        return LedgerCheck(balance, tuple(faults))
    finally:
        engine.dispose()


def newest_parts(config: StationConfig, *, limit: int) -> list[queries.PartView]:
    """The newest parts of a station's ledger.

    Raises:
        LedgerFault: There is no ledger, or it is damaged.
    """
    engine = open_reader(config.store.database)
    try:
        return queries.recent_parts(engine, limit=limit)
    finally:
        engine.dispose()


def _absent_pictures(engine: Reader, images: Path) -> list[str]:
    absent = [part_id for part_id, sha256 in books.needed_images(engine) if not image_path(images, sha256).is_file()]
    return [f"picture is not on disk: {', '.join(absent[:5])} ({len(absent)} in all)"] if absent else []


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
