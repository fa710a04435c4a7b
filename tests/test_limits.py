"""Laid over a recipe, other limits change nothing else; and what is said not to widen never releases a part more."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from station.core.errors import LimitsRefused
from station.core.part import Box, Detection, Detections
from station.core.verdict import Evaluation
from station.decision import counts_of, judge
from station.limits import (
    ClassLimits,
    LimitsSet,
    compare,
    limits_of,
    overlay,
    read_limits,
    widens,
    with_changes,
    with_values,
)
from station.recipe import IgnoredRegion, Recipe
from tests.builders import recipe

LABELS = ("scratch", "dent")
SIZE = (40, 80)
MM_PER_PX = 0.5


def limits(**changes: Any) -> LimitsSet:
    """Those of the test recipe, with single values of class scratch changed."""
    return with_values(limits_of(recipe()), {"scratch": changes})


def ignoring(*regions: tuple[tuple[float, float, float, float], tuple[str, ...]]) -> LimitsSet:
    ignore = tuple(IgnoredRegion(xyxy=xyxy, why="number", classes=classes) for xyxy, classes in regions)
    return limits_of(recipe()).model_copy(update={"ignore": ignore})


# ------------------------------------------------------------------ overlay


def test_a_recipes_own_limits_laid_over_it_leave_its_hash() -> None:
    file = recipe(audit_fraction=0.1, mode="divert")
    assert overlay(file, limits_of(file)).sha256 == file.sha256
    assert read_limits(limits_of(file).to_dict()) == limits_of(file)


def test_other_limits_change_the_limits_and_nothing_else() -> None:
    file = recipe()
    given = ignoring(((0.1, 0.1, 0.2, 0.2), ("dent",))).model_copy(
        update={"classes": limits(pass_below=0.25, min_area_px=9.0).classes}
    )
    laid = overlay(file, given)
    assert limits_of(laid) == given
    assert laid.sha256 != file.sha256
    assert overlay(laid, limits_of(file)) == file


@pytest.mark.parametrize("names", [("scratch",), ("scratch", "dent", "stain"), ("scratch", "hole")])
def test_limits_for_other_classes_fit_no_recipe(names: tuple[str, ...]) -> None:
    other = LimitsSet(classes={n: ClassLimits(pass_below=0.1, fail_above=0.2) for n in names})
    with pytest.raises(LimitsRefused, match="draft limits for every class") as refused:
        overlay(recipe(), other)
    assert refused.value.code == "does_not_fit"


def test_a_region_for_a_class_that_is_none_is_refused() -> None:
    with pytest.raises(LimitsRefused, match="no class of this recipe"):
        overlay(recipe(), ignoring(((0.1, 0.1, 0.2, 0.2), ("stain",))))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({}, "classes"),
        ({"classes": {}}, "classes"),
        ({"classes": {"scratch": {"pass_below": 0.8, "fail_above": 0.7}}}, "above fail_above"),
        ({"classes": {"scratch": {"pass_below": float("nan"), "fail_above": 0.7}}}, "pass_below"),
        ({"classes": {"scratch": {"pass_below": 1.5, "fail_above": 1.7}}}, "pass_below"),
        ({"classes": {"scratch": {"pass_below": 0.1}}}, "fail_above"),
        ({"classes": {"scratch": {"pass_below": 0.1, "fail_above": 0.7, "min_area_px": 0}}}, "min_area_px"),
        ({"classes": {"scratch": {"pass_below": 0.1, "fail_above": 0.7, "more": 1}}}, "more"),
        ({"classes": {"scratch": {"pass_below": 0.1, "fail_above": 0.7}}, "ignore": [{"xyxy": [0, 0, 1, 1]}]}, "why"),
        ([1], "limits"),
        (None, "limits"),
    ],
)
def test_what_is_no_limits_is_refused_with_what_is_wrong(data: object, words: str) -> None:
    with pytest.raises(LimitsRefused, match=words) as refused:
        read_limits(data)
    assert refused.value.code == "invalid"


# ------------------------------------------------------------------ changes in words


def test_single_values_are_changed_by_name() -> None:
    got = with_changes(limits(), ["scratch.pass_below=0.35", "dent.min_area_px=12", "dent.fail_above = 0.9"])
    assert got.classes["scratch"].pass_below == 0.35
    assert (got.classes["dent"].min_area_px, got.classes["dent"].fail_above) == (12.0, 0.9)
    assert with_changes(got, ["dent.min_area_px=none"]).classes["dent"].min_area_px is None


@pytest.mark.parametrize(
    "words", ["scratch.pass_below", "stain.pass_below=0.3", "scratch.colour=0.3", "scratch.pass_below=low", "=1", ""]
)
def test_a_change_that_names_nothing_is_refused(words: str) -> None:
    with pytest.raises(LimitsRefused, match="write"):
        with_changes(limits(), [words])


def test_values_of_a_class_that_is_none_are_refused() -> None:
    with pytest.raises(LimitsRefused, match="scratch, dent"):
        with_values(limits(), {"stain": {"pass_below": 0.1}})
    with pytest.raises(LimitsRefused, match="scratch, dent"):
        with_values(limits(), {"dent": 0.1})


def test_a_comparison_names_each_value_with_both_sides() -> None:
    after = ignoring(((0.1, 0.1, 0.2, 0.2), ())).model_copy(
        update={"classes": limits(pass_below=0.35, fail_above=0.6, min_area_mm2=2.0).classes}
    )
    found = compare(limits(), after)
    assert [(c.what, c.before, c.after, c.widens) for c in found[:3]] == [
        ("scratch.pass_below", 0.3, 0.35, True),
        ("scratch.fail_above", 0.7, 0.6, False),
        ("scratch.min_area_mm2", None, 2.0, True),
    ]
    assert found[2].words == "scratch: min_area_mm2 none -> 2"
    assert found[3].what == "ignore"
    assert "all classes (number)" in found[3].words
    assert compare(after, after) == ()


# ------------------------------------------------------------------ what widens


@pytest.mark.parametrize(
    ("before", "after", "wider"),
    [
        ({}, {}, False),
        ({}, {"pass_below": 0.31}, True),
        ({}, {"pass_below": 0.29}, False),
        ({}, {"fail_above": 0.9}, False),
        ({}, {"fail_above": 0.4}, False),
        ({}, {"min_area_px": 4.0}, True),
        ({"min_area_px": 4.0}, {"min_area_px": 5.0}, True),
        ({"min_area_px": 5.0}, {"min_area_px": 4.0}, False),
        ({"min_area_px": 5.0}, {}, False),
        ({}, {"min_area_mm2": 0.5}, True),
        ({"min_area_mm2": 1.0}, {"min_area_mm2": 0.5}, False),
        ({"min_area_px": 9.0}, {"min_area_mm2": 0.001}, True),
        ({"pass_below": 0.2}, {"pass_below": 0.1, "min_area_px": 1.0}, True),
    ],
)
def test_what_widens_by_values(before: dict[str, float], after: dict[str, float], wider: bool) -> None:
    assert widens(limits(**before), limits(**after)) is wider


HERE, INSIDE, BESIDE = (0.2, 0.2, 0.6, 0.6), (0.3, 0.2, 0.6, 0.5), (0.3, 0.3, 0.7, 0.6)


@pytest.mark.parametrize(
    ("before", "after", "wider"),
    [
        ([], [(HERE, ())], True),
        ([(HERE, ())], [], False),
        ([(HERE, ())], [(HERE, ())], False),
        ([(HERE, ())], [(INSIDE, ())], False),
        ([(INSIDE, ())], [(HERE, ())], True),
        ([(HERE, ())], [(BESIDE, ())], True),
        ([(HERE, ())], [(INSIDE, ("dent",))], False),
        ([(HERE, ("dent",))], [(HERE, ())], True),
        ([(HERE, ("dent",))], [(INSIDE, ("scratch",))], True),
        ([(HERE, ("dent",)), (HERE, ("scratch",))], [(HERE, ())], False),
        # Two regions side by side never ignored what lies across both.
        ([((0.0, 0.0, 0.5, 1.0), ()), ((0.5, 0.0, 1.0, 1.0), ())], [((0.2, 0.2, 0.8, 0.8), ())], True),
    ],
)
def test_what_widens_by_regions(before: list[Any], after: list[Any], wider: bool) -> None:
    assert widens(ignoring(*before), ignoring(*after)) is wider


@pytest.mark.parametrize("edge", range(4))
def test_a_region_that_grows_at_any_edge_widens_and_one_that_shrinks_does_not(edge: int) -> None:
    grown, shrunk = list(HERE), list(HERE)
    grown[edge] += -0.05 if edge < 2 else 0.05
    shrunk[edge] += 0.05 if edge < 2 else -0.05
    assert widens(ignoring((HERE, ())), ignoring((tuple(grown), ())))
    assert not widens(ignoring((HERE, ())), ignoring((tuple(shrunk), ())))


def test_a_class_with_nothing_to_be_held_against_widens() -> None:
    less = LimitsSet(classes={"dent": limits().classes["dent"]})
    assert widens(limits(), less)
    assert widens(less, limits())


share = st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0])
score = st.sampled_from([0.0, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0]) | st.floats(0.0, 1.0)
area = st.none() | st.sampled_from([4.0, 16.0, 25.0, 100.0])


@st.composite
def regions(draw: st.DrawFn) -> IgnoredRegion:
    (x0, x1), (y0, y1) = (sorted((draw(share), draw(share))) for _ in range(2))
    assume(x0 < x1 and y0 < y1 and (x0, y0, x1, y1) != (0.0, 0.0, 1.0, 1.0))
    classes = tuple(draw(st.sets(st.sampled_from(LABELS))))
    return IgnoredRegion(xyxy=(x0, y0, x1, y1), why="there", classes=classes)


@st.composite
def some_limits(draw: st.DrawFn) -> LimitsSet:
    kinds = {}
    for label in LABELS:
        low, high = sorted((draw(score), draw(score)))
        kinds[label] = ClassLimits(
            pass_below=low, fail_above=high, min_area_px=draw(area), min_area_mm2=draw(st.none() | st.just(5.0))
        )
    return LimitsSet(classes=kinds, ignore=tuple(draw(st.lists(regions(), max_size=2))))


@st.composite
def narrower(draw: st.DrawFn, than: LimitsSet) -> LimitsSet:
    """Often not wider than those limits, so that the proof below has something to prove."""
    kinds = {}
    for label, it in than.classes.items():
        low = draw(st.sampled_from([it.pass_below, it.pass_below / 2, 0.0]) | score)
        kinds[label] = ClassLimits(
            pass_below=low,
            fail_above=max(low, draw(score)),
            min_area_px=draw(st.sampled_from([it.min_area_px, None]) | area),
            min_area_mm2=draw(st.sampled_from([it.min_area_mm2, None])),
        )
    kept = tuple(r for r in than.ignore if draw(st.booleans()))
    return LimitsSet(classes=kinds, ignore=(*kept, *draw(st.lists(regions(), max_size=1))))


@st.composite
def found(draw: st.DrawFn) -> Detections:
    candidates = []
    best = dict.fromkeys(LABELS, 0.0)
    for _ in range(draw(st.integers(0, 5))):
        label, at = draw(st.sampled_from(LABELS)), draw(score)
        x, y = draw(st.integers(0, 60)), draw(st.integers(0, 30))
        box = Box(x, y, x + draw(st.integers(1, 20)), y + draw(st.integers(1, 10)))
        candidates.append(Detection(label, at, box))
        best[label] = max(best[label], at)
    scores = {c: max(s, draw(score)) if draw(st.booleans()) else s for c, s in best.items()}
    unlisted = {c: draw(score) for c in LABELS if draw(st.booleans())}
    return Detections(tuple(sorted(candidates, key=lambda d: -d.score)), scores, None, unlisted)


def verdict(detections: Detections, product: Recipe) -> Evaluation:
    return judge(detections, product.limits, counts_of(product, MM_PER_PX), size=SIZE).evaluation


@given(st.data(), some_limits(), st.lists(found(), min_size=1, max_size=5))
@settings(max_examples=400, deadline=None)
def test_what_does_not_widen_stops_every_part_that_was_stopped_before(
    data: st.DataObject, before: LimitsSet, parts: list[Detections]
) -> None:
    after = data.draw(narrower(before))
    if widens(before, after):
        return
    old, new = overlay(recipe(), before), overlay(recipe(), after)
    for part in parts:
        if verdict(part, old) is not Evaluation.OK:
            assert verdict(part, new) is not Evaluation.OK


@given(some_limits(), some_limits(), some_limits())
@settings(max_examples=100, deadline=None)
def test_step_by_step_nothing_widens_unseen(a: LimitsSet, b: LimitsSet, c: LimitsSet) -> None:
    assert not widens(a, a)
    if not widens(a, b) and not widens(b, c):
        assert not widens(a, c)
