"""Is every part recorded as it was inspected, and does the line never wait for it?"""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

from station.core.errors import DataRefused
from station.core.verdict import Evaluation, Inspection
from station.footage.book import Footage, FootagePart, read_picture
from station.footage.reading import part_from
from station.footage.record import Recorder
from station.footage.truth import truths
from station.recipe import HealthLimits
from tests.builders import inspection, part
from tests.footage.builders import about


def begun(root: Path) -> Footage:
    return Footage.make(root / "shift", about(kind="recorded"))


def with_part(number: int, **more: object) -> Inspection:
    from dataclasses import replace

    it = inspection(number)
    return replace(it, part=replace(it.part, **more))  # type: ignore[arg-type]


def test_a_part_comes_back_as_it_was(tmp_path: Path) -> None:
    odd = np.random.default_rng(1).integers(0, 255, (37, 53, 3), dtype=np.uint8)
    seen = [
        with_part(1, image=odd, serial="s1", lot="L", origin=(3.5, 4.25), frame_index=77, simulated=True, truth="dent"),
        with_part(2, image=None, fault="camera lost"),
        with_part(3, fault="black: mean grey level 1.0"),
        with_part(4, image=odd[:, ::2]),
    ]
    recorder = Recorder(begun(tmp_path))
    for it in seen:
        recorder.offer(it)
    assert recorder.close() == f"4 parts recorded in {tmp_path / 'shift'}"
    back = Footage.open(tmp_path / "shift")
    for k, it in enumerate(seen):
        line = back.parts[k]
        made = part_from(back.folder, line, it.part.number, HealthLimits())
        for name in ("part_id", "number", "source", "frame_index", "origin", "fault", "simulated", "serial", "lot"):
            assert getattr(made, name) == getattr(it.part, name), name
        assert made.triggered_at == it.part.triggered_at
        assert (made.image is None) == (it.part.image is None)
        if made.image is not None and it.part.image is not None:
            assert np.array_equal(made.image, it.part.image)
        assert line.said is not None
        assert (line.said.verdict, line.said.reason) == (it.verdict.evaluation.value, it.verdict.reason)
        assert it.detections is not None
        assert line.said.scores == dict(it.detections.scores)
        assert (line.said.recipe_sha256, line.said.preprocess) == (it.recipe_sha256, it.preprocess)
    assert truths(back).agreed == {"ST01-000001": "dent"}
    assert back.faults() == []


def test_a_full_queue_costs_footage_and_never_the_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gate, begun_writing = threading.Event(), threading.Event()
    keep = Footage.keep_picture

    def slow(self: Footage, name: str, data: bytes) -> str:
        begun_writing.set()
        assert gate.wait(10)
        return keep(self, name, data)

    monkeypatch.setattr(Footage, "keep_picture", slow)
    recorder = Recorder(begun(tmp_path), queue_parts=2)
    recorder.offer(inspection(1))
    assert begun_writing.wait(10)
    put = recorder._queue.put

    def at_once(item: Inspection | None, block: bool = True, timeout: float | None = None) -> None:
        assert not block, "the line waits"
        put(item, block=False)

    monkeypatch.setattr(recorder._queue, "put", at_once)
    for number in range(2, 7):
        recorder.offer(inspection(number))
    assert recorder.left_out == 3
    monkeypatch.setattr(recorder._queue, "put", put)
    gate.set()
    assert "3 parts recorded" in recorder.close()
    assert "3 NOT recorded (the disk is slower than the line)" in recorder.close()
    assert [p.key for p in Footage.open(tmp_path / "shift").parts] == [f"ST01-00000{n}" for n in (1, 2, 3)]


def test_what_cannot_be_written_is_counted_and_the_rest_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    keep = Footage.keep_picture

    def refusing(self: Footage, name: str, data: bytes) -> str:
        if name.startswith("ST01-000002"):
            raise DataRefused("the disk is full")
        return keep(self, name, data)

    monkeypatch.setattr(Footage, "keep_picture", refusing)
    recorder = Recorder(begun(tmp_path))
    for number in (1, 2, 3, 1):
        recorder.offer(inspection(number, evaluation=Evaluation.NOT_OK))
    words = recorder.close()
    assert words.startswith("2 parts recorded")
    assert "2 NOT recorded" in words
    assert "ST01-000002 was not recorded: the disk is full" in caplog.text
    assert [p.key for p in Footage.open(tmp_path / "shift").parts] == ["ST01-000001", "ST01-000003"]


def test_a_book_that_cannot_be_written_leaves_all_its_parts_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Footage, parts: list[FootagePart]) -> None:
        raise DataRefused("the disk is full")

    monkeypatch.setattr(Footage, "add", full)
    recorder = Recorder(begun(tmp_path))
    for number in (1, 2):
        recorder.offer(inspection(number))
    assert "2 NOT recorded (the disk is full)" in recorder.close()


def test_a_crash_after_the_picture_and_before_its_line_loses_only_that_part(tmp_path: Path) -> None:
    made = begun(tmp_path)
    recorder = Recorder(made)
    recorder.offer(inspection(1))
    recorder.close()
    made.keep_picture("ST01-000002.png", b"whatever a crash left")
    again = Recorder(Footage.open(made.folder))
    again.offer(inspection(2))
    again.close()
    back = Footage.open(made.folder)
    assert [p.key for p in back.parts] == ["ST01-000001", "ST01-000002"]
    assert back.faults() == []
    assert read_picture(back.folder, back.parts[1])[1] is None
    assert part(2).image is not None


def test_one_part_twice_in_one_block_is_kept_once_and_its_picture_stays(tmp_path: Path) -> None:
    recorder = Recorder(begun(tmp_path))
    other = np.full((16, 16, 3), 9, np.uint8)
    recorder._keep([inspection(1), with_part(1, image=other), inspection(2)])
    assert (recorder.recorded, recorder.left_out) == (2, 1)
    recorder.close()
    back = Footage.open(tmp_path / "shift")
    assert [p.key for p in back.parts] == ["ST01-000001", "ST01-000002"]
    assert back.faults() == []
