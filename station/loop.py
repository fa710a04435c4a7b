"""Who sees, inspects, remembers, sorts and settles? The inspection loop.

Two threads share the work, and each thing has one owner::

    eyes:  source.read ─> watch ─> trigger ─> inspect ──┐ bounded queue (full: the eyes wait)
    hand:  <────────────────────────────────────────────┘
           remember (image, then row, committed) ─> sort (line) ─> answer people ─> settle ─> show state

The hand alone writes the ledger and commands the line. ``RELEASE`` is sent only after its row and image
are durable. If anything here dies, the line hears nothing more, and silence means hold.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from station.core.errors import StationError
from station.core.part import BgrImage, Frame
from station.core.ports import FrameSource, Line, Trigger
from station.core.timing import Clock, CycleTimer
from station.core.verdict import Inspection, StationState
from station.eyes import READ_TIMEOUT_S, STALE_S, Eyes, Stretch
from station.faults import Fault, Faults
from station.hand import Hand
from station.health import FrameWatch
from station.inbox import Inbox, Question
from station.inspection import Inspector
from station.limits_desk import LimitsDesk, Turn
from station.recipe import HoldSettings, Recipe
from station.review import ReviewDesk
from station.store.images import ImageStore
from station.store.ledger import Ledger, RunStart

__all__ = ["Fault", "InspectionLoop", "Status"]

log = logging.getLogger(__name__)

TURN_S = 0.02
"""Longest wait of one turn of the hand; bounds how late an answer is settled."""

SWITCH_S = 0.0005
"""Longest that one thread keeps the interpreter from the other: eyes back from an inference must not wait for the
hand's bookkeeping (Python's own 5 ms would be half an inference)."""

STOP_S = 10.0
"""A source that does not return from its read for so long is left behind when the station halts."""


@dataclass(frozen=True, slots=True)
class Status:
    """What the station is doing, for people and the panel."""

    state: StationState
    faults: tuple[Fault, ...]
    parts: int
    waiting: int
    dropped_frames: int
    stage_ms: dict[str, dict[str, float]]
    at: datetime


class InspectionLoop:
    """One station's loop. ``run`` blocks until the source ends or ``stop`` is called."""

    def __init__(
        self,
        *,
        source: FrameSource,
        trigger: Trigger,
        watch: FrameWatch,
        inspector: Inspector,
        ledger: Ledger,
        images: ImageStore,
        line: Line,
        desk: ReviewDesk,
        hold: HoldSettings,
        clock: Clock,
        start: RunStart,
        correct: Callable[[BgrImage], BgrImage] | None = None,
        blocked: Callable[[], str | None] | None = None,
        on_recorded: Callable[[Inspection], None] | None = None,
        file: Recipe | None = None,
    ) -> None:
        self._source, self._desk = source, desk
        self._hold, self._clock = hold, clock
        self._inbox = Inbox()
        self._stopping = threading.Event()
        self._faults = Faults(clock)
        self._hand = Hand(
            ledger=ledger,
            images=images,
            line=line,
            desk=desk,
            clock=clock,
            faults=self._faults,
            start=start,
            on_recorded=on_recorded,
        )
        self._eyes = Eyes(
            source=source,
            trigger=trigger,
            watch=watch,
            inspector=inspector,
            run_id=self._hand.run_id,
            clock=clock,
            faults=self._faults,
            station=start.station,
            next_number=self._hand.next_number,
            stopping=self._stopping,
            deliver=self._inbox.put,
            correct=correct,
            blocked=blocked,
        )
        # The recipe as its file says it: what goes back to the file goes back to this.
        self._limits = LimitsDesk(ledger, file or inspector.recipe, running=self, usable=inspector.under)
        self._status = self._make_status(StationState.READY)

    # ------------------------------------------------------------------ for others, from any thread

    @property
    def timer(self) -> CycleTimer:
        """How long the stages take."""
        return self._hand.timer

    @property
    def newest_frame(self) -> Frame | None:
        """The newest healthy frame, not a copy: look at it, never write to it. From any thread.

        ``None`` before the first one, while the picture is ill or the source lost, and once there is nothing more to
        see. A source that gives nothing leaves the last one standing: its ``monotonic_s`` says how old it is.
        """
        return self._eyes.newest_frame

    def status(self) -> Status:
        """The newest state; never blocks on the loop's work."""
        return replace(self._status, stage_ms=self.timer.summary())

    def stop(self) -> None:
        """Asks :meth:`run` to end after what is in hand is written down."""
        self._stopping.set()

    def ask(self, work: Callable[[ReviewDesk], Any], *, timeout_s: float = 10.0) -> Any:
        """Has the hand do ``work`` on the review desk; returns its result once it is committed.

        Raises:
            ReviewRefused: The desk refused.
            StationError: The loop has halted.
            TimeoutError: The hand did not come to it in time; it may still be done: ask again with the same key.
        """
        question = Question(work)
        self._inbox.ask(question)
        return question.reply.result(timeout=timeout_s)

    def ask_limits(self, work: Callable[[LimitsDesk], Any], *, timeout_s: float = 10.0) -> Any:
        """Has the hand do ``work`` on the limits desk, between two parts; returns its result once it is committed.

        Raises:
            LimitsRefused: The desk refused.
            StationError: The loop has halted.
            TimeoutError: The hand did not come to it in time; it may still be done: ask again with the same key.
        """

        def between_two_parts(_: ReviewDesk) -> Any:
            try:
                return work(self._limits)
            finally:
                self._hand.check_books()  # whatever became of it: the ledger's newest run must be the one judged by

        return self.ask(between_two_parts, timeout_s=timeout_s)

    def turn_to(self, recipe: Recipe, version: int | None) -> Turn:
        """Makes ready to judge by another recipe of the same product; nothing changes before the turn is done.

        Raises:
            ConfigError: This station cannot inspect by it.
        """
        inspector = self._eyes.under.inspector.under(recipe)
        start = replace(
            self._hand.start,
            recipe_sha256=recipe.sha256,
            recipe_json=recipe.model_dump_json(),
            limits_version=version,
        )

        def done(run_id: int) -> None:
            self._hand.go_on(start, run_id)
            self._eyes.under = Stretch(inspector, run_id)

        return Turn(start, self._hand.run_id, done)

    # ------------------------------------------------------------------ whole runs

    def run(self, *, until_settled: bool = False) -> None:
        """Works until the source ends or :meth:`stop` is called, then writes down what is in hand.

        Args:
            until_settled: After the source has ended, go on until no part waits for a person.

        Raises:
            StationError: Parts could not be written down at the halt (they are named), or the eyes died; the line
                was left on hold.
        """
        eyes = threading.Thread(target=self._eyes.look, name="station-eyes", daemon=True)
        switch_interval = sys.getswitchinterval()
        sys.setswitchinterval(SWITCH_S)
        ended_by: list[BaseException] = []
        try:
            eyes.start()
            while not self._finished(until_settled):
                self.act(TURN_S)
        except BaseException as error:  # Ctrl-C as well: raised below, once everything is written down
            ended_by.append(error)
        ended_by += self._halt(eyes)
        sys.setswitchinterval(switch_interval)
        cause = ended_by[0] if ended_by else self._eyes.error
        if self._hand.unrecorded:
            raise StationError(self._words_of_unrecorded()) from cause
        if ended_by:
            raise ended_by[0]
        if cause is not None:
            raise StationError(f"inspection stopped: {cause}") from cause

    def _finished(self, until_settled: bool) -> bool:
        if self._stopping.is_set():
            return True
        hand = self._hand
        if not self._eyes.done.is_set() or not self._inbox.empty or hand.unrecorded or hand.unsent:
            return False
        return self._eyes.error is not None or not until_settled or hand.waiting == 0

    def _halt(self, eyes: threading.Thread) -> list[BaseException]:
        """Stops the line and writes down what is in hand; each step is done whatever became of those before it."""
        self._stopping.set()
        failed: list[BaseException] = []
        for step in (
            self._show_halted,  # before anything else can go wrong
            lambda: self._await_eyes(eyes),
            self._empty_inbox,
            self._hand.end_run,
            self._show_halted,
        ):
            try:
                step()
            except BaseException as error:  # a second Ctrl-C ends a step, not what comes after it
                if not isinstance(error, KeyboardInterrupt):
                    log.error("halting: %s: %s", type(error).__name__, error)
                failed.append(error)
        return failed

    def _show_halted(self) -> None:
        self._status = self._make_status(StationState.HALTED)
        self._hand.show(StationState.HALTED)

    def _await_eyes(self, eyes: threading.Thread) -> None:
        deadline = time.monotonic() + STOP_S
        try:
            while eyes.is_alive() and time.monotonic() < deadline:
                self.act(TURN_S)
        finally:
            if eyes.ident is not None:
                eyes.join(timeout=max(deadline - time.monotonic(), 0.0))

    def _empty_inbox(self) -> None:
        self._inbox.close()
        seen, asked = self._inbox.collect_all()
        try:
            self._hand.write_down_everything(seen)
        finally:
            for question in asked:
                question.answer(self._desk)

    def _words_of_unrecorded(self) -> str:
        ids = ", ".join(seen.inspection.part.part_id for seen in self._hand.unrecorded)
        why = self._faults.words("ledger") or "see the messages above"
        return (
            f"{len(self._hand.unrecorded)} parts were not released and are not in the ledger: {ids}; "
            f"keep them on hold and let them pass the camera again after the next start ({why})"
        )

    # ------------------------------------------------------------------ turns

    def see(self, timeout_s: float = READ_TIMEOUT_S) -> bool:
        """One turn of the eyes: one frame through trigger and inspection; False once the source has ended."""
        return self._eyes.see(timeout_s)

    def act(self, timeout_s: float = TURN_S) -> None:
        """One turn of the hand: remember, sort, answer people, settle, show."""
        hand = self._hand
        seen, asked = self._inbox.collect(timeout_s)
        written = hand.write_down(seen)
        if written is not None:
            self._eyes.make_room(len(written.seen))
            hand.tell_line(written)
        hand.send_again()
        for question in asked:
            question.answer(self._desk)
        hand.settle()
        hand.note_events()
        if not seen:
            hand.flush_acknowledged()
        hand.check_books_now_and_then()
        state = self._state()
        self._status = self._make_status(state)
        hand.show(state)

    # ------------------------------------------------------------------ state

    def _state(self) -> StationState:
        if self._stopping.is_set():
            return StationState.HALTED
        if self._eyes.stale:
            self._faults.begin(
                "eyes",
                f"no frame was looked at for {STALE_S:.0f} s: check the camera; restart the station if it goes on",
            )
        if self._faults:
            return StationState.FAULT
        if self._hand.waiting >= self._hold.capacity:
            return StationState.WAITING
        return StationState.READY if self._eyes.done.is_set() else StationState.RUNNING

    def _make_status(self, state: StationState) -> Status:
        return Status(
            state=state,
            faults=self._faults.standing(),
            parts=self._hand.parts,
            waiting=self._hand.waiting,
            dropped_frames=self._source.dropped,
            stage_ms={},
            at=self._clock.now(),
        )
