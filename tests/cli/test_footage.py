"""Do the footage commands do what their help says, in words for people and JSON for machines?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import pytest
from typer.testing import CliRunner

from station.cli import app
from station.cli.printing import out
from station.core.errors import DataRefused, StationError
from tests.footage.builders import save
from tests.test_replay import picture

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A station's folder with twelve labelled tiles."""
    (tmp_path / "station.toml").write_text(
        f'recipes = "{ROOT / "calibration" / "recipes"}"\nmodels = "{ROOT / "models"}"\n'
    )
    rows = ["image,part,label"]
    for n in range(12):
        image = picture(n, 96, 96)
        if n % 2:
            cv2.line(image, (20, 30), (70, 80), (5, 5, 5), 3)
        save(tmp_path / "tiles" / f"{n}.png", image)
        rows.append(f"{n}.png,t-{n},{'crack' if n % 2 else 'ok'}")
    (tmp_path / "tiles" / "index.csv").write_text("\n".join(rows) + "\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def said(*arguments: str) -> str:
    done = CliRunner().invoke(app, list(arguments), env={"COLUMNS": "200"})
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output
    return " ".join(done.output.split())


def told(*arguments: str) -> dict[str, Any]:
    """The JSON that a command writes, and that standard output holds nothing else."""
    done = CliRunner().invoke(app, [*arguments, "--json", "-"], env={"COLUMNS": "200"})
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = json.loads(done.stdout)
    assert done.stderr.strip(), "people still read it, on standard error"
    return found


def test_the_whole_way_from_import_to_tuned_limits(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(out, "_width", 200)  # so that no sentence is broken
    assert "index.csv: 12 parts added to footage/tiles; 12 are labelled" in said(
        "footage", "import", "tiles", "--name", "tiles"
    )
    assert told("footage", "import", "tiles", "--name", "tiles")["there"] == 12
    assert [f["name"] for f in told("footage", "list")["footage"]] == ["tiles"]
    assert "6 good, 6 defective (crack 6)" in said("footage", "show", "tiles")
    assert told("footage", "show", "tiles", "--check")["faults"] == []
    assert told("footage", "split", "tiles", "--sealed", "0.5")["split"]["sealed"]["parts"] == 6
    first = told("replay", "tiles", "--recipe", "magnetic-tile")
    assert first["summary"]["parts"] == 12, "a folder of that name is taken before the footage"
    first = told("replay", "footage/tiles", "--recipe", "magnetic-tile")
    assert (first["summary"]["inspected"], first["summary"]["from_cache"]) == (12, 0)
    again = told("replay", "footage/tiles", "--recipe", "magnetic-tile", "--jobs", "1")
    assert (again["summary"]["inspected"], again["parts"]) == (0, first["parts"])
    assert "12 kept from before, 0 inspected now" in said("replay", "footage/tiles", "--recipe", "magnetic-tile")
    changed = told("diff", "tiles", "--recipe", "magnetic-tile", "--limit", "crack=0.0:0.0")
    assert changed["review_load"]["after"]["count"] == 12
    assert "review load" in said("diff", "tiles", "--recipe", "magnetic-tile", "--limit", "crack=0.0:0.0")
    found = told("tune", "tiles", "--recipe", "magnetic-tile", "--miss", "0.01", "--confidence", "0.95")
    assert found["certificate"]["looks"] == 1
    assert "+296 defective parts for 1 %" in found["missing"][0]
    words = said("tune", "tiles", "--recipe", "magnetic-tile")
    assert "WARNING" in words
    assert "+296 defective parts for 1 %" in words
    assert told("footage", "show", "tiles")["looks"] == 1
    assert "looks at the sealed set │ 1" in said("footage", "show", "tiles")


def test_marks_are_written_and_disputes_are_shown(workplace: Path) -> None:
    said("footage", "import", "tiles", "--name", "tiles", "--person", "mia")
    words = said("footage", "mark", "tiles", "0.png", "crack", "--person", "joe", "--box", "crack:1,2,30,40")
    assert "is disputed" in words
    assert "import:tiles: ok, joe: crack" in words
    assert "0.png: import:tiles says ok, joe says crack" in said("footage", "show", "tiles")
    assert told("footage", "show", "tiles")["disputed"] == 1
    assert "0.png: crack" in said(
        "footage", "mark", "tiles", "0.png", "crack", "--person", "joe", "--settle", "--note", "seen in the microscope"
    )
    assert told("footage", "show", "tiles")["disputed"] == 0
    with pytest.raises(DataRefused, match="'rust' is no truth here"):
        said("footage", "mark", "tiles", "0.png", "rust", "--person", "joe", "--recipe", "magnetic-tile")
    with pytest.raises(DataRefused, match="is no box"):
        said("footage", "mark", "tiles", "0.png", "crack", "--person", "joe", "--box", "crack:1,2")


def test_a_changed_picture_fails_the_check(workplace: Path) -> None:
    said("footage", "import", "tiles", "--name", "tiles")
    save(workplace / "footage" / "tiles" / "pictures" / "3.png", picture(50))
    with pytest.raises(StationError, match=r"1 pictures are not what they were: 3\.png: changed"):
        said("footage", "show", "tiles", "--check")


def test_footage_that_is_damaged_is_listed_with_the_reason(workplace: Path) -> None:
    said("footage", "import", "tiles", "--name", "tiles")
    (workplace / "footage" / "tiles" / "parts.jsonl").write_text("x\ny\n")
    assert "line 1 of" in told("footage", "list")["footage"][0]["refused"]
    assert "line 1 of" in said("footage", "list")
    with pytest.raises(DataRefused, match=r"no footage in footage.nothing \(there: tiles\)"):
        said("diff", "nothing", "--recipe", "magnetic-tile", "--limit", "crack=0.1")


def test_the_line_records_what_it_sees(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STATION_EXCHANGE__PORT", "0")
    monkeypatch.setenv("STATION_STORE__FREE_DISK_MB", "0")
    (workplace / "some").mkdir()
    for n in range(2):
        save(workplace / "some" / f"{n}.png", picture(n, 96, 96))
    text = (ROOT / "calibration" / "recipes" / "magnetic-tile.toml").read_text()
    (workplace / "recipes").mkdir()
    for kind in ("pass_below = 0.45", "fail_above = 0.95"):
        text = text.replace(kind, kind.split("=")[0] + "= 1.0")  # nothing is held, so the run ends by itself
    (workplace / "recipes" / "magnetic-tile.toml").write_text(
        text.replace("[hold]", "[review]\naudit_fraction = 0.0\n\n[hold]")
    )
    monkeypatch.setenv("STATION_RECIPES", str(workplace / "recipes"))
    said("run", "--recipe", "magnetic-tile", "--source", "some", "--record", "morning")
    shown = told("footage", "show", "morning", "--check")
    assert (shown["kind"], shown["parts"], shown["recipe"], shown["faults"]) == ("recorded", 2, "magnetic-tile", [])
    replayed = told("replay", "morning", "--recipe", "magnetic-tile")
    assert replayed["summary"]["as_live"] == {"recorded": 2, "compared": 2, "differ": 0, "differ_keys": []}
