"""What is in a footage, at a glance, for the list and for an auditor?"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from station.footage.book import About, Footage
from station.footage.split import SEALED, TUNING, looks, read_split
from station.footage.truth import OK, truths


def overview(folder: Path) -> dict[str, Any]:
    """Where a footage came from, its counts, its truth, its split with the hash of each side, its looks.

    Raises:
        DataRefused: It is no footage, or is damaged.
    """
    footage = Footage.open(folder)
    known = truths(footage)
    split = read_split(footage)
    classes = Counter(known.agreed.values())
    row: dict[str, Any] = {name: getattr(footage.about, name) for name in About.__slots__}
    row |= {
        "parts": len(footage.parts),
        "units": len({p.unit for p in footage.parts}),
        "lots": len({p.lot for p in footage.parts if p.lot}),
        "unreadable": sum(p.fault is not None for p in footage.parts),
        "good": classes[OK],
        "defective": sum(classes.values()) - classes[OK],
        "classes": {c: n for c, n in sorted(classes.items()) if c != OK},
        "disputed": len(known.disputed),
        "disputes": {key: {it.person: it.truth for it in marks} for key, marks in list(known.disputed.items())[:100]},
        "unmarked": len(footage.parts) - len(known.agreed) - len(known.disputed),
        "split": None,
        "looks": len(looks(footage)),
    }
    if split is not None:
        row["split"] = {
            "seed": split.seed,
            "sealed_share": split.sealed_share,
            "by": split.by,
            "nowhere": len(footage.parts) - len(split.side),
            **{
                side: {
                    "parts": len(parts := split.parts(footage, side)),
                    "units": len({p.unit for p in parts}),
                    "defective_units": len({p.unit for p in parts if known.agreed.get(p.key, OK) != OK}),
                    "sha256": split.hash_of(footage, side),
                }
                for side in (TUNING, SEALED)
            },
        }
    return row
