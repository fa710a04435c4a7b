"""How does a configuration become a running station? The only place where devices are chosen and put together."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from station import __version__
from station.calibration.optics.files import Optics, load_optics
from station.calibration.optics.standing import Standing
from station.config import CameraSource, FootageSource, SimulatorSource, StationConfig
from station.core.errors import ModelRefused
from station.core.ports import Detector, FrameSource, Line, Trigger
from station.core.timing import Clock, SystemClock
from station.core.verdict import Inspection
from station.decision import counts_of
from station.drawing_key import drawing_key
from station.health import FrameWatch
from station.inspection import Inspector
from station.limits_fit import recipe_in_force
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

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Station:
    """A station put together; ``close`` it when done.

    Attributes:
        truth: What the simulator knows of its parts; ``None`` with real sources.
        optics: What was measured of the station's camera; ``None`` where nothing was.
    """

    recipe: Recipe
    loop: InspectionLoop
    ledger: Ledger
    images: ImageStore
    source: FrameSource
    line: Line
    detector: Detector | None
    truth: KnownTruth | None
    optics: Optics | None = None

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

    What was measured of the camera is applied to every frame of camera and simulator, and a station with a baseline
    releases nothing by itself without a good check. Footage is left as it is: what this station recorded was
    corrected before it was recorded, and twice corrected is wrong; what another camera recorded is none of this one's.
    The station's scale counts for both.

    Args:
        config: Source, store and so on.
        recipe_name: Name of a recipe in ``config.recipes``.
        clock: The system's unless given.
        on_recorded: Called with each inspection after its commit, in the hand's thread.
        throw_away: The ledger is thrown away afterwards: nothing needs to survive a power cut.

    Raises:
        ConfigError: Recipe, settings or the camera's calibration are wrong, or the ledger's drawing key is not what
            it was.
        LimitsRefused: The limits in force do not fit the recipe any more.
        ModelRefused: The recipe's model is missing or not what its card says.
        LedgerFault: The ledger cannot be opened.
    """
    clock = clock or SystemClock()
    file = load_recipe(recipe_name, config.recipes)
    detector = open_detector(file, config)
    optics = load_optics(config.optics_folder)
    own_camera = not isinstance(config.source, FootageSource)
    ledger = Ledger(config.store.database, clock=clock, durable=not throw_away)
    try:
        images = ImageStore(
            config.store.images,
            budget_bytes=config.store.image_budget_mb * 1e6,
            free_bytes=0.0 if throw_away else config.store.free_disk_mb * 1e6,
            durable=not throw_away,
        )
        images.drop(dropped_images(ledger))  # what a crash left between the note and the removal
        recipe, limits_version = recipe_in_force(ledger, file, usable=_usable(optics))
        if recipe != file:
            log.warning(
                "limits version %d is in force: those in the file of recipe %s do not count", limits_version, file.name
            )
        inspector = Inspector(
            recipe, detector, key=drawing_key(config.store.drawing_key, ledger), mm_per_px=_scale(optics)
        )
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
            correct=optics.correct if optics is not None and own_camera else None,
            blocked=_standing(config, optics, clock) if own_camera else None,
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
                optics_sha256=optics.sha256 if optics is not None and own_camera else None,
                limits_version=limits_version,
            ),
            on_recorded=on_recorded,
            file=file,
        )
    except BaseException:
        ledger.close()
        raise
    return Station(recipe, loop, ledger, images, source, line, detector, truth, optics)


def usable_here(config: StationConfig) -> Callable[[Recipe], object]:
    """What raises ``ConfigError`` for a recipe whose limits this station cannot apply, for want of a scale."""
    return _usable(load_optics(config.optics_folder))


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


def _usable(optics: Optics | None) -> Callable[[Recipe], object]:
    return lambda recipe: counts_of(recipe, _scale(optics))


def _scale(optics: Optics | None) -> float | None:
    """Millimetres per pixel for limits in mm2: the coarsest of the field, so that none is taken for less."""
    plane = optics.record.plane if optics is not None else None
    return plane.coarsest_mm_per_px if plane is not None else None


def _standing(config: StationConfig, optics: Optics | None, clock: Clock) -> Standing:
    return Standing(
        config.optics_folder,
        optics_sha256=optics.sha256 if optics is not None else None,
        hours=config.check_hours,
        clock=clock,
    )


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
