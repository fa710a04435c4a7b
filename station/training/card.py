"""What does a model's card say, and how is it written?

Plain TOML from frozen records; no torch here. `station.registry` reads it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

Scalar = str | int | float | bool


@dataclass(frozen=True)
class ClassMetrics:
    """How well one class is found among sound pictures. `miss_at_95`: share missed where 95 % of all are found."""

    name: str
    auroc: float
    n_images: int
    n_parts: int
    miss_at_95: float


@dataclass(frozen=True)
class Metrics:
    """Out-of-fold figures of single members: every picture was scored by the member that never saw its part."""

    auroc: float
    auroc_by_part: float
    overkill_at_95: float
    overkill_at_98: float
    n_defective_images: int
    n_good_images: int
    n_defective_parts: int
    n_good_parts: int
    folds: int
    per_class: tuple[ClassMetrics, ...]


@dataclass(frozen=True)
class GoodOnlyMetrics:
    """What can be said of a model taught from good parts alone. All out of fold; how it meets real defects is unknown.

    Attributes:
        good_score_median: Half of the good pictures score below.
        good_score_90: 90 % of them score below: a `pass_below` there stops a tenth of such pictures.
        good_score_98: 98 % of them score below.
        n_good_images: Good pictures.
        n_good_parts: Good parts.
        planted_auroc: Good pictures against pictures with one planted defect; no promise for real ones.
        n_planted: Pictures with a planted defect.
        folds: Members.
    """

    good_score_median: float
    good_score_90: float
    good_score_98: float
    n_good_images: int
    n_good_parts: int
    planted_auroc: float
    n_planted: int
    folds: int


@dataclass(frozen=True)
class Provenance:
    """Where the model comes from."""

    data: str
    images: int
    parts: int
    seed: int
    minutes: float
    software: str
    command: str
    notes: str
    terms: str


@dataclass(frozen=True)
class Parity:
    """A picture and the scores that any runtime must give for it."""

    image: str
    scores: tuple[tuple[str, float], ...]
    tolerance: float = 0.005


@dataclass(frozen=True)
class Card:
    """All fields of card.toml."""

    name: str
    version: str
    created: str
    sha256: str
    classes: tuple[str, ...]
    stride: int
    multiple: int
    max_pixels: int
    training: Provenance
    metrics: Metrics | GoodOnlyMetrics
    parity: tuple[Parity, ...]
    padding: str = "replicate"
    colour: str = "bgr"
    resize_long: int = 0
    floor: float = 0.02


def write_card(card: Card, *, path: Path) -> None:
    """Write `card` as TOML."""
    metrics = asdict(card.metrics)
    classes = metrics.pop("per_class", ())
    lines = [
        *_table(
            "",
            {
                "name": card.name,
                "version": card.version,
                "created": card.created,
                "sha256": card.sha256,
                "floor": card.floor,
            },
        ),
        *_table("[head]", {"kind": "score-maps", "stride": card.stride, "classes": card.classes}),
        *_table(
            "[input]",
            {
                "multiple": card.multiple,
                "padding": card.padding,
                "colour": card.colour,
                "max_pixels": card.max_pixels,
                "resize_long": card.resize_long,
            },
        ),
        *_table("[training]", asdict(card.training)),
        *_table("[metrics]", metrics),
    ]
    for row in classes:
        lines += _table(f"[metrics.per_class.{row.pop('name')}]", row)
    for parity in card.parity:
        lines += _table(
            "[[parity]]", {"image": parity.image, "tolerance": parity.tolerance, "scores": dict(parity.scores)}
        )
    path.write_text("\n".join(lines).strip() + "\n", encoding="utf-8")


def _table(header: str, values: Mapping[str, Any]) -> list[str]:
    return ["", *([header] if header else []), *(f"{key} = {_value(value)}" for key, value in values.items())]


def _value(value: Scalar | Sequence[Scalar] | Mapping[str, Scalar]) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, float):
        return repr(round(value, 6))
    if isinstance(value, int):
        return str(value)
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {_value(item)}" for key, item in value.items()) + " }"
    return "[" + ", ".join(_value(item) for item in value) + "]"
