"""Which candidate defects and part scores do a model's raw outputs mean?

A score map is read from its highest peak downwards. A peak of height p becomes one candidate; its box holds
what is at least p/2 high and connected to the peak over ground of at least p/4, so that a ragged defect
gets one box and not confetti, and a low floor does not blow the box up. A lower peak is a candidate of its own
unless the ground between it and an earlier candidate stays above half its own height: then it is a shoulder.
All levels stop at the floor. It follows, and is tested, that every connected region above the floor has a
candidate with the region's peak as its score.

The heat map is for the eye: the highest value over all classes and over the cells behind each of its pixels. It
is taken, never averaged, so that a small hot spot does not fade when a large map shrinks.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from station.core.errors import DetectorFault
from station.core.part import HEAT_SIDE, Detection, Detections
from station.detector.tensors import Prepared

MAX_CANDIDATES = 50  # per class; a person looks at no more, and the part's score stands without them
TOLERANCE = 1e-4  # a probability may leave [0, 1] by float32 rounding; it is clipped, more is a fault

_EXTENT = 0.5  # a box reaches down to this share of its peak ...
_GROUND = 0.25  # ... over ground of at least this share
_FILL = 8 | cv2.FLOODFILL_FIXED_RANGE | cv2.FLOODFILL_MASK_ONLY | (1 << 8)  # 8-connected, against the seed, writes 1

_log = logging.getLogger(__name__)

Cells = tuple[int, int, int, int]
"""Half-open rectangle of map cells ``(x0, y0, x1, y1)``."""


def decode_score_maps(
    maps: NDArray[np.float32], *, classes: Sequence[str], floor: float, stride: int, prepared: Prepared
) -> Detections:
    """Part scores and candidates of one part.

    The part score of a class is the largest value of its map over the cells that show some of the part, at the edge
    also those that show some padding. Values out of [0, 1] by at most :data:`TOLERANCE` are clipped.

    Args:
        maps: ``float32`` ``(1, classes, H / stride, W / stride)``, probabilities.
        classes: Names of the maps, in order.
        floor: Peaks below it are no candidates; they count in the part score all the same.
        stride: Tensor pixels per cell.
        prepared: The tensor that gave these maps.

    Returns:
        A score for **every** class; at most :data:`MAX_CANDIDATES` candidates per class (the highest; a warning is
        logged when there are more), highest score first, boxes in part pixels inside the picture; and the heat map,
        whose highest value is the part's score.

    Raises:
        DetectorFault: Wrong type or shape, or a value that is not finite or no probability, padding included.
    """
    _check(maps, len(classes), stride, prepared)
    rows, columns = (-(-side // stride) for side in prepared.real)
    scores: dict[str, float] = {}
    unlisted: dict[str, float] = {}
    candidates: list[Detection] = []
    for label, whole in zip(classes, maps[0], strict=True):
        class_map = whole[:rows, :columns]
        top = float(class_map.max())
        scores[label] = min(max(top, 0.0), 1.0)
        unlisted[label] = min(scores[label], floor)
        if top < floor:
            continue
        peaks = _peaks(class_map, floor, label)
        unlisted[label] = _beside(class_map, peaks, floor)
        for peak, (x0, y0, x1, y1) in peaks:
            box = prepared.to_part(x0 * stride, y0 * stride, x1 * stride, y1 * stride)
            candidates.append(Detection(label, min(peak, 1.0), box))
    candidates.sort(key=lambda found: -found.score)
    return Detections(tuple(candidates), scores, _heat(maps[0, :, :rows, :columns], stride, prepared), unlisted)


def _beside(class_map: NDArray[np.float32], peaks: Sequence[tuple[float, Cells]], floor: float) -> float:
    """The most that a place outside all candidates' boxes scores, at least the floor.

    A place is a cell no lower than its eight neighbours: the flanks of a candidate belong to it, its shoulder outside
    the box does not.
    """
    tops = class_map >= cv2.dilate(class_map, np.ones((3, 3), np.uint8))
    for _, (x0, y0, x1, y1) in peaks:
        tops[y0:y1, x0:x1] = False
    return min(max(float(class_map[tops].max(initial=0.0)), floor), 1.0)


def _heat(shown: NDArray[np.float32], stride: int, prepared: Prepared) -> NDArray[np.uint8]:
    """The strongest score over all classes times 255, spanning the part picture from edge to edge.

    A pixel takes the highest of the cells whose borders, rounded to whole cells, lie between its own; where cells are
    as many as pixels it is one each. No cell is left out.

    Args:
        shown: The cells that show some of the part, ``(classes, rows, columns)``.

    Returns:
        ``uint8`` ``(height, width)`` in the ratio of the part picture, as fine as the cells but no side longer than
        :data:`station.core.part.HEAT_SIDE`.
    """
    heat = np.asarray(cv2.convertScaleAbs(shown.max(axis=0).clip(0.0, 1.0), alpha=255.0), dtype=np.uint8)
    longest = min(max(heat.shape), HEAT_SIDE) / max(prepared.source)
    for axis in (0, 1):
        cells, pixels = heat.shape[axis], max(1, round(prepared.source[axis] * longest))
        borders = np.rint(np.arange(pixels) * (prepared.real[axis] / (stride * pixels))).astype(np.intp)
        first = borders.clip(max=cells - 1)
        last = np.maximum(np.append(borders[1:], cells) - 1, first)
        rows = heat.T if axis else heat
        taken = rows[first]
        for step in range(1, int((last - first).max()) + 1):
            taken = np.maximum(taken, rows[np.minimum(first + step, last)])
        heat = taken.T if axis else taken
    return heat


def _check(maps: NDArray[np.float32], classes: int, stride: int, prepared: Prepared) -> None:
    expected = (1, classes, prepared.tensor.shape[1] // stride, prepared.tensor.shape[2] // stride)
    if not isinstance(maps, np.ndarray) or maps.dtype != np.float32 or maps.shape != expected:
        got = f"{getattr(maps, 'dtype', type(maps).__name__)} {getattr(maps, 'shape', '')}"
        raise DetectorFault(f"expected score maps float32 {expected}, got {got}")
    low, high = float(maps.min()), float(maps.max())  # either is NaN as soon as one value is
    if not (low >= -TOLERANCE and high <= 1.0 + TOLERANCE):
        raise DetectorFault(f"score maps run from {low} to {high}: not probabilities in [0, 1]")


def _peaks(class_map: NDArray[np.float32], floor: float, label: str) -> list[tuple[float, Cells]]:
    """Height and extent of every candidate of one map, highest first, as the module's docstring says."""
    lowest = np.float32(floor)
    while float(lowest) < floor:  # compared as float32 from here on: nothing below the floor may slip in
        lowest = np.nextafter(lowest, np.float32(1.0))
    kept = np.where(class_map >= lowest, class_map, np.float32(0.0))
    rest = kept.copy()  # what no candidate has claimed yet
    claimed = np.zeros(kept.shape, np.uint8)
    found: list[tuple[float, Cells]] = []
    while True:
        at = int(rest.argmax())
        y, x = divmod(at, rest.shape[1])
        peak = float(rest[y, x])
        if peak < lowest:
            return found
        core, region = _fill(kept, (x, y), _EXTENT)
        if not (claimed[region] & core).any():
            if len(found) == MAX_CANDIDATES:
                regions = cv2.connectedComponents((rest > 0).astype(np.uint8), connectivity=8)[0] - 1
                _log.warning(
                    "class %s: the highest %d candidates are kept; %d regions above the floor %g are left out",
                    label,
                    MAX_CANDIDATES,
                    regions,
                    floor,
                )
                return found
            core, region = _fill(rest, (x, y), _GROUND)
            high = core.astype(bool) & (rest[region] >= peak * _EXTENT)
            ys, xs = np.flatnonzero(high.any(axis=1)), np.flatnonzero(high.any(axis=0))
            left, top = region[1].start, region[0].start
            found.append((peak, (left + int(xs[0]), top + int(ys[0]), left + int(xs[-1]) + 1, top + int(ys[-1]) + 1)))
        claimed[region] |= core
        rest[region][core.astype(bool)] = 0.0


def _fill(
    values: NDArray[np.float32], seed: tuple[int, int], share: float
) -> tuple[NDArray[np.uint8], tuple[slice, slice]]:
    """The 8-connected region around ``seed`` of at least ``share`` of its height.

    Args:
        values: Map cells, 0 where below the floor, so that no region goes there.
        seed: ``(x, y)``.

    Returns:
        A mask of 0 and 1, and the rectangle of the map that it fills.
    """
    mask = np.zeros((values.shape[0] + 2, values.shape[1] + 2), np.uint8)
    down = float(values[seed[1], seed[0]]) * (1.0 - share)
    _, _, filled, (x, y, width, height) = cv2.floodFill(values, mask, seed, 0.0, down, 2.0, _FILL)
    region = (slice(y, y + height), slice(x, x + width))
    return np.asarray(filled[1:-1, 1:-1][region], dtype=np.uint8), region
