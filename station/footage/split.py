"""Which parts are limits chosen on, which are kept sealed to certify them, and how often were those looked at?

Groups are dealt, never pictures: all pictures of a physical part, or of a lot, stand on one side. Defective and good
groups are dealt apart, each class in the order of ``sha256(seed, group)``, so that both sides get their share of rare
defects. A dealt group stays where it is for ever: new parts are dealt by another ``split`` and move nobody, and a
split is not drawn again once the sealed side was looked at, because trying seeds is looking.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from station.core.errors import DataRefused
from station.footage import lines
from station.footage.book import LOOKS, SPLIT, Footage, FootagePart, membership_hash, stamped, with_parts
from station.footage.truth import OK, truths

log = logging.getLogger(__name__)

TUNING, SEALED = "tuning", "sealed"
By = Literal["part", "lot"]


@dataclass(frozen=True, slots=True)
class Split:
    """Who stands where.

    Attributes:
        seed: What it was drawn with.
        sealed_share: Share of groups asked for on the sealed side.
        by: What is dealt as one.
        side: ``tuning`` or ``sealed`` by part key.
    """

    seed: int
    sealed_share: float
    by: By
    side: Mapping[str, str]

    def parts(self, footage: Footage, side: str) -> list[FootagePart]:
        """The parts of one side, in the footage's order."""
        return with_parts(footage, (key for key, where in self.side.items() if where == side))

    def hash_of(self, footage: Footage, side: str) -> str:
        """Hash of one side with what is true of its parts now."""
        return membership_hash(self.parts(footage, side), truths(footage).agreed)


def group_of(part: FootagePart, by: By) -> str:
    """What is dealt together with this part."""
    return f"lot:{part.lot}" if by == "lot" and part.lot else part.unit


def deal(footage: Footage, *, seed: int = 0, sealed_share: float = 0.5, by: By = "part") -> Split:
    """Deals the parts that stand nowhere yet, and writes ``split.json``; durable when it returns.

    Raises:
        DataRefused: The share is none, no lot is known, a former split was drawn otherwise and its sealed side was
            looked at, or the disk refuses.
    """
    if not 0.0 < sealed_share < 1.0:
        raise DataRefused(f"sealed share {sealed_share} is not between 0 and 1: write 0.5 for half")
    if by == "lot" and not any(p.lot for p in footage.parts):
        raise DataRefused(f"no part of {footage.about.name} has a lot: split by part")
    former = read_split(footage)
    if former is not None and (former.seed, former.sealed_share, former.by) != (seed, sealed_share, by):
        looked = len(looks(footage))
        if looked:
            raise DataRefused(
                f"the split of {footage.about.name} was drawn by {former.by} with seed {former.seed} and share "
                f"{former.sealed_share}, and its sealed side was looked at {looked} times: it stays. Record new "
                "footage, or add parts and split with the same seed and share"
            )
        former = None
    known = truths(footage).agreed
    side_of_group: dict[str, str] = {}
    bridged: set[str] = set()
    groups: dict[str, list[FootagePart]] = {}
    merged = _joined(footage, by)
    for part in footage.parts:
        group = merged[part.key]
        groups.setdefault(group, []).append(part)
        stands = former.side.get(part.key) if former is not None else None
        if stands is not None and side_of_group.setdefault(group, stands) != stands:
            bridged.add(group)
    strata: dict[str, list[str]] = {}
    for group, members in groups.items():
        if group not in side_of_group:
            said = sorted({known.get(p.key, "") for p in members} - {OK})
            strata.setdefault(said[-1] if said else OK, []).append(group)
    for number, stratum in enumerate(sorted(strata)):
        waiting = sorted(strata[stratum], key=lambda g: hashlib.sha256(f"{seed}\0{g}".encode()).digest())
        # Rounded up and down in turn, so that rare classes do not all fall to one side.
        share = sealed_share * len(waiting)
        count = math.ceil(share) if number % 2 else math.floor(share)
        for place, group in enumerate(waiting):
            side_of_group[group] = SEALED if place < count else TUNING
    side: dict[str, str] = {}
    for group, members in groups.items():
        for part in members:
            if former is not None and part.key in former.side:
                side[part.key] = former.side[part.key]
            elif group not in bridged:
                side[part.key] = side_of_group[group]
            else:
                log.warning("part %s belongs to parts of both sides and stands on neither", part.key)
    split = Split(seed, sealed_share, by, side)
    _write(footage, split)
    return split


def read_split(footage: Footage) -> Split | None:
    """The split as written; ``None`` where there is none.

    Raises:
        DataRefused: The file is damaged, or was changed after it was written.
    """
    path = footage.folder / SPLIT
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        side = {key: where for where in (TUNING, SEALED) for key in data[where]}
        split = Split(int(data["seed"]), float(data["sealed_share"]), data["by"], side)
        kept = data["sha256"]
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataRefused(f"{path} cannot be read ({error}): restore it from a backup") from error
    if kept != _sha256(split):
        raise DataRefused(f"{path} was changed by hand: restore it from a backup, a split is evidence")
    unknown = [key for key in side if key not in footage]
    if unknown:
        raise DataRefused(f"{path} names {unknown[0]!r}, which is no part here: restore the footage from a backup")
    return split


def look(
    footage: Footage, split: Split, *, person: str, why: str, at: datetime, limits: Mapping[str, Any], **facts: Any
) -> int:
    """Writes down that the sealed side is looked at, *before* anyone sees a figure; returns how often it was by now.

    Raises:
        DataRefused: The disk refuses; then nobody may look.
    """
    row = {"at": stamped(at), "person": person, "why": why, "set": split.hash_of(footage, SEALED), "limits": limits}
    lines.append(footage.folder / LOOKS, [row | facts])
    return len(looks(footage))


def looks(footage: Footage) -> list[dict[str, Any]]:
    """Every look at the sealed side, the oldest first."""
    return lines.read(footage.folder / LOOKS)


def _joined(footage: Footage, by: By) -> dict[str, str]:
    """The group of every part, where groups that share a physical part or a picture are one."""
    root: dict[str, str] = {}

    def find(name: str) -> str:
        while root.setdefault(name, name) != name:
            root[name] = root[root[name]]
            name = root[name]
        return name

    for part in footage.parts:
        own = find(f"key:{part.key}")
        for other in (group_of(part, by), part.unit, f"pixels:{part.sha256}" if part.sha256 else None):
            if other is not None:
                root[find(other)] = own
    names: dict[str, str] = {}
    for part in footage.parts:  # named after its least member, so that the name does not hang on the order
        top = find(f"key:{part.key}")
        names[top] = min(names.get(top, part.unit), part.unit)
    return {part.key: names[find(f"key:{part.key}")] for part in footage.parts}


def _write(footage: Footage, split: Split) -> None:
    data = {
        "seed": split.seed,
        "sealed_share": split.sealed_share,
        "by": split.by,
        "sha256": _sha256(split),
        TUNING: [k for k, where in split.side.items() if where == TUNING],
        SEALED: [k for k, where in split.side.items() if where == SEALED],
    }
    try:
        lines.write_whole(footage.folder / SPLIT, (json.dumps(data, indent=1) + "\n").encode())
    except OSError as error:
        raise DataRefused(f"{footage.folder / SPLIT} cannot be written ({error}): check the disk") from error


def _sha256(split: Split) -> str:
    words = [f"{split.seed} {split.sealed_share} {split.by}", *sorted(f"{k}\0{w}" for k, w in split.side.items())]
    return hashlib.sha256("\n".join(words).encode()).hexdigest()
