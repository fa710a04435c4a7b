"""How does one confirmed sample after the other go from the ledger into the export?

One pass over the ledger's consistent view of this moment, part by part: the crops of one part are held at a
time, so memory does not grow with their number; the loop goes on meanwhile.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from itertools import groupby
from pathlib import Path
from typing import Any

from station.core.errors import DataRefused
from station.core.part import Box
from station.core.timing import Clock, SystemClock
from station.export.folder import NewFolder, safe_name, whole_folder
from station.export.forms import SOUND, Categories, Crop, ExportFormat, Mark, form_of
from station.export.manifest import ExportReport, Manifest
from station.export.split import Splitter
from station.store import queries
from station.store.database import open_reader
from station.store.queries import RunInfo
from station.store.samples import StoredSample, stored_samples

MIN_VISIBLE = 0.25
"""Share of another confirmed box of the part that a crop must show for the box to be marked in it too."""


def export_samples(
    database: Path,
    target: Path,
    *,
    form: ExportFormat,
    images: Path | None,
    progress: Callable[[int], None],
    seed: int = 0,
    shares: tuple[float, float, float] = (0.7, 0.15, 0.15),
    clock: Clock | None = None,
    names: bool = False,
) -> ExportReport:
    """Writes all confirmed samples whose answer stands as a data set with its manifest.

    Args:
        database: The ledger; it is read only, and may be in use.
        target: Folder to write: a new or an empty one, or a former export, which is replaced whole.
        form: Format of the data set.
        images: The store's folder of part pictures: each part's whole picture then goes to ``parts/``. A picture
            that is not there is counted and named in the manifest.
        progress: Called with the number of samples written so far.
        seed: Of the split.
        shares: Expected shares of groups of parts in train, val and test.
        clock: Dates the manifest (default: the machine's).
        names: People by their names; else as ``inspector-1``, ``inspector-2`` … in the order of their first sample.

    Raises:
        ConfigError: The shares are no split.
        DataRefused: There is nothing to export, the target is in use, or a crop or picture is not what was
            confirmed. The target is then as it was.
        LedgerFault: There is no ledger at ``database``.
    """
    created = (clock or SystemClock()).now()
    splitter = Splitter(shares, seed=seed)
    engine = open_reader(database)
    keep_out = [database] if images is None else [database, images]
    with ExitStack() as stack:
        stack.callback(engine.dispose)
        categories = Categories(_recipe_classes(queries.newest_run(engine)))
        folder = stack.enter_context(whole_folder(target, keep_out=keep_out))
        manifest = Manifest(stack.enter_context(tempfile.TemporaryFile("w+", encoding="utf-8", newline="")))
        files = stack.enter_context(ExitStack())
        writer = form_of(form, folder, categories=categories, stack=files)
        people = _People(names=names)
        samples = map(_checked, files.enter_context(closing(stored_samples(engine))))
        for part_id, of_part in groupby(samples, key=lambda s: s.part_id):
            part = list(of_part)
            picture = _write_picture(part[0], images, folder, manifest)
            group = splitter.group(part_id, serial=part[0].serial, lot=part[0].lot)
            for sample in part:
                person = people.id(sample.person)
                crop = _crop(sample, part, splitter=splitter, group=group, person=person, picture=picture)
                if crop.label != SOUND:
                    categories.number(crop.label)
                file = writer.place(crop)
                folder.write(file, sample.crop)
                writer.add(crop)
                manifest.add(crop, file=file)
                progress(manifest.samples)
        if not manifest.samples:
            raise DataRefused(
                f"{database.name} holds no confirmed sample: answer some reviews in the panel first, then export"
            )
        writer.finish()
        files.close()
        return manifest.write(
            folder,
            target,
            form=form,
            database=database,
            created=created,
            splitter=splitter,
            classes=categories.names,
        )


class _People:
    """Names people, or hides their names behind running numbers."""

    def __init__(self, *, names: bool) -> None:
        self._names = names
        self._known: dict[str, str] = {}

    def id(self, person: str) -> str:
        return person if self._names else self._known.setdefault(person, f"inspector-{len(self._known) + 1}")


def _recipe_classes(run: RunInfo | None) -> Sequence[str]:
    """Defect classes of the newest run's recipe, in its order; none where the recipe does not tell."""
    try:
        return [str(c["name"]) for c in json.loads(run.recipe_json)["classes"]] if run else []
    except (ValueError, KeyError, TypeError):
        return []


def _checked(s: StoredSample) -> StoredSample:
    if hashlib.sha256(s.crop).hexdigest() != s.crop_sha256:
        raise DataRefused(
            f"part {s.part_id}: the crop of sample {s.id} does not match its hash, so it is not what was confirmed: "
            "restore the ledger from a backup"
        )
    return s


def _crop(
    sample: StoredSample,
    part: Sequence[StoredSample],
    *,
    splitter: Splitter,
    group: str,
    person: str,
    picture: str | None,
) -> Crop:
    side = splitter.side(group)
    return Crop(
        name=f"{safe_name(sample.part_id)}_{sample.id}.{sample.crop_format}",
        label=sample.label,
        side=side,
        group=group,
        width=round(sample.crop_box.width),
        height=round(sample.crop_box.height),
        marks=tuple(_marks(sample, part)),
        located=_located(sample),
        facts=_facts(sample, split=str(side), group=group, person=person, picture=picture),
    )


def _marks(sample: StoredSample, part: Sequence[StoredSample]) -> Iterator[Mark]:
    """The sample's own defect, then others of the part that its crop shows: unmarked they would teach "sound"."""
    if sample.label == SOUND:
        return
    ordered = [sample, *(s for s in part if s is not sample and s.label != SOUND and _located(s))]
    for s in ordered:
        shown = _inside(s.box, sample.crop_box)
        if shown is not None and (s is sample or shown.area >= MIN_VISIBLE * s.box.area):
            yield Mark(s.label, shown)


def _inside(box: Box, crop: Box) -> Box | None:
    """The part of ``box`` that ``crop`` shows, in crop pixels; ``None`` where it shows nothing of it."""
    x0, y0 = max(box.x0, crop.x0) - crop.x0, max(box.y0, crop.y0) - crop.y0
    x1, y1 = min(box.x1, crop.x1) - crop.x0, min(box.y1, crop.y1) - crop.y0
    return Box(x0, y0, x1, y1) if x0 < x1 and y0 < y1 else None


def _located(sample: StoredSample) -> bool:
    return sample.box.xyxy != (0, 0, sample.width, sample.height)


def _facts(s: StoredSample, *, split: str, group: str, person: str, picture: str | None) -> dict[str, Any]:
    return {
        "id": s.id,
        "sha256": s.crop_sha256,
        "split": split,
        "group": group,
        "part_id": s.part_id,
        "serial": s.serial,
        "lot": s.lot,
        "label": s.label,
        "box": list(s.box.xyxy),
        "crop_box": list(s.crop_box.xyxy),
        "located": _located(s),
        "answer": s.answer,
        "person": person,
        "confirmed_at": s.confirmed_at,
        "seconds": s.seconds,
        "model_sha256": s.model_sha256,
        "proposed": s.proposed,
        "score": s.score,
        "reason": s.reason,
        "p_select": s.p_select,
        "simulated": s.simulated,
        "part_sha256": s.image_sha256,
        "part_file": picture,
    }


def _write_picture(s: StoredSample, images: Path | None, folder: NewFolder, manifest: Manifest) -> str | None:
    """Copies the part's whole picture; returns its file, ``None`` where there is none to be had."""
    if images is None or s.image_sha256 is None:
        return None
    file = f"parts/{safe_name(s.part_id)}.jpg"
    if s.part_id in manifest.parts:
        return None if s.part_id in manifest.missing_pictures else file
    try:
        # Not through ImageStore: opening one tidies the folder, which is the writing process's right alone.
        data = (images / s.image_sha256[:2] / f"{s.image_sha256}.jpg").read_bytes()
    except FileNotFoundError:
        manifest.missing_pictures.append(s.part_id)
        return None
    if hashlib.sha256(data).hexdigest() != s.image_sha256:
        raise DataRefused(
            f"part {s.part_id}: its picture was changed on disk and is not what was inspected: restore the images "
            "folder from a backup"
        )
    folder.write(file, data)
    manifest.part_pictures += 1
    return file
