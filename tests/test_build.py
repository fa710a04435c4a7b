"""Does a configuration become the station it names, and is a wrong one refused in words?"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import cv2
import numpy as np
import pytest

from station.audit import check_station
from station.build import build
from station.calibration.optics.baseline import BaselineRecord
from station.calibration.optics.exposure import Look
from station.calibration.optics.files import keep_flat_field, keep_plane, load_optics
from station.calibration.optics.flat_field import FlatFieldFit
from station.calibration.optics.plane import Plane
from station.calibration.optics.record import write_record
from station.calibration.optics.standing import BASELINE, Check, keep_check
from station.config import CameraSource, FootageSource, SimulatorSource, StationConfig, StoreSettings
from station.core.errors import ConfigError, ModelRefused
from station.core.part import PartId
from station.core.verdict import Evaluation, Inspection
from station.decision import drawn
from station.sim.devices import SimulatedLine, read_journal
from station.sources.camera import Camera
from station.sources.footage import ImageFolder
from station.store.images import encode
from station.store.ledger import Record
from station.trigger import FreeRun, Presence
from tests.builders import inspection, picture, run_start
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
        calibration=tmp_path / "calibration",
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
        assert isinstance(station.loop._eyes._trigger, FreeRun)
    finally:
        station.close()


def test_a_camera_is_opened_by_its_address(config: StationConfig) -> None:
    station = build(config.model_copy(update={"source": CameraSource(address="/dev/no-such-camera")}), "bolt")
    try:
        assert isinstance(station.source, Camera)
        assert isinstance(station.loop._eyes._trigger, Presence)
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


def ran(config: StationConfig) -> StationConfig:
    """A run over all parts of the simulated line."""
    with closing(build(config, "demo-disc")) as station:
        station.loop.run()
    return config


@pytest.fixture
def key(config: StationConfig) -> Path:
    """The drawing key of a ledger in which every second part was drawn for an audit."""
    with closing(build(config, "demo-disc")) as station:
        run = station.ledger.start_run(replace(run_start(), recipe="demo-disc"))
        secret = config.store.drawing_key.read_bytes()
        for number in range(1, 21):
            it = inspection(number, audit=drawn(secret, PartId(f"ST01-{number:06d}"), 0.5, "audit"))
            assert it.part.part_id == f"ST01-{number:06d}"
            station.ledger.record(run, [Record(replace(it, p_select=0.5), encode(picture(number)), blind=False)])
    return config.store.drawing_key


def test_the_drawing_key_is_made_once_and_private(config: StationConfig) -> None:
    path = ran(config).store.drawing_key
    key = path.read_bytes()
    assert len(key) == 32
    assert path.stat().st_mode & 0o077 == 0
    ran(config)
    assert path.read_bytes() == key


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (lambda key: key.unlink(), "is gone: restore it"),
        (lambda key: key.write_bytes(b"short"), "holds 5 bytes instead of 32: restore it"),
        (lambda key: key.write_bytes(bytes(32)), "was exchanged: restore it"),
        (lambda key: key.rename(key.with_name("drawing.key")), "rename drawing.key to ledger.key"),
    ],
    ids=["lost", "damaged", "exchanged", "of an earlier version"],
)
def test_a_lost_damaged_or_exchanged_drawing_key_stops_the_start_and_is_not_made_anew(
    config: StationConfig, key: Path, harm: Callable[[Path], object], words: str
) -> None:
    build(config, "demo-disc").close()
    harm(key)
    left = key.read_bytes() if key.exists() else None
    with pytest.raises(ConfigError, match=words):
        build(config, "demo-disc")
    assert (key.read_bytes() if key.exists() else None) == left


def test_two_ledgers_of_one_folder_share_nothing_but_the_people(config: StationConfig) -> None:
    one, two = (
        config.model_copy(update={"store": config.store.at(config.store.folder / name)}) for name in ("a.db", "b.db")
    )
    ran(one)
    half = one.store.images / "ab" / f"{'0' * 64}.part"
    half.parent.mkdir(parents=True, exist_ok=True)
    half.write_bytes(b"a picture that the first is just writing")
    ran(two)
    assert half.exists(), "the second tidied the first one's pictures"
    for it in (one, two):
        books = check_station(it, journal=it.store.journal)
        assert books.faults == ()
        assert books.books is not None
        assert books.books.triggered == len({part for part, _ in read_journal(it.store.journal)}) == 2
    assert one.store.drawing_key.read_bytes() != two.store.drawing_key.read_bytes()
    assert one.store.door != two.store.door
    assert one.store.people == two.store.people
    beside = {p.name for p in config.store.folder.iterdir()}
    assert all(name.startswith(("a.", "b.")) for name in beside), beside


def test_pictures_noted_as_dropped_leave_at_the_next_start(config: StationConfig) -> None:
    """A crash came between the note in the ledger and the removal of the file."""
    with closing(build(config, "demo-disc")) as station:
        gone, stays = encode(picture(1)), encode(picture(2))
        station.images.keep([gone, stays])
        station.ledger.note_dropped_images([gone.sha256])
    with closing(build(config, "demo-disc")) as station:
        assert not station.images.path(gone.sha256).exists()
        assert station.images.path(stays.sha256).exists()
        assert station.images.used_bytes == len(stays.data)


def calibrated(config: StationConfig, *, gain: float = 1.2) -> str:
    """Measures the station's camera: everything is dim by so much, a pixel is 0.1 mm; the hash of it."""
    gains = np.full((12, 16, 3), gain, np.float32)
    keep_flat_field(config.optics_folder, FlatFieldFit(gains, 5, 1.0, True, (1.0, 1.0, 1.0), (640, 480)))
    rows = ((0.1, 0.0, 0.0), (0.0, 0.1, 0.0), (0.0, 0.0, 1.0))
    plane = Plane(to_mm_rows=rows, width=640, height=480, corners=50, rms_px=0.1, rms_mm=0.01, scale_error_percent=0.1)
    keep_plane(config.optics_folder, plane)
    optics = load_optics(config.optics_folder)
    assert optics is not None
    return optics.sha256


def brightness(config: StationConfig) -> float:
    """Mean grey value of the first part as it was stored."""
    sha256 = str(in_books(config, "SELECT image_sha256 FROM inspection ORDER BY number")[0][0])
    image = cv2.imread(str(config.store.images / sha256[:2] / f"{sha256}.jpg"))
    assert image is not None
    return float(image.mean())


def in_books(config: StationConfig, what: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(config.store.database)) as books:
        return list(books.execute(what))


def test_a_live_source_is_corrected_and_the_hash_is_evidence(config: StationConfig) -> None:
    plain = config.model_copy(update={"store": config.store.at(config.store.folder / "plain.db")})
    ran(plain)
    assert in_books(plain, "SELECT optics_sha256 FROM run") == [(None,)]
    sha256 = calibrated(config)
    seen: list[Inspection] = []
    with closing(build(config, "demo-disc", on_recorded=seen.append)) as station:
        assert station.optics is not None
        assert station.optics.mm_per_px(5, 5) == pytest.approx(0.1)
        station.loop.run()
    assert in_books(config, "SELECT optics_sha256 FROM run") == [(sha256,)]
    assert all("correct" in it.stage_ms for it in seen)
    assert brightness(config) / brightness(plain) == pytest.approx(1.2, abs=0.02)


def test_footage_is_left_as_it_was_recorded(config: StationConfig, tmp_path: Path) -> None:
    calibrated(config)
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    cv2.imwrite(str(pictures / "a.png"), picture(1, width=320, height=240))  # of another size, and of another camera
    write_record(config.optics_folder / BASELINE, BASE, heading="baseline")  # and nobody checked this one
    seen: list[Inspection] = []
    footage = config.model_copy(update={"source": FootageSource(path=pictures)})
    with closing(build(footage, "demo-disc", on_recorded=seen.append)) as station:
        station.loop.run()
    assert seen[0].part.image is not None
    np.testing.assert_array_equal(seen[0].part.image, picture(1, width=320, height=240))
    assert seen[0].verdict.evaluation is not Evaluation.UNDEFINED
    assert in_books(config, "SELECT optics_sha256 FROM run") == [(None,)]


BASE = BaselineRecord(
    made_at=datetime(2026, 1, 1, tzinfo=UTC),
    picture_sha256="0" * 64,
    look=Look(sharpness=0.1, brightness=120, saturated=0, blue=1, red=1),
)


def test_a_camera_that_was_not_checked_holds_every_part(config: StationConfig) -> None:
    write_record(config.optics_folder / BASELINE, BASE, heading="baseline")
    ran(config)
    held = in_books(config, "SELECT evaluation, reason FROM inspection")
    assert held == [("UNDEFINED", "not inspected: the camera was not checked yet: run 'station calibrate check'")] * 2
    assert in_books(config, "SELECT count(*) FROM command WHERE disposition = 'RELEASE'") == [(0,)]
    assert in_books(config, "SELECT text FROM event WHERE kind = 'check'") == [
        ("the camera was not checked yet: run 'station calibrate check'",)
    ]


@pytest.mark.parametrize(("age_h", "held"), [(1.0, 0), (3.0, 2)])
def test_a_check_holds_for_the_hours_of_the_station(config: StationConfig, age_h: float, held: int) -> None:
    config = config.model_copy(update={"check_hours": 2.0})
    write_record(config.optics_folder / BASELINE, BASE, heading="baseline")
    at = datetime.now(UTC) - timedelta(hours=age_h)
    keep_check(config.optics_folder, Check(at=at, good=True, baseline_sha256=BASE.sha256))
    ran(config)
    assert in_books(config, "SELECT count(*) FROM inspection WHERE evaluation = 'UNDEFINED'") == [(held,)]


def test_a_broken_calibration_stops_the_start(config: StationConfig) -> None:
    calibrated(config)
    (config.optics_folder / "flat-field.npz").unlink()
    with pytest.raises(ConfigError, match="run 'station calibrate flat-field' again"):
        build(config, "demo-disc")
    assert not config.store.database.exists()


def test_limits_in_millimetres_need_the_stations_scale(config: StationConfig, tmp_path: Path) -> None:
    text = (config.recipes / "demo-disc.toml").read_text()
    assert 'name = "scratch"\n' in text
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "demo-disc.toml").write_text(
        text.replace('name = "scratch"\n', 'name = "scratch"\nmin_area_mm2 = 0.5\n')
    )
    config = config.model_copy(update={"recipes": tmp_path / "recipes"})
    with pytest.raises(ConfigError, match="min_area_mm2"):
        build(config, "demo-disc")
    calibrated(config)
    ran(config)
