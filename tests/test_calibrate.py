"""Are the steps of a calibration carried out from pictures or a live camera to files, and in force afterwards?"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import cv2
import numpy as np
import pytest

from station.calibrate import (
    Shot,
    calibrate_flat_field,
    calibrate_optics,
    calibrate_scale,
    check_camera,
    make_reference,
    print_board,
    shots,
    take_baseline,
)
from station.calibration.optics.board import Board
from station.calibration.optics.files import keep_board, keep_flat_field, load_board, load_optics
from station.calibration.optics.flat_field import FlatFieldFit
from station.calibration.optics.standing import why_blocked
from station.calibration.registration import register
from station.config import CameraSource, StationConfig
from station.core.errors import ConfigError, DataRefused
from station.core.part import BgrImage, Box
from station.core.timing import ManualClock, SystemClock
from station.recipe import load_recipe
from tests.calibration.rendered import BOARD, board_views

NOW = datetime(2026, 1, 1, 6, tzinfo=UTC)
RECIPE = """# What a comment says stays.
name = "disc"
title = "Disc"  # as people say

[[classes]]
name = "scratch"
title = "Scratch"
pass_below = 0.3
fail_above = 0.7
"""


def taken(*images: BgrImage) -> Iterator[Shot]:
    return iter([Shot(f"shot {n}", image, NOW) for n, image in enumerate(images)])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "stations" / "ST01"
    keep_board(folder, Board(columns=BOARD[0], rows=BOARD[1], square_mm=BOARD[2], marker_mm=BOARD[3]))
    return folder


@pytest.fixture
def config(tmp_path: Path, folder: Path) -> StationConfig:
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "disc.toml").write_text(RECIPE)
    return StationConfig(calibration=tmp_path, recipes=tmp_path / "recipes")


def test_the_folder_is_that_of_the_station(config: StationConfig, folder: Path) -> None:
    assert config.optics_folder == folder


def test_a_board_is_kept_as_it_came_out_of_the_printer(tmp_path: Path) -> None:
    path = print_board(tmp_path, Board(), paper="a4", printed_mm=99.5)
    assert path.read_bytes().startswith(b"%PDF")
    assert load_board(tmp_path).square_mm == pytest.approx(19.9)
    with pytest.raises(DataRefused, match="print again at 100 %"):
        print_board(tmp_path, Board(), paper="a4", printed_mm=94.0)


def test_from_a_camera_views_are_taken_where_the_board_is_still_and_new(folder: Path) -> None:
    """Each view stands for two frames, the first comes again; between two views the board moves."""
    views = board_views()
    frames = [image for view in (views[0], *views) for image in (view, view)]
    counted: list[int] = []
    fit = calibrate_optics(
        folder, taken(*frames), live=True, views=8, seconds=60, clock=ManualClock(), progress=counted.append
    )
    assert counted == list(range(1, 9))
    assert fit.lens.views == 8
    assert list(fit.rms_px) == ["shot 1", *(f"shot {2 * n + 1}" for n in range(2, 9))]
    optics = load_optics(folder)
    assert optics is not None
    assert optics.record.lens == fit.lens
    assert (folder / "residuals.png").is_file()


def test_from_a_camera_a_moving_board_is_no_view(folder: Path) -> None:
    with pytest.raises(DataRefused, match="only 0 views"):
        calibrate_optics(folder, taken(*board_views()[:3]), live=True, views=9, seconds=60, clock=ManualClock())
    assert load_optics(folder) is None


def test_the_time_for_views_ends(folder: Path) -> None:
    clock = ManualClock()

    def slow() -> Iterator[Shot]:
        while True:
            clock.wait(10)
            yield Shot("empty", np.full((480, 640, 3), 90, np.uint8), NOW)

    with pytest.raises(DataRefused, match="only 0 views"):
        calibrate_optics(folder, slow(), live=True, views=9, seconds=60, clock=clock)
    assert clock.monotonic() <= 80


def test_pictures_of_two_sizes_are_refused(folder: Path) -> None:
    mixed = taken(board_views()[0], np.zeros((240, 320, 3), np.uint8))
    with pytest.raises(DataRefused, match="shot 1 has 320 x 240 pixels"):
        calibrate_optics(folder, mixed, live=False, views=9, seconds=60, clock=ManualClock())


def test_what_was_refused_leaves_what_was_in_force(folder: Path) -> None:
    even = np.full((480, 640, 3), 200, np.uint8)
    calibrate_flat_field(folder, taken(*[even] * 9), frames=5, neutral=True)
    before = load_optics(folder)
    assert before is not None
    assert before.record.flat_field is not None
    assert before.record.flat_field.frames == 5
    for refused in (
        lambda: calibrate_flat_field(folder, taken(*[even * 0] * 5), frames=5, neutral=True),
        lambda: calibrate_scale(folder, taken(even), above_mm=0.0),
        lambda: calibrate_scale(folder, taken(), above_mm=0.0),
    ):
        with pytest.raises(DataRefused):
            refused()
    after = load_optics(folder)
    assert after is not None
    assert after.sha256 == before.sha256


def test_baseline_and_check_see_the_corrected_picture(folder: Path) -> None:
    """A flat field that lifts one side: compared raw against corrected, the colours and the light would be out."""
    gains = np.ones((12, 16, 3), np.float32)
    gains[..., 0] = 1.3
    keep_flat_field(folder, FlatFieldFit(gains, 5, 1.0, True, (1.3, 1.0, 1.0), (640, 480)))
    target = board_views()[0] // 2
    baseline = take_baseline(folder, taken(target))
    assert baseline.record.look.blue == pytest.approx(1.3, abs=0.03)
    optics = load_optics(folder)
    assert optics is not None
    assert baseline.record.optics_sha256 == optics.sha256
    check = check_camera(folder, taken(target))
    assert check.good, check.words
    assert why_blocked(folder, optics_sha256=optics.sha256, now=NOW, hours=12) is None


def test_a_bad_check_is_kept_and_blocks(folder: Path) -> None:
    take_baseline(folder, taken(board_views()[0]))
    assert "not checked yet" in (why_blocked(folder, optics_sha256=None, now=NOW, hours=12) or "")
    check = check_camera(folder, taken(board_views()[1]))
    assert not check.good
    assert "camera is out" in (why_blocked(folder, optics_sha256=None, now=NOW, hours=12) or "")
    assert check_camera(folder, taken(board_views()[0])).good
    assert why_blocked(folder, optics_sha256=None, now=NOW, hours=12) is None
    assert not check_camera(folder, taken(np.zeros((100, 100, 3), np.uint8))).good


def test_after_a_new_calibration_the_old_baseline_does_not_clear(folder: Path) -> None:
    take_baseline(folder, taken(board_views()[0]))
    assert check_camera(folder, taken(board_views()[0])).good
    calibrate_flat_field(folder, taken(*[np.full((480, 640, 3), 200, np.uint8)] * 5), frames=5, neutral=True)
    optics = load_optics(folder)
    assert optics is not None
    assert why_blocked(folder, optics_sha256=optics.sha256, now=NOW, hours=12) is not None
    check = check_camera(folder, taken(board_views()[0]))
    assert check.words == (
        "the calibration changed since the baseline was taken: run 'station calibrate baseline' first",
    )


def part_picture() -> BgrImage:
    rng = np.random.default_rng(4)
    image = np.full((300, 400, 3), 70, np.uint8)
    for _ in range(14):
        x, y = int(rng.integers(100, 270)), int(rng.integers(70, 200))
        cv2.rectangle(image, (x, y), (x + 30, y + 20), [int(v) for v in rng.integers(0, 255, 3)], -1)
    return image


def test_a_reference_is_cut_out_and_named_in_the_recipe(config: StationConfig) -> None:
    region = Box(60, 40, 340, 260)
    path = make_reference(config, "disc", taken(part_picture()), region=region, raw=False)
    assert path == config.recipes / "disc.reference.png"
    cut = cv2.imread(str(path))
    assert cut is not None
    np.testing.assert_array_equal(cut, part_picture()[40:260, 60:340])
    assert register(np.asarray(cut, np.uint8), np.asarray(cut, np.uint8)).good
    assert load_recipe("disc", config.recipes).reference == path.name
    text = (config.recipes / "disc.toml").read_text()
    assert text == RECIPE.replace("say\n", 'say\nreference = "disc.reference.png"\n')
    make_reference(config, "disc", taken(part_picture()), region=None, raw=False)
    assert (config.recipes / "disc.toml").read_text() == text


def test_a_raw_reference_is_corrected_first(config: StationConfig, folder: Path) -> None:
    gains = np.full((12, 16, 3), 1.5, np.float32)
    keep_flat_field(folder, FlatFieldFit(gains, 5, 1.0, True, (1.0, 1.0, 1.0), (400, 300)))
    path = make_reference(config, "disc", taken(part_picture()), region=None, raw=True)
    seen = cv2.imread(str(path))
    assert seen is not None
    assert int(seen[5, 5, 0]) == 105


@pytest.mark.parametrize(
    ("image", "region", "words"),
    [
        (part_picture(), Box(60, 40, 401, 260), "does not lie inside the picture of 400 x 300"),
        (np.full((300, 400, 3), 90, np.uint8), None, "could not be laid over this picture"),
    ],
)
def test_a_reference_that_is_none_is_refused_and_the_recipe_left(
    config: StationConfig, image: BgrImage, region: Box | None, words: str
) -> None:
    with pytest.raises(DataRefused, match=words):
        make_reference(config, "disc", taken(image), region=region, raw=False)
    assert (config.recipes / "disc.toml").read_text() == RECIPE
    with pytest.raises(ConfigError, match="no recipe 'bolt'"):
        make_reference(config, "bolt", taken(part_picture()), region=None, raw=False)


def test_pictures_come_from_files_and_folders_with_the_time_they_were_taken(tmp_path: Path) -> None:
    views = tmp_path / "views"
    views.mkdir()
    for name, grey in (("b.png", 20), ("a.png", 10), ("c.png", 30)):
        cv2.imwrite(str(views / name), np.full((16, 16, 3), grey, np.uint8))
    (views / "note.txt").write_text("no picture")
    os.utime(views / "a.png", (1_700_000_000, 1_700_000_000))
    found = list(shots([views, views / "b.png"], StationConfig(), None, clock=ManualClock()))
    assert [(shot.name, int(shot.image[0, 0, 0])) for shot in found] == [
        ("a.png", 10),
        ("b.png", 20),
        ("c.png", 30),
        ("b.png", 20),
    ]
    assert found[0].at == datetime.fromtimestamp(1_700_000_000, UTC)


@pytest.mark.parametrize(
    ("name", "words"),
    [("no.png", "cannot be read: No such file"), ("note.txt", "is no picture"), ("empty", "holds no pictures")],
)
def test_what_is_no_picture_is_refused(tmp_path: Path, name: str, words: str) -> None:
    (tmp_path / "note.txt").write_text("no picture")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataRefused, match=words):
        list(shots([tmp_path / name], StationConfig(), None, clock=ManualClock()))


def test_without_pictures_a_camera_is_needed() -> None:
    with pytest.raises(ConfigError, match="name pictures, or give --source"):
        next(shots([], StationConfig(), None, clock=ManualClock()))


def test_a_camera_gives_pictures_until_it_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "camera.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 30.0, (64, 48))
    for n in range(30):
        writer.write(np.full((48, 64, 3), 100 + n, np.uint8))
    writer.release()
    config = StationConfig(source=CameraSource(address=str(path)))
    with closing(shots([], config, None, clock=SystemClock())) as frames:
        one, other = next(frames), next(frames)
    assert one.image.shape == other.image.shape == (48, 64, 3)
    assert one.name != other.name


def test_a_camera_that_gives_nothing_is_given_up_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("station.calibrate.PATIENCE_S", 0.0)
    camera = CameraSource(address="/dev/no-such-camera")
    frames = shots([], StationConfig(), camera, clock=SystemClock())
    with closing(frames), pytest.raises(DataRefused, match="no-such-camera"):
        next(frames)
