"""Does a long shift leave a mark? Every answer of a scripted browser is one label, in order, and memory stays flat."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.panel.browsing import Screen, Stage, chromium, pytestmark, until  # noqa: F401

WARM = 0.3
"""Share of the answers after which memory is first read: caches are full by then."""

GROWTH = 1.10
"""Most that a process may grow in the rest."""


class Shift(Stage):
    """A loop that stops every part, so that there is always one to answer."""

    def start_loop(self, plan: str) -> None:
        self._start("loop", "tests.panel.rehearsal", str(self.folder), "--plan", plan, "--pause", "0.1", "--undo", "1")

    def memory_mb(self, name: str) -> float:
        status = Path(f"/proc/{self.running[name].pid}/status").read_text()
        return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:")) / 1024.0


@pytest.mark.parametrize("answers", [60, pytest.param(1000, marks=pytest.mark.long)])
def test_every_answer_is_one_label_in_order_and_memory_stays_flat(
    tmp_path: Path,
    chromium: Any,  # noqa: F811
    answers: int,
) -> None:
    shift = Shift(tmp_path)
    shift.start_loop("r")
    shift.start_panel()
    shift.wait_for_panel()
    try:
        until(lambda: shift.database.exists() and len(shift.rows("SELECT 1 FROM review")) > 10)
        screen = Screen(chromium, shift, "Mia")
        pressed, before = [], {"loop": 0.0, "panel": 0.0}
        for n in range(answers):
            if n == int(answers * WARM):
                before = {name: shift.memory_mb(name) for name in before}
            pressed.append((screen.press("f" if n % 2 else "Enter"), "false_alarm" if n % 2 else "agree"))
        screen.stored(answers)
        after = {name: shift.memory_mb(name) for name in before}
        screen.close()
        rows = shift.rows(
            "SELECT i.number, c.answer FROM confirmation c JOIN inspection i ON i.part_id = c.part_id ORDER BY c.id"
        )
        assert rows == pressed
        assert [n for n, _ in rows] == sorted({n for n, _ in rows}), "each part once, oldest first"
        until(lambda: shift.rows("SELECT count(*) FROM review WHERE settled_at IS NOT NULL")[0][0] >= answers)
        unlabelled = (
            "SELECT count(*) FROM confirmation c WHERE NOT EXISTS "
            "(SELECT 1 FROM sample s WHERE s.confirmation_id = c.id)"
        )
        assert shift.rows(unlabelled) == [(0,)]
        print(f"{answers} answers; memory in MB before {before}, after {after}")
        if answers >= 1000:  # few answers say nothing about growth
            assert all(after[name] <= before[name] * GROWTH for name in before), (before, after)
    finally:
        for name in list(shift.running):
            shift.stop(name)
