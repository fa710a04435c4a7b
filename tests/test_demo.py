"""Does a whole shift on the simulated line add up, and does the check find it when it does not?"""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

import station.demo
from station.audit import check_station
from station.config import ExchangeSettings, SimulatorSource, StationConfig, StoreSettings
from station.core.verdict import Answer
from station.demo import run_headless
from station.store.people import People

ROOT = Path(__file__).resolve().parents[1]


def shift(folder: Path, *, parts: int, seed: int = 1) -> StationConfig:
    return StationConfig(
        recipes=ROOT / "calibration" / "recipes",
        models=ROOT / "models",
        store=StoreSettings(folder=folder, free_disk_mb=0),
        source=SimulatorSource(seed=seed, parts=parts, frames_per_s=0, defect_rate=0.3),
        exchange=ExchangeSettings(port=0),
    )


@pytest.fixture(scope="module")
def worked(tmp_path_factory: pytest.TempPathFactory) -> StationConfig:
    config = shift(tmp_path_factory.mktemp("shift"), parts=40)
    summary = run_headless(config)
    assert summary.sound
    assert summary.counts.parts == 40
    assert summary.counts.waiting == 0
    assert summary.good_parts + summary.defective_parts == 40
    return config


def test_a_shift_adds_up_and_every_label_has_its_crop(worked: StationConfig) -> None:
    result = check_station(worked, journal=worked.store.journal)
    assert result.faults == ()
    assert result.books.triggered == result.books.disposed == 40
    with closing(sqlite3.connect(worked.store.database)) as raw:
        answers = dict(raw.execute("SELECT answer, count(*) FROM confirmation GROUP BY answer"))
        simulated = raw.execute("SELECT min(simulated) FROM inspection").fetchone()[0]
        unlabelled = raw.execute(
            "SELECT count(*) FROM confirmation c WHERE answer <> 'unsure' "
            "AND NOT EXISTS (SELECT 1 FROM sample s WHERE s.confirmation_id = c.id)"
        ).fetchone()[0]
    assert set(answers) <= {a.value for a in Answer}
    assert sum(answers.values()) > 5
    assert unlabelled == 0
    assert simulated == 1, "simulated frames are flagged"


def test_a_truthful_inspector_lets_no_held_defect_go(worked: StationConfig) -> None:
    with closing(sqlite3.connect(worked.store.database)) as raw:
        wrong = raw.execute(
            "SELECT i.part_id FROM inspection i JOIN command c ON c.part_id = i.part_id "
            "WHERE c.disposition = 'RELEASE' AND c.confirmation_id IS NOT NULL AND i.truth <> 'ok'"
        ).fetchall()
    assert wrong == []


def test_the_same_seed_gives_the_same_verdicts(tmp_path: Path, worked: StationConfig) -> None:
    run_headless(shift(tmp_path, parts=12))

    def verdicts(path: Path) -> list[tuple[str, str, str]]:
        with closing(sqlite3.connect(path)) as raw:
            return raw.execute("SELECT serial, evaluation, scores FROM inspection ORDER BY number LIMIT 12").fetchall()

    assert verdicts(tmp_path / "ledger.db") == verdicts(worked.store.database)


def test_a_second_shift_on_the_same_ledger_goes_on_counting(tmp_path: Path) -> None:
    run_headless(shift(tmp_path, parts=3))
    summary = run_headless(shift(tmp_path, parts=3, seed=2))
    assert summary.counts.parts == 3, "the summary is of this shift"
    assert check_station(shift(tmp_path, parts=3)).books.triggered == 6


def test_the_check_finds_a_lost_picture_and_a_line_that_did_otherwise(tmp_path: Path) -> None:
    config = shift(tmp_path, parts=4)
    run_headless(config)
    journal = config.store.journal
    words = journal.read_text()
    released = next(line for line in words.splitlines() if not line.endswith("HOLD"))
    journal.write_text(words + released + "\n")
    next(config.store.images.rglob("*.jpg")).unlink()
    faults = " / ".join(check_station(config, journal=journal).faults)
    assert "go twice" in faults
    assert "not on disk" in faults


def test_the_demo_has_people_who_can_sign_in_before_its_panel_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = shift(tmp_path, parts=1)
    there: list[str] = []

    @contextmanager
    def panel(given: StationConfig) -> Iterator[None]:
        with closing(People(given.store.people)) as people:
            there.extend(p.name for p in people.everybody())
        yield

    monkeypatch.setattr(station.demo, "panel_beside", panel)
    monkeypatch.setattr(station.demo, "run_loop", lambda given, recipe: there.append(recipe))
    station.demo.run_with_panel(config)
    assert sorted(there) == ["Ada", "Eva", "Max", "Mia", "Tom", "demo-disc"]


def test_the_command_line_runs_a_shift_and_checks_its_books(tmp_path: Path) -> None:
    def command(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "station", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
        )

    db, out = str(tmp_path / "ledger.db"), tmp_path / "out.json"
    done = command("demo", "--headless", "--parts", "5", "--seed", "1", "--db", db, "--json", str(out))
    assert done.returncode == 0, done.stderr
    assert "shift summary" in done.stdout
    assert json.loads(out.read_text())["parts"] == 5
    done = command("ledger", "check", "--db", db, "--journal", str(tmp_path / "ledger.journal"))
    assert (done.returncode, "the ledger is sound" in done.stdout) == (0, True), done.stderr
    with closing(sqlite3.connect(db)) as raw, raw:
        raw.execute("DROP TRIGGER command_no_delete")
        raw.execute("DELETE FROM command WHERE disposition <> 'HOLD'")
    done = command("ledger", "check", "--db", db)
    assert done.returncode == 1
    assert "FAULT" in done.stderr
