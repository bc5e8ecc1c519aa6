"""StyleGAN2 generator (Karras et al. 2020, arXiv 1912.04958) behind the contract of `base.Backbone`: skip,
residual and plain architecture, with or without classes.

Parameter names follow the widespread `mapping.fc0`, `synthesis.b4.conv1` scheme, so that weights of other
projects map onto them one to one. Styles scale the activations and one shared weight convolves the whole
batch: no weight is copied per picture.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from ganinv_ops.modulate import modulated_conv2d
from ganinv_ops.upfirdn2d import upsample2d

from .base import Injection, Noise, Synthesis
from .layers import EqualConv2d, EqualLinear, fir_filter
from .mapping import MappedBackbone

Architecture = Literal["skip", "resnet", "orig"]


@dataclass(frozen=True)
class StyleGAN2Config:
    """Architecture of a StyleGAN2 generator, as its checkpoint's header stores it."""

    resolution: int = 64
    """Side of the picture in pixels, a power of two of at least 8."""
    z_dim: int = 512
    w_dim: int = 512
    mapping_layers: int = 8
    channel_base: int = 32768
    """Channels of the block of r px are min(channel_base / r, channel_max); 32768 and 512 are "config F"."""
    channel_max: int = 512
    conv_clamp: float | None = None
    """Largest magnitude of an activation (used with half precision); None = no limit."""
    c_dim: int = 0
    """Width of the class labels; 0 = no classes."""
    architecture: Architecture = "skip"
    """skip: every block adds to the picture. resnet, orig: only the last one draws it, with or without
    shortcuts."""
    widths: tuple[int, ...] = ()
    """Channels of each block, 4 px first, where no rule gives them; () = by channel_base and channel_max."""
    mapping_width: int | None = None
    """Width of the mapping layers before the last; None = w_dim."""
    embed_dim: int | None = None
    """Width of the embedded class; None = w_dim."""
    mapping_lr: float = 0.01
    """Learning-rate multiplier of the mapping layers: it scales their stored values."""
    num_fp16_res: int = 0
    """How many blocks, from the largest down, were trained in half precision. Kept only: we compute in
    single precision."""

    def __post_init__(self) -> None:
        if self.resolution < 8 or self.resolution & (self.resolution - 1):
            raise ValueError(f"resolution {self.resolution} is not a power of two of at least 8")
        if self.architecture not in get_args(Architecture):
            known = ", ".join(get_args(Architecture))
            raise ValueError(f"architecture {self.architecture!r} is not one of {known}")
        if self.widths and len(self.widths) != len(self.sides):
            raise ValueError(f"{len(self.widths)} widths for {len(self.sides)} blocks")
        if self.mapping_layers < 1:
            raise ValueError(f"mapping_layers {self.mapping_layers} is not at least 1")

    def channels(self, side: int) -> int:
        """Channels of the block of `side` px."""
        if self.widths:
            return self.widths[self.sides.index(side)]
        return min(self.channel_base // side, self.channel_max)

    @property
    def sides(self) -> list[int]:
        """Sides of the blocks, 4 first."""
        return [2**k for k in range(2, int(math.log2(self.resolution)) + 1)]

    def to_json(self) -> dict[str, Any]:
        """Plain data for a header; `StyleGAN2Config(**data)` reads it back."""
        return asdict(self)


class SynthesisLayer(nn.Module):
    """Modulated 3 x 3 convolution, noise, bias, leaky ReLU; `up=2` doubles the size first.

    `gain` multiplies activation gain and clamp (residual branches use sqrt(0.5)).
    """

    resample_filter: Tensor
    noise_const: Tensor

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        side: int,
        config: StyleGAN2Config,
        up: int = 1,
        gain: float = 1.0,
    ) -> None:
        super().__init__()
        self.side, self.up, self.gain = side, up, gain * math.sqrt(2)
        self.clamp = None if config.conv_clamp is None else config.conv_clamp * gain
        self.affine = EqualLinear(config.w_dim, in_channels, bias_init=1.0)
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, 3, 3))
        self.bias = nn.Parameter(torch.zeros(out_channels))
        self.noise_strength = nn.Parameter(torch.zeros([]))
        self.register_buffer("noise_const", torch.randn(side, side))
        self.register_buffer("resample_filter", fir_filter(), persistent=False)

    def forward(self, x: Tensor, w: Tensor, noise: Noise, generator: torch.Generator | None) -> Tensor:
        fir = self.resample_filter if self.up > 1 else None
        styles = self.affine(w)
        if x.dtype == torch.float16:  # its largest number is 65504; demodulation takes any factor out again
            styles = styles / styles.abs().amax(dim=1, keepdim=True).clamp(min=1e-6)
        return modulated_conv2d(
            x,
            self.weight,
            styles,
            noise=self.noise_maps(x.shape[0], noise, generator),
            bias=self.bias,
            act="lrelu",
            gain=self.gain,
            clamp=self.clamp,
            up=self.up,
            padding=1,
            resample_filter=fir,
        )

    def noise_maps(self, n: int, kind: Noise, generator: torch.Generator | None) -> Tensor | None:
        """What is added to the convolution, [N or 1, 1, side, side]; None for no noise."""
        if kind == "none":
            return None
        if kind == "const":
            maps = self.noise_const[None, None]
        else:  # drawn where the generator lives, so that a seed means the same on every device
            device = self.noise_const.device if generator is None else generator.device
            maps = torch.randn(n, 1, self.side, self.side, device=device, generator=generator).to(
                self.noise_const.device
            )
        return maps * self.noise_strength


class ToRGB(nn.Module):
    """Modulated 1 x 1 convolution to RGB, without demodulation."""

    def __init__(self, in_channels: int, config: StyleGAN2Config) -> None:
        super().__init__()
        self.clamp = config.conv_clamp
        self.affine = EqualLinear(config.w_dim, in_channels, bias_init=1.0)
        self.weight = nn.Parameter(torch.randn(3, in_channels, 1, 1))
        self.bias = nn.Parameter(torch.zeros(3))
        self.weight_gain = 1 / math.sqrt(in_channels)

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        styles = self.affine(w) * self.weight_gain
        return modulated_conv2d(x, self.weight, styles, bias=self.bias, clamp=self.clamp, demodulate=False)


class SynthesisBlock(nn.Module):
    """All layers of one size: doubling convolution (absent at 4 px), convolution, and what the architecture
    adds: a shortcut past both, the RGB output.
    """

    resample_filter: Tensor

    def __init__(self, side: int, config: StyleGAN2Config) -> None:
        super().__init__()
        self.side = side
        channels = config.channels(side)
        residual = config.architecture == "resnet" and side > 4
        half = math.sqrt(0.5) if residual else 1.0
        if side == 4:
            self.const = nn.Parameter(torch.randn(channels, 4, 4))
        else:
            below = config.channels(side // 2)
            self.conv0 = SynthesisLayer(below, channels, side, config, up=2)
        self.conv1 = SynthesisLayer(channels, channels, side, config, gain=half)
        self.skip = EqualConv2d(below, channels, 1, bias=False, up=2, gain=half) if residual else None
        draws = config.architecture == "skip" or side == config.resolution
        self.torgb = ToRGB(channels, config) if draws else None
        self.register_buffer("resample_filter", fir_filter(), persistent=False)

    @property
    def num_convs(self) -> int:
        """Codes that the block's convolutions take (its RGB output takes one more, which the next block
        shares).
        """
        return 1 if self.side == 4 else 2

    def forward(
        self,
        x: Tensor | None,
        image: Tensor | None,
        ws: Sequence[Tensor],
        inject: Injection,
        noise: Noise,
        generator: torch.Generator | None,
        dtype: torch.dtype,
    ) -> tuple[Tensor, Tensor | None]:
        codes = iter(ws)
        shortcut: Tensor | None = None
        if x is None:
            batch = ws[0].shape[0]
            x = self.const.to(dtype).expand(batch, -1, -1, -1).contiguous(memory_format=torch.channels_last)
        else:
            shortcut = None if self.skip is None else self.skip(x)
            x = self.conv0(x, next(codes), noise, generator)
        x = self.conv1(x, next(codes), noise, generator)
        if shortcut is not None:
            x = shortcut + x
        if self.side in inject:
            x = inject[self.side](x).to(dtype)
        if self.torgb is None:
            return x, image
        rgb = self.torgb(x, next(codes)).float()
        return x, rgb if image is None else upsample2d(image, self.resample_filter) + rgb


class SynthesisNetwork(nn.Module):
    """W+ codes -> picture, block by block from 4 px up."""

    def __init__(self, config: StyleGAN2Config) -> None:
        super().__init__()
        self.sides = config.sides
        for side in self.sides:
            self.add_module(f"b{side}", SynthesisBlock(side, config))

    def block(self, side: int) -> SynthesisBlock:
        """The block whose output is `side` px wide."""
        block = self.get_submodule(f"b{side}")
        assert isinstance(block, SynthesisBlock)
        return block


class StyleGAN2Generator(MappedBackbone):
    """StyleGAN2 generator. `compute_dtype` may be set to bfloat16 or float16: convolutions then run in it,
    styles and pictures in float32.
    """

    family = "stylegan2"

    def __init__(self, config: StyleGAN2Config) -> None:
        super().__init__(config, num_ws=2 * len(config.sides))
        self.config = config
        self.synthesis = SynthesisNetwork(config)

    @property
    def feature_channels(self) -> dict[int, int]:
        return {side: self.config.channels(side) for side in self.config.sides}

    def synthesize(
        self,
        ws: Tensor,
        *,
        noise: Noise = "const",
        inject: Injection | None = None,
        capture: Sequence[int] = (),
        generator: torch.Generator | None = None,
    ) -> Synthesis:
        self.check_codes(ws)
        inject = inject or {}
        self.check_sides([*inject, *capture])
        codes = ws.float().unbind(1)
        x: Tensor | None = None
        image: Tensor | None = None
        features: dict[int, Tensor] = {}
        at = 0
        for side in self.synthesis.sides:
            block = self.synthesis.block(side)
            x, image = block(
                x, image, codes[at : at + block.num_convs + 1], inject, noise, generator, self.compute_dtype
            )
            at += block.num_convs
            if side in capture:
                features[side] = x
        assert image is not None
        return Synthesis(image, features)
