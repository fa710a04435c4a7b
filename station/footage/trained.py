"""Was this model trained on parts of this footage? Then its scores on them promise nothing.

Known are the parts that a model's own ``out-of-fold.csv`` names, and what its card calls its data. Serials of the
simulator count from 0 under every seed, so simulated parts are the same only where the seed is.
"""

from __future__ import annotations

import csv
import re
from pathlib import Path

from station.footage.book import Footage
from station.registry import ModelCard

OUT_OF_FOLD = "out-of-fold.csv"


def trained_units(footage: Footage, card: ModelCard, folder: Path) -> frozenset[str] | None:
    """Physical parts of the footage that the model was trained on; ``None`` where nobody says what it was trained on.

    Args:
        footage: Whose parts.
        card: The model's.
        folder: Of the model.
    """
    data = str(card.training.get("data", ""))
    path = folder / OUT_OF_FOLD
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            serials = {row.get("part") or "" for row in csv.DictReader(file)}
    except (OSError, UnicodeDecodeError, csv.Error):
        serials = set()
    if not serials and not data:
        return None
    seed = re.search(r"seed (\d+)", data)
    found = set()
    for part in footage.parts:
        if part.simulated:
            same = seed is not None and f"(seed {seed.group(1)})" in part.source
        else:
            same = (part.serial or "") in serials - {""}
        if same:
            found.add(part.unit)
    origin = Path(footage.about.origin).name
    if data and data == origin:  # the very data set: every part of it counts as seen
        found |= {part.unit for part in footage.parts}
    return frozenset(found)
