"""Convolution with resampling before or after it."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ganinv_ops import winograd, winograd_autograd
from ganinv_ops.dispatch import Impl, by_pytorch
from ganinv_ops.filters import Padding, add_padding, down_padding, parse_padding, up_padding
from ganinv_ops.upfirdn2d import upfirdn2d


def conv2d_resample(
    x: Tensor,
    w: Tensor,
    f: Tensor | None = None,
    *,
    up: int = 1,
    down: int = 1,
    padding: Padding = 0,
    groups: int = 1,
    flip_weight: bool = True,
    flip_filter: bool = False,
    impl: Impl = "auto",
) -> Tensor:
    """Convolution with upsampling before it or downsampling after it.

    Args:
        x: [N, I, H, W].
        w: [O, I / groups, kh, kw].
        f: resampling filter of `setup_filter`, or None.
        up, down: whole factors.
        padding: with respect to the upsampled picture: one number, (x, y) or (left, right, top, bottom).
        groups: as in conv2d.
        flip_weight: True correlates, as conv2d does; False convolves.
        flip_filter: the same for f; False convolves.
        impl: as in `upfirdn2d`.

    Returns:
        [N, O, H', W'], type of x; H' = H * up / down where padding is kh // 2.

    Raises:
        ValueError: factors below 1.
    """
    if up < 1 or down < 1:
        raise ValueError(f"up is {up} and down is {down}; give whole numbers of at least 1")
    single = w.shape[2:] == (1, 1)
    pad = parse_padding(padding)
    if down > 1:
        pad = add_padding(pad, down_padding(f, down, down))
    if up == 1 and down == 1:
        return _convolve(x, w, pad, groups, flip_weight, impl=impl)
    if up == 1:
        # the filter comes first, so that the convolution computes only the samples that stay
        stride = 1 if single else down
        x = upfirdn2d(x, f, down=down if stride == 1 else 1, padding=pad, flip_filter=flip_filter, impl=impl)
        return _convolve(x, w, (0, 0, 0, 0), groups, flip_weight, stride, impl)
    if single and down == 1:
        pad = add_padding(pad, up_padding(f, up, up))
        x = _convolve(x, w, (0, 0, 0, 0), groups, flip_weight)
        return upfirdn2d(x, f, up=up, padding=pad, gain=up**2, flip_filter=flip_filter, impl=impl)
    pad = padding_after(w, f, up, pad)
    x = upsampling_conv2d(x, w, up=up, groups=groups, flip_weight=flip_weight, impl=impl)
    x = upfirdn2d(x, f, padding=pad, gain=up**2, flip_filter=flip_filter, impl=impl)
    return x if down == 1 else upfirdn2d(x, f, down=down, flip_filter=flip_filter, impl=impl)


def upsampling_conv2d(
    x: Tensor, w: Tensor, *, up: int, flip_weight: bool, groups: int = 1, impl: Impl = "auto"
) -> Tensor:
    """The first half of `conv2d_resample` with up > 1: what remains is to filter the result with a padding of
    `padding_after` and a gain of up^2.
    """
    if groups == 1 and up == 2 and _winograd(x, w, impl, up=2):
        return winograd_autograd.transposed_conv2d(x, w, flip_weight)
    # a transposed convolution skips the inserted zeros
    return by_pytorch(F.conv_transpose2d, x, _transposed(w, groups, flip_weight), stride=up, groups=groups)


def padding_after(w: Tensor, f: Tensor | None, up: int, padding: Padding) -> tuple[int, int, int, int]:
    """See `upsampling_conv2d`, which yields every position that a weight touches, so that less remains."""
    kh, kw = w.shape[2:]
    return add_padding(add_padding(padding, up_padding(f, up, up)), (1 - kw, up - kw, 1 - kh, up - kh))


def _convolve(
    x: Tensor,
    w: Tensor,
    pad: tuple[int, int, int, int],
    groups: int,
    flip_weight: bool,
    stride: int = 1,
    impl: Impl = "ref",
) -> Tensor:
    if groups == stride == 1 and _winograd(x, w, impl, padding=pad):
        return winograd_autograd.conv2d(x, w, pad[0], flip_weight)
    if groups == 1 and stride == 2 and winograd.tracked(x, w) and _winograd(x, w, impl, down=2, padding=pad):
        return winograd_autograd.strided_conv2d(x, w, flip_weight)
    if not flip_weight:
        w = w.flip((2, 3))
    px0, px1, py0, py1 = pad
    if px0 == px1 >= 0 and py0 == py1 >= 0:
        return by_pytorch(F.conv2d, x, w, stride=stride, padding=(py0, px0), groups=groups)
    return by_pytorch(F.conv2d, F.pad(x, [px0, px1, py0, py1]), w, stride=stride, groups=groups)


def _winograd(x: Tensor, w: Tensor, impl: Impl, **settings: Any) -> bool:
    """Whether a convolution goes Winograd's way; no graph is made of its gradients."""
    if torch.compiler.is_compiling() and winograd.tracked(x, w):
        return False
    return w.dtype == x.dtype and winograd.fits(x, w, impl="ref" if impl == "ref" else "auto", **settings)


def _transposed(w: Tensor, groups: int, flip_weight: bool) -> Tensor:
    if flip_weight:
        w = w.flip((2, 3))  # a transposed convolution convolves
    if groups == 1:
        return w.transpose(0, 1)
    out, per_group, kh, kw = w.shape
    return (
        w.reshape(groups, out // groups, per_group, kh, kw).transpose(1, 2).reshape(-1, out // groups, kh, kw)
    )
