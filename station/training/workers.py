"""How are the members of all folds trained side by side on the cores that there are?

One thread per member and one member per core is 1.4 times faster than two threads on one member. Each worker is a
process of its own that loads the samples itself, reports its share done, and ends with its weights and the scores of
the parts that it never saw.
"""

from __future__ import annotations

import io
import multiprocessing
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from station.core.errors import StationError
from station.training.folds import split_by_part
from station.training.members import device_here, score, train_member
from station.training.network import Trainee
from station.training.samples import Sample, Source
from station.training.settings import Settings


@dataclass(frozen=True)
class Job:
    """One member to be trained: everything a worker needs to know; `until` is Unix time, so loading counts too."""

    source: Source
    settings: Settings
    fold: int
    folds: int
    until: float
    seed: int


@dataclass(frozen=True)
class Trained:
    """A finished member: its weights as bytes, and its scores (n, C) for the samples at `indices` (n,)."""

    fold: int
    weights: bytes
    indices: NDArray[np.int64]
    scores: NDArray[np.float32]

    def network(self, *, classes: int, settings: Settings) -> Trainee:
        """Return the member, in evaluation mode."""
        net = Trainee(classes=classes, shape=settings.net)
        net.load_state_dict(torch.load(io.BytesIO(self.weights), weights_only=True))
        return net.eval()


def worker_count(folds: int) -> int:
    """Return how many members are trained at a time: one on a GPU, else one per core."""
    if device_here().type != "cpu":
        return 1
    return max(1, min(folds, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1))


def run_job(job: Job, samples: Sequence[Sample], *, progress: Callable[[float], None]) -> Trained:
    """Train the member of `job.fold` on the other folds and score its own fold."""
    fold_of = split_by_part(samples, folds=job.folds, seed=job.seed)
    net = train_member(
        [s for s, fold in zip(samples, fold_of, strict=True) if fold != job.fold],
        classes=job.source.classes,
        settings=job.settings,
        seconds=max(job.until - time.time(), 1.0),
        seed=job.seed * 1000 + job.fold,
        progress=progress,
    )
    kept = np.array([k for k, fold in enumerate(fold_of) if fold == job.fold], np.int64)
    scores = score(net, [samples[k] for k in kept], settings=job.settings)
    data = io.BytesIO()
    torch.save(net.state_dict(), data)
    return Trained(job.fold, data.getvalue(), kept, scores)


def train_side_by_side(jobs: Sequence[Job], *, progress: Callable[[float], None]) -> tuple[Trained, ...]:
    """Train all `jobs` at once, each in its own process on one thread.

    Raises:
        StationError: a worker failed; the others are stopped.
    """
    context = multiprocessing.get_context("spawn")
    workers: dict[Connection, BaseProcess] = {}
    shares = dict.fromkeys((job.fold for job in jobs), 0.0)
    done: list[Trained] = []
    try:
        for job in jobs:
            here, there = context.Pipe(duplex=False)
            process: BaseProcess = context.Process(
                target=_work, args=(there, job), daemon=True, name=f"member-{job.fold}"
            )
            process.start()
            there.close()
            workers[here] = process
        pending = set(workers)
        while pending:
            for ready in wait(list(pending)):
                if not isinstance(ready, Connection):
                    continue
                try:
                    message = ready.recv()
                except EOFError:
                    raise StationError(f"{workers[ready].name} ended without a result: too little memory?") from None
                if isinstance(message, Trained):
                    done.append(message)
                    pending.discard(ready)
                elif isinstance(message, str):
                    raise StationError(f"{workers[ready].name} failed: {message}")
                else:
                    shares[message[0]] = message[1]
                    progress(min(shares.values()))
    finally:
        for connection, process in workers.items():
            connection.close()
            if len(done) < len(jobs):
                process.terminate()
            process.join()
    return tuple(sorted(done, key=lambda t: t.fold))


def _work(there: Connection, job: Job) -> None:
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    last = -1.0

    def tell(share: float) -> None:
        nonlocal last
        if share - last >= 0.005:
            last = share
            there.send((job.fold, share))

    try:
        there.send(run_job(job, job.source.load(), progress=tell))
    except Exception as error:  # told to the parent, which raises it
        there.send(f"{type(error).__name__}: {error}")
    finally:
        there.close()
