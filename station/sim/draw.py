"""Which disc comes next, drawn at random: is it defective, with what, how badly, and where on the disc?"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from station.sim.spec import (
    DEFECT_CLASSES,
    FACE_INNER,
    FACE_OUTER,
    HARMLESS,
    HOLE_CHAMFER,
    HOLE_RADIUS,
    LIGHT_AZIMUTH_RAD,
    DiscSpec,
    Mark,
)


def draw_spec(
    seed: int,
    index: int,
    *,
    defect_rate: float = 0.15,
    harmless_rate: float = 0.3,
    holes: int = 6,
    planted: Sequence[tuple[str, float]] | None = None,
) -> DiscSpec:
    """Draw the disc number `index` of the world `seed`; the same arguments always give the same disc.

    Args:
        seed: The world.
        index: Which disc of it, from 0; also its serial.
        defect_rate: Probability that the disc is defective. One defect is usual, up to three occur.
        harmless_rate: Probability that it carries harmless marks, independent of its defects.
        holes: Bolt holes of the product.
        planted: Exactly these (class, severity) pairs instead of a draw: for challenge parts and tests.

    Raises:
        ValueError: A rate outside [0, 1], a negative seed or index, an unknown class or severity, no hole left.
    """
    for name, rate in (("defect_rate", defect_rate), ("harmless_rate", harmless_rate)):
        if not 0.0 <= rate <= 1.0:
            raise ValueError(f"{name} is {rate}; a rate lies in [0, 1]")
    if seed < 0 or index < 0:
        raise ValueError(f"seed {seed} and index {index} must not be negative")
    rng = np.random.default_rng([seed, index])
    # Drawn in a fixed order and before any mark, so the surface of a disc does not depend on the rates.
    surface_seed = int(rng.integers(2**31))
    bare = DiscSpec(f"D{index:06d}", surface_seed, float(rng.uniform(0, 2 * math.pi)), holes)
    wanted = list(planted) if planted is not None else []
    is_defective, is_marked = rng.random(2) < (defect_rate, harmless_rate)
    if planted is None and is_defective:
        for _ in range(int(rng.choice((1, 2, 3), p=(0.78, 0.18, 0.04)))):
            wanted.append((str(rng.choice(DEFECT_CLASSES)), _severity(rng)))
    missing = [severity for kind, severity in wanted if kind == "missing_hole"]
    free_holes = [int(hole) for hole in rng.permutation(holes)]
    marks: list[Mark] = []
    if len(missing) >= holes:
        raise ValueError(f"{len(missing)} of {holes} holes missing; a ring without any hole is another product")
    for severity in missing:
        hole = free_holes.pop()
        x, y = bare.hole_centres()[hole]
        marks.append(Mark("missing_hole", severity, ((float(x), float(y)),), HOLE_RADIUS, 0, hole))
    # Large marks take their place first, while there is still room.
    rest = sorted((pair for pair in wanted if pair[0] != "missing_hole"), key=lambda pair: pair[0] != "stain")
    for kind, severity in rest:
        marks.append(_place(rng, kind, severity, bare.hole_centres(), marks))
    harmless: list[Mark] = []
    if is_marked:
        for _ in range(int(rng.integers(1, 5))):
            kind = str(rng.choice(HARMLESS, p=(0.7, 0.3)))
            harmless.append(_place(rng, kind, float(rng.uniform(0.15, 1.0)), bare.hole_centres(), marks + harmless))
    return DiscSpec(bare.serial, bare.seed, bare.rotation_rad, holes, tuple(marks), tuple(harmless))


def _severity(rng: np.random.Generator) -> float:
    """Mostly middling; one in five nearly invisible, because those decide how good an inspection is."""
    if rng.random() < 0.2:
        return float(rng.uniform(0.03, 0.2))
    return float(0.15 + 0.85 * rng.beta(2.0, 2.0))


def _place(
    rng: np.random.Generator,
    kind: str,
    severity: float,
    holes: npt.NDArray[np.float64],
    taken: Sequence[Mark],
) -> Mark:
    """Find room for a mark on the face: clear of bore, rim, holes and the marks already there."""
    if kind not in _SHAPES:
        raise ValueError(f"cannot place a {kind!r}; known kinds: {', '.join(DEFECT_CLASSES + HARMLESS)}")
    others = [(np.array(mark.points), mark.radius) for mark in taken]
    tries = 0
    while True:
        # Full size for a while, then ever smaller: in the end every mark finds room.
        shrink = min(1.0, 0.985 ** (tries - 40))
        tries += 1
        points, radius = _SHAPES[kind](rng, shrink)
        # A line is as wide as its stroke; only round marks keep their radius clear of the edges.
        reach = 0.02 if len(points) > 1 else radius
        distance = np.hypot(points[:, 0], points[:, 1])
        clear = distance.min() > FACE_INNER + reach and distance.max() < FACE_OUTER - reach
        if clear and _gap(points, holes) > HOLE_RADIUS + HOLE_CHAMFER + 0.012 + reach:
            room = all(_gap(points, there) > reach + (0.02 if len(there) > 1 else r) + 0.03 for there, r in others)
            # A crowded face still takes the mark in the end: exactness of the truth does not need the gap.
            if room or shrink < 0.2:
                as_points = tuple((float(x), float(y)) for x, y in points)
                return Mark(kind, severity, as_points, radius, int(rng.integers(2**31)))


def _gap(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64]) -> float:
    """Smallest distance between two sets of points (n, 2) and (m, 2)."""
    return float(np.hypot(a[:, None, 0] - b[None, :, 0], a[:, None, 1] - b[None, :, 1]).min())


Shape = tuple[npt.NDArray[np.float64], float]


def _start(rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """A point drawn evenly over the face, (1, 2)."""
    r = math.sqrt(rng.uniform(FACE_INNER**2, FACE_OUTER**2))
    angle = rng.uniform(0, 2 * math.pi)
    return np.array([[r * math.cos(angle), r * math.sin(angle)]])


def _line(rng: np.random.Generator, length: float, heading: float, turn: float) -> npt.NDArray[np.float64]:
    """A curved line of sixteen points, (16, 2): `turn` is the change of heading over its whole length in radians."""
    headings = heading + turn * np.linspace(-0.5, 0.5, 16)
    steps = (length / 15) * np.stack([np.cos(headings), np.sin(headings)], axis=1)
    walked = np.cumsum(steps, axis=0)
    return np.asarray(_start(rng) + walked - walked[8])


def _scratch(rng: np.random.Generator, shrink: float) -> Shape:
    length = rng.uniform(0.25, 0.85) * shrink
    points = _line(rng, length, rng.uniform(0, 2 * math.pi), rng.normal(0, 0.4))
    return points, max(length / 2, 0.01)


def _dent(rng: np.random.Generator, shrink: float) -> Shape:
    return _start(rng), rng.uniform(0.075, 0.13) * max(shrink, 0.5)


def _stain(rng: np.random.Generator, shrink: float) -> Shape:
    return _start(rng), rng.uniform(0.11, 0.2) * max(shrink, 0.4)


def _dust(rng: np.random.Generator, shrink: float) -> Shape:
    if rng.random() < 0.35:  # a fibre: short and curled, where a scratch is long and nearly straight
        length = rng.uniform(0.07, 0.16) * max(shrink, 0.3)
        return _line(rng, length, rng.uniform(0, 2 * math.pi), rng.choice((-1, 1)) * rng.uniform(1.6, 3.6)), length / 2
    return _start(rng), rng.uniform(0.018, 0.05)


def _reflection(rng: np.random.Generator, shrink: float) -> Shape:
    # A glint points to the lamp, give or take: that is how it can be told from a scratch.
    length = rng.uniform(0.18, 0.42) * max(shrink, 0.3)
    return _line(rng, length, LIGHT_AZIMUTH_RAD + rng.normal(0, 0.05), 0.0), length / 2


_SHAPES: dict[str, Callable[[np.random.Generator, float], Shape]] = {
    "scratch": _scratch,
    "dent": _dent,
    "stain": _stain,
    "dust": _dust,
    "reflection": _reflection,
}
