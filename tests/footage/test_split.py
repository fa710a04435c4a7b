"""Does every group stand on one side for ever, and is every look at the sealed side on record?"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from station.core.errors import DataRefused
from station.footage.book import Footage
from station.footage.split import SEALED, TUNING, deal, look, looks, read_split
from station.footage.truth import Mark, mark
from tests.footage.builders import AT, about, footage

BARE = {"picture": None, "file_sha256": None}


def grown(root: Path, units: list[int], truths: list[str], *, lots: list[int] | None = None) -> Footage:
    """A footage without pictures: picture n shows physical part ``units[n]``."""
    made = footage(root, ["ok"])
    blank = made.parts[0]
    made.add(
        [
            replace(blank, **BARE, key=f"q{n}", sha256=f"{n:064x}", serial=f"s{u}", lot=f"L{lots[n]}" if lots else None)
            for n, u in enumerate(units)
        ]
    )
    mark(made, [Mark(f"q{n}", t, "mia", AT.isoformat()) for n, t in enumerate(truths)])
    return made


@given(
    st.lists(st.tuples(st.integers(0, 8), st.sampled_from(["ok", "dent"])), min_size=2, max_size=24),
    st.integers(0, 5),
    st.sampled_from([0.3, 0.5]),
)
@settings(max_examples=40, deadline=None)
def test_all_pictures_of_a_part_stand_together_and_a_later_split_moves_nobody(
    rows: list[tuple[int, str]], seed: int, share: float
) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        half = len(rows) // 2
        made = grown(Path(folder), [u for u, _ in rows[:half]], [t for _, t in rows[:half]])
        first = deal(made, seed=seed, sealed_share=share)
        blank = made.parts[0]
        made.add(
            [
                replace(blank, **BARE, key=f"r{n}", sha256=f"{n + 99:064x}", serial=f"s{u}")
                for n, (u, _) in enumerate(rows[half:])
            ]
        )
        second = deal(Footage.open(made.folder), seed=seed, sealed_share=share)
        assert {k: second.side[k] for k in first.side} == dict(first.side)
        assert set(second.side) == {p.key for p in made.parts}
        sides: dict[str, set[str]] = {}
        for part in made.parts:
            sides.setdefault(part.unit, set()).add(second.side[part.key])
        assert all(len(s) == 1 for s in sides.values())
        assert read_split(made) == second


def test_defective_and_good_parts_are_dealt_apart(tmp_path: Path) -> None:
    truths = ["dent"] * 10 + ["scratch"] * 10 + ["ok"] * 40
    made = grown(tmp_path, list(range(60)), truths)
    split = deal(made, seed=3, sealed_share=0.5)
    for truth, total in (("dent", 10), ("scratch", 10), ("ok", 40)):
        sealed = sum(split.side[f"q{n}"] == SEALED for n, t in enumerate(truths) if t == truth)
        assert abs(sealed - total / 2) <= 1, truth
    assert split.parts(made, SEALED)[0] in made.parts
    other = deal(grown(tmp_path / "b", list(range(60)), truths), seed=4)
    assert dict(other.side) != dict(split.side)


def test_a_lot_stands_together_and_the_same_pixels_too(tmp_path: Path) -> None:
    made = grown(tmp_path, list(range(40)), ["ok"] * 40, lots=[n // 4 for n in range(40)])
    split = deal(made, by="lot")
    for lot in range(10):
        assert len({split.side[f"q{n}"] for n in range(lot * 4, lot * 4 + 4)}) == 1
    with pytest.raises(DataRefused, match="no part of shift has a lot"):
        deal(footage(tmp_path / "b"), by="lot")
    twins = footage(tmp_path / "c", ["ok"])
    twins.add([replace(twins.parts[0], key=f"t{n}", serial=f"s{n}") for n in range(20)])
    assert len(set(deal(twins).side.values())) == 1


def test_a_part_that_joins_both_sides_stands_on_neither(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    made = grown(tmp_path, list(range(20)), ["ok"] * 20)
    split = deal(made)
    tuning, sealed = (next(p for p in made.parts[1:] if split.side[p.key] == s) for s in (TUNING, SEALED))
    made.add([replace(tuning, key="bridge", sha256=sealed.sha256)])
    again = deal(made)
    assert "bridge" not in again.side
    assert "stands on neither" in caplog.text
    assert {k: again.side[k] for k in split.side} == dict(split.side)


def test_a_split_that_was_looked_at_is_not_drawn_again(tmp_path: Path) -> None:
    made = grown(tmp_path, list(range(20)), ["ok", "dent"] * 10)
    deal(made, seed=1)
    split = deal(made, seed=2)  # nobody looked yet
    assert look(made, split, person="mia", why="first", at=AT, limits={"*": 0.3}) == 1
    assert look(made, split, person="joe", why="second", at=AT, limits={"*": 0.2}, question="x") == 2
    with pytest.raises(DataRefused, match="looked at 2 times"):
        deal(made, seed=3)
    with pytest.raises(DataRefused, match="looked at 2 times"):
        deal(made, seed=2, sealed_share=0.4)
    assert deal(made, seed=2) == split
    rows = looks(made)
    assert [(r["person"], r["why"], r["limits"]) for r in rows] == [
        ("mia", "first", {"*": 0.3}),
        ("joe", "second", {"*": 0.2}),
    ]
    assert rows[0]["set"] == split.hash_of(made, SEALED)


def test_the_hash_of_a_side_changes_with_its_truth(tmp_path: Path) -> None:
    made = grown(tmp_path, list(range(8)), ["ok"] * 8)
    split = deal(made)
    before = split.hash_of(made, SEALED), split.hash_of(made, TUNING)
    key = split.parts(made, SEALED)[0].key
    mark(made, [Mark(key, "dent", "mia", AT.isoformat())])
    after = split.hash_of(made, SEALED), split.hash_of(made, TUNING)
    assert before[0] != after[0]
    assert before[1] == after[1]


def test_a_split_changed_by_hand_is_refused(tmp_path: Path) -> None:
    made = grown(tmp_path, list(range(8)), ["ok"] * 8)
    assert read_split(made) is None
    deal(made)
    path = made.folder / "split.json"
    whole = path.read_text()
    data = json.loads(whole)
    data["tuning"].append(data["sealed"].pop())
    path.write_text(json.dumps(data))
    with pytest.raises(DataRefused, match="changed by hand"):
        read_split(made)
    path.write_text(whole[:40])
    with pytest.raises(DataRefused, match="cannot be read"):
        read_split(made)
    path.write_text(whole)
    (made.folder / "parts.jsonl").write_text("")
    (made.folder / "truth.jsonl").unlink()
    with pytest.raises(DataRefused, match="which is no part here"):
        read_split(Footage.open(made.folder))
    for share in (0.0, 1.0, -1.0, float("nan")):
        with pytest.raises(DataRefused, match="not between 0 and 1"):
            deal(made, sealed_share=share)
    assert about().name == "shift"
