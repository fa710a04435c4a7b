"""What stands in for a station in the panel's tests? The true loop, ledger and door over scripted parts.

Run as a process of its own: ``python -m tests.panel.rehearsal FOLDER --plan rrunp --pause 0.05``.
A plan is one letter per part, repeated: ``p`` passes, ``u`` is uncertain, ``r`` is rejected, ``n`` has no picture,
``x`` is a moment without a camera.
"""

from __future__ import annotations

import argparse
import itertools
import signal
import threading
import time
from functools import cache
from pathlib import Path

import cv2
import numpy as np

from station.config import PanelSettings, StationConfig, StoreSettings
from station.core.errors import SourceEnded, SourceLost
from station.core.part import BgrImage, Box, Detection, Detections, Frame
from station.core.timing import SystemClock
from station.core.verdict import ModelRef
from station.exchange import ExchangeServer
from station.health import FrameWatch
from station.inspection import Inspector
from station.line.unattended import Unattended
from station.loop import InspectionLoop
from station.recipe import DefectClass, FreeRunSettings, HoldSettings, Recipe, ReviewSettings, Severity
from station.review import ReviewDesk
from station.sim.disc import DiscSpec
from station.sim.world import training_crops
from station.store.images import ImageStore
from station.store.ledger import Ledger, RunStart
from station.trigger import make_trigger

CLASSES = (("scratch", "Scratch"), ("dent", "Dent"), ("stain", "Stain"), ("missing_hole", "Missing hole"))
SCORE = {"p": 0.12, "u": 0.53, "r": 0.91}


def recipe(
    *,
    blind: float = 0.0,
    audit: float = 0.0,
    undo_s: float = 3.0,
    reference: str | None = None,
    lane_capacity: int = 20,
) -> Recipe:
    """Four classes with the same limits."""
    return Recipe(
        name="disc",
        title="Machined disc",
        model="disc/1",
        reference=reference,
        trigger=FreeRunSettings(),
        hold=HoldSettings(mode="divert", lane_capacity=lane_capacity, undo_s=undo_s),
        review=ReviewSettings(audit_fraction=audit, blind_fraction=blind),
        classes=tuple(
            DefectClass(name=n, title=t, severity=Severity.MAJOR, pass_below=0.3, fail_above=0.8) for n, t in CLASSES
        ),
    )


def config(folder: Path, *, port: int = 0) -> StationConfig:
    """A station whose store lies in ``folder``."""
    return StationConfig(
        station="ST04", recipes=folder, store=StoreSettings(folder=folder / "var"), panel=PanelSettings(port=port)
    )


class Scripted:
    """A source that shows the planned parts, and the detector that knows them."""

    name = "rehearsal"
    live = False
    dropped = 0
    preprocess = "none"
    model = ModelRef("disc", "1", "ab" * 32)

    def __init__(
        self, plan: str, *, parts: int | None, pause_s: float, pictures: int = 12, size: tuple[int, int] | None = None
    ) -> None:
        self._plan = itertools.cycle(plan) if parts is None else iter((plan * (parts // len(plan) + 1))[:parts])
        self._pause_s = pause_s
        self._stock: dict[bool, list[tuple[BgrImage, Detections]]] = {
            bad: [_resized(*it, size) for it in _stock(bad, pictures)] for bad in (True, False)
        }
        self._number = 0
        self._now: Detections | None = None
        self.gate = threading.Event()
        self.gate.set()

    def read(self, timeout_s: float) -> Frame | None:
        if not self.gate.wait(timeout_s):
            return None
        if self._pause_s:
            time.sleep(self._pause_s)
        letter = next(self._plan, None)
        if letter is None:
            raise SourceEnded("the plan is over")
        if letter == "x":
            time.sleep(0.05)
            raise SourceLost("no answer from /dev/video0: check cable and power, it is tried again")
        index, self._number = self._number, self._number + 1
        clock = SystemClock()
        common = {"index": index, "source": self.name, "captured_at": clock.now(), "monotonic_s": clock.monotonic()}
        if letter == "n":
            self._now = None
            return Frame(**common, image=None, fault="the camera gave half a picture", simulated=True)
        stock = self._stock[letter != "p"]
        image, found = stock[index % len(stock)]
        self._now = _scaled(found, SCORE[letter])
        # A pixel that differs makes every part's picture its own.
        image = image.copy()
        image[0, 0] = index % 251
        return Frame(**common, image=image, simulated=True)

    def detect(self, image: BgrImage) -> Detections:
        assert self._now is not None
        return self._now

    def close(self) -> None:
        """Nothing is open."""


@cache
def _stock(bad: bool, pictures: int) -> list[tuple[BgrImage, Detections]]:
    made: list[tuple[BgrImage, Detections]] = []
    crops = training_crops(11, 400, defect_rate=0.9 if bad else 0.0, harmless_rate=0.3)
    for image, masks, spec in crops:
        found = _found(masks, spec)
        if bad and not found.candidates:
            continue
        made.append((image, found))
        if len(made) == pictures:
            break
    return made


def _resized(image: BgrImage, found: Detections, size: tuple[int, int] | None) -> tuple[BgrImage, Detections]:
    """The part on a picture of ``size`` (width, height), its boxes with it."""
    if size is None:
        return image, found
    sx, sy = size[0] / image.shape[1], size[1] / image.shape[0]
    larger = cv2.resize(image, size, interpolation=cv2.INTER_CUBIC)
    larger = cv2.add(larger, np.random.default_rng(1).integers(0, 6, larger.shape, np.uint8))  # as a sensor's noise
    boxes = tuple(
        Detection(c.label, c.score, Box(c.box.x0 * sx, c.box.y0 * sy, c.box.x1 * sx, c.box.y1 * sy))
        for c in found.candidates
    )
    return np.asarray(larger, np.uint8), Detections(boxes, found.scores)


def _found(masks: dict[str, np.ndarray], spec: DiscSpec) -> Detections:
    candidates = []
    for name, mask in masks.items():
        count, _, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
        for x, y, w, h, area in stats[1:count].tolist():
            if area >= 40:
                candidates.append(Detection(name, 1.0 if not candidates else 0.7, Box(x, y, x + w, y + h)))
    scores = {n: max((c.score for c in candidates if c.label == n), default=0.02) for n, _ in CLASSES}
    return Detections(tuple(sorted(candidates, key=lambda c: -c.score)), scores)


def _scaled(found: Detections, top: float) -> Detections:
    if not found.candidates:
        return Detections((), {n: round(top * 0.5, 4) for n in found.scores})
    return Detections(
        tuple(Detection(c.label, round(c.score * top, 4), c.box) for c in found.candidates),
        {n: round(s * top, 4) if s > 0.02 else s for n, s in found.scores.items()},
    )


class Rehearsal:
    """A running loop with its door; ``close`` ends both."""

    def __init__(
        self,
        folder: Path,
        plan: str,
        *,
        parts: int | None = None,
        pause_s: float = 0.0,
        blind: float = 0.0,
        audit: float = 0.0,
        undo_s: float = 3.0,
        reference: str | None = None,
        pictures: int = 12,
        size: tuple[int, int] | None = None,
        lane_capacity: int = 20,
        source: Scripted | None = None,
    ) -> None:
        clock = SystemClock()
        self.recipe = recipe(blind=blind, audit=audit, undo_s=undo_s, reference=reference, lane_capacity=lane_capacity)
        store = StoreSettings(folder=folder / "var")
        self.ledger = Ledger(store.database, clock=clock, durable=False)
        images = ImageStore(store.images, durable=False)
        self.source = source or Scripted(plan, parts=parts, pause_s=pause_s, pictures=pictures, size=size)
        self.loop = InspectionLoop(
            source=self.source,
            trigger=make_trigger(self.recipe.trigger),
            watch=FrameWatch(self.recipe.health, live=False),
            inspector=Inspector(self.recipe, self.source, key=b"k" * 32),
            ledger=self.ledger,
            images=images,
            line=Unattended(),
            desk=ReviewDesk(self.ledger, images, self.recipe, clock=clock),
            hold=self.recipe.hold,
            clock=clock,
            start=RunStart(
                "ST04", "disc", self.recipe.sha256, self.recipe.model_dump_json(), "disc/1", "ab" * 32,
                "rehearsal", "no line", "test",
            ),
        )  # fmt: skip
        self.door: ExchangeServer | None = ExchangeServer(self.loop, store.door)
        self.thread = threading.Thread(target=self.loop.run, kwargs={"until_settled": True}, name="rehearsal")

    def start(self, *, held: int = 0) -> Rehearsal:
        """Starts the loop and waits until so many parts are held."""
        self.thread.start()
        until = time.monotonic() + 20
        while self.ledger.balance().waiting < held:
            assert time.monotonic() < until, f"only {self.ledger.balance()} after 20 s"
            time.sleep(0.02)
        return self

    def close(self) -> None:
        """Ends the loop and shuts door and ledger."""
        self.loop.stop()
        if self.thread.is_alive():
            self.thread.join(timeout=10)
        self.shut_the_door()
        self.ledger.close()

    def shut_the_door(self) -> None:
        """The loop no longer answers; it works on."""
        if self.door is not None:
            self.door.close()
            self.door = None


def main() -> None:
    """Runs until told to end."""
    asked = argparse.ArgumentParser()
    asked.add_argument("folder", type=Path)
    asked.add_argument("--plan", default="r")
    asked.add_argument("--parts", type=int)
    asked.add_argument("--pause", type=float, default=0.0)
    asked.add_argument("--blind", type=float, default=0.0)
    asked.add_argument("--audit", type=float, default=0.0)
    asked.add_argument("--undo", type=float, default=3.0)
    asked.add_argument("--reference")
    given = asked.parse_args()
    stage = Rehearsal(
        given.folder, given.plan, parts=given.parts, pause_s=given.pause, blind=given.blind, audit=given.audit,
        undo_s=given.undo, reference=given.reference,
    )  # fmt: skip
    ending = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ending.set())
    stage.start()
    print("running", flush=True)
    while not ending.wait(0.2) and stage.thread.is_alive():
        pass
    if not ending.is_set():
        ending.wait()
    stage.close()


if __name__ == "__main__":
    main()
