"""Is every part sighted exactly once, near the middle of the picture, and nothing else?"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from station.core.part import Frame, Sighting
from station.core.ports import Trigger
from station.recipe import FreeRunSettings, PresenceSettings, load_recipe
from station.sim.world import Belt
from station.trigger import FreeRun, Presence, make_trigger
from tests.conftest import ROOT

Image = NDArray[np.uint8]
WIDTH, HEIGHT = 160, 120
SCALE = WIDTH / 640


def frame(image: Image | None, index: int = 0) -> Frame:
    return Frame(
        index=index,
        source="s",
        captured_at=datetime(2026, 1, 1, tzinfo=UTC),
        monotonic_s=index / 30,
        image=image,
        fault=None if image is not None else "broken",
    )


def play(images: Iterable[Image | None], trigger: Trigger | None = None, *, flush: bool = True) -> list[Sighting]:
    trigger = trigger or Presence(PresenceSettings())
    found: list[Sighting] = []
    for index, image in enumerate(images):
        found += trigger.update(frame(image, index))
    return found + (list(trigger.flush()) if flush else [])


class Line:
    """A simulated belt, filmed; remembers where every part truly was in every frame."""

    def __init__(self, *, speed_px: float, parts: int | None, seed: int = 1, skip: int = 0, **layout: float) -> None:
        scaled = {name: value * SCALE for name, value in layout.items()}
        self.step = speed_px * SCALE
        self.belt = Belt(seed=seed, width=WIDTH, speed_px=self.step, parts=parts, **scaled)
        for _ in range(skip):
            self.belt.advance()
        self.truth: list[dict[int, tuple[float, float]]] = []

    def film(self, moving: Callable[[int], bool] = lambda _: True, *, most: int = 10**9) -> Iterator[Image]:
        while not self.belt.finished and len(self.truth) < most:
            self.truth.append({p.index: (p.x, p.y) for p in self.belt.truth()})
            yield self.belt.frame()
            if moving(len(self.truth)):
                self.belt.advance()

    def matched(self, found: list[Sighting]) -> dict[int, float]:
        """Each sighting's part, one to one, and how many frame steps from the middle it was."""
        matched: dict[int, float] = {}
        for sighting in found:
            assert sighting.box is not None
            x, y = sighting.box.centre
            there = self.truth[sighting.frame.index]
            part = min(there, key=lambda n: abs(there[n][0] - x) + abs(there[n][1] - y))
            radius = self.belt.diameter_px / 2
            left, right = max(there[part][0] - radius, 0), min(there[part][0] + radius, WIDTH)
            assert abs((left + right) / 2 - x) < 6, f"the box is not on part {part}"
            assert abs(there[part][1] - y) < 6
            assert part not in matched, f"part {part} was sighted twice"
            matched[part] = abs(there[part][0] - WIDTH / 2) / self.step
        return matched


# -- counting ----------------------------------------------------------------------------------------------------


def count_parts(speed_px: float, parts: int, seed: int) -> None:
    line = Line(speed_px=speed_px, parts=parts, seed=seed)
    found = play(line.film())
    matched = line.matched(found)
    assert sorted(matched) == list(range(parts))
    assert max(matched.values()) <= 1.0


@pytest.mark.parametrize(("speed_px", "parts"), [(6, 100), (12, 200), (24, 300)])
def test_every_simulated_part_is_sighted_once_within_a_step_of_the_middle(speed_px, parts):
    count_parts(speed_px, parts, seed=2)


@pytest.mark.long
@pytest.mark.parametrize("speed_px", [6, 12, 24])
def test_two_thousand_simulated_parts_are_two_thousand_sightings(speed_px):
    count_parts(speed_px, 2000, seed=11)


@pytest.mark.parametrize("layout", [{"diameter_px": 150, "pitch_px": 200}, {"diameter_px": 90, "pitch_px": 400}])
def test_several_small_parts_in_view_are_told_apart(layout):
    line = Line(speed_px=12, parts=25, seed=4, **layout)
    matched = line.matched(play(line.film(), Presence(PresenceSettings(enter_area=0.01, leave_area=0.005))))
    assert sorted(matched) == list(range(25))
    assert max(matched.values()) <= 1.0


def bars(step: int, width: int, *, count: int = 20, gap: int = 90) -> Iterator[Image]:
    """Red bars on a grey belt, each a row of its own."""
    for n in range((count * gap + WIDTH) // step + 2):
        image = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
        for bar in range(count):
            x = n * step - bar * gap - width
            image[30 + bar : 80 + bar, max(x, 0) : max(x + width, 0)] = (30, 60, 200)
        noise = np.random.default_rng(n).integers(0, 8, image.shape, dtype=np.uint8)
        yield np.asarray(cv2.add(image, noise), np.uint8)


@pytest.mark.parametrize(("step", "width"), [(10, 12), (20, 12), (30, 12), (3, 50)])
def test_a_part_that_moves_farther_than_it_is_long_is_one_part(step, width):
    found = play(bars(step, width))
    assert len(found) == 20
    for bar, sighting in enumerate(found):
        assert sighting.box is not None
        assert abs(sighting.box.centre[0] - WIDTH / 2) <= step / 2 + 2
        assert abs(sighting.box.centre[1] - (55 + bar)) <= 2


TURNS: dict[str, Callable[[Image], Image]] = {
    "left": lambda i: i[:, ::-1],
    "down": lambda i: i.transpose(1, 0, 2),
    "up": lambda i: i.transpose(1, 0, 2)[::-1],
}


@pytest.mark.parametrize("skip", [0, 40])
@pytest.mark.parametrize("turn", TURNS.values(), ids=TURNS)
def test_any_direction_will_do(turn, skip):
    line = Line(speed_px=12, parts=5, skip=skip)
    found = play(np.ascontiguousarray(turn(image)) for image in line.film())
    assert len(found) == 5
    for sighting in found:
        assert sighting.box is not None
        assert sighting.frame.image is not None
        height, width = sighting.frame.image.shape[:2]
        along = sighting.box.centre[0] - width / 2 if width > height and turn is TURNS["left"] else None
        off = along if along is not None else sighting.box.centre[1] - height / 2
        assert abs(off) <= line.step + 2


# -- what the empty belt looks like --------------------------------------------------------------------------------


@pytest.mark.parametrize(("seed", "skip"), [(1, 33), (1, 60), (3, 45), (6, 20), (7, 45), (8, 66), (9, 50)])
def test_a_part_in_view_at_the_very_first_frame_is_sighted_once_like_the_others(seed, skip):
    line = Line(speed_px=12, parts=8, seed=seed, skip=skip)
    matched = line.matched(play(line.film()))
    seen = set().union(*line.truth)
    assert set(matched) == seen
    at_start = line.truth[0]
    assert all(far <= 1.0 for part, far in matched.items() if at_start.get(part, (0, 0))[0] < WIDTH / 2 - line.step)


def test_a_part_that_stands_in_view_from_the_first_frame_on_is_sighted_once_it_has_gone():
    line = Line(speed_px=12, parts=4, skip=45)
    matched = line.matched(play(line.film(lambda n: n > 500)))
    assert set(matched) == set().union(*line.truth)


@pytest.mark.parametrize("stop_at", [20, 44, 60])
def test_a_part_that_stands_for_thousands_of_frames_is_one_part(stop_at):
    line = Line(speed_px=12, parts=3)
    matched = line.matched(play(line.film(lambda n: not stop_at <= n < stop_at + 2000)))
    assert sorted(matched) == [0, 1, 2]
    assert max(matched.values()) <= 1.0


@pytest.mark.parametrize("end", [0.45, 1.6])
def test_the_light_may_drift_while_a_part_stands(end):
    line = Line(speed_px=12, parts=3, seed=4)
    images = (
        np.clip(image * (1 + (end - 1) * n / 2200), 0, 255).astype(np.uint8)
        for n, image in enumerate(line.film(lambda n: not 44 <= n < 2044))
    )
    assert sorted(line.matched(play(images))) == [0, 1, 2]


def test_the_light_may_jump():
    line = Line(speed_px=12, parts=4)
    images = ((image * (0.6 if n > 60 else 1.0)).astype(np.uint8) for n, image in enumerate(line.film()))
    assert sorted(line.matched(play(images))) == [0, 1, 2, 3]


def test_a_moving_belt_with_its_texture_and_noise_is_no_part():
    line = Line(speed_px=12, parts=None, seed=3, pitch_px=10**7)
    assert play(line.film(most=600)) == []


def test_a_picture_that_never_moves_shows_no_part():
    belt = Belt(seed=5, width=WIDTH)
    for _ in range(60):
        belt.advance()
    trigger = Presence(PresenceSettings())
    assert play((belt.frame() for _ in range(200)), trigger) == []
    assert len(trigger._kept) <= 2, "nothing is kept of frames that show nothing new"


def test_memory_is_bounded_while_the_belt_cannot_be_learned():
    trigger = Presence(PresenceSettings())
    rng = np.random.default_rng(0)
    for n in range(150):
        trigger.update(frame(rng.integers(0, 255, (48, 64, 3), dtype=np.uint8), n))
        assert len(trigger._kept) <= 96


# -- ends and faults -----------------------------------------------------------------------------------------------


def test_a_part_that_turns_back_before_the_middle_counts_once():
    line = Line(speed_px=12, parts=2)
    images = list(line.film())
    forth = images[:38]
    found = play([*forth, *reversed(forth)], flush=False)
    assert len(found) == 1
    assert found[0].box is not None
    assert found[0].frame.index in (37, 38)


def test_footage_that_ends_gives_the_parts_seen_whole():
    line = Line(speed_px=12, parts=3)
    found = play(line.film(most=40))
    assert sorted(line.matched(found)) == [0]
    assert found[0].frame.index == 39, "the frame in which it came nearest to the middle"


def test_footage_that_ends_with_a_part_half_in_view_does_not_give_it():
    line = Line(speed_px=12, parts=3)
    assert play(line.film(most=22)) == []


def test_flushing_twice_gives_nothing_more():
    line = Line(speed_px=12, parts=3)
    trigger = Presence(PresenceSettings())
    assert len(play(line.film(most=40), trigger)) == 1
    assert list(trigger.flush()) == []


def test_a_broken_frame_now_and_then_changes_nothing():
    line = Line(speed_px=12, parts=6)
    images = (None if n % 7 == 3 else image for n, image in enumerate(line.film()))
    matched = line.matched(play(images))
    assert sorted(matched) == list(range(6))
    assert max(matched.values()) <= 2.0


def test_a_part_that_is_not_seen_for_a_moment_is_still_one_part():
    line = Line(speed_px=12, parts=4)
    empty = Belt(seed=1, width=WIDTH, parts=1).frame()
    images = (empty if n % 20 == 5 and n > 30 else image for n, image in enumerate(line.film()))
    assert sorted(line.matched(play(images))) == [0, 1, 2, 3]


def test_a_blind_camera_gives_what_it_was_following_once():
    line = Line(speed_px=12, parts=6)
    trigger = Presence(PresenceSettings())
    assert play(line.film(most=40), trigger, flush=False) == []
    found = [s for n in range(40, 60) for s in trigger.blind(frame(None, n))]
    assert sorted(line.matched(found)) == [0]


def test_frames_that_a_camera_dropped_do_not_make_two_parts_of_one():
    line = Line(speed_px=6, parts=20, seed=5)
    trigger = Presence(PresenceSettings())
    rng = np.random.default_rng(2)
    found = [s for n, image in enumerate(line.film()) if rng.random() < 0.5 for s in trigger.update(frame(image, n))]
    assert sorted(line.matched(found + list(trigger.flush()))) == list(range(20))


def test_a_new_picture_size_starts_anew():
    trigger = Presence(PresenceSettings())
    first, second = Line(speed_px=12, parts=2), Belt(seed=1, width=320, parts=2)
    assert len(play(first.film(), trigger)) == 2
    found = []
    for n in range(1000, 1200):
        second.advance()
        found += trigger.update(frame(second.frame(), n))
    assert len([*found, *trigger.flush()]) == 2


def test_a_box_lies_inside_the_picture_and_holds_the_part_with_its_margin():
    line = Line(speed_px=12, parts=5, diameter_px=200, pitch_px=460)
    for sighting in play(line.film()):
        assert sighting.box is not None
        x0, y0, x1, y1 = sighting.box.xyxy
        assert 0 <= x0 < x1 <= WIDTH
        assert 0 <= y0 < y1 <= HEIGHT
        x, y = next(iter(sorted(line.truth[sighting.frame.index].values(), key=lambda c: abs(c[0] - WIDTH / 2))))
        assert x0 < x - 25
        assert x1 > x + 25
        assert y0 < y - 25
        assert y1 > y + 25
        assert sighting.box.width < 50 * 1.4


# -- real footage and the rest ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("turn", [lambda i: i, *TURNS.values()], ids=["as filmed", *TURNS])
def test_the_one_real_bolt_is_one_sighting(shared_data, turn):
    capture = cv2.VideoCapture(str(shared_data / "footage" / "bolt-multi-size-detection.gif"))
    images = []
    while (shot := capture.read())[0]:
        images.append(np.ascontiguousarray(turn(np.asarray(shot[1], np.uint8))))
    assert len(images) == 37
    (sighting,) = play(images, make_trigger(load_recipe("bolt", ROOT / "calibration" / "recipes").trigger))
    assert sighting.frame.index in (11, 12)
    assert sighting.box is not None
    assert min(sighting.box.width, sighting.box.height) == pytest.approx(85, abs=12)
    assert max(sighting.box.width, sighting.box.height) == pytest.approx(265, abs=8)


def test_bottles_moved_by_hand_do_no_harm(shared_data):
    capture = cv2.VideoCapture(str(shared_data / "footage" / "bottle-detection.mp4"))
    trigger = Presence(PresenceSettings())
    found: list[Sighting] = []
    for n in range(400):
        done, image = capture.read()
        assert done
        found += trigger.update(frame(np.asarray(image, np.uint8), n))
    assert len(found) < 12


def test_a_frame_costs_less_than_a_millisecond():
    line = Belt(seed=1, width=640)
    images = []
    for _ in range(120):
        line.advance()
        images.append(frame(line.frame(), len(images)))
    trigger = Presence(PresenceSettings())
    times = []
    for shown in images:
        begin = time.perf_counter()
        trigger.update(shown)
        times.append(time.perf_counter() - begin)
    assert not trigger.learning
    assert np.percentile(times, 25) < 1.5e-3, "0.5 ms on an idle core"


def test_free_run_takes_every_frame_the_broken_ones_too():
    trigger = make_trigger(FreeRunSettings())
    assert isinstance(trigger, FreeRun)
    shots = [frame(None, 0), frame(np.full((9, 9, 3), 50, np.uint8), 1)]
    assert [s.frame for shot in shots for s in trigger.update(shot)] == shots
    assert [s.frame for s in trigger.blind(shots[0])] == shots[:1]
    assert list(trigger.flush()) == []


def test_a_recipe_gets_the_trigger_it_asks_for():
    assert isinstance(make_trigger(PresenceSettings()), Presence)
