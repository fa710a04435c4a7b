"""What is this station: its name, its source, its line, its store, its panel?

Read from ``station.toml`` (or ``--config FILE``) and overridden by environment variables such as
``STATION_STORE__FOLDER``; unknown keys are refused.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from station.core.errors import ConfigError


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SimulatorSource(_Strict):
    """The simulated line."""

    kind: Literal["simulator"] = "simulator"
    seed: int = 1
    parts: int | None = Field(default=None, gt=0, description="End after so many parts; none: for ever.")
    defect_rate: float = Field(default=0.15, ge=0, le=1)
    speed_px: float = Field(default=12.0, gt=0, description="Belt movement per frame, in pixels.")
    frames_per_s: float = Field(default=30.0, ge=0, description="Frame rate; 0: as fast as it goes.")


class CameraSource(_Strict):
    """A live camera or stream through OpenCV."""

    kind: Literal["camera"] = "camera"
    address: str = Field(description="Device number such as 0, device path, or stream URL.")
    open_timeout_s: float = Field(default=5.0, gt=0)
    read_timeout_s: float = Field(default=1.0, gt=0, description="No frame for so long: the camera counts as lost.")


class FootageSource(_Strict):
    """A video file or a folder of part photographs."""

    kind: Literal["footage"] = "footage"
    path: Path


class StoreSettings(_Strict):
    """Where the ledger and the part images live."""

    folder: Path = Field(default=Path("var"), description="Holds ledger.db, images/ and the drawing key.")
    file: str = Field(default="ledger.db", pattern=r"^[^/\\]+$", description="Name of the ledger in that folder.")
    image_budget_mb: float = Field(default=20_000.0, gt=0, description="Most megabytes of part images on disk.")
    free_disk_mb: float = Field(default=2_000.0, ge=0, description="Below this much free disk no more parts are taken.")

    @property
    def database(self) -> Path:
        """The ledger's SQLite file."""
        return self.folder / self.file


class PanelSettings(_Strict):
    """Where the panel listens."""

    host: str = "127.0.0.1"
    port: int = Field(default=7860, ge=0, le=65535)


class ExchangeSettings(_Strict):
    """Where the loop's process takes the panel's questions; always on this machine."""

    port: int = Field(
        default=7861, ge=0, le=65535, description="0: any free port; the ledger's folder holds the true one."
    )


class StationConfig(BaseSettings):
    """This station."""

    model_config = SettingsConfigDict(
        env_prefix="STATION_", env_nested_delimiter="__", extra="forbid", frozen=True, toml_file=None
    )

    station: str = Field(
        default="ST01", pattern=r"^[A-Za-z0-9]{1,16}$", description="Short name, first part of part ids."
    )
    recipes: Path = Path("calibration/recipes")
    models: Path = Path("models")
    source: Annotated[SimulatorSource | CameraSource | FootageSource, Field(discriminator="kind")] = SimulatorSource()
    store: StoreSettings = StoreSettings()
    panel: PanelSettings = PanelSettings()
    exchange: ExchangeSettings = ExchangeSettings()
    threads: int = Field(default=1, ge=1, description="Threads of the detector; panel and loop share the machine.")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments win over environment, environment over file."""
        return (init_settings, env_settings, TomlConfigSettingsSource(settings_cls))


def load_config(path: Path | None = None, **overrides: Any) -> StationConfig:
    """Reads the station's configuration.

    Args:
        path: TOML file; ``None`` takes ``station.toml`` in the working folder if there is one.
        **overrides: Top-level fields that win over file and environment.

    Raises:
        ConfigError: The file is missing, is no TOML, or a field is wrong.
    """
    file = path or Path("station.toml")
    if path is not None and not path.is_file():
        raise ConfigError(f"no configuration file {path}")

    class _FromFile(StationConfig):
        model_config = SettingsConfigDict(toml_file=file if file.is_file() else None)

    try:
        return _FromFile(**overrides)
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()[:5])
        raise ConfigError(f"configuration {file if file.is_file() else '(environment)'}: {faults}") from error
    except ValueError as error:
        raise ConfigError(f"{file} is not TOML: {error}") from error
