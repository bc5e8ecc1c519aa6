"""StyleGAN2 discriminator (Karras et al. 2020, arXiv 1912.04958): residual, skip and plain architecture, with
or without classes, its block outputs open for perceptual losses.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, get_args

import torch
from torch import Tensor, nn

from ganinv_ops.upfirdn2d import downsample2d

from .layers import EqualConv2d, EqualLinear, fir_filter
from .mapping import MappingNetwork
from .stylegan2 import Architecture


@dataclass(frozen=True)
class DiscriminatorConfig:
    """Architecture of a discriminator, as its checkpoint's header stores it."""

    resolution: int = 64
    channel_base: int = 32768
    channel_max: int = 512
    minibatch_group: int | None = 4
    """Pictures compared by the minibatch standard deviation; None = the whole batch."""
    conv_clamp: float | None = None
    architecture: Architecture = "resnet"
    """resnet: blocks with shortcuts. skip: every block sees the picture, halved as often. orig: neither."""
    widths: tuple[int, ...] = ()
    """Channels at each side, 4 px first, where no rule gives them; () = by channel_base and channel_max."""
    minibatch_channels: int = 1
    """Channels that the minibatch standard deviation adds; 0 = none."""
    c_dim: int = 0
    """Width of the class labels; 0 = no classes."""
    cmap_dim: int | None = None
    """Width of the mapped class; None = channels(4)."""
    mapping_layers: int = 8
    mapping_width: int | None = None
    """Width of the mapping layers before the last; None = cmap_dim."""
    embed_dim: int | None = None
    """Width of the embedded class; None = cmap_dim."""
    mapping_lr: float = 0.01
    num_fp16_res: int = 0
    """How many blocks, from the largest down, were trained in half precision. Kept only."""

    def __post_init__(self) -> None:
        if self.resolution < 8 or self.resolution & (self.resolution - 1):
            raise ValueError(f"resolution {self.resolution} is not a power of two of at least 8")
        if self.architecture not in get_args(Architecture):
            known = ", ".join(get_args(Architecture))
            raise ValueError(f"architecture {self.architecture!r} is not one of {known}")
        if self.widths and len(self.widths) != len(self.sides) + 1:
            raise ValueError(f"{len(self.widths)} widths for {len(self.sides) + 1} sides")

    def channels(self, side: int) -> int:
        """Channels at `side` px."""
        if self.widths:
            return self.widths[int(math.log2(side)) - 2]
        return min(self.channel_base // side, self.channel_max)

    @property
    def sides(self) -> list[int]:
        """Sides of the halving blocks' inputs, largest first, down to 8."""
        return [2**k for k in range(int(math.log2(self.resolution)), 2, -1)]

    @property
    def mapped_dim(self) -> int:
        """Width of the mapped class; 0 without classes."""
        if not self.c_dim:
            return 0
        return self.channels(4) if self.cmap_dim is None else self.cmap_dim

    def to_json(self) -> dict[str, Any]:
        """Plain data for a header; `DiscriminatorConfig(**data)` reads it back."""
        return asdict(self)


def append_minibatch_std(x: Tensor, group: int | None, channels: int = 1) -> Tensor:
    """Append `channels` channels, each holding the mean standard deviation of its share of the channels over
    groups of the batch (Karras et al. 2018, section 3).

    Group g of a batch of N holds the pictures n with equal n mod (N / G). `x` `[N, C, H, W]` ->
    `[N, C + channels, H, W]`.

    Raises:
        ValueError: N is not divisible by min(group, N), or C not by `channels`.
    """
    n, c, h, w = x.shape
    g = n if group is None else min(group, n)
    if n % max(g, 1):
        raise ValueError(
            f"a batch of {n} pictures cannot be cut into groups of {g} for the minibatch standard deviation"
        )
    if c % channels:
        raise ValueError(
            f"{c} channels cannot be shared among {channels} of the minibatch standard deviation"
        )
    if n == 0:
        return torch.cat([x, x[:, :channels]], dim=1)
    y = x.reshape(g, n // g, channels, c // channels, h, w).float()
    std = (y.var(dim=0, unbiased=False) + 1e-8).sqrt().mean(dim=(2, 3, 4))  # [N / G, channels]
    added = std.to(x.dtype).repeat(g, 1)[:, :, None, None].expand(n, channels, h, w)
    return torch.cat([x, added], dim=1)


class DiscriminatorBlock(nn.Module):
    """Two convolutions, the second halving; plus a halving 1 x 1 shortcut, both branches scaled by
    sqrt(0.5), or a look at the picture.
    """

    resample_filter: Tensor

    def __init__(self, side: int, config: DiscriminatorConfig, first: bool) -> None:
        super().__init__()
        here, below, clamp = config.channels(side), config.channels(side // 2), config.conv_clamp
        self.skips = config.architecture == "skip"
        residual = config.architecture == "resnet"
        half = math.sqrt(0.5) if residual else 1.0
        looks = first or self.skips
        self.fromrgb = EqualConv2d(3, here, 1, activation="lrelu", clamp=clamp) if looks else None
        self.conv0 = EqualConv2d(here, here, 3, activation="lrelu", clamp=clamp)
        self.conv1 = EqualConv2d(here, below, 3, activation="lrelu", down=2, gain=half, clamp=clamp)
        self.skip = EqualConv2d(here, below, 1, bias=False, down=2, gain=half) if residual else None
        self.register_buffer("resample_filter", fir_filter(), persistent=False)

    def forward(self, x: Tensor | None, image: Tensor) -> tuple[Tensor, Tensor]:
        """Features (None before the first block) and the picture, both of this block's side -> the same,
        halved; only the skip architecture halves the picture.
        """
        if self.fromrgb is not None:
            seen = self.fromrgb(image)
            x = seen if x is None else x + seen
        assert x is not None
        y = self.conv1(self.conv0(x))
        if self.skip is not None:
            y = self.skip(x) + y
        return y, downsample2d(image, self.resample_filter) if self.skips else image


class DiscriminatorEpilogue(nn.Module):
    """4 px features -> one logit; with classes, the scaled product with the mapped class."""

    def __init__(self, config: DiscriminatorConfig) -> None:
        super().__init__()
        channels, clamp, added = config.channels(4), config.conv_clamp, config.minibatch_channels
        self.group, self.added = config.minibatch_group, added
        skips = config.architecture == "skip"
        self.fromrgb = EqualConv2d(3, channels, 1, activation="lrelu") if skips else None
        self.conv = EqualConv2d(channels + added, channels, 3, activation="lrelu", clamp=clamp)
        self.fc = EqualLinear(channels * 16, channels, activation="lrelu")
        self.out = EqualLinear(channels, config.mapped_dim or 1)

    def forward(self, x: Tensor, image: Tensor | None = None, mapped: Tensor | None = None) -> Tensor:
        if self.fromrgb is not None and image is not None:
            x = x + self.fromrgb(image)
        if self.added:
            x = append_minibatch_std(x, self.group, self.added)
        y = self.out(self.fc(self.conv(x).flatten(1).float()))
        if mapped is None:
            return y
        return (y * mapped).sum(dim=1, keepdim=True) / math.sqrt(mapped.shape[1])


class Discriminator(nn.Module):
    """Pictures `[N, 3, R, R]` in [-1, 1] (and classes `[N, c_dim]`) -> logits `[N, 1]`, more = more real."""

    family = "stylegan2"
    name: str = "unnamed"
    sha256: str = ""

    def __init__(self, config: DiscriminatorConfig) -> None:
        super().__init__()
        self.config = config
        self.compute_dtype = torch.float32
        for i, side in enumerate(config.sides):
            self.add_module(f"b{side}", DiscriminatorBlock(side, config, first=i == 0))
        self.mapping: MappingNetwork | None = None
        if config.c_dim:
            self.mapping = MappingNetwork(
                0,
                config.c_dim,
                config.mapped_dim,
                config.mapping_layers,
                width=config.mapping_width,
                embed_dim=config.embed_dim,
                lr_multiplier=config.mapping_lr,
                track_mean=False,
            )
        self.b4 = DiscriminatorEpilogue(config)

    def forward(self, images: Tensor, c: Tensor | None = None) -> Tensor:
        """Logits `[N, 1]`, float32.

        Raises:
            ValueError: pictures of another size; classes where there are none, or none where there must be.
        """
        if self.mapping is None and c is not None and c.shape[-1]:
            raise ValueError("this discriminator has no classes: leave c out")
        mapped = None if self.mapping is None else self.mapping(None, c)
        outputs, image = self._run(images)
        return self.b4(outputs[-1], image, mapped)

    def features(self, images: Tensor) -> list[Tensor]:
        """Outputs of the halving blocks, finest first: `[N, C, R/2, R/2]` ... `[N, C, 4, 4]`, in
        `compute_dtype`.
        """
        return self._run(images)[0]

    def _run(self, images: Tensor) -> tuple[list[Tensor], Tensor]:
        side = self.config.resolution
        if images.ndim != 4 or images.shape[1:] != (3, side, side):
            raise ValueError(f"pictures of shape {tuple(images.shape)}; expected [N, 3, {side}, {side}]")
        image = images.to(self.compute_dtype).contiguous(memory_format=torch.channels_last)
        x: Tensor | None = None
        outputs = []
        for side in self.config.sides:
            x, image = self.get_submodule(f"b{side}")(x, image)
            outputs.append(x)
        return outputs, image
