"""Which presence trigger fits this video of a belt, and which parts does it see there?

The empty belt is one level of every pixel's values over the video (the median where parts are rare, a lower or higher
one where they cover most of it), or one frame. As in the trigger itself, the guess is taken in which parts leave no
edges: a part that a guess contains shows there once it has moved on. How much the belt differs from itself where
nothing lies gives ``difference``; how much of the frame a part covers gives ``enter_area`` and ``leave_area``. A
proposal is only believed after the station's own trigger has gone over the whole clip with it: neighbouring settings
are tried too, and the count of parts that most of them agree on wins, the proposal itself first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from station.blobs import blobs_in, cleaned, differing, edge_share, is_cut, shrunk
from station.core.errors import DataRefused, SourceEnded
from station.core.part import BgrImage, Box, Frame, Sighting
from station.core.ports import FrameSource
from station.recipe import PresenceSettings
from station.trigger import Presence

MOST_KEPT = 240
"""Shrunk frames that the empty belt is taken of: 14 MB."""
LEAST_DIFFERENCE, MOST_DIFFERENCE = 12.0, 80.0
"""Grey levels: below, the noise of a cheap camera; above, a part that dark or bright needs no such limit."""
LEVELS = (0.5, 0.37, 0.63, 0.25, 0.75, 0.15, 0.85, 0.08, 0.92)
"""Of a pixel's values over the video, the levels tried as the empty belt."""
STEPS = (1.0, 0.7, 1.3)
"""The proposal's ``difference`` and its neighbours, tried one after the other."""

_THREE, _WIDE = np.ones((3, 3), np.uint8), np.ones((9, 9), np.uint8)

Open = Callable[[], FrameSource]


@dataclass(frozen=True, slots=True)
class Seen:
    """One part as the trigger saw it; pixels of the frame."""

    frame: int
    box: Box


@dataclass(frozen=True, slots=True)
class BeltProposal:
    """A trigger, and what it saw.

    Attributes:
        settings: The trigger to write into the recipe.
        seen: The parts, in order.
        frames: Frames of the video.
        size: Width and height of a frame.
        noise: Grey levels by which the empty belt differs from itself.
        tried: ``difference`` and how many parts it saw, for each setting tried.
    """

    settings: PresenceSettings
    seen: tuple[Seen, ...]
    frames: int
    size: tuple[int, int]
    noise: float
    tried: tuple[tuple[float, int], ...]

    @property
    def sure(self) -> bool:
        """Whether every setting tried saw as many parts."""
        return len({count for _, count in self.tried}) == 1

    @property
    def part_px(self) -> float:
        """Median longer side of a part in pixels, without the margin."""
        sides = [max(s.box.width, s.box.height) for s in self.seen]
        return float(np.median(sides)) / (1.0 + 2.0 * self.settings.margin)

    @property
    def area(self) -> tuple[float, float, float]:
        """Smallest, median and largest box of a part as a share of the frame."""
        shares = [s.box.width * s.box.height / (self.size[0] * self.size[1]) for s in self.seen]
        return float(min(shares)), float(np.median(shares)), float(max(shares))

    @property
    def region(self) -> Box:
        """Where in the frame parts were taken, all boxes together."""
        edges = np.array([s.box.xyxy for s in self.seen])
        return Box(*(float(v) for v in (*edges[:, :2].min(0), *edges[:, 2:].max(0))))


def propose_belt(open_video: Open, *, progress: Callable[[str], None] = lambda words: None) -> BeltProposal:
    """Watches the video and proposes a trigger.

    Args:
        open_video: Opens it anew from the start; it is gone over four times.
        progress: Told what is being done.

    Raises:
        DataRefused: It shows too little, nothing moves on it, or no part is seen; the message names the remedy.
    """
    progress("looking for the empty belt")
    smalls, frames, size, name = _glance(open_video)
    if len(smalls) < 8:
        raise DataRefused(f"{name} holds {frames} frames that can be read: film at least ten parts passing by")
    belt = _empty_belt(smalls)
    noise = _noise(smalls, belt)
    difference = float(np.clip(np.ceil(1.2 * noise), LEAST_DIFFERENCE, MOST_DIFFERENCE))
    area = _part_area(smalls, belt, difference)
    if area is None:
        raise DataRefused(
            f"nothing larger than a speck moves in {name}: film parts passing by on the belt with the camera fixed; "
            "where every picture shows one part, name a folder of pictures instead"
        )
    enter = round(float(np.clip(0.25 * area, 0.001, 0.5)), 4)
    tries: list[tuple[PresenceSettings, tuple[Seen, ...]]] = []
    for step in STEPS:
        levels = round(float(np.clip(difference * step, LEAST_DIFFERENCE / 1.5, 2 * MOST_DIFFERENCE)), 1)
        settings = PresenceSettings(difference=levels, enter_area=enter, leave_area=round(enter / 2, 5))
        progress(f"counting parts with a difference of {levels:g} grey levels")
        tries.append((settings, _count(open_video, settings)))
    settings, seen = _agreed(tries)
    if not seen:
        raise DataRefused(
            f"the trigger sees no part pass through {name} (difference {settings.difference:g}, area {area:.1%} of the "
            "frame): film whole parts crossing the middle of the picture one by one, the belt empty between them"
        )
    tried = tuple((s.difference, len(found)) for s, found in tries)
    return BeltProposal(settings, seen, frames, size, noise, tried)


def _glance(open_video: Open) -> tuple[list[BgrImage], int, tuple[int, int], str]:
    """Shrunk frames spread over the video, how many it holds, their size, and its name."""
    kept: list[BgrImage] = []
    every, count, size = 1, 0, (0, 0)
    with closing(open_video()) as source:
        for frame in frames_of(source):
            if frame.image is not None:
                size = (frame.image.shape[1], frame.image.shape[0])
                if count % every == 0:
                    kept.append(shrunk(frame.image))
                    if len(kept) > MOST_KEPT:
                        del kept[1::2]
                        every *= 2
                count += 1
        name = source.name
    return kept, count, size, name


def _empty_belt(smalls: list[BgrImage]) -> BgrImage:
    """The guess at the empty belt in which parts leave the fewest edges; of equals the median."""
    stack = np.stack(smalls)
    ordered = np.sort(stack, axis=0)
    tests = smalls[:: max(1, len(smalls) // 12)]
    guesses = [ordered[round(level * (len(stack) - 1))] for level in LEVELS] + tests
    return max(guesses, key=lambda guess: _emptiness(guess, tests))


def _emptiness(guess: BgrImage, tests: list[BgrImage]) -> float:
    """The least share of edges, over what differs from the guess, that lie in the frame and not in the guess."""
    least = 1.0
    for small in tests:
        mask = cleaned(differing(small, guess, 2.0 * LEAST_DIFFERENCE))
        count, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
        for label in range(1, count):
            if stats[label, cv2.CC_STAT_AREA] >= 0.0025 * mask.size:
                least = min(least, edge_share((labels == label).astype(np.uint8), small, guess))
    return least


def _noise(smalls: list[BgrImage], belt: BgrImage) -> float:
    """The grey levels that all but one in 500 pixels stay below, away from whatever lies on the belt."""
    levels: list[NDArray[np.int16]] = []
    for small in smalls[:: max(1, len(smalls) // 60)]:
        apart = np.abs(small.astype(np.int16) - belt).max(2)
        part = cv2.morphologyEx((apart > 2 * LEAST_DIFFERENCE).astype(np.uint8), cv2.MORPH_OPEN, _THREE)
        levels.append(apart[cv2.dilate(part, _WIDE) == 0])
    free = np.concatenate(levels)
    return float(np.quantile(free, 0.998)) if free.size else 2.0 * LEAST_DIFFERENCE


def _part_area(smalls: list[BgrImage], belt: BgrImage, difference: float) -> float | None:
    """Median share of the frame that a whole part covers; of cut ones where none is whole."""
    whole: list[float] = []
    cut: list[float] = []
    for small in smalls:
        mask = cleaned(differing(small, belt, difference))
        size = (mask.shape[1], mask.shape[0])
        for blob in blobs_in(mask, least=max(0.0008 * mask.size, 8.0)):
            (cut if is_cut(blob.edges, size, None) else whole).append(blob.area / mask.size)
    areas = whole or cut
    if not areas:
        return None
    large = [a for a in areas if a >= 0.25 * max(areas)]  # specks and shadows are no parts
    return float(np.median(large))


def _count(open_video: Open, settings: PresenceSettings) -> tuple[Seen, ...]:
    trigger = Presence(settings)
    found: list[Sighting] = []
    with closing(open_video()) as source:
        for frame in frames_of(source):
            found += trigger.update(frame)
    found += trigger.flush()
    return tuple(Seen(s.frame.index, s.box) for s in found if s.box is not None)


def _agreed(tries: list[tuple[PresenceSettings, tuple[Seen, ...]]]) -> tuple[PresenceSettings, tuple[Seen, ...]]:
    """The first setting with the count that most settings agree on; of equals the one that sees more."""
    votes = Counter(len(seen) for _, seen in tries)
    best = max(votes, key=lambda count: (count > 0, votes[count], count))
    return next(it for it in tries if len(it[1]) == best)


def frames_of(source: FrameSource) -> Iterator[Frame]:
    """Every frame until the source ends."""
    while True:
        try:
            frame = source.read(1.0)
        except SourceEnded:
            return
        if frame is not None:
            yield frame
