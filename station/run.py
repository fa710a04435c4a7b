"""How does a line run until it ends? The loop in this process, its door open to the panel's."""

from __future__ import annotations

import logging
from contextlib import closing

from station.build import build
from station.calibration.optics.files import load_optics
from station.config import FootageSource, StationConfig
from station.core.timing import SystemClock
from station.crew import scale_of
from station.exchange import ExchangeServer
from station.footage.book import About, Footage, stamped
from station.footage.record import Recorder
from station.limits_fit import recipe_here
from station.registry import ModelRegistry

log = logging.getLogger(__name__)


def run_loop(config: StationConfig, recipe: str, *, record: str | None = None) -> None:
    """The inspection loop until its source ends or Ctrl-C; others talk to it through the exchange.

    Args:
        config: The station.
        recipe: Name of the recipe.
        record: Name of a footage that every part is recorded into as well; the line never waits for it.

    Raises:
        DataRefused: The footage cannot be begun.
        ConfigError: Recipe or settings are wrong.
        ModelRefused: The recipe's model is missing or not what its card says.
        LedgerFault: The ledger cannot be opened, or another loop has it.
        StationError: The exchange's port is taken.
    """
    recorder = None if record is None else Recorder(begin_footage(config, recipe, record))
    try:
        station = build(config, recipe, on_recorded=recorder.offer if recorder else None)
        with closing(station), ExchangeServer(station.loop, config.store.door, port=config.exchange.port):
            try:
                station.loop.run(until_settled=True)
            except KeyboardInterrupt:
                log.warning("halted by hand; parts in view stay held")
    finally:
        if recorder is not None:
            log.warning("%s", recorder.close())


def begin_footage(config: StationConfig, recipe_name: str, name: str) -> Footage:
    """A footage for what this station sees now, or the one of that name, to be continued.

    Raises:
        DataRefused: The name is none or taken by something else.
        ConfigError: The recipe is wrong.
        ModelRefused: The recipe's model is missing or not what its card says.
    """
    recipe, _ = recipe_here(recipe_name, config)
    model = ModelRegistry(config.models).open(recipe.model).card.ref if recipe.model else None
    source = config.source
    optics = load_optics(config.optics_folder)
    about = About(
        name=name,
        kind="recorded",
        made_at=stamped(SystemClock().now()),
        by=f"station {config.station}",
        origin=str(source.path) if isinstance(source, FootageSource) else source.kind,
        station=config.station,
        recipe=recipe.name,
        recipe_sha256=recipe.sha256,
        model=str(model) if model else None,
        model_sha256=model.sha256 if model else None,
        optics_sha256=optics.sha256 if optics is not None and not isinstance(source, FootageSource) else None,
        mm_per_px=scale_of(config),
    )
    return Footage.make(config.footage / name, about)
