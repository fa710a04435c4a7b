"""What is left when the station's process is killed at any moment? Nothing lost, nothing let go twice or unpassed."""

from __future__ import annotations

import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from station.audit import check_station
from station.config import StationConfig, StoreSettings
from station.sim.devices import read_journal

ROOT = Path(__file__).resolve().parents[2]


def life(folder: Path, recipes: Path, *, seed: int, parts: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [
            sys.executable,
            "-m",
            "tests.chaos.worker",
            str(folder),
            str(seed),
            str(parts),
            str(ROOT / "models"),
            str(recipes),
        ],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def quick_recipes(tmp_path: Path) -> Path:
    """The demo's recipe with a short undo time and many audits, so that every kind of write happens often."""
    recipes = tmp_path / "recipes"
    shutil.copytree(ROOT / "calibration" / "recipes", recipes)
    path = recipes / "demo-disc.toml"
    words = path.read_text()
    assert "undo_s = 3.0" in words
    assert "audit_fraction = 0.02" in words
    path.write_text(
        words.replace("undo_s = 3.0", "undo_s = 0.02").replace("audit_fraction = 0.02", "audit_fraction = 0.3")
    )
    return recipes


def check(folder: Path) -> None:
    store = StoreSettings(folder=folder)
    result = check_station(StationConfig(store=store), journal=store.journal)
    assert result.faults == ()
    stored = [k for k in (folder / "stored.keys").read_text().split("\n")[:-1] if k]
    with closing(sqlite3.connect(folder / "ledger.db")) as raw:
        known = {k for (k,) in raw.execute("SELECT key FROM confirmation WHERE undone_at IS NULL")}
    lost = [k for k in stored if k not in known]
    assert not lost, f"{len(lost)} of {len(stored)} acknowledged answers are gone"
    released = [p for p, d in read_journal(store.journal) if d == "RELEASE"]
    assert len(released) == len(set(released)), "a part was released twice"


def kill_often(tmp_path: Path, kills: int, seed: int) -> Path:
    rng = random.Random(seed)
    recipes = quick_recipes(tmp_path)
    folder = tmp_path / "var"
    folder.mkdir()
    for n in range(kills):
        process = life(folder, recipes, seed=seed * 1000 + n, parts=100_000)
        try:
            if n % 5 == 4:
                time.sleep(rng.uniform(0.3, 3.0))  # somewhere in the start
            else:
                assert process.stdout is not None
                process.stdout.readline()
                time.sleep(rng.uniform(0.0, 1.0))
            assert process.poll() is None, f"life {n} ended by itself: {process.communicate()[1].decode()[-2000:]}"
        finally:
            process.send_signal(signal.SIGKILL)
            process.communicate()
        check_when_there(folder)
    process = life(folder, recipes, seed=seed * 1000 + kills, parts=10)
    _, words = process.communicate(timeout=120)
    assert process.returncode == 0, words.decode()[-2000:]
    check(folder)
    with closing(sqlite3.connect(folder / "ledger.db")) as raw:
        waiting = raw.execute("SELECT count(*) FROM review WHERE settled_at IS NULL").fetchone()[0]
        unsent = raw.execute("SELECT count(*) FROM command WHERE acknowledged_at IS NULL").fetchone()[0]
    assert (waiting, unsent) == (0, 0), "the last life leaves nothing open"
    return folder


def check_when_there(folder: Path) -> None:
    if (folder / "ledger.db").exists() and (folder / "stored.keys").exists():
        with closing(sqlite3.connect(folder / "ledger.db")) as raw:
            tables = raw.execute("SELECT count(*) FROM sqlite_master WHERE name = 'inspection'").fetchone()[0]
        if tables:
            check(folder)


def test_ten_kills_at_random_moments_lose_nothing(tmp_path: Path) -> None:
    folder = kill_often(tmp_path, kills=10, seed=1)
    with closing(sqlite3.connect(folder / "ledger.db")) as raw:
        parts = raw.execute("SELECT count(*) FROM inspection").fetchone()[0]
        answers = raw.execute("SELECT count(*) FROM confirmation").fetchone()[0]
    assert parts >= 18, "the lives were too short to prove anything"
    assert answers >= 5


@pytest.mark.long
def test_a_hundred_kills_at_random_moments_lose_nothing(tmp_path: Path) -> None:
    kill_often(tmp_path, kills=100, seed=2)
