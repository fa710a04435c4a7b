"""Is the panel there again after it died, and left alone where starting it makes no sense?"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import station.panel_keeper as module
from station.config import PanelSettings, StationConfig, StoreSettings, load_config
from station.panel_keeper import STARTS, keep, panel_environment
from tests.builders import until


def noting(path: Path, then: str) -> list[str]:
    """A process that notes its number in ``path`` and goes on as told."""
    words = f"import os, sys, time; open({str(path)!r}, 'a').write(f'{{os.getpid()}}\\n'); {then}"
    return [sys.executable, "-I", "-S", "-c", words]


def notes(path: Path) -> list[int]:
    return [int(n) for n in path.read_text().split("\n")[:-1]] if path.exists() else []


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "POLL_S", 0.02)


@pytest.fixture
def keeping() -> object:
    stopping = threading.Event()
    threads: list[threading.Thread] = []

    def start(command: list[str]) -> Callable[[], None]:
        thread = threading.Thread(target=keep, args=(command, dict(os.environ), stopping))
        thread.start()
        threads.append(thread)

        def stop() -> None:
            stopping.set()
            thread.join(timeout=10)
            assert not thread.is_alive()

        return stop

    yield start
    stopping.set()
    for thread in threads:
        thread.join(timeout=10)


def alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_panel_that_is_killed_is_started_again_and_ended_at_the_end(
    tmp_path: Path, keeping: Callable[[list[str]], Callable[[], None]]
) -> None:
    stop = keeping(noting(tmp_path / "pids", "time.sleep(60)"))
    until(lambda: len(notes(tmp_path / "pids")) == 1, "it does not start")
    os.kill(notes(tmp_path / "pids")[0], signal.SIGKILL)
    until(lambda: len(notes(tmp_path / "pids")) == 2, "it is not started again")
    stop()
    assert not any(alive(p) for p in notes(tmp_path / "pids"))


def test_a_panel_that_ignores_the_request_to_end_is_ended_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keeping: Callable[[list[str]], Callable[[], None]]
) -> None:
    monkeypatch.setattr(module, "END_S", 0.2)
    then = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"
    stop = keeping(noting(tmp_path / "pids", then))
    until(lambda: len(notes(tmp_path / "pids")) == 1, "it does not start")
    time.sleep(0.2)
    stop()
    assert not alive(notes(tmp_path / "pids")[0])


@pytest.mark.parametrize(
    ("code", "starts", "words"),
    [(2, 1, "cannot start"), (1, STARTS, f"died {STARTS} times in a minute"), (0, STARTS, "times in a minute")],
)
def test_a_panel_that_cannot_live_is_given_up_in_words(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, code: int, starts: int, words: str
) -> None:
    with caplog.at_level(logging.WARNING):
        keep(noting(tmp_path / "pids", f"sys.exit({code})"), dict(os.environ), threading.Event())
    assert len(notes(tmp_path / "pids")) == starts
    assert words in caplog.records[-1].message


def test_the_panel_reads_the_very_settings_of_its_station(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = StationConfig(
        station="ST09",
        recipes=tmp_path / "recipes",
        models=tmp_path / "models",
        calibration=tmp_path / "measured",
        footage=tmp_path / "films",
        store=StoreSettings(folder=tmp_path / "kept", file="shift.db"),
        panel=PanelSettings(port=7899, hosts=("station9.local",), show_names=False, signout_minutes=0, language="de"),
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STATION_PANEL__PORT", "1")
    for name, value in panel_environment(config).items():
        monkeypatch.setenv(name, value)
    read = load_config()
    assert read.panel == config.panel
    assert (read.station, read.recipes, read.store.door) == (config.station, config.recipes, config.store.door)
    assert (read.models, read.calibration, read.footage) == (config.models, config.calibration, config.footage)
