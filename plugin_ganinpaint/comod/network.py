"""A co-modulated U-Net: a picture with a hole and a random vector in, the filled picture out, in one pass.

The idea is that of Zhao et al., "Large Scale Image Completion via Co-Modulated Generative Adversarial
Networks" (ICLR 2021, arXiv 2103.10428): the decoder of a U-Net is a style-modulated generator whose style is
read from both what is visible and a random code. It knows no inversion, so its pictures cannot be edited.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from ganinv.parts import (
    Backbone,
    ConfigError,
    EqualConv2d,
    EqualLinear,
    UnknownNameError,
    erase,
)
from ganinv_ops.filters import setup_filter
from ganinv_ops.modulate import modulated_conv2d
from ganinv_ops.upfirdn2d import upsample2d

from ..config import LARGE, code_spread, described

_BOTTOM = 4  # side in pixels of the smallest maps
_TAPS = (1.0, 3.0, 3.0, 1.0)  # the resampling filter of StyleGAN2

PRESETS: dict[str, dict[str, int]] = {
    "tiny": {"channel_base": 128, "channel_max": 12, "style_dim": 16, "mapping_layers": 2},
    "small": {"channel_base": 1536, "channel_max": 256, "style_dim": 256, "mapping_layers": 3},
    "large": {"channel_base": 16384, "channel_max": 512, "style_dim": 512, "mapping_layers": 4},
}


@dataclass(frozen=True)
class CoModConfig:
    """All that is needed to build the network; the header of a weight file holds it."""

    resolution: int
    """Side of the pictures in pixels, a power of two."""
    random_dim: int
    """Width of the random vector: the backbone's w_dim."""
    channel_base: int = 1536
    """A map of `side` px has channel_base / side channels, up to `channel_max`."""
    channel_max: int = 256
    style_dim: int = 256
    """Width of each half of the style: one is read from the picture, one from the random vector."""
    mapping_layers: int = 3
    """Linear layers that the random vector goes through."""
    content: tuple[int, int] | None = None
    """Height and width of the middle part of the pictures that holds content; None = all of it."""

    def __post_init__(self) -> None:
        if self.resolution < 2 * _BOTTOM or self.resolution & (self.resolution - 1):
            raise ConfigError(
                f"resolution {self.resolution} is not possible for comod; give a power of two from "
                f"{2 * _BOTTOM} px"
            )
        counts = ("random_dim", "channel_max", "style_dim", "mapping_layers")
        wrong = [f"{name} {getattr(self, name)}" for name in counts if getattr(self, name) < 1]
        if wrong or self.channel_base < self.resolution:
            wrong = wrong or [f"channel_base {self.channel_base} at {self.resolution} px"]
            raise ConfigError(f"comod cannot have {', '.join(wrong)}; every layer needs 1 channel or more")

    @classmethod
    def for_backbone(
        cls, backbone: Backbone, preset: str | None = None, *, content: tuple[int, int] | None = None
    ) -> CoModConfig:
        """The network that suits the pictures of `backbone`.

        Args:
            preset: a name of `PRESETS`; None: "large" from 256 px, "small" (at 64 px about as large as the
                networks of diverse-inpaint together) from 64 px, else "tiny".
            content: as the field.

        Raises:
            UnknownNameError: no such preset. ConfigError: the backbone's side is not possible.
        """
        size = backbone.resolution
        preset = preset or ("large" if size >= LARGE else "small" if size >= 64 else "tiny")
        if preset not in PRESETS:
            raise UnknownNameError("comod preset", preset, PRESETS)
        return cls(resolution=size, random_dim=backbone.w_dim, content=content, **PRESETS[preset])

    @property
    def sides(self) -> tuple[int, ...]:
        """Sides of the maps in pixels, the smallest first."""
        return tuple(_BOTTOM << k for k in range((self.resolution // _BOTTOM).bit_length()))

    def channels(self, side: int) -> int:
        """Channels of the maps of `side` px."""
        return min(self.channel_base // side, self.channel_max)

    def to_json(self) -> dict[str, Any]:
        """Plain data for a file's header."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> CoModConfig:
        """Read what `to_json` wrote.

        Raises:
            CheckpointError: an entry is missing or not known.
        """
        return described(cls, data, "comod")


class ModulatedConv(nn.Module):
    """Convolution `[N, in, H, W] -> [N, out, H * up, W * up]`, its input channels scaled by the style.

    The weight is shared by all samples: their factors go on the maps before it, those of demodulation after
    it, which costs far less than one weight for each sample.
    """

    resample_filter: Tensor | None

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        style_dim: int,
        *,
        kernel_size: int = 3,
        up: int = 1,
        to_rgb: bool = False,
    ) -> None:
        """`to_rgb`: neither demodulation nor activation."""
        super().__init__()
        self.up, self.to_rgb, self.padding = up, to_rgb, kernel_size // 2
        self.affine = EqualLinear(style_dim, in_channels, bias_init=1.0)
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, kernel_size, kernel_size))
        self.bias = nn.Parameter(torch.zeros(out_channels))
        self.style_gain = (
            1 / math.sqrt(in_channels) if to_rgb else 1.0
        )  # demodulation would undo it elsewhere
        self.register_buffer("resample_filter", setup_filter(_TAPS) if up > 1 else None, persistent=False)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        """x `[N, in, H, W]`, style `[N, style_dim]`."""
        return modulated_conv2d(
            x,
            self.weight,
            self.affine(style) * self.style_gain,
            bias=self.bias,
            act="linear" if self.to_rgb else "lrelu",
            up=self.up,
            padding=self.padding,
            resample_filter=self.resample_filter,
            demodulate=not self.to_rgb,
        )


class DecoderBlock(nn.Module):
    """Doubles the size, takes in the encoder's map of that size, and adds to the picture drawn so far."""

    resample_filter: Tensor

    def __init__(self, config: CoModConfig, side: int) -> None:
        super().__init__()
        below, channels, style = config.channels(side // 2), config.channels(side), 2 * config.style_dim
        self.grow = ModulatedConv(below, channels, style, up=2)
        self.skip = EqualConv2d(channels, channels, 1, gain=math.sqrt(0.5))
        self.conv = ModulatedConv(channels, channels, style)
        self.to_rgb = ModulatedConv(channels, 3, style, kernel_size=1, to_rgb=True)
        self.register_buffer("resample_filter", setup_filter(_TAPS), persistent=False)

    def forward(self, x: Tensor, picture: Tensor, seen: Tensor, style: Tensor) -> tuple[Tensor, Tensor]:
        """Maps and picture of half the side, the encoder's map, the style -> maps and picture."""
        x = self.grow(x, style) * math.sqrt(0.5) + self.skip(seen)  # the sum keeps the variance
        x = self.conv(x, style)
        return x, upsample2d(picture, self.resample_filter) + self.to_rgb(x, style)


class CoModUNet(nn.Module):
    """Fills the hole of a picture; other random vectors fill it in other ways."""

    w_avg: Tensor
    w_std: Tensor

    def __init__(self, config: CoModConfig, w_avg: Tensor | None = None, w_std: float = 1.0) -> None:
        """`w_avg` (random_dim) and `w_std`: mean, and root mean square around it, of the random vectors; the
        network sees them in these units. None: 0, for weights that bring their own.
        """
        super().__init__()
        self.config = config
        mean = torch.zeros(config.random_dim) if w_avg is None else w_avg.detach().clone().float()
        self.register_buffer("w_avg", mean)
        self.register_buffer("w_std", torch.tensor(float(w_std)))
        widths = [config.channels(side) for side in config.sides]  # 4 px first
        style, bottom = config.style_dim, widths[0]

        self.first = EqualConv2d(4, widths[-1], 3, activation="lrelu")
        self.shrink = nn.ModuleList(
            EqualConv2d(wide, deep, 3, down=2, activation="lrelu") for wide, deep in pairwise(widths[::-1])
        )
        self.to_vector = EqualLinear(bottom * _BOTTOM**2, style, activation="lrelu")

        sizes = [config.random_dim] + [style] * config.mapping_layers
        self.mapping = nn.Sequential(*(EqualLinear(a, b, activation="lrelu") for a, b in pairwise(sizes)))

        self.bottom = ModulatedConv(bottom, bottom, 2 * style)
        self.bottom_rgb = ModulatedConv(bottom, 3, 2 * style, kernel_size=1, to_rgb=True)
        self.blocks = nn.ModuleList(DecoderBlock(config, side) for side in config.sides[1:])

    @classmethod
    def for_backbone(
        cls, backbone: Backbone, preset: str | None = None, *, content: tuple[int, int] | None = None
    ) -> CoModUNet:
        """A network with fresh weights, on the CPU; arguments and errors as `CoModConfig.for_backbone`."""
        config = CoModConfig.for_backbone(backbone, preset, content=content)
        return cls(config, backbone.w_avg.cpu(), code_spread(backbone))

    def forward(self, erased: Tensor, visible: Tensor, random: Tensor) -> Tensor:
        """Draw whole pictures, the known part as well.

        Args:
            erased: (N, 3, R, R) in [-1, 1]; not read where `visible` is 0.
            visible: (N, 1, R, R), 1 = known.
            random: (N, random_dim), one row of the backbone's codes each: w_rand[:, 0].

        Returns:
            (N, 3, R, R), about [-1, 1]; nobody clamps here.
        """
        return self.decode(*self.encode(erased, visible), random)

    def encode(self, erased: Tensor, visible: Tensor) -> tuple[list[Tensor], Tensor]:
        """What is visible, read once for any number of random vectors.

        Returns:
            maps [N, C, side, side] for each side, 4 px first, and the bottleneck's vector [N, style_dim].
        """
        known = (visible > 0.5).to(erased.dtype)
        maps = [self.first(torch.cat([erase(erased, visible), known], dim=1))]
        for layer in self.shrink:
            maps.append(layer(maps[-1]))
        return maps[::-1], self.to_vector(maps[-1].flatten(1))

    def decode(self, maps: list[Tensor], vector: Tensor, random: Tensor) -> Tensor:
        """Pictures (N, 3, R, R) of what `encode` gave, with random vectors (N, random_dim)."""
        heard = self.mapping((random - self.w_avg) / self.w_std)
        style = torch.cat([vector, heard], dim=1)  # (N, 2 style_dim)
        x = self.bottom(maps[0], style)
        picture = self.bottom_rgb(x, style)
        for block, seen in zip(self.blocks, maps[1:], strict=True):
            x, picture = block(x, picture, seen, style)
        return picture
