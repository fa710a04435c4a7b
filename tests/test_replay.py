"""What does ``station replay`` say of footage, good and broken?"""

from __future__ import annotations

import json
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from station.cli import app
from station.config import StationConfig, load_config
from station.replay import replay
from station.store import books, queries
from station.store.database import open_reader

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def config() -> StationConfig:
    return load_config(None, recipes=ROOT / "calibration" / "recipes", models=ROOT / "models")


def picture(seed: int, width: int = 200, height: int = 240) -> np.ndarray:
    rng = np.random.default_rng(seed)
    grey = cv2.GaussianBlur(rng.integers(60, 180, (height, width), dtype=np.uint8), (0, 0), 2)
    return cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR)


def bomb(path: Path, side: int = 60_000) -> None:
    """A small PNG that says it is 60,000 pixels wide and high."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    rows = zlib.compress(bytes(1_000_000))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b""))


@pytest.fixture
def footage(tmp_path: Path) -> Path:
    """Three good pictures and one of every kind of trouble."""
    folder = tmp_path / "footage"
    folder.mkdir()
    for n in range(3):
        cv2.imwrite(str(folder / f"good_{n}.jpg"), picture(n))
    whole = (folder / "good_0.jpg").read_bytes()
    (folder / "bad_empty.jpg").write_bytes(b"")
    (folder / "bad_cut.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "bad_words.jpg").write_text("this is no picture")
    (folder / "bad_notes.txt").write_text("nor is this")
    cv2.imwrite(str(folder / "bad_deep.png"), np.full((200, 200), 30_000, np.uint16))
    cv2.imwrite(str(folder / "bad_black.png"), np.zeros((200, 200, 3), np.uint8))
    bomb(folder / "bad_bomb.png")
    return folder


@pytest.mark.parametrize("recipe", ["bolt", "magnetic-tile", "demo-disc"])
def test_every_broken_file_is_undefined_with_its_reason_and_the_rest_goes_on(
    recipe: str, footage: Path, config: StationConfig
) -> None:
    result = replay(footage, config, recipe)
    by_name = {p.source: p for p in result.parts}
    assert len(result.parts) == len(by_name) == 10
    for name, part in by_name.items():
        if name.startswith("bad"):
            assert part.verdict == "UNDEFINED", name
            assert part.score is None
            assert len(part.reason) > 15, name
        else:
            assert part.verdict != "UNDEFINED", f"{name}: {part.reason}"
    assert "60000" in by_name["bad_bomb.png"].reason.replace(",", "").replace(" ", "").replace("_", "")


def test_a_recipe_without_a_model_sends_every_part_to_review(footage: Path, config: StationConfig) -> None:
    good = [p for p in replay(footage, config, "bolt").parts if p.source.startswith("good")]
    assert {p.verdict for p in good} == {"NOT_DECIDABLE"}
    assert all("no model" in p.reason and p.score is None for p in good)


def test_replay_is_repeatable_to_the_bit(footage: Path, config: StationConfig) -> None:
    first, second = (replay(footage, config, "magnetic-tile") for _ in range(2))
    assert [p.scores for p in first.parts] == [p.scores for p in second.parts]
    assert [p.boxes for p in first.parts] == [p.boxes for p in second.parts]


def test_the_ledger_is_kept_where_asked(footage: Path, config: StationConfig, tmp_path: Path) -> None:
    database = tmp_path / "kept" / "tiles.db"
    result = replay(footage, config, "bolt", database=database)
    reader = open_reader(database)
    try:
        assert books.faults_in_books(reader) == []
        assert queries.balance(reader).triggered == len(result.parts)
    finally:
        reader.dispose()


def test_command_line_writes_the_promised_json(footage: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    target = tmp_path / "out.json"
    done = CliRunner().invoke(app, ["replay", str(footage), "--recipe", "magnetic-tile", "--json", str(target)])
    assert done.exit_code == 0, done.output
    data = json.loads(target.read_text())
    assert set(data) == {"parts", "summary"}
    for part in data["parts"]:
        assert {"source", "part_id", "verdict", "reason", "score", "scores", "boxes"} <= set(part)
        for box in part["boxes"]:
            assert set(box) == {"label", "score", "xyxy"}
            assert len(box["xyxy"]) == 4
    summary = data["summary"]
    assert summary["parts"] == 10
    assert sum(summary["verdicts"].values()) == 10
    assert summary["parts_per_s"] > 0
    assert "detect" in summary["stage_ms"]


def test_labelled_footage_is_measured(tmp_path: Path, config: StationConfig) -> None:
    folder = tmp_path / "tiles"
    (folder / "images").mkdir(parents=True)
    rows = ["image,mask,part,exposure,label,width,height,defect_px"]
    for n in range(8):
        image = picture(n)
        label = "ok"
        if n % 2:
            cv2.line(image, (40, 60), (150, 190), (5, 5, 5), 3)
            label = "crack"
        cv2.imwrite(str(folder / "images" / f"{n}.png"), image)
        rows.append(f"images/{n}.png,,tile-{n},exp1,{label},200,240,0")
    rows.append("images/gone.png,,tile-9,exp1,ok,200,240,0")
    (folder / "index.csv").write_text("\n".join(rows) + "\n")
    result = replay(folder, config, "magnetic-tile")
    known = result.summary()["labelled"]
    assert (known["good"], known["defective"], known["not_inspected"]) == (5, 4, 1)
    assert 0.0 <= known["auroc"] <= 1.0
    assert {p.serial for p in result.parts} >= {"tile-0", "tile-9"}
    gone = next(p for p in result.parts if p.source == "images/gone.png")
    assert gone.verdict == "UNDEFINED"


def test_bad_sources_are_named_with_the_remedy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(ROOT)
    import subprocess
    import sys

    for arguments, words in (
        (["replay", "nowhere.mp4", "--recipe", "bolt"], "nowhere.mp4"),
        (["replay", str(tmp_path), "--recipe", "nosuch"], "no recipe 'nosuch'"),
        (["ledger", "check", "--db", str(tmp_path / "none.db")], "no ledger"),
        (["models", "verify", "nosuch/1"], "nosuch"),
        (["run", "--recipe", "bolt", "--source", "nothing-here"], "no source"),
    ):
        done = subprocess.run(
            [sys.executable, "-m", "station", *arguments], capture_output=True, text=True, check=False
        )
        assert done.returncode != 0, arguments
        assert words in done.stderr.replace("\n", " "), done.stderr
        assert "Traceback" not in done.stderr
