"""Does the split never divide a part, and does every group stay where it was?"""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from station.core.errors import ConfigError
from station.export import Side, Splitter

SHARES = (0.7, 0.15, 0.15)
SERIALS = st.none() | st.sampled_from(["S1", "S2", "S3"])
LOTS = st.none() | st.sampled_from(["L1", "L2"])
SEEN = st.lists(st.tuples(SERIALS, LOTS), max_size=30)


def dealt(seen: list[tuple[str | None, str | None]], seed: int = 0) -> list[tuple[str, Side]]:
    splitter = Splitter(SHARES, seed=seed)
    groups = [splitter.group(f"p{k}", serial=serial, lot=lot) for k, (serial, lot) in enumerate(seen)]
    return [(g, splitter.side(g)) for g in groups]


@given(SEEN, st.integers(0, 5))
def test_a_serial_is_never_divided(seen: list[tuple[str | None, str | None]], seed: int) -> None:
    sides: dict[str, set[Side]] = {}
    for (serial, _), (_, side) in zip(seen, dealt(seen, seed), strict=True):
        if serial:
            sides.setdefault(serial, set()).add(side)
    assert all(len(found) == 1 for found in sides.values())


@given(SEEN, SEEN)
def test_later_samples_move_no_earlier_one(
    seen: list[tuple[str | None, str | None]], later: list[tuple[str | None, str | None]]
) -> None:
    assert dealt(seen + later)[: len(seen)] == dealt(seen)


@given(st.lists(LOTS, max_size=30))
def test_a_lot_of_parts_without_serial_stays_together(lots: list[str | None]) -> None:
    found = dealt([(None, lot) for lot in lots])
    for lot in ("L1", "L2"):
        assert len({f for f, known in zip(found, lots, strict=True) if known == lot}) <= 1
    alone = [f[0] for f, known in zip(found, lots, strict=True) if known is None]
    assert len(set(alone)) == len(alone)


def test_a_lot_a_serial_and_a_part_of_one_name_are_three_groups() -> None:
    splitter = Splitter(SHARES, seed=0)
    names = {splitter.group("7", serial=s, lot=t) for s, t in ((None, None), ("7", None), (None, "7"))}
    assert len(names) == 3


def test_the_sides_get_their_shares() -> None:
    splitter = Splitter(SHARES, seed=3)
    found = Counter(splitter.side(f"part:{k}") for k in range(20_000))
    for side, share in zip(Side, SHARES, strict=True):
        assert found[side] / 20_000 == pytest.approx(share, abs=0.01)


def test_another_seed_is_another_split() -> None:
    groups = [f"part:{k}" for k in range(200)]
    one, two = ([Splitter(SHARES, seed=s).side(g) for g in groups] for s in (0, 1))
    assert one != two


def test_the_split_is_the_same_on_every_machine() -> None:
    sides = [Splitter(SHARES, seed=0).side(f"part:{k}").value for k in range(10)]
    assert " ".join(sides) == "test train train val train train train train test train"


@pytest.mark.parametrize(("shares", "only"), [((1, 0, 0), "train"), ((0, 1, 0), "val"), ((0, 0, 1), "test")])
def test_a_share_of_nothing_gets_nothing(shares: tuple[float, float, float], only: str) -> None:
    assert {Splitter(shares, seed=0).side(f"part:{k}") for k in range(500)} == {only}


@pytest.mark.parametrize("shares", [(0.7, 0.2, 0.2), (1.1, -0.1, 0.0), (float("nan"), 0.5, 0.5), (0.0, 0.0, 0.0)])
def test_shares_that_are_none_are_refused(shares: tuple[float, float, float]) -> None:
    with pytest.raises(ConfigError, match="sum 1"):
        Splitter(shares, seed=0)
