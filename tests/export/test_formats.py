"""Do the formats hold what was confirmed, as other tools read them?"""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from station.export import ExportFormat, Side
from station.training.samples import from_folder
from tests.export.builders import Filled

CLASSES = ["scratch", "dent"]
SIDES = [str(s) for s in Side]


def samples(target: Path) -> list[dict[str, Any]]:
    """Rows of the manifest."""
    found: list[dict[str, Any]] = json.loads((target / "manifest.json").read_text("utf-8"))["samples"]
    return found


def own_box(row: dict[str, Any]) -> list[float]:
    """The confirmed box in crop pixels, from the manifest's part pixels."""
    x, y, *_ = row["crop_box"]
    x0, y0, x1, y1 = row["box"]
    return [x0 - x, y0 - y, x1 - x, y1 - y]


@pytest.mark.parametrize("form", list(ExportFormat))
def test_every_standing_crop_is_there_byte_for_byte_and_no_other(
    ledger: Filled, tmp_path: Path, form: ExportFormat
) -> None:
    report = ledger.export(tmp_path / "out", form)
    crops = ledger.crops()
    rows = samples(tmp_path / "out")
    assert {r["id"]: (r["part_id"], (tmp_path / "out" / r["file"]).read_bytes()) for r in rows} == crops
    pictures = [p for p in (tmp_path / "out").rglob("*.png") if "masks" not in p.parts]
    assert sorted(pictures) == sorted(tmp_path / "out" / r["file"] for r in rows)
    assert [r["file"].rpartition("/")[2] for r in rows] == [f"{r['part_id']}_{r['id']}.png" for r in rows]
    assert report.samples == len(crops) == 8
    assert report.parts == 7
    assert report.files == sum(p.is_file() for p in (tmp_path / "out").rglob("*"))
    assert report.classes == {"scratch": 2, "dent": 3, "ok": 3}
    assert sum(report.splits.values()) == 8


def test_coco_as_pycocotools_reads_it(ledger: Filled, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    reader = pytest.importorskip("pycocotools.coco")
    out = tmp_path / "out"
    ledger.export(out)
    rows = {r["id"]: r for r in samples(out)}
    seen: set[int] = set()
    boxes: list[int] = []
    for side in SIDES:
        coco = reader.COCO(str(out / "annotations" / f"{side}.json"))
        assert [c["name"] for c in coco.loadCats(coco.getCatIds())] == CLASSES
        for image in coco.loadImgs(coco.getImgIds()):
            row = rows[image["id"]]
            assert row["split"] == side
            assert image["provenance"]["sha256"] == row["sha256"]
            picture = cv2.imread(str(out / "images" / image["file_name"]))
            assert picture is not None
            assert picture.shape[:2] == (image["height"], image["width"])
            found = coco.loadAnns(coco.getAnnIds(imgIds=[image["id"]]))
            boxes += [f["id"] for f in found]
            seen.add(image["id"])
            if row["label"] == "ok":
                assert found == []
                continue
            x, y, w, h = found[0]["bbox"]
            assert [x, y, x + w, y + h] == pytest.approx(own_box(row))
            assert coco.loadCats(found[0]["category_id"])[0]["name"] == row["label"]
            assert found[0]["area"] == pytest.approx(w * h)
            assert found[0]["confirmed_by"] == row["person"]
            assert found[0]["located"] == row["located"]
            for f in found:
                assert f["bbox"][0] >= 0
                assert f["bbox"][0] + f["bbox"][2] <= image["width"]
                assert f["bbox"][1] + f["bbox"][3] <= image["height"]
    assert seen == set(rows)
    assert sorted(boxes) == list(range(1, len(boxes) + 1))
    capsys.readouterr()


def test_a_second_defect_in_the_crop_is_marked_too(ledger: Filled, tmp_path: Path) -> None:
    out = tmp_path / "out"
    ledger.export(out)
    first = [r for r in samples(out) if r["part_id"] == "ST01-000001"]
    assert [r["label"] for r in first] == ["scratch", "dent"]
    told = json.loads((out / "annotations" / f"{first[0]['split']}.json").read_text())
    for row, other in (first, first[::-1]):
        found = [a for a in told["annotations"] if a["image_id"] == row["id"]]
        assert [a["confirmed_for_this_crop"] for a in found] == [True, False]
        x, y, *_ = row["crop_box"]
        seen = [max(other["box"][0] - x, 0), max(other["box"][1] - y, 0)]
        assert found[1]["bbox"][:2] == seen
        assert CLASSES[found[1]["category_id"] - 1] == other["label"]


def test_yolo_boxes_come_back(ledger: Filled, tmp_path: Path) -> None:
    yaml = pytest.importorskip("yaml")
    out = tmp_path / "out"
    ledger.export(out, ExportFormat.YOLO)
    told = yaml.safe_load((out / "data.yaml").read_text("utf-8"))
    assert told == {**{s: f"images/{s}" for s in SIDES}, "nc": 2, "names": dict(enumerate(CLASSES))}
    rows = samples(out)
    for row in rows:
        picture = out / row["file"]
        image = cv2.imread(str(picture))
        assert image is not None
        h, w = image.shape[:2]
        label = Path(str(picture).replace("/images/", "/labels/")).with_suffix(".txt")
        assert label.parent.name == picture.parent.name == row["split"]
        lines = [line.split() for line in label.read_text().splitlines()]
        if row["label"] == "ok":
            assert lines == []
            continue
        assert told["names"][int(lines[0][0])] == row["label"]
        cx, cy, bw, bh = (float(v) for v in lines[0][1:])
        back = [(cx - bw / 2) * w, (cy - bh / 2) * h, (cx + bw / 2) * w, (cy + bh / 2) * h]
        assert back == pytest.approx(own_box(row), abs=1e-3)
        assert all(0 <= float(v) <= 1 for line in lines for v in line[1:])
    assert len(list((out / "labels").rglob("*.txt"))) == len(rows)


def test_folders_give_a_class_the_same_number_on_every_side(ledger: Filled, tmp_path: Path) -> None:
    out = tmp_path / "out"
    ledger.export(out, ExportFormat.FOLDER)
    for side in SIDES:
        assert sorted(p.name for p in (out / side).iterdir()) == ["dent", "ok", "scratch"]
    for row in samples(out):
        assert row["file"].startswith(f"{row['split']}/{row['label']}/")


def test_csv_tells_all_that_the_manifest_tells(ledger: Filled, tmp_path: Path) -> None:
    out = tmp_path / "out"
    ledger.export(out, ExportFormat.CSV, images=ledger.images)
    with (out / "samples.csv").open(newline="", encoding="utf-8") as lines:
        table = list(csv.DictReader(lines))
    rows = samples(out)
    assert [int(t["id"]) for t in table] == [r["id"] for r in rows]
    for told, row in zip(table, rows, strict=True):
        for name, value in row.items():
            if name in ("box", "crop_box"):
                edges = [float(told[f"{name}_{e}"]) for e in ("x0", "y0", "x1", "y1")]
                assert edges == pytest.approx(value)
            else:
                assert told[name] == ("" if value is None else str(int(value) if isinstance(value, bool) else value))


def test_a_csv_export_can_be_trained_on(ledger: Filled, tmp_path: Path) -> None:
    out = tmp_path / "out"
    ledger.export(out, ExportFormat.CSV)
    rows = samples(out)
    found = from_folder(out, classes=CLASSES)
    assert [s.part for s in found] == [r["group"] for r in rows]
    for sample, row in zip(found, rows, strict=True):
        assert sample.label == (CLASSES.index(row["label"]) if row["label"] != "ok" else -1)
        if row["label"] == "ok" or not row["located"]:
            assert not sample.mask.any()
            assert sample.located == (row["label"] == "ok")
            continue
        ys, xs = np.nonzero(sample.mask)
        drawn = [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]
        assert drawn == own_box(row)
        assert len(xs) == (drawn[2] - drawn[0]) * (drawn[3] - drawn[1])
        assert set(np.unique(sample.mask)) == {0, sample.label + 1}


def test_whole_part_pictures_are_the_stored_ones(ledger: Filled, tmp_path: Path) -> None:
    out = tmp_path / "out"
    report = ledger.export(out, images=ledger.images)
    rows = samples(out)
    assert report.part_pictures == len({r["part_id"] for r in rows}) == 7
    for row in rows:
        assert row["part_file"] == f"parts/{row['part_id']}.jpg"
        stored = ledger.images / row["part_sha256"][:2] / f"{row['part_sha256']}.jpg"
        assert (out / row["part_file"]).read_bytes() == stored.read_bytes()
