#!/usr/bin/env python3
"""How long does an engineer wait for a thousand limits, and for one that was moved?

Each row has a yardstick A and the station's own way B, over the same scores, alternating in one run. Ratio = time of
B / time of A, median over the rounds.

    python3 scripts/bench/sweep.py [--quick] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np

from station.calibration.rates import rates_at_limits
from station.calibration.sweep import Curves, Floats
from station.core.errors import StationError

DEFECTIVE = 0.02
"""Share of defective parts among the scores."""


@dataclass(frozen=True)
class Row:
    """One comparison.

    Attributes:
        name: What was asked.
        yardstick: What A did.
        station: What B did.
        rounds: How often each of them ran.
        a_ms: Median milliseconds of A.
        b_ms: Median milliseconds of B.
        ratio: Median of B / A.
        ratio_min: Least of the rounds.
        ratio_max: Largest of the rounds.
        aim: Ratio that B should not exceed.
    """

    name: str
    yardstick: str
    station: str
    rounds: int
    a_ms: float
    b_ms: float
    ratio: float
    ratio_min: float
    ratio_max: float
    aim: float


def measure_thousand_limits(quick: bool) -> Row:
    """1,000 limits over 1,000,000 unsorted scores, against one sort of them."""
    good, defective = scores(1_000_000)
    everything = np.concatenate([good, defective])
    np.random.default_rng(2).shuffle(everything)
    limits = np.linspace(0.0, 1.0, 1_000)
    return compared(
        "1,000 limits, 1,000,000 scores",
        "one numpy.sort of the scores",
        "checked, sorted; misses, exact bound, overkill, review load at each limit",
        lambda: np.sort(everything),
        lambda: Curves(good, defective).at(limits, prevalence=0.005).review_minutes_per_h(3_600.0, 8.0),
        rounds=7 if quick else 31,
        aim=3.0,
    )


def measure_moved_limit(quick: bool) -> Row:
    """One moved limit on 100,000 parts: its counts, 200 points of every curve, both histograms."""
    good, defective = scores(100_000)
    curves, grid = Curves(good, defective), np.linspace(0.0, 1.0, 200)
    limits = iter(np.random.default_rng(3).random(10_000))

    def plainly() -> None:
        rates_at_limits(good, defective, pass_below=float(next(limits)))
        for part_scores in (good, defective):
            np.searchsorted(np.sort(part_scores), grid)
            np.histogram(part_scores, 50, (0.0, 1.0))

    def prepared() -> None:
        curves.rates(pass_below=float(next(limits)))
        curves.at(grid, prevalence=0.005).review_minutes_per_h(3_600.0, 8.0)
        curves.histogram(50)

    return compared(
        "a moved limit, 100,000 parts",
        "counted, sorted and binned anew, without bounds",
        "counts, 200 points of every curve with bounds, histograms, from prepared curves",
        plainly,
        prepared,
        rounds=51 if quick else 501,
        aim=1.0,
    )


MEASUREMENTS: list[Callable[[bool], Row]] = [measure_thousand_limits, measure_moved_limit]
"""A row more is a function more: it takes ``quick`` and gives a :class:`Row`."""


def scores(parts: int) -> tuple[Floats, Floats]:
    """Good and defective part scores that overlap, in no order; the same ones every time."""
    random = np.random.default_rng(1)
    defective = round(parts * DEFECTIVE)
    return random.beta(2, 8, parts - defective), random.beta(8, 3, defective)


def compared(
    name: str,
    yardstick: str,
    station: str,
    a: Callable[[], object],
    b: Callable[[], object],
    *,
    rounds: int,
    aim: float,
) -> Row:
    """Times A and B in turn; which goes first changes from round to round."""
    seconds: dict[str, list[float]] = {"a": [], "b": []}
    a(), b()  # once unmeasured: memory and caches are warm for both
    for turn in range(rounds):
        for which, run in (("a", a), ("b", b)) if turn % 2 == 0 else (("b", b), ("a", a)):
            begin = time.perf_counter()
            run()
            seconds[which].append(time.perf_counter() - begin)
    ratios = [theirs / ours for theirs, ours in zip(seconds["b"], seconds["a"], strict=True)]
    return Row(
        name=name,
        yardstick=yardstick,
        station=station,
        rounds=rounds,
        a_ms=round(1e3 * statistics.median(seconds["a"]), 4),
        b_ms=round(1e3 * statistics.median(seconds["b"]), 4),
        ratio=round(statistics.median(ratios), 4),
        ratio_min=round(min(ratios), 4),
        ratio_max=round(max(ratios), 4),
        aim=aim,
    )


def main() -> int:
    """Measures and prints; exits non-zero only where nothing could be measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="under a minute")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    rows = []
    for measure in MEASUREMENTS:
        try:
            rows.append(measure(given.quick))
        except StationError as error:
            print(f"{measure.__name__}: not measured: {error}")
    if not rows:
        return 1
    print(f"A the yardstick, B the station; numpy {np.__version__}, {platform.processor() or platform.machine()}")
    print(f"{'row':34}{'rounds':>7}{'A ms':>10}{'B ms':>10}{'B/A':>8}{'spread':>16}{'aim':>8}")
    for row in rows:
        spread = f"{row.ratio_min:.2f}-{row.ratio_max:.2f}"
        aim = f"<= {row.aim:g}"
        print(
            f"{row.name:34}{row.rounds:>7}{row.a_ms:>10.3f}{row.b_ms:>10.3f}{row.ratio:>8.3f}{spread:>16}{aim:>8}"
            f"\n    A {row.yardstick}\n    B {row.station}"
        )
    if given.json:
        found = {"machine": platform.platform(), "results": [asdict(row) for row in rows]}
        given.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
