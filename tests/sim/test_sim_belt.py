"""Does the belt carry exactly its parts, apart from one another, and is its truth the truth of its pixels?"""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

from station.sim.disc import DEFECT_CLASSES, DiscSpec, draw_spec
from station.sim.world import Belt, PartInView

SMALL = {"width": 160, "height": 120}


def centred(belt: Belt) -> PartInView:
    """Run until a part has reached the middle of the picture."""
    while True:
        belt.advance()
        for part in belt.truth():
            if part.x >= belt.width / 2 and part.fully_visible:
                return part


def run(belt: Belt, frames: int) -> list[bytes]:
    pictures = []
    for _ in range(frames):
        belt.advance()
        pictures.append(belt.frame().tobytes())
    return pictures


def test_the_same_seed_shows_the_same_film():
    assert run(Belt(seed=5, **SMALL), 90) == run(Belt(seed=5, **SMALL), 90)
    assert run(Belt(seed=5, **SMALL), 5) != run(Belt(seed=6, **SMALL), 5)


def test_frames_are_fresh_bgr_arrays():
    belt = Belt(seed=5, width=320)
    one = belt.frame()
    assert one.shape == (240, 320, 3)
    assert one.dtype == np.uint8
    kept = one.copy()
    belt.frame()[:] = 0
    assert (one == kept).all()


@pytest.mark.parametrize("speed_px", [0.7, 3.0, 7.3, 29.0, 90.0])
def test_exactly_the_parts_asked_for_cross_the_middle(speed_px: float):
    belt = Belt(seed=8, parts=12, speed_px=speed_px, **SMALL)
    seen: list[str] = []
    crossings, last = 0, 0
    for _ in range(100_000):
        if belt.finished:
            break
        belt.advance()
        seen += [part.serial for part in belt.truth() if part.serial not in seen]
        crossings += belt.crossed - last
        last = belt.crossed
    assert belt.finished
    assert crossings == belt.crossed == 12
    assert not belt.truth()
    if speed_px < 60:  # a faster belt may carry a part past between two frames
        assert seen == [f"D{i:06d}" for i in range(12)]
    before = belt.frame().astype(int)
    belt.advance(1000)
    assert abs(belt.frame().mean() - before.mean()) < 12  # only the belt is left


def test_where_a_part_lies_does_not_depend_on_how_the_belt_ran():
    steps, leap = Belt(seed=9, **SMALL), Belt(seed=9, **SMALL)
    for _ in range(2000):
        steps.advance(0.25)
    leap.advance(500)
    assert [(p.serial, p.x, p.y) for p in steps.truth()] == [(p.serial, p.x, p.y) for p in leap.truth()]
    assert leap.truth()


@pytest.mark.parametrize("pitch_px", [None, 86.0, 150.0])
def test_no_two_discs_touch_and_pitch_is_kept(pitch_px: float | None):
    belt = Belt(seed=10, pitch_px=pitch_px, parts=150, **SMALL)
    where: dict[int, float] = {}
    rows = set()
    while not belt.finished:
        belt.advance()
        parts = belt.truth()
        for part in parts:
            where.setdefault(part.index, belt.travelled_px - part.x)
            rows.add(part.y)
            assert part.diameter_px / 2 <= part.y <= belt.height - part.diameter_px / 2
        for a, b in itertools.pairwise(parts):
            assert a.x - b.x > 1.1 * a.diameter_px
    starts = np.array([where[i] for i in range(150)])
    assert np.diff(starts).mean() == pytest.approx(belt.pitch_px, rel=0.02)
    assert len(rows) > 8  # parts stray across the belt
    if pitch_px != 86.0:
        assert np.diff(starts).std() > 1  # and along it


def test_the_discs_are_where_the_truth_says():
    belt = Belt(seed=11, defect_rate=0, harmless_rate=0, width=320)
    for _ in range(6):
        part = centred(belt)
        rows, columns = np.indices((belt.height, belt.width))
        hub = np.hypot(rows - part.y, columns - part.x) < 0.18 * part.diameter_px
        bore = hub & (belt.frame().mean(axis=2) < 45)
        assert bore.sum() == pytest.approx(np.pi * (0.125 * part.diameter_px) ** 2, rel=0.1)
        # Light falls into the bore from one side, which moves its dark part by a pixel.
        assert columns[bore].mean() == pytest.approx(part.x, abs=2)
        assert rows[bore].mean() == pytest.approx(part.y, abs=2)
        belt.advance(30)


def test_a_whole_disc_stays_in_view_for_many_frames():
    belt = Belt(seed=12, parts=1)
    whole = 0
    while not belt.finished:
        belt.advance()
        whole += any(part.fully_visible for part in belt.truth())
    assert whole >= 20


def test_a_standing_belt_shows_the_same_scene_with_fresh_noise():
    belt = Belt(seed=13, width=320)
    centred(belt)
    first, truth = belt.frame(), belt.truth()
    belt.advance(0)
    second = belt.frame()
    assert first.tobytes() != second.tobytes()
    change = first.astype(int) - second
    assert 1 < change.std() < 6
    assert abs(change.mean()) < 0.2
    assert [(p.serial, p.x, p.y) for p in belt.truth()] == [(p.serial, p.x, p.y) for p in truth]
    belt.advance()
    assert (belt.frame().astype(int) - second).std() > 2 * change.std()


def test_the_belt_moves_with_its_parts():
    belt = Belt(seed=14, parts=0, speed_px=4.0, width=320)
    assert belt.finished

    def texture() -> np.ndarray:
        return np.mean([belt.frame() for _ in range(8)], axis=0).mean(axis=2)  # the noise averages out

    before = texture()
    belt.advance(5)
    after = texture()
    moved = np.corrcoef(before[:, :-20].ravel(), after[:, 20:].ravel())[0, 1]
    still = np.corrcoef(before.ravel(), after.ravel())[0, 1]
    assert moved > 0.85
    assert moved > still + 0.1


@pytest.mark.parametrize("kind", DEFECT_CLASSES)
def test_truth_for_a_box_agrees_with_the_pixels(kind: str):
    def belt_with(planted: bool) -> Belt:
        def spec_of(index: int) -> DiscSpec:
            spec = draw_spec(15, index, harmless_rate=0, planted=[(kind, 1.0)])
            return spec if planted else replace(spec, planted=())

        return Belt(seed=15, spec_of=spec_of)

    bad, good = belt_with(True), belt_with(False)
    part = centred(bad)
    good.advance(bad.travelled_px / good.speed_px)
    x0, y0 = int(part.x) - 180, int(part.y) - 175
    box = (x0, y0, x0 + 370, y0 + 360)
    truth = bad.truth_for_box(box)
    assert truth is not None
    assert truth.part.serial == part.serial
    mask = truth.masks[kind]
    assert mask.shape == (360, 370)
    crop = np.s_[max(y0, 0) : y0 + 360, max(x0, 0) : x0 + 370]
    mean_bad, mean_good = (np.mean([b.frame()[crop] for _ in range(6)], axis=0).mean(axis=2) for b in (bad, good))
    change = np.abs(mean_bad - mean_good)
    seen = mask[max(-y0, 0) :, max(-x0, 0) :][: change.shape[0], : change.shape[1]]
    assert change[seen].mean() > 10
    assert change[~seen].mean() < 1.6
    bx0, by0, bx1, by1 = (int(edge) for edge in truth.planted[0].box)
    assert mask[by0:by1, bx0:bx1].sum() == mask.sum() > 0
    later = part.truth_in(box)
    bad.advance(7)
    assert (later.masks[kind] == mask).all()  # what was seen stays true of the frame it was seen in


def test_truth_for_a_box_without_a_centre_is_none_and_a_wide_box_takes_the_middle_part():
    belt = Belt(seed=16)
    part = centred(belt)
    assert belt.truth_for_box((0, 0, 5, 5)) is None
    whole = belt.truth_for_box((-400, 0, 1040, 480))
    assert whole is not None
    assert whole.part.serial == part.serial
    assert whole.masks["dent"].shape == (480, 1440)
    with pytest.raises(ValueError, match="no area"):
        part.truth_in((10, 10, 10, 20))


def test_memory_stays_bounded_over_many_parts():
    belt = Belt(seed=17, parts=500, width=64, height=48, speed_px=6.0)
    most = 0
    while not belt.finished:
        belt.advance()
        belt.frame()
        most = max(most, len(belt._sprites), len(belt._places))
    assert belt.crossed == 500
    assert most <= 6
    assert not belt._sprites


def test_a_part_can_be_asked_for_before_and_after_it_was_seen():
    belt = Belt(seed=18, parts=3, **SMALL)
    specs = [belt.spec(i) for i in range(3)]
    assert centred(belt).spec == specs[0]
    belt.advance(10_000)
    assert [belt.spec(i) for i in range(3)] == specs
    with pytest.raises(IndexError, match="part 3"):
        belt.spec(3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"speed_px": 0.0}, "speed_px"),
        ({"speed_px": float("nan")}, "speed_px"),
        ({"diameter_px": 700.0}, "does not fit"),
        ({"pitch_px": 310.0}, "pitch_px"),
        ({"parts": -1}, "parts"),
        ({"defect_rate": 2.0}, "rates"),
        ({"width": 8}, "px"),
    ],
)
def test_a_world_that_cannot_be_is_refused(options: dict, message: str):
    with pytest.raises(ValueError, match=message):
        Belt(seed=1, **options)


@pytest.mark.parametrize("dt_frames", [-1.0, float("nan"), float("inf")])
def test_a_belt_does_not_run_backwards(dt_frames: float):
    with pytest.raises(ValueError, match="forward"):
        Belt(seed=1, **SMALL).advance(dt_frames)
