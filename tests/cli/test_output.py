"""With ``--json -``, is standard output one JSON document and nothing else, for every command that has ``--json``?"""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import typer.main

from station.cli import app
from station.cli.printing import err, out, say
from station.config import ExchangeSettings, SimulatorSource, StationConfig, StoreSettings
from station.demo import run_headless

ROOT = Path(__file__).resolve().parents[2]


def station(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "station", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )


@dataclass(frozen=True)
class Case:
    """A command with its arguments, something its JSON holds, and words that people read."""

    arguments: tuple[str, ...]
    key: str
    words: str | None

    def filled(self, folder: Path) -> list[str]:
        return [a.format(folder=folder) for a in self.arguments]


DB = ("--db", "{folder}/ledger.db")
CASES = {
    "demo": Case(("demo", "--headless", "--parts", "2", "--db", "{folder}/demo.db"), "verdicts", "shift summary"),
    "replay": Case(("replay", "{folder}/footage", "--recipe", "bolt"), "summary", "recipe, model"),
    "export": Case(("export", "{folder}/dataset", *DB), "samples", None),
    "models list": Case(("models", "list"), "models", "standing"),
    "models verify": Case(("models", "verify", "demo-disc/1"), "good", "sha256"),
    "ledger check": Case(("ledger", "check", *DB), "good", "the ledger is sound"),
    "ledger show": Case(("ledger", "show", *DB), "parts", "verdict"),
}
NEEDS_TRAINING = {"train"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small shift's ledger and three photographs."""
    folder = tmp_path_factory.mktemp("station")
    config = StationConfig(
        recipes=ROOT / "calibration" / "recipes",
        models=ROOT / "models",
        store=StoreSettings(folder=folder, free_disk_mb=0),
        source=SimulatorSource(seed=1, parts=8, frames_per_s=0, defect_rate=0.5),
        exchange=ExchangeSettings(port=0),
    )
    run_headless(config)
    (folder / "footage").mkdir()
    rng = np.random.default_rng(0)
    for n in range(3):
        cv2.imwrite(str(folder / "footage" / f"{n}.png"), rng.integers(60, 180, (64, 96, 3), dtype=np.uint8))
    return folder


def with_json(command: Any, path: str = "") -> Iterator[str]:
    for name, child in getattr(command, "commands", {}).items():
        yield from with_json(child, f"{path} {name}".strip())
    if any("--json" in p.opts for p in command.params):
        yield path


def test_every_command_with_json_is_tested_here_or_with_its_own_group() -> None:
    found = {
        name
        for name in with_json(typer.main.get_command(app))
        if not name.startswith(("calibrate", "user", "footage", "diff", "tune", "limits", "recipe"))
    }
    assert found == set(CASES) | NEEDS_TRAINING


@pytest.mark.parametrize("name", CASES)
def test_standard_output_is_the_machines_alone(name: str, folder: Path) -> None:
    case = CASES[name]
    done = station(*case.filled(folder), "--json", "-")
    assert done.returncode == 0, done.stderr
    assert case.key in json.loads(done.stdout)
    if case.words is not None:
        assert case.words in done.stderr, "people still read it, on standard error"


@pytest.mark.parametrize("name", ["ledger check", "export"])
def test_with_a_file_people_read_standard_output(name: str, folder: Path, tmp_path: Path) -> None:
    case = CASES[name]
    done = station(*case.filled(folder), "--json", str(tmp_path / "out.json"))
    assert done.returncode == 0, done.stderr
    assert case.key in json.loads((tmp_path / "out.json").read_text())
    assert (case.words or case.key) in done.stdout


def test_training_says_its_report_once(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    fit = pytest.importorskip("station.training.fit")
    from typer.testing import CliRunner

    class Report:
        def to_dict(self) -> dict[str, Any]:
            return {"model": "m/1"}

    def train(*_: Any, progress: Any, **__: Any) -> Report:
        progress("half way [/]", 0.5)
        return Report()

    monkeypatch.setattr(fit, "train", train)
    monkeypatch.chdir(ROOT)
    for arguments in ([], ["--json", "-"]):
        done = CliRunner().invoke(app, ["train", "--recipe", "demo-disc", *arguments])
        assert done.exit_code == 0, done.output
        assert json.loads(done.stdout) == {"model": "m/1"}


def test_a_check_that_fails_still_gives_its_json_and_its_exit_code(folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "ledger.db"
    with closing(sqlite3.connect(folder / "ledger.db")) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)
    done = station("ledger", "check", "--db", str(copy), "--json", "-")  # its pictures stayed behind
    assert done.returncode == 1
    assert json.loads(done.stdout)["good"] is False
    assert "FAULT" in done.stderr


@pytest.mark.parametrize("console", ["out", "err"])
def test_square_brackets_in_words_are_only_words(console: str, capsys: pytest.CaptureFixture[str]) -> None:
    from rich.table import Table

    table = Table("reason")
    table.add_row("missing: [tiles]/a.png [/]")
    for words in (table, "no file [tiles]/a.png [/]"):
        say(words, json_file=Path("-") if console == "err" else None)
    text = capsys.readouterr()
    shown, other = (text.err, text.out) if console == "err" else (text.out, text.err)
    assert shown.count("[tiles]/a.png [/]") == 2
    assert other == ""
    assert out is not err
