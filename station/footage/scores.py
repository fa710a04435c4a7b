"""What did this model say of this picture, so that it need not be asked again?

One folder per model and preprocessing, ``<root>/<model16>-<preprocess16>/``, with numbered shards (``.npz``), each
written whole once and never changed. A shard holds columns; text and objects are not needed to read it::

    sha256      (n, 32)  uint8    which picture (of its pixels)
    scores      (n, C)   float64  part score of every class, exactly as the detector gave it
    unlisted    (n, C)   float64  the most beside the candidates; NaN where the detector did not say
    size        (n, 2)   int32    height and width of the picture
    first       (n + 1,) int64    candidates of row k are first[k] : first[k + 1]
    label       (m,)     uint8    class of a candidate
    score       (m,)     float64  its score
    xyxy        (m, 4)   float64  its box in picture pixels
    classes     (C,)     str      the classes, in the order of the columns
    check       ()       str      sha256 over all of the above

A shard that is damaged, cut or of another layout is moved aside with a word and what it held is asked again: a cache
may cost time, never a verdict. Pictures that the detector refused are not kept, because a failure may pass.
"""

from __future__ import annotations

import hashlib
import io
import logging
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from station.core.errors import DataRefused
from station.core.part import Box, Detection, Detections
from station.footage import lines

log = logging.getLogger(__name__)

FOLDER = ".scores"
SHARD_ROWS = 1024
"""Rows after which a shard is written: half a minute of inference on one core, which a crash may cost."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Columns:
    """Detections of many pictures, column by column; layout as in the module's docstring."""

    classes: tuple[str, ...]
    sha256: NDArray[np.uint8]
    scores: Floats
    unlisted: Floats
    size: NDArray[np.int32]
    first: NDArray[np.int64]
    label: NDArray[np.uint8]
    score: Floats
    xyxy: Floats

    def __post_init__(self) -> None:
        n, c, m = len(self.sha256), len(self.classes), len(self.label)
        shapes: dict[str, tuple[NDArray[Any], tuple[int, ...], type]] = {
            "sha256": (self.sha256, (n, 32), np.uint8),
            "scores": (self.scores, (n, c), np.float64),
            "unlisted": (self.unlisted, (n, c), np.float64),
            "size": (self.size, (n, 2), np.int32),
            "first": (self.first, (n + 1,), np.int64),
            "label": (self.label, (m,), np.uint8),
            "score": (self.score, (m,), np.float64),
            "xyxy": (self.xyxy, (m, 4), np.float64),
        }
        for name, (array, shape, kind) in shapes.items():
            if array.shape != shape or array.dtype != kind:
                raise DataRefused(f"column {name} is {array.dtype} {array.shape}, expected {np.dtype(kind)} {shape}")
        steps = np.diff(self.first)
        if self.first[0] != 0 or self.first[-1] != m or (steps < 0).any() or (m and int(self.label.max()) >= c):
            raise DataRefused("the candidates do not fit their parts")

    def __len__(self) -> int:
        return len(self.sha256)

    def row(self, k: int) -> Detections:
        """The detections of one picture, as the detector gave them (without the heat map)."""
        a, b = int(self.first[k]), int(self.first[k + 1])
        found = tuple(
            Detection(self.classes[self.label[i]], float(self.score[i]), Box(*map(float, self.xyxy[i])))
            for i in range(a, b)
        )
        scores = dict(zip(self.classes, map(float, self.scores[k]), strict=True))
        unlisted = {c: float(v) for c, v in zip(self.classes, self.unlisted[k], strict=True) if not np.isnan(v)}
        return Detections(found, scores, None, unlisted)

    def taken(self, rows: NDArray[np.int64]) -> Columns:
        """These rows, in this order; a row may be taken several times."""
        counts = self.first[rows + 1] - self.first[rows]
        first = np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
        which = np.arange(int(first[-1])) - np.repeat(first[:-1] - self.first[rows], counts)
        return Columns(
            self.classes,
            self.sha256[rows],
            self.scores[rows],
            self.unlisted[rows],
            self.size[rows],
            first,
            self.label[which],
            self.score[which],
            self.xyxy[which],
        )


def columns_of(classes: Sequence[str], rows: Sequence[tuple[str, Detections, tuple[int, int]]]) -> Columns:
    """Detections as columns.

    Args:
        classes: The model's.
        rows: Pixel hash, detections and ``(height, width)`` of each picture.

    Raises:
        DataRefused: A detector scored other classes than these.
    """
    number = {name: k for k, name in enumerate(classes)}
    for sha256, found, _ in rows:
        if set(found.scores) != set(number):
            raise DataRefused(f"picture {sha256[:12]} was scored for {sorted(found.scores)}, not {sorted(number)}")
    n, c = len(rows), len(classes)
    scores = [[found.scores[name] for name in classes] for _, found, _ in rows]
    unlisted = [[found.unlisted.get(name, np.nan) for name in classes] for _, found, _ in rows]
    candidates = [it for _, found, _ in rows for it in found.candidates]
    counts = [len(found.candidates) for _, found, _ in rows]
    return Columns(
        classes=tuple(classes),
        sha256=np.frombuffer(b"".join(bytes.fromhex(s) for s, _, _ in rows), np.uint8).reshape(n, 32),
        scores=np.array(scores, np.float64).reshape(n, c),
        unlisted=np.array(unlisted, np.float64).reshape(n, c),
        size=np.array([size for _, _, size in rows], np.int32).reshape(n, 2),
        first=np.concatenate(([0], np.cumsum(counts))).astype(np.int64),
        label=np.array([number[it.label] for it in candidates], np.uint8),
        score=np.array([it.score for it in candidates], np.float64),
        xyxy=np.array([it.box.xyxy for it in candidates], np.float64).reshape(-1, 4),
    )


def joined(classes: Sequence[str], several: Sequence[Columns]) -> Columns:
    """Columns one below the other."""
    if not several:
        return columns_of(classes, [])
    shift = np.cumsum([0, *(len(c.label) for c in several)])
    first = [c.first[:-1] + s for c, s in zip(several, shift[:-1], strict=True)]
    cat: Callable[[str], Any] = lambda name: np.concatenate([getattr(c, name) for c in several])  # noqa: E731
    return Columns(
        tuple(classes),
        cat("sha256"),
        cat("scores"),
        cat("unlisted"),
        cat("size"),
        np.concatenate([*first, shift[-1:]]).astype(np.int64),
        cat("label"),
        cat("score"),
        cat("xyxy"),
    )


class ScoreCache:
    """What one model said of pictures.

    Args:
        root: The folder of all caches.
        model_sha256: The model.
        preprocess: Hash of its preprocessing.
        classes: The model's, in its order.

    Attributes:
        columns: Everything that is kept, one row per picture.
    """

    def __init__(self, root: Path, *, model_sha256: str, preprocess: str, classes: Sequence[str]) -> None:
        self.folder = root / f"{model_sha256[:16]}-{preprocess[:16]}"
        self.classes = tuple(classes)
        self._waiting: dict[str, tuple[str, Detections, tuple[int, int]]] = {}
        self._next = 1
        shards = []
        for path in sorted(self.folder.glob("*.npz")):
            self._next = max(self._next, int(path.stem) + 1) if path.stem.isdigit() else self._next
            shard = self._load(path)
            if shard is not None:
                shards.append(shard)
        self.columns = joined(self.classes, shards)
        self._row: dict[str | None, int] = {sha: k for k, sha in enumerate(_hex(self.columns.sha256))}

    def __contains__(self, sha256: object) -> bool:
        return sha256 in self._row or sha256 in self._waiting

    def rows(self, hashes: Sequence[str | None]) -> NDArray[np.int64]:
        """Row of each picture in ``columns``; -1 where it is not kept (yet, or not written)."""
        get = self._row.get
        return np.fromiter([get(h, -1) for h in hashes], np.int64, len(hashes))

    def add(self, sha256: str, found: Detections, size: tuple[int, int]) -> None:
        """Keeps what the model said of a picture; written with the next full shard, or by :meth:`flush`.

        Raises:
            DataRefused: Other classes were scored.
        """
        if sha256 not in self:
            if set(found.scores) != set(self.classes):
                raise DataRefused(f"the model scored {sorted(found.scores)}, its cache is for {sorted(self.classes)}")
            self._waiting[sha256] = (sha256, found, size)
            if len(self._waiting) >= SHARD_ROWS:
                self.flush()

    def flush(self) -> None:
        """Writes what waits; durable when it returns. A disk that refuses costs the cache alone."""
        if not self._waiting:
            return
        fresh = columns_of(self.classes, list(self._waiting.values()))
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lines.write_whole(self.folder / f"{self._next:06d}.npz", _as_bytes(fresh))
        except OSError as error:
            log.warning("scores cannot be kept in %s (%s): the next replay asks the model again", self.folder, error)
        self._next += 1
        self._waiting.clear()
        start = len(self.columns)
        self.columns = joined(self.classes, [self.columns, fresh])
        self._row.update((sha, start + k) for k, sha in enumerate(_hex(fresh.sha256)))

    def _load(self, path: Path) -> Columns | None:
        try:
            found = _from_bytes(path.read_bytes())
            if found.classes != self.classes:
                raise DataRefused(f"it is about {', '.join(found.classes)}")
            return found
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, DataRefused) as error:
            log.warning("shard %s is damaged (%s): moved aside, its pictures are inspected again", path, error)
            try:
                path.replace(path.with_suffix(".damaged"))
            except OSError:
                log.warning("shard %s cannot be moved aside", path)
            return None


_ARRAYS = ("sha256", "scores", "unlisted", "size", "first", "label", "score", "xyxy")


def _as_bytes(columns: Columns) -> bytes:
    data = io.BytesIO()
    arrays = {name: getattr(columns, name) for name in _ARRAYS}
    np.savez(data, classes=np.array(columns.classes), check=np.array(_check(columns)), **arrays)
    return data.getvalue()


def _from_bytes(data: bytes) -> Columns:
    with np.load(io.BytesIO(data), allow_pickle=False) as shard:
        columns = Columns(tuple(map(str, shard["classes"])), **{name: shard[name] for name in _ARRAYS})
        if str(shard["check"]) != _check(columns):
            raise DataRefused("its content is not what was written")
    return columns


def _hex(hashes: NDArray[np.uint8]) -> list[str]:
    words = np.ascontiguousarray(hashes).tobytes().hex()
    return [words[k : k + 64] for k in range(0, len(words), 64)]


def _check(columns: Columns) -> str:
    digest = hashlib.sha256("\0".join(columns.classes).encode())
    for name in _ARRAYS:
        digest.update(np.ascontiguousarray(getattr(columns, name)).data)
    return digest.hexdigest()
