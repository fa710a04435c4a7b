"""Does a line run to its end, with its door open while it runs and shut afterwards?"""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

import pytest

from station.audit import check_station
from station.config import ExchangeSettings, SimulatorSource, StationConfig, StoreSettings
from station.core.errors import LedgerFault
from station.exchange import LoopAway, LoopClient
from station.run import run_loop
from tests.builders import until
from tests.detector.builders import write_model_folder

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def config(tmp_path: Path) -> StationConfig:
    classes = ("scratch", "dent", "stain", "missing_hole")
    write_model_folder(tmp_path / "models", name="demo-disc", classes=classes, gains=(0.1, 0.1, 0.1, 0.1))
    recipes = tmp_path / "recipes"
    shutil.copytree(ROOT / "calibration" / "recipes", recipes)
    words = (recipes / "demo-disc.toml").read_text()
    assert "audit_fraction = 0.02" in words
    # An audit would wait for a person.
    (recipes / "demo-disc.toml").write_text(words.replace("audit_fraction = 0.02", "audit_fraction = 0.0"))
    return StationConfig(
        recipes=recipes,
        models=tmp_path / "models",
        store=StoreSettings(folder=tmp_path / "var", file="line4.db", free_disk_mb=0),
        source=SimulatorSource(parts=3, frames_per_s=60, speed_px=40),
        exchange=ExchangeSettings(port=0),
    )


def test_the_loop_answers_at_its_ledgers_own_door_while_it_runs(config: StationConfig) -> None:
    line = threading.Thread(target=run_loop, args=(config, "demo-disc"), daemon=True)
    client = LoopClient(config.store.door)
    line.start()
    try:
        until(config.store.door.is_file, "the door does not open")
        assert client.state().state in {"RUNNING", "READY", "HALTED"}
        with pytest.raises(LedgerFault, match="in use by another loop"):
            run_loop(config, "demo-disc")
        assert config.store.door.is_file(), "the second loop took the first one's door away"
    finally:
        line.join(timeout=30)
    assert not line.is_alive()
    assert not config.store.door.exists()
    with pytest.raises(LoopAway):
        client.state()
    client.close()
    result = check_station(config, journal=config.store.journal)
    assert result.faults == ()
    assert result.books is not None
    assert result.books.triggered == 3
