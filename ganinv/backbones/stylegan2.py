"""StyleGAN2 generator with skip outputs (Karras et al. 2020, arXiv 1912.04958) behind the contract of
`base.Backbone`.

Parameter names follow the widespread `mapping.fc0`, `synthesis.b4.conv1` scheme, so that weights of other
projects map onto them one to one. Styles scale the activations and one shared weight convolves the whole
batch: no weight is copied per picture.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ganinv_ops.bias_act import bias_act
from ganinv_ops.modulate import modulated_conv2d
from ganinv_ops.upfirdn2d import upsample2d

from .base import Backbone, Injection, Noise, Synthesis
from .layers import EqualLinear, fir_filter, normalize_second_moment


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

    def __post_init__(self) -> None:
        if self.resolution < 8 or self.resolution & (self.resolution - 1):
            raise ValueError(f"resolution {self.resolution} is not a power of two of at least 8")

    def channels(self, side: int) -> int:
        """Channels of the block of `side` px."""
        return min(self.channel_base // side, self.channel_max)

    @property
    def sides(self) -> list[int]:
        """Sides of the blocks, 4 first."""
        return [2**k for k in range(2, int(math.log2(self.resolution)) + 1)]

    def to_json(self) -> dict[str, Any]:
        """Plain data for a header; `StyleGAN2Config(**data)` reads it back."""
        return asdict(self)


class MappingNetwork(nn.Module):
    """z `[N, z_dim]` -> w `[N, w_dim]`: normalised input, leaky ReLU layers that learn 100 times slower
    than the rest.
    """

    w_avg: Tensor

    def __init__(self, config: StyleGAN2Config) -> None:
        super().__init__()
        self.num_layers = config.mapping_layers
        widths = [config.z_dim] + [config.w_dim] * config.mapping_layers
        for i in range(config.mapping_layers):
            self.add_module(
                f"fc{i}", EqualLinear(widths[i], widths[i + 1], activation="lrelu", lr_multiplier=0.01)
            )
        self.register_buffer("w_avg", torch.zeros(config.w_dim))

    def forward(self, z: Tensor) -> Tensor:
        x = normalize_second_moment(z.float())
        for i in range(self.num_layers):
            x = self.get_submodule(f"fc{i}")(x)
        return x


class SynthesisLayer(nn.Module):
    """Modulated 3 x 3 convolution, noise, bias, leaky ReLU; `up=2` doubles the size first."""

    resample_filter: Tensor
    noise_const: Tensor

    def __init__(
        self, in_channels: int, out_channels: int, side: int, config: StyleGAN2Config, up: int = 1
    ) -> None:
        super().__init__()
        self.side, self.up, self.clamp = side, up, config.conv_clamp
        self.affine = EqualLinear(config.w_dim, in_channels, bias_init=1.0)
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, 3, 3))
        self.bias = nn.Parameter(torch.zeros(out_channels))
        self.noise_strength = nn.Parameter(torch.zeros([]))
        self.register_buffer("noise_const", torch.randn(side, side))
        self.register_buffer("resample_filter", fir_filter(), persistent=False)

    def forward(self, x: Tensor, w: Tensor, noise: Noise, generator: torch.Generator | None) -> Tensor:
        fir = self.resample_filter if self.up > 1 else None
        x = modulated_conv2d(
            x,
            self.weight.to(x.dtype),
            self.affine(w),
            noise=self._noise(x.shape[0], noise, generator, x.dtype),
            up=self.up,
            padding=1,
            resample_filter=fir,
        )
        return bias_act(x, self.bias.to(x.dtype), act="lrelu", clamp=self.clamp)

    def _noise(
        self, n: int, kind: Noise, generator: torch.Generator | None, dtype: torch.dtype
    ) -> Tensor | None:
        if kind == "none":
            return None
        if kind == "const":
            maps = self.noise_const[None, None]
        else:  # drawn where the generator lives, so that a seed means the same on every device
            device = self.noise_const.device if generator is None else generator.device
            maps = torch.randn(n, 1, self.side, self.side, device=device, generator=generator).to(
                self.noise_const.device
            )
        return (maps * self.noise_strength).to(dtype)


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
        x = modulated_conv2d(x, self.weight.to(x.dtype), styles, demodulate=False)
        return bias_act(x, self.bias.to(x.dtype), clamp=self.clamp)


class SynthesisBlock(nn.Module):
    """All layers of one size: doubling convolution (absent at 4 px), convolution, and the RGB skip output."""

    resample_filter: Tensor

    def __init__(self, side: int, config: StyleGAN2Config) -> None:
        super().__init__()
        self.side = side
        channels = config.channels(side)
        if side == 4:
            self.const = nn.Parameter(torch.randn(channels, 4, 4))
        else:
            self.conv0 = SynthesisLayer(config.channels(side // 2), channels, side, config, up=2)
        self.conv1 = SynthesisLayer(channels, channels, side, config)
        self.torgb = ToRGB(channels, config)
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
    ) -> tuple[Tensor, Tensor]:
        codes = iter(ws)
        if x is None:
            batch = ws[0].shape[0]
            x = self.const.to(dtype).expand(batch, -1, -1, -1).contiguous(memory_format=torch.channels_last)
        else:
            x = self.conv0(x, next(codes), noise, generator)
        x = self.conv1(x, next(codes), noise, generator)
        if self.side in inject:
            x = inject[self.side](x).to(dtype)
        rgb = self.torgb(x, next(codes)).float()
        if image is not None:
            rgb = upsample2d(image, self.resample_filter) + rgb
        return x, rgb


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


class StyleGAN2Generator(Backbone):
    """StyleGAN2 generator. `compute_dtype` may be set to bfloat16: convolutions then run in it, styles
    and pictures in float32.
    """

    family = "stylegan2"

    def __init__(self, config: StyleGAN2Config) -> None:
        super().__init__()
        self.config = config
        self.resolution, self.z_dim, self.w_dim = config.resolution, config.z_dim, config.w_dim
        self.num_ws = 2 * len(config.sides)
        self.compute_dtype = torch.float32
        self.mapping = MappingNetwork(config)
        self.synthesis = SynthesisNetwork(config)

    @property
    def w_avg(self) -> Tensor:  # type: ignore[override]
        """Mean of w `[w_dim]`, tracked during training."""
        return self.mapping.w_avg

    @property
    def feature_channels(self) -> dict[int, int]:
        return {side: self.config.channels(side) for side in self.config.sides}

    def map(self, z: Tensor, c: Tensor | None = None, truncation: float = 1.0) -> Tensor:
        if c is not None:
            raise ValueError("this generator has no classes: leave c out")
        w = self.mapping(z)
        if truncation != 1:
            w = self.w_avg.lerp(w, truncation)
        return w[:, None].repeat(1, self.num_ws, 1)

    def synthesize(
        self,
        ws: Tensor,
        *,
        noise: Noise = "const",
        inject: Injection | None = None,
        capture: Sequence[int] = (),
        generator: torch.Generator | None = None,
    ) -> Synthesis:
        if ws.ndim != 3 or ws.shape[1:] != (self.num_ws, self.w_dim):
            raise ValueError(f"codes of shape {tuple(ws.shape)}; expected [N, {self.num_ws}, {self.w_dim}]")
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
