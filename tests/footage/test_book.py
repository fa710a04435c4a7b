"""Is what a footage says of its parts what was put in, and is damage noticed?"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from station.core.errors import DataRefused
from station.footage.book import (
    Footage,
    FootagePart,
    Said,
    find,
    membership_hash,
    names_in,
    pixel_hash,
    read_picture,
)
from tests.builders import picture
from tests.footage.builders import AT, about, footage, save

words = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=8)
maybe = st.none() | words


@given(
    st.builds(
        FootagePart,
        key=words,
        picture=maybe,
        sha256=maybe,
        file_sha256=maybe,
        width=st.integers(0, 9),
        height=st.integers(0, 9),
        source=words,
        captured_at=words,
        serial=maybe,
        lot=maybe,
        simulated=st.booleans(),
        fault=maybe,
        frame_index=st.integers(0, 9),
        origin=st.tuples(st.floats(0, 9), st.floats(0, 9)),
        whole_frame=st.booleans(),
        said=st.none() | st.builds(Said, words, words, st.dictionaries(words, st.floats(0, 1)), words, maybe, maybe),
    )
)
def test_a_part_and_its_line_are_one(part: FootagePart) -> None:
    import json

    assert FootagePart.from_row(json.loads(json.dumps(part.to_row()))) == part


def test_a_footage_read_again_is_the_same(tmp_path: Path) -> None:
    made = footage(tmp_path)
    again = Footage.open(made.folder)
    assert (again.about, again.parts) == (made.about, made.parts)
    assert again.faults() == []
    image, fault = read_picture(made.folder, made.parts[1])
    assert fault is None
    assert np.array_equal(image if image is not None else 0, picture(1))
    assert find("shift", tmp_path).parts == find(str(made.folder), Path("nowhere")).parts == made.parts
    assert names_in(tmp_path) == ["shift"]


def test_pixels_are_told_apart_by_value_and_by_shape() -> None:
    one = picture(1)
    assert pixel_hash(one) == pixel_hash(one.copy()) == pixel_hash(np.asfortranarray(one))
    assert pixel_hash(one) != pixel_hash(np.ascontiguousarray(one.reshape(one.shape[1], one.shape[0], 3)))
    other = one.copy()
    other[3, 4, 1] ^= 1
    assert pixel_hash(other) != pixel_hash(one)


def test_what_is_no_footage_or_damaged_is_refused_with_the_remedy(tmp_path: Path) -> None:
    made = footage(tmp_path)
    with pytest.raises(DataRefused, match=r"no footage in .*other \(there: shift\)"):
        Footage.open(tmp_path / "other")
    with pytest.raises(DataRefused, match="has no part 'p9'"):
        made.part("p9")
    with pytest.raises(DataRefused, match="has a part 'p0' already"):
        made.add([made.parts[0]])
    twice = replace(made.parts[0], key="new")
    with pytest.raises(DataRefused, match="has a part 'new' already"):
        made.add([twice, twice])
    assert "new" not in Footage.open(made.folder)
    book = made.folder / "parts.jsonl"
    whole = book.read_text()
    for broken, match in (
        (whole + whole.splitlines()[0] + "\n", "names p0 again"),
        (whole.replace('"width"', '"breadth"'), "is no part"),
    ):
        book.write_text(broken)
        with pytest.raises(DataRefused, match=match):
            Footage.open(made.folder)
    book.write_text(whole)
    (made.folder / "footage.toml").write_text("name = ")
    with pytest.raises(DataRefused, match="cannot be read"):
        Footage.open(made.folder)


def test_no_footage_is_begun_over_something_else(tmp_path: Path) -> None:
    made = footage(tmp_path)
    assert Footage.make(made.folder, about()).parts == made.parts, "of the same kind: it goes on"
    with pytest.raises(DataRefused, match="give the recorded one another name"):
        Footage.make(made.folder, about(kind="recorded"))
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "thing").touch()
    with pytest.raises(DataRefused, match="is not empty and no footage"):
        Footage.make(tmp_path / "taken", about("taken"))
    for name in (".hidden", "a b", "ü"):
        with pytest.raises(DataRefused, match="is no name"):
            Footage.make(tmp_path / name, about(name))
    odd = replace(about("odd"), note='quotes " and \\ and\nlines', by="Zoë")
    assert Footage.open(Footage.make(tmp_path / "odd", odd).folder).about == odd


@pytest.mark.parametrize("name", ["../out.png", "/etc/out.png", "a/../../out.png", ""])
def test_no_picture_leaves_the_folder(name: str, tmp_path: Path) -> None:
    made = footage(tmp_path / "inner")
    with pytest.raises(DataRefused):
        made.keep_picture(name, b"x")
    assert not list(tmp_path.glob("**/out.png"))


def test_changed_pixels_missing_files_and_other_encodings(tmp_path: Path) -> None:
    made = footage(tmp_path, ["ok", "ok", "ok"])
    save(made.folder / "pictures" / "p1.png", picture(7))
    os.unlink(made.folder / "pictures" / "p2.png")
    faults = made.faults()
    assert [f.split(":")[:2] for f in faults] == [["p1", " changed"], ["p2", " missing"]]
    save(made.folder / "p1.bmp", picture(1))
    (made.folder / "pictures" / "p1.png").write_bytes((made.folder / "p1.bmp").read_bytes())
    assert len(made.faults()) == 1, "the same pixels in another file are the same picture"


def test_a_set_is_known_by_its_pictures_and_their_truth(tmp_path: Path) -> None:
    parts = footage(tmp_path).parts
    one = membership_hash(parts, {"p0": "ok"})
    assert one == membership_hash(list(reversed(parts)), {"p0": "ok", "gone": "ok"})
    assert one != membership_hash(parts, {"p0": "dent"})
    assert one != membership_hash(parts, {})
    assert one != membership_hash(parts[:1], {"p0": "ok"})
    assert one != membership_hash([replace(parts[0], sha256="0"), parts[1]], {"p0": "ok"})
    assert AT.isoformat() == made_at(parts[0])


def made_at(part: FootagePart) -> str:
    return part.captured_at
