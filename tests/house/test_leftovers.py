"""Does the suite notice a thread that a test left running?"""

from __future__ import annotations

import threading

import pytest

from tests.conftest import left_behind


@pytest.mark.parametrize(
    ("name", "daemon", "found"),
    [("station-eyes", True, True), ("station-eyes", False, True), ("worker", False, True), ("worker", True, False)],
)
def test_a_thread_left_running_is_named(name: str, daemon: bool, found: bool):
    before, end = set(threading.enumerate()), threading.Event()
    thread = threading.Thread(target=end.wait, name=name, daemon=daemon)
    thread.start()
    try:
        assert left_behind(before, grace_s=0.0) == ([name] if found else [])
    finally:
        end.set()
        thread.join()
    assert left_behind(before, grace_s=0.0) == []


def test_a_thread_about_to_end_is_waited_for():
    before, end = set(threading.enumerate()), threading.Event()
    thread = threading.Thread(target=end.wait, args=(0.1,), name="station-late")
    thread.start()
    assert left_behind(before, grace_s=10.0) == []
    thread.join()
