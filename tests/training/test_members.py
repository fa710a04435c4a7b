"""Does a member learn, keep to its budget of time, and leave no thread behind?"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from station.calibration.rates import auroc
from station.training.members import halves_are_fast, score, train_member
from station.training.samples import from_folder
from station.training.settings import Settings
from tests.training.conftest import CLASSES


def ticking() -> Callable[[], float]:
    """A clock that moves on by half a second whenever it is read: a step of training reads it twice."""
    now = -0.5

    def clock() -> float:
        nonlocal now
        now += 0.5
        return now

    return clock


def test_a_member_learns_what_it_is_shown(tiny_folder: Path, tiny_settings: Settings):
    samples = from_folder(tiny_folder, classes=CLASSES)
    before = threading.active_count()
    shares: list[float] = []
    net = train_member(
        samples, classes=CLASSES, settings=tiny_settings, seconds=110, seed=1, progress=shares.append, clock=ticking()
    )
    assert threading.active_count() == before
    assert 80 <= len(shares) <= 120
    assert shares == sorted(shares)
    scores = score(net, samples, settings=tiny_settings)
    assert scores.shape == (13, 2)
    labels = np.array([s.label for s in samples])
    top = scores.max(1).astype(np.float64)
    assert auroc(top[labels < 0], top[labels >= 0]) > 0.9


def test_the_same_seed_gives_the_same_member(tiny_folder: Path, tiny_settings: Settings):
    samples = from_folder(tiny_folder, classes=CLASSES)
    settings = replace(tiny_settings, batch_pixels=2 * 64 * 64)
    one, two = (
        train_member(samples, classes=CLASSES, settings=settings, seconds=4, seed=9, clock=ticking()) for _ in range(2)
    )
    for a, b in zip(one.state_dict().values(), two.state_dict().values(), strict=True):
        assert torch.allclose(a.float(), b.float(), atol=1e-3)


@pytest.mark.parametrize(("amx", "avx"), [(False, False), (True, False), (False, True)])
def test_bfloat16_is_used_where_the_processor_has_it(amx: bool, avx: bool, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx, raising=False)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx, raising=False)
    assert halves_are_fast(torch.device("cpu")) == (amx or avx)
    assert halves_are_fast(torch.device("cuda"))
