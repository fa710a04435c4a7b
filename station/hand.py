"""What is written down, told to the line and settled? The loop's second thread.

::

    write down: image, then row, committed ─> tell the line ─> (a person answers) ─> settle ─> tell the line

The hand alone writes the ledger and commands the line. ``RELEASE`` is sent only after its row and image are durable.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from station.core.errors import DiskFull, LedgerFault, LineFault, StationError
from station.core.ports import Line
from station.core.timing import Clock, CycleTimer, StageTimes
from station.core.verdict import Disposition, Evaluation, Inspection, StationState, Verdict
from station.eyes import Seen
from station.faults import Faults
from station.review import ReviewDesk
from station.store.images import EncodedImage, ImageStore, encode
from station.store.ledger import Command, Ledger, Record, RunStart

log = logging.getLogger(__name__)

BALANCE_EVERY_S = 10.0

RETRY_S = 0.5
"""Wait before a refused write or command is tried again."""


@dataclass(frozen=True, slots=True)
class Written:
    """Parts that are in the ledger, and what the line is to be told of them."""

    seen: Sequence[Seen]
    records: Sequence[Record]
    commands: Sequence[Command]
    times: StageTimes


class Hand:
    """Keeps the ledger and commands the line; owned by one thread.

    Args:
        ledger: Where rows go.
        images: Where pictures go.
        line: Who moves the parts.
        desk: Where people's answers are settled.
        clock: For pauses and times.
        faults: Where trouble with ledger and line is told, and whence its events are noted.
        start: What the ledger keeps of this run.
        on_recorded: Called with each inspection after its commit.

    Attributes:
        start: What the ledger keeps of the run.
        run_id: The run.
        unrecorded: Parts that could not be written down yet; the line was told nothing of them.
        unsent: Commands the line has not acknowledged yet.
        parts: Parts written down in this run.
        waiting: Parts that wait for a person.
    """

    def __init__(
        self,
        *,
        ledger: Ledger,
        images: ImageStore,
        line: Line,
        desk: ReviewDesk,
        clock: Clock,
        faults: Faults,
        start: RunStart,
        on_recorded: Callable[[Inspection], None] | None = None,
    ) -> None:
        self._ledger, self._images = ledger, images
        self._line, self._desk, self._clock, self._faults = line, desk, clock, faults
        self._on_recorded = on_recorded
        self.timer = CycleTimer()
        self.unrecorded: list[Seen] = []
        self.parts = 0
        self.waiting = 0
        self._retry_at = 0.0
        self._resend_at = 0.0
        self._settle_at = 0.0
        self._acknowledged: list[tuple[int, datetime]] = []
        self._balanced_at = clock.monotonic()
        self.start = start
        self.run_id = ledger.start_run(start)
        self.next_number = ledger.next_number()
        self.unsent: list[Command] = ledger.unacknowledged()
        self.check_books()

    # ------------------------------------------------------------------ write down, then tell the line

    def write_down(self, seen: Sequence[Seen]) -> Written | None:
        """Commits picture and row of ``seen`` and of what could not be written before; ``None`` where it cannot be."""
        self.unrecorded.extend(seen)
        if not self.unrecorded or self._clock.monotonic() < self._retry_at:
            return None
        batch = self.unrecorded[:]
        times = StageTimes()
        try:
            with times.stage("encode"):
                records = [self._as_record(s) for s in batch]
            with times.stage("image"):
                self._keep_images([r.image for r in records if r.image is not None])
            with times.stage("commit"):
                commands = self._ledger.record(self.run_id, records, self._acknowledged)
        except LedgerFault as fault:
            # Not written down means not released: the line hears nothing of them and stands in FAULT. It must not
            # hear an id without a row either, or a restart could give that id to another part.
            self._ledger_refused("parts cannot be written down", fault)
            return None
        self._faults.end("ledger")
        self._acknowledged = []
        self.unrecorded = []
        self.waiting += sum(c.disposition is Disposition.HOLD for c in commands)
        return Written(batch, records, commands, times)

    def tell_line(self, written: Written) -> None:
        """Commands the line for parts that are written down, and books their times."""
        for command in written.commands:
            with written.times.stage("line"):
                self._send(command)
        share = {k: v / len(written.seen) for k, v in written.times.as_ms().items()}
        now = time.perf_counter()
        for s, record in zip(written.seen, written.records, strict=True):
            self.parts += 1
            self.timer.add({**s.inspection.stage_ms, **share, "trigger_to_line": (now - s.born_s) * 1000.0})
            if self._on_recorded is not None:
                self._on_recorded(record.inspection)

    def _as_record(self, seen: Seen) -> Record:
        inspection, inspector = seen.inspection, seen.under.inspector
        image: EncodedImage | None = None
        if inspection.part.image is not None:
            try:
                image = encode(inspection.part.image)
            except StationError as fault:
                inspection = _held(inspection, f"the picture cannot be stored: {fault}")
        if inspection.disposition is Disposition.RELEASE:
            books = self._faults.words("books")
            if books is not None:
                inspection = _held(inspection, books)
        # In the run it was judged under, also where that one is over: part, run and limits must agree for ever.
        return Record(
            inspection,
            image,
            inspector.blind(inspection),
            inspector.challenge(inspection),
            seen.under.run_id,
        )

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
        if any(c.part_id == command.part_id for c in self.unsent):
            self.unsent.append(command)  # a part hears its commands in order: never a late HOLD after its RELEASE
            return
        try:
            self._line.sort(command.part_id, command.disposition)
        except (LineFault, OSError) as fault:  # a driver's own error is no acknowledgement either
            self._faults.begin(
                "line",
                f"part {command.part_id} is held, the line did not take {command.disposition.value} "
                f"({_reason(fault)}): check the line; it is told again until it does",
            )
            self.unsent.append(command)
            self._resend_at = self._clock.monotonic() + RETRY_S
            return
        self._acknowledged.append((command.id, self._clock.now()))

    def send_again(self) -> None:
        """Repeats what the line has not acknowledged, when its pause is over."""
        # Its own pause: one command the line refuses must not keep answers from being settled.
        if self.unsent and self._clock.monotonic() >= self._resend_at:
            again, self.unsent = self.unsent, []
            for command in again:
                self._send(command)

    # ------------------------------------------------------------------ settle

    def settle(self) -> None:
        """Turns answers whose undo time is over into commands."""
        if self._clock.monotonic() < self._settle_at:
            return
        try:
            commands = self._desk.settle()
        except LedgerFault as fault:
            self._faults.begin("settle", self._unwritable("answers cannot be settled, their parts stay held", fault))
            self._settle_at = self._clock.monotonic() + RETRY_S
            return
        self._faults.end("settle")
        self.waiting -= len(commands)
        for command in commands:
            self._send(command)

    # ------------------------------------------------------------------ books and notes

    def flush_acknowledged(self) -> None:
        """Notes what the line acknowledged; otherwise the next parts' commit does."""
        if self._acknowledged and self._clock.monotonic() >= self._retry_at:
            try:
                self._ledger.acknowledge(self._acknowledged)
                self._acknowledged = []
            except LedgerFault as fault:
                self._ledger_refused("what the line did cannot be noted", fault)

    def note_events(self) -> None:
        """Writes faults and other events into the ledger; while that refuses, only now and then."""
        if "ledger" in self._faults and (self.unrecorded or self._clock.monotonic() < self._retry_at):
            return
        self._note_all_events()

    def _note_all_events(self) -> None:
        while (event := self._faults.next_event()) is not None:
            try:
                self._ledger.event(event.kind, event.words)
            except LedgerFault as fault:
                self._ledger_refused("events cannot be noted", fault)
                return
            self._faults.noted()
            # Written proof that the ledger is back, also where no part comes to try it on.
            if not self.unrecorded:
                self._faults.end("ledger")

    def check_books_now_and_then(self) -> None:
        """Checks the books every ``BALANCE_EVERY_S``."""
        if self._clock.monotonic() - self._balanced_at >= BALANCE_EVERY_S:
            self.check_books()

    def check_books(self) -> None:
        """Counts what was triggered, disposed and waits; books that do not balance stop automatic release."""
        self._balanced_at = self._clock.monotonic()
        try:
            balance, newest = self._ledger.balance(), self._ledger.newest_run()
        except LedgerFault as fault:
            self._faults.begin("ledger", self._unwritable("the books cannot be read", fault))
            return
        self.waiting = balance.waiting
        if newest != self.run_id:
            # A commit that was reported as failed and is there all the same: other limits are in force than are used.
            self._faults.begin(
                "books",
                f"the ledger goes on in run {newest}, this loop judges parts by the limits of run {self.run_id}: "
                "nothing is released; restart the station",
            )
        elif balance.holds:
            self._faults.end("books")
        else:
            self._faults.begin("books", f"the books do not balance ({balance}): run 'station ledger check'")

    def _ledger_refused(self, what: str, fault: LedgerFault) -> None:
        self._faults.begin("ledger", self._unwritable(what, fault))
        self._retry_at = self._clock.monotonic() + RETRY_S

    def _unwritable(self, what: str, fault: LedgerFault) -> str:
        folder = self._ledger.path.parent
        return (
            f"{what} ({fault}): check the disk of {folder} and its free space; a running station tries again by itself"
        )

    # ------------------------------------------------------------------ state and halt

    def show(self, state: StationState) -> None:
        """Tells the line the station's state: its heartbeat. A line that does not take it is a fault."""
        try:
            self._line.show(state)
            connected = self._line.poll().connected
        except (LineFault, OSError) as fault:
            self._faults.begin("line", f"{self._line.name} does not answer ({_reason(fault)}): check cable and power")
            return
        if not connected:
            self._faults.begin("line", f"{self._line.name} is not connected: check its cable and power")
        elif not self.unsent:  # it answers and owes nothing
            self._faults.end("line")

    def write_down_everything(self, rest: Sequence[Seen]) -> None:
        """Writes down what is in hand before a halt; only then is the line told, so that it cannot prevent it.

        What cannot be written down even now stays in ``unrecorded``.
        """
        written = []
        try:
            for batch in (rest, ()):  # the second time for what was refused the first time
                self._retry_at = 0.0
                done = self.write_down(batch)
                if done is not None:
                    written.append(done)
            for done in written:
                self.tell_line(done)
        finally:
            self._retry_at = 0.0
            self.flush_acknowledged()
            for seen in self.unrecorded:
                part = seen.inspection.part
                words = f"part {part.part_id} of {part.triggered_at:%H:%M:%S} UTC could not be written down"
                log.error("%s and was not released: keep it on hold (%s)", words, seen.inspection.verdict.reason)
                self._faults.note("halt", words)
            self._note_all_events()

    def go_on(self, start: RunStart, run_id: int) -> None:
        """Goes on in a run that is in the ledger already; parts of the former are still written down in that."""
        self.start, self.run_id = start, run_id

    def end_run(self) -> None:
        """Notes the end of the run; a ledger that refuses loses nothing but that time."""
        try:
            self._ledger.end_run(self.run_id)
        except LedgerFault as fault:
            log.error("the end of the run could not be noted: %s", fault)


def _held(inspection: Inspection, words: str) -> Inspection:
    verdict = Verdict(Evaluation.UNDEFINED, words, inspection.verdict.score, inspection.verdict.label)
    return replace(inspection, verdict=verdict, p_select=1.0, audit=False)


def _reason(fault: Exception) -> str:
    return str(fault) or type(fault).__name__
