"""Does the proposed trigger see every part of a belt once, and is a video without parts refused with a remedy?"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import numpy as np
import pytest

from station.core.errors import DataRefused, SourceEnded
from station.core.part import BgrImage, Frame
from station.recipe import PresenceSettings
from station.sim.world import Belt
from station.teaching.belt import BeltProposal, propose_belt


class Clip:
    """Pictures as a source."""

    name, live, dropped = "clip", False, 0

    def __init__(self, pictures: Iterator[BgrImage]) -> None:
        self._frames = enumerate(pictures)

    def read(self, timeout_s: float) -> Frame | None:
        index, picture = next(self._frames, (0, None))
        if picture is None:
            raise SourceEnded("clip: over")
        return Frame(index, self.name, datetime(2026, 1, 1, tzinfo=UTC), index / 30, picture)

    def close(self) -> None:
        """Nothing is open."""


def film(belt: Belt) -> Iterator[BgrImage]:
    while not belt.finished:
        yield belt.frame()
        belt.advance()


@pytest.fixture(scope="module")
def dense() -> BeltProposal:
    """Parts so close that one is always in view: the median of such a video is no empty belt."""
    return propose_belt(lambda: Clip(film(Belt(seed=4, width=160, speed_px=6.0, parts=9, pitch_px=94.0))))


def test_every_part_of_a_full_belt_is_seen_once(dense: BeltProposal) -> None:
    assert len(dense.seen) == 9
    assert [s.frame for s in dense.seen] == sorted({s.frame for s in dense.seen})


def test_the_parts_size_and_place_are_those_of_the_world(dense: BeltProposal) -> None:
    assert dense.part_px == pytest.approx(75.0, rel=0.08)  # the diameter at this width
    assert dense.region.y0 >= 0
    assert dense.region.y1 <= 120
    assert dense.region.x0 < 80 < dense.region.x1
    small, middle, large = dense.area
    assert small <= middle <= large < 0.5


def test_the_settings_fit_the_recipe_and_the_noise(dense: BeltProposal) -> None:
    assert isinstance(dense.settings, PresenceSettings)
    assert dense.settings.difference > dense.noise
    assert 0 < dense.settings.leave_area < dense.settings.enter_area < dense.area[1]
    assert dense.tried[0][1] == 9


def test_another_part_count_on_a_sparse_belt() -> None:
    found = propose_belt(lambda: Clip(film(Belt(seed=2, width=160, speed_px=8.0, parts=4, pitch_px=240.0))))
    assert len(found.seen) == 4


@pytest.mark.parametrize(("frames", "words"), [(4, "4 frames"), (30, "nothing larger than a speck moves")])
def test_a_video_that_shows_nothing_is_refused_with_a_remedy(frames: int, words: str) -> None:
    def still() -> Iterator[BgrImage]:
        rng = np.random.default_rng(0)
        for _ in range(frames):
            yield rng.integers(95, 105, (120, 160, 3)).astype(np.uint8)

    with pytest.raises(DataRefused, match=f"{words}.*film"):
        propose_belt(lambda: Clip(still()))
