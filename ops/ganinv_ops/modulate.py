"""Layers of style-based generators: a convolution modulated per sample with one shared weight, and the rest.

Modulation multiplies the weight's input channels by each sample's styles, and demodulation divides by the
norm of the result per output channel. Both are diagonal, so the same numbers come from scaling the
activations before and after one ordinary convolution, which costs a pass over the activations instead of one
weight per sample; and where the convolution is ours (`winograd`), not even that.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor

from ganinv_ops import matrix_unit, winograd
from ganinv_ops.bias_act import ACTIVATIONS
from ganinv_ops.conv import conv2d_resample, padding_after, upsampling_conv2d
from ganinv_ops.dispatch import Impl
from ganinv_ops.epilogue import epilogue
from ganinv_ops.filters import Padding, add_padding, parse_padding
from ganinv_ops.kept import kept
from ganinv_ops.upfirdn2d import keeps_channels_last


def modulated_conv2d(
    x: Tensor,
    weight: Tensor,
    styles: Tensor,
    *,
    input_gain: Tensor | None = None,
    noise: Tensor | None = None,
    bias: Tensor | None = None,
    act: Literal["linear", "lrelu"] = "linear",
    gain: float | None = None,
    clamp: float | None = None,
    up: int = 1,
    down: int = 1,
    padding: Padding = 0,
    resample_filter: Tensor | None = None,
    demodulate: bool = True,
    flip_weight: bool | None = None,
    impl: Impl = "auto",
) -> Tensor:
    """Convolve each sample with a weight scaled by its styles; then noise, bias, activation, gain and clamp.

    Args:
        x: [N, I, H, W].
        weight: [O, I, kh, kw], cast to the type of x.
        styles: [N, I], factors of the input channels (about 1).
        input_gain: factors of x that demodulation does not undo: [], [I] or [N, I]. None is 1.
        noise: added to the convolution: [N, 1, H', W'] or [1, 1, H', W'].
        bias: [O], added as well.
        act, gain, clamp: as in `bias_act`, of whose activations these two are fused.
        up, down: whole resampling factors.
        padding: with respect to the upsampled picture; kh // 2 keeps the size.
        resample_filter: of `setup_filter`; used where up or down is above 1.
        demodulate: scale each output channel so that unit-variance input gives unit variance.
        flip_weight: True correlates, as conv2d does. None is StyleGAN2's way: correlate, but convolve when
            up > 1.
        impl: as in `upfirdn2d`.

    Returns:
        [N, O, H * up / down, W * up / down] for padding kh // 2, type of x.

    Raises:
        ValueError: shapes that do not fit together, another activation.
    """
    _check(x, weight, styles, act)
    scale = styles if input_gain is None else styles * input_gain
    after = {
        "factor": _demodulation(weight, styles, x.dtype) if demodulate else None,
        "noise": noise,
        "bias": bias,
        "slope": ACTIVATIONS["lrelu"].default_alpha if act == "lrelu" else 1.0,
        "gain": ACTIVATIONS[act].default_gain if gain is None else gain,
        "clamp": clamp,
    }
    flip = up == 1 if flip_weight is None else flip_weight
    return _layer(x, weight, scale, resample_filter, up, down, parse_padding(padding), flip, impl, after)


def _layer(
    x: Tensor,
    weight: Tensor,
    scale: Tensor,
    f: Tensor | None,
    up: int,
    down: int,
    pads: tuple[int, int, int, int],
    flip: bool,
    impl: Impl,
    after: dict[str, Any],
) -> Tensor:
    """The convolution of x * scale the quickest way, then the `epilogue` with the settings `after`.

    Without gradients Winograd's kernels take x as it is; a doubling layer leaves its filter to the epilogue.
    """
    doubles = up > 1 and f is not None and down == 1 and weight.shape[2:] != (1, 1)
    fits = (doubles or up == down == 1) and winograd.fits(x, weight, up=up, padding=pads, impl=impl)
    fused = fits and not winograd.tracked(x, weight, scale, after["factor"], after["noise"], after["bias"])
    if fused and not doubles:
        return winograd.winograd_conv2d(x, weight, scale, padding=pads[0], flip_weight=flip, **after)
    zeros = 0  # rows and columns of padding that the convolution has put at its result's end
    if fused:
        x = winograd.winograd_up(x, weight, scale, flip_weight=flip)
    elif weight.shape[2:] == (1, 1) and weight.shape[0] <= 4 and (up, down, *pads) == (1, 1, 0, 0, 0, 0):
        x = _to_few(x, weight, scale)
    elif (doubles or up == 1) and matrix_unit.fits(
        x, weight, scale, up=up, down=down, padding=pads, impl=impl
    ):
        x = _scaled(x, scale, impl)
        if doubles:
            x, zeros = matrix_unit.doubled(x, weight, flip), 1
        else:
            x = matrix_unit.conv2d(x, weight, pads[0], flip)
    else:
        w = weight.to(x.dtype) if fits else _in_order(weight, x, up)
        x = _scaled(x, scale, impl)
        if doubles:
            x = upsampling_conv2d(x, w, up=up, flip_weight=flip, impl=impl)
        else:
            x = conv2d_resample(x, w, f, up=up, down=down, padding=pads, flip_weight=flip, impl=impl)
    if not doubles:
        return epilogue(x, impl=impl, **after)
    rest = add_padding(padding_after(weight, f, up, pads), (0, -zeros, 0, -zeros))
    return epilogue(x, f, padding=rest, filter_gain=up**2, impl=impl, **after)


def _scaled(x: Tensor, scale: Tensor, impl: Impl) -> Tensor:
    """x * scale; where gradients follow, by the operator whose own take one pass for both."""
    if winograd.tracked(x, scale):
        return epilogue(x, factor=scale, slope=1, impl=impl)
    return x * scale.to(x.dtype)[:, :, None, None]


def _in_order(weight: Tensor, x: Tensor, up: int) -> Tensor:
    """The weight in the type of x and, for channels_last, in the order in which its convolution reads it:
    in a layer of a few pixels, reordering takes longer than the rest.
    """
    if not keeps_channels_last(x):
        return weight.to(x.dtype)

    def make() -> Tensor:
        w = weight.to(x.dtype)
        if up == 1:
            return w.contiguous(memory_format=torch.channels_last)
        return w.transpose(0, 1).contiguous(memory_format=torch.channels_last).transpose(0, 1)

    return kept(weight, ("in order", x.dtype, up > 1), make)


def _to_few(x: Tensor, weight: Tensor, scale: Tensor) -> Tensor:
    """A 1 x 1 convolution to a few channels, such as RGB: there a weight for each sample is the cheaper way,
    one reading of x and no copy.
    """
    n, channels, h, w = x.shape
    weights = (weight[None, :, :, 0, 0] * scale[:, None]).to(x.dtype)  # [N, O, I]
    pixels = x.permute(0, 2, 3, 1).reshape(n, h * w, channels)  # a view of channels_last
    return torch.bmm(pixels, weights.transpose(1, 2)).reshape(n, h, w, len(weight)).permute(0, 3, 1, 2)


def _check(x: Tensor, weight: Tensor, styles: Tensor, act: str) -> None:
    if weight.ndim != 4 or x.ndim != 4 or x.shape[1] != weight.shape[1]:
        raise ValueError(
            f"x {list(x.shape)} and weight {list(weight.shape)} do not fit; "
            f"give [N, I, H, W] and [O, I, kh, kw]"
        )
    if styles.shape != x.shape[:2]:
        raise ValueError(
            f"styles have shape {list(styles.shape)}; give {list(x.shape[:2])}, "
            f"one factor per sample and channel of x"
        )
    if act not in ("linear", "lrelu"):
        raise ValueError(f"activation {act!r} is not one of linear, lrelu; use bias_act for others")


def _demodulation(weight: Tensor, styles: Tensor, dtype: torch.dtype) -> Tensor:
    """[N, O]: one over the norm of each sample's modulated weight, per output channel."""
    exact = torch.promote_types(
        dtype, torch.float32
    )  # bfloat16's eight bits are too few, and this costs little

    def make() -> Tensor:
        taps = weight.to(exact).flatten(2).square()
        return taps @ taps.new_ones(taps.shape[2])  # [O, I]; a product sums short rows sooner than sum does

    energy = kept(weight, ("energy", exact), make)
    return (styles.to(exact).square() @ energy.t() + 1e-8).rsqrt()
