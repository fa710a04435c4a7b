"""The ledger's tables: how they come to be, and what they refuse whatever the code does."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlmodel import SQLModel

import station.store.tables  # noqa: F401  registers the row classes
from station.core.errors import LedgerFault
from station.core.verdict import Answer, Evaluation
from station.store.database import open_writer
from station.store.migrations import MIGRATIONS, Migration, migrate
from tests.builders import BAD, OK, UNCERTAIN, Bench, recipe

TABLES = {
    "known_part", "run", "inspection", "review", "confirmation", "command", "sample", "event", "dropped_image",
    "limits_version", "limits_event",
}  # fmt: skip


@pytest.fixture
def raw(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(tmp_path / "raw.db", isolation_level=None)) as connection:
        yield connection


def schema(connection: sqlite3.Connection) -> list[tuple[str, ...]]:
    return connection.execute("SELECT type, name, sql FROM sqlite_master ORDER BY name").fetchall()


def test_a_fresh_ledger_reaches_the_newest_version_and_says_so(raw: sqlite3.Connection) -> None:
    assert migrate(raw) == len(MIGRATIONS)
    noted = raw.execute("SELECT version, name FROM migration ORDER BY version").fetchall()
    assert noted == [(m.version, m.name) for m in MIGRATIONS]
    assert [m.version for m in MIGRATIONS] == list(range(1, len(MIGRATIONS) + 1))


def test_migrating_twice_changes_nothing(raw: sqlite3.Connection) -> None:
    migrate(raw)
    before = schema(raw)
    migrate(raw)
    assert schema(raw) == before


@pytest.mark.parametrize("version", range(len(MIGRATIONS)))
def test_every_older_version_reaches_the_same_tables(raw: sqlite3.Connection, tmp_path: Path, version: int) -> None:
    with closing(sqlite3.connect(tmp_path / "fresh.db", isolation_level=None)) as fresh:
        migrate(fresh)
        migrate(raw, MIGRATIONS[:version])
        migrate(raw)
        assert schema(raw) == schema(fresh)


@pytest.mark.parametrize(
    ("statements", "words"),
    [
        (("CREATE TABLE half (x)", "THIS IS NO SQL"), "failed, nothing was changed"),
        (("CREATE TABLE half (x)", "DELETE FROM thing"), "would lose rows of thing"),
        (("CREATE TABLE half (x)", "DROP TABLE thing"), "would lose rows of thing"),
        (("CREATE TABLE half (x)", "INSERT INTO part_of VALUES (99)"), "breaks 1 references"),
    ],
)
def test_a_failing_step_leaves_nothing(raw: sqlite3.Connection, statements: tuple[str, ...], words: str) -> None:
    first = Migration(
        1,
        "first",
        (
            "CREATE TABLE thing (id INTEGER PRIMARY KEY)",
            "CREATE TABLE part_of (thing_id REFERENCES thing(id))",
            "INSERT INTO thing VALUES (1)",
        ),
    )
    migrate(raw, (first,))
    before = schema(raw)
    with pytest.raises(LedgerFault, match=words):
        migrate(raw, (first, Migration(2, "second", statements)))
    assert schema(raw) == before
    assert raw.execute("SELECT max(version) FROM migration").fetchone() == (1,)
    assert raw.execute("SELECT count(*) FROM thing").fetchone() == (1,)
    assert not raw.in_transaction
    assert migrate(raw, (first, Migration(2, "second", ("CREATE TABLE whole (x)",)))) == 2


def test_a_step_may_drop_rows_only_where_that_is_its_purpose(raw: sqlite3.Connection) -> None:
    first = Migration(1, "first", ("CREATE TABLE thing (x)", "INSERT INTO thing VALUES (1)"))
    assert migrate(raw, (first, Migration(2, "second", ("DELETE FROM thing",), drops_rows=True))) == 2


def test_foreign_keys_are_off_while_migrating_and_as_before_afterwards(raw: sqlite3.Connection) -> None:
    raw.execute("PRAGMA foreign_keys = ON")
    first = Migration(
        1, "first", ("CREATE TABLE a (id INTEGER PRIMARY KEY)", "CREATE TABLE b (a REFERENCES a(id) ON DELETE CASCADE)")
    )
    rows = Migration(2, "rows", ("INSERT INTO a VALUES (1)", "INSERT INTO b VALUES (1)"))
    rebuilt = Migration(
        3, "rebuilt", ("CREATE TABLE c AS SELECT * FROM a", "DROP TABLE a", "ALTER TABLE c RENAME TO a")
    )
    with pytest.raises(LedgerFault):  # the new table has no key to point at: noticed, not cascaded
        migrate(raw, (first, rows, rebuilt))
    assert raw.execute("SELECT count(*) FROM b").fetchone() == (1,)
    assert raw.execute("PRAGMA foreign_keys").fetchone() == (1,)


def test_a_newer_ledger_is_refused_in_words_and_left_alone(raw: sqlite3.Connection, tmp_path: Path) -> None:
    migrate(raw)
    raw.execute("INSERT INTO migration VALUES (99, 'from the future', '')")
    before = schema(raw)
    with pytest.raises(LedgerFault, match="install a newer release"):
        open_writer(tmp_path / "raw.db")
    assert schema(raw) == before


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "ledger.db").write_text("this is a letter, and a long one " * 50)
    with pytest.raises(LedgerFault, match="cannot open the ledger"):
        open_writer(tmp_path / "ledger.db")
    with pytest.raises(LedgerFault, match="cannot open the ledger"):
        open_writer(tmp_path / "ledger.db" / "below-a-file.db")


@pytest.mark.parametrize("table", sorted(TABLES))
def test_tables_and_row_classes_agree_column_by_column(raw: sqlite3.Connection, table: str) -> None:
    migrate(raw)
    columns = {name: (not notnull, pk > 0) for _, name, _, notnull, _, pk in raw.execute(f"PRAGMA table_info({table})")}
    declared = SQLModel.metadata.tables[table].columns
    assert list(columns) == [c.name for c in declared]
    for column in declared:
        nullable, key = columns[column.name]
        assert column.primary_key == key, column.name
        if not key:
            assert column.nullable == nullable, column.name


def test_every_table_of_ours_is_strict(raw: sqlite3.Connection) -> None:
    migrate(raw)
    strict = {name for _, name, kind, _, _, strict in raw.execute("PRAGMA table_list") if strict and kind == "table"}
    assert strict == TABLES


# ------------------------------------------------------------------ what the database refuses, whatever the code does


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Parts 1 passed and released, 2 to 6 held (2 answered, 3 settled as rejected, 5 taken back, 6 an audit)."""
    with Bench(tmp_path_factory.mktemp("books"), product=recipe(mode="divert", undo_s=3.0), durable=False) as bench:
        bench.show_part(OK)
        for score in (BAD, BAD, UNCERTAIN, BAD):
            bench.show_part(score)
        bench.inspector.recipe = recipe(audit_fraction=1.0)
        bench.show_part(OK)
        bench.answer(2, Answer.AGREE)
        bench.turn(4.0)
        bench.answer(1, Answer.FALSE_ALARM)
        bench.answer(4, Answer.AGREE, person="berta")
        bench.desk.undo("berta", "undo-1")
        bench.turn()
        copy = tmp_path_factory.mktemp("copy") / "ledger.db"
        with closing(sqlite3.connect(bench.database)) as whole:
            whole.execute("VACUUM INTO ?", (str(copy),))
    return copy


@pytest.fixture
def books(template: Path, tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """A copy of it, opened by someone who goes round all our code."""
    shutil.copy(template, tmp_path / "ledger.db")
    with closing(sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)) as connection:
        yield connection


REVIEW = "INSERT INTO review (part_id, opened_at, reason, blind, moves, shown_as) VALUES "
INSERT_COMMAND = "INSERT INTO command (part_id, disposition, confirmation_id, decided_at) VALUES "
CONFIRMATION = (
    "INSERT INTO confirmation "
    "(judgements, key, review_id, part_id, answer, person, answered_at, seconds, shown, cause) VALUES ('[]', "
)
INSPECTION = "SELECT * FROM inspection"


@pytest.mark.parametrize(
    ("violation", "words"),
    [
        (INSERT_COMMAND + "('ST01-000002', 'REJECT', NULL, '')", "only a person rejects"),
        (INSERT_COMMAND + "('ST01-000002', 'REWORK', NULL, '')", "only a person rejects"),
        (INSERT_COMMAND + "('ST01-000001', 'REJECT', NULL, '')", "only a person rejects"),
        (INSERT_COMMAND + "('ST01-000002', 'RELEASE', NULL, '')", "releases passed parts only"),
        (INSERT_COMMAND + "('ST01-000004', 'RELEASE', NULL, '')", "releases passed parts only"),
        (INSERT_COMMAND + "('ST01-000006', 'RELEASE', NULL, '')", "releases passed parts only"),
        (INSERT_COMMAND + "('ST01-000099', 'RELEASE', NULL, '')", "releases passed parts only"),
        (INSERT_COMMAND + "('ST01-000001', 'RELEASE', NULL, '')", "UNIQUE"),
        (INSERT_COMMAND + "('ST01-000003', 'RELEASE', 1, '')", "does not follow from a standing"),
        (INSERT_COMMAND + "('ST01-000004', 'RELEASE', 2, '')", "does not follow from a standing"),
        (INSERT_COMMAND + "('ST01-000005', 'REJECT', 3, '')", "does not follow from a standing"),
        (INSERT_COMMAND + "('ST01-000005', 'RELEASE', 99, '')", "does not follow from a standing"),
        (INSERT_COMMAND + "('ST01-000002', 'REJECT', 2, '')", "does not follow from a standing"),
        (INSERT_COMMAND + "('ST01-000001', 'LEAVE', NULL, '')", "only a person"),
        ("UPDATE command SET disposition = 'RELEASE'", "never changed|acknowledged once"),
        ("UPDATE command SET acknowledged_at = 'now' WHERE acknowledged_at IS NOT NULL", "acknowledged once"),
        ("UPDATE command SET acknowledged_at = NULL", "acknowledged once"),
        ("DELETE FROM command", "never deleted"),
        ("DELETE FROM inspection WHERE number = 6", "never deleted"),
        ("UPDATE inspection SET evaluation = 'OK'", "never changed"),
        ("UPDATE inspection SET p_select = 0.5", "never changed"),
        ("UPDATE inspection SET image_sha256 = NULL", "never changed"),
        ("UPDATE inspection SET number = number + 100", "never changed"),
        ("INSERT OR REPLACE INTO inspection SELECT * FROM inspection WHERE number = 2", "never replaced"),
        ("INSERT OR REPLACE INTO confirmation SELECT * FROM confirmation", "never replaced|no open review"),
        ("DELETE FROM confirmation", "never deleted"),
        ("UPDATE confirmation SET answer = 'false_alarm'", "never changed"),
        ("UPDATE confirmation SET person = 'carla'", "never changed"),
        ("UPDATE confirmation SET undone_at = NULL WHERE id = 3", "stays undone"),
        ("UPDATE confirmation SET undone_at = 'now' WHERE id = 1", "not taken back"),
        (CONFIRMATION + "'k', 1, 'ST01-000002', 'agree', 'carla', '', 1.0, '', NULL)", "UNIQUE"),
        (
            CONFIRMATION + "'k', 2, 'ST01-000003', 'false_alarm', 'carla', '', 1.0, '', NULL)",
            "no open review of that part",
        ),
        (
            CONFIRMATION + "'k', 3, 'ST01-000005', 'false_alarm', 'carla', '', 1.0, '', NULL)",
            "no open review of that part",
        ),
        (CONFIRMATION + "'key-1', 3, 'ST01-000004', 'agree', 'carla', '', 1.0, '', NULL)", "UNIQUE"),
        (CONFIRMATION + "'k', 3, 'ST01-000004', 'agree', 'carla', '', 1.0, '', 'dust')", "confirmation_cause"),
        (CONFIRMATION + "'k', 3, 'ST01-000004', 'yes', 'carla', '', 1.0, '', NULL)", "confirmation_answer"),
        (CONFIRMATION + "'k', 3, 'ST01-000004', 'agree', '', '', 1.0, '', NULL)", "confirmation_person"),
        (CONFIRMATION + "'k', 3, 'ST01-000004', 'agree', 'carla', '', -1.0, '', NULL)", "confirmation_seconds"),
        ("DELETE FROM review", "never deleted"),
        ("UPDATE review SET blind = 1", "never changed"),
        ("UPDATE review SET settled_at = NULL", "settled once"),
        (REVIEW + "('ST01-000004', '', 'audit', 0, 1, NULL)", "UNIQUE"),
        (REVIEW + "('ST01-000001', '', 'idle', 0, 1, NULL)", "reason"),
        (REVIEW + "('ST01-000001', '', 'audit', 0, 0, NULL)", "review_moves"),
        (REVIEW + "('ST01-000001', '', 'correction', 0, 1, NULL)", "review_moves"),
        (REVIEW + "('ST01-000001', '', 'challenge', 0, 0, NULL)", "review_shown_as"),
        (REVIEW + "('ST01-000001', '', 'audit', 0, 1, 'ST01-000003')", "review_shown_as"),
        ("UPDATE review SET moves = 0", "never changed"),
        ("UPDATE review SET shown_as = 'ST01-000001'", "never changed"),
        (
            "INSERT INTO known_part (part_id, expected, noted_at, noted_by) VALUES ('ST01-000001', 'maybe', '', 'eva')",
            "exp",
        ),
        (
            "INSERT INTO known_part (part_id, expected, noted_at, noted_by) VALUES ('ST01-000001', 'ok', '', '')",
            "noted_by",
        ),
        ("DELETE FROM sample", "never deleted"),
        ("UPDATE sample SET label = 'ok'", "never changed"),
        ("UPDATE sample SET crop = x'00'", "never changed"),
        ("UPDATE sample SET p_select = 0.1", "never changed"),
        ("UPDATE sample SET person = 'carla'", "never changed"),
        ("UPDATE run SET id = 'one'", "datatype mismatch|cannot store"),
        ("INSERT INTO event (at, kind, text) VALUES (x'00', 'k', 't')", "cannot store"),
    ],
)
def test_the_database_refuses(books: sqlite3.Connection, violation: str, words: str) -> None:
    assert len(books.execute(INSPECTION).fetchall()) == 6
    before = list(books.iterdump())
    with pytest.raises(sqlite3.Error, match=words):
        books.execute(violation)
    assert list(books.iterdump()) == before


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("score = NULL", "pass_has_evidence"),
        ("model_sha256 = NULL", "pass_has_evidence"),
        ("image_sha256 = NULL", "pass_has_evidence"),
        ("reason = ''", "has_reason"),
        ("score = 1.2", "inspection_score"),
        ("p_select = 2.0", "p_select"),
        ("evaluation = 'FINE'", "inspection_evaluation"),
        ("evaluation = 'NOT_OK', audit = 1", "audits_passed_parts"),
        ("scores = '{\"scratch\": NaN}'", "scores_json"),
        ("candidates = 'none'", "candidates_json"),
        ("frame_index = 'first'", "cannot store"),
    ],
)
def test_an_inspection_row_without_evidence_or_sense_is_refused(
    books: sqlite3.Connection, change: str, words: str
) -> None:
    books.execute("CREATE TEMP TABLE planted AS SELECT * FROM inspection WHERE number = 1")
    books.execute(f"UPDATE planted SET number = 7, part_id = 'ST01-000007', {change}")
    with pytest.raises(sqlite3.Error, match=words):
        books.execute("INSERT INTO inspection SELECT * FROM planted")


def test_rows_that_others_refer_to_cannot_go_where_references_are_checked(books: sqlite3.Connection) -> None:
    books.execute("PRAGMA foreign_keys = ON")
    with pytest.raises(sqlite3.IntegrityError, match="FOREIGN KEY"):
        books.execute("DELETE FROM run")


def test_evaluations_of_code_and_tables_are_the_same(books: sqlite3.Connection) -> None:
    sql = books.execute("SELECT sql FROM sqlite_master WHERE name = 'inspection'").fetchone()[0]
    assert all(f"'{e.value}'" in sql for e in Evaluation)
    sql = books.execute("SELECT sql FROM sqlite_master WHERE name = 'confirmation'").fetchone()[0]
    assert all(f"'{a.value}'" in sql for a in Answer)
