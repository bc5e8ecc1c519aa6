"""StyleGAN2 discriminator, residual architecture (Karras et al. 2020), with its block outputs open for
perceptual losses.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from .layers import EqualConv2d, EqualLinear


@dataclass(frozen=True)
class DiscriminatorConfig:
    """Architecture of a residual discriminator, as its checkpoint's header stores it."""

    resolution: int = 64
    channel_base: int = 32768
    channel_max: int = 512
    minibatch_group: int | None = 4
    """Pictures compared by the minibatch standard deviation; None = the whole batch."""
    conv_clamp: float | None = None

    def channels(self, side: int) -> int:
        """Channels at `side` px."""
        return min(self.channel_base // side, self.channel_max)

    @property
    def sides(self) -> list[int]:
        """Sides of the halving blocks' inputs, largest first, down to 8."""
        return [2**k for k in range(int(math.log2(self.resolution)), 2, -1)]

    def to_json(self) -> dict[str, Any]:
        """Plain data for a header; `DiscriminatorConfig(**data)` reads it back."""
        return asdict(self)


def append_minibatch_std(x: Tensor, group: int | None) -> Tensor:
    """Append one channel holding the mean standard deviation over groups of the batch (Karras et al. 2018,
    section 3).

    Group g of a batch of N holds the pictures n with equal n mod (N / G). `x` `[N, C, H, W]` -> `[N, C + 1,
    H, W]`.

    Raises:
        ValueError: N is not divisible by min(group, N).
    """
    n, c, h, w = x.shape
    g = n if group is None else min(group, n)
    if n % max(g, 1):
        raise ValueError(
            f"a batch of {n} pictures cannot be cut into groups of {g} for the minibatch standard deviation"
        )
    if n == 0:
        return torch.cat([x, x[:, :1]], dim=1)
    y = x.reshape(g, n // g, c, h, w).float()
    std = (y.var(dim=0, unbiased=False) + 1e-8).sqrt().mean(dim=(1, 2, 3))  # [N / G]
    channel = std.to(x.dtype).repeat(g).reshape(n, 1, 1, 1).expand(n, 1, h, w)
    return torch.cat([x, channel], dim=1)


class DiscriminatorBlock(nn.Module):
    """Two convolutions, the second halving, plus a halving 1 x 1 shortcut; both branches scaled by
    sqrt(0.5).
    """

    def __init__(self, side: int, config: DiscriminatorConfig, first: bool) -> None:
        super().__init__()
        here, below, clamp = config.channels(side), config.channels(side // 2), config.conv_clamp
        half = math.sqrt(0.5)
        self.fromrgb = EqualConv2d(3, here, 1, activation="lrelu", clamp=clamp) if first else None
        self.conv0 = EqualConv2d(here, here, 3, activation="lrelu", clamp=clamp)
        self.conv1 = EqualConv2d(here, below, 3, activation="lrelu", down=2, gain=half, clamp=clamp)
        self.skip = EqualConv2d(here, below, 1, bias=False, down=2, gain=half)

    def forward(self, x: Tensor) -> Tensor:
        if self.fromrgb is not None:
            x = self.fromrgb(x)
        return self.skip(x) + self.conv1(self.conv0(x))


class DiscriminatorEpilogue(nn.Module):
    """4 px features -> one logit."""

    def __init__(self, config: DiscriminatorConfig) -> None:
        super().__init__()
        channels = config.channels(4)
        self.group = config.minibatch_group
        self.conv = EqualConv2d(channels + 1, channels, 3, activation="lrelu", clamp=config.conv_clamp)
        self.fc = EqualLinear(channels * 16, channels, activation="lrelu")
        self.out = EqualLinear(channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(append_minibatch_std(x, self.group))
        return self.out(self.fc(x.flatten(1).float()))


class Discriminator(nn.Module):
    """Pictures `[N, 3, R, R]` in [-1, 1] -> logits `[N, 1]`, larger = more real."""

    family = "stylegan2"
    name: str = "unnamed"
    sha256: str = ""

    def __init__(self, config: DiscriminatorConfig) -> None:
        super().__init__()
        self.config = config
        self.compute_dtype = torch.float32
        for i, side in enumerate(config.sides):
            self.add_module(f"b{side}", DiscriminatorBlock(side, config, first=i == 0))
        self.b4 = DiscriminatorEpilogue(config)

    def forward(self, images: Tensor) -> Tensor:
        """Logits `[N, 1]`, float32. Raises ValueError where the size is not the network's."""
        return self.b4(self.features(images)[-1])

    def features(self, images: Tensor) -> list[Tensor]:
        """Outputs of the halving blocks, finest first: `[N, C, R/2, R/2]` ... `[N, C, 4, 4]`, in
        `compute_dtype`.
        """
        side = self.config.resolution
        if images.ndim != 4 or images.shape[1:] != (3, side, side):
            raise ValueError(f"pictures of shape {tuple(images.shape)}; expected [N, 3, {side}, {side}]")
        x = images.to(self.compute_dtype).contiguous(memory_format=torch.channels_last)
        outputs = []
        for side in self.config.sides:
            x = self.get_submodule(f"b{side}")(x)
            outputs.append(x)
        return outputs
