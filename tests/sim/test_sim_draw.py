"""Are the drawn discs what they claim to be: deterministic, at the asked rates, with marks where marks can lie?"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from station.sim.draw import draw_spec
from station.sim.spec import (
    BORE_RADIUS,
    DEFECT_CLASSES,
    HARMLESS,
    HOLE_RADIUS,
    LIGHT_AZIMUTH_RAD,
    DiscSpec,
    Mark,
)


def test_the_same_arguments_draw_the_same_disc_and_others_another():
    assert draw_spec(4, 17, defect_rate=1) == draw_spec(4, 17, defect_rate=1)
    assert draw_spec(4, 17) != draw_spec(4, 18)
    assert draw_spec(4, 17).seed != draw_spec(5, 17).seed
    assert draw_spec(4, 123).serial == "D000123"


def test_rates_change_the_marks_but_not_the_surface():
    clean, full = draw_spec(4, 17, defect_rate=0, harmless_rate=0), draw_spec(4, 17, defect_rate=1, harmless_rate=1)
    assert replace(full, planted=(), harmless=()) == clean
    assert full.planted
    assert full.harmless


def test_rates_and_severities_are_as_documented():
    specs = [draw_spec(1, i, defect_rate=0.3, harmless_rate=0.4) for i in range(1500)]
    assert sum(spec.defective for spec in specs) / 1500 == pytest.approx(0.3, abs=0.04)
    assert sum(bool(spec.harmless) for spec in specs) / 1500 == pytest.approx(0.4, abs=0.04)
    marks = [mark for spec in specs for mark in spec.planted]
    assert all(count > 0.15 * len(marks) for count in Counter(mark.kind for mark in marks).values())
    assert {mark.kind for mark in marks} == set(DEFECT_CLASSES)
    assert {mark.kind for spec in specs for mark in spec.harmless} == set(HARMLESS)
    severities = np.array([mark.severity for mark in marks])
    assert 0.1 < (severities < 0.2).mean() < 0.35  # some nearly invisible
    assert ((severities > 0.3) & (severities < 0.9)).mean() > 0.5  # most in the middle


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), index=st.integers(0, 10_000), holes=st.sampled_from([5, 6]))
def test_marks_lie_on_the_face_and_clear_of_the_holes(seed: int, index: int, holes: int):
    spec = draw_spec(seed, index, defect_rate=1, harmless_rate=1, holes=holes)
    centres = spec.hole_centres()
    assert centres.shape == (holes, 2)
    for mark in spec.planted + spec.harmless:
        if mark.kind == "missing_hole":
            assert mark.points[0] == pytest.approx(tuple(centres[mark.hole]))
            continue
        for x, y in mark.points:
            assert BORE_RADIUS < math.hypot(x, y) < 0.95
            assert np.hypot(centres[:, 0] - x, centres[:, 1] - y).min() > HOLE_RADIUS


def test_glints_point_to_the_lamp_and_scratches_anywhere():
    def headings(kind: str) -> np.ndarray:
        specs = [draw_spec(2, i, defect_rate=1, harmless_rate=1) for i in range(300)]
        lines = [m.points for s in specs for m in s.planted + s.harmless if m.kind == kind]
        return np.array([math.atan2(p[-1][1] - p[0][1], p[-1][0] - p[0][0]) for p in lines])

    assert np.abs(np.sin(headings("reflection") - LIGHT_AZIMUTH_RAD)).max() < 0.3
    assert np.abs(np.sin(headings("scratch") - LIGHT_AZIMUTH_RAD)).mean() > 0.5


def test_planted_defects_are_exactly_those_asked_for():
    wanted = [("scratch", 0.1), ("missing_hole", 1.0), ("stain", 0.5), ("dent", 0.7), ("missing_hole", 0.3)]
    spec = draw_spec(1, 2, planted=wanted)
    assert sorted((mark.kind, mark.severity) for mark in spec.planted) == sorted(wanted)
    assert not draw_spec(1, 2, defect_rate=1, planted=[]).defective


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: draw_spec(1, 1, defect_rate=1.2), "defect_rate is 1.2"),
        (lambda: draw_spec(1, -1), "must not be negative"),
        (lambda: draw_spec(1, 1, planted=[("rust", 0.5)]), "rust"),
        (lambda: draw_spec(1, 1, planted=[("dust", 0.5)]), "harmless"),
        (lambda: draw_spec(1, 1, planted=[("dent", 0.0)]), "severity"),
        (lambda: draw_spec(1, 1, holes=5, planted=[("missing_hole", 1.0)] * 5), "5 of 5 holes"),
        (lambda: draw_spec(1, 1, holes=40), "40 bolt holes"),
        (lambda: Mark("dent", float("nan"), ((0.5, 0.0),), 0.1, 1), "severity"),
        (lambda: Mark("dent", 0.5, ((0.9, 0.9),), 0.1, 1), "on the disc"),
        (lambda: Mark("dent", 0.5, ((0.5, 0.0),), 0.1, 1, hole=2), "names its hole"),
        (lambda: DiscSpec("D1", 1, holes=5, planted=(Mark("missing_hole", 1, ((0.5, 0),), 0.1, 1, 5),)), "only 5"),
    ],
)
def test_what_cannot_be_is_refused_with_the_fact(call, message: str):
    with pytest.raises(ValueError, match=message):
        call()
