"""StyleGAN2 as the field usually computes it: what ours is measured against.

One weight for each sample, a grouped convolution, pictures in plain layout, float32, and every operation's
unfused reference. The numbers are the same as ours but for rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ganinv.backbones.base import Injection, Noise, Synthesis
from ganinv.backbones.stylegan2 import (
    StyleGAN2Config,
    StyleGAN2Generator,
    SynthesisBlock,
    SynthesisLayer,
    ToRGB,
)
from ganinv.errors import UsageError
from ganinv_ops.bias_act import bias_act
from ganinv_ops.conv import conv2d_resample
from ganinv_ops.upfirdn2d import upsample2d


class PeerStyleGenerator(StyleGAN2Generator):
    """A StyleGAN2 generator (skip architecture) whose `synthesize` goes the usual way.

    Raises:
        UsageError: another architecture.
    """

    def synthesize(
        self,
        ws: Tensor,
        *,
        noise: Noise = "const",
        inject: Injection | None = None,
        capture: Sequence[int] = (),
        generator: torch.Generator | None = None,
    ) -> Synthesis:
        if self.config.architecture != "skip":
            raise UsageError(
                f"the usual way is written for skip generators; this is {self.config.architecture}"
            )
        self.check_codes(ws)
        x: Tensor | None = None
        image: Tensor | None = None
        features: dict[int, Tensor] = {}
        codes = list(ws.float().unbind(1))
        for side in self.synthesis.sides:
            block = self.synthesis.block(side)
            x, image = _block(block, x, image, codes, noise, generator, (inject or {}).get(side))
            del codes[: block.num_convs]
            if side in capture:
                features[side] = x
        assert image is not None
        return Synthesis(image, features)


def _block(
    block: SynthesisBlock,
    x: Tensor | None,
    image: Tensor | None,
    codes: Sequence[Tensor],
    noise: Noise,
    generator: torch.Generator | None,
    change: Callable[[Tensor], Tensor] | None,
) -> tuple[Tensor, Tensor]:
    assert block.torgb is not None
    if x is None:
        x = block.const.expand(codes[0].shape[0], -1, -1, -1).contiguous()
    else:
        x = _layer(block.conv0, x, codes[0], noise, generator)
    x = _layer(block.conv1, x, codes[block.num_convs - 1], noise, generator)
    if change is not None:
        x = change(x).contiguous()
    rgb = _to_rgb(block.torgb, x, codes[block.num_convs])
    return x, rgb if image is None else upsample2d(image, block.resample_filter, impl="ref") + rgb


def _layer(
    layer: SynthesisLayer, x: Tensor, w: Tensor, noise: Noise, generator: torch.Generator | None
) -> Tensor:
    fir = layer.resample_filter if layer.up > 1 else None
    x = _grouped(x, layer.weight, layer.affine(w), True, up=layer.up, padding=1, f=fir)
    maps = layer.noise_maps(x.shape[0], noise, generator)
    if maps is not None:
        x = x + maps
    return bias_act(x, layer.bias, act="lrelu", gain=layer.gain, clamp=layer.clamp, impl="ref")


def _to_rgb(layer: ToRGB, x: Tensor, w: Tensor) -> Tensor:
    styles = layer.affine(w) * layer.weight_gain
    return bias_act(_grouped(x, layer.weight, styles, False), layer.bias, clamp=layer.clamp, impl="ref")


def _grouped(
    x: Tensor,
    weight: Tensor,
    styles: Tensor,
    demodulate: bool,
    *,
    up: int = 1,
    padding: int = 0,
    f: Tensor | None = None,
) -> Tensor:
    """A weight for each sample, all samples as the groups of one convolution."""
    n, _, height, width = x.shape
    weights = weight * styles[:, None, :, None, None]  # [N, O, I, kh, kw]
    if demodulate:
        weights = weights * (weights.square().sum((2, 3, 4), keepdim=True) + 1e-8).rsqrt()
    y = conv2d_resample(
        x.reshape(1, -1, height, width),
        weights.flatten(0, 1),
        f,
        up=up,
        padding=padding,
        groups=n,
        flip_weight=up == 1,
        impl="ref",
    )
    return y.reshape(n, -1, *y.shape[2:])


def multiplications(config: StyleGAN2Config) -> float:
    """Multiply-add pairs of the convolutions of one picture, a transposed one counted without its zeros."""
    total = 0.0
    for side in config.sides:
        channels = config.channels(side)
        total += side**2 * channels * (9 * channels + 3)
        if side > 4:
            total += (side // 2) ** 2 * channels * config.channels(side // 2) * 9
    return total
