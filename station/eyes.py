"""Which parts does the source show, and what does the inspection say of each? The loop's first thread.

::

    source.read ─> watch ─> correct ─> trigger ─> inspect ─> deliver (at most QUEUE_PARTS not yet written down: then
                                                                      it waits)

The watch judges the picture as the camera gave it: made brighter by a flat field, a black one would be black no longer.
All after it see the corrected one. The eyes decide nothing about the line and write nothing.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from station.core.errors import SourceEnded, SourceLost, StationError
from station.core.part import BgrImage, Frame, Part, PartId, Sighting
from station.core.ports import FrameSource, Trigger
from station.core.timing import Clock, StageTimes
from station.core.verdict import Inspection
from station.faults import Faults
from station.health import FrameWatch
from station.inspection import Inspector

log = logging.getLogger(__name__)

QUEUE_PARTS = 8
"""Inspected parts that may wait for the hand; one more and the eyes wait."""

READ_TIMEOUT_S = 0.1
STALE_S = 5.0
"""The eyes not turning for so long is a fault."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """What parts are judged by, and the run they are written down in: one value, so that it changes at once.

    Attributes:
        inspector: A recipe with its detector.
        run_id: The run under that recipe.
    """

    inspector: Inspector
    run_id: int = 0


@dataclass(frozen=True, slots=True)
class Seen:
    """An inspected part on its way to the hand.

    Attributes:
        inspection: What the machine says of it.
        born_s: When it was triggered, on ``time.perf_counter``.
        under: What it was judged by.
    """

    inspection: Inspection
    born_s: float
    under: Stretch


class Eyes:
    """Takes frames through watch, trigger and inspection.

    Args:
        source: Where frames come from.
        trigger: Says which of them shows a part.
        watch: Says which of them can be trusted.
        inspector: Judges the parts.
        run_id: The run they belong to.
        clock: For the time of the trigger and for the beat.
        faults: Where trouble with source and picture is told.
        station: First part of the part ids.
        next_number: Number of the next part.
        stopping: Set when the eyes shall end.
        deliver: Takes each inspected part; does not block.
        correct: The camera's corrections (flat field, lens); ``None`` leaves frames as they are. A frame that it
            fails on is an ill one.
        blocked: Why nothing may be released automatically, asked at every frame; ``None``, or an answer of ``None``,
            blocks nothing. While it answers, every part is held with that reason.

    Attributes:
        under: What parts are judged by from the next one on; another thread may put another one here at any time.
        newest_frame: The newest healthy frame, not a copy: to be looked at, never written to. ``None`` before the
            first one, while the picture is ill or the source lost, and once there is nothing more to see. Its age is
            the reader's to judge (``monotonic_s``).
        next_number: Number of the next part.
        beat_s: When the eyes last turned, on the station's monotonic clock.
        done: Set once the eyes have ended.
        error: What they died of.
    """

    def __init__(
        self,
        *,
        source: FrameSource,
        trigger: Trigger,
        watch: FrameWatch,
        inspector: Inspector,
        clock: Clock,
        faults: Faults,
        station: str,
        next_number: int,
        stopping: threading.Event,
        deliver: Callable[[Seen], None],
        run_id: int = 0,
        correct: Callable[[BgrImage], BgrImage] | None = None,
        blocked: Callable[[], str | None] | None = None,
    ) -> None:
        self._source, self._trigger, self._watch = source, trigger, watch
        self.under = Stretch(inspector, run_id)
        self._clock, self._faults, self._station = clock, faults, station
        self._stopping, self._deliver = stopping, deliver
        self._correct, self._blocked = correct, blocked
        self._block: str | None = None
        self._room = threading.Semaphore(QUEUE_PARTS)
        self.newest_frame: Frame | None = None
        self.next_number = next_number
        self.beat_s = clock.monotonic()
        self.done = threading.Event()
        self.error: BaseException | None = None

    @property
    def stale(self) -> bool:
        """True where the eyes should be turning and are not."""
        return not self.done.is_set() and self._clock.monotonic() - self.beat_s > STALE_S

    def make_room(self, parts: int) -> None:
        """So many delivered parts are written down."""
        self._room.release(parts)

    def look(self) -> None:
        """Sees until the source ends or the station stops; ends in ``done``, with ``error`` set where it failed."""
        try:
            while not self._stopping.is_set() and self.see():
                pass
        except BaseException as error:
            log.exception("the eyes died")
            self.error = error
            self._faults.begin("eyes", f"inspection stopped ({type(error).__name__}: {error}): restart the station")
        finally:
            self.newest_frame = None
            self.done.set()

    def see(self, timeout_s: float = READ_TIMEOUT_S) -> bool:
        """Takes one frame through trigger and inspection; False once the source has ended."""
        self.beat_s = self._clock.monotonic()
        self._faults.end("eyes")
        times = StageTimes()
        try:
            with times.stage("read"):
                frame = self._source.read(timeout_s)
        except SourceEnded:
            self.newest_frame = None
            self._lose_sight(None, times)
            return False
        except SourceLost as lost:
            self.newest_frame = None
            self._faults.begin("source", str(lost))
            self._lose_sight(f"camera lost while the part was in view: {lost}", times)
            return True
        self._faults.end("source")
        if frame is None:
            return True
        with times.stage("watch"):
            ill = self._watch.check(frame)
        if ill is None and self._correct is not None:
            with times.stage("correct"):
                frame = _corrected(frame, self._correct)
            ill = frame.fault
        self._ask_whether_blocked()
        self.newest_frame = frame if ill is None else None
        if ill is None:
            self._faults.end("picture")
        elif self._source.live:
            self._faults.begin(
                "picture",
                f"the camera's picture cannot be trusted ({ill}): check its lamp, lens, exposure and cable, "
                "or switch it off and on",
            )
        with times.stage("trigger"):
            sightings = self._trigger.update(frame) if ill is None else self._trigger.blind(frame)
        for sighting in sightings:
            self._inspect(sighting, ill, times)
        return True

    def _ask_whether_blocked(self) -> None:
        words = self._blocked() if self._blocked is not None else None
        if words != self._block:
            # No standing fault: the line goes on, and people decide every part.
            self._faults.note("check", words or "the camera's check is good again")
            log.warning("automatic release is %s", f"blocked: {words}" if words else "possible again")
            self._block = words

    def _lose_sight(self, words: str | None, times: StageTimes) -> None:
        for sighting in self._trigger.flush():
            self._inspect(sighting, words, times)

    def _inspect(self, sighting: Sighting, fault: str | None, times: StageTimes) -> None:
        born = time.perf_counter()
        frame = sighting.frame
        number = self.next_number
        part = Part(
            part_id=PartId(f"{self._station}-{number:06d}"),
            number=number,
            triggered_at=self._clock.now(),
            image=sighting.cut(),
            source=frame.source,
            frame_index=frame.index,
            origin=(sighting.box.x0, sighting.box.y0) if sighting.box else (0.0, 0.0),
            fault=fault or frame.fault or self._block,
            simulated=frame.simulated,
            serial=frame.serial,
            lot=frame.lot,
            truth=frame.truth,
        )
        under = self.under  # read once: a part is judged wholly by the old limits or wholly by the new ones
        inspection = under.inspector.inspect(part, times.branch())  # two parts in one frame do not add up
        while not self._room.acquire(timeout=0.1):
            self.beat_s = self._clock.monotonic()  # waiting for the hand is not being dead
            if self._stopping.is_set():
                # Its number is not used up and the line was told nothing: the part stays held where it is.
                self._faults.note("halt", f"a part in view at frame {frame.index} was left uninspected and held")
                return
        self.next_number = number + 1
        self._deliver(Seen(inspection, born, under))


def _corrected(frame: Frame, correct: Callable[[BgrImage], BgrImage]) -> Frame:
    """The frame with its corrected picture, or with the reason why there is none."""
    assert frame.image is not None
    try:
        return replace(frame, image=correct(frame.image))
    except StationError as fault:
        words = str(fault)
    except Exception as error:
        # A fault of our own must not take the line down, and an uncorrected picture must not pass for a corrected one.
        log.exception("frame %s could not be corrected", frame.index)
        words = f"{type(error).__name__}: {error}"
    return replace(frame, image=None, fault=f"not corrected: {words}")
