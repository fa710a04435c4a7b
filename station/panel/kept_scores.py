"""Which footage is there, and what is already known of it under the model in force?

Only reads: books, truth, split, and the scores that a replay has kept. The model is never asked here; what it has not
been asked yet is counted, and :mod:`station.panel.scoring` has it asked by another process.
"""

from __future__ import annotations

import threading
import tomllib
from collections import OrderedDict
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from station.calibration.optics.files import load_optics
from station.config import StationConfig
from station.core.errors import DataRefused, ImageFault, StationError, UsageError
from station.decision import undefined
from station.detector.tensors import preprocess_hash
from station.footage.book import ABOUT, PARTS, SPLIT, TRUTH, Footage, names_in
from station.footage.checked import Checked
from station.footage.reading import health_hash
from station.footage.scores import FOLDER, ScoreCache
from station.footage.split import TUNING, Split, read_split
from station.footage.table import Table
from station.footage.truth import Truths, truths
from station.panel.reading import Reading
from station.panel.tuning import TuningSet
from station.recipe import Recipe
from station.registry import ModelCard, ModelRegistry

KEPT = 3
"""Footages laid out at once: some hundred megabytes each at a hundred thousand parts."""


NOT_ASKED = "the model has not been asked about it yet"


@dataclass(frozen=True, slots=True, eq=False)
class Loaded:
    """A footage under the model in force.

    Attributes:
        footage: Its book.
        recipe: In force, with its limits.
        card: The model's.
        model_folder: Where the model lies.
        mm_per_px: The station's scale; ``None`` where it has none.
        table: All parts with what is kept of them.
        unscored: Pixel hashes of the pictures that nobody has looked at yet, or the model has not been asked about.
        known: What is true of the parts.
        split: Who stands where; ``None`` where it was not dealt.
        shown: The tuning side of ``table``.
        tuning: The tuning side's labelled and inspected parts.
        pictures: Tuning parts by their pixel hash: only these may be looked at.
    """

    footage: Footage
    recipe: Recipe
    card: ModelCard
    model_folder: Path
    mm_per_px: float | None
    table: Table
    unscored: tuple[str, ...]
    known: Truths
    split: Split | None
    shown: Table
    tuning: TuningSet
    pictures: dict[str, int]


class KeptScores:
    """The footages of one station, laid out for the model in force. Safe to use from several threads."""

    def __init__(self, config: StationConfig, reading: Reading) -> None:
        self._config, self._reading = config, reading
        self._loaded: OrderedDict[object, Loaded] = OrderedDict()
        self._cards: dict[tuple[str, int], tuple[ModelCard, Path]] = {}
        self._lock = threading.Lock()

    def names(self) -> list[str]:
        """Names of the footages, sorted."""
        return names_in(self._config.footage)

    def folder(self, name: str) -> Path:
        """Where a footage lies.

        Raises:
            DataRefused: There is none of that name.
        """
        if name not in self.names():
            known = ", ".join(self.names()) or "none yet"
            raise DataRefused(
                f"no footage {name!r} (there: {known}): record some with 'station run --record NAME', or bring it in "
                "with 'station footage import'"
            )
        return self._config.footage / name

    def listed(self, name: str) -> dict[str, Any]:
        """A footage's name and size, for a list; its parts are counted, not read.

        Raises:
            DataRefused: There is none, or it cannot be read.
        """
        folder = self.folder(name)
        try:
            made_at = tomllib.loads((folder / ABOUT).read_text(encoding="utf-8")).get("made_at")
            parts = (folder / PARTS).read_bytes().count(b"\n") if (folder / PARTS).exists() else 0
        except (OSError, ValueError) as error:
            raise DataRefused(f"footage {name} cannot be read ({error}): restore it from a backup") from error
        return {"name": name, "parts": parts, "made_at": made_at}

    def in_force(self) -> Recipe:
        """The recipe whose limits decide now.

        Raises:
            LedgerFault: The loop has not run yet.
            UsageError: It has no model, so there are no scores.
        """
        recipe = self._reading.recipe()
        if recipe.model is None:
            raise UsageError(f"recipe {recipe.name} has no model: a person decides every part, there are no limits")
        return recipe

    def load(self, name: str) -> Loaded:
        """The footage under the model in force; laid out once, until something of it changes.

        Raises:
            UsageError: Footage or model cannot be used.
            LedgerFault: The loop has not run yet.
        """
        recipe = self.in_force()
        folder = self.folder(name)
        card, model_folder = self._card(recipe)
        root = folder.parent / FOLDER
        kept = root / f"{card.sha256[:16]}-{preprocess_hash(card.input)[:16]}"
        healthy = tuple(_mtime(p) for p in sorted(root.glob("health-*.txt")))
        # Limits are no part of it: other ones come into force without laying anything out again.
        key = (name, recipe.model, recipe.health, card.sha256, _stamp(folder), _mtime(kept), healthy)
        with self._lock:  # two screens that open the same footage lay it out once
            if key not in self._loaded:
                self._loaded[key] = self._lay_out(Footage.open(folder), recipe, card, model_folder)
                while len(self._loaded) > KEPT:
                    self._loaded.popitem(last=False)
            self._loaded.move_to_end(key)
            return replace(self._loaded[key], recipe=recipe)

    def _card(self, recipe: Recipe) -> tuple[ModelCard, Path]:
        """The model's card; hashed again only where its file has changed."""
        assert recipe.model is not None
        key = (recipe.model, _mtime(self._config.models / recipe.model / "model.onnx"))
        if key not in self._cards:
            verified = ModelRegistry(self._config.models).open(recipe.model)
            self._cards[key] = (verified.card, verified.folder)
        card, folder = self._cards[key]
        if set(card.head.classes) != set(recipe.class_names):
            raise UsageError(
                f"model {card.ref} scores {', '.join(card.head.classes)}, recipe {recipe.name} names "
                f"{', '.join(recipe.class_names)}: they must be the same classes"
            )
        return card, folder

    def _lay_out(self, footage: Footage, recipe: Recipe, card: ModelCard, model_folder: Path) -> Loaded:
        root = footage.folder.parent / FOLDER
        health = {whole: Checked(root, health_hash(recipe.health, whole_frame=whole)) for whole in (False, True)}
        cache = ScoreCache(
            root, model_sha256=card.sha256, preprocess=preprocess_hash(card.input), classes=card.head.classes
        )
        parts = footage.parts
        row = cache.rows([p.sha256 for p in parts])
        faults: list[str | None] = []
        unscored: list[str] = []
        for k, part in enumerate(parts):
            checked = health[part.whole_frame]
            fault = part.fault
            if fault is None and part.sha256 not in checked:
                fault = NOT_ASKED  # its scores alone say nothing: nobody has looked whether the picture can be trusted
            elif fault is None:
                fault = checked.ill(part.sha256 or "") or (NOT_ASKED if row[k] < 0 else None)
            if fault is not None:
                row[k] = -1
                if fault is NOT_ASKED and part.sha256 is not None:
                    unscored.append(part.sha256)
            faults.append(None if fault is None else undefined(ImageFault(fault)).reason)
        table = Table(parts, cache.columns, row, faults)
        known, split = truths(footage), read_split(footage)
        side = split.side if split is not None else {}
        mine = np.array([k for k, p in enumerate(parts) if side.get(p.key) == TUNING], np.int64)
        shown = Table([parts[k] for k in mine], cache.columns, row[mine], [faults[k] for k in mine])
        scale = self.mm_per_px()
        return Loaded(
            footage,
            recipe,
            card,
            model_folder,
            scale,
            table,
            tuple(unscored),
            known,
            split,
            shown,
            TuningSet(shown, known.agreed, mm_per_px=scale),
            {p.sha256: k for k, p in enumerate(shown.parts) if p.sha256 is not None},
        )

    def mm_per_px(self) -> float | None:
        """Millimetres per pixel as the loop takes them; ``None`` where nothing usable was measured."""
        try:
            optics = load_optics(self._config.optics_folder)
        except StationError:  # the loop says so; limits in square millimetres are then refused in words
            return None
        plane = optics.record.plane if optics is not None else None
        return plane.coarsest_mm_per_px if plane is not None else None


def _stamp(folder: Path) -> tuple[int, ...]:
    """When its files changed; looks change no figure."""
    return tuple(_mtime(folder / name) for name in (PARTS, TRUTH, SPLIT))


def _mtime(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0
