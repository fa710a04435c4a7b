"""Does a configuration become the station it names, and is a wrong one refused in words?"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from station.build import KEY_FILE, build, drawing_key
from station.config import CameraSource, FootageSource, SimulatorSource, StationConfig, StoreSettings
from station.core.errors import ConfigError, ModelRefused
from station.sim.devices import SimulatedLine
from station.sources.camera import Camera
from station.sources.footage import ImageFolder
from station.trigger import FreeRun, Presence
from tests.detector.builders import write_model_folder

ROOT = Path(__file__).resolve().parents[1]
CLASSES = ("scratch", "dent", "stain", "missing_hole")


@pytest.fixture
def config(tmp_path: Path) -> StationConfig:
    write_model_folder(tmp_path / "models", name="demo-disc", classes=CLASSES, gains=(0.1, 0.1, 0.1, 0.1))
    return StationConfig(
        recipes=ROOT / "calibration" / "recipes",
        models=tmp_path / "models",
        store=StoreSettings(folder=tmp_path / "var", free_disk_mb=0),
        source=SimulatorSource(parts=2, frames_per_s=0),
    )


def test_the_simulator_comes_with_its_line_and_its_truth(config: StationConfig) -> None:
    station = build(config, "demo-disc")
    try:
        assert isinstance(station.line, SimulatedLine)
        assert station.truth is not None
        assert station.detector is not None
        station.loop.run()
        assert station.loop.status().parts == 2
    finally:
        station.close()


def test_a_folder_runs_free_and_a_video_is_triggered(config: StationConfig, tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "a.txt").write_text("no picture")
    station = build(config.model_copy(update={"source": FootageSource(path=tmp_path / "pictures")}), "bolt")
    try:
        assert isinstance(station.source, ImageFolder)
        assert isinstance(station.loop._trigger, FreeRun)
    finally:
        station.close()


def test_a_camera_is_opened_by_its_address(config: StationConfig) -> None:
    station = build(config.model_copy(update={"source": CameraSource(address="/dev/no-such-camera")}), "bolt")
    try:
        assert isinstance(station.source, Camera)
        assert isinstance(station.loop._trigger, Presence)
    finally:
        station.close()


def test_a_missing_or_changed_model_is_refused(config: StationConfig) -> None:
    onnx = config.models / "demo-disc" / "1" / "model.onnx"
    data = bytearray(onnx.read_bytes())
    data[-1] ^= 1
    onnx.write_bytes(bytes(data))
    with pytest.raises(ModelRefused, match="sha256"):
        build(config, "demo-disc")
    shutil.rmtree(config.models)
    with pytest.raises(ModelRefused):
        build(config, "demo-disc")


def test_a_model_of_other_classes_is_refused(config: StationConfig) -> None:
    shutil.rmtree(config.models)
    write_model_folder(config.models, name="demo-disc", classes=("scratch", "dent"), gains=(0.1, 0.1))
    with pytest.raises(ModelRefused, match="the same classes"):
        build(config, "demo-disc")


def test_the_drawing_key_is_made_once_private_and_checked(tmp_path: Path) -> None:
    key = drawing_key(tmp_path)
    assert len(key) == 32
    assert drawing_key(tmp_path) == key
    assert (tmp_path / KEY_FILE).stat().st_mode & 0o077 == 0
    (tmp_path / KEY_FILE).write_bytes(b"short")
    with pytest.raises(ConfigError, match="restore it"):
        drawing_key(tmp_path)
