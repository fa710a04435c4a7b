"""Does an export stand whole in its folder or not at all, and is nobody's work lost?"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from station.core.errors import DataRefused, LedgerFault
from station.core.timing import ManualClock
from station.export import ExportFormat, export_samples
from station.export.folder import safe_name
from station.store.images import ImageStore
from station.store.ledger import Ledger
from tests.builders import record, write_parts
from tests.export.builders import Filled, filled


def everything(folder: Path) -> dict[str, bytes]:
    """All files under a folder, hidden ones too."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_a_folder_in_use_is_refused_and_left_alone(ledger: Filled, tmp_path: Path) -> None:
    for name, words in (("notes.txt", "mine"), ("manifest.json", '{"name": "a web page"}'), ("manifest.json", "[")):
        target = tmp_path / f"{name}{len(words)}"
        target.mkdir()
        (target / name).write_text(words)
        with pytest.raises(DataRefused, match="no former export: choose an empty or a new folder"):
            ledger.export(target)
        assert everything(target) == {name: words.encode()}
    assert not list(tmp_path.glob(".*"))


def test_a_file_is_no_target(ledger: Filled, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    with pytest.raises(DataRefused, match="is a file: name a folder"):
        ledger.export(tmp_path / "out")


def test_new_empty_and_deep_folders_are_taken(ledger: Filled, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for target in (tmp_path / "empty", tmp_path / "new", tmp_path / "a" / "b" / "c"):
        assert ledger.export(target).manifest.is_file()


def test_a_former_export_is_replaced_whole(ledger: Filled, tmp_path: Path) -> None:
    target = tmp_path / "out"
    ledger.export(target, ExportFormat.YOLO, images=ledger.images)
    (target / "labels" / "train.cache").write_text("made by a training tool")
    ledger.export(target, ExportFormat.COCO)
    assert sorted(os.listdir(target)) == ["annotations", "images", "manifest.json"]
    assert os.listdir(tmp_path) == ["out"]


def test_a_former_export_with_something_foreign_in_it_is_kept(ledger: Filled, tmp_path: Path) -> None:
    target = tmp_path / "out"
    ledger.export(target)
    (target / "runs").mkdir()
    (target / "runs" / "weights.pt").write_bytes(b"a night of training")
    before = everything(target)
    with pytest.raises(DataRefused, match="runs in it came from elsewhere and would be lost: move it away"):
        ledger.export(target)
    assert everything(target) == before


def test_the_same_ledger_gives_the_same_bytes(ledger: Filled, tmp_path: Path) -> None:
    for form in ExportFormat:
        ledger.export(tmp_path / "one", form, images=ledger.images)
        ledger.export(tmp_path / "two", form, images=ledger.images)
        assert everything(tmp_path / "one") == everything(tmp_path / "two")


@pytest.mark.parametrize("form", list(ExportFormat))
def test_a_crop_that_was_changed_stops_the_export(tmp_path: Path, form: ExportFormat) -> None:
    own = filled(tmp_path / "station")
    own.export(tmp_path / "out", form)
    before = everything(tmp_path / "out")
    own.tamper("UPDATE sample SET crop = ? WHERE part_id = 'ST01-000004'", b"other pixels")
    with pytest.raises(DataRefused, match=r"part ST01-000004: .*does not match its hash.*backup"):
        own.export(tmp_path / "out", form)
    assert everything(tmp_path / "out") == before
    assert sorted(os.listdir(tmp_path)) == ["out", "station"]


def test_a_part_picture_that_was_changed_stops_the_export(tmp_path: Path) -> None:
    own = filled(tmp_path / "station")
    for file in own.images.rglob("*.jpg"):
        file.write_bytes(b"other pixels")
    with pytest.raises(DataRefused, match=r"part ST01-0000\d\d: its picture was changed on disk"):
        own.export(tmp_path / "out", images=own.images)
    assert not (tmp_path / "out").exists()


def test_a_stop_in_the_middle_leaves_the_former_export(ledger: Filled, tmp_path: Path) -> None:
    target = tmp_path / "out"
    ledger.export(target)
    before = everything(target)

    def stop(done: int) -> None:
        if done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ledger.export(target, ExportFormat.CSV, progress=stop)
    assert everything(target) == before
    assert os.listdir(tmp_path) == ["out"]


def test_a_full_disk_is_told_in_words(ledger: Filled, tmp_path: Path) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(DataRefused, match=r"No space left.*nothing there was changed: free some disk space"):
        ledger.export(tmp_path / "out", progress=full)
    assert os.listdir(tmp_path) == []


def test_a_rename_that_fails_puts_the_former_export_back(
    ledger: Filled, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "out"
    ledger.export(target)
    before = everything(target)
    rename = Path.rename

    def refuse(self: Path, to: Path) -> Path:
        if self.name.endswith(".partial"):
            raise PermissionError(13, "the folder is open in another program")
        return rename(self, to)

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(DataRefused, match="open in another program"):
        ledger.export(target, ExportFormat.YOLO)
    assert everything(target) == before
    assert os.listdir(tmp_path) == ["out"]


def test_what_comes_into_the_target_meanwhile_is_kept(ledger: Filled, tmp_path: Path) -> None:
    target = tmp_path / "out"

    def meddle(_: int) -> None:
        target.mkdir(exist_ok=True)
        (target / "mine").write_text("mine")

    with pytest.raises(DataRefused, match="by someone else during the export"):
        ledger.export(target, progress=meddle)
    assert everything(tmp_path) == {"out/mine": b"mine"}


def test_the_stations_own_folders_are_no_target(tmp_path: Path) -> None:
    own = filled(tmp_path / "station")
    before = everything(tmp_path)
    for target in (tmp_path / "station", own.images, own.images / "out", tmp_path):
        with pytest.raises(DataRefused, match="choose another folder"):
            own.export(target, images=own.images)
    assert everything(tmp_path).keys() >= before.keys()


def test_a_ledger_without_answers_is_refused_in_words(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.db", clock=ManualClock(), durable=False)
    write_parts(ledger, [record(1, images=ImageStore(tmp_path / "images", durable=False))])
    ledger.close()
    with pytest.raises(DataRefused, match=r"ledger\.db holds no confirmed sample: answer some reviews"):
        export_samples(
            tmp_path / "ledger.db", tmp_path / "out", form=ExportFormat.COCO, images=None, progress=lambda _: None
        )
    assert not (tmp_path / "out").exists()


def test_no_ledger_is_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(LedgerFault, match="no ledger at"):
        export_samples(
            tmp_path / "none.db", tmp_path / "out", form=ExportFormat.COCO, images=None, progress=lambda _: None
        )
    assert os.listdir(tmp_path) == []


def test_the_loop_may_write_on_during_an_export(tmp_path: Path) -> None:
    own = filled(tmp_path / "station")
    ledger = Ledger(own.database, clock=ManualClock(), durable=False)
    try:
        report = own.export(tmp_path / "out", progress=lambda n: ledger.event("test", f"{n} samples are out"))
    finally:
        ledger.close()
    assert report.samples == 8
    assert json.loads(report.manifest.read_text())["counts"]["samples"] == 8


@given(st.text(max_size=150), st.text(max_size=150))
def test_names_are_safe_and_keep_parts_apart(one: str, two: str) -> None:
    for words in (one, two):
        name = safe_name(words)
        assert name == Path(name).name or not words
        assert name.isascii()
        assert len(name) < 120
        assert not name.startswith(".")
    assert (safe_name(one) == safe_name(two)) == (one == two)


def test_a_part_id_that_is_no_file_name_is_made_one(tmp_path: Path) -> None:
    own = filled(tmp_path)
    own.tamper("UPDATE sample SET part_id = '../Prüf 1' WHERE part_id = 'ST01-000004'")
    own.tamper("UPDATE inspection SET part_id = '../Prüf 1' WHERE part_id = 'ST01-000004'")
    own.export(tmp_path / "out", images=own.images)
    row = next(r for r in json.loads((tmp_path / "out/manifest.json").read_text())["samples"] if "P" in r["part_id"])
    assert row["part_id"] == "../Prüf 1"
    assert row["file"].startswith("images/_Pr_f_1-")
    assert (tmp_path / "out" / row["file"]).is_file()
    assert (tmp_path / "out" / row["part_file"]).is_file()
