"""Which frame shows a part, and where in it?

``Presence`` compares every frame with the EMPTY belt and follows what differs from it::

    frame -> shrunk -> differs from the belt? -> blobs -> tracks -> best-centred frame of each -> Sighting

What the empty belt looks like is never assumed, not even of the first frame. While it is unknown, frames that
show movement are kept (within ``_KEPT_BYTES``), guesses are made from them (the first frame, the median, a low and
a high percentile of every pixel), and a guess is believed only when everything that differs from it has its edges
in the *frames* and none in the guess: a part that the guess itself contains betrays itself by the edges it leaves
there once it has moved on. The kept frames are then gone through from the start, so the first part is not lost.
Once known, the belt follows the light only where nothing lies on it, so a part that stands for hours stays a part.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from station.blobs import (
    Blob,
    Edges,
    Vector,
    along_axis,
    blobs_in,
    cleaned,
    differing,
    edge_share,
    is_cut,
    light_gain,
    move_between,
    off_middle,
    overlap_of,
    shifted,
    shrunk,
)
from station.core.part import BgrImage, Box, Frame, Sighting
from station.core.ports import Trigger
from station.recipe import FreeRunSettings, PresenceSettings

_log = logging.getLogger(__name__)

_ALPHA = 0.02  # share by which the belt follows a frame: 50 frames to follow the light
_GRACE = 3  # frames a part may be missing before it counts as gone
_MOVED = 3.0  # shrunk pixels after which a track is believed to move
_KEPT_BYTES = 192 * 2**20  # of full frames while the belt is unknown: 208 frames of 640 x 480
_THINNINGS = 3  # times that the kept frames are halved, before the best guess has to do
_LEARN_AT = (4, 6, 9, 13, 19, 28, 42, 63, 96)  # kept frames at which a guess is tried: each try costs some 50 ms
_QUANTILES = (0.08, 0.15, 0.25, 0.37, 0.5, 0.63, 0.75, 0.85, 0.92)  # of a pixel's values: the belt is one of them
# Least share of edges that must lie in the frames, for a guess that is one frame (as noisy as they are) and for one
# made from many. Measured on simulated parts 8 % apart: right ones score 0.87 and 0.94 up, wrong ones 0.55 and 0.91.
_REAL_FRAME, _REAL_MADE = 0.8, 0.93
_GHOST = 0.2  # a share below this is a hole in the belt's picture
_LOST_FRAMES = 100  # frames in a row that differ nearly everywhere: the belt is learned anew

_FIVE = np.ones((5, 5), np.uint8)


class FreeRun:
    """Every frame is one part, unreadable ones too (folders of part photographs)."""

    def update(self, frame: Frame) -> Sequence[Sighting]:
        """One sighting per frame; its box is the whole frame."""
        return (Sighting(frame),)

    def blind(self, frame: Frame) -> Sequence[Sighting]:
        """The frame itself: a picture that cannot be trusted is still a part that has to be held."""
        return (Sighting(frame),)

    def flush(self) -> Sequence[Sighting]:
        """Nothing is followed, so nothing is left."""
        return ()


@dataclass(slots=True)
class _Track:
    """One part on its way through the view; keeps no frame but its best. Edges and vectors in shrunk pixels."""

    edges: Edges
    weight: Vector
    best: Sighting | None = None
    rank: tuple[bool, float] = (True, np.inf)  # (cut by the frame's border, distance from the middle)
    centre: Vector = field(default_factory=lambda: np.zeros(2))  # centre of gravity in the best frame
    travelled: Vector = field(default_factory=lambda: np.zeros(2))  # since birth
    anchor: Vector = field(default_factory=lambda: np.zeros(2))  # ``travelled`` from which the heading is taken
    heading: Vector | None = None  # unit vector; None until it has moved
    seen: int = 1
    missed: int = 0
    sighted: bool = False


class Presence:
    """Sights each part once, at the frame in which it lies nearest to the middle along its way.

    A part that leaves, or is lost, without having crossed the middle is sighted at its best frame. Nothing blocks;
    about 0.5 ms for a frame of 640 x 480. Whoever is blind for longer than a few frames forgets what is followed: a
    part still in view when sight comes back is then sighted again rather than missed.

    Limits: while the belt is being learned, parts must leave some of each place free (nothing to tell belt from
    parts otherwise); parts must not touch one another in the picture.
    """

    def __init__(self, settings: PresenceSettings) -> None:
        self._settings = settings
        self._shape: tuple[int, ...] = ()
        self._kept: list[tuple[Frame, BgrImage]] = []
        self._thinned = self._moves = 0
        self._belt: NDArray[np.float32] | None = None
        self._tracks: list[_Track] = []
        self._index: int | None = None  # of the last frame followed
        self._blind = 0  # frames in a row that could not be trusted
        self._forget()

    @property
    def learning(self) -> bool:
        """True while it is not known what the empty belt looks like; sightings come late, none is lost."""
        return self._belt is None

    def update(self, frame: Frame) -> Sequence[Sighting]:
        """Takes the next frame; returns the parts whose best-centred frame is now known (usually none)."""
        if frame.image is None:
            return self.blind(frame)
        self._blind = 0
        found: list[Sighting] = []
        if frame.image.shape != self._shape:
            found += self.flush()
            self._forget()
            self._shape = frame.image.shape
        small = shrunk(frame.image)
        if self._belt is not None:
            return [*found, *self._follow(frame, small)]
        if self._kept and not self._moved(self._kept[-1][1], small):
            return found
        self._moves += 1
        if self._moves % 2**self._thinned:
            return found
        self._kept.append((frame, small))
        return [*found, *self._learn(at_once=False)]

    def blind(self, frame: Frame) -> Sequence[Sighting]:
        """This frame cannot be trusted. A few are passed over; after that all that is followed counts as lost.

        Returns:
            The parts not yet sighted, cut ones too: they may be past unseen when sight comes back.
        """
        self._blind += 1
        return self._drop(whole_only=False) if self._blind == _GRACE + 1 else ()

    def flush(self) -> Sequence[Sighting]:
        """Footage is over or the camera is gone: the parts still followed, seen whole and not yet sighted."""
        return self._drop(whole_only=True)

    def _drop(self, *, whole_only: bool) -> list[Sighting]:
        found: list[Sighting] = []
        if self._belt is None and len(self._kept) > 2:
            found += self._learn(at_once=True)
        found += [
            t.best for t in self._tracks if t.best is not None and not t.sighted and not (whole_only and t.rank[0])
        ]
        self._tracks, self._index = [], None
        if not self._sure:
            self._forget()
        return found

    def _forget(self) -> None:
        self._belt, self._kept, self._thinned, self._moves = None, [], 0, -1
        self._tracks = []
        self._gain, self._covered, self._sure = 1.0, 0, False
        self._under: NDArray[np.uint8] | None = None  # where the last frame differed
        self._velocity: Vector | None = None  # of the belt, shrunk pixels a frame
        self._heading: Vector | None = None
        self._index = None

    # -- what the empty belt looks like ------------------------------------------------------------------------

    def _moved(self, before: BgrImage, now: BgrImage) -> bool:
        differs = cv2.countNonZero(differing(before, now, self._settings.difference))
        return bool(differs >= max(4.0, 0.25 * self._settings.enter_area * now.shape[0] * now.shape[1]))

    def _learn(self, *, at_once: bool) -> Sequence[Sighting]:
        """Tries to tell the belt from what moves on it; on success goes through the kept frames."""
        count = len(self._kept)
        full = count >= min(_LEARN_AT[-1], max(8, _KEPT_BYTES // max(int(np.prod(self._shape)), 1)))
        if not (at_once or full or count in _LEARN_AT):
            return ()
        last = at_once or (full and self._thinned == _THINNINGS)
        belt, sure = self._guess(settle=last)
        if belt is None:
            if full:  # the way is longer than the memory: from now on every second frame will do
                del self._kept[1::2]
                self._thinned += 1
                self._moves = -1
            return ()
        if not sure:
            _log.warning("presence: the belt was never seen clearly empty; let it run empty once to be sure")
        self._belt, self._sure = belt, sure
        kept, self._kept = self._kept, []
        return [sighting for frame, small in kept for sighting in self._follow(frame, small)]

    def _guess(self, *, settle: bool) -> tuple[NDArray[np.float32] | None, bool]:
        """The best guess at the empty belt and whether to believe it; ``None`` unless believed or to ``settle``."""
        stack = np.stack([small for _, small in self._kept])
        tests = stack[:: max(1, len(stack) // 12)]
        ordered = np.sort(stack, axis=0)
        made = [ordered[round(q * (len(stack) - 1))] for q in _QUANTILES]
        scores = [self._believable(guess, tests, give_up=0.0 if settle else _REAL_MADE) for guess in made]
        scores.append(self._believable(stack[0], tests, give_up=0.0 if settle else _REAL_FRAME))
        needed = [_REAL_MADE] * len(made) + [_REAL_FRAME]
        best = int(np.argmax(np.subtract(scores, needed)))
        sure = scores[best] >= needed[best]
        return ([*made, stack[0]][best].astype(np.float32) if sure or settle else None), sure

    def _believable(self, guess: BgrImage, tests: NDArray[np.uint8], *, give_up: float) -> float:
        """The least share of edges, over all blobs, that lie in the frame and not in the guess; 0 without a blob."""
        least = np.inf
        for small in tests:
            mask = cleaned(differing(small, guess, self._settings.difference))
            count, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
            for label in range(1, count):
                if stats[label, cv2.CC_STAT_AREA] >= 0.125 * self._settings.enter_area * mask.size:
                    least = min(least, edge_share((labels == label).astype(np.uint8), small, guess))
                    if least < give_up:
                        return least
        return float(least) if np.isfinite(least) else 0.0

    # -- what lies on it ---------------------------------------------------------------------------------------

    def _follow(self, frame: Frame, small: BgrImage) -> list[Sighting]:
        assert self._belt is not None
        self._gain = light_gain(small, self._belt, self._under, before=self._gain)
        belt = cv2.convertScaleAbs(self._belt, alpha=self._gain)
        contrast = self._settings.difference * min(self._gain, 1.0)  # dimmer light leaves less of it
        mask = cleaned(differing(small, np.asarray(belt, np.uint8), contrast))
        blobs = blobs_in(mask, least=self._settings.leave_area * mask.size)
        under = np.zeros_like(mask)  # specks that are no part do not keep the belt from being followed there
        for x0, y0, x1, y1 in [blob.edges for blob in blobs] + [track.edges for track in self._tracks]:
            under[int(y0) : int(y1), int(x0) : int(x1)] = 255
        self._under = np.asarray(cv2.dilate(under, _FIVE), np.uint8)
        free = cv2.bitwise_not(self._under)
        # As bright on the whole as it was, or the belt under a standing part would be left behind by rounding.
        same = sum(cv2.mean(self._belt, free)) / max(sum(cv2.mean(small, free)), 1.0)
        cv2.accumulateWeighted(cv2.convertScaleAbs(small, alpha=same), self._belt, _ALPHA, free)
        steps = 1 if self._index is None else min(max(frame.index - self._index, 1), 8)
        self._index = frame.index
        self._match(blobs, steps=steps, size=(small.shape[1], small.shape[0]))
        known = {track.edges for track in self._tracks}
        least = self._settings.enter_area * mask.size
        self._tracks += [_Track(b.edges, b.weight) for b in blobs if b.area >= least and b.edges not in known]
        found = self._judge(frame, size=(small.shape[1], small.shape[0]))
        self._mend(small, mask)
        return found

    def _match(self, blobs: list[Blob], *, steps: int, size: tuple[int, int]) -> None:
        """Gives every track the blob that lies best where the belt must have carried it."""
        ahead = np.zeros(2) if self._velocity is None else self._velocity * steps
        pairs = []
        for track in self._tracks:
            went = ahead if self._velocity is None or track.missed == 0 else self._velocity * (steps + track.missed)
            for number, blob in enumerate(blobs):
                overlap = max(
                    overlap_of(shifted(track.edges, went), blob.edges), 0.5 * overlap_of(track.edges, blob.edges)
                )
                gap = float(np.hypot(*(blob.weight - track.weight - went)))
                near = gap <= (0.4 * max(size) if self._velocity is None else float(np.hypot(*ahead)) + 2)
                if overlap > 0.0 or near:
                    pairs.append((overlap - 1e-3 * gap, id(track), track, number))
        taken: set[int] = set()
        moves: list[Vector] = []
        for track in self._tracks:
            track.missed += 1
        for _, _, track, number in sorted(pairs, key=lambda p: -p[0]):
            if track.missed and number not in taken:
                taken.add(number)
                move = move_between(track.edges, blobs[number].edges, size)
                track.edges, track.weight = blobs[number].edges, blobs[number].weight
                since, track.missed = track.missed, 0
                track.seen += 1
                track.travelled = track.travelled + move
                moves.append(move / (steps + since - 1))
        if moves:
            mean = sum(moves, np.zeros(2)) / len(moves)
            self._velocity = mean if self._velocity is None else 0.5 * self._velocity + 0.5 * mean

    def _judge(self, frame: Frame, *, size: tuple[int, int]) -> list[Sighting]:
        """Notes each track's best frame; sights those past the middle and those gone."""
        found = []
        for track in list(self._tracks):
            if track.missed == 0:
                self._head(track)
                if not track.sighted:
                    self._note(track, frame, size)
                    if self._is_past(track, size):
                        found.append(track)
            elif track.missed > _GRACE:
                self._tracks.remove(track)
                whole = not track.rank[0]
                if not track.sighted and track.seen >= 2 and (whole or track.heading is not None):
                    found.append(track)
        sightings = [track.best for track in found if track.best is not None]
        for track in found:
            track.sighted, track.best = True, None
        return sightings

    def _is_past(self, track: _Track, size: tuple[int, int]) -> bool:
        """Past the middle, and not a part that is still coming in."""
        if track.heading is None or track.seen < 2 or float((track.weight - np.array(size) / 2) @ track.heading) <= 0:
            return False
        axis = int(np.argmax(np.abs(track.heading)))
        leaving = track.edges[axis + 2] >= size[axis] if track.heading[axis] > 0 else track.edges[axis] <= 0
        return leaving or not track.rank[0]

    def _head(self, track: _Track) -> None:
        """Takes a track's heading once it has moved; one against the belt's, or the first of all, needs more proof."""
        way = track.travelled - track.anchor
        length = float(np.hypot(*way))
        if length < _MOVED:
            return
        heading = along_axis(way / length)
        agrees = self._heading is not None and float(heading @ self._heading) > 0.7
        if agrees or length >= 3 * _MOVED:
            track.heading = self._heading = heading
        if length >= 8 * _MOVED:  # so that a belt that turns back is noticed, and a trembling edge is not
            track.anchor = track.travelled - way / 2

    def _note(self, track: _Track, frame: Frame, size: tuple[int, int]) -> None:
        heading = track.heading if track.heading is not None else self._heading
        cut = is_cut(track.edges, size, heading)
        far = off_middle(track.weight, size, heading)
        known = (track.rank[0], off_middle(track.centre, size, heading)) if track.best else (True, np.inf)
        if track.best is None or (cut, far) < known:
            track.rank, track.centre = (cut, far), track.weight
            track.best = Sighting(frame, self._box(track.edges, frame, size))
        else:
            track.rank = known

    def _box(self, edges: Edges, frame: Frame, size: tuple[int, int]) -> Box:
        assert frame.image is not None
        height, width = frame.image.shape[:2]
        fx, fy = width / size[0], height / size[1]
        box = Box(edges[0] * fx, edges[1] * fy, edges[2] * fx, edges[3] * fy)
        return box.grown(self._settings.margin * max(box.width, box.height)).clipped(width, height)

    def _mend(self, small: BgrImage, mask: NDArray[np.uint8]) -> None:
        """Takes into the belt what is no part but a hole in the belt's picture; learns anew after a great change."""
        assert self._belt is not None
        for track in list(self._tracks):
            if track.heading is None and track.missed == 0 and track.seen % 15 == 0:
                x0, y0, x1, y1 = (int(v) for v in track.edges)
                blob = np.zeros_like(mask)
                blob[y0:y1, x0:x1] = mask[y0:y1, x0:x1]
                if edge_share(blob, small, self._belt.astype(np.uint8)) < _GHOST:
                    where = cv2.dilate(blob, np.ones((7, 7), np.uint8)) > 0
                    self._belt[where] = small[where] / self._gain
                    self._tracks.remove(track)
        self._covered = self._covered + 1 if cv2.countNonZero(mask) > 0.8 * mask.size else 0
        if self._covered >= _LOST_FRAMES:
            _log.warning("presence: %d frames differ nearly everywhere; learning the empty belt anew", self._covered)
            self._forget()


def make_trigger(settings: PresenceSettings | FreeRunSettings) -> Trigger:
    """The trigger that a recipe asks for."""
    return Presence(settings) if isinstance(settings, PresenceSettings) else FreeRun()
