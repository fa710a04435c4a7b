"""How does a configuration become a running station? The only place where devices are chosen and put together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from station import __version__
from station.config import CameraSource, FootageSource, SimulatorSource, StationConfig
from station.core.errors import ModelRefused
from station.core.ports import Detector, FrameSource, Line, Trigger
from station.core.timing import Clock, SystemClock
from station.core.verdict import Inspection
from station.drawing_key import drawing_key
from station.health import FrameWatch
from station.inspection import Inspector
from station.line.unattended import Unattended
from station.loop import InspectionLoop
from station.recipe import FreeRunSettings, HealthLimits, Recipe, load_recipe
from station.registry import ModelRegistry
from station.review import ReviewDesk
from station.sim.devices import KnownTruth, SimulatedLine
from station.sim.devices import SimulatorSource as Simulator
from station.sim.world import Belt
from station.sources.camera import Camera
from station.sources.footage import open_footage
from station.store.images import ImageStore
from station.store.ledger import Ledger, RunStart
from station.store.past import dropped_images
from station.trigger import make_trigger


@dataclass(frozen=True, slots=True)
class Station:
    """A station put together; ``close`` it when done.

    Attributes:
        truth: What the simulator knows of its parts; ``None`` with real sources.
    """

    recipe: Recipe
    loop: InspectionLoop
    ledger: Ledger
    images: ImageStore
    source: FrameSource
    line: Line
    detector: Detector | None
    truth: KnownTruth | None

    def close(self) -> None:
        """Lets go of source, line and ledger."""
        self.source.close()
        self.line.close()
        self.ledger.close()


def build(
    config: StationConfig,
    recipe_name: str,
    *,
    clock: Clock | None = None,
    on_recorded: Callable[[Inspection], None] | None = None,
    throw_away: bool = False,
) -> Station:
    """Puts a station together from its configuration and a recipe.

    Args:
        config: Source, store and so on.
        recipe_name: Name of a recipe in ``config.recipes``.
        clock: The system's unless given.
        on_recorded: Called with each inspection after its commit, in the hand's thread.
        throw_away: The ledger is thrown away afterwards: nothing needs to survive a power cut.

    Raises:
        ConfigError: Recipe or settings are wrong, or the ledger's drawing key is not what it was.
        ModelRefused: The recipe's model is missing or not what its card says.
        LedgerFault: The ledger cannot be opened.
    """
    clock = clock or SystemClock()
    recipe = load_recipe(recipe_name, config.recipes)
    detector = open_detector(recipe, config)
    ledger = Ledger(config.store.database, clock=clock, durable=not throw_away)
    try:
        images = ImageStore(
            config.store.images,
            budget_bytes=config.store.image_budget_mb * 1e6,
            free_bytes=0.0 if throw_away else config.store.free_disk_mb * 1e6,
            durable=not throw_away,
        )
        images.drop(dropped_images(ledger))  # what a crash left between the note and the removal
        inspector = Inspector(recipe, detector, key=drawing_key(config.store.drawing_key, ledger))
        source, trigger, line, truth = _devices(config, recipe, clock)
        model = detector.model if detector else None
        loop = InspectionLoop(
            source=source,
            trigger=trigger,
            watch=FrameWatch(_health(recipe, live=source.live), live=source.live),
            inspector=inspector,
            ledger=ledger,
            images=images,
            line=line,
            desk=ReviewDesk(ledger, images, recipe, clock=clock),
            hold=recipe.hold,
            clock=clock,
            start=RunStart(
                station=config.station,
                recipe=recipe.name,
                recipe_sha256=recipe.sha256,
                recipe_json=recipe.model_dump_json(),
                model=str(model) if model else None,
                model_sha256=model.sha256 if model else None,
                source=source.name,
                line=line.name,
                software=__version__,
            ),
            on_recorded=on_recorded,
        )
    except BaseException:
        ledger.close()
        raise
    return Station(recipe, loop, ledger, images, source, line, detector, truth)


def open_detector(recipe: Recipe, config: StationConfig) -> Detector | None:
    """The recipe's detector, verified; ``None`` for a recipe without a model.

    Raises:
        ModelRefused: It is missing, not what its card says, or scores other classes than the recipe names.
    """
    if recipe.model is None:
        return None
    # onnxruntime takes a third of a second to import: only where a model is used.
    from station.detector.onnx import OnnxDetector

    verified = ModelRegistry(config.models).open(recipe.model)
    if set(verified.card.head.classes) != set(recipe.class_names):
        raise ModelRefused(
            f"model {recipe.model} scores {', '.join(verified.card.head.classes)}, recipe {recipe.name} names "
            f"{', '.join(recipe.class_names)}: they must be the same classes"
        )
    return OnnxDetector(verified, threads=config.threads)


def _health(recipe: Recipe, *, live: bool) -> HealthLimits:
    if live and isinstance(recipe.trigger, FreeRunSettings) and recipe.health.frozen_frames:
        # Every frame is a part there, so not even the second of two identical frames may be judged.
        return recipe.health.model_copy(update={"frozen_frames": 2})
    return recipe.health


def _devices(
    config: StationConfig, recipe: Recipe, clock: Clock
) -> tuple[FrameSource, Trigger, Line, KnownTruth | None]:
    settings = config.source
    if isinstance(settings, SimulatorSource):
        belt = Belt(
            seed=settings.seed,
            parts=settings.parts,
            defect_rate=settings.defect_rate,
            speed_px=settings.speed_px,
        )
        line = SimulatedLine(config.store.journal)
        simulator = Simulator(belt, clock=clock, frames_per_s=settings.frames_per_s, moving=lambda: line.moving)
        truth = KnownTruth(make_trigger(recipe.trigger), simulator)
        return simulator, truth, line, truth
    if isinstance(settings, CameraSource):
        return Camera(settings, clock=clock), make_trigger(recipe.trigger), Unattended(), None
    assert isinstance(settings, FootageSource)
    footage = open_footage(settings.path, clock=clock, max_pixels=recipe.health.max_pixels)
    # In a folder every picture is a part; a video shows parts passing by.
    trigger = make_trigger(FreeRunSettings() if settings.path.is_dir() else recipe.trigger)
    return footage, trigger, Unattended(), None
