"""Is one fault again and again told from several bad parts, and does a hidden part stay hidden?"""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from station.core.part import Box
from station.core.verdict import Evaluation
from station.systematic import IN_A_ROW, NEAR, Stopped, Systematic, systematic

WIDTH, HEIGHT = 200, 100


def stop(number: int, x: float = 40.0, y: float = 20.0, *, label: str = "scratch") -> Stopped:
    """Part ``number`` with a defect whose centre is ``(x, y)``."""
    return Stopped(number, Evaluation.NOT_OK, label, Box(x - 4, y - 3, x + 4, y + 3), WIDTH, HEIGHT)


def row(*numbers: int, x: float = 40.0, y: float = 20.0, label: str = "scratch") -> list[Stopped]:
    return [stop(number, x, y, label=label) for number in numbers]


def test_three_in_a_row_at_one_place_are_systematic() -> None:
    found = systematic(
        [stop(3, 100, 90), stop(7, 40, 20), stop(8, 45, 25), stop(12, 38, 22)], titles={"scratch": "Scratch"}
    )
    assert found == Systematic(
        "scratch",
        3,
        7,
        "3 parts in a row stopped for Scratch at the same place (upper left): "
        "check fixture, tool and lens before going on",
    )


def test_two_are_an_accident() -> None:
    assert systematic(row(7, 8)) is None
    assert systematic([]) is None


def test_only_the_row_up_to_the_newest_part_counts() -> None:
    assert systematic([*row(1, 2, 3, 4), stop(5, label="dent")]) is None
    assert systematic([*row(1, 2, 3, 4), stop(5, 160, 20)]) is None


def test_a_class_without_a_title_keeps_its_name() -> None:
    found = systematic(row(1, 2, 3, label="dent"), titles={"scratch": "Scratch"})
    assert found is not None
    assert "stopped for dent at" in found.words


@pytest.mark.parametrize("evaluation", [Evaluation.NOT_OK, Evaluation.NOT_DECIDABLE])
def test_rejected_and_uncertain_parts_count_alike(evaluation: Evaluation) -> None:
    found = systematic([replace(part, evaluation=evaluation) for part in row(1, 2)] + row(3))
    assert found is not None
    assert found.count == 3


@pytest.mark.parametrize(
    "change",
    [
        {"hidden": True},
        {"box": None},
        {"label": None},
        {"label": "dent"},
        {"evaluation": Evaluation.OK},
        {"evaluation": Evaluation.UNDEFINED},
    ],
)
@pytest.mark.parametrize("at", [0, 1, 2, 3, 4])
def test_a_part_that_does_not_fit_ends_the_row(change: dict[str, object], at: int) -> None:
    parts = row(1, 2, 3, 4, 5)
    parts[at] = replace(parts[at], **change)  # type: ignore[arg-type]
    found = systematic(parts)
    newer = len(parts) - at - 1
    assert (found is not None) == (newer >= IN_A_ROW)
    if found is not None:
        assert (found.count, found.since_number) == (newer, at + 2)


def test_a_row_of_what_is_no_defect_is_none() -> None:
    for change in ({"hidden": True}, {"box": None}, {"label": None}, {"evaluation": Evaluation.UNDEFINED}):
        assert systematic([replace(part, **change) for part in row(1, 2, 3, 4)]) is None  # type: ignore[arg-type]


@given(st.sampled_from(Evaluation), st.sampled_from([None, "scratch", "dent"]), st.floats(5, 195), st.floats(5, 95))
def test_a_hidden_part_tells_nothing(evaluation: Evaluation, label: str | None, x: float, y: float) -> None:
    for at in range(5):
        parts = row(1, 2, 3, 4, 5)
        parts[at] = replace(parts[at], hidden=True)
        other = replace(stop(at + 1, x, y), evaluation=evaluation, label=label, hidden=True)
        assert systematic([*parts[:at], other, *parts[at + 1 :]]) == systematic(parts)


def test_a_part_that_comes_twice_counts_once() -> None:
    assert systematic([*row(1, 2), *row(2)]) is None
    assert systematic([*row(1, 2, 3), replace(stop(3), hidden=True)]) is None


@given(st.permutations(row(1, 2, 3, 4, 5)))
def test_the_order_does_not_matter(parts: list[Stopped]) -> None:
    assert systematic(parts) == systematic(row(1, 2, 3, 4, 5))


def test_a_place_cannot_wander() -> None:
    step = 0.6 * NEAR * WIDTH
    assert systematic([stop(n, 40 + n * step) for n in range(1, 4)]) is None
    assert systematic([stop(n, 40 + n * step / 2) for n in range(1, 4)]) is not None


@pytest.mark.parametrize(("apart", "same"), [(19.5, True), (20.5, False)])
def test_a_tenth_of_the_longer_side_is_the_limit(apart: float, same: bool) -> None:
    assert (systematic([*row(1, 2), stop(3, 40 + apart)]) is not None) == same
    assert (systematic([*row(1, 2), stop(3, 40, 20 + apart)]) is not None) == same


@given(st.lists(st.tuples(st.floats(5, 195), st.floats(5, 95), st.sampled_from(["scratch", "dent"])), max_size=8))
def test_it_is_what_counting_by_hand_gives(places: list[tuple[float, float, str]]) -> None:
    found = systematic([stop(n, x, y, label=label) for n, (x, y, label) in enumerate(places)])
    centres = [stop(0, x, y).box.centre for x, y, _ in places]  # type: ignore[union-attr]
    best = 0
    for count in range(IN_A_ROW, len(places) + 1):
        last = range(len(places) - count, len(places))
        near = all(math.dist(centres[a], centres[b]) <= NEAR * WIDTH for a in last for b in last)
        if near and len({places[n][2] for n in last}) == 1:
            best = count
    assert (found.count if found else 0) == best
    if found is not None:
        assert found.since_number == len(places) - best
        assert found.label == places[-1][2]
        assert found.words.startswith(f"{best} parts in a row")


@given(st.integers(1, 20), st.floats(0.1, 0.9), st.floats(0.1, 0.9))
def test_pictures_of_another_resolution_share_their_places(factor: int, x: float, y: float) -> None:
    parts = [
        Stopped(n, Evaluation.NOT_OK, "dent", Box(x * w - 1, y * h - 1, x * w + 1, y * h + 1), w, h)
        for n, (w, h) in enumerate([(200, 100), (200 * factor, 100 * factor), (400, 200)])
    ]
    assert systematic(parts) is not None


@pytest.mark.parametrize(
    ("x", "y", "words"),
    [
        (10, 10, "upper left"), (100, 10, "top"), (190, 10, "upper right"),
        (10, 50, "left"), (100, 50, "middle"), (190, 50, "right"),
        (10, 90, "lower left"), (100, 90, "bottom"), (190, 90, "lower right"),
    ],
)  # fmt: skip
def test_the_place_is_called_as_people_call_it(x: float, y: float, words: str) -> None:
    found = systematic(row(1, 2, 3, x=x, y=y))
    assert found is not None
    assert f"at the same place ({words}):" in found.words


def test_a_picture_without_size_is_refused() -> None:
    with pytest.raises(ValueError, match="0 x 100"):
        Stopped(1, Evaluation.NOT_OK, "dent", None, 0, 100)
