"""StyleGAN3 generator, configurations T and R (Karras et al. 2021, arXiv 2106.12423), behind the contract of
`base.Backbone`.

Its layers draw on a canvas that is wider than the picture by a margin, so that filters and convolutions at
the border see what lies beyond. `feature_channels`, `inject` and `capture` speak of the picture's part only.
Parameter names follow the widespread `synthesis.L0_36_512` scheme. The network has no noise: all kinds of it
give the same picture.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ganinv_ops.filtered_lrelu import filtered_lrelu
from ganinv_ops.modulate import modulated_conv2d

from .alias_free import LayerGeometry, band_limits
from .base import Injection, Noise, Synthesis
from .fourier import FourierInput
from .layers import EqualLinear
from .mapping import MappedBackbone


@dataclass(frozen=True)
class StyleGAN3Config:
    """Architecture of a StyleGAN3 generator, as its checkpoint's header stores it. The defaults are
    configuration T; R has conv_kernel 1, use_radial_filters, and twice the channels.
    """

    resolution: int = 64
    """Side of the picture in pixels, a power of two from 8 to 8192."""
    z_dim: int = 512
    w_dim: int = 512
    mapping_layers: int = 2
    c_dim: int = 0
    """Width of the class labels; 0 = no classes."""
    mapping_width: int | None = None
    """Width of the mapping layers before the last; None = w_dim."""
    embed_dim: int | None = None
    """Width of the embedded class; None = w_dim."""
    mapping_lr: float = 0.01
    """Learning-rate multiplier of the mapping layers: it scales their stored values."""
    channel_base: int = 32768
    """Channels of a layer of cutoff f are min(channel_base / 2 / f, channel_max), rounded."""
    channel_max: int = 512
    widths: tuple[int, ...] = ()
    """Channels of each layer but the last, where no rule gives them; () = by channel_base and channel_max."""
    num_layers: int = 14
    """Layers but the one to RGB. Codes are two more: one for the input, one for RGB."""
    num_critical: int = 2
    """Layers at the end that use all of the band, before the one to RGB."""
    first_cutoff: float = 2.0
    """Of the first layer, in cycles per side of the picture."""
    first_stopband: float = 2**2.1
    """Frequency from which the first layer holds nothing."""
    last_stopband_rel: float = 2**0.3
    """That of the last layers, as a multiple of their cutoff."""
    margin_size: int = 10
    """Samples beyond each border of the picture."""
    output_scale: float = 0.25
    """The drawn values are multiplied by it."""
    conv_kernel: int = 3
    filter_size: int = 6
    lrelu_upsampling: int = 2
    use_radial_filters: bool = False
    conv_clamp: float | None = 256.0
    """Largest magnitude of an activation (used with half precision); None = no limit."""
    magnitude_ema_beta: float = 0.999
    """Rate at which activation magnitudes were tracked in training. Kept only: the file has their values."""
    num_fp16_res: int = 4
    """How many rates, from the largest down, were trained in half precision. Kept only: we compute in single
    precision.
    """

    def __post_init__(self) -> None:
        if not 8 <= self.resolution <= 8192 or self.resolution & (self.resolution - 1):
            raise ValueError(f"resolution {self.resolution} is not a power of two from 8 to 8192")
        ranges = {
            "mapping_layers": (1, 64),
            "num_layers": (1, 64),
            "num_critical": (0, self.num_layers - 1),
            "margin_size": (0, 64),
            "conv_kernel": (1, 9),
            "filter_size": (1, 32),
            "lrelu_upsampling": (1, 8),
        }
        for name, (least, most) in ranges.items():
            if not least <= getattr(self, name) <= most:
                raise ValueError(f"{name} {getattr(self, name)} is not from {least} to {most}")
        if self.widths and len(self.widths) != self.num_layers:
            raise ValueError(f"{len(self.widths)} widths for {self.num_layers} layers")
        last = self.resolution / 2
        if not 0 < self.first_cutoff <= min(self.first_stopband, last):
            raise ValueError(
                f"first_cutoff {self.first_cutoff} is not above 0 and at most first_stopband "
                f"{self.first_stopband} and half the resolution"
            )
        rises = 1 <= self.first_stopband <= last * self.last_stopband_rel < math.inf
        if not rises or self.last_stopband_rel < 1:
            raise ValueError(
                f"first_stopband {self.first_stopband} and last_stopband_rel {self.last_stopband_rel} are "
                f"not possible; both must be at least 1, and the first at most {last:g} times the second"
            )

    @property
    def layers(self) -> tuple[LayerGeometry, ...]:
        """All layers, the one to RGB last."""
        last, count = self.resolution / 2, self.num_layers + 1
        spacing = (self.num_layers, self.num_critical)
        cutoffs = band_limits(*spacing, self.first_cutoff, last)
        stopbands = band_limits(*spacing, self.first_stopband, last * self.last_stopband_rel)
        rates = [2 ** math.ceil(math.log2(min(2 * band, self.resolution))) for band in stopbands]
        halves = [max(s, r / 2) - c for s, r, c in zip(stopbands, rates, cutoffs, strict=True)]
        sizes = [rate + 2 * self.margin_size for rate in rates[:-2]] + [self.resolution] * 2
        ruled = [round(min(self.channel_base / 2 / cutoff, self.channel_max)) for cutoff in cutoffs]
        channels = [*(self.widths or ruled[:-1]), 3]
        return tuple(
            LayerGeometry(
                in_channels=channels[before],
                out_channels=channels[i],
                in_size=sizes[before],
                out_size=sizes[i],
                in_sampling_rate=rates[before],
                out_sampling_rate=rates[i],
                in_cutoff=cutoffs[before],
                out_cutoff=cutoffs[i],
                in_half_width=halves[before],
                out_half_width=halves[i],
                conv_kernel=1 if i == self.num_layers else self.conv_kernel,
                is_torgb=i == self.num_layers,
                is_critically_sampled=i >= self.num_layers - self.num_critical,
                filter_size=self.filter_size,
                lrelu_upsampling=self.lrelu_upsampling,
                use_radial_filters=self.use_radial_filters,
            )
            for i, before in zip(range(count), [0, *range(count)], strict=False)
        )

    def to_json(self) -> dict[str, Any]:
        """Plain data for a header; `StyleGAN3Config(**data)` reads it back."""
        return asdict(self)


class SynthesisLayer(nn.Module):
    """Modulated convolution, then bias and leaky ReLU between an upsampling and a downsampling filter
    (section 3.2). The layer to RGB has the convolution, without demodulation, the bias and the clamp.

    x `[N, in_channels, in_size, in_size]`, w `[N, w_dim]` -> `[N, out_channels, out_size, out_size]`.
    """

    magnitude_ema: Tensor
    up_filter: Tensor | None
    down_filter: Tensor | None

    def __init__(self, geometry: LayerGeometry, w_dim: int, conv_clamp: float | None = None) -> None:
        super().__init__()
        self.geometry, self.clamp = geometry, conv_clamp
        kernel = geometry.conv_kernel
        self.affine = EqualLinear(w_dim, geometry.in_channels, bias_init=1.0)
        self.weight = nn.Parameter(torch.randn(geometry.out_channels, geometry.in_channels, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(geometry.out_channels))
        self.register_buffer("magnitude_ema", torch.ones([]))
        self.register_buffer("up_filter", geometry.up_filter())
        self.register_buffer("down_filter", geometry.down_filter())

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        geometry, draws = self.geometry, self.geometry.is_torgb
        styles = self.affine(w)
        if draws:
            styles = styles / math.sqrt(geometry.in_channels * geometry.conv_kernel**2)
        x = modulated_conv2d(
            x,
            self.weight,
            styles,
            input_gain=self.magnitude_ema.rsqrt(),  # brings the input to unit magnitude (section 3.2)
            padding=geometry.conv_kernel - 1,
            demodulate=not draws,
        )
        return filtered_lrelu(
            x,
            self.up_filter,
            self.down_filter,
            self.bias,
            up=geometry.up_factor,
            down=geometry.down_factor,
            padding=geometry.padding,
            gain=1.0 if draws else math.sqrt(2),
            slope=1.0 if draws else 0.2,
            clamp=self.clamp,
        )


class SynthesisNetwork(nn.Module):
    """W+ codes -> picture: Fourier features, then layer by layer."""

    def __init__(self, config: StyleGAN3Config) -> None:
        super().__init__()
        geometries = config.layers
        first = geometries[0]
        self.input = FourierInput(
            config.w_dim, first.in_channels, first.in_size, first.in_sampling_rate, first.in_cutoff
        )
        self.layer_names = [f"L{i}_{g.out_size}_{g.out_channels}" for i, g in enumerate(geometries)]
        for name, geometry in zip(self.layer_names, geometries, strict=True):
            self.add_module(name, SynthesisLayer(geometry, config.w_dim, config.conv_clamp))

    def layer(self, name: str) -> SynthesisLayer:
        """The layer of a name of `layer_names`."""
        layer = self.get_submodule(name)
        assert isinstance(layer, SynthesisLayer)
        return layer


class StyleGAN3Generator(MappedBackbone):
    """StyleGAN3 generator. `compute_dtype` may be set to bfloat16 or float16: layers then run in it; codes,
    the Fourier features and the layer to RGB in float32.

    A side in pixels means the last layer, but the one to RGB, whose output has that sampling rate; features
    are its output without the margin. An injected change is continued into the margin from the border, since
    a step there would ring through the filters of all later layers.
    """

    family = "stylegan3"

    def __init__(self, config: StyleGAN3Config) -> None:
        super().__init__(config, num_ws=config.num_layers + 2)
        self.config = config
        self.synthesis = SynthesisNetwork(config)
        self._place_of = {g.out_sampling_rate: i for i, g in enumerate(config.layers) if not g.is_torgb}

    @property
    def feature_channels(self) -> dict[int, int]:
        layers = self.config.layers
        return {side: layers[place].out_channels for side, place in self._place_of.items()}

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
        side_of = {place: side for side, place in self._place_of.items()}
        first, *codes = ws.float().unbind(1)
        x = self.synthesis.input(first).to(self.compute_dtype)
        features: dict[int, Tensor] = {}
        for place, (name, w) in enumerate(zip(self.synthesis.layer_names, codes, strict=True)):
            layer, side = self.synthesis.layer(name), side_of.get(place, 0)
            x = layer(x.float() if layer.geometry.is_torgb else x, w)
            if side in inject:
                x = _injected(x, side, inject[side])
            if side in capture:
                features[side] = _cropped(x, side)
        return Synthesis(x * self.config.output_scale, features)


def _cropped(x: Tensor, side: int) -> Tensor:
    """The middle `[N, C, side, side]`."""
    margin = (x.shape[2] - side) // 2
    return x[:, :, margin : margin + side, margin : margin + side]


def _injected(x: Tensor, side: int, function: Callable[[Tensor], Tensor]) -> Tensor:
    """`x` with the function's result in its middle, and the change of the border continued into the margin.

    Raises:
        ValueError: the result has another shape.
    """
    old = _cropped(x, side)
    new = function(old).to(x.dtype)
    if new.shape != old.shape:
        raise ValueError(
            f"what is injected at {side} px has shape {list(new.shape)}; expected {list(old.shape)}"
        )
    margin = (x.shape[2] - side) // 2
    if margin == 0:
        return new
    change = new - old
    for dim in (2, 3):
        first, last = change.narrow(dim, 0, 1), change.narrow(dim, side - 1, 1)
        change = torch.cat([first] * margin + [change] + [last] * margin, dim)
    x = x + change
    x[:, :, margin : margin + side, margin : margin + side] = new  # exact, which old + (new - old) is not
    return x
