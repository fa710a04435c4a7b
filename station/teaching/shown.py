"""Which parts were shown for teaching, and what do their pictures have in common?

A folder of pictures (with or without ``index.csv``), a footage of this station, or a video whose parts the station's
own eyes cut out. What is known to be defective, and what cannot be read, is left out and counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from station.core.errors import DataRefused, ImageFault, SourceEnded
from station.core.timing import Clock
from station.footage.book import Footage, is_footage
from station.footage.bring_in import parts_in
from station.footage.truth import OK, truths
from station.recipe import Recipe
from station.sources.folder import ImageFolder
from station.sources.footage import open_footage
from station.sources.headers import read_header
from station.trigger import make_trigger

LEAST_PARTS = 12
"""Fewer parts do not show what is usual."""
MOST_PICTURES = 600
"""More cost memory and teach little more in minutes; they are taken evenly from all."""
ALIKE = 1.25
"""Sides whose longest is at most so many times the shortest count as one size: cuts of a trigger differ by pixels."""


@dataclass(frozen=True, slots=True)
class Shown:
    """Pictures of parts taken as good.

    Attributes:
        pictures: Files.
        parts: Physical part of each.
        sizes: Width and height of each.
        left_out: Why pictures were left out, and how many for each reason.
        called: Where they come from, in words.
        cut_by: Recipe whose trigger had cut them out of frames; ``None`` where every picture is a part.
        whole_frames: They are frames as a camera gives them, not parts cut out of frames.
    """

    pictures: tuple[Path, ...]
    parts: tuple[str, ...]
    sizes: tuple[tuple[int, int], ...]
    left_out: tuple[tuple[str, int], ...]
    called: str
    cut_by: str | None = None
    whole_frames: bool = True

    @property
    def one_size(self) -> tuple[int, int] | None:
        """Width and height where all are the same to the pixel."""
        return self.sizes[0] if len(set(self.sizes)) == 1 else None

    @property
    def alike(self) -> bool:
        """Whether they are about of one size."""
        return all(max(side) <= ALIKE * min(side) for side in zip(*self.sizes, strict=True))

    @property
    def part_px(self) -> float:
        """Median longer side in pixels."""
        return float(np.median([max(size) for size in self.sizes]))


def is_video(source: Path) -> bool:
    """Whether it is a file, which can only be a video.

    Raises:
        DataRefused: Nothing is there.
    """
    if not source.exists():
        raise DataRefused(f"there is no {source}; name a folder of pictures, a video or a footage")
    return source.is_file()


def pictures_shown(source: Path, *, clock: Clock, any_size: bool = False, least: int = LEAST_PARTS) -> Shown:
    """The pictures of a folder or a footage.

    Args:
        source: The folder; it is only read.
        clock: For the folder's reader.
        any_size: Take pictures of different sizes too.
        least: Parts that are needed: 1 where nothing is to be taught.

    Raises:
        DataRefused: Too few, of different sizes, or not to be read; the message names the remedy.
    """
    shown = _of_footage(source) if is_footage(source) else _of_folder(source, clock)
    return _checked(shown, source, any_size=any_size, least=least)


def video_shown(
    source: Path,
    recipe: Recipe,
    *,
    into: Path,
    station: str,
    clock: Clock,
    progress: Callable[[int], None] = lambda n: None,
) -> Shown:
    """Cuts the parts out of a video as the loop would with this recipe, and keeps them in ``into``.

    Raises:
        DataRefused: Too few parts, or the video cannot be read.
    """
    left: Counter[str] = Counter()
    pictures: list[Path] = []
    parts: list[str] = []
    sizes: list[tuple[int, int]] = []
    with closing(open_footage(source, clock=clock, max_pixels=recipe.health.max_pixels)) as video:
        for part in parts_in(video, make_trigger(recipe.trigger), recipe, station=station, clock=clock):
            if part.image is None or part.fault is not None:
                left["not to be trusted as pictures"] += 1
                continue
            path = into / f"{part.number:06d}.png"
            if not cv2.imwrite(str(path), part.image):
                raise DataRefused(f"{path} cannot be written: make room on the disk for temporary files")
            pictures.append(path)
            parts.append(str(part.part_id))
            sizes.append((part.image.shape[1], part.image.shape[0]))
            progress(len(pictures))
    shown = Shown(
        tuple(pictures), tuple(parts), tuple(sizes), tuple(left.items()), f"video {source.name}", recipe.name, False
    )
    return _checked(shown, source, any_size=True, least=LEAST_PARTS)


def _of_folder(root: Path, clock: Clock) -> Shown:
    folder = ImageFolder(root, clock=clock, max_pixels=1)  # 1: names are wanted, nothing shall be decoded
    rows: list[tuple[Path, str, str | None]] = []
    while True:
        try:
            frame = folder.read(0.0)
        except SourceEnded:
            break
        assert frame is not None
        if "outside the folder" not in (frame.fault or ""):
            rows.append((root / frame.source, frame.serial or frame.source, frame.truth))
    return _sorted_out(rows, f"folder {root.resolve().name}")


def _of_footage(folder: Path) -> Shown:
    footage = Footage.open(folder)
    known = truths(footage)
    rows: list[tuple[Path, str, str | None]] = [
        (folder / p.picture, p.unit, known.agreed.get(p.key, OK if p.key not in known.disputed else "disputed"))
        for p in footage.parts
        if p.picture is not None and p.fault is None
    ]
    shown = _sorted_out(rows, f"footage {footage.about.name}")
    whole = all(p.whole_frame for p in footage.parts)
    return Shown(
        shown.pictures, shown.parts, shown.sizes, shown.left_out, shown.called, footage.about.recipe, whole_frames=whole
    )


def _sorted_out(rows: list[tuple[Path, str, str | None]], called: str) -> Shown:
    left: Counter[str] = Counter()
    kept: list[tuple[Path, str, tuple[int, int]]] = []
    for path, part, truth in rows:
        if truth not in (None, OK):
            left["labelled as something other than ok"] += 1
            continue
        try:
            with path.open("rb") as file:
                header = read_header(file.read(2**18))
        except (OSError, ImageFault):
            left["not to be read as pictures"] += 1
            continue
        kept.append((path, part, (header.width, header.height)))
    if len(kept) > MOST_PICTURES:
        left[f"more than the {MOST_PICTURES} that are used"] += len(kept) - MOST_PICTURES
        kept = [kept[int(k)] for k in np.linspace(0, len(kept) - 1, MOST_PICTURES)]
    paths, parts, sizes = zip(*kept, strict=True) if kept else ((), (), ())
    return Shown(tuple(paths), tuple(parts), tuple(sizes), tuple(left.items()), called)


def _checked(shown: Shown, source: Path, *, any_size: bool, least: int) -> Shown:
    count = len(set(shown.parts))
    if count < least:
        out = "; ".join(f"{n} {why}" for why, n in shown.left_out)
        raise DataRefused(
            f"{source} shows {count} parts{f' (left out: {out})' if out else ''}, too few to learn what is usual: give "
            f"{LEAST_PARTS} or more, better 50 to 200 ('station recipe new --no-model' needs one and "
            "writes the recipe alone)"
        )
    if not any_size and shown.whole_frames and not shown.alike:
        widths, heights = zip(*shown.sizes, strict=True)
        raise DataRefused(
            f"the pictures in {source} have {len(set(shown.sizes))} sizes, from {min(widths)} x {min(heights)} to "
            f"{max(widths)} x {max(heights)} pixels: take them with one camera at one distance, or, where the parts "
            "themselves differ so and fill their pictures, say --any-size"
        )
    return shown
