"""How does the simulated world look to the station? As a frame source, a line, and the truth about each part."""

from __future__ import annotations

import errno
import os
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from station.core.errors import LineFault, SourceEnded
from station.core.part import Box, Frame, PartId, Sighting
from station.core.ports import LineSignals, Trigger
from station.core.timing import Clock
from station.core.verdict import Disposition, StationState
from station.sim.world import Belt, PartInView

STANDING_PAUSE_S = 0.02
"""Pause between pictures of a standing belt when no frame rate is set, so that waiting costs no core."""

TRUTH_FRAMES = 512
TRUTH_PARTS = 20_000


class SimulatorSource:
    """The camera over the simulated belt; every frame is delivered and flagged ``simulated``.

    Args:
        belt: The world.
        clock: Paces the frames.
        frames_per_s: Frame rate; 0 gives frames as fast as they can be rendered.
        moving: Whether the belt runs now; it stands still while the line waits.
    """

    live = False

    def __init__(
        self, belt: Belt, *, clock: Clock, frames_per_s: float = 30.0, moving: Callable[[], bool] = lambda: True
    ) -> None:
        self.name = f"simulator (seed {belt.seed})"
        self._belt = belt
        self._clock = clock
        self._period_s = 1.0 / frames_per_s if frames_per_s else 0.0
        self._moving = moving
        self._due = clock.monotonic()
        self._index = 0
        self._truths: deque[tuple[int, tuple[PartInView, ...]]] = deque(maxlen=TRUTH_FRAMES)
        self._closed = False

    @property
    def dropped(self) -> int:
        """Always 0: nothing is dropped here."""
        return 0

    def read(self, timeout_s: float) -> Frame | None:
        """The next picture; waits for its time, at most ``timeout_s``.

        Raises:
            SourceEnded: All parts have left the belt, or the source was closed.
        """
        if self._closed or self._belt.finished:
            raise SourceEnded("the simulated belt is empty")
        moving = self._moving()
        period = self._period_s if self._period_s or moving else STANDING_PAUSE_S
        wait = self._due - self._clock.monotonic()
        if wait > timeout_s:
            self._clock.wait(timeout_s)
            return None
        if wait > 0:
            self._clock.wait(wait)
        self._due = max(self._due, self._clock.monotonic() - period) + period
        if moving:
            self._belt.advance()
            if self._belt.finished:
                raise SourceEnded("the simulated belt is empty")
        frame = Frame(
            index=self._index,
            source=self.name,
            captured_at=self._clock.now(),
            monotonic_s=self._clock.monotonic(),
            image=self._belt.frame(),
            simulated=True,
        )
        self._truths.append((self._index, self._belt.truth()))
        self._index += 1
        return frame

    def close(self) -> None:
        """No more frames."""
        self._closed = True

    def part_in(self, frame_index: int, box: Box) -> PartInView | None:
        """The simulated part whose centre lay in ``box`` on that frame, if it is remembered."""
        for index, parts in reversed(self._truths):
            if index == frame_index:
                inside = [p for p in parts if box.x0 <= p.x < box.x1 and box.y0 <= p.y < box.y1]
                return inside[0] if inside else None
        return None


@dataclass(frozen=True, slots=True)
class KnownDefect:
    """A planted defect in part pixels."""

    label: str
    severity: float
    box: Box


@dataclass(frozen=True, slots=True)
class KnownPart:
    """The truth about one simulated part as the station cut it."""

    serial: str
    defects: tuple[KnownDefect, ...]

    @property
    def truth(self) -> str:
        """The class of the worst defect, or ``ok``."""
        return max(self.defects, key=lambda d: d.severity).label if self.defects else "ok"


class KnownTruth:
    """A trigger that adds to each sighting what the simulator knows of the part: serial and true class."""

    def __init__(self, trigger: Trigger, source: SimulatorSource) -> None:
        self._trigger = trigger
        self._source = source
        self._parts: OrderedDict[str, KnownPart] = OrderedDict()
        self._lock = threading.Lock()

    def update(self, frame: Frame) -> Sequence[Sighting]:
        """Passes the frame on; see :class:`station.core.ports.Trigger`."""
        return [self._known(s) for s in self._trigger.update(frame)]

    def blind(self, frame: Frame) -> Sequence[Sighting]:
        """Passes the question on."""
        return [self._known(s) for s in self._trigger.blind(frame)]

    def flush(self) -> Sequence[Sighting]:
        """Passes the question on."""
        return [self._known(s) for s in self._trigger.flush()]

    def known(self, serial: str) -> KnownPart | None:
        """The truth about a part that was sighted."""
        with self._lock:
            return self._parts.get(serial)

    def _known(self, sighting: Sighting) -> Sighting:
        box = sighting.box
        part = self._source.part_in(sighting.frame.index, box) if box is not None else None
        if part is None or box is None:
            return sighting
        defects = []
        for planted in part.truth_in(box.xyxy).planted:
            x0, y0, x1, y1 = planted.box
            if x1 > 0 and y1 > 0 and x0 < box.width and y0 < box.height:
                inside = Box(x0, y0, x1, y1).clipped(round(box.width), round(box.height))
                defects.append(KnownDefect(planted.kind, planted.severity, inside))
        known = KnownPart(part.serial, tuple(defects))
        with self._lock:
            self._parts[part.serial] = known
            while len(self._parts) > TRUTH_PARTS:
                self._parts.popitem(last=False)
        return replace(sighting, frame=replace(sighting.frame, serial=part.serial, truth=known.truth))


class SimulatedLine:
    """A line whose rest state is hold, with a memory that outlives the station's process.

    Every disposition is one line in the journal, written before it is acknowledged; a repeated command
    changes nothing. The belt moves only while the station says ``RUNNING``.

    Args:
        journal: Text file ``<part_id> <disposition>`` per line; ``None`` keeps it in memory.

    Raises:
        LineFault: The journal cannot be opened, or holds something else.
    """

    name = "simulated line"

    def __init__(self, journal: Path | None = None) -> None:
        self._state = StationState.HALTED
        self._done: dict[str, str] = {}
        self._lock = threading.Lock()
        self._file: int | None = None
        self._whole = 0  # bytes of whole lines; what lies behind them was never acknowledged
        self._torn = False
        if journal is not None:
            self._done.update(read_journal(journal))
            try:
                journal.parent.mkdir(parents=True, exist_ok=True)
                self._file = os.open(journal, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
                self._whole = journal.read_bytes().rfind(b"\n") + 1
                os.ftruncate(self._file, self._whole)
            except OSError as error:
                self.close()
                raise LineFault(
                    f"the line's journal {journal} cannot be opened ({error}): mend it or move it"
                ) from error

    @property
    def moving(self) -> bool:
        """Whether the belt runs."""
        return self._state is StationState.RUNNING

    def poll(self) -> LineSignals:
        """Always there."""
        return LineSignals(connected=True, moving=self.moving)

    def sort(self, part_id: PartId, disposition: Disposition) -> None:
        """Takes the command; a part that was let go is never commanded otherwise.

        Raises:
            LineFault: The part already left with another disposition, or the journal cannot be written.
        """
        with self._lock:
            before = self._done.get(part_id)
            if before == disposition.value:
                return
            if before is not None and before != Disposition.HOLD.value:
                raise LineFault(f"part {part_id} already left as {before}; {disposition.value} comes too late")
            if self._file is not None:
                try:
                    self._append(self._file, f"{part_id} {disposition.value}\n".encode())
                except OSError as error:
                    raise LineFault(f"the line's journal cannot be written ({error}): free some disk space") from error
            self._done[part_id] = disposition.value

    def _append(self, file: int, line: bytes) -> None:
        """Writes a whole line or none of it: half a line would spoil the next one as well."""
        if self._torn:
            os.ftruncate(file, self._whole)
            self._torn = False
        try:
            written = os.write(file, line)
            if written != len(line):
                raise OSError(errno.ENOSPC, f"only {written} of {len(line)} bytes were written")
        except OSError:
            self._torn = True
            os.ftruncate(file, self._whole)
            self._torn = False
            raise
        self._whole += len(line)

    def show(self, state: StationState) -> None:
        """Lets the belt run on ``RUNNING`` only."""
        self._state = state

    def close(self) -> None:
        """The station lets go: the belt stands."""
        self._state = StationState.HALTED
        if self._file is not None:
            os.close(self._file)
            self._file = None


def read_journal(path: Path) -> list[tuple[str, str]]:
    """What the line was told, in order: ``[(part_id, disposition)]``; an unfinished last line does not count.

    Raises:
        LineFault: The file cannot be read or is no journal; says which line.
    """
    if not path.exists():
        return []
    try:
        lines = path.read_bytes().split(b"\n")[:-1]
    except OSError as error:
        raise LineFault(f"the line's journal {path} cannot be read ({error}): mend it or move it") from error
    known = {d.value for d in Disposition}
    told = []
    for number, line in enumerate(lines, start=1):
        words = line.decode("utf-8", "backslashreplace").split(" ")
        if len(words) != 2 or words[1] not in known:
            raise LineFault(
                f"line {number} of the line's journal {path} is no '<part_id> <disposition>': mend it, or name another"
            )
        told.append((words[0], words[1]))
    return told
