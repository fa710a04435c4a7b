"""Which models are there, and is each one what its card says?

A model is a folder ``models/<name>/<version>/`` with ``model.onnx``, ``card.toml`` and the pictures of
its parity check. It is *verified* when the card is whole, the card and the folder agree on name and
version, the sha256 is that of the bytes in memory, and the ONNX file stands on its own. Whoever runs it
gets those very bytes, so what was checked is what runs. The sha256 names a model and catches damage; it
does not prove who wrote it, because card and model lie side by side.
"""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, model_validator

from station.core.errors import ModelRefused
from station.core.verdict import ModelRef
from station.onnx_file import check_onnx

MAX_MODEL_BYTES = 200 * 1024 * 1024  # the largest model of the station's own training has under 10 MB
MAX_CARD_BYTES = 1024 * 1024

_NAME = r"[a-z][a-z0-9-]{0,63}"
_VERSION = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
ModelName = Annotated[str, Field(pattern=f"^{_NAME}$")]
ModelVersion = Annotated[str, Field(pattern=f"^{_VERSION}$")]
ClassName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
Fraction = Annotated[float, Field(ge=0.0, le=1.0)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ScoreMapsHead(_Strict):
    """One output ``maps``, ``float32`` ``(1, classes, height / stride, width / stride)``, probabilities in [0, 1]."""

    kind: Literal["score-maps"] = "score-maps"
    stride: int = Field(ge=1, le=64, description="Input pixels per map cell.")
    classes: tuple[ClassName, ...] = Field(min_length=1, description="Defect classes, in the order of the maps.")

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        if len(set(self.classes)) != len(self.classes):
            raise ValueError(f"two classes share a name: {list(self.classes)}")
        if {"ok", "good"} & set(self.classes):
            raise ValueError("a defect class must not be called 'ok' or 'good'")
        return self


class InputSpec(_Strict):
    """One input ``image``, ``uint8`` ``(1, height, width, 3)``; normalisation is inside the graph."""

    multiple: int = Field(ge=1, le=1024, description="Height and width are padded, right and bottom, to it.")
    padding: Literal["replicate", "reflect", "constant"] = Field(description="What is padded; constant: black.")
    colour: Literal["bgr"] = "bgr"
    max_pixels: int = Field(gt=0, le=200_000_000, description="Pictures with more pixels are not inspected.")
    resize_long: int = Field(default=0, ge=0, le=16384, description="Longer side after resizing, in pixels; 0: native.")


class Parity(_Strict):
    """A picture and the part scores that the training side saw on it."""

    image: str = Field(pattern=r"^[A-Za-z0-9_./-]+\.png$", description="PNG file, relative to the model's folder.")
    scores: dict[str, Fraction]
    tolerance: float = Field(gt=0.0, le=0.1, description="Largest difference of a part score.")


class ModelCard(_Strict):
    """What a model's maker states about it: ``card.toml``."""

    name: ModelName
    version: ModelVersion
    created: AwareDatetime
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$", description="Of model.onnx.")
    floor: float = Field(gt=0.0, lt=1.0, description="Boxes below are not reported; part scores always are.")
    head: ScoreMapsHead
    input: InputSpec
    training: dict[str, Any] = Field(default_factory=dict, description="How it was made: free.")
    metrics: dict[str, Any] = Field(default_factory=dict, description="How good it was found to be: free.")
    parity: tuple[Parity, ...] = Field(min_length=1, description="Shows that it still computes what it did.")

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        if self.input.multiple % self.head.stride:
            raise ValueError(f"input.multiple {self.input.multiple} is no multiple of head.stride {self.head.stride}")
        for check in self.parity:
            if set(check.scores) != set(self.head.classes):
                raise ValueError(f"parity {check.image!r} must give a score for each of {list(self.head.classes)}")
        return self

    @property
    def ref(self) -> ModelRef:
        """Names this model beyond doubt."""
        return ModelRef(self.name, self.version, self.sha256)


@dataclass(frozen=True, slots=True)
class VerifiedModel:
    """A model that may be run: made only from bytes that passed every check.

    Attributes:
        card: What its maker states.
        onnx_bytes: The verified file; this is what runs, never the file again.
        folder: Where the parity pictures lie; nothing outside is read.

    Raises:
        ModelRefused: The bytes are not those of the card, or do not stand on their own.
    """

    card: ModelCard
    onnx_bytes: bytes = field(repr=False)
    folder: Path

    def __post_init__(self) -> None:
        found = hashlib.sha256(self.onnx_bytes).hexdigest()
        if found != self.card.sha256:
            raise ModelRefused(
                f"{self.card.ref}: model.onnx has sha256 {found[:12]}..., the card says {self.card.sha256[:12]}...; "
                "copy the model's folder again, whole"
            )
        check_onnx(self.onnx_bytes, str(self.card.ref))


@dataclass(frozen=True, slots=True)
class Listed:
    """One model folder as found: with its card, or with the reason why it is refused."""

    name: str
    version: str
    card: ModelCard | None = None
    refused: str | None = None

    def __post_init__(self) -> None:
        if (self.card is None) == (self.refused is None):
            raise ValueError("a listed model has either a card or the reason why it is refused")


class ModelRegistry:
    """The folder ``models/``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def list(self) -> tuple[Listed, ...]:
        """Every ``<name>/<version>`` there, the refused ones with their reason. Reads and hashes every model."""
        found = []
        for folder in sorted(self._folders(), key=_natural):
            name, version = folder.parent.name, folder.name
            try:
                found.append(Listed(name, version, card=self.open(f"{name}/{version}").card))
            except ModelRefused as error:
                found.append(Listed(name, version, refused=str(error)))
        return tuple(found)

    def open(self, model: str) -> VerifiedModel:
        """Reads ``<name>/<version>`` and checks all of it but its scores (the detector does that by running it).

        Raises:
            ModelRefused: The folder is not what its card says; the message names fact and remedy.
        """
        name, _, version = model.partition("/")
        if not (re.fullmatch(_NAME, name) and re.fullmatch(_VERSION, version)):
            raise ModelRefused(f"{model!r} is no model name; write <name>/<version>, for example magnetic-tile/1")
        folder = self.folder / name / version
        if not folder.is_dir():
            known = ", ".join(f"{f.parent.name}/{f.name}" for f in sorted(self._folders(), key=_natural)) or "none"
            raise ModelRefused(f"no model {model!r} in {self.folder} (there: {known}); name one of them or train it")
        if not folder.resolve().is_relative_to(self.folder.resolve()):
            raise ModelRefused(f"{model}: its folder is a link out of {self.folder}; copy the folder itself there")
        card = _read_card(folder)
        if (card.name, card.version) != (name, version):
            raise ModelRefused(f"{folder} holds a card of {card.ref}; folder and card must agree: rename the folder")
        return VerifiedModel(card, read_inside(folder, "model.onnx", MAX_MODEL_BYTES), folder)

    def _folders(self) -> Iterator[Path]:
        if self.folder.is_dir():
            yield from (p for p in self.folder.glob("*/*") if p.is_dir() and not p.parent.name.startswith("."))


def read_inside(folder: Path, name: str, limit: int) -> bytes:
    """Reads the file ``name`` of a model's folder, never one outside it.

    Raises:
        ModelRefused: There is none, it leads out of the folder, or it has more than ``limit`` bytes.
    """
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        raise ModelRefused(f"{path} leads out of the model's folder; put the file itself there")
    if not path.is_file():
        raise ModelRefused(f"{path} is not there, or no plain file; copy the model's folder again, whole")
    try:
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except OSError as error:
        raise ModelRefused(f"{path} cannot be read ({error.strerror}); copy the model's folder again, whole") from error
    if len(data) > limit:
        raise ModelRefused(f"{path} has more than {limit:,} bytes; a model of this station is far smaller")
    return data


def _read_card(folder: Path) -> ModelCard:
    path = folder / "card.toml"
    try:
        return ModelCard.model_validate(tomllib.loads(read_inside(folder, path.name, MAX_CARD_BYTES).decode("utf-8")))
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'card'}: {e['msg']}" for e in error.errors()[:5])
        raise ModelRefused(f"{path}: {faults}; correct the card or export the model anew") from error
    except (ValueError, RecursionError) as error:
        raise ModelRefused(f"{path} is not TOML: {error}; copy the model's folder again, whole") from error


def _natural(folder: Path) -> tuple[str, bool, int, str]:
    """Sorts version 10 behind version 9."""
    number = folder.name.isascii() and folder.name.isdigit()
    return (folder.parent.name, not number, int(folder.name) if number else 0, folder.name)
