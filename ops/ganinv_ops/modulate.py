"""Convolutions of style-based generators: resampled, and modulated per sample with one shared weight.

Modulation multiplies the weight's input channels by each sample's styles, and demodulation divides by the
norm of the result per output channel. Both are diagonal, so the same numbers come from scaling the
activations before and after one ordinary convolution, which costs a pass over the activations instead of one
weight per sample.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ganinv_ops.build import Impl
from ganinv_ops.upfirdn2d import Padding, add_padding, down_padding, parse_padding, up_padding, upfirdn2d


def modulated_conv2d(
    x: Tensor,
    weight: Tensor,
    styles: Tensor,
    *,
    input_gain: Tensor | None = None,
    noise: Tensor | None = None,
    up: int = 1,
    down: int = 1,
    padding: Padding = 0,
    resample_filter: Tensor | None = None,
    demodulate: bool = True,
    flip_weight: bool | None = None,
    impl: Impl = "auto",
) -> Tensor:
    """Convolve each sample with a weight scaled by its styles.

    Args:
        x: [N, I, H, W].
        weight: [O, I, kh, kw], cast to the type of x.
        styles: [N, I], factors of the input channels (about 1).
        input_gain: factors of x that demodulation does not undo: [], [I] or [N, I]. None is 1.
        noise: added to the result: [N, 1, H', W'], [H', W'] or whatever broadcasts to [N, O, H', W'].
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
        ValueError: shapes that do not fit together.
    """
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
    scale = (styles if input_gain is None else styles * input_gain).to(x.dtype)
    y = conv2d_resample(
        x * scale[:, :, None, None],
        weight.to(x.dtype),
        resample_filter,
        up=up,
        down=down,
        padding=padding,
        flip_weight=up == 1 if flip_weight is None else flip_weight,
        impl=impl,
    )
    factor = _demodulation(weight, styles, x.dtype)[:, :, None, None] if demodulate else None
    if noise is not None:
        noise = noise.to(x.dtype)
        return y + noise if factor is None else torch.addcmul(noise, y, factor)
    return y if factor is None else y * factor


def _demodulation(weight: Tensor, styles: Tensor, dtype: torch.dtype) -> Tensor:
    """[N, O]: one over the norm of each sample's modulated weight, per output channel."""
    exact = torch.promote_types(
        dtype, torch.float32
    )  # bfloat16's eight bits are too few, and this costs little
    energy = weight.to(exact).square().sum(dim=(2, 3))  # [O, I]
    return (styles.to(exact).square() @ energy.t() + 1e-8).rsqrt().to(dtype)


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
    kh, kw = w.shape[2:]
    pad = parse_padding(padding)
    if up > 1:
        pad = add_padding(pad, up_padding(f, up, up))
    if down > 1:
        pad = add_padding(pad, down_padding(f, down, down))
    if up == 1 and down == 1:
        return _convolve(x, w, pad, groups, flip_weight)
    if up == 1:
        # the filter comes first, so that the convolution computes only the samples that stay
        stride = 1 if kh == kw == 1 else down
        x = upfirdn2d(x, f, down=down if stride == 1 else 1, padding=pad, flip_filter=flip_filter, impl=impl)
        return _convolve(x, w, (0, 0, 0, 0), groups, flip_weight, stride)
    if kh == kw == 1 and down == 1:
        x = _convolve(x, w, (0, 0, 0, 0), groups, flip_weight)
        return upfirdn2d(x, f, up=up, padding=pad, gain=up**2, flip_filter=flip_filter, impl=impl)
    # a transposed convolution skips the inserted zeros; it yields every position that a weight touches, so
    # less
    # padding remains
    x = F.conv_transpose2d(x, _transposed(w, groups, flip_weight), stride=up, groups=groups)
    pad = add_padding(pad, (1 - kw, up - kw, 1 - kh, up - kh))
    x = upfirdn2d(x, f, padding=pad, gain=up**2, flip_filter=flip_filter, impl=impl)
    return x if down == 1 else upfirdn2d(x, f, down=down, flip_filter=flip_filter, impl=impl)


def _convolve(
    x: Tensor, w: Tensor, pad: tuple[int, int, int, int], groups: int, flip_weight: bool, stride: int = 1
) -> Tensor:
    if not flip_weight:
        w = w.flip((2, 3))
    px0, px1, py0, py1 = pad
    if px0 == px1 >= 0 and py0 == py1 >= 0:
        return F.conv2d(x, w, stride=stride, padding=(py0, px0), groups=groups)
    return F.conv2d(F.pad(x, [px0, px1, py0, py1]), w, stride=stride, groups=groups)


def _transposed(w: Tensor, groups: int, flip_weight: bool) -> Tensor:
    if flip_weight:
        w = w.flip((2, 3))  # a transposed convolution convolves
    if groups == 1:
        return w.transpose(0, 1)
    out, per_group, kh, kw = w.shape
    return (
        w.reshape(groups, out // groups, per_group, kh, kw).transpose(1, 2).reshape(-1, out // groups, kh, kw)
    )
