"""How does a confirmed crop look in each format?

======  =======================================================================================================
coco    ``images/*`` and ``annotations/{train,val,test}.json``
yolo    ``images/{train,val,test}/*``, ``labels/{train,val,test}/*.txt`` and ``data.yaml``
folder  ``{train,val,test}/<class>/*``; every class has its folder on every side, empty where it has no sample,
        so that a class has the same number on all sides (torchvision: ``ImageFolder(…, allow_empty=True)``)
csv     ``crops/*`` and ``samples.csv``; ``index.csv`` and ``masks/*`` for ``station train --data``
======  =======================================================================================================

Sound crops are hard negatives: pictures without annotation, and a class ``ok`` in the folder form. The
masks are filled **boxes**, no outlines: what a person confirmed is a box.
"""

from __future__ import annotations

import csv
import json
import math
import tempfile
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

import cv2
import numpy as np

from station.core.part import Box
from station.export.folder import JsonRows, NewFolder, safe_name
from station.export.split import Side

SOUND = "ok"


class ExportFormat(StrEnum):
    """Formats a data set can be written in."""

    COCO = "coco"
    YOLO = "yolo"
    FOLDER = "folder"
    CSV = "csv"

    @property
    def note(self) -> str:
        """What a user of this format must know."""
        return {
            ExportFormat.COCO: "Boxes are in crop pixels; a picture without annotations is a confirmed sound crop.",
            ExportFormat.YOLO: "Labels are relative to the crop; an empty label file is a confirmed sound crop.",
            ExportFormat.FOLDER: "One folder per class; boxes stand in this manifest only.",
            ExportFormat.CSV: "Masks are filled boxes of the crop's own class; no mask: the defect is not located.",
        }[self]


@dataclass(frozen=True, slots=True)
class Mark:
    """A confirmed defect in a crop; box in crop pixels."""

    label: str
    box: Box


@dataclass(frozen=True, slots=True)
class Crop:
    """A confirmed crop on its way out.

    Attributes:
        name: File name, unique in the export, with its ending.
        label: Class that the person gave.
        side: Side of the split.
        group: What was split as one.
        width: Pixels.
        height: Pixels.
        marks: Confirmed defects in it, its own first; none in a sound crop.
        located: False where the class was given for the whole part.
        facts: Where it came from, as it stands in the manifest.
    """

    name: str
    label: str
    side: Side
    group: str
    width: int
    height: int
    marks: tuple[Mark, ...]
    located: bool
    facts: Mapping[str, Any]

    @property
    def stem(self) -> str:
        """The name without its ending."""
        return self.name.rpartition(".")[0]


class Categories:
    """Numbers the defect classes from 0: the recipe's in its order, others as they are met."""

    def __init__(self, names: Iterable[str]) -> None:
        self._number: dict[str, int] = {}
        for name in names:
            self.number(name)

    @property
    def names(self) -> tuple[str, ...]:
        """All names in the order of their numbers."""
        return tuple(self._number)

    def number(self, name: str) -> int:
        """The number of a class."""
        return self._number.setdefault(name, len(self._number))


class Form(Protocol):
    """Writes what a format wants beside the pictures."""

    def place(self, crop: Crop) -> str:
        """Where the picture lies, relative to the export."""
        ...

    def add(self, crop: Crop) -> None:
        """Notes one crop."""
        ...

    def finish(self) -> None:
        """Writes what can be known at the end only."""
        ...


def form_of(form: ExportFormat, folder: NewFolder, *, categories: Categories, stack: ExitStack) -> Form:
    """Begins a data set in ``folder``; files that stay open are closed by ``stack``."""
    match form:
        case ExportFormat.COCO:
            return _Coco(folder, categories, stack)
        case ExportFormat.YOLO:
            return _Yolo(folder, categories)
        case ExportFormat.FOLDER:
            return _Folder(folder)
        case ExportFormat.CSV:
            return _Csv(folder, stack)


class _Coco:
    def __init__(self, folder: NewFolder, categories: Categories, stack: ExitStack) -> None:
        self._categories = categories
        self._files = {s: stack.enter_context(folder.open_text(f"annotations/{s}.json")) for s in Side}
        self._images = {s: JsonRows(file) for s, file in self._files.items()}
        self._annotations = {s: JsonRows(stack.enter_context(_spool())) for s in Side}
        self._last_id = 0
        for file in self._files.values():
            file.write('{"info": {"description": "confirmed samples; see manifest.json"}, "licenses": [], "images": [')

    def place(self, crop: Crop) -> str:
        return f"images/{crop.name}"

    def add(self, crop: Crop) -> None:
        image_id = crop.facts["id"]
        size = {"file_name": crop.name, "width": crop.width, "height": crop.height}
        self._images[crop.side].add({"id": image_id, **size, "provenance": crop.facts})
        for k, mark in enumerate(crop.marks):
            self._last_id += 1
            box = [round(v, 3) for v in (mark.box.x0, mark.box.y0, mark.box.width, mark.box.height)]
            self._annotations[crop.side].add(
                {
                    "id": self._last_id,
                    "image_id": image_id,
                    "category_id": self._categories.number(mark.label) + 1,
                    "bbox": box,
                    "area": round(mark.box.area, 3),
                    "segmentation": [],
                    "iscrowd": 0,
                    "confirmed_for_this_crop": k == 0,
                    "located": crop.located or k > 0,
                    "confirmed_by": crop.facts["person"],
                    "confirmed_at": crop.facts["confirmed_at"],
                }
            )

    def finish(self) -> None:
        known = [{"id": k + 1, "name": n, "supercategory": "defect"} for k, n in enumerate(self._categories.names)]
        for side, file in self._files.items():
            file.write('\n], "annotations": [')
            self._annotations[side].pour(file)
            file.write(f'\n], "categories": {json.dumps(known)}}}\n')


class _Yolo:
    def __init__(self, folder: NewFolder, categories: Categories) -> None:
        self._folder, self._categories = folder, categories
        for side in Side:
            folder.make(f"images/{side}")
            folder.make(f"labels/{side}")

    def place(self, crop: Crop) -> str:
        return f"images/{crop.side}/{crop.name}"

    def add(self, crop: Crop) -> None:
        w, h = crop.width, crop.height
        lines = []
        for mark in crop.marks:
            (x, y), box = mark.box.centre, mark.box
            number = self._categories.number(mark.label)
            lines.append(f"{number} {x / w:.6f} {y / h:.6f} {box.width / w:.6f} {box.height / h:.6f}\n")
        self._folder.write(f"labels/{crop.side}/{crop.stem}.txt", "".join(lines).encode())

    def finish(self) -> None:
        # No `path`: readers then take the folder of this file, wherever it is moved to.
        lines = [f"{side}: images/{side}\n" for side in Side]
        names = self._categories.names
        lines.append(f"nc: {len(names)}\nnames:\n")
        lines.extend(f"  {k}: {json.dumps(name)}\n" for k, name in enumerate(names))
        self._folder.write("data.yaml", "".join(lines).encode())


class _Folder:
    def __init__(self, folder: NewFolder) -> None:
        self._folder = folder
        self._labels: set[str] = set()

    def place(self, crop: Crop) -> str:
        return f"{crop.side}/{safe_name(crop.label)}/{crop.name}"

    def add(self, crop: Crop) -> None:
        self._labels.add(safe_name(crop.label))

    def finish(self) -> None:
        for side in Side:
            for label in self._labels:
                self._folder.make(f"{side}/{label}")


class _Csv:
    def __init__(self, folder: NewFolder, stack: ExitStack) -> None:
        self._folder = folder
        self._samples = stack.enter_context(folder.open_text("samples.csv"))
        self._table: csv.DictWriter[str] | None = None
        self._index = csv.writer(stack.enter_context(folder.open_text("index.csv")))
        self._index.writerow(["image", "mask", "part", "label"])

    def place(self, crop: Crop) -> str:
        return f"crops/{crop.name}"

    def add(self, crop: Crop) -> None:
        row: dict[str, Any] = {"file": self.place(crop)}
        for name, value in crop.facts.items():
            if name in ("box", "crop_box"):
                row.update(zip((f"{name}_{edge}" for edge in ("x0", "y0", "x1", "y1")), value, strict=True))
            else:
                row[name] = int(value) if isinstance(value, bool) else value
        if self._table is None:
            self._table = csv.DictWriter(self._samples, list(row))
            self._table.writeheader()
        self._table.writerow(row)
        mask = ""
        if crop.label != SOUND and crop.located:
            mask = f"masks/{crop.stem}.png"
            self._folder.write(mask, _mask(crop))
        self._index.writerow([self.place(crop), mask, crop.group, crop.label])

    def finish(self) -> None:
        return


def _mask(crop: Crop) -> bytes:
    """PNG of the crop's size: 255 in the boxes of the crop's own class, else 0."""
    mask = np.zeros((crop.height, crop.width), np.uint8)
    for mark in crop.marks:
        if mark.label == crop.label:
            x0, y0, x1, y1 = mark.box.xyxy
            mask[math.floor(y0) : math.ceil(y1), math.floor(x0) : math.ceil(x1)] = 255
    _, data = cv2.imencode(".png", mask, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    return data.tobytes()


def _spool() -> Any:
    return tempfile.TemporaryFile("w+", encoding="utf-8", newline="")
