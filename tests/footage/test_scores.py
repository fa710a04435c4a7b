"""Does the cache give back exactly what the detector said, and nothing that was damaged?"""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from station.core.errors import DataRefused
from station.core.part import Detections
from station.footage import scores as module
from station.footage.checked import Checked
from station.footage.scores import Columns, ScoreCache, columns_of, joined
from tests.builders import detections
from tests.footage.builders import same, sha
from tests.footage.test_columns import LABELS, SIZE, found

CLASSES = ("scratch", "dent")


def cache(root: Path) -> ScoreCache:
    return ScoreCache(root, model_sha256="a" * 64, preprocess="b" * 64, classes=CLASSES)


def some(n: int) -> Detections:
    return detections(("scratch", 0.1 + n / 1000, (1, 2, 3 + n, 4)), ("dent", 1 / 3, (0, 0, 9.25, 1e-3)), scratch=0.9)


@given(st.lists(found(), max_size=5))
@settings(max_examples=100, deadline=None)
def test_what_goes_in_comes_out_to_the_bit(several: list[Detections]) -> None:
    columns = columns_of(LABELS, [(sha(n), it, SIZE) for n, it in enumerate(several)])
    back = module._from_bytes(module._as_bytes(columns))
    assert all(same(back.row(k), it) for k, it in enumerate(several))
    order = np.array([k for k in reversed(range(len(several))) for _ in range(2)], np.int64)
    taken = back.taken(order)
    assert all(same(taken.row(n), several[k]) for n, k in enumerate(order))
    twice = joined(LABELS, [back, back])
    assert all(same(twice.row(k + len(several)), it) for k, it in enumerate(several))


def test_kept_over_a_restart_in_shards_never_rewritten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SHARD_ROWS", 3)
    first = cache(tmp_path)
    for n in range(7):
        first.add(sha(n), some(n), SIZE)
        first.add(sha(n), some(99), SIZE)  # known already: the first word stands
    names = sorted(p.name for p in first.folder.iterdir())
    assert names == ["000001.npz", "000002.npz"]
    assert sha(6) in first, "not written yet, but known"
    assert first.rows([sha(6)])[0] == -1
    first.flush()
    before = (first.folder / "000001.npz").read_bytes()
    second = cache(tmp_path)
    rows = second.rows([sha(n) for n in range(8)] + [None])
    assert list(rows[7:]) == [-1, -1]
    assert all(same(second.columns.row(int(rows[n])), some(n)) for n in range(7))
    second.add(sha(7), some(7), SIZE)
    second.flush()
    assert sorted(p.name for p in first.folder.iterdir())[-1] == "000004.npz"
    assert (first.folder / "000001.npz").read_bytes() == before


@pytest.mark.parametrize("how", ["cut", "flipped", "empty", "words", "classes"])
def test_a_damaged_shard_is_moved_aside_with_a_word_and_asked_again(
    how: str, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SHARD_ROWS", 2)
    first = cache(tmp_path)
    for n in range(4):
        first.add(sha(n), some(n), SIZE)
    shard = first.folder / "000001.npz"
    data = shard.read_bytes()
    if how == "classes":
        other = columns_of(("dent", "scratch"), [(sha(0), some(0), SIZE)])
        shard.write_bytes(module._as_bytes(other))
    else:
        at = data.find(np.float64(0.9).tobytes())
        broken = {"cut": data[: len(data) // 2], "empty": b"", "words": b"no shard"}
        shard.write_bytes(broken.get(how, data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]))
    with caplog.at_level(logging.WARNING):
        second = cache(tmp_path)
    assert "moved aside" in caplog.text
    assert [sha(n) in second for n in range(4)] == [False, False, True, True]
    assert same(second.columns.row(0), some(2))
    assert (first.folder / "000001.damaged").exists()
    second.add(sha(0), some(0), SIZE)
    second.flush()
    assert (first.folder / "000003.npz").exists()


def test_another_model_or_preprocessing_has_its_own_scores(tmp_path: Path) -> None:
    first = cache(tmp_path)
    first.add(sha(1), some(1), SIZE)
    first.flush()
    for model, preprocess in (("c", "b"), ("a", "c")):
        other = ScoreCache(tmp_path, model_sha256=model * 64, preprocess=preprocess * 64, classes=CLASSES)
        assert sha(1) not in other


def test_other_classes_are_refused_and_a_full_disk_costs_the_cache_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    kept = cache(tmp_path)
    with pytest.raises(DataRefused, match="its cache is for"):
        kept.add(sha(1), Detections((), {"crack": 0.1}), SIZE)
    with pytest.raises(DataRefused, match="was scored for"):
        columns_of(CLASSES, [(sha(1), Detections((), {"crack": 0.1}), SIZE)])

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module.lines, "write_whole", full)
    kept.add(sha(1), some(1), SIZE)
    kept.flush()
    assert "asks the model again" in caplog.text
    assert same(kept.columns.row(int(kept.rows([sha(1)])[0])), some(1)), "this replay has its scores all the same"


def test_columns_that_do_not_fit_are_refused() -> None:
    good = columns_of(CLASSES, [(sha(1), some(1), SIZE)])
    fields = {name: getattr(good, name) for name in module._ARRAYS}
    for wrong in (
        {"scores": good.scores.astype(np.float32)},
        {"scores": good.scores[:, :1]},
        {"first": np.array([0, 9], np.int64)},
        {"label": np.array([0, 7], np.uint8)},
    ):
        with pytest.raises(DataRefused):
            Columns(CLASSES, **(fields | wrong))


def test_health_is_kept_line_by_line_and_a_torn_line_is_looked_at_again(tmp_path: Path) -> None:
    kept = Checked(tmp_path, "h" * 64)
    kept.add(sha(1), None)
    kept.add(sha(2), "black: mean\tgrey\nlevel 0.0")
    kept.flush()
    kept.flush()
    with kept.path.open("a") as file:
        file.write(f'{sha(3)}\t"bla')
    again = Checked(tmp_path, "h" * 64)
    assert (sha(1) in again, again.ill(sha(1))) == (True, None)
    assert again.ill(sha(2)) == "black: mean\tgrey\nlevel 0.0"
    assert sha(3) not in again
    again.add(sha(4), None)
    again.flush()
    last = Checked(tmp_path, "h" * 64)
    assert sha(4) in last
    assert sha(3) not in last
    assert sha(1) not in Checked(tmp_path, "i" * 64)


def test_a_shard_whose_content_does_not_match_its_own_hash_is_refused() -> None:
    import io

    good = columns_of(CLASSES, [(sha(1), some(1), SIZE)])
    arrays = {name: getattr(good, name) for name in module._ARRAYS} | {"scores": good.scores * 0.5}
    data = io.BytesIO()
    np.savez(data, classes=np.array(CLASSES), check=np.array(module._check(good)), **arrays)
    with pytest.raises(DataRefused, match="not what was written"):
        module._from_bytes(data.getvalue())
