"""Killed at any moment while limits change: the old or the new are in force, and every part agrees with its run."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from station.store import limits as kept
from tests.builders import Bench
from tests.chaos.limits_worker import PRODUCT
from tests.test_limits_desk import agree

ROOT = Path(__file__).resolve().parents[2]


def killed_while_limits_change(folder: Path, chance: random.Random) -> None:
    """Lets the worker run on the ledger in ``folder`` for a random while, then kills it."""
    worker = subprocess.Popen(
        [sys.executable, "-m", "tests.chaos.limits_worker", str(folder)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    try:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "running\n"
        time.sleep(chance.uniform(0.05, 0.8))
    finally:
        worker.kill()
        worker.communicate()


def check(folder: Path) -> None:
    with Bench(folder, product=PRODUCT) as bench:
        # The bench has begun a run of its own, under what it found in force.
        in_force = kept.past(bench.reader, PRODUCT.name).in_force
        newest, before = (v for (v,) in bench.rows("SELECT limits_version FROM run ORDER BY id DESC LIMIT 2"))
        assert newest == before == in_force
        assert bench.one("SELECT count(*) FROM inspection") > 0
        agree(bench)
        bench.turn(1.0, turns=3)  # what was committed and not acknowledged is sent again


def test_a_kill_while_limits_change_leaves_the_old_or_the_new(tmp_path: Path) -> None:
    killed_while_limits_change(tmp_path, random.Random(1))
    check(tmp_path)


@pytest.mark.long
def test_twenty_kills_on_one_ledger(tmp_path: Path) -> None:
    chance = random.Random(2)
    for _ in range(20):
        killed_while_limits_change(tmp_path, chance)
        check(tmp_path)
