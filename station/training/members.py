"""How is one member network trained, and what does it say about samples that it has not seen?"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from station.training.batches import Batch, Batches
from station.training.losses import loss_of
from station.training.network import Trainee, fuse
from station.training.samples import Sample
from station.training.settings import Settings

Clock = Callable[[], float]


def device_here() -> torch.device:
    """Return the GPU where torch finds one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def halves_are_fast(device: torch.device) -> bool:
    """Return whether bfloat16 is arithmetic of its own here.

    A processor without AMX or AVX-512 BF16 imitates it: a training step of this network then takes seven to nine times
    as long as in float32 (measured: 1.2 s against 0.14 s of one core for ten crops of 224 x 224).
    """
    if device.type != "cpu":
        return True
    known = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
    return any(bool(getattr(torch.cpu, name, bool)()) for name in known)


def train_member(
    samples: Sequence[Sample],
    *,
    classes: Sequence[str],
    settings: Settings,
    seconds: float,
    seed: int,
    progress: Callable[[float], None] = lambda share: None,
    clock: Clock = time.monotonic,
) -> Trainee:
    """Train one network on `samples` for `seconds` of `clock` and return its averaged weights, in evaluation mode.

    The learning rate follows the time that has passed, so the budget is kept on a slow machine too. Batches are
    prepared in one thread beside the training; it ends with this call.
    """
    torch.manual_seed(seed)
    device = device_here()
    net = Trainee(classes=len(classes), shape=settings.net).to(device, memory_format=torch.channels_last)
    average = copy.deepcopy(net)
    optimiser = torch.optim.AdamW(net.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay)
    batches = Batches(samples, classes=classes, settings=settings, seed=seed)
    start, step = clock(), 0
    with ThreadPoolExecutor(1, thread_name_prefix="batches") as pool:
        coming = pool.submit(batches.draw, 0)
        while step == 0 or clock() - start < seconds:
            share = min((clock() - start) / max(seconds, 1e-6), 1.0)
            rate = settings.learning_rate * min(1.0, step / 50 + 0.02) * (0.49 * (1 + math.cos(math.pi * share)) + 0.02)
            for group in optimiser.param_groups:
                group["lr"] = rate
            batch = coming.result()
            step += 1
            coming = pool.submit(batches.draw, step)
            _step(net, batch, optimiser=optimiser, settings=settings, device=device)
            _follow(average, net, decay=min(settings.ema_decay, step / (step + 10)))
            progress(share)
    return average.to("cpu").eval()


def _step(
    net: Trainee, batch: Batch, *, optimiser: torch.optim.Optimizer, settings: Settings, device: torch.device
) -> None:
    net.train()
    with torch.autocast(device.type, torch.bfloat16, enabled=halves_are_fast(device)):
        any_logit, kind_logit = net(torch.from_numpy(batch.image).to(device))
    loss = loss_of(
        any_logit,
        kind_logit,
        mask=torch.from_numpy(batch.mask).to(device),
        defective=torch.from_numpy(batch.defective).to(device),
        settings=settings,
    )
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(net.parameters(), 3.0)
    optimiser.step()


def _follow(average: Trainee, net: Trainee, *, decay: float) -> None:
    with torch.no_grad():
        for mean, now in zip(average.state_dict().values(), net.state_dict().values(), strict=True):
            if mean.dtype.is_floating_point:
                mean.lerp_(now, 1.0 - decay)
            else:
                mean.copy_(now)


def pad_to_multiple(image: NDArray[np.uint8], *, multiple: int) -> NDArray[np.uint8]:
    """Return `image` (H, W, 3) grown to the right and below to multiples, the border replicated."""
    height, width = image.shape[:2]
    return np.asarray(
        cv2.copyMakeBorder(image, 0, -height % multiple, 0, -width % multiple, cv2.BORDER_REPLICATE), np.uint8
    )


def score(net: Trainee, samples: Sequence[Sample], *, settings: Settings) -> NDArray[np.float32]:
    """Return the part scores (n, C) of whole pictures: per class the maximum over the real area."""
    rows = []
    with torch.inference_mode():
        for sample in samples:
            height, width = sample.mask.shape
            image = pad_to_multiple(sample.image, multiple=settings.multiple)
            maps = fuse(*net(torch.from_numpy(image).permute(2, 0, 1)[None].float()))[0]
            real = maps[:, : -(-height // settings.net.stride), : -(-width // settings.net.stride)]
            rows.append(real.amax((1, 2)).numpy())
    return np.stack(rows).astype(np.float32) if rows else np.zeros((0, 0), np.float32)
