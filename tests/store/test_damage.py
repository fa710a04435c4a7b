"""What is said of a ledger whose file is damaged or away? What is wrong and what to do, by every door."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from station.audit import check_station, newest_parts
from station.config import StationConfig, StoreSettings
from station.core.errors import LedgerFault
from station.core.timing import SystemClock
from station.store import books, queries
from station.store.database import Reader, open_reader
from station.store.images import ImageStore
from station.store.ledger import Ledger
from tests.builders import record, write_parts

ROOT = Path(__file__).resolve().parents[2]
PARTS = 400
REMEDY = r"restore the newest backup; without one, '\.recover'"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> StoreSettings:
    """A sound ledger of many pages."""
    store = StoreSettings(folder=tmp_path_factory.mktemp("whole"))
    images = ImageStore(store.images, durable=False)
    with closing(Ledger(store.database, clock=SystemClock(), durable=False)) as ledger:
        write_parts(ledger, [record(n, images=images) for n in range(1, PARTS + 1)])
    assert check_station(StationConfig(store=store)).faults == ()
    return store


@pytest.fixture
def config(whole: StoreSettings, tmp_path: Path) -> StationConfig:
    """The same ledger, still sound, in a folder of its own."""
    shutil.copytree(whole.folder, tmp_path / "var")
    return StationConfig(store=StoreSettings(folder=tmp_path / "var"))


def pages_of(path: Path, table: str) -> list[int]:
    """The numbers of the table's pages below its root, from 1."""
    with closing(sqlite3.connect(path)) as raw:
        root = raw.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (table,)).fetchone()[0]
        size = raw.execute("PRAGMA page_size").fetchone()[0]
    data = path.read_bytes()
    page = data[(root - 1) * size : root * size]
    assert page[0] == 5, f"{table} is too small to have an inner page"
    cells = int.from_bytes(page[3:5], "big")
    starts = [int.from_bytes(page[12 + 2 * n : 14 + 2 * n], "big") for n in range(cells)]
    return [int.from_bytes(page[at : at + 4], "big") for at in starts]


def damage(path: Path, table: str) -> None:
    """Overwrites every second page of a table's rows, as a failing disk does."""
    with closing(sqlite3.connect(path)) as raw:
        raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        size = raw.execute("PRAGMA page_size").fetchone()[0]
    torn = pages_of(path, table)[1::2]
    assert torn
    with path.open("r+b") as file:
        for number in torn:
            file.seek((number - 1) * size)
            file.write(b"\xa5" * size)


@pytest.fixture
def reader(config: StationConfig) -> Iterator[Reader]:
    it = open_reader(config.store.database)
    yield it
    it.dispose()


def test_a_question_to_a_damaged_page_names_the_remedy(config: StationConfig, reader: Reader) -> None:
    damage(config.store.database, "inspection")
    with pytest.raises(LedgerFault, match=REMEDY):
        queries.recent_parts(reader, limit=PARTS)
    with pytest.raises(LedgerFault, match=REMEDY):
        list(books.needed_images(reader))
    with pytest.raises(LedgerFault, match=REMEDY):
        newest_parts(config, limit=PARTS)


def test_the_check_tells_what_it_found_before_the_damaged_page(config: StationConfig) -> None:
    with closing(sqlite3.connect(config.store.database)) as raw, raw:
        raw.execute("DROP TRIGGER command_no_delete")
        raw.execute("DELETE FROM command WHERE part_id = 'ST01-000007'")
    damage(config.store.database, "inspection")
    faults = check_station(config).faults
    assert any("is damaged" in f for f in faults), faults
    assert "the books do not balance" in faults[0]
    assert len(faults) == len(set(faults))


def test_a_fault_found_before_the_damage_is_met_is_kept(config: StationConfig) -> None:
    """The journal and the pictures are still compared where only another table is damaged."""
    with closing(sqlite3.connect(config.store.database)) as raw, raw:
        raw.execute("DROP TRIGGER command_no_delete")
        raw.execute("DELETE FROM command WHERE part_id = 'ST01-000007'")
    damage(config.store.database, "command")
    next(config.store.images.rglob("*.jpg")).unlink()
    result = check_station(config)
    words = " / ".join(result.faults)
    assert "is damaged" in words
    assert "picture is not on disk" in words, "the pictures hang on another table and can still be asked for"


@pytest.mark.parametrize("command", [["check"], ["show", "--limit", str(PARTS)]])
def test_the_command_line_says_it_without_a_traceback(config: StationConfig, command: list[str]) -> None:
    damage(config.store.database, "inspection")
    done = subprocess.run(
        [sys.executable, "-m", "station", "ledger", *command, "--db", str(config.store.database)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "restore the newest backup" in " ".join(done.stderr.split())


def test_the_writer_says_it_too(config: StationConfig) -> None:
    damage(config.store.database, "inspection")
    with (
        closing(Ledger(config.store.database, clock=SystemClock())) as ledger,
        pytest.raises(LedgerFault, match=REMEDY),
    ):
        ledger.oldest_passed_images()


def test_what_is_no_database_any_more_is_said_at_the_door(config: StationConfig) -> None:
    data = bytearray(config.store.database.read_bytes())
    data[:100] = bytes(100)
    config.store.database.write_bytes(data)
    with pytest.raises(LedgerFault, match="is no ledger"):
        open_reader(config.store.database)
    with pytest.raises(LedgerFault, match=f"cannot open the ledger.*{REMEDY}"):
        Ledger(config.store.database, clock=SystemClock())


def test_a_ledger_that_went_away_is_said_as_such(config: StationConfig, reader: Reader) -> None:
    shutil.rmtree(config.store.folder)
    with pytest.raises(LedgerFault, match="is its disk there"):
        queries.balance(reader)


def test_a_mistake_of_the_program_stays_one(reader: Reader) -> None:
    """Only what is wrong with the file is a fault of the ledger: a wrong question must not hide as one."""
    from sqlalchemy.exc import OperationalError

    with reader.connect() as connection, pytest.raises(OperationalError, match="no such table"):
        connection.exec_driver_sql("SELECT 1 FROM nowhere")
