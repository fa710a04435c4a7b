"""Which options do several commands share, and which station do they name?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from station.config import CameraSource, FootageSource, SimulatorSource, StationConfig, load_config
from station.core.errors import UsageError

ConfigOption = Annotated[Path | None, typer.Option("--config", help="Station configuration (default: station.toml).")]
RecipeOption = Annotated[str, typer.Option("--recipe", "-r", help="Recipe under calibration/recipes/.")]
JsonOption = Annotated[
    Path | None, typer.Option("--json", help="Write the result for machines; '-' is standard output, and nothing else.")
]
DbOption = Annotated[Path | None, typer.Option("--db", help="Ledger file (default: var/ledger.db).")]


def station_config(path: Path | None, db: Path | None) -> StationConfig:
    """The station's configuration, with another ledger where ``db`` names one.

    Raises:
        ConfigError: The configuration is wrong, or ``db`` is no name for a ledger.
    """
    config = load_config(path)
    return config if db is None else config.model_copy(update={"store": config.store.at(db)})


def with_port(config: StationConfig, port: int | None) -> StationConfig:
    """The configuration with another port of the panel where one is given."""
    if port is None:
        return config
    return config.model_copy(update={"panel": config.panel.model_copy(update={"port": port})})


def source_named(words: str) -> SimulatorSource | CameraSource | FootageSource:
    """What ``--source`` names.

    Raises:
        UsageError: It is neither the simulator nor a camera nor footage that is there.
    """
    if words == "simulator":
        return SimulatorSource()
    if words.isdigit() or "://" in words or words.startswith("/dev/"):
        return CameraSource(address=words)
    if Path(words).exists():
        return FootageSource(path=Path(words))
    raise UsageError(f"{words!r} is no source: name 'simulator', a camera (0, rtsp://…), a video file or a folder")
