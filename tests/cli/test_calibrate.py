"""Does 'station calibrate' lead from a printed board to a camera that is measured and checked?"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner, Result

from station.cli import app
from station.core.errors import UsageError
from tests.calibration.rendered import (
    BELT,
    BOARD,
    CAMERA,
    board_views,
    charuco_texture,
    exposed,
    fall_off,
    render,
)

ROOT = Path(__file__).resolve().parents[2]
Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "300")
    (tmp_path / "station.toml").write_text('station = "L4"\ncheck_hours = 8\n')

    def command(*words: str) -> Result:
        return CliRunner().invoke(app, ["calibrate", *words])

    return command


def save(name: str, image: object) -> str:
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(name, image)  # type: ignore[call-overload]
    return name


def good(done: Result) -> Result:
    assert done.exit_code == 0, (done.output, done.exception)
    return done


def test_from_the_board_to_the_check(run: Run) -> None:
    place = Path("calibration/stations/L4")
    squares = f"{BOARD[0]}x{BOARD[1]}"
    done = good(run("board", "--squares", squares, "--square-mm", str(BOARD[2]), "--paper", "a5"))
    assert "print it at 100 %" in done.output
    assert (place / "board.pdf").read_bytes().startswith(b"%PDF")

    for n, view in enumerate(board_views()):
        save(f"views/{n}.png", view)
    done = good(run("optics", "views", "--json", "lens.json"))
    lens = json.loads(Path("lens.json").read_text())
    assert lens["rms_px"] <= 0.1
    assert lens["views"] == len(lens["views_rms_px"]) == 10
    assert "station calibrate scale" in done.output
    assert (place / "residuals.png").is_file()

    belt = save("belt.png", render(CAMERA, charuco_texture(*BOARD), BELT, seed=99))
    done = good(run("scale", belt, "--json", "-"))
    assert json.loads(done.stdout)["scale_error_percent"] < 0.2
    assert "mm per pixel in the middle" in done.stderr

    light = fall_off(CAMERA, 0.7)
    for n in range(5):
        save(f"empty/{n}.png", exposed(CAMERA, np.full((480, 640), 200.0), seed=n, light=light))
    done = good(run("flat-field", "empty", "--json", "-"))
    assert json.loads(done.stdout)["dimmest"] == pytest.approx(0.7, abs=0.02)
    assert "dimmest place 7" in done.stderr

    done = good(run("baseline", belt))
    assert "target: the printed board" in done.output
    assert "of the last 8 h" in done.output
    done = good(run("check", belt, "--json", "-"))
    assert json.loads(done.stdout)["good"] is True
    moved = save("moved.png", np.roll(cv2.imread(belt), 6, axis=1))
    done = run("check", moved, "--json", "-")
    assert done.exit_code == 1
    found = json.loads(done.stdout)
    assert found["good"] is False
    assert found["words"][0].startswith("the target lies ")
    assert "every part is held" in done.stderr
    assert json.loads((place / "check.json").read_text()) == found


def test_a_reference_for_a_recipe(run: Run) -> None:
    recipes = Path("calibration/recipes")
    recipes.mkdir(parents=True)
    shutil.copy(ROOT / "calibration" / "recipes" / "bolt.toml", recipes)
    shutil.copy(ROOT / "calibration" / "recipes" / "demo-disc.jpg", "disc.jpg")
    done = good(run("reference", "disc.jpg", "--recipe", "bolt"))
    assert "is the reference of recipe bolt" in done.output
    assert 'reference = "bolt.reference.png"' in (recipes / "bolt.toml").read_text()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("board", "--squares", "12"), "write them as 12x9"),
        (("board", "--squares", "2x2"), "no such board"),
        (("board", "--marker-mm", "19.9"), "no such board.*larger ones touch"),
        (("board", "--paper", "a9"), "no paper"),
        (("board", "--square-mm", "100"), "do not fit"),
        (("optics",), "run 'station calibrate board'"),
        (("scale", "x.png", "--source", "0"), "not both"),
        (("scale", "--source", "simulator"), "is no camera"),
        (("flat-field",), "name pictures, or give --source"),
        (("check",), "run 'station calibrate baseline'"),
        (("reference", "x.png", "--recipe", "bolt", "--region", "1,2,3"), "write x0,y0,x1,y1"),
        (("reference", "x.png", "--recipe", "bolt", "--region", "9,2,3,4"), "write x0,y0,x1,y1"),
    ],
)
def test_what_is_wrong_is_said_with_the_remedy(run: Run, words: tuple[str, ...], said: str) -> None:
    done = run(*words)
    assert done.exit_code != 0
    assert isinstance(done.exception, UsageError)
    assert re.search(said, str(done.exception)), str(done.exception)
