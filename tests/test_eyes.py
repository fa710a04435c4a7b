"""Do the eyes correct every frame before trigger and detector, and hold every part while the camera is not cleared?"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from station.core.errors import ImageFault
from station.core.part import BgrImage, Frame, Sighting
from station.core.timing import ManualClock
from station.core.verdict import Disposition, Evaluation
from station.eyes import Eyes, Seen
from station.faults import Faults
from station.health import FrameWatch
from station.inspection import Inspector
from tests.builders import KEY, OK, EveryFrame, FakeDetector, FakeSource, frame, picture, recipe


class Looking:
    """Eyes over fakes, and what came of each frame."""

    def __init__(self, frames: Sequence[Any], **how: Any) -> None:
        self.clock, self.seen = ManualClock(), list[Seen]()
        self.faults = Faults(self.clock)
        self.detector = FakeDetector([OK] * len(frames))
        self.looked_at: list[BgrImage] = []
        detect = self.detector.detect

        def remember(image: BgrImage) -> Any:
            self.looked_at.append(image)
            return detect(image)

        self.detector.detect = remember  # type: ignore[method-assign]
        product = recipe()
        self.trigger = Watching()
        self.eyes = Eyes(
            source=FakeSource(frames),
            trigger=self.trigger,
            watch=FrameWatch(product.health, live=False),
            inspector=Inspector(product, self.detector, key=KEY),
            clock=self.clock,
            faults=self.faults,
            station="ST01",
            next_number=1,
            stopping=threading.Event(),
            deliver=self.seen.append,
            **how,
        )
        for _ in frames:
            self.eyes.see(0.0)

    @property
    def events(self) -> list[tuple[str, str]]:
        found = []
        while (event := self.faults.next_event()) is not None:
            found.append((event.kind, event.words))
            self.faults.noted()
        return found


class Watching(EveryFrame):
    """Remembers what it was shown."""

    def __init__(self) -> None:
        super().__init__()
        self.shown: list[tuple[str, Frame]] = []

    def update(self, frame: Frame) -> Sequence[Sighting]:
        self.shown.append(("update", frame))
        return super().update(frame)

    def blind(self, frame: Frame) -> Sequence[Sighting]:
        self.shown.append(("blind", frame))
        return super().blind(frame)


def inverted(image: BgrImage) -> BgrImage:
    return np.asarray(255 - image, np.uint8)


def test_trigger_detector_record_and_screen_see_the_corrected_picture() -> None:
    raw = frame(0)
    assert raw.image is not None
    looking = Looking([raw], correct=inverted)
    corrected = inverted(raw.image)
    kind, shown = looking.trigger.shown[0]
    part = looking.seen[0].inspection.part
    newest = looking.eyes.newest_frame
    assert kind == "update"
    assert newest is not None
    for image in (shown.image, looking.looked_at[0], part.image, newest.image):
        np.testing.assert_array_equal(image, corrected)  # type: ignore[arg-type]
    assert looking.seen[0].inspection.disposition is Disposition.RELEASE
    assert looking.seen[0].inspection.stage_ms["correct"] > 0


def test_the_watch_judges_the_picture_as_the_camera_gave_it() -> None:
    """Made brighter, a black picture would be black no longer."""
    black = frame(0, image=np.zeros((64, 96, 3), np.uint8))
    looking = Looking([black], correct=lambda image: picture(1))
    verdict = looking.seen[0].inspection.verdict
    assert verdict.evaluation is Evaluation.UNDEFINED
    assert "black" in verdict.reason


def refuses(error: Exception) -> Callable[[BgrImage], BgrImage]:
    def correct(image: BgrImage) -> BgrImage:
        raise error

    return correct


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ImageFault("picture of 96 x 64 pixels, the lens was calibrated at 640 x 480"), "calibrated at 640 x 480"),
        (RuntimeError("out of memory"), "RuntimeError: out of memory"),
    ],
)
def test_a_frame_that_cannot_be_corrected_is_never_inspected_as_it_is(error: Exception, words: str) -> None:
    looking = Looking([frame(0), frame(1)], correct=refuses(error))
    assert [kind for kind, _ in looking.trigger.shown] == ["blind", "blind"]
    assert looking.looked_at == []
    assert looking.eyes.newest_frame is None
    for seen in looking.seen:
        assert seen.inspection.verdict.evaluation is Evaluation.UNDEFINED
        assert seen.inspection.disposition is Disposition.HOLD
        assert "not corrected: " in seen.inspection.verdict.reason
        assert words in seen.inspection.verdict.reason


def test_a_correction_that_gives_no_picture_is_no_picture() -> None:
    looking = Looking([frame(0)], correct=lambda image: np.asarray(image[..., 0], np.uint8))
    assert "not corrected: " in looking.seen[0].inspection.verdict.reason
    assert looking.looked_at == []


def test_while_the_camera_is_not_cleared_every_part_is_held_with_the_reason() -> None:
    words: list[str | None] = [None, "the camera was not checked yet", "the camera was not checked yet", None]
    answers = iter(words)
    looking = Looking([frame(n) for n in range(4)], blocked=lambda: next(answers))
    found = [seen.inspection for seen in looking.seen]
    assert [it.disposition for it in found] == [
        Disposition.RELEASE,
        Disposition.HOLD,
        Disposition.HOLD,
        Disposition.RELEASE,
    ]
    assert found[1].verdict.reason == "not inspected: the camera was not checked yet"
    assert found[1].verdict.evaluation is Evaluation.UNDEFINED
    assert found[1].part.image is not None, "a person must see the part"
    assert looking.events == [
        ("check", "the camera was not checked yet"),
        ("check", "the camera's check is good again"),
    ]
    assert not looking.faults, "no standing fault: the line goes on, and people decide"


def test_a_part_lost_from_sight_while_blocked_is_held_with_what_is_nearer() -> None:
    looking = Looking([frame(0, fault="cable")], blocked=lambda: "blocked")
    assert looking.seen[0].inspection.verdict.reason == "not inspected: cable"
