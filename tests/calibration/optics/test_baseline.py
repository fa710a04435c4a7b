"""Does the check say what changed at the camera, and stay quiet where nothing did?"""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime

import cv2
import numpy as np
import pytest

from station.calibration.optics.baseline import Baseline, make_baseline
from station.calibration.optics.board import Board
from station.calibration.optics.exposure import Windows, look_of
from station.core.errors import DataRefused, ImageFault
from station.core.part import BgrImage
from tests.calibration.rendered import BELT, BOARD, CAMERA, KnownCamera, Pose, charuco_texture, render

TARGET = Board(columns=BOARD[0], rows=BOARD[1], square_mm=BOARD[2], marker_mm=BOARD[3])
NOW = datetime(2026, 1, 1, 6, tzinfo=UTC)


def seen(
    camera: KnownCamera = CAMERA,
    *,
    seed: int = 0,
    light: float = 0.85,
    tint: tuple[float, float, float] = (1.0, 1.0, 1.0),
    turn: float = 0.0,
    tilt: float = 0.0,
    dx_mm: float = 0.0,
    nearer: float = 0.0,
) -> BgrImage:
    """The board as the target, changed in one way."""
    x, y, z = BELT.at
    pose = Pose(BELT.tilt_x + tilt, BELT.tilt_y, BELT.turn + turn, (x + dx_mm, y, z * (1 - nearer)), middle=BELT.middle)
    return render(camera, charuco_texture(*BOARD), pose, seed=seed, light=np.full((480, 640), light), tint=tint)


def made(picture: BgrImage, board: Board | None) -> Baseline:
    return make_baseline(picture, made_at=NOW, picture_sha256="0" * 64, optics_sha256=None, board=board)


@pytest.fixture(scope="module")
def by_board() -> Baseline:
    return made(seen(), TARGET)


def test_the_board_is_taken_as_the_target_where_it_is_seen(by_board: Baseline) -> None:
    assert by_board.record.board == TARGET
    other = cv2.resize(np.random.default_rng(0).integers(40, 200, (24, 32, 3), dtype=np.uint8), (640, 480))
    assert made(np.asarray(other, np.uint8), TARGET).record.board is None


def test_an_unchanged_camera_is_good(by_board: Baseline) -> None:
    assert by_board.compare(by_board.picture) == []
    for seed in (1, 2):
        assert by_board.compare(seen(seed=seed)) == []
    assert by_board.compare(seen(seed=3, dx_mm=0.05, turn=0.1, light=0.87)) == []


CHANGES = [
    (seen(seed=9, dx_mm=0.25), ["lies 5.* right"]),
    (seen(seed=9, turn=1.0), [r"turned by [+-]1\.0\d degrees"]),
    (seen(seed=9, nearer=0.01), [r"1\.\d\d % larger.*calibrate scale"]),
    (seen(seed=9, nearer=-0.01), [r"(0\.9|1\.0)\d % smaller"]),
    (seen(replace(CAMERA, blur_px=1.5), seed=9), ["sharpness -.*check focus"]),
    (seen(seed=9, light=0.72), ["brightness -1.*check lamp"]),
    (seen(seed=9, tint=(0.9, 1.0, 1.0)), ["blue against green -1.*check lamp"]),
    (seen(seed=9, tint=(1.0, 1.0, 1.07)), [r"red against green \+.*white balance"]),
]
NAMES = ["moved", "turned", "nearer", "further", "blurred", "dim", "blue", "red"]


@pytest.mark.parametrize(("now", "words"), CHANGES, ids=NAMES)
def test_each_change_is_named_with_its_remedy_and_nothing_else(
    by_board: Baseline, now: BgrImage, words: list[str]
) -> None:
    found = by_board.compare(now)
    assert len(found) == len(words), found
    for words_found, wanted in zip(found, words, strict=True):
        assert re.search(wanted, words_found), words_found


def test_a_tilted_camera_is_named(by_board: Baseline) -> None:
    assert any("tilted" in words for words in by_board.compare(seen(seed=9, tilt=6.0)))


def test_too_bright_a_picture_is_named(by_board: Baseline) -> None:
    found = by_board.compare(seen(seed=9, light=1.3))
    assert any("at 255" in words for words in found)
    assert any("brightness" in words for words in found)


@pytest.mark.parametrize("board", [TARGET, None])
def test_a_target_that_is_away_is_named_whatever_it_is(board: Board | None) -> None:
    baseline = made(seen(), board)
    empty = np.full((480, 640, 3), 120, np.uint8)
    assert any("the target is not found" in words for words in baseline.compare(empty))


def test_any_other_target_is_compared_by_registration() -> None:
    baseline = made(seen(), None)
    assert baseline.record.board is None
    assert baseline.compare(seen(seed=5)) == []
    assert any("px from where it was" in words for words in baseline.compare(seen(seed=5, dx_mm=0.4)))
    assert any("% larger" in words for words in baseline.compare(seen(seed=5, nearer=0.02)))


def test_the_windows_are_the_stations(by_board: Baseline) -> None:
    wide = replace(by_board, record=by_board.record.model_copy(update={"windows": Windows(position_px=10.0)}))
    now = seen(seed=9, dx_mm=0.25)
    assert by_board.compare(now) != []
    assert wide.compare(now) == []


def test_a_picture_of_another_size_or_none_at_all(by_board: Baseline) -> None:
    assert "had 640 x 480: set the camera back" in by_board.compare(np.zeros((480, 600, 3), np.uint8))[0]
    with pytest.raises(ImageFault):
        by_board.compare(np.zeros((480, 640), np.uint8))


@pytest.mark.parametrize("grey", [0, 128, 255])
def test_a_picture_that_shows_nothing_is_no_baseline(grey: int) -> None:
    with pytest.raises(DataRefused, match="cannot be a baseline"):
        made(np.full((480, 640, 3), grey, np.uint8), TARGET)


def test_a_dimmer_lamp_does_not_look_like_a_soft_lens() -> None:
    bright, dim = look_of(seen(light=0.9)), look_of(seen(light=0.6))
    assert dim.sharpness == pytest.approx(bright.sharpness, rel=0.05)
    soft = look_of(seen(replace(CAMERA, blur_px=1.5)))
    assert soft.sharpness < 0.75 * bright.sharpness
