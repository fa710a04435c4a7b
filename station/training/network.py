"""What does the defect network look like, from the camera's bytes to one score map per class?

A member is a small U-net that answers two questions per place: is there any defect (`any`), and which class would it
be (`kind`). The map of a class is `sigmoid(any) * p(class) / max p`: the likeliest class carries the full defect
probability, so the highest value over all maps is the probability that the picture shows a defect, and no class loses
score because two of them look alike.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

from station.training.settings import NetShape


def wide_mean(x: Tensor, *, step: int, size: int) -> Tensor:
    """Return the mean over about `step * size` px, taken on a picture `step` times smaller (much cheaper)."""
    small = local_mean(F.avg_pool2d(x, step), size=size)
    return F.interpolate(small, scale_factor=float(step), mode="bilinear", align_corners=False)


def local_mean(x: Tensor, *, size: int) -> Tensor:
    """Return the mean of (N, 1, H, W) over `size` x `size` px (odd), the border replicated.

    In the exported graph this is two poolings; in training sums of shifted views, which are eight times faster.
    """
    half = size // 2
    x = F.pad(x, (half, half, half, half), mode="replicate")
    if torch.onnx.is_in_onnx_export():
        return F.avg_pool2d(F.avg_pool2d(x, (1, size), 1), (size, 1), 1)
    height, width = x.shape[2] - 2 * half, x.shape[3] - 2 * half
    rows = x[:, :, 0:height].clone()
    for k in range(1, size):
        rows += x[:, :, k : k + height]
    both = rows[..., 0:width].clone()
    for k in range(1, size):
        both += rows[..., k : k + width]
    return both / float(size * size)


class Features(nn.Module):
    """Grey values -> planes that stay alike under another exposure; BGR (N, 3, H, W) or grey (N, 1, H, W), 0..255."""

    def __init__(self, *, colour: bool) -> None:
        super().__init__()
        self.colour = colour
        self.planes = 5 if colour else 3
        self.register_buffer("grey", torch.tensor([0.114, 0.587, 0.299]).view(1, 3, 1, 1))

    def forward(self, bgr: Tensor) -> Tensor:
        """Return (N, planes, H, W): contrast to a very wide, a wide and a narrow surrounding (120, 60, 14 px)."""
        x = (bgr * self.grey).sum(1, keepdim=True) if bgr.shape[1] == 3 else bgr
        widest = wide_mean(x, step=8, size=15)
        wide = wide_mean(x, step=4, size=15)
        near = wide_mean(x, step=2, size=7)
        spread = wide_mean((x - near).abs(), step=2, size=7)
        planes = [
            torch.clamp(3 * (x - widest) / (widest + 6.0), -3.0, 5.0),
            torch.clamp(3 * (x - wide) / (wide + 6.0), -3.0, 5.0),
            torch.clamp(0.7 * (x - near) / (spread + 2.0), -5.0, 5.0),
        ]
        if self.colour:
            planes += [(bgr[:, 0:1] - x) / 48.0, (bgr[:, 2:3] - x) / 48.0]
        return torch.cat(planes, 1)


def double(x: Tensor) -> Tensor:
    """Return `x` at twice the size, every value repeated; kept out of autocast, which would widen it to float32."""
    with torch.autocast(x.device.type, enabled=False):
        return F.interpolate(x, scale_factor=2.0, mode="nearest")


def _conv(i: int, o: int, *, stride: int = 1, dilation: int = 1, size: int = 3) -> nn.Sequential:
    pad = dilation * (size // 2)
    return nn.Sequential(
        nn.Conv2d(i, o, size, stride, pad, dilation=dilation, bias=False), nn.BatchNorm2d(o), nn.ReLU(inplace=True)
    )


def _patch(i: int, o: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(i, o, 8, 4, 2, bias=False), nn.BatchNorm2d(o), nn.ReLU(inplace=True))


class Residual(nn.Module):
    """Two 3x3 convolutions with a way around them; `dilation` widens the view."""

    def __init__(self, width: int, *, dilation: int = 1) -> None:
        super().__init__()
        self.first = _conv(width, width, dilation=dilation)
        self.second = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.norm = nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        """Return the refined planes, same shape."""
        return F.relu(x + self.norm(self.second(self.first(x))))


def fold_norms(module: nn.Module) -> None:
    """Work every batch norm of `module` (in evaluation mode) into the convolution before it, in place."""
    for part in module.modules():
        if isinstance(part, nn.Sequential) and len(part) > 1 and isinstance(part[1], nn.BatchNorm2d):
            part[0], part[1] = fuse_conv_bn_eval(part[0], part[1]), nn.Identity()
        elif isinstance(part, Residual) and isinstance(part.norm, nn.BatchNorm2d):
            part.second, part.norm = fuse_conv_bn_eval(part.second, part.norm), nn.Identity()


class Context(nn.Module):
    """Tells every place what the whole picture looks like: its mean and spread per plane."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(2 * width, width, 1)
        self.spread = nn.Conv2d(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return x plus a vector that is the same everywhere."""
        mean = x.mean((2, 3), keepdim=True)
        whole = torch.cat([mean, (x - mean).abs().mean((2, 3), keepdim=True)], 1)
        return x + self.spread(F.relu(self.squeeze(whole)))


class Member(nn.Module):
    """One network: planes (N, P, H, W) -> any (N, 1, H/s, W/s) and kind (N, C, H/s, W/s), both logits, s the stride."""

    def __init__(self, *, planes: int, classes: int, shape: NetShape) -> None:
        super().__init__()
        a, b, c, d = shape.widths
        n4, n8, n16 = shape.blocks
        stem = [_conv(planes, a, stride=2), _conv(a, b, stride=2)] if a else [_patch(planes, b)]
        self.down4 = nn.Sequential(*stem, *[Residual(b) for _ in range(n4)])
        self.down8 = nn.Sequential(_conv(b, c, stride=2), *[Residual(c) for _ in range(n8)])
        self.down16 = nn.Sequential(_conv(c, d, stride=2), *[Residual(d, dilation=1 + k) for k in range(n16)])
        self.context = Context(d) if shape.context else nn.Identity()
        self.up8, self.side8 = nn.Conv2d(d, c, 1), _conv(c, c)
        self.fine = shape.stride == 4
        width = c
        if self.fine:
            width = shape.head
            self.up4, self.side4, self.head = nn.Conv2d(c, width, 1), nn.Conv2d(b, width, 1), _conv(width, width)
        self.any = nn.Conv2d(width, 1, 1)
        self.kind = nn.Conv2d(width, classes, 1)
        nn.init.constant_(self.any.bias, -4.0)

    def forward(self, planes: Tensor) -> tuple[Tensor, Tensor]:
        """Return the two logit maps."""
        x4 = self.down4(planes)
        x8 = self.down8(x4)
        x16 = self.context(self.down16(x8))
        y = self.side8(x8 + double(self.up8(x16)))
        if self.fine:
            y = self.head(F.relu(self.side4(x4) + double(self.up4(y))))
        return self.any(y), self.kind(y)


class Trainee(nn.Module):
    """Features and one member: what the training loop moves."""

    def __init__(self, *, classes: int, shape: NetShape) -> None:
        super().__init__()
        self.features = Features(colour=shape.colour)
        self.member = Member(planes=self.features.planes, classes=classes, shape=shape)

    def forward(self, bgr: Tensor) -> tuple[Tensor, Tensor]:
        """Map float BGR (N, 3, H, W) 0..255 to the two logit maps (float32)."""
        with torch.no_grad(), torch.autocast("cpu", enabled=False):
            planes = self.features(bgr.float())
        a, k = self.member(planes)
        return a.float(), k.float()


def fuse(any_logit: Tensor, kind_logit: Tensor) -> Tensor:
    """Return the score maps (N, C, h, w) in 0..1 whose maximum over classes is `sigmoid(any)`."""
    kind = torch.exp(kind_logit - kind_logit.amax(1, keepdim=True))
    return torch.sigmoid(any_logit) * kind


class Deployed(nn.Module):
    """The shipped graph: several members on the same planes, their logits averaged."""

    def __init__(self, members: Sequence[Trainee]) -> None:
        super().__init__()
        self.features = members[0].features
        self.members = nn.ModuleList([m.member for m in members])

    def forward(self, image: Tensor) -> Tensor:
        """Map uint8 BGR (1, H, W, 3) to float32 maps (1, C, H/s, W/s)."""
        planes = self.features(image.permute(0, 3, 1, 2).to(torch.float32))
        pairs = [member(planes) for member in self.members]
        count = float(len(pairs))
        any_logit, kind_logit = pairs[0]
        for a, k in pairs[1:]:
            any_logit, kind_logit = any_logit + a, kind_logit + k
        return fuse(any_logit / count, kind_logit / count)
