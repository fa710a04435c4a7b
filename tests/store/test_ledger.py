"""The one writer: what it returns is durable, and the books balance."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from station.core.errors import LedgerFault
from station.core.part import PartId
from station.core.timing import ManualClock
from station.core.verdict import Disposition, Evaluation
from station.store.database import open_reader, open_writer
from station.store.ledger import Balance, Ledger, add_command, stamp
from tests.builders import MODEL, START, detections, picture, record, run_start, write_parts

HELD, RELEASED = Disposition.HOLD, Disposition.RELEASE


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    it = Ledger(tmp_path / "ledger.db", clock=ManualClock(), durable=False)
    yield it
    it.close()


def read(ledger: Ledger, sql: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(f"{ledger.path.as_uri()}?mode=ro", uri=True)) as books:
        return books.execute(sql).fetchall()


def handles() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_a_passed_part_gets_a_release_and_a_stopped_one_a_hold_and_a_review(ledger: Ledger) -> None:
    commands = write_parts(
        ledger,
        [
            record(1),
            record(2, evaluation=Evaluation.NOT_OK),
            record(3, evaluation=Evaluation.NOT_DECIDABLE, blind=True),
            record(4, evaluation=Evaluation.UNDEFINED),
            record(5, audit=True),
        ],
    )
    assert [(c.part_id[-1], c.disposition) for c in commands] == [
        ("1", RELEASED),
        ("2", HELD),
        ("3", HELD),
        ("4", HELD),
        ("5", HELD),
    ]
    assert read(ledger, "SELECT part_id, reason, blind FROM review ORDER BY id") == [
        ("ST01-000002", "rejected", 0),
        ("ST01-000003", "uncertain", 1),
        ("ST01-000004", "undefined", 0),
        ("ST01-000005", "audit", 1),
    ]


def test_a_row_keeps_everything_that_is_known_of_the_part(ledger: Ledger) -> None:
    found = detections(("scratch", 0.123456789, (1.234, 2, 30, 40)), dent=0.05)
    write_parts(ledger, [record(1, found=found)])
    columns = [r[1] for r in read(ledger, "PRAGMA table_info(inspection)")]
    row = dict(zip(columns, read(ledger, "SELECT * FROM inspection")[0], strict=True))
    assert json.loads(str(row["scores"])) == {"scratch": 0.123457, "dent": 0.05}
    assert json.loads(str(row["candidates"])) == [
        {"label": "scratch", "score": 0.123457, "xyxy": [1.23, 2.0, 30.0, 40.0]}
    ]
    assert json.loads(str(row["stage_ms"])) == {"detect": 1.5}
    assert (row["model_sha256"], row["preprocess"], row["p_select"]) == (MODEL.sha256, "c" * 64, 0.02)
    assert (row["triggered_at"], row["image_width"], row["image_height"]) == (stamp(START), 96, 64)


def test_a_batch_is_written_whole_or_not_at_all(ledger: Ledger) -> None:
    bad = record(2)
    object.__setattr__(bad.inspection, "p_select", 7.0)
    with pytest.raises(LedgerFault, match="the ledger refused"):
        write_parts(ledger, [record(1), bad])
    assert read(ledger, "SELECT count(*) FROM inspection") == [(0,)]
    assert read(ledger, "SELECT count(*) FROM command") == [(0,)]
    assert len(write_parts(ledger, [record(1)])) == 1


def test_a_number_is_used_once(ledger: Ledger) -> None:
    write_parts(ledger, [record(1)])
    with pytest.raises(LedgerFault):
        write_parts(ledger, [record(1)])
    assert ledger.next_number() == 2


def test_words_that_no_database_can_hold_are_a_fault_of_the_ledger_and_no_crash(ledger: Ledger) -> None:
    """A file name that is no UTF-8 arrives as text with lone surrogates."""
    bad = record(1)
    object.__setattr__(bad.inspection.part, "serial", "caf\udce9")
    with pytest.raises(LedgerFault, match="refused"):
        write_parts(ledger, [bad])
    assert len(write_parts(ledger, [record(1)])) == 1


def test_a_command_is_unacknowledged_until_the_line_answered(ledger: Ledger) -> None:
    commands = write_parts(ledger, [record(1), record(2), record(3, evaluation=Evaluation.NOT_OK)], acknowledge=False)
    assert ledger.unacknowledged() == commands
    assert ledger.balance() == Balance(triggered=3, disposed=0, in_transit=2, waiting=1, gaps=0)
    at = ledger.clock.now()
    ledger.acknowledge([(commands[0].id, at)])
    ledger.acknowledge([(commands[0].id, at)])
    ledger.acknowledge([])
    assert ledger.unacknowledged() == commands[1:]
    assert ledger.balance() == Balance(triggered=3, disposed=1, in_transit=1, waiting=1, gaps=0)
    ledger.record(1, [record(4)], [(c.id, at) for c in commands[1:]])
    assert [c.part_id for c in ledger.unacknowledged()] == ["ST01-000004"]


def test_an_acknowledgement_comes_with_the_next_commit_or_not_at_all(ledger: Ledger) -> None:
    (command,) = write_parts(ledger, [record(1)], acknowledge=False)
    with pytest.raises(LedgerFault):
        ledger.record(1, [record(1)], [(command.id, ledger.clock.now())])
    assert ledger.unacknowledged() == [command]


def test_books_with_a_gap_or_a_lost_part_do_not_balance(ledger: Ledger) -> None:
    write_parts(ledger, [record(1), record(3)])
    assert not ledger.balance().holds
    assert str(ledger.balance()) == "2 triggered = 2 disposed + 0 on the way + 0 waiting, 1 part numbers missing"
    assert not Balance(triggered=3, disposed=1, in_transit=0, waiting=1, gaps=0).holds
    assert "3 triggered != 1 disposed" in str(Balance(triggered=3, disposed=1, in_transit=0, waiting=1, gaps=0))
    assert Balance(triggered=3, disposed=1, in_transit=1, waiting=1, gaps=0).holds


def test_the_database_refuses_a_command_without_ground_whoever_asks(ledger: Ledger) -> None:
    write_parts(ledger, [record(1, evaluation=Evaluation.NOT_OK)])
    for wrong in (RELEASED, Disposition.REJECT):
        with pytest.raises(LedgerFault, match=r"machine releases|only a person"), ledger.transaction() as session:
            add_command(session, PartId("ST01-000001"), wrong, None, "now")
    assert read(ledger, "SELECT disposition FROM command") == [("HOLD",)]


def test_the_oldest_passed_pictures_may_go_and_no_others(ledger: Ledger) -> None:
    same = picture(50)
    write_parts(
        ledger,
        [
            record(1),
            record(2, evaluation=Evaluation.NOT_OK),
            record(3, audit=True),
            record(4),
            record(5, image=same),
            record(6, image=same, evaluation=Evaluation.UNDEFINED),
        ],
    )
    names = {n: str(h) for n, h in read(ledger, "SELECT number, image_sha256 FROM inspection")}
    assert ledger.oldest_passed_images() == [names[1], names[4]]
    ledger.note_dropped_images([names[1], names[1]])
    ledger.note_dropped_images([names[1]])
    assert ledger.oldest_passed_images() == [names[4]]


def test_events_and_runs_are_noted_with_their_time(ledger: Ledger) -> None:
    run = ledger.start_run(run_start())
    ledger.clock.wait(5.0)
    ledger.event("fault:line", "no answer")
    ledger.end_run(run)
    assert read(ledger, "SELECT started_at, ended_at, station, software FROM run") == [
        (stamp(START), "2026-01-01T00:00:05.000000+00:00", "ST01", "0.0")
    ]
    assert read(ledger, "SELECT at, kind, text FROM event") == [
        ("2026-01-01T00:00:05.000000+00:00", "fault:line", "no answer")
    ]


def test_a_commit_has_reached_the_disk_and_throw_away_ledgers_say_they_have_not(tmp_path: Path) -> None:
    for durable, level in ((True, 2), (False, 0)):
        engine = open_writer(tmp_path / f"{durable}.db", durable=durable)
        with engine.connect() as connection:
            assert connection.exec_driver_sql("PRAGMA synchronous").scalar_one() == level
            assert connection.exec_driver_sql("PRAGMA journal_mode").scalar_one() == "wal"
            assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar_one() == 1
        engine.dispose()
    with closing(Ledger(tmp_path / "default.db", clock=ManualClock())) as ledger, ledger.transaction() as session:
        assert session.connection().exec_driver_sql("PRAGMA synchronous").scalar_one() == 2


def test_what_record_returned_is_there_for_others_at_once(ledger: Ledger) -> None:
    for number in range(1, 6):
        write_parts(ledger, [record(number)])
        assert read(ledger, "SELECT max(number) FROM inspection") == [(number,)]


def test_writers_in_many_threads_take_turns(ledger: Ledger) -> None:
    def work() -> None:
        for _ in range(10):
            ledger.event("test", threading.current_thread().name)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert read(ledger, "SELECT count(*) FROM event") == [(40,)]


def test_a_transaction_that_fails_leaves_nothing_and_the_ledger_usable(ledger: Ledger) -> None:
    with contextlib.suppress(ZeroDivisionError), ledger.transaction() as session:
        session.connection().exec_driver_sql("INSERT INTO event (at, kind, text) VALUES ('', 'k', 't')")
        raise ZeroDivisionError
    ledger.event("after", "wards")
    assert read(ledger, "SELECT kind FROM event") == [("after",)]


def test_a_ledger_locked_by_another_writer_is_a_fault_and_no_hang(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("station.store.database.BUSY_TIMEOUT_MS", 5)
    with closing(Ledger(tmp_path / "ledger.db", clock=ManualClock(), durable=False)) as ledger:
        with closing(sqlite3.connect(ledger.path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(LedgerFault, match="locked"):
                ledger.event("k", "t")
            other.execute("ROLLBACK")
        ledger.event("k", "t")


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts handles through /proc")
def test_opening_and_closing_fifty_times_leaves_no_file_handle(tmp_path: Path) -> None:
    def once() -> None:
        with closing(Ledger(tmp_path / "ledger.db", clock=ManualClock(), durable=False)) as ledger:
            ledger.event("k", "t")
            reader = open_reader(tmp_path / "ledger.db")
            with reader.connect() as connection:
                connection.exec_driver_sql("SELECT count(*) FROM event").scalar_one()
            reader.dispose()

    once()
    before = handles()
    for _ in range(50):
        once()
    assert handles() == before


def test_a_reader_never_writes_and_needs_a_ledger(ledger: Ledger, tmp_path: Path) -> None:
    reader = open_reader(ledger.path)
    with reader.connect() as connection, pytest.raises(Exception, match="readonly"):
        connection.exec_driver_sql("INSERT INTO event (at, kind, text) VALUES ('', '', '')")
    reader.dispose()
    with pytest.raises(LedgerFault, match="start the loop first"):
        open_reader(tmp_path / "none.db")
