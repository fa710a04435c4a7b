"""Do the jobs that set a station to work do what their options say?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import station.demo
import station.run
from station.cli import app
from station.config import StationConfig
from station.core.errors import UsageError

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[StationConfig]:
    """The configurations that the demo was started with, in a folder whose station.toml names another port."""
    (tmp_path / "station.toml").write_text("[panel]\nport = 7999\n")
    monkeypatch.chdir(tmp_path)
    configs: list[StationConfig] = []
    monkeypatch.setattr(station.demo, "run_with_panel", configs.append)
    return configs


@pytest.mark.parametrize(("arguments", "port"), [([], 7999), (["--port", "8001"], 8001), (["--port", "0"], 0)])
def test_the_demo_keeps_the_configured_port_unless_one_is_given(
    started: list[StationConfig], arguments: list[str], port: int
) -> None:
    done = CliRunner().invoke(app, ["demo", *arguments])
    assert done.exit_code == 0, done.output
    assert [config.panel.port for config in started] == [port]
    assert f"http://127.0.0.1:{port} " in done.stderr


@pytest.mark.parametrize(("arguments", "port"), [([], 7999), (["--port", "8001"], 8001)])
def test_the_panel_keeps_the_configured_port_unless_one_is_given(
    started: list[StationConfig], monkeypatch: pytest.MonkeyPatch, arguments: list[str], port: int
) -> None:
    import station.panel.app

    served: list[StationConfig] = []
    monkeypatch.setattr(station.panel.app, "serve", served.append)
    done = CliRunner().invoke(app, ["panel", *arguments])
    assert done.exit_code == 0, done.output
    assert [config.panel.port for config in served] == [port]


def test_a_summary_that_will_never_come_is_refused(started: list[StationConfig]) -> None:
    done = CliRunner().invoke(app, ["demo", "--json", "-"])
    assert isinstance(done.exception, UsageError)
    assert "--headless" in str(done.exception)
    assert started == []


def test_a_port_that_is_none_is_refused(started: list[StationConfig]) -> None:
    assert CliRunner().invoke(app, ["demo", "--port", "70000"]).exit_code == 2
    assert started == []


def test_the_ledger_named_is_the_one_used(started: list[StationConfig], tmp_path: Path) -> None:
    CliRunner().invoke(app, ["demo", "--db", "line4/four.db"])
    assert started[0].store.database == tmp_path / "line4" / "four.db"


def help_of(*command: str) -> str:
    done = CliRunner().invoke(app, [*command, "--help"], env={"COLUMNS": "200"})
    assert done.exit_code == 0
    return " ".join(done.output.split())


def test_help_says_what_is_so() -> None:
    assert "two simulated inspectors" in help_of("demo")
    assert "a simulated inspector" not in help_of("demo")
    replayed = help_of("replay")
    assert "thrown away" in replayed
    assert "default: var/ledger.db" not in replayed


def test_a_real_run_gets_the_source_that_was_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    ran: list[Any] = []
    monkeypatch.setattr(
        station.run, "run_loop", lambda config, recipe, record: ran.append((config.source.kind, recipe))
    )
    for source in ("simulator", "0", "rtsp://camera/1", str(tmp_path)):
        assert CliRunner().invoke(app, ["run", "--recipe", "bolt", "--source", source]).exit_code == 0
    assert ran == [("simulator", "bolt"), ("camera", "bolt"), ("camera", "bolt"), ("footage", "bolt")]
