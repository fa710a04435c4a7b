"""Is automatic release blocked wherever the camera's check does not clear it?"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from station.calibration.optics.baseline import BaselineRecord
from station.calibration.optics.exposure import Look
from station.calibration.optics.record import write_record
from station.calibration.optics.standing import BASELINE, CHECK, PICTURE, Check, Standing, keep_check, why_blocked
from station.core.timing import ManualClock

NOW = datetime(2026, 1, 2, 6, tzinfo=UTC)
LOOK = Look(sharpness=0.1, brightness=120, saturated=0, blue=1, red=1)
RECORD = BaselineRecord(made_at=NOW, picture_sha256="0" * 64, optics_sha256="a" * 64, look=LOOK)


def good(*, at: datetime = NOW, **how: object) -> Check:
    check = Check(at=at, good=True, baseline_sha256=RECORD.sha256, optics_sha256="a" * 64)
    return check.model_copy(update=how)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A station that was checked and is good."""
    write_record(tmp_path / BASELINE, RECORD, heading="baseline")
    (tmp_path / PICTURE).write_bytes(b"picture")
    keep_check(tmp_path, good())
    return tmp_path


def ask(folder: Path, *, now: datetime = NOW, optics: str | None = "a" * 64) -> str | None:
    return why_blocked(folder, optics_sha256=optics, now=now, hours=12)


def test_a_station_without_a_baseline_is_never_blocked(tmp_path: Path) -> None:
    assert ask(tmp_path) is None
    assert ask(tmp_path / "not there") is None


def test_a_good_check_clears_for_so_long_and_no_longer(folder: Path) -> None:
    assert ask(folder) is None
    assert ask(folder, now=NOW + timedelta(hours=12)) is None
    words = ask(folder, now=NOW + timedelta(hours=12, seconds=1))
    assert words is not None
    assert "last checked at 2026-01-02 06:00 UTC" in words
    assert "station calibrate check" in words


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (lambda f: (f / CHECK).unlink(), "was not checked yet"),
        (lambda f: (f / CHECK).write_text('{"good": true}'), "cannot be read"),
        (lambda f: (f / CHECK).write_text(""), "cannot be read"),
        (lambda f: keep_check(f, good(good=False, words=("sharpness -40 %",))), r"is out since .*sharpness -40 %"),
        (lambda f: keep_check(f, good(at=NOW + timedelta(hours=1))), "lies in the future"),
        (lambda f: keep_check(f, good(at=datetime(2026, 1, 2, 6))), "lies in the future"),  # noqa: DTZ001
        (lambda f: keep_check(f, good(baseline_sha256="b" * 64)), "baseline or the calibration changed"),
        (lambda f: keep_check(f, good(optics_sha256=None)), "baseline or the calibration changed"),
        (lambda f: (f / BASELINE).unlink(), "is gone: run 'station calibrate baseline'"),
        (lambda f: (f / BASELINE).write_text("no = 1"), "run 'station calibrate baseline' again"),
    ],
)
def test_whatever_does_not_clear_blocks_with_the_remedy(
    folder: Path, harm: Callable[[Path], object], words: str
) -> None:
    harm(folder)
    found = ask(folder)
    assert found is not None
    assert re.search(words, found), found


def test_another_calibration_than_the_baselines_blocks(folder: Path) -> None:
    for optics in (None, "b" * 64):
        words = ask(folder, optics=optics)
        assert words is not None
        assert "not the one of its baseline" in words


def test_windows_changed_by_hand_ask_for_a_new_check(folder: Path) -> None:
    path = folder / BASELINE
    path.write_text(path.read_text().replace("position_px = 3.0", "position_px = 5.0"))
    words = ask(folder)
    assert words is not None
    assert "changed since the camera was checked" in words


def test_while_the_station_runs_a_check_ages_and_a_new_one_clears(folder: Path) -> None:
    clock = ManualClock(NOW)
    standing = Standing(folder, optics_sha256="a" * 64, hours=12, clock=clock)
    assert standing() is None
    clock.wait(12 * 3600 + 2)
    assert "last checked" in (standing() or "")
    keep_check(folder, good(at=clock.now()))
    clock.wait(2)
    assert standing() is None
    keep_check(folder, good(at=clock.now(), good=False, words=("it moved",)))
    clock.wait(2)
    assert "it moved" in (standing() or "")


def test_it_is_looked_up_once_a_second_not_at_every_frame(folder: Path) -> None:
    clock, asked = ManualClock(NOW), []

    def look(place: Path, **_: object) -> str | None:
        asked.append(place)
        return "blocked"

    standing = Standing(folder, optics_sha256=None, hours=12, clock=clock, look=look)
    for _ in range(100):
        assert standing() == "blocked"
        clock.wait(0.02)
    assert len(asked) == 2
