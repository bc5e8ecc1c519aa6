"""The activation of StyleGAN3, free of aliasing: leaky ReLU at a higher sampling rate, between two low-pass filters.

The meaning (Karras et al., "Alias-Free Generative Adversarial Networks", arXiv 2106.12423, section 3 and
appendix D): add the bias; upsample with ``fu`` and a gain of ``up ** 2``; leaky ReLU, gain, clamp; downsample
with ``fd``. The reference below is the specification.
"""

from __future__ import annotations

import math

from torch import Tensor

from ganinv_ops.bias_act import bias_act
from ganinv_ops.build import Impl
from ganinv_ops.upfirdn2d import Padding, filter_size, parse_padding, upfirdn2d


def filtered_lrelu(
    x: Tensor,
    fu: Tensor | None = None,
    fd: Tensor | None = None,
    b: Tensor | None = None,
    *,
    up: int = 1,
    down: int = 1,
    padding: Padding = 0,
    gain: float = math.sqrt(2),
    slope: float = 0.2,
    clamp: float | None = None,
    flip_filter: bool = False,
    impl: Impl = "auto",
) -> Tensor:
    """Add a bias, upsample, apply a leaky ReLU, scale, clamp and downsample.

    Args:
        x: [N, C, H, W], floating point.
        fu: upsampling filter, [n] (applied along both axes), [height, width], or None for no filter; float32
            whatever the type of x, as `setup_filter` makes.
        fd: downsampling filter, likewise.
        b: [C], or None for no bias. Cast to the type of x.
        up, down: whole factors, the same along both axes.
        padding: around the upsampled picture, in its pixels: one number, (x, y) or
            (left, right, top, bottom); negative numbers crop.
        gain: factor after the leaky ReLU.
        slope: of its negative side.
        clamp: values are limited to [-clamp, clamp] after the gain; None is no limit.
        flip_filter: False convolves with both filters, True correlates.
        impl: "auto" runs the native kernel where there is one, "native" insists, "ref" never does.

    Returns:
        [N, C, (H * up + top + bottom - (height of fu - 1) - height of fd) // down + 1, same for W], type and
        memory layout of x.

    Raises:
        ValueError: wrong shapes, factors below 1, a negative clamp, or nothing left after padding.
        NativeOpError: "native" asked for, and impossible.
    """
    _check(x, fu, fd, b, up, down, padding, clamp)
    x = bias_act(x, b, impl=impl)
    x = upfirdn2d(x, fu, up=up, padding=padding, flip_filter=flip_filter, gain=up**2, impl=impl)
    x = bias_act(x, act="lrelu", alpha=slope, gain=gain, clamp=clamp, impl=impl)
    return upfirdn2d(x, fd, down=down, flip_filter=flip_filter, impl=impl)


def _check(
    x: Tensor,
    fu: Tensor | None,
    fd: Tensor | None,
    b: Tensor | None,
    up: int,
    down: int,
    padding: Padding,
    clamp: float | None,
) -> None:
    if x.ndim != 4:
        raise ValueError(f"x has shape {list(x.shape)}; give [N, C, H, W]")
    if b is not None and (b.ndim != 1 or b.shape[0] != x.shape[1]):
        raise ValueError(f"bias has shape {list(b.shape)}; x has {x.shape[1]} channels, give [{x.shape[1]}]")
    for name, factor in (("up", up), ("down", down)):
        if not isinstance(factor, int) or factor < 1:
            raise ValueError(f"{name} is {factor}; give a whole number of at least 1")
    if clamp is not None and not clamp >= 0:
        raise ValueError(f"clamp is {clamp}; give a number of at least 0, or None for no limit")
    for name, f in (("fu", fu), ("fd", fd)):
        if f is not None and (f.ndim not in (1, 2) or f.numel() == 0):
            raise ValueError(
                f"{name} has shape {list(f.shape)}; give [n] or [height, width], as setup_filter makes"
            )
    px0, px1, py0, py1 = parse_padding(padding)
    (uh, uw), (dh, dw) = filter_size(fu), filter_size(fd)
    height, width = x.shape[2] * up + py0 + py1, x.shape[3] * up + px0 + px1
    if height < uh + dh - 1 or width < uw + dw - 1:
        raise ValueError(
            f"a picture of {x.shape[2]}x{x.shape[3]} with up {up} and padding {[px0, px1, py0, py1]} is smaller "
            f"than filters of {uh}x{uw} and {dh}x{dw} need; pad more"
        )
