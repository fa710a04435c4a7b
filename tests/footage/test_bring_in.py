"""Does the material of others become footage byte for byte, with what it says of itself, and nothing lost quietly?"""

from __future__ import annotations

import json
import logging
from pathlib import Path

import cv2
import numpy as np
import pytest

from station.config import StationConfig
from station.core.errors import DataRefused, UsageError
from station.core.part import Box
from station.core.timing import ManualClock
from station.footage.book import Footage
from station.footage.bring_in import BroughtIn, bring_in
from station.footage.truth import truths
from station.footage_import import import_footage
from tests.builders import picture
from tests.footage.builders import save
from tests.sources.files import write_video

ROOT = Path(__file__).resolve().parents[2]


def brought(source: Path, target: Path) -> tuple[BroughtIn, Footage]:
    done = bring_in(source, target, by="a test", clock=ManualClock())
    return done, Footage.open(target)


def test_a_folder_comes_in_byte_for_byte_with_unreadable_files_as_parts(tmp_path: Path) -> None:
    source = tmp_path / "set"
    save(source / "a" / "1.jpg", picture(1))
    save(source / "2.png", picture(2))
    (source / "3.png").write_bytes(b"")
    done, made = brought(source, tmp_path / "f" / "one")
    assert done == BroughtIn("folder", 3, 0, 0, 1)
    assert [p.key for p in made.parts] == ["2.png", "3.png", "a/1.jpg"]
    for part in made.parts:
        assert (made.folder / str(part.picture)).read_bytes() == (source / part.key).read_bytes()
        assert part.whole_frame
    assert made.parts[1].fault == "empty file: 0 bytes"
    assert made.faults() == []
    assert (made.about.kind, made.about.origin, made.about.by) == ("imported", str(source), "a test")
    again, made = brought(source, tmp_path / "f" / "one")
    assert again == BroughtIn("folder", 0, 3, 0, 0)


def test_an_index_says_part_lot_truth_and_masks(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = tmp_path / "tiles"
    for n in range(3):
        save(source / "images" / f"{n}.png", picture(n))
    mask = np.zeros((64, 96), np.uint8)
    mask[10:20, 30:45] = 255
    mask[40:42, 60:70] = 1
    assert cv2.imwrite(str(source / "m.png"), mask)
    (source / "index.csv").write_text(
        "image,mask,part,lot,label\n"
        "images/0.png,m.png,t-0,L1,crack\nimages/1.png,,t-0,L1,ok\nimages/gone.png,nomask.png,t-2,,crack\n"
        "../secret.png,,t-3,,ok\n"
    )
    done, made = brought(source, tmp_path / "f" / "tiles")
    assert done == BroughtIn("index.csv", 4, 0, 3, 1)
    assert "outside the folder" in caplog.text
    by_key = {p.key: p for p in made.parts}
    assert set(by_key) == {"images/0.png", "images/1.png", "images/gone.png", "images/2.png"}
    assert (by_key["images/0.png"].serial, by_key["images/0.png"].lot) == ("t-0", "L1")
    assert "missing" in str(by_key["images/gone.png"].fault)
    known = truths(made)
    assert known.agreed == {"images/0.png": "crack", "images/1.png": "ok", "images/gone.png": "crack"}
    found = known.marks["images/0.png"][0]
    assert found.person == "import:tiles"
    assert found.boxes == (("crack", Box(30, 10, 45, 20)), ("crack", Box(60, 40, 70, 42)))


def coco(root: Path) -> Path:
    save(root / "images" / "1.png", picture(1))
    save(root / "images" / "2.png", picture(2))
    data = {
        "images": [
            {"id": 7, "file_name": "1.png", "provenance": {"serial": "s1", "lot": "L"}},
            {"id": 8, "file_name": "2.png"},
        ],
        "annotations": [
            {"image_id": 7, "category_id": 1, "bbox": [1, 2, 3, 4]},
            {"image_id": 7, "category_id": 2, "bbox": [10, 10, 20, 20]},
        ],
        "categories": [{"id": 1, "name": "dent"}, {"id": 2, "name": "scratch"}],
    }
    (root / "annotations").mkdir()
    (root / "annotations" / "train.json").write_text(json.dumps(data))
    return root / "annotations" / "train.json"


def test_a_coco_set_comes_in_by_folder_or_by_file(tmp_path: Path) -> None:
    file = coco(tmp_path / "set")
    for n, source in enumerate((tmp_path / "set", file)):
        done, made = brought(source, tmp_path / "f" / f"c{n}")
        assert done == BroughtIn("COCO", 2, 0, 2, 0)
        known = truths(made)
        assert known.agreed == {"1.png": "scratch", "2.png": "ok"}, "the largest box names the part"
        assert known.marks["1.png"][0].boxes == (("dent", Box(1, 2, 4, 6)), ("scratch", Box(10, 10, 30, 30)))
        assert (made.parts[0].serial, made.parts[0].lot) == ("s1", "L")
    file.write_text('{"images": []}')
    with pytest.raises(DataRefused, match="is no COCO file"):
        brought(file, tmp_path / "f" / "broken")


@pytest.mark.parametrize(
    "names", ['names:\n  0: dent\n  1: "scratch"\n', "names: [dent, 'scratch']  # two\n", "names:\n- dent\n- scratch\n"]
)
def test_a_yolo_set_tells_looked_at_from_not_looked_at(names: str, tmp_path: Path) -> None:
    source = tmp_path / "set"
    for n in range(3):
        save(source / "images" / "train" / f"{n}.png", picture(n))
    (source / "data.yaml").write_text(f"train: images/train\nnc: 2\n{names}")
    labels = source / "labels" / "train"
    labels.mkdir(parents=True)
    (labels / "0.txt").write_text("1 0.5 0.5 0.25 0.5\n0 0.1 0.1 0.05 0.05\n")
    (labels / "1.txt").write_text("")
    done, made = brought(source, tmp_path / "f" / "yolo")
    assert done == BroughtIn("YOLO", 3, 0, 2, 0)
    known = truths(made)
    assert known.agreed == {"images/train/0.png": "scratch", "images/train/1.png": "ok"}
    assert known.marks["images/train/0.png"][0].boxes[0] == ("scratch", Box(36, 16, 60, 48))
    (labels / "0.txt").write_text("5 0.5 0.5 0.25 0.5\n")
    with pytest.raises(DataRefused, match=r"line 1 of .*0\.txt"):
        brought(source, tmp_path / "f" / "wrong")


def test_an_import_cut_off_goes_on_and_says_nothing_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "set"
    rows = ["image,part,label"]
    for n in range(70):
        save(source / f"{n:02}.png", picture(n))
        rows.append(f"{n:02}.png,t-{n},{'ok' if n % 2 else 'dent'}")
    (source / "index.csv").write_text("\n".join(rows) + "\n")

    def until(done: int) -> None:
        if done == 50:
            raise KeyboardInterrupt

    target = tmp_path / "f" / "one"
    with pytest.raises(KeyboardInterrupt):
        bring_in(source, target, by="a test", clock=ManualClock(), progress=until)
    assert len(Footage.open(target).parts) == 32
    truth = target / "truth.jsonl"
    truth.write_text("".join(truth.read_text().splitlines(keepends=True)[:30]))  # died between parts and marks
    done, made = brought(source, target)
    assert (done.added, done.there, done.marked) == (38, 32, 70)
    assert len(truth.read_text().splitlines()) == len(truths(made).agreed) == 70
    save(source / "03.png", picture(99))
    with pytest.raises(DataRefused, match=r"another picture 03\.png"):
        brought(source, target)


def test_what_cannot_be_brought_in_is_refused_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("x")
    for source, match in (
        ("nowhere", "there is no"),
        ("empty", "no file to inspect"),
        ("notes.txt", "is no folder and no COCO file"),
    ):
        with pytest.raises(DataRefused, match=match):
            brought(tmp_path / source, tmp_path / "f" / "x")
    video = write_video(tmp_path / "clip.avi", 3)
    config = StationConfig(recipes=ROOT / "calibration" / "recipes", footage=tmp_path / "f")
    with pytest.raises(UsageError, match="name the recipe"):
        import_footage(video, "clip", config, recipe_name=None, by="a test", clock=ManualClock())


def test_a_names_way_out_of_the_folder_is_closed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = coco(tmp_path / "set")
    data = json.loads(file.read_text())
    data["images"][0]["file_name"] = "../../../outside.png"
    save(tmp_path / "outside.png", picture(5))
    file.write_text(json.dumps(data))
    with caplog.at_level(logging.WARNING):
        _, made = brought(file, tmp_path / "f" / "one")
    assert [p.key for p in made.parts] == ["2.png"]
    assert "lies outside the set" in caplog.text


def test_the_parts_of_a_video_are_those_that_the_loop_cuts(tmp_path: Path) -> None:
    from station.sim.world import Belt

    belt = Belt(seed=5, parts=3, speed_px=40, width=320)
    writer = cv2.VideoWriter(str(tmp_path / "clip.avi"), cv2.VideoWriter.fourcc(*"FFV1"), 30, (320, 240))
    assert writer.isOpened()
    while not belt.finished:
        writer.write(belt.frame())
        belt.advance()
    writer.release()
    config = StationConfig(recipes=ROOT / "calibration" / "recipes", models=ROOT / "models", footage=tmp_path / "f")
    clock = ManualClock()
    for added, there in ((3, 0), (0, 3)):
        done = import_footage(tmp_path / "clip.avi", "clip", config, recipe_name="demo-disc", by="a test", clock=clock)
        assert (done.kind, done.added, done.there) == ("video", added, there)
    fields = ("frame", "part_id", "verdict", "reason", "scores", "boxes")
    looped, kept = (
        [[p[name] for name in fields] for p in said_of(path, config, db)]
        for path, db in ((tmp_path / "clip.avi", tmp_path / "loop.db"), (tmp_path / "f" / "clip", None))
    )
    assert len(kept) == 3
    assert looped == kept


def said_of(path: Path, config: StationConfig, database: Path | None) -> list[dict[str, object]]:
    from station.replay import replay

    parts: list[dict[str, object]] = replay(path, config, "demo-disc", database=database, jobs=1).to_dict()["parts"]
    return parts
