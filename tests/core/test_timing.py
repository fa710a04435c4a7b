"""Time as an argument, and where it goes."""

from __future__ import annotations

from datetime import UTC, timedelta

import pytest

from station.core.timing import CycleTimer, ManualClock, StageTimes, SystemClock


def test_a_clock_moved_by_hand_moves_both_times_and_never_back() -> None:
    clock = ManualClock()
    before = clock.now()
    clock.wait(2.5)
    clock.wait(-1.0)
    assert clock.monotonic() == 2.5
    assert clock.now() - before == timedelta(seconds=2.5)


def test_the_machines_clock_tells_utc_and_goes_on() -> None:
    clock = SystemClock()
    assert clock.now().tzinfo is UTC
    before = clock.monotonic()
    clock.wait(0.001)
    assert clock.monotonic() - before >= 0.001


def test_stages_add_up_also_when_one_raises() -> None:
    times = StageTimes()
    with pytest.raises(ValueError, match="boom"), times.stage("read"):
        raise ValueError("boom")
    first = times.as_ms()["read"]
    with times.stage("read"):
        pass
    assert times.as_ms()["read"] >= first >= 0
    times.as_ms().clear()
    assert set(times.as_ms()) == {"read"}


def test_a_branch_starts_with_the_times_so_far_and_goes_its_own_way() -> None:
    times = StageTimes()
    with times.stage("read"):
        pass
    one, other = times.branch(), times.branch()
    with one.stage("detect"):
        pass
    assert set(one.as_ms()) == {"read", "detect"}
    assert other.as_ms() == times.as_ms()


def test_the_cycle_timer_forgets_what_left_its_window() -> None:
    timer = CycleTimer(window=4)
    for ms in (100.0, 100.0, 1.0, 2.0, 3.0, 4.0):
        timer.add({"detect": ms})
    assert timer.summary()["detect"] == {"median": 2.5, "p99": pytest.approx(3.97), "n": 4.0}
    assert CycleTimer().summary() == {}
