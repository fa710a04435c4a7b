"""Is a physical part with several pictures one witness, read the careful way?"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from station.calibration.certificate import EVERY_CLASS
from station.core.errors import DataRefused
from station.core.part import Detections
from station.footage.book import Footage, FootagePart
from station.footage.scores import columns_of
from station.footage.table import Rules, Table
from station.footage.trained import trained_units
from station.footage.truth import Mark, Truths, mark, truths
from station.footage.units import Unit, defective_scores, good_scores, on_side, units_from_csv, units_of
from station.recipe import Limits
from station.registry import ModelRegistry
from tests.footage.builders import AT, csv_of, footage, sha

ROOT = Path(__file__).resolve().parents[2]
CLASSES = ("scratch", "dent")
ROWS = [  # serial, truth, scratch, dent
    ("a", "scratch", 0.9, 0.1),
    ("a", "scratch", 0.4, 0.2),
    ("a", "ok", 0.05, 0.0),
    ("b", "ok", 0.2, 0.3),
    ("b", "ok", 0.1, 0.6),
    ("c", "dent", 0.7, 0.5),
    ("c", "scratch", 0.3, 0.8),
    ("d", None, 0.9, 0.9),
]


def made(root: Path) -> tuple[Footage, Table, Truths]:
    whole = footage(root, [t for _, t, _, _ in ROWS], serials=[s for s, _, _, _ in ROWS])
    several = [
        (str(p.sha256), Detections((), {"scratch": r[2], "dent": r[3]}), (8, 8))
        for p, r in zip(whole.parts, ROWS, strict=True)
    ]
    table = Table(whole.parts, columns_of(CLASSES, several), np.arange(len(ROWS)), [None] * len(ROWS))
    return whole, table, truths(whole)


def units(root: Path) -> dict[str, Unit]:
    _, table, known = made(root)
    limits = {c: Limits(pass_below=0.5, fail_above=0.9) for c in CLASSES}
    return units_of(table, table.judged(Rules(limits, {})), known)


def test_of_a_defective_part_the_lowest_defective_picture_counts_of_a_good_one_the_highest(tmp_path: Path) -> None:
    found = units(tmp_path)
    assert list(found) == ["serial:a", "serial:b", "serial:c", "serial:d"]
    assert [u.defective for u in found.values()] == [True, False, True, False]
    assert found["serial:a"].score(EVERY_CLASS, CLASSES) == 0.4
    assert found["serial:b"].score(EVERY_CLASS, CLASSES) == 0.6
    assert found["serial:c"].score(EVERY_CLASS, CLASSES) == 0.7
    assert found["serial:c"].score("scratch", CLASSES) == 0.3, "its own class's, in the picture that shows it"
    assert found["serial:c"].score("dent", CLASSES) == 0.5
    assert found["serial:d"].left_out == 1
    chosen = list(found.values())
    assert sorted(defective_scores(chosen, EVERY_CLASS, CLASSES)) == [0.4, 0.7]
    assert sorted(defective_scores(chosen, "scratch", CLASSES)) == [0.3, 0.4]
    assert list(good_scores(chosen, EVERY_CLASS, CLASSES)) == [0.6]


def test_pictures_that_were_not_inspected_or_are_disputed_are_no_evidence(tmp_path: Path) -> None:
    whole, table, _ = made(tmp_path)
    mark(whole, [Mark("p0", "ok", "joe", AT.isoformat())])
    row = table.row.copy()
    row[1] = -1
    faults = [None, "not inspected: black"] + [None] * 6
    table = Table(table.parts, table.columns, row, faults)
    known = truths(whole)
    found = units_of(
        table, table.judged(Rules({c: Limits(pass_below=0.5, fail_above=0.9) for c in CLASSES}, {})), known
    )
    assert (found["serial:a"].views, found["serial:a"].left_out) == ([], 3), "what is left of it shows no defect"


def test_people_are_counted_and_imports_are_none(tmp_path: Path) -> None:
    whole, table, _ = made(tmp_path)
    mark(whole, [Mark(f"p{n}", "ok", "joe", AT.isoformat()) for n in (3, 4)])
    mark(whole, [Mark("p5", "dent", "import:tiles", AT.isoformat())])
    found = units_of(
        table, table.judged(Rules({c: Limits(pass_below=0.5, fail_above=0.9) for c in CLASSES}, {})), truths(whole)
    )
    assert {name: u.people for name, u in found.items()} == {"serial:a": 1, "serial:b": 2, "serial:c": 1, "serial:d": 0}


def test_a_side_holds_whole_parts_with_evidence(tmp_path: Path) -> None:
    found = units(tmp_path)
    side = {f"p{n}": "tuning" if n < 5 else "sealed" for n in range(8)}
    assert [u.name for u in on_side(found, side, "tuning")] == ["serial:a", "serial:b"]
    assert [u.name for u in on_side(found, side, "sealed")] == ["serial:c"]
    assert [u.name for u in on_side(found, side | {"p2": "sealed"}, "tuning")] == ["serial:b"]


def test_scores_from_a_file_are_matched_by_serial_and_held_against_the_truth(tmp_path: Path) -> None:
    _, table, known = made(tmp_path)
    rows = [
        {"part": s, "label": t or "ok", "scratch": x, "dent": y}
        for s, t, x, y in [*ROWS[:7], ("elsewhere", "ok", 0.1, 0.1)]
    ]
    found = units_from_csv(csv_of(tmp_path / "s.csv", rows), table, known, CLASSES)
    assert found["serial:a"].score(EVERY_CLASS, CLASSES) == 0.4
    assert found["serial:d"].left_out == 1
    assert "serial:elsewhere" not in found
    for change, match in (
        ({"scratch": 1.5}, "not in \\[0, 1\\]|not in"),
        ({"scratch": "x"}, "cannot be used"),
        ({"label": "dent", "part": "b"}, "do not agree whether serial:b"),
    ):
        with pytest.raises(DataRefused, match=match):
            units_from_csv(csv_of(tmp_path / "w.csv", [*rows, rows[0] | change]), table, known, CLASSES)
    with pytest.raises(DataRefused, match="names no part of footage"):
        units_from_csv(csv_of(tmp_path / "w.csv", [rows[-1]]), table, known, CLASSES)
    with pytest.raises(DataRefused, match="cannot be used"):
        units_from_csv(tmp_path / "none.csv", table, known, CLASSES)
    with pytest.raises(DataRefused, match="KeyError 'dent'"):
        units_from_csv(
            csv_of(tmp_path / "w.csv", [{"part": "a", "label": "ok", "scratch": 0.1}]), table, known, CLASSES
        )


def test_parts_that_a_model_was_trained_on_are_found(tmp_path: Path) -> None:
    models = ModelRegistry(ROOT / "models")
    tile, disc = models.open("magnetic-tile/1"), models.open("demo-disc/1")
    named = footage(tmp_path, ["ok", "ok"], serials=["tile-000", "other"])
    assert trained_units(named, tile.card, tile.folder) == {"serial:tile-000"}
    assert trained_units(named, disc.card, disc.folder) == frozenset()
    assert trained_units(named, tile.card.model_copy(update={"training": {}}), tmp_path) is None
    whole = Footage(named.folder, replace(named.about, origin="/data/magnetic-tiles"), named.parts)
    assert trained_units(whole, tile.card, tile.folder) == {"serial:tile-000", "serial:other"}

    def simulated(seed: int) -> FootagePart:
        return FootagePart("k", None, sha(1), None, 9, 9, f"simulator (seed {seed})", "x", "disc-00001", simulated=True)

    for seed, found in ((0, {"serial:disc-00001"}), (7, set())):
        rendered = Footage(named.folder, named.about, [simulated(seed)])
        assert trained_units(rendered, disc.card, disc.folder) == found
