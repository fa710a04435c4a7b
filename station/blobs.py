"""What differs from the belt, where does it lie, and how did it move?

All on shrunk pictures; edges are ``(left, top, right, bottom)`` and vectors ``(x, y)`` in shrunk pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from station.core.part import BgrImage

_SIDE = 240  # most pixels on the longer side of the shrunk picture: 160 x 120 of a frame of 640 x 480
_THREE = np.ones((3, 3), np.uint8)

Vector = NDArray[np.float64]
Edges = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Blob:
    """What differs from the belt in one place; shrunk pixels."""

    edges: Edges
    area: float
    weight: Vector  # centre of gravity: a scratch of the belt that joins the part moves it less than the box's middle


def shrunk(image: BgrImage) -> BgrImage:
    """Halved until no side is above ``_SIDE``: three times faster than in one step, and the same mean."""
    small = image
    while max(small.shape[:2]) > _SIDE and min(small.shape[:2]) >= 16:
        half = (small.shape[1] // 2, small.shape[0] // 2)
        small = np.asarray(cv2.resize(small, half, interpolation=cv2.INTER_AREA), np.uint8)
    return small


def differing(one: BgrImage, other: BgrImage, difference: float) -> NDArray[np.uint8]:
    """255 where any colour differs by more than ``difference``: a part as grey as the belt may have another hue."""
    blue, green, red = cv2.split(cv2.absdiff(one, other))
    most = cv2.max(cv2.max(blue, green), red)
    return np.asarray(cv2.threshold(most, difference, 255, cv2.THRESH_BINARY)[1], np.uint8)


def cleaned(mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Without specks, and with gaps of one pixel closed."""
    opened = cv2.morphologyEx(mask, cv2.MORPH_OPEN, _THREE)
    return np.asarray(cv2.morphologyEx(opened, cv2.MORPH_CLOSE, _THREE), np.uint8)


def blobs_in(mask: NDArray[np.uint8], *, least: float) -> list[Blob]:
    """What is at least ``least`` pixels large; splinters inside a larger one's box join it."""
    _, _, stats, centres = cv2.connectedComponentsWithStats(mask, connectivity=8)
    found: list[Blob] = []
    for label in sorted(range(1, len(stats)), key=lambda n: -int(stats[n, cv2.CC_STAT_AREA])):
        x, y, wide, high, area = (float(v) for v in stats[label])
        if area < 0.1 * least:
            break
        blob = Blob((x, y, x + wide, y + high), area, centres[label] + 0.5)
        for number, other in enumerate(found):
            if overlap_of(blob.edges, other.edges) >= 0.5:
                found[number] = _joined(other, blob)
                break
        else:
            found.append(blob)
    return [blob for blob in found if blob.area >= least]


def _joined(one: Blob, other: Blob) -> Blob:
    a, b = one.edges, other.edges
    area = one.area + other.area
    weight = (one.weight * one.area + other.weight * other.area) / area
    return Blob((min(a[0], b[0]), min(a[1], b[1]), max(a[2], b[2]), max(a[3], b[3])), area, weight)


def edge_share(blob: NDArray[np.uint8], frame: BgrImage, belt: BgrImage) -> float:
    """How much of the edge strength along a blob's outline lies in the frame: 1 a thing on the belt, 0 a hole in it."""
    ring = cv2.morphologyEx(blob, cv2.MORPH_GRADIENT, _THREE) > 0
    ring[[0, -1]] = ring[:, [0, -1]] = False
    if not ring.any():
        return 0.0
    here, there = (
        cv2.morphologyEx(p, cv2.MORPH_GRADIENT, _THREE)[ring].max(axis=1).astype(float) for p in (frame, belt)
    )
    calm = min(np.percentile(here, 10), np.percentile(there, 10))  # noise and texture, the same in both
    here, there = np.maximum(here - calm, 0), np.maximum(there - calm, 0)
    return float(here.sum() / max(here.sum() + there.sum(), 1.0))


def light_gain(small: BgrImage, belt: NDArray[np.float32], under: NDArray[np.uint8] | None, *, before: float) -> float:
    """Median brightness against the belt where nothing lay on it a frame ago."""
    if under is None:  # the belt was learned in this very light
        return before
    here, there = small[2::5, 2::5, 1], belt[2::5, 2::5, 1]
    free = (there > 8) & (under[2::5, 2::5] == 0)
    if np.count_nonzero(free) < max(8, 0.1 * free.size):
        return before
    return float(np.clip(np.median(here[free] / there[free]), 0.3, 3.0))


def shifted(edges: Edges, by: Vector) -> Edges:
    return (edges[0] + by[0], edges[1] + by[1], edges[2] + by[0], edges[3] + by[1])


def overlap_of(one: Edges, other: Edges) -> float:
    """Shared area as a share of the smaller one's."""
    wide = min(one[2], other[2]) - max(one[0], other[0])
    high = min(one[3], other[3]) - max(one[1], other[1])
    if wide <= 0 or high <= 0:
        return 0.0
    return wide * high / min((e[2] - e[0]) * (e[3] - e[1]) for e in (one, other))


def move_between(before: Edges, now: Edges, size: tuple[int, int]) -> Vector:
    """How far a blob went, by the edges that the frame's border cuts neither before nor now."""
    move = np.zeros(2)
    for axis in (0, 1):
        free = []
        if before[axis] > 0 and now[axis] > 0:
            free.append(now[axis] - before[axis])
        if before[axis + 2] < size[axis] and now[axis + 2] < size[axis]:
            free.append(now[axis + 2] - before[axis + 2])
        move[axis] = sum(free) / len(free) if free else 0.0
    return move


def along_axis(heading: Vector) -> Vector:
    """A heading within 22 degrees of an axis is that axis: belts are mounted straight, boxes tremble."""
    main = int(np.argmax(np.abs(heading)))
    if abs(heading[1 - main]) >= 0.4 * abs(heading[main]):
        return heading
    straight = np.zeros(2)
    straight[main] = np.sign(heading[main])
    return straight


def is_cut(edges: Edges, size: tuple[int, int], heading: Vector | None) -> bool:
    """Whether the frame's border cuts the part where it enters or leaves (on any side while that is unknown)."""
    axes = [axis for axis in (0, 1) if heading is None or abs(heading[axis]) >= 0.3]
    return any(edges[axis] <= 0 or edges[axis + 2] >= size[axis] for axis in axes)


def off_middle(centre: Vector, size: tuple[int, int], heading: Vector | None) -> float:
    off = centre - np.array(size) / 2
    return float(np.hypot(*off)) if heading is None else abs(float(off @ heading))
