"""Whose word counts, and is disagreement seen?"""

from __future__ import annotations

from pathlib import Path

import pytest

from station.core.errors import DataRefused
from station.core.part import Box
from station.footage.truth import Mark, mark, parse_box, truths
from tests.footage.builders import AT, footage


def says(person: str, truth: str, part: str = "p0", **more: object) -> Mark:
    return Mark(part, truth, person, AT.isoformat(), **more)  # type: ignore[arg-type]


def test_of_one_person_the_newest_word_counts(tmp_path: Path) -> None:
    made = footage(tmp_path, [None, None])
    mark(made, [says("mia", "ok"), says("mia", "dent"), says("joe", "dent")])
    known = truths(made)
    assert known.agreed == {"p0": "dent"}
    assert {m.person for m in known.marks["p0"]} == {"mia", "joe"}
    assert len((made.folder / "truth.jsonl").read_text().splitlines()) == 3, "nothing said is lost"


def test_two_people_who_differ_make_a_dispute_until_it_is_settled(tmp_path: Path) -> None:
    made = footage(tmp_path, [None, None])
    mark(made, [says("mia", "ok"), says("joe", "dent"), says("joe", "ok", "p1")])
    known = truths(made)
    assert known.agreed == {"p1": "ok"}
    assert {(m.person, m.truth) for m in known.disputed["p0"]} == {("mia", "ok"), ("joe", "dent")}
    mark(made, [says("zoe", "dent", settles=True, note="seen under the microscope")])
    assert (truths(made).agreed, truths(made).disputed) == ({"p0": "dent", "p1": "ok"}, {})
    mark(made, [says("mia", "ok")])
    assert truths(made).agreed["p0"] == "dent", "settled is settled"
    mark(made, [says("zoe", "ok")])
    assert truths(made).disputed.keys() == {"p0"}, "who settled it took it back"


def test_boxes_and_notes_come_back(tmp_path: Path) -> None:
    made = footage(tmp_path, [None])
    boxes = (("dent", Box(1, 2, 3.5, 4)), ("scratch", Box(5, 5, 6, 9)))
    mark(made, [says("mia", "dent", boxes=boxes, note="two of them")])
    found = truths(made).marks["p0"][0]
    assert (found.boxes, found.note) == (boxes, "two of them")


def test_what_is_no_mark_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    made = footage(tmp_path, [None])
    good = says("mia", "ok")
    with pytest.raises(DataRefused, match="has no part 'p7'"):
        mark(made, [good, says("mia", "ok", "p7")])
    with pytest.raises(DataRefused, match="'rust' is no truth here"):
        mark(made, [good, says("mia", "rust")], classes=("dent",))
    with pytest.raises(DataRefused, match="'rust' is no truth here"):
        mark(made, [good, says("mia", "dent", boxes=(("rust", Box(0, 0, 1, 1)),))], classes=("dent",))
    with pytest.raises(DataRefused, match="writes a note"):
        says("mia", "ok", settles=True)
    with pytest.raises(DataRefused, match="the person who says so"):
        says(" ", "ok")
    assert not (made.folder / "truth.jsonl").exists()


@pytest.mark.parametrize(
    "line",
    [
        '{"part":"p0"}',
        '{"part":"p9","truth":"ok","person":"m","at":"x"}',
        '{"part":"p0","truth":"","person":"m","at":""}',
    ],
)
def test_a_line_that_is_no_mark_is_refused_with_its_number(line: str, tmp_path: Path) -> None:
    made = footage(tmp_path, ["ok"])
    with (made.folder / "truth.jsonl").open("a") as file:
        file.write(line + "\n")
    with pytest.raises(DataRefused, match="line 2 of"):
        truths(made)


def test_a_box_in_words() -> None:
    assert parse_box("dent:1,2,3,4.5") == ("dent", Box(1, 2, 3, 4.5))
    for words in ("dent", "dent:1,2,3", ":1,2,3,4", "dent:3,3,1,1", "dent:a,b,c,d"):
        with pytest.raises(DataRefused, match="is no box"):
            parse_box(words)
