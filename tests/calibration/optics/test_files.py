"""Is what was measured kept whole, and is a broken, changed or unfitting file refused with the remedy?"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from station.calibration.optics import files
from station.calibration.optics.baseline import encoded, make_baseline
from station.calibration.optics.board import Board
from station.calibration.optics.files import (
    GAINS,
    OPTICS,
    OpticsRecord,
    keep_baseline,
    keep_board,
    keep_flat_field,
    keep_lens,
    keep_plane,
    load_baseline,
    load_board,
    load_optics,
)
from station.calibration.optics.flat_field import FlatFieldFit, flattened, spread
from station.core.errors import ConfigError, ImageFault
from station.core.part import Box
from tests.builders import picture
from tests.calibration.optics.conftest import Known
from tests.calibration.rendered import CAMERA


def a_flat_field(*, size: tuple[int, int] = CAMERA.size, gain: float = 1.5) -> FlatFieldFit:
    gains = np.ones((12, 16, 3), np.float32)
    gains[0] = gain
    return FlatFieldFit(gains, 5, 1 / gain, True, (1.0, 1.0, 1.0), size)


@pytest.fixture
def folder(tmp_path: Path, known: Known) -> Path:
    """A station with everything measured."""
    folder = tmp_path / "stations" / "ST01"
    keep_lens(folder, known.fit.lens)
    keep_plane(folder, known.plane)
    keep_flat_field(folder, a_flat_field())
    return folder


def test_what_was_measured_comes_back_to_the_last_bit(folder: Path, known: Known) -> None:
    optics = load_optics(folder)
    assert optics is not None
    assert optics.record.lens == known.fit.lens
    assert optics.record.plane == known.plane
    assert (
        optics.sha256
        == OpticsRecord(lens=known.fit.lens, plane=known.plane, flat_field=optics.record.flat_field).sha256
    )
    again = load_optics(folder)
    assert again is not None
    assert again.sha256 == optics.sha256


def test_the_file_explains_itself(folder: Path) -> None:
    text = (folder / OPTICS).read_text()
    assert text.startswith("# The camera of this station")
    assert "[lens]" in text
    assert "# Radial distortion (Brown).\nk1 = " in text
    assert "[plane]" in text
    assert not list(folder.glob("*.part"))


def test_a_picture_goes_through_flat_field_then_lens(folder: Path, known: Known) -> None:
    optics = load_optics(folder)
    assert optics is not None
    raw = known.pictures[0]
    flat = flattened(raw, spread(a_flat_field().gains, CAMERA.size))
    np.testing.assert_array_equal(optics.correct(raw), known.fit.lens.rectify(flat))
    np.testing.assert_array_equal(optics.rectify(raw), known.fit.lens.rectify(raw))
    assert (optics.correct(raw) != optics.rectify(raw)).any()
    with pytest.raises(ImageFault, match="set the camera back"):
        optics.correct(raw[:-8])


def test_millimetres_come_from_the_plane(folder: Path, known: Known) -> None:
    optics = load_optics(folder)
    assert optics is not None
    assert optics.mm_per_px(10, 20) == known.plane.mm_per_px(10, 20)
    assert optics.area_mm2(Box(1, 2, 3, 4), (5, 6)) == known.plane.area_mm2(Box(1, 2, 3, 4), (5, 6))
    np.testing.assert_array_equal(optics.to_mm(np.zeros((1, 2))), known.plane.to_mm(np.zeros((1, 2))))


def test_a_station_without_measurements_has_no_optics_and_says_so(tmp_path: Path) -> None:
    assert load_optics(tmp_path) is None
    keep_flat_field(tmp_path, a_flat_field())
    optics = load_optics(tmp_path)
    assert optics is not None
    assert optics.rectify(np.ones((480, 640, 3), np.uint8)).all()
    with pytest.raises(ConfigError, match="no scale: run 'station calibrate scale'"):
        optics.mm_per_px(1, 1)


def test_a_new_lens_takes_the_scale_out_of_force_and_nothing_else(folder: Path, known: Known) -> None:
    before = load_optics(folder)
    keep_lens(folder, known.fit.lens)
    same = load_optics(folder)
    assert before is not None
    assert same is not None
    assert same.sha256 == before.sha256
    keep_lens(folder, known.fit.lens.model_copy(update={"fx": 1999.0}))
    optics = load_optics(folder)
    assert optics is not None
    assert optics.record.plane is None
    assert optics.record.flat_field == before.record.flat_field


def test_every_correction_counts_in_the_hash(folder: Path) -> None:
    before = load_optics(folder)
    keep_flat_field(folder, a_flat_field(gain=1.6))
    after = load_optics(folder)
    assert before is not None
    assert after is not None
    assert before.sha256 != after.sha256


def swapped(folder: Path) -> None:
    (folder / GAINS).write_bytes(files.packed(a_flat_field(gain=3.0).gains))


def replaced(old: str, new: str) -> Callable[[Path], None]:
    def harm(folder: Path) -> None:
        text = (folder / OPTICS).read_text()
        assert old in text
        (folder / OPTICS).write_text(text.replace(old, new, 1))

    return harm


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (replaced("[lens]\n", "[lens]\nzoom = 2\n"), "lens.zoom: Extra inputs"),
        (replaced("fx = ", "fx = -"), "lens.fx"),
        (replaced("k1 = ", "k1 = nan # "), "lens.k1"),
        (replaced("cx = ", "cx = 1"), "through another lens: run 'station calibrate scale'"),
        (replaced("width = 640", "width = 641"), "several sizes"),
        (replaced("[plane]", "plane"), "is not TOML"),
        (swapped, "is not the file that was written .*: run 'station calibrate flat-field' again"),
        (lambda folder: (folder / GAINS).unlink(), "cannot be read .*flat-field"),
    ],
    ids=["unknown", "sign", "nan", "other lens", "sizes", "toml", "swapped gains", "lost gains"],
)
def test_a_changed_file_is_refused_with_the_remedy(folder: Path, harm: Callable[[Path], None], words: str) -> None:
    harm(folder)
    with pytest.raises(ConfigError, match=words):
        load_optics(folder)


def test_a_flat_field_of_another_size_is_refused_before_anything_is_written(folder: Path) -> None:
    before = {p.name: p.read_bytes() for p in folder.iterdir()}
    with pytest.raises(ConfigError, match=r"several sizes.*calibrate anew"):
        keep_flat_field(folder, a_flat_field(size=(100, 100)))
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == before


def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(ConfigError, match="cannot be written"):
        keep_board(tmp_path / "file" / "ST01", Board())


def test_the_board_comes_back(tmp_path: Path) -> None:
    board = Board(columns=7, rows=5, square_mm=19.94, marker_mm=14.955)
    keep_board(tmp_path, board)
    assert load_board(tmp_path) == board
    with pytest.raises(ConfigError, match="run 'station calibrate board'"):
        load_board(tmp_path / "elsewhere")


def test_the_baseline_comes_back_with_its_picture(tmp_path: Path) -> None:
    from hashlib import sha256

    image = picture(3, width=320, height=240)
    made = make_baseline(
        image,
        made_at=datetime(2026, 1, 1, 6, 30, 15, 123456, tzinfo=UTC),
        picture_sha256=sha256(encoded(image)).hexdigest(),
        optics_sha256="a" * 64,
        board=None,
    )
    keep_baseline(tmp_path, made)
    back = load_baseline(tmp_path)
    assert back.record == made.record
    assert back.record.sha256 == made.record.sha256
    np.testing.assert_array_equal(back.picture, image)
    (tmp_path / "baseline.png").write_bytes(encoded(picture(4, width=320, height=240)))
    with pytest.raises(ConfigError, match="not the file that was written"):
        load_baseline(tmp_path)
