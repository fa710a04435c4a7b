"""Does the manifest tell of every sample where it came from?"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from station import __version__
from station.export import ExportFormat
from tests.builders import MODEL, recipe
from tests.export.builders import CREATED, Filled, filled


def manifest(target: Path) -> dict[str, Any]:
    """The manifest as JSON reads it."""
    found: dict[str, Any] = json.loads((target / "manifest.json").read_text("utf-8"))
    return found


def test_hashes_are_those_of_the_files(ledger: Filled, tmp_path: Path) -> None:
    ledger.export(tmp_path / "out", ExportFormat.YOLO)
    for row in manifest(tmp_path / "out")["samples"]:
        assert hashlib.sha256((tmp_path / "out" / row["file"]).read_bytes()).hexdigest() == row["sha256"]


def test_the_head_says_what_when_and_how_split(ledger: Filled, tmp_path: Path) -> None:
    report = ledger.export(tmp_path / "out", seed=7)
    told = manifest(tmp_path / "out")
    assert told["software"] == f"inspection-station {__version__}"
    assert told["created"] == CREATED.now().isoformat(timespec="seconds")
    assert told["database"] == "ledger.db"
    assert told["format"] == "coco"
    assert told["classes"] == list(recipe().class_names)
    assert told["split"]["seed"] == 7
    assert told["split"]["shares"] == {"train": 0.7, "val": 0.15, "test": 0.15}
    assert "lot" in told["split"]["rule"]
    assert told["counts"]["samples"] == 8
    assert told["counts"]["simulated"] == report.simulated == 1
    assert told["counts"]["by_class"] == report.classes
    assert told["counts"]["by_split"] == report.splits
    assert told["counts"]["by_answer"] == {"agree": 2, "false_alarm": 3, "missed_defect": 1, "other_class": 2}
    assert told["counts"]["by_reason"] == {
        "audit": 1,
        "rejected": 4,
        "second_person": 1,
        "uncertain": 1,
        "undefined": 1,
    }
    assert report.manifest == tmp_path / "out" / "manifest.json"
    assert report.to_dict() == json.loads(json.dumps(report.to_dict()))


def test_an_audit_keeps_its_probability_and_a_sample_its_story(ledger: Filled, tmp_path: Path) -> None:
    ledger.export(tmp_path / "out")
    rows = {(r["part_id"], r["label"]): r for r in manifest(tmp_path / "out")["samples"]}
    audit = rows["ST01-000004", "scratch"]
    assert (audit["reason"], audit["p_select"], audit["answer"]) == ("audit", 0.02, "missed_defect")
    assert (audit["proposed"], audit["score"]) == (None, None)
    assert audit["box"] == [50, 30, 70, 50]
    assert audit["serial"] == "S-3"
    dent = rows["ST01-000001", "dent"]
    assert (dent["proposed"], dent["score"], dent["lot"], dent["p_select"]) == ("dent", 0.8, "L1", 1.0)
    assert (dent["seconds"], dent["model_sha256"]) == (2.5, MODEL.sha256)
    assert dent["confirmed_at"].startswith("2026-01-01T00:00:")
    assert rows["ST01-000002", "ok"]["simulated"] is True
    assert dent["simulated"] is False
    assert rows["ST01-000005", "dent"]["located"] is False
    assert dent["located"] is True
    assert rows["ST01-000007", "ok"]["reason"] == "second_person"


def test_what_was_taken_back_stays_out(ledger: Filled, tmp_path: Path) -> None:
    assert len(ledger.undone) == 1
    ledger.export(tmp_path / "out")
    told = manifest(tmp_path / "out")
    assert [r["label"] for r in told["samples"] if r["part_id"] == "ST01-000006"] == ["ok"]
    undone = {hashlib.sha256(crop).hexdigest() for crop in ledger.undone}
    labels = {r["label"] for r in told["samples"] if r["sha256"] in undone}
    assert labels <= {"ok"}  # the second answer is about the same pixels


def test_one_piece_and_one_lot_stand_on_one_side(ledger: Filled, tmp_path: Path) -> None:
    for seed in range(12):
        ledger.export(tmp_path / "out", seed=seed)
        rows = manifest(tmp_path / "out")["samples"]
        for group, parts in (
            ("lot:L1", {"ST01-000001", "ST01-000002"}),
            ("serial:S-3", {"ST01-000003", "ST01-000004"}),
        ):
            own = [r for r in rows if r["group"] == group]
            assert {r["part_id"] for r in own} == parts
            assert len({r["split"] for r in own}) == 1


def test_people_are_numbers_unless_names_are_asked_for(ledger: Filled, tmp_path: Path) -> None:
    ledger.export(tmp_path / "out", ExportFormat.CSV)
    for file in ("manifest.json", "samples.csv"):
        assert "anna" not in (tmp_path / "out" / file).read_text("utf-8")
    assert {r["person"] for r in manifest(tmp_path / "out")["samples"]} == {"inspector-1", "inspector-2"}
    ledger.export(tmp_path / "out", ExportFormat.CSV, names=True)
    assert {r["person"] for r in manifest(tmp_path / "out")["samples"]} == {"anna", "bert"}


def test_a_class_of_a_former_recipe_comes_after_those_of_the_newest(tmp_path: Path) -> None:
    own = filled(tmp_path)
    own.tamper("UPDATE sample SET label = 'crack' WHERE part_id = 'ST01-000003'")
    report = own.export(tmp_path / "out")
    assert list(report.classes) == ["scratch", "dent", "crack", "ok"]
    told = json.loads((tmp_path / "out" / "annotations" / "train.json").read_text())
    assert [(c["id"], c["name"]) for c in told["categories"]] == [(1, "scratch"), (2, "dent"), (3, "crack")]


def test_a_recipe_that_cannot_be_read_hides_no_class(tmp_path: Path) -> None:
    own = filled(tmp_path)
    own.tamper("UPDATE run SET recipe_json = '{}'")
    assert dict(own.export(tmp_path / "out").classes) == {"scratch": 2, "dent": 3, "ok": 3}


def test_a_missing_part_picture_is_counted_and_named(tmp_path: Path) -> None:
    own = filled(tmp_path)
    own.export(tmp_path / "out", images=own.images)
    row = manifest(tmp_path / "out")["samples"][0]
    (own.images / row["part_sha256"][:2] / f"{row['part_sha256']}.jpg").unlink()
    report = own.export(tmp_path / "out", images=own.images)
    assert (report.part_pictures, report.missing_pictures) == (6, 1)
    told = manifest(tmp_path / "out")
    assert told["counts"]["missing_part_pictures"] == [row["part_id"]]
    assert told["samples"][0]["part_file"] is None


def test_progress_counts_the_samples(ledger: Filled, tmp_path: Path) -> None:
    seen: list[int] = []
    ledger.export(tmp_path / "out", progress=seen.append)
    assert seen == list(range(1, 9))
