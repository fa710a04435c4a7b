"""Where did every exported sample come from, and how many are there of what?"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, Any

from station import __version__
from station.export.folder import KIND, MANIFEST, JsonRows, NewFolder
from station.export.forms import SOUND, Crop, ExportFormat
from station.export.split import RULE, Side, Splitter

NOTES = (
    "Confirmed samples only: answers that were taken back are not in here.",
    "box and crop_box are x0, y0, x1, y1 in pixels of the whole part picture; the crop shows crop_box.",
    "p_select is the probability with which the part was put before a person: 1 for a stopped part, the audit "
    "fraction for a passed one (blind audits; reason audit, or second_person after an unsure answer). Weight by "
    "1 / p_select for an estimate over all parts.",
    "located false: a person gave the class alone, and the box is the whole part.",
    "simulated true: a rendered part, no evidence about real ones.",
)


@dataclass(frozen=True, slots=True)
class ExportReport:
    """What an export holds.

    Attributes:
        samples: Confirmed samples written.
        parts: Inspected parts (part ids) they come from.
        simulated: Samples of rendered parts among them.
        classes: Samples by class: the recipe's classes in its order, classes of former recipes, then ``ok``.
        splits: Samples by side.
        part_pictures: Whole part pictures written.
        missing_pictures: Parts whose whole picture is not in the images folder.
        files: Files in the folder, the manifest included.
        manifest: Path of ``manifest.json``.
    """

    samples: int
    parts: int
    simulated: int
    classes: Mapping[str, int]
    splits: Mapping[str, int]
    part_pictures: int
    missing_pictures: int
    files: int
    manifest: Path

    def to_dict(self) -> dict[str, Any]:
        """All of it as JSON can hold it."""
        return {**asdict(self), "manifest": str(self.manifest)}


class Manifest:
    """Gathers one row per sample and the counts.

    Args:
        spool: A temporary text file for the rows, opened for writing and reading.
    """

    def __init__(self, spool: IO[str]) -> None:
        self.parts: set[str] = set()
        self.missing_pictures: list[str] = []
        self.part_pictures = 0
        self._rows = JsonRows(spool)
        self._counts: dict[str, Counter[str]] = {k: Counter() for k in ("label", "split", "reason", "answer")}
        self._sides: dict[str, Counter[str]] = {}
        self._simulated = 0

    @property
    def samples(self) -> int:
        """Samples so far."""
        return self._rows.count

    def add(self, crop: Crop, *, file: str) -> None:
        """Takes one sample that was written to ``file`` (relative to the export)."""
        self._rows.add({"id": crop.facts["id"], "file": file, **crop.facts})
        for name, counter in self._counts.items():
            counter[str(crop.facts[name])] += 1
        self._sides.setdefault(crop.label, Counter())[crop.side] += 1
        self._simulated += bool(crop.facts["simulated"])
        self.parts.add(str(crop.facts["part_id"]))

    def write(
        self,
        folder: NewFolder,
        target: Path,
        *,
        form: ExportFormat,
        database: Path,
        created: datetime,
        splitter: Splitter,
        classes: Sequence[str],
    ) -> ExportReport:
        """Writes ``manifest.json`` as the last file; returns what the export holds once it stands in ``target``.

        Args:
            folder: Where it is written.
            target: Where it will stand.
            form: Format of the export.
            database: The ledger; its name alone is kept.
            created: UTC time of the export.
            splitter: Which dealt out the groups.
            classes: Defect classes in the order of their numbers.
        """
        named = (*classes, SOUND)
        by_class = {c: self._counts["label"][c] for c in named}
        by_split = {str(s): self._counts["split"][s] for s in Side}
        head: dict[str, Any] = {
            "kind": KIND,
            "manifest_version": 1,
            "software": f"inspection-station {__version__}",
            "created": created.isoformat(timespec="seconds"),
            "database": database.name,
            "format": str(form),
            "counts": {
                "samples": self.samples,
                "parts": len(self.parts),
                "simulated": self._simulated,
                "by_class": by_class,
                "by_split": by_split,
                "by_class_and_split": {c: {str(s): self._sides[c][s] for s in Side} for c in named if c in self._sides},
                "by_reason": dict(sorted(self._counts["reason"].items())),
                "by_answer": dict(sorted(self._counts["answer"].items())),
                "part_pictures": self.part_pictures,
                "missing_part_pictures": self.missing_pictures,
            },
            "classes": list(classes),
            "split": {
                "seed": splitter.seed,
                "shares": dict(zip(map(str, Side), splitter.shares, strict=True)),
                "rule": RULE,
            },
            "notes": [*NOTES, form.note],
            "entries": sorted({*folder.entries, MANIFEST}),
        }
        with folder.open_text(MANIFEST) as file:
            file.write(json.dumps(head, ensure_ascii=False, indent=1).removesuffix("\n}") + ',\n "samples": [')
            self._rows.pour(file)
            file.write("\n]}\n")
        return ExportReport(
            samples=self.samples,
            parts=len(self.parts),
            simulated=self._simulated,
            classes=by_class,
            splits=by_split,
            part_pictures=self.part_pictures,
            missing_pictures=len(self.missing_pictures),
            files=folder.files,
            manifest=target / MANIFEST,
        )
