"""Which pictures does a data set hold, and what does it say of each?

=========  ====================================================================================================
folder     every picture below it; no truth
index.csv  columns ``image`` and where known ``part``, ``lot``, ``label``, ``mask`` (boxes: connected areas above 0)
COCO       one or several JSON files with ``images``, ``annotations``, ``categories``; no annotation means ``ok``
YOLO       ``data.yaml`` with ``names``, ``images/`` and ``labels/``; an *empty* label file means ``ok``, a missing
           one that nobody looked
=========  ====================================================================================================

The truth of a picture with several boxes is the class of the largest one; all boxes are kept.
"""

from __future__ import annotations

import csv
import json
import logging
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import cv2
import numpy as np

from station.core.errors import DataRefused, DetectorFault, ImageFault, SourceEnded
from station.core.part import Box
from station.core.timing import Clock
from station.footage.truth import OK
from station.sources.folder import INDEX, ImageFolder
from station.sources.headers import read_header

log = logging.getLogger(__name__)

Boxes = tuple[tuple[str, Box], ...]
_PICTURES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})


@dataclass(frozen=True, slots=True)
class Labelled:
    """One picture of a data set.

    Attributes:
        name: Its path in the set, unique there.
        path: The file; may be missing, which is then the part's fault.
        serial: Identity of the physical part.
        lot: Production lot.
        truth: ``ok``, a defect class, or ``None`` where the set does not say.
        boxes: Defects in picture pixels.
    """

    name: str
    path: Path
    serial: str | None = None
    lot: str | None = None
    truth: str | None = None
    boxes: Boxes = ()


def pictures_of(path: Path, *, clock: Clock) -> tuple[str, Iterator[Labelled]]:
    """The pictures of a data set in their order, and what kind of set it is.

    Args:
        path: Folder, COCO file, or folder with ``data.yaml`` or ``annotations/*.json``.
        clock: For the folder's reader.

    Raises:
        DataRefused: It is none of these, or its index cannot be used.
    """
    if path.is_file():
        if path.suffix.lower() != ".json":
            raise DataRefused(f"{path} is no folder and no COCO file (.json): name the folder that the pictures lie in")
        return "COCO", _coco([path], path.parent)
    if not path.is_dir():
        raise DataRefused(f"there is no {path}; name a folder of pictures, a COCO file or a video")
    if (path / INDEX).is_file():
        return INDEX, _indexed(path, clock)
    if (path / "data.yaml").is_file():
        return "YOLO", _yolo(path)
    annotations = sorted(path.glob("annotations/*.json")) or sorted(path.glob("*.json"))
    annotations = [file for file in annotations if file.name != "manifest.json"]
    if annotations:
        return "COCO", _coco(annotations, path)
    return "folder", _plain(path, clock)


def _plain(root: Path, clock: Clock) -> Iterator[Labelled]:
    for name, serial, truth in _listed(root, clock):
        yield Labelled(name, root / name, serial, None, truth)


def _indexed(root: Path, clock: Clock) -> Iterator[Labelled]:
    listed = list(_listed(root, clock))  # first, so that a broken index is refused in its reader's words
    with (root / INDEX).open(encoding="utf-8-sig", newline="") as file:
        rows = {str(PurePosixPath(row["image"] or "")): row for row in csv.DictReader(file)}
    for name, serial, truth in listed:
        row = rows.get(str(PurePosixPath(name)), {})
        mask = row.get("mask") or ""
        boxes = _mask_boxes(root / mask, truth) if mask and truth not in (None, OK) else ()
        yield Labelled(name, root / name, serial, row.get("lot") or None, truth, boxes)


def _listed(root: Path, clock: Clock) -> Iterator[tuple[str, str | None, str | None]]:
    """Names in the order of the one reader of folders; it also says which file of an index is not to be opened."""
    folder = ImageFolder(root, clock=clock, max_pixels=1)  # 1: names are wanted, nothing shall be decoded
    while True:
        try:
            frame = folder.read(0.0)
        except SourceEnded:
            return
        assert frame is not None
        if "outside the folder" in (frame.fault or ""):
            log.warning("%s: %s; it is left out", root, frame.fault)
            continue
        yield frame.source, frame.serial, frame.truth


def _mask_boxes(path: Path, label: str | None) -> Boxes:
    mask = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) if path.is_file() else None
    if mask is None:
        log.warning("mask %s cannot be read: the class stays, its place is not known", path)
        return ()
    count, _, stats, _ = cv2.connectedComponentsWithStats((mask > 0).astype(np.uint8), connectivity=8)
    found = []
    for x, y, width, height, _area in stats[1:count]:
        found.append((str(label), Box(float(x), float(y), float(x + width), float(y + height))))
    return tuple(found)


def _coco(files: list[Path], root: Path) -> Iterator[Labelled]:
    for file in files:
        try:
            data = json.loads(file.read_text(encoding="utf-8"))
            names = {c["id"]: str(c["name"]) for c in data["categories"]}
            boxes: dict[Any, list[tuple[str, Box]]] = {}
            for it in data["annotations"]:
                x, y, width, height = map(float, it["bbox"])
                boxes.setdefault(it["image_id"], []).append(
                    (names[it["category_id"]], Box(x, y, x + width, y + height))
                )
            images = [(it["id"], str(it["file_name"]), it.get("provenance") or {}) for it in data["images"]]
        except (OSError, ValueError, KeyError, TypeError, DetectorFault) as error:
            raise DataRefused(
                f"{file} is no COCO file: {type(error).__name__} {error}; it needs images, annotations with bbox, "
                "and categories"
            ) from error
        for image_id, name, more in images:
            if ".." in PurePosixPath(name).parts or PurePosixPath(name).is_absolute() or "\0" in name:
                log.warning("%s: picture %s lies outside the set; it is left out", file, name)
                continue
            found = tuple(boxes.get(image_id, ()))
            yield Labelled(
                name=name,
                path=_first_there(name, (root, root / "images", file.parent, file.parent.parent / "images")),
                serial=_text(more, "serial"),
                lot=_text(more, "lot"),
                truth=_largest(found),
                boxes=found,
            )


def _yolo(root: Path) -> Iterator[Labelled]:
    names = _yolo_names(root / "data.yaml")
    images = sorted(p for p in (root / "images").rglob("*") if p.suffix.lower() in _PICTURES)
    if not images:
        raise DataRefused(f"no picture below {root / 'images'}: a YOLO set has images/ beside data.yaml")
    for image in images:
        name = image.relative_to(root).as_posix()
        labels = (root / "labels" / image.relative_to(root / "images")).with_suffix(".txt")
        if not labels.is_file():
            yield Labelled(name, image)
            continue
        boxes = _yolo_boxes(labels, image, names)
        yield Labelled(name, image, truth=_largest(boxes), boxes=boxes)


def _yolo_boxes(labels: Path, image: Path, names: Mapping[int, str]) -> Boxes:
    rows = [line.split() for line in labels.read_text(encoding="utf-8").splitlines() if line.strip()]
    if not rows:
        return ()
    try:
        header = read_header(image.read_bytes())
    except (OSError, ImageFault) as error:
        log.warning("%s: %s; its boxes cannot be placed", image, error)
        header = None
    found = []
    for number, row in enumerate(rows, start=1):
        try:
            label = names[int(row[0])]
            x, y, width, height = map(float, row[1:5])
            w, h = (header.width, header.height) if header else (1, 1)
            found.append(
                (label, Box((x - width / 2) * w, (y - height / 2) * h, (x + width / 2) * w, (y + height / 2) * h))
            )
        except (KeyError, ValueError, IndexError, DetectorFault) as error:
            raise DataRefused(
                f"line {number} of {labels} is no 'class x y width height' of a class in data.yaml ({error})"
            ) from error
    return tuple(found)


def _yolo_names(file: Path) -> dict[int, str]:
    """The ``names`` of a ``data.yaml``: a list in one line, a list of lines, or lines ``number: name``."""
    text = file.read_text(encoding="utf-8", errors="replace")
    found = re.search(r"^names:[ \t]*(.*)((?:\n[ \t-]+.*)*)", text, re.MULTILINE)
    if found is None:
        raise DataRefused(f"{file} has no 'names': write the classes in the order of their numbers")
    first, rest = found.group(1).split("#")[0].strip(), found.group(2)
    if first.startswith("["):
        listed = [_bare(name) for name in first.strip("[]").split(",") if name.strip()]
        return dict(enumerate(listed))
    names: dict[int, str] = {}
    for line in rest.splitlines():
        words = line.split("#")[0].strip()
        if not words:
            continue
        number, colon, name = words.partition(":")
        if words.startswith("-"):
            names[len(names)] = _bare(words[1:])
        elif colon and number.strip().isdigit():
            names[int(number)] = _bare(name)
        else:
            raise DataRefused(f"{file}: {words!r} under 'names' is no class; write '  0: name'")
    return names


def _bare(name: str) -> str:
    return name.strip().strip("\"'")


def _largest(boxes: Boxes) -> str:
    return max(boxes, key=lambda it: it[1].area)[0] if boxes else OK


def _first_there(name: str, folders: tuple[Path, ...]) -> Path:
    for folder in folders:
        if (folder / name).is_file():
            return folder / name
    return folders[0] / name


def _text(more: Mapping[str, Any], name: str) -> str | None:
    value = more.get(name)
    return str(value) if value else None
