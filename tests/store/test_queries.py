"""What people ask the ledger, and whether damage is found."""

from __future__ import annotations

import hashlib
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from station.core.verdict import Answer
from station.store import books, queries
from station.store.database import open_reader
from station.store.samples import stored_samples
from tests.builders import BAD, OK, UNCERTAIN, Bench, detections, recipe

TWO = detections(("scratch", 0.9, (20, 16, 44, 32)), ("dent", 0.5, (60, 30, 70, 50)))


@pytest.fixture(scope="module")
def shift(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Parts: 1 passed, 2 confirmed (two labels), 3 overruled, 4 rework, 5 second person, 6 waits, 7 an audit waits."""
    with Bench(tmp_path_factory.mktemp("shift"), product=recipe(mode="divert"), durable=False) as bench:
        for score in (OK, TWO, BAD, RuntimeError("bug"), UNCERTAIN, UNCERTAIN):
            bench.show_part(score, lot="L1")
        bench.inspector.recipe = recipe(audit_fraction=1.0)
        bench.show_part(OK)
        bench.answer(1, Answer.OTHER_CLASS, label="dent")
        bench.desk.undo("anna", "u")
        bench.answer(1, Answer.AGREE)
        bench.answer(2, Answer.FALSE_ALARM)
        bench.answer(3, Answer.REWORK)
        bench.answer(4, Answer.UNSURE)
        bench.turn(4.0)
        bench.turn(4.0)
        assert books.faults_in_books(bench.reader) == []
        copy = tmp_path_factory.mktemp("copy") / "ledger.db"
        with closing(sqlite3.connect(bench.database)) as whole:
            whole.execute("VACUUM INTO ?", (str(copy),))
    return copy


@pytest.fixture
def damaged(shift: Path, tmp_path: Path) -> Path:
    shutil.copy(shift, tmp_path / "ledger.db")
    return tmp_path / "ledger.db"


def plant(database: Path, *statements: str) -> None:
    """Damages the books as someone might who goes round all our code: without triggers and references."""
    with closing(sqlite3.connect(database, isolation_level=None)) as raw:
        for (name,) in raw.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            raw.execute(f"DROP TRIGGER {name}")
        unique = raw.execute("SELECT name FROM sqlite_master WHERE type = 'index' AND sql LIKE '%UNIQUE%'").fetchall()
        for (name,) in unique:
            raw.execute(f"DROP INDEX {name}")
        raw.execute("PRAGMA ignore_check_constraints = ON")
        for statement in statements:
            raw.execute(statement)


def faults(database: Path) -> list[str]:
    reader = open_reader(database)
    try:
        return books.faults_in_books(reader)
    finally:
        reader.dispose()


COMMAND = "INSERT INTO command (part_id, disposition, confirmation_id, decided_at, acknowledged_at) VALUES "


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        ("DELETE FROM inspection WHERE number = 3", "1 part numbers missing"),
        ("DELETE FROM inspection WHERE number = 7", "do not balance"),
        ("UPDATE command SET disposition = 'RELEASE' WHERE part_id = 'ST01-000006'", "released without a pass"),
        (COMMAND + "('ST01-000007', 'RELEASE', NULL, '', '')", "released without a pass or a person"),
        ("UPDATE inspection SET evaluation = 'NOT_OK' WHERE number = 1", "released without a pass"),
        ("UPDATE confirmation SET answer = 'agree' WHERE answer = 'false_alarm'", "released without a pass"),
        ("UPDATE confirmation SET undone_at = 'x' WHERE answer = 'false_alarm'", "released without a pass"),
        (COMMAND + "('ST01-000006', 'REJECT', NULL, '', '')", "rejected or sent to rework without a person"),
        ("UPDATE command SET disposition = 'REJECT' WHERE disposition = 'REWORK'", "rejected or sent to rework"),
        ("UPDATE confirmation SET undone_at = 'x' WHERE answer = 'agree'", "rejected or sent to rework"),
        (COMMAND + "('ST01-000001', 'RELEASE', NULL, '', '')", "more than one final command"),
        ("DELETE FROM command WHERE part_id = 'ST01-000006'", "has no command"),
        ("DELETE FROM command WHERE part_id = 'ST01-000001'", "has no command"),
        ("DELETE FROM review WHERE part_id = 'ST01-000006'", "held without an open review"),
        ("UPDATE review SET settled_at = 'x' WHERE part_id = 'ST01-000006'", "settled review without an answer"),
        ("DELETE FROM command WHERE disposition = 'REWORK'", "settled review without the command"),
        ("DELETE FROM confirmation WHERE answer = 'unsure'", "settled review without an answer"),
        ("DELETE FROM sample WHERE label = 'ok'", "label without its crop"),
        ("UPDATE sample SET crop = x'0102' WHERE id = 1", "does not match its hash"),
        ("UPDATE sample SET crop_sha256 = 'other' WHERE id = 1", "does not match its hash"),
        ("UPDATE inspection SET score = NULL WHERE number = 1", "passed without a score"),
        ("UPDATE inspection SET image_sha256 = NULL WHERE number = 1", "passed without a score, a model or a picture"),
        ("DELETE FROM run", "refers to rows that are gone"),
        ("UPDATE inspection SET recipe_sha256 = 'other' WHERE number = 2", "judged by other limits than its run's"),
        ("UPDATE run SET recipe_json = replace(recipe_json, '0.3', '0.6')", "run 1 keeps a recipe that does not match"),
    ],
)
def test_damage_in_the_books_is_found(damaged: Path, damage: str, words: str) -> None:
    assert faults(damaged) == []
    plant(damaged, damage)
    found = faults(damaged)
    assert any(words in f for f in found), found


def test_damage_of_many_parts_is_told_in_one_line(damaged: Path) -> None:
    plant(damaged, "DELETE FROM command")
    found = faults(damaged)
    assert any(f.startswith("has no command: ST01-000001") and f.endswith("and 2 more") for f in found), found


def test_torn_pages_are_told_in_words(damaged: Path) -> None:
    data = bytearray(damaged.read_bytes())
    data[8192:12288] = bytes(4096)
    damaged.write_bytes(bytes(data))
    assert any("cannot be read" in f or "SQLite reports" in f for f in faults(damaged))


def test_parts_and_reviews_are_told_as_they_are(shift: Path) -> None:
    reader = open_reader(shift)
    parts = queries.recent_parts(reader, limit=3)
    assert [p.number for p in parts] == [7, 6, 5]
    assert [p.disposition for p in queries.recent_parts(reader)] == [
        "HOLD",
        "HOLD",
        "HOLD",
        "REWORK",
        "RELEASE",
        "REJECT",
        "RELEASE",
    ]
    second = queries.part(reader, "ST01-000002")
    assert second is not None
    assert (second.evaluation, second.score, second.label, second.width, second.height) == (
        "NOT_OK",
        0.9,
        "scratch",
        96,
        64,
    )
    assert [(c.label, c.score, c.box.xyxy) for c in second.candidates] == [
        ("scratch", 0.9, (20.0, 16.0, 44.0, 32.0)),
        ("dent", 0.5, (60.0, 30.0, 70.0, 50.0)),
    ]
    assert second.scores == {"scratch": 0.9, "dent": 0.5}
    assert queries.part(reader, "ST01-000099") is None
    waiting = queries.open_reviews(reader)
    assert [(r.part.number, r.reason, r.blind) for r in waiting] == [
        (6, "uncertain", False),
        (7, "audit", True),
        (5, "second_person", False),
    ]
    assert queries.count_open_reviews(reader) == 3
    first = queries.review(reader, 1)
    assert first is not None
    assert (first.answered_by, first.settled) == ("anna", True)
    assert queries.review(reader, 99) is None
    run = queries.newest_run(reader)
    assert run is not None
    assert (run.station, run.recipe, run.ended_at) == ("ST01", "disc", None)
    reader.dispose()


def test_a_shift_adds_up(shift: Path) -> None:
    reader = open_reader(shift)
    counts = queries.shift_counts(reader)
    assert counts.parts == sum(counts.by_evaluation.values()) == sum(counts.by_disposition.values()) == 7
    assert counts.by_evaluation == {"OK": 2, "NOT_OK": 2, "NOT_DECIDABLE": 2, "UNDEFINED": 1}
    assert counts.by_disposition == {"RELEASE": 2, "HOLD": 3, "REJECT": 1, "REWORK": 1}
    assert counts.by_answer == {"agree": 1, "false_alarm": 1, "rework": 1, "unsure": 1}
    assert (counts.waiting, counts.audits, counts.labels, counts.undone) == (3, 1, 3, 1)
    assert (counts.overkill, counts.confirmed_defects, counts.audit_escapes) == (1, 2, 0)
    assert queries.shift_counts(reader, since="2027").parts == 0
    reader.dispose()


def test_undone_answers_never_reach_an_export(shift: Path) -> None:
    reader = open_reader(shift)
    samples = list(stored_samples(reader))
    assert [(s.label, s.answer, s.lot) for s in samples] == [
        ("scratch", "agree", "L1"),
        ("dent", "agree", "L1"),
        ("ok", "false_alarm", "L1"),
    ]
    with closing(sqlite3.connect(f"{shift.as_uri()}?mode=ro", uri=True)) as raw:
        assert raw.execute("SELECT count(*) FROM sample").fetchone() == (4,)
    assert all(hashlib.sha256(s.crop).hexdigest() == s.crop_sha256 for s in samples)
    reader.dispose()


def test_pictures_that_must_be_there_and_final_dispositions(shift: Path) -> None:
    reader = open_reader(shift)
    assert [p for p, _ in books.needed_images(reader)] == [f"ST01-{n:06d}" for n in range(1, 8)]
    assert books.releases(reader) == {
        "ST01-000001": "RELEASE",
        "ST01-000002": "REJECT",
        "ST01-000003": "RELEASE",
        "ST01-000004": "REWORK",
    }
    reader.dispose()


def test_a_change_by_the_writer_is_noticed_once(tmp_path: Path) -> None:
    with Bench(tmp_path, durable=False) as bench:
        watch = queries.ChangeWatch(bench.reader)
        assert [watch.changed(), watch.changed()] == [True, False]
        bench.show_part(OK)
        assert [watch.changed(), watch.changed()] == [True, False]
        watch.close()


def test_a_fresh_ledger_has_no_run_and_no_part(tmp_path: Path) -> None:
    with Bench(tmp_path, durable=False) as bench:
        assert queries.recent_parts(bench.reader) == []
        assert queries.open_reviews(bench.reader) == []
        assert queries.newest_run(bench.reader) is not None
