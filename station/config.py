"""What is this station: its name, its source, its line, its store, its panel?

Read from ``station.toml`` (or ``--config FILE``) and overridden by environment variables such as
``STATION_STORE__FOLDER``; unknown keys are refused.
"""

from __future__ import annotations

import re
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from station.core.errors import ConfigError

PEOPLE_FILE = "people.db"


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


def _ledger_name(name: str) -> str:
    # What lies beside the ledger hangs on its stem: with one ending, two names never share a stem.
    if not name.endswith(".db") or name == ".db" or "/" in name or "\\" in name:
        raise ValueError(f"{name!r} is no name for a ledger: it ends in .db, such as ledger.db")
    if name == PEOPLE_FILE:
        raise ValueError(f"{PEOPLE_FILE} holds the people of this folder: give the ledger another name")
    return name


class StoreSettings(_Strict):
    """Where the ledger lies, and the only place that knows the names of what lies beside it.

    Pictures, journal, key and door belong to one ledger and carry its stem, so that a folder may hold several.
    """

    folder: Path = Field(default=Path("var"), description="Holds the ledger and all that belongs to it.")
    file: Annotated[str, AfterValidator(_ledger_name)] = Field(
        default="ledger.db", description="Name of the ledger in that folder; ends in .db."
    )
    image_budget_mb: float = Field(default=20_000.0, gt=0, description="Most megabytes of part images on disk.")
    free_disk_mb: float = Field(default=2_000.0, ge=0, description="Below this much free disk no more parts are taken.")

    @property
    def database(self) -> Path:
        """The ledger's SQLite file."""
        return self.folder / self.file

    @property
    def images(self) -> Path:
        """The folder of this ledger's part pictures."""
        return self._beside("images")

    @property
    def journal(self) -> Path:
        """What the simulated line was told; real lines keep their own books."""
        return self._beside("journal")

    @property
    def drawing_key(self) -> Path:
        """The secret that this ledger's audits are drawn with."""
        return self._beside("key")

    @property
    def door(self) -> Path:
        """Where the loop of this ledger leaves the address and key of its exchange."""
        return self._beside("door.json")

    @property
    def people(self) -> Path:
        """Who may work here: one file per folder, whatever its ledgers are called."""
        return self.folder / PEOPLE_FILE

    def at(self, database: Path) -> StoreSettings:
        """These settings with the ledger in another file.

        Raises:
            ConfigError: The file's name is none for a ledger.
        """
        try:
            _ledger_name(database.name)
        except ValueError as error:
            raise ConfigError(str(error)) from error
        return self.model_copy(update={"folder": database.resolve().parent, "file": database.name})

    def _beside(self, ending: str) -> Path:
        return self.folder / f"{self.file.removesuffix('.db')}.{ending}"


def _host(name: str) -> str:
    if ":" in name or "[" in name:
        try:
            ip_address(name)
        except ValueError as error:
            raise ValueError(f"{name!r} is no host: write the name or address alone, without port") from error
    elif not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,252})", name):
        raise ValueError(f"{name!r} is no host: write the name or address alone, such as station4.local")
    return name


class PanelSettings(_Strict):
    """Where the panel listens, and how it meets people."""

    host: str = "127.0.0.1"
    port: int = Field(default=7860, ge=0, le=65535)
    hosts: tuple[Annotated[str, AfterValidator(_host)], ...] = Field(
        default=(), description="Further names or addresses under which the panel may be called."
    )
    show_names: bool = Field(default=True, description="The sign-in page lists the names of the people.")
    signout_minutes: float = Field(
        default=30.0, ge=0, allow_inf_nan=False, description="A session without activity ends; 0: never."
    )
    language: str = Field(default="en", pattern=r"^[a-z]{2}(-[A-Z]{2})?$", description="Language of the panel.")


class ExchangeSettings(_Strict):
    """Where the loop's process takes the panel's questions; always on this machine."""

    port: int = Field(
        default=7861, ge=0, le=65535, description="0: any free port; the ledger's door file holds the true one."
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
    calibration: Path = Field(
        default=Path("calibration"), description="Holds stations/<station>/ with what was measured of the camera."
    )
    check_hours: float = Field(
        default=12.0, gt=0, allow_inf_nan=False, description="So long a check of the camera against its baseline holds."
    )
    footage: Path = Field(default=Path("footage"), description="Holds recorded and imported footage, one folder each.")
    source: Annotated[SimulatorSource | CameraSource | FootageSource, Field(discriminator="kind")] = SimulatorSource()
    store: StoreSettings = StoreSettings()
    panel: PanelSettings = PanelSettings()
    exchange: ExchangeSettings = ExchangeSettings()
    threads: int = Field(default=1, ge=1, description="Threads of the detector; panel and loop share the machine.")

    @property
    def optics_folder(self) -> Path:
        """Where the calibration of this station's camera lies."""
        return self.calibration / "stations" / self.station

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
