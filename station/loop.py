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
import queue
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from station.core.errors import DiskFull, LedgerFault, LineFault, SourceEnded, SourceLost, StationError
from station.core.part import Part, PartId, Sighting
from station.core.ports import FrameSource, Line, Trigger
from station.core.timing import Clock, CycleTimer, StageTimes
from station.core.verdict import Disposition, Evaluation, Inspection, StationState, Verdict
from station.health import FrameWatch
from station.inspection import Inspector
from station.recipe import HoldSettings
from station.review import ReviewDesk
from station.store.images import EncodedImage, ImageStore, encode
from station.store.ledger import Command, Ledger, Record, RunStart

log = logging.getLogger(__name__)

QUEUE_PARTS = 8
"""Inspected parts that may wait for the hand; one more and the eyes wait."""

BATCH_PARTS = 8
"""Most parts committed together: each waits for the commit it is in."""

TURN_S = 0.02
"""Longest wait of one turn of the hand; bounds how late an answer is settled."""

READ_TIMEOUT_S = 0.1
EYES_STALE_S = 5.0
"""The eyes not turning for so long is a fault."""

BALANCE_EVERY_S = 10.0
SWITCH_S = 0.0005
"""Longest that one thread keeps the interpreter from the other: eyes back from an inference must not wait for the
hand's bookkeeping (Python's own 5 ms would be half an inference)."""

STOP_S = 10.0
"""A source that does not return from its read for so long is left behind when the station halts."""

RETRY_S = 0.5
"""Wait before a refused write or command is tried again."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Something is wrong now.

    Attributes:
        kind: Short name, one standing fault per kind.
        words: What and what to do.
        since: When it began.
    """

    kind: str
    words: str
    since: datetime


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


@dataclass(frozen=True, slots=True)
class _Seen:
    inspection: Inspection
    born_s: float


@dataclass(frozen=True, slots=True)
class _Asked:
    work: Callable[[ReviewDesk], Any]
    reply: Future[Any] = field(default_factory=Future)


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
        on_recorded: Callable[[Inspection], None] | None = None,
    ) -> None:
        self._source, self._trigger, self._watch = source, trigger, watch
        self._inspector, self._desk = inspector, desk
        self._ledger, self._images, self._line = ledger, images, line
        self._hold, self._clock = hold, clock
        self._station = start.station
        self._on_recorded = on_recorded
        self.timer = CycleTimer()
        self._inbox: queue.Queue[_Seen | _Asked] = queue.Queue()
        self._room = threading.Semaphore(QUEUE_PARTS)
        self._stopping = threading.Event()
        self._eyes_done = threading.Event()
        self._eyes_error: BaseException | None = None
        self._eyes_beat = clock.monotonic()
        self._faults: dict[str, Fault] = {}
        self._faults_lock = threading.Lock()
        self._unnoted: queue.SimpleQueue[tuple[str, str]] = queue.SimpleQueue()
        self._unrecorded: list[_Seen] = []
        self._retry_at = 0.0
        self._resend_at = 0.0
        self._settle_at = 0.0
        self._acknowledged: list[tuple[int, datetime]] = []
        self._balanced_at = clock.monotonic()
        self._run_id = ledger.start_run(start)
        self._next_number = ledger.next_number()
        self._unsent: list[Command] = ledger.unacknowledged()
        self._parts = 0
        self._waiting = 0
        self._settled_all = False
        self._check_books()
        self._status = self._make_status(StationState.READY)

    # ------------------------------------------------------------------ whole runs

    def run(self, *, until_settled: bool = False) -> None:
        """Works until the source ends or :meth:`stop` is called.

        Args:
            until_settled: After the source has ended, go on until no part waits for a person.

        Raises:
            StationError: The eyes died; the line was left on hold.
        """
        eyes = threading.Thread(target=self._look, name="station-eyes", daemon=True)
        switch_interval = sys.getswitchinterval()
        sys.setswitchinterval(SWITCH_S)
        eyes.start()
        try:
            while not self._finished(until_settled):
                self.act(TURN_S)
        finally:
            self._stopping.set()
            try:
                self._line.show(StationState.HALTED)  # before anything else can go wrong
                deadline = time.monotonic() + STOP_S
                while eyes.is_alive() and time.monotonic() < deadline:
                    self.act(TURN_S)
                self._drain()
            finally:
                self._line.show(StationState.HALTED)
                sys.setswitchinterval(switch_interval)
        if self._eyes_error is not None:
            raise StationError(f"inspection stopped: {self._eyes_error}") from self._eyes_error

    def stop(self) -> None:
        """Asks :meth:`run` to end after what is in hand is written down; from any thread."""
        self._stopping.set()

    def ask(self, work: Callable[[ReviewDesk], Any], *, timeout_s: float = 10.0) -> Any:
        """Has the hand do ``work`` on the review desk; returns its result once it is committed.

        Raises:
            ReviewRefused: The desk refused.
            TimeoutError: The hand did not come to it in time; it may still be done: ask again with the same key.
        """
        asked = _Asked(work)
        self._inbox.put(asked)
        return asked.reply.result(timeout=timeout_s)

    def status(self) -> Status:
        """The newest state; never blocks on the loop's work."""
        return replace(self._status, stage_ms=self.timer.summary())

    # ------------------------------------------------------------------ eyes

    def see(self, timeout_s: float = READ_TIMEOUT_S) -> bool:
        """Takes one frame through trigger and inspection; False once the source has ended."""
        self._eyes_beat = self._clock.monotonic()
        self._clear_fault("eyes")
        times = StageTimes()
        try:
            with times.stage("read"):
                frame = self._source.read(timeout_s)
        except SourceEnded:
            for sighting in self._trigger.flush():
                self._inspect(sighting, None, times)
            return False
        except SourceLost as lost:
            self._raise_fault("source", str(lost))
            self._lose_sight(f"camera lost while the part was in view: {lost}", times)
            return True
        self._clear_fault("source")
        if frame is None:
            return True
        with times.stage("watch"):
            ill = self._watch.check(frame)
        if ill is not None:
            if self._source.live:
                self._raise_fault("picture", f"the camera's picture cannot be trusted: {ill}")
            with times.stage("trigger"):
                sightings = self._trigger.blind(frame)
            for sighting in sightings:
                self._inspect(sighting, ill, times)
            return True
        self._clear_fault("picture")
        with times.stage("trigger"):
            sightings = self._trigger.update(frame)
        for sighting in sightings:
            self._inspect(sighting, None, times)
        return True

    def _look(self) -> None:
        try:
            while not self._stopping.is_set() and self.see():
                pass
        except BaseException as error:
            log.exception("the eyes died")
            self._eyes_error = error
            self._raise_fault("eyes", f"inspection stopped ({type(error).__name__}: {error}): restart the station")
        finally:
            self._eyes_done.set()

    def _lose_sight(self, words: str, times: StageTimes) -> None:
        for sighting in self._trigger.flush():
            self._inspect(sighting, words, times)

    def _inspect(self, sighting: Sighting, fault: str | None, times: StageTimes) -> None:
        born = time.perf_counter()
        frame = sighting.frame
        number = self._next_number
        part = Part(
            part_id=PartId(f"{self._station}-{number:06d}"),
            number=number,
            triggered_at=self._clock.now(),
            image=sighting.cut(),
            source=frame.source,
            frame_index=frame.index,
            origin=(sighting.box.x0, sighting.box.y0) if sighting.box else (0.0, 0.0),
            fault=fault or frame.fault,
            simulated=frame.simulated,
            serial=frame.serial,
            lot=frame.lot,
            truth=frame.truth,
        )
        inspection = self._inspector.inspect(part, times.branch())  # two parts in one frame do not add up
        while not self._room.acquire(timeout=0.1):
            self._eyes_beat = self._clock.monotonic()  # waiting for the hand is not being dead
            if self._stopping.is_set():
                # Its number is not used up and the line was told nothing: the part stays held where it is.
                self._unnoted.put(("halt", f"a part in view at frame {frame.index} was left uninspected and held"))
                return
        self._next_number = number + 1
        self._inbox.put(_Seen(inspection, born))

    # ------------------------------------------------------------------ hand

    def act(self, timeout_s: float = TURN_S) -> None:
        """One turn of the hand: remember, sort, answer people, settle, show."""
        seen, asked = self._collect(timeout_s)
        self._remember(seen)
        self._send_again()
        for question in asked:
            self._answer(question)
        self._settle()
        self._note_events()
        self._flush_acknowledged(idle=not seen)
        self._check_books_now_and_then()
        self._show()

    def _collect(self, timeout_s: float) -> tuple[list[_Seen], list[_Asked]]:
        seen: list[_Seen] = []
        asked: list[_Asked] = []
        item: _Seen | _Asked | None
        try:
            item = self._inbox.get(timeout=timeout_s) if timeout_s > 0 else self._inbox.get_nowait()
            while True:
                if isinstance(item, _Seen):
                    seen.append(item)
                else:
                    asked.append(item)
                if len(seen) >= BATCH_PARTS:
                    break
                item = self._inbox.get_nowait()
        except queue.Empty:
            pass
        return seen, asked

    def _remember(self, seen: list[_Seen]) -> None:
        self._unrecorded.extend(seen)
        if not self._unrecorded or self._clock.monotonic() < self._retry_at:
            return
        batch = self._unrecorded[:]
        times = StageTimes()
        try:
            with times.stage("encode"):
                records = [self._as_record(s.inspection) for s in batch]
            with times.stage("image"):
                self._keep_images([r.image for r in records if r.image is not None])
            with times.stage("commit"):
                commands = self._ledger.record(self._run_id, records, self._acknowledged)
        except LedgerFault as fault:
            # Not written down means not released: the line hears nothing of them and stands in FAULT. It must not
            # hear an id without a row either, or a restart could give that id to another part.
            self._raise_fault("ledger", f"parts cannot be written down: {fault}")
            self._retry_at = self._clock.monotonic() + RETRY_S
            return
        self._clear_fault("ledger")
        self._room.release(len(batch))
        self._acknowledged = []
        self._unrecorded = []
        self._waiting += sum(c.disposition is Disposition.HOLD for c in commands)
        for command in commands:
            with times.stage("line"):
                self._send(command)
        share = {k: v / len(batch) for k, v in times.as_ms().items()}
        now = time.perf_counter()
        for s, record in zip(batch, records, strict=True):
            self._parts += 1
            self.timer.add({**s.inspection.stage_ms, **share, "trigger_to_line": (now - s.born_s) * 1000.0})
            if self._on_recorded is not None:
                self._on_recorded(record.inspection)

    def _as_record(self, inspection: Inspection) -> Record:
        image: EncodedImage | None = None
        if inspection.part.image is not None:
            try:
                image = encode(inspection.part.image)
            except StationError as fault:
                inspection = self._held(inspection, f"the picture cannot be stored: {fault}")
        if inspection.disposition is Disposition.RELEASE:
            books = self._faults.get("books")
            if books is not None:
                inspection = self._held(inspection, books.words)
        return Record(inspection, image, self._inspector.blind(inspection))

    def _held(self, inspection: Inspection, words: str) -> Inspection:
        verdict = Verdict(Evaluation.UNDEFINED, words, inspection.verdict.score, inspection.verdict.label)
        return replace(inspection, verdict=verdict, p_select=1.0, audit=False)

    def _keep_images(self, images: list[EncodedImage]) -> None:
        try:
            self._images.keep(images)
        except DiskFull:
            oldest = self._ledger.oldest_passed_images()
            if not oldest:
                raise
            self._ledger.note_dropped_images(oldest)
            won = self._images.drop(oldest)
            self._ledger.event("disk", f"{len(oldest)} pictures of passed parts removed, {won / 1e6:.1f} MB")
            self._images.keep(images)

    def _send(self, command: Command) -> None:
        if any(c.part_id == command.part_id for c in self._unsent):
            self._unsent.append(command)  # a part hears its commands in order: never a late HOLD after its RELEASE
            return
        try:
            self._line.sort(command.part_id, command.disposition)
        except (LineFault, OSError) as fault:  # a driver's own error is no acknowledgement either
            self._raise_fault("line", str(fault) or type(fault).__name__)
            self._unsent.append(command)
            self._resend_at = self._clock.monotonic() + RETRY_S
            return
        self._acknowledged.append((command.id, self._clock.now()))

    def _send_again(self) -> None:
        # Its own pause: one command the line refuses must not keep answers from being settled.
        if self._unsent and self._clock.monotonic() >= self._resend_at:
            again, self._unsent = self._unsent, []
            for command in again:
                self._send(command)

    def _answer(self, question: _Asked) -> None:
        if not question.reply.set_running_or_notify_cancel():
            return
        try:
            question.reply.set_result(question.work(self._desk))
        except StationError as refused:
            question.reply.set_exception(refused)
        except Exception as error:
            log.exception("a request of the panel failed")
            question.reply.set_exception(StationError(f"{type(error).__name__}: {error}"))

    def _settle(self) -> None:
        if self._waiting == 0 or self._clock.monotonic() < self._settle_at:
            return
        try:
            commands = self._desk.settle()
        except LedgerFault as fault:
            self._raise_fault("settle", f"answers cannot be settled: {fault}")
            self._settle_at = self._clock.monotonic() + RETRY_S
            return
        self._clear_fault("settle")
        self._waiting -= len(commands)
        for command in commands:
            self._send(command)

    def _flush_acknowledged(self, *, idle: bool) -> None:
        if idle and self._acknowledged and self._clock.monotonic() >= self._retry_at:
            try:
                self._ledger.acknowledge(self._acknowledged)
                self._acknowledged = []
            except LedgerFault as fault:
                self._raise_fault("ledger", str(fault))
                self._retry_at = self._clock.monotonic() + RETRY_S

    def _check_books_now_and_then(self) -> None:
        now = self._clock.monotonic()
        if now - self._balanced_at >= BALANCE_EVERY_S:
            self._balanced_at = now
            self._check_books()

    def _check_books(self) -> None:
        try:
            balance = self._ledger.balance()
        except LedgerFault as fault:
            self._raise_fault("ledger", str(fault))
            return
        self._waiting = balance.waiting
        if balance.holds:
            self._clear_fault("books")
        else:
            self._raise_fault("books", f"the books do not balance ({balance}): run 'station ledger check'")

    # ------------------------------------------------------------------ state

    def _show(self) -> None:
        state = self._state()
        self._status = self._make_status(state)
        try:
            self._line.show(state)
            connected = self._line.poll().connected
        except (LineFault, OSError) as fault:
            self._raise_fault("line", str(fault))
            return
        if not connected:
            self._raise_fault("line", f"{self._line.name} is not connected: check its cable and power")
        elif not self._unsent:  # it answers and owes nothing
            self._clear_fault("line")

    def _state(self) -> StationState:
        if self._stopping.is_set():
            return StationState.HALTED
        if self._clock.monotonic() - self._eyes_beat > EYES_STALE_S and not self._eyes_done.is_set():
            self._raise_fault("eyes", f"no frame was looked at for {EYES_STALE_S:.0f} s: check the camera")
        if self._faults:
            return StationState.FAULT
        if self._waiting >= self._hold.capacity:
            return StationState.WAITING
        return StationState.READY if self._eyes_done.is_set() else StationState.RUNNING

    def _make_status(self, state: StationState) -> Status:
        with self._faults_lock:
            faults = tuple(self._faults.values())
        return Status(
            state=state,
            faults=faults,
            parts=self._parts,
            waiting=self._waiting,
            dropped_frames=self._source.dropped,
            stage_ms={},
            at=self._clock.now(),
        )

    def _raise_fault(self, kind: str, words: str) -> None:
        with self._faults_lock:
            standing = self._faults.get(kind)
            if standing is not None and standing.words == words:
                return
            since = standing.since if standing else self._clock.now()
            self._faults[kind] = Fault(kind, words, since)
            if standing is None:
                log.warning("fault: %s: %s", kind, words)
                self._unnoted.put((f"fault:{kind}", words))

    def _clear_fault(self, kind: str) -> None:
        if kind not in self._faults:
            return
        with self._faults_lock:
            gone = self._faults.pop(kind, None)
        if gone is not None:
            log.warning("fault over: %s", kind)
            self._unnoted.put((f"over:{kind}", gone.words))

    def _note_events(self) -> None:
        if "ledger" in self._faults and (self._unrecorded or self._clock.monotonic() < self._retry_at):
            return
        while not self._unnoted.empty():
            kind, words = self._unnoted.get()
            try:
                self._ledger.event(kind, words)
            except LedgerFault as fault:
                self._unnoted.put((kind, words))
                self._raise_fault("ledger", str(fault))
                self._retry_at = self._clock.monotonic() + RETRY_S
                return
            # Written proof that the ledger is back, also where no part comes to try it on.
            if not self._unrecorded:
                self._clear_fault("ledger")

    def _finished(self, until_settled: bool) -> bool:
        if self._stopping.is_set():
            return True
        if not self._eyes_done.is_set() or not self._inbox.empty() or self._unrecorded or self._unsent:
            return False
        return self._eyes_error is not None or not until_settled or self._waiting == 0

    def _drain(self) -> None:
        self._retry_at = 0.0
        while not self._inbox.empty():
            seen, asked = self._collect(0.0)
            self._remember(seen)
            for question in asked:
                self._answer(question)
        self._retry_at = 0.0
        self._remember([])
        for seen_part in self._unrecorded:
            log.error(
                "part %s could not be written down and was not released: keep it on hold (%s)",
                seen_part.inspection.part.part_id,
                seen_part.inspection.verdict.reason,
            )
        self._flush_acknowledged(idle=True)
        self._note_events()
        try:
            self._ledger.end_run(self._run_id)
        except LedgerFault as fault:
            log.error("the end of the run could not be noted: %s", fault)
