"""Does an appended line survive a crash, and is damage refused?"""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from station.core.errors import DataRefused
from station.footage.lines import append, read, write_whole


def test_lines_come_back_in_order_and_no_file_is_no_line(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    assert read(path) == []
    append(path, [])
    assert not path.exists()
    append(path, [{"n": 1, "words": "ö\n"}, {"n": 2}])
    append(path, [{"n": 3, "score": 0.1 + 0.2}])
    assert read(path) == [{"n": 1, "words": "ö\n"}, {"n": 2}, {"n": 3, "score": 0.1 + 0.2}]


@pytest.mark.parametrize("half", [b'{"n":', b'{"n":3}', b"x" * 200_000])
def test_half_a_line_does_not_count_and_is_cut_before_the_next(
    half: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "a.jsonl"
    append(path, [{"n": 1}, {"n": 2}])
    path.write_bytes(path.read_bytes() + half)
    with caplog.at_level(logging.WARNING):
        assert read(path) == [{"n": 1}, {"n": 2}]
        append(path, [{"n": 4}])
    assert "half a line" in caplog.text
    assert "cut off" in caplog.text
    assert read(path) == [{"n": 1}, {"n": 2}, {"n": 4}]


def test_a_file_of_nothing_but_half_a_line(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"n"')
    append(path, [{"n": 1}])
    assert read(path) == [{"n": 1}]


@pytest.mark.parametrize("broken", ["{", "[1]", "words", "\x00"])
def test_a_broken_line_before_the_end_is_refused_with_its_number(broken: str, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(f'{{"n":1}}\n{broken}\n{{"n":2}}\n')
    with pytest.raises(DataRefused, match="line 2 of"):
        read(path)


def test_what_cannot_be_written_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataRefused, match="cannot be written"):
        append(tmp_path / "nowhere" / "a.jsonl", [{"n": 1}])
    target = tmp_path / "whole"
    write_whole(target, b"one")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_whole(target, b"two")
    assert target.read_bytes() == b"one"
    assert [p.name for p in tmp_path.iterdir()] == ["whole"]
