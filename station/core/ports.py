"""The seams: what a source, a trigger, a detector and a line must offer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from station.core.part import BgrImage, Detections, Frame, PartId, Sighting
from station.core.verdict import Disposition, ModelRef, StationState


class FrameSource(Protocol):
    """Where frames come from: camera, stream, folder, video, simulator."""

    name: str
    live: bool
    """True: newest frame wins and every drop is counted. False: every frame is delivered, in order."""

    @property
    def dropped(self) -> int:
        """Frames that were captured but never handed over, since opening."""
        ...

    def read(self, timeout_s: float) -> Frame | None:
        """Waits at most ``timeout_s`` for the next frame; ``None`` when none came (normal on a stopped line).

        Raises:
            SourceLost: The device is gone; calling again tries to reopen it, with back-off.
            SourceEnded: Footage is over.
        """
        ...

    def close(self) -> None:
        """Frees the device and ends any thread; may be called twice."""
        ...


class Trigger(Protocol):
    """Says which frame shows a part."""

    def update(self, frame: Frame) -> Sequence[Sighting]:
        """Takes the next frame; returns the parts whose best-centred frame is now known (usually none)."""
        ...

    def blind(self, frame: Frame) -> Sequence[Sighting]:
        """This frame cannot be trusted: returns the parts that can no longer be seen whole.

        A free-running trigger returns the frame itself, a presence trigger what it was following.
        """
        ...

    def flush(self) -> Sequence[Sighting]:
        """Footage is over or the camera went blind: returns the parts still being followed."""
        ...


class Detector(Protocol):
    """Finds candidate defects; knows no limit and decides nothing."""

    @property
    def model(self) -> ModelRef:
        """The model in use; kept in every inspection."""
        ...

    @property
    def preprocess(self) -> str:
        """Hash of the preprocessing in use; kept in every inspection."""
        ...

    def detect(self, image: BgrImage) -> Detections:
        """Everything above the model's floor.

        Raises:
            DetectorFault: The model failed or gave something that is no score.
            ImageFault: The picture does not fit the model.
        """
        ...


@dataclass(frozen=True, slots=True)
class LineSignals:
    """What the line says now.

    Attributes:
        connected: The line answers.
        moving: The belt runs.
    """

    connected: bool
    moving: bool


class Line(Protocol):
    """The line's rest state is hold: silence, an error or an unknown part never releases."""

    name: str

    def poll(self) -> LineSignals:
        """What the line says now; does not block longer than a few milliseconds."""
        ...

    def sort(self, part_id: PartId, disposition: Disposition) -> None:
        """Commands one part. Idempotent per part and disposition; returns when acknowledged.

        Raises:
            LineFault: Not acknowledged in time; the part counts as held.
        """
        ...

    def show(self, state: StationState) -> None:
        """Heartbeat; anything but ``RUNNING`` keeps parts from moving on."""
        ...

    def close(self) -> None:
        """Lets go of the line, which then holds."""
        ...
