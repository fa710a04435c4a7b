"""How wrong is a pair of logit maps for a batch?"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from station.training.augment import UNKNOWN
from station.training.settings import Settings


def loss_of(any_logit: Tensor, kind_logit: Tensor, *, mask: Tensor, defective: Tensor, settings: Settings) -> Tensor:
    """Return the training loss, a scalar.

    Args:
        any_logit: (N, 1, h, w).
        kind_logit: (N, C, h, w).
        mask: uint8 (N, h, w) at the maps' resolution: 0 sound, k + 1 class k, 255 unknown.
        defective: float (N,), 0 or 1.
        settings: weights of the terms.

    Places next to a defect count neither way. The picture term is taken at the highest logit, which is the score that
    the station will use; it finds the hardest place of every sound picture by itself.
    """
    known = (mask != UNKNOWN)[:, None].float()
    here = (mask > 0)[:, None].float() * known
    near = F.max_pool2d(here, 3, 1, 1)
    off = (1.0 - near) * known
    pixel = F.binary_cross_entropy_with_logits(any_logit, here, reduction="none")
    count_on = here.sum((1, 2, 3))
    on = (pixel * here).sum((1, 2, 3)) / (count_on + 4.0)
    out = (pixel * off).sum((1, 2, 3)) / (off.sum((1, 2, 3)) + 1.0)
    prob = torch.sigmoid(any_logit) * known * (here + off)
    dice = 1.0 - (2 * (prob * here).sum((1, 2, 3)) + 1.0) / (prob.sum((1, 2, 3)) + count_on + 1.0)
    has = (count_on > 0).float()
    pixel_loss = (on + 8.0 * out + 0.5 * dice * has).mean()
    top = any_logit.flatten(1).amax(1)
    image_loss = F.binary_cross_entropy_with_logits(top, defective)
    total = settings.pixel_weight * pixel_loss + settings.image_weight * image_loss
    if settings.rank_weight > 0 and 0 < float(defective.sum()) < defective.numel():
        gap = top[defective < 0.5][None, :] - top[defective > 0.5][:, None]
        total = total + settings.rank_weight * F.softplus(gap).mean()
    name = F.cross_entropy(kind_logit, (mask.long() - 1).clamp(0, kind_logit.shape[1] - 1), reduction="none")[:, None]
    kind_loss = ((name * here).sum((1, 2, 3)) / (count_on + 1.0)).sum() / (has.sum() + 1.0)
    return total + settings.class_weight * kind_loss
