"""Is what the screens are told about the loop true, also when the loop hangs or has stopped turning?"""

from __future__ import annotations

import asyncio
import itertools
import json
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from station.core.errors import ReviewRefused
from station.exchange import LoopAway, LoopState
from station.panel import push as push_module
from station.panel.push import Push
from station.panel.reading import Reading
from tests.panel.rehearsal import Rehearsal, config


class Loop:
    """A loop that answers as it is told."""

    def __init__(self) -> None:
        self.age_s = 0.0
        self.away = False
        self.hangs = threading.Event()
        self.garbles: Exception | None = None

    def state(self) -> LoopState:
        if self.away:
            raise LoopAway("gone")
        if self.garbles is not None:
            raise self.garbles
        while self.hangs.is_set():
            time.sleep(0.01)
        at = datetime.now(UTC) - timedelta(seconds=self.age_s)
        return LoopState("RUNNING", (("source", "camera lost", at.isoformat()),), 7, 1, 0, {}, at.isoformat())


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(push_module, "POLL_S", 0.02)
    monkeypatch.setattr(push_module, "SILENT_S", 0.2)


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 5
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.mark.usefixtures("quick")
def test_away_is_said_when_the_loop_is_gone_hangs_or_no_longer_turns(tmp_path: Path) -> None:
    loop = Loop()
    push = Push(Reading(config(tmp_path)), loop, dict)  # type: ignore[arg-type]
    assert push.loop["away"] is True, "before the first answer nothing is known"
    push.start()
    try:
        until(lambda: push.loop["state"] == "RUNNING")
        assert push.loop["faults"][0]["kind"] == "source"
        loop.away = True
        until(lambda: push.loop["away"])
        loop.away = False
        until(lambda: not push.loop["away"])
        loop.hangs.set()
        until(lambda: push.loop["away"])
        loop.hangs.clear()
        until(lambda: not push.loop["away"])
        loop.age_s = 60.0
        until(lambda: push.loop["away"])
    finally:
        loop.hangs.clear()
        push.stop()


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    "error", [ReviewRefused("invalid", "unknown request 'state'"), TypeError("words"), KeyError("at")]
)
def test_an_answer_nobody_understands_is_said_and_asking_goes_on(tmp_path: Path, error: Exception) -> None:
    loop = Loop()
    push = Push(Reading(config(tmp_path)), loop, dict)  # type: ignore[arg-type]
    push.start()
    try:
        until(lambda: push.loop["state"] == "RUNNING")
        loop.garbles = error
        until(lambda: push.loop["away"])
        assert "restart both" in push.loop["words"]
        loop.garbles = None
        until(lambda: not push.loop["away"])
    finally:
        push.stop()


@pytest.mark.usefixtures("quick")
def test_a_screen_gets_the_whole_first_and_then_every_change(
    rehearse: Callable[..., Rehearsal], tmp_path: Path
) -> None:
    stage = rehearse("r", parts=1, held=1)
    reading = Reading(config(tmp_path))
    told = []
    push = Push(reading, Loop(), lambda: {"waiting": stage.ledger.balance().waiting, "n": len(told)})  # type: ignore[arg-type]
    push.start()

    async def watch() -> None:
        async for event in push.stream():
            told.append(event)
            if len(told) == 3:
                stage.ledger.event("test", "something happened")
            if sum(e.startswith("event: change") for e in told) == 2:
                return

    try:
        asyncio.run(asyncio.wait_for(watch(), 10))
    finally:
        push.stop()
        reading.close()
    assert told[0] == "retry: 1000\n\n"
    assert told[1].startswith("event: loop")
    first: dict[str, Any] = json.loads(told[2].split("data: ")[1])
    assert first["waiting"] == 1


@pytest.mark.usefixtures("quick")
def test_a_new_question_is_told_at_once_and_what_can_wait_waits(
    rehearse: Callable[..., Rehearsal], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(push_module, "QUIET_S", 3600.0)
    stage = rehearse("pr", pause_s=0.7, held=1)
    reading = Reading(config(tmp_path))
    told: list[int] = []

    def snapshot() -> dict[str, Any]:
        told.append(stage.ledger.balance().waiting)
        return {}

    push = Push(reading, Loop(), snapshot)  # type: ignore[arg-type]
    push.start()

    async def watch() -> None:
        async for _ in push.stream():
            if len(told) >= 5:
                return

    try:
        asyncio.run(asyncio.wait_for(watch(), 20))
    finally:
        push.stop()
        reading.close()
    # The first two are the new screen's; passed parts between the held ones were told with them, never for themselves.
    assert [b - a for a, b in itertools.pairwise(told[2:])] == [1, 1]


def test_a_screen_that_does_not_read_is_cut_off_and_holds_nobody_up() -> None:
    async def slow() -> list[Any]:
        screen: asyncio.Queue[Any] = asyncio.Queue(push_module.SCREEN_QUEUE)
        for number in range(push_module.SCREEN_QUEUE + 1):
            push_module._put(screen, ("change", {"n": number}))
        return [screen.get_nowait() for _ in range(screen.qsize())]

    assert asyncio.run(slow()) == [None]
