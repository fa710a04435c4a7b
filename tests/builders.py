"""Small builders for tests: recipes, pictures, parts, fake devices that work, and a whole station in a folder."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from station.answers import GivenAnswer
from station.core.errors import LineFault, SourceEnded
from station.core.part import BgrImage, Box, Detection, Detections, Frame, Part, PartId, Sighting
from station.core.ports import LineSignals
from station.core.timing import Clock, ManualClock, StageTimes
from station.core.verdict import Answer, Disposition, Evaluation, Inspection, ModelRef, StationState, Verdict
from station.inspection import Inspector
from station.limits_fit import recipe_in_force
from station.loop import InspectionLoop
from station.recipe import DefectClass, HealthLimits, HoldSettings, Recipe, ReviewSettings
from station.review import ReviewDesk
from station.store import books
from station.store.database import open_reader
from station.store.images import EncodedImage, ImageStore, encode
from station.store.ledger import Command, Ledger, Record, RunStart

START = datetime(2026, 1, 1, tzinfo=UTC)
KEY = b"k" * 32
MODEL = ModelRef("disc", "1", "a" * 64)
PASS_BELOW, FAIL_ABOVE = 0.3, 0.7
OK, UNCERTAIN, BAD = 0.1, 0.5, 0.9
"""Scores of class ``scratch`` that pass, lie between the limits and are rejected."""


def recipe(
    *,
    audit_fraction: float = 0.0,
    blind_fraction: float = 0.0,
    mode: str = "stop",
    lane_capacity: int = 20,
    undo_s: float = 3.0,
    crop_margin: float = 0.5,
    challenge_fraction: float = 0.0,
) -> Recipe:
    """Two classes with the limits 0.3 and 0.7."""
    return Recipe(
        name="disc",
        title="Disc",
        health=HealthLimits(frozen_frames=0),
        hold=HoldSettings.model_validate({"mode": mode, "lane_capacity": lane_capacity, "undo_s": undo_s}),
        review=ReviewSettings(
            audit_fraction=audit_fraction,
            blind_fraction=blind_fraction,
            crop_margin=crop_margin,
            challenge_fraction=challenge_fraction,
        ),
        classes=(
            DefectClass(name="scratch", title="Scratch", pass_below=PASS_BELOW, fail_above=FAIL_ABOVE),
            DefectClass(name="dent", title="Dent", pass_below=PASS_BELOW, fail_above=FAIL_ABOVE),
        ),
    )


def picture(seed: int = 0, *, width: int = 96, height: int = 64) -> BgrImage:
    """A picture nobody takes for black, saturated or frozen; another one for every seed."""
    blocks = np.random.default_rng(seed).integers(40, 200, (height // 8, width // 8, 3), dtype=np.uint8)
    return np.ascontiguousarray(np.kron(blocks, np.ones((8, 8, 1), np.uint8)))


def detections(*candidates: tuple[str, float, tuple[float, float, float, float]], **scores: float) -> Detections:
    """From plain lists; every class of the recipe gets a part score (its best candidate's unless given)."""
    found = tuple(Detection(label, score, Box(*xyxy)) for label, score, xyxy in candidates)
    best = {"scratch": 0.0, "dent": 0.0}
    for d in found:
        best[d.label] = max(best.get(d.label, 0.0), d.score)
    return Detections(tuple(sorted(found, key=lambda d: -d.score)), best | scores)


def spoiled(scores: Mapping[str, float]) -> Detections:
    """Detections whose scores went round the check at the door, as a broken detector of another make may give."""
    broken = detections()
    object.__setattr__(broken, "scores", dict(scores))
    return broken


def frame(index: int = 0, *, image: BgrImage | None = None, fault: str | None = None, **more: Any) -> Frame:
    """A readable frame, or an unreadable one where ``fault`` is given."""
    if fault is None and image is None:
        image = picture(index)
    return Frame(index, "fake", START, float(index), image, fault, **more)


def part(number: int = 1, *, image: BgrImage | None = None, fault: str | None = None, blank: bool = False) -> Part:
    """A part; ``blank`` has neither picture nor fault."""
    if image is None and fault is None and not blank:
        image = picture(number)
    return Part(PartId(f"ST01-{number:06d}"), number, START, image, "fake", number - 1, fault=fault)


def inspection(
    number: int = 1,
    *,
    evaluation: Evaluation = Evaluation.OK,
    audit: bool = False,
    found: Detections | None = None,
    image: BgrImage | None = None,
) -> Inspection:
    """An inspection with that evaluation and one scratch that fits it."""
    score = {Evaluation.OK: OK, Evaluation.NOT_DECIDABLE: UNCERTAIN, Evaluation.NOT_OK: BAD}.get(evaluation)
    if found is None and score is not None:
        found = detections(("scratch", score, (20, 16, 44, 32)))
    return Inspection(
        part=part(number, image=image),
        detections=found,
        verdict=Verdict(evaluation, f"a test says {evaluation}", score, None if score is None else "scratch"),
        recipe_sha256=recipe().sha256,
        model=MODEL,
        p_select=0.02 if evaluation is Evaluation.OK else 1.0,
        audit=audit,
        stage_ms={"detect": 1.5},
        preprocess="c" * 64,
    )


def record(number: int = 1, *, blind: bool = False, images: ImageStore | None = None, **how: Any) -> Record:
    """An inspection ready for the ledger; its picture is stored where ``images`` is given."""
    it = inspection(number, **how)
    image: EncodedImage | None = encode(it.part.image) if it.part.image is not None else None
    if images is not None and image is not None:
        images.keep([image])
    return Record(it, image, blind)


def run_start(product: Recipe | None = None, version: int | None = None) -> RunStart:
    """What a run notes when it starts."""
    it = product or recipe()
    return RunStart(
        "ST01", it.name, it.sha256, it.model_dump_json(), str(MODEL), MODEL.sha256, "fake", "fake line", "0.0",
        limits_version=version,
    )  # fmt: skip


class FakeSource:
    """Gives what it was filled with: frames, ``None`` (nothing in time) or errors to raise; then the footage is over.

    Args:
        items: What ``read`` gives, in order; callables are called.
        live: As of a camera.
        endless: Gives ``None`` for ever where it would end.
    """

    name = "fake"

    def __init__(self, items: Iterable[Any] = (), *, live: bool = False, endless: bool = False) -> None:
        self.items: list[Any] = list(items)
        self.live, self.endless = live, endless
        self.dropped = 0
        self.reads = 0

    def read(self, timeout_s: float) -> Frame | None:
        self.reads += 1
        if not self.items:
            if self.endless:
                time.sleep(0.001)
                return None
            raise SourceEnded("footage is over")
        item = self.items.pop(0)
        item = item() if callable(item) and not isinstance(item, type) else item
        if isinstance(item, BaseException):
            raise item
        assert item is None or isinstance(item, Frame)
        return item

    def close(self) -> None:
        self.items.clear()


class EveryFrame:
    """A free-running trigger that can remember parts for ``flush``."""

    def __init__(self) -> None:
        self.followed: list[Sighting] = []

    def update(self, frame: Frame) -> Sequence[Sighting]:
        return (Sighting(frame),)

    def blind(self, frame: Frame) -> Sequence[Sighting]:
        return (Sighting(frame),)

    def flush(self) -> Sequence[Sighting]:
        gone, self.followed = self.followed, []
        return tuple(gone)


class Watch:
    """Believes every frame that has a picture; ``ill`` is what it says of all others."""

    def __init__(self) -> None:
        self.ill: str | None = None

    def check(self, frame: Frame) -> str | None:
        return self.ill or frame.fault


class FakeDetector:
    """Says what its script says, part by part: a scratch score, scores by class, whole detections, or an error.

    After the script it finds every part clean.
    """

    model = MODEL
    preprocess = "c" * 64

    def __init__(self, script: Iterable[Any] = ()) -> None:
        self.script: list[Any] = list(script)
        self.seen = 0

    def detect(self, image: BgrImage) -> Detections:
        self.seen += 1
        say = self.script.pop(0) if self.script else OK
        if isinstance(say, BaseException):
            raise say
        if callable(say):
            say = say(image)
        if isinstance(say, Detections):
            return say
        if isinstance(say, dict):
            return Detections((), say)
        return detections(("scratch", float(say), (20, 16, 44, 32)))


class FakeLine:
    """A line that remembers, can refuse, and looks into the books itself at the moment of each ``RELEASE``.

    Attributes:
        commands: Everything it acknowledged, repetitions too.
        moved: How often each part really moved on (a repeated command does nothing).
        wrong: What it saw that must never be.
        refuse: So many commands are refused next.
        refuses: Parts refused for ever.
    """

    name = "fake line"

    def __init__(self, database: Path, images: Path) -> None:
        self._database, self._images = database, images
        self.commands: list[tuple[str, Disposition]] = []
        self.tried: list[tuple[str, Disposition]] = []
        self.shown: list[StationState] = []
        self.standing: dict[str, Disposition] = {}
        self.moved: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.refuse = 0
        self.refuses: set[str] = set()
        self.deaf = False
        self.lost_answers = 0

    def poll(self) -> LineSignals:
        return LineSignals(connected=not self.deaf, moving=True)

    def sort(self, part_id: PartId, disposition: Disposition) -> None:
        self.tried.append((part_id, disposition))
        if disposition is Disposition.RELEASE:
            self._look_into_the_books(part_id)
        if self.refuse > 0 or part_id in self.refuses:
            self.refuse = max(self.refuse - 1, 0)
            raise LineFault(f"the line did not acknowledge {part_id}")
        before = self.standing.get(part_id)
        if before is not None and before is not Disposition.HOLD and before is not disposition:
            self.wrong.append(f"{part_id} was {before} and is now to be {disposition}")
        if before is not disposition and disposition is not Disposition.HOLD:
            self.moved[part_id] += 1
        self.standing[part_id] = disposition
        if self.lost_answers > 0:
            self.lost_answers -= 1
            raise LineFault(f"the acknowledgement for {part_id} was lost")
        self.commands.append((part_id, disposition))

    def show(self, state: StationState) -> None:
        if self.deaf:
            raise LineFault("the line does not answer")
        self.shown.append(state)

    def close(self) -> None:
        self.shown.append(StationState.HALTED)

    def released(self) -> list[str]:
        """Parts that were released, in order, repetitions too."""
        return [p for p, d in self.commands if d is Disposition.RELEASE]

    def _look_into_the_books(self, part_id: str) -> None:
        with closing(sqlite3.connect(f"{self._database.as_uri()}?mode=ro", uri=True)) as books:
            row = books.execute(
                "SELECT evaluation, audit, image_sha256, score, scores, i.recipe_sha256 = n.recipe_sha256, recipe_json "
                "FROM inspection i JOIN run n ON n.id = i.run_id WHERE part_id = ?",
                (part_id,),
            ).fetchone()
            person = books.execute(
                "SELECT count(*) FROM confirmation c JOIN review r ON r.id = c.review_id "
                "WHERE c.part_id = ? AND c.answer = 'false_alarm' AND c.undone_at IS NULL AND r.settled_at IS NOT NULL",
                (part_id,),
            ).fetchone()[0]
            command = books.execute(
                "SELECT count(*) FROM command WHERE part_id = ? AND disposition = 'RELEASE'", (part_id,)
            ).fetchone()[0]
        if row is None:
            self.wrong.append(f"{part_id} released without a row")
            return
        if command != 1:
            self.wrong.append(f"{part_id} released with {command} commands in the books")
        below = {c["name"]: c["pass_below"] for c in json.loads(row[6])["classes"]}  # the limits of its own run
        passed = row[0] == "OK" and row[1] == 0 and row[3] is not None and bool(row[5])
        passed = passed and all(s < below[label] for label, s in json.loads(row[4]).items())
        if not passed and not person:
            self.wrong.append(f"{part_id} released although {row[0]} and no person said so")
        if row[2] is not None:
            file = self._images / row[2][:2] / f"{row[2]}.jpg"
            if not file.is_file() or hashlib.sha256(file.read_bytes()).hexdigest() != row[2]:
                self.wrong.append(f"{part_id} released without its picture on disk")
        elif passed:
            self.wrong.append(f"{part_id} passed without a picture")


class Bench:
    """A station in a folder: real ledger, pictures, inspector, desk and loop; fake devices; a clock moved by hand.

    On leaving, nothing may have gone wrong at the line, the books must be in order and no thread may be left.
    """

    def __init__(
        self,
        folder: Path,
        *,
        product: Recipe | None = None,
        scores: Iterable[Any] = (),
        source: FakeSource | None = None,
        clock: Clock | None = None,
        budget_bytes: float = 20e9,
        durable: bool = True,
        without_model: bool = False,
    ) -> None:
        self.folder = folder
        self.product = product or recipe()
        self.clock = clock or ManualClock()
        self.source = source or FakeSource(endless=True)
        self.trigger, self.watch = EveryFrame(), Watch()
        self.detector = FakeDetector(scores)
        self.database, self._durable, self._budget = folder / "ledger.db", durable, budget_bytes
        self._without_model = without_model
        self.line = FakeLine(self.database, folder / "images")
        self.recorded: list[Inspection] = []
        self.books_may_be_wrong = False
        self._frames = 0
        self._keys = 0
        self._threads = set(threading.enumerate())
        self._open()

    def _open(self) -> None:
        self.ledger = Ledger(self.database, clock=self.clock, durable=self._durable)
        self.images = ImageStore(self.folder / "images", budget_bytes=self._budget, durable=self._durable)
        self.reader = open_reader(self.database)
        in_force, version = recipe_in_force(self.ledger, self.product)
        self.inspector = Inspector(in_force, None if self._without_model else self.detector, key=KEY)
        self.desk = ReviewDesk(self.ledger, self.images, in_force, clock=self.clock)
        self.loop = InspectionLoop(
            source=self.source,
            trigger=self.trigger,
            watch=self.watch,  # type: ignore[arg-type]
            inspector=self.inspector,
            ledger=self.ledger,
            images=self.images,
            line=self.line,
            desk=self.desk,
            hold=self.product.hold,
            clock=self.clock,
            start=run_start(in_force, version),
            on_recorded=self.recorded.append,
            file=self.product,
        )

    def restart(self) -> None:
        """What a crash and a new start leave: a new loop on the same ledger, before the same line."""
        self.reader.dispose()
        self.ledger.close()
        self._open()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: TracebackType | BaseException | None) -> None:
        self.loop.stop()
        try:
            if kind is None:
                assert self.line.wrong == []
                assert self.books_may_be_wrong or books.faults_in_books(self.reader) == []
                until(lambda: set(threading.enumerate()) <= self._threads, "threads are left alive")
        finally:
            self.reader.dispose()
            self.ledger.close()

    def frame(self, **how: Any) -> Frame:
        """The next frame, with a picture of its own."""
        self._frames += 1
        return frame(self._frames - 1, **how)

    def show_part(self, score: Any = OK, *, act: bool = True, **how: Any) -> str:
        """Lets one part pass the camera, in step mode; returns its id."""
        self.detector.script.append(score)
        self.source.items.append(self.frame(**how))
        self.loop.see(0.0)
        if act:
            self.loop.act(0.0)
        return f"ST01-{self.triggered:06d}"

    def turn(self, seconds: float = 0.0, turns: int = 1) -> None:
        """Lets time pass, then the hand turn."""
        self.clock.wait(seconds)
        for _ in range(turns):
            self.loop._eyes.beat_s = self.clock.monotonic()  # time passes, but the eyes are awake
            self.loop.act(0.0)

    @property
    def triggered(self) -> int:
        """Parts so far."""
        return self.loop._eyes.next_number - 1

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """What an independent connection reads."""
        with closing(sqlite3.connect(f"{self.database.as_uri()}?mode=ro", uri=True)) as books:
            return books.execute(sql).fetchall()

    def one(self, sql: str) -> Any:
        """The one value an independent connection reads."""
        return self.rows(sql)[0][0]

    def state(self) -> StationState:
        """The state last shown."""
        return self.loop.status().state

    def faults(self) -> dict[str, str]:
        """Standing faults with their words."""
        return {f.kind: f.words for f in self.loop.status().faults}

    def answer(self, review_id: int, answer: Answer = Answer.FALSE_ALARM, person: str = "anna", **how: Any) -> int:
        """Confirms a review straight at the desk; a fresh key unless given."""
        self._keys += 1
        how.setdefault("key", f"key-{self._keys}")
        how.setdefault("seconds", 2.5)
        return self.desk.confirm(GivenAnswer(review_id=review_id, answer=answer, person=person, **how))


def write_parts(ledger: Ledger, records: Sequence[Record], *, acknowledge: bool = True) -> list[Command]:
    """Records parts as the loop does, in a run of their own; the line acknowledges at once."""
    commands = ledger.record(ledger.start_run(run_start()), records)
    if acknowledge:
        ledger.acknowledge([(c.id, ledger.clock.now()) for c in commands])
    return commands


def times() -> StageTimes:
    """An empty stopwatch."""
    return StageTimes()


def until(true: Callable[[], bool], what: str, timeout_s: float = 10.0) -> None:
    """Waits in millisecond steps for something another thread does."""
    deadline = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < deadline, what
        time.sleep(0.001)
