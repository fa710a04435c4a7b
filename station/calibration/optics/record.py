"""How does a calibration become a file that people can read, and come back checked whole?

One record is one TOML file: a line of explanation above each value, unknown keys refused, numbers finite. Python reads
TOML but writes none; what is written here are numbers, words and lists of them, and each of those is the same in JSON.
"""

from __future__ import annotations

import hashlib
import json
import os
import tomllib
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from station.core.errors import ConfigError


class Record(BaseModel):
    """What is kept in a file: frozen, hashable, without unknown keys, without numbers that are none."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @property
    def sha256(self) -> str:
        """Hash of the whole content."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()


R = TypeVar("R", bound=Record)


def read_record(path: Path, kind: type[R], *, remedy: str) -> R:
    """Reads a TOML file and checks it whole.

    Args:
        path: The file.
        kind: What it must hold.
        remedy: What to do about a broken one, in words.

    Raises:
        ConfigError: It is missing, cannot be read, is no TOML or holds something else; names file, field and remedy.
    """
    try:
        return kind.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise ConfigError(f"{path} cannot be read ({error.strerror}): {remedy}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not TOML ({error}): {remedy}") from error
    except ValidationError as error:
        raise ConfigError(f"{path}: {words_of(error)}: {remedy}") from error


def words_of(error: ValidationError) -> str:
    """The first faults of a record, each with its field."""
    faults = (("".join(f"{place}." for place in e["loc"])[:-1], e["msg"]) for e in error.errors()[:5])
    return "; ".join(f"{place}: {what}" if place else what for place, what in faults)


def write_record(path: Path, record: Record, *, heading: str) -> None:
    """Writes a record as TOML, whole or not at all; ``heading`` becomes its first line.

    Raises:
        ConfigError: The folder cannot be written.
    """
    write_bytes(path, f"# {heading}\n{_table(record)}".encode())


def write_bytes(path: Path, data: bytes) -> None:
    """Writes a file, whole or not at all, and makes its folder.

    Raises:
        ConfigError: The folder cannot be written.
    """
    temporary = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be written ({error.strerror}): grant the right to write into {path.parent}"
        ) from error


def _table(record: Record, under: str = "") -> str:
    plain, tables = [], []
    for name, field in type(record).model_fields.items():
        value = getattr(record, name)
        if value is None:
            continue  # TOML has no word for nothing
        if isinstance(value, Record):
            tables.append(f"\n[{under}{name}]\n" + _table(value, f"{under}{name}."))
            continue
        comment = f"# {field.description}\n" if field.description else ""
        plain.append(f"{comment}{name} = {_value(record.model_dump(mode='json')[name])}\n")
    return "".join(plain + tables)


def _value(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False).replace("\x7f", "\\u007f")
