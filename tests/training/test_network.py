"""Are the score maps probabilities whose maximum is the defect probability, and does padding stay silent?"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from station.training.losses import loss_of
from station.training.members import pad_to_multiple
from station.training.network import Deployed, Trainee, fuse, local_mean
from station.training.settings import NetShape, Settings


def member(seed: int, *, colour: bool = False, context: bool = False) -> Trainee:
    torch.manual_seed(seed)
    shape = NetShape(widths=(8, 8, 8, 8), blocks=(1, 1, 1), head=8, colour=colour, context=context)
    return Trainee(classes=3, shape=shape).eval()


def test_the_highest_map_is_the_defect_probability():
    any_logit, kind_logit = torch.randn(2, 1, 5, 6), torch.randn(2, 3, 5, 6) * 4
    maps = fuse(any_logit, kind_logit)
    assert torch.allclose(maps.amax(1, keepdim=True), torch.sigmoid(any_logit), atol=1e-6)
    assert float(maps.min()) >= 0


@pytest.mark.parametrize("size", [3, 7])
def test_the_local_mean_is_the_mean_of_the_neighbourhood(size: int):
    x = torch.rand(2, 1, 20, 24)
    padded = np.pad(x.numpy(), ((0, 0), (0, 0), (size // 2, size // 2), (size // 2, size // 2)), mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (size, size), axis=(2, 3))
    assert np.allclose(local_mean(x, size=size).numpy(), windows.mean((4, 5)), atol=1e-5)


@pytest.mark.parametrize(("colour", "context"), [(False, False), (True, True)])
def test_deployed_members_are_averaged_as_logits(colour: bool, context: bool):
    members = [member(1, colour=colour, context=context), member(2, colour=colour, context=context)]
    image = torch.randint(0, 255, (1, 48, 64, 3), dtype=torch.uint8)
    with torch.no_grad():
        maps = Deployed(members)(image)
        pairs = [m(image.permute(0, 3, 1, 2).float()) for m in members]
    mean = fuse((pairs[0][0] + pairs[1][0]) / 2, (pairs[0][1] + pairs[1][1]) / 2)
    assert maps.shape == (1, 3, 12, 16)
    assert torch.allclose(maps, mean, atol=1e-5)


def test_padding_creates_no_score_of_its_own():
    """A flat picture scores the same with and without padding, in the real area and in the padded one."""
    net = Deployed([member(3)])
    flat = np.full((50, 70, 3), 120, np.uint8)
    with torch.no_grad():
        padded = net(torch.from_numpy(pad_to_multiple(flat, multiple=16))[None])
        exact = net(torch.from_numpy(np.full((64, 80, 3), 120, np.uint8))[None])
    assert torch.allclose(padded, exact, atol=1e-6)


def test_another_exposure_changes_little():
    net = Deployed([member(4)])
    rng = np.random.default_rng(0)
    base = rng.normal(80, 10, (64, 64, 3)).clip(0, 120)
    with torch.no_grad():
        one, two = (net(torch.from_numpy((base * gain).astype(np.uint8))[None]) for gain in (1.0, 2.0))
    assert float((one - two).abs().max()) < 0.05


def test_the_loss_falls_when_the_maps_are_right_and_ignores_what_is_unknown():
    settings = Settings()
    mask = torch.zeros(2, 8, 8, dtype=torch.uint8)
    mask[0, 2:4, 2:4] = 2
    defective = torch.tensor([1.0, 0.0])
    right = torch.where(mask > 0, 6.0, -6.0)[:, None]
    kind = torch.zeros(2, 3, 8, 8)
    good = loss_of(right, kind, mask=mask, defective=defective, settings=settings)
    bad = loss_of(-right, kind, mask=mask, defective=defective, settings=settings)
    assert float(good) < float(bad) / 5
    unknown = torch.full((2, 8, 8), 255, dtype=torch.uint8)
    scores = torch.zeros(2, 1, 8, 8, requires_grad=True)
    loss_of(scores, kind, mask=unknown, defective=torch.ones(2), settings=settings).backward()
    assert scores.grad is not None
    assert int((scores.grad != 0).sum()) <= 2 * 64
