"""3 x 3 convolutions of style-based generators on a CPU, Winograd's way (Lavin & Gray 2016).

`winograd_conv2d` is a whole layer in one pass, by F(4 x 4, 3 x 3) with a quarter of the multiplications;
modulation, demodulation, noise, bias and activation are done while its tiles are transformed. `winograd_up`
is the transposed convolution of a doubling layer, by F(4, 2), with 81 of 144. These two have no gradient;
`conv2d` and `transposed_conv2d` are plain convolutions that have all of them. `_steps` and `_up_steps` are
the definitions; results differ from them by rounding (about 5e-6 of their norm in float32).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.grad import conv2d_weight

from ganinv_ops.dispatch import Impl, by_pytorch, choose, multiplies_bfloat16, native_or
from ganinv_ops.epilogue import epilogue
from ganinv_ops.upfirdn2d import keeps_channels_last

_DTYPES = (torch.float32, torch.bfloat16)


def fits(
    x: Tensor, weight: Tensor, *, up: int = 1, padding: Sequence[int] = (0, 0, 0, 0), impl: Impl = "auto"
) -> bool:
    """Whether a convolution (up 1) or transposed convolution (up 2) can be had here, sooner than PyTorch's.

    Args:
        x: [N, I, H, W].
        weight: [O, I, kh, kw].
    """
    if x.device.type != "cpu" or x.dtype not in _DTYPES or not keeps_channels_last(x):
        return False
    n, channels, h, w = x.shape
    if channels % 16 or weight.shape[0] % 16 or weight.shape[2:] != (3, 3) or up > 2:
        return False
    tiles = n * -(-h // 4) * -(-w // 4)
    if tiles < 4 or min(h, w) < 4:  # weights would be transformed for too little
        return False
    if up == 1 and (len(set(padding)) > 1 or padding[0] not in (0, 1, 2)):
        return False
    narrow = x.dtype == torch.bfloat16 and multiplies_bfloat16(x.device)  # twice as fast as we do float32
    if up == 2 and narrow and channels > tiles**0.5 / 2:
        return False
    return choose("winograd" if up == 1 else "winograd_up", impl, x)


def tracked(*tensors: Tensor | None) -> bool:
    """Whether a gradient is wanted of any."""
    return torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in tensors)


def winograd_conv2d(
    x: Tensor,
    weight: Tensor,
    styles: Tensor,
    factor: Tensor | None = None,
    noise: Tensor | None = None,
    bias: Tensor | None = None,
    *,
    padding: int = 1,
    flip_weight: bool = True,
    slope: float = 1.0,
    gain: float = 1.0,
    clamp: float | None = None,
) -> Tensor:
    """`epilogue` of a convolution of x * styles. No gradient.

    Args:
        x: [N, I, H, W], float32 or bfloat16; I and O multiples of 16.
        weight: [O, I, 3, 3].
        styles: [N, I].
        padding: 0, 1 or 2.
        flip_weight: as in `conv2d_resample`.
        factor, noise, bias, slope, gain, clamp: as in `epilogue`.

    Returns:
        [N, O, H + 2 * padding - 2, ...] in channels_last, type of x.
    """
    limit = -1.0 if clamp is None else float(clamp)
    y: Tensor = torch.ops.ganinv_ops.winograd(
        x, weight, styles, factor, noise, bias, padding, flip_weight, slope, gain, limit
    )
    return y


def winograd_up(x: Tensor, weight: Tensor, styles: Tensor, *, flip_weight: bool = False) -> Tensor:
    """The first half of `upsampling_conv2d`, up 2, of x * styles. No gradient.

    Args:
        x: [N, I, H, W], float32 or bfloat16; I and O multiples of 16.
        weight: [O, I, 3, 3].
        styles: [N, I].
        flip_weight: as in `upsampling_conv2d`.

    Returns:
        [N, O, 2 * H + 1, 2 * W + 1] in channels_last, type of x.
    """
    y: Tensor = torch.ops.ganinv_ops.winograd_up(x, weight, styles, flip_weight)
    return y


# ---- plain convolutions with gradients -------------------------------------------------------------------


def conv2d(x: Tensor, weight: Tensor, padding: int, flip_weight: bool = True) -> Tensor:
    """[N, O, H + 2 * padding - 2, ...]: the convolution of `fits`, with gradients of any order."""
    if tracked(x, weight):
        y: Tensor = _Convolution.apply(x, weight, padding, flip_weight)
        return y
    return winograd_conv2d(x, weight, _ones(x), padding=padding, flip_weight=flip_weight)


def transposed_conv2d(x: Tensor, weight: Tensor, flip_weight: bool = False) -> Tensor:
    """[N, O, 2 * H + 1, 2 * W + 1]: `winograd_up` with gradients of any order."""
    if tracked(x, weight):
        y: Tensor = _Transposed.apply(x, weight, flip_weight)
        return y
    return winograd_up(x, weight, _ones(x), flip_weight=flip_weight)


def _ones(x: Tensor) -> Tensor:
    return torch.ones(x.shape[:2], dtype=torch.float32)


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, padding: int, flip: bool) -> Tensor:
        ctx.settings = padding, flip
        ctx.save_for_backward(x if ctx.needs_input_grad[1] else None, weight)
        return winograd_conv2d(x, weight, _ones(x), padding=padding, flip_weight=flip)

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        padding, flip = ctx.settings
        dx = dw = None
        if ctx.needs_input_grad[0]:  # the same kind of convolution, the other way through the weight
            dx = conv2d(dy, weight.transpose(0, 1), 2 - padding, not flip)
        if ctx.needs_input_grad[1]:
            dw = by_pytorch(_weight_gradient, x, dy, shape=weight.shape, padding=padding)
            dw = dw if flip else dw.flip((2, 3))
        return dx, dw, None, None


class _Transposed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, flip: bool) -> Tensor:
        ctx.flip = flip
        ctx.save_for_backward(x if ctx.needs_input_grad[1] else None, weight)
        return winograd_up(x, weight, _ones(x), flip_weight=flip)

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        dx = dw = None
        if ctx.needs_input_grad[0]:
            dx = by_pytorch(F.conv2d, dy, _for_transposed(weight, ctx.flip), stride=2)
        if ctx.needs_input_grad[1]:
            shape = (weight.shape[1], weight.shape[0], 3, 3)
            dw = by_pytorch(_weight_gradient, dy, x, shape=shape, stride=2).transpose(0, 1)
            dw = dw.flip((2, 3)) if ctx.flip else dw
        return dx, dw, None


def _weight_gradient(x: Tensor, dy: Tensor, *, shape: Sequence[int], **settings: int) -> Tensor:
    """conv2d_weight, both pictures first."""
    return conv2d_weight(x, shape, dy, **settings)


def _for_transposed(weight: Tensor, flip: bool) -> Tensor:
    """[O, I, 3, 3] -> as conv_transpose2d takes it, which convolves."""
    return (weight.flip((2, 3)) if flip else weight).transpose(0, 1)


# ---- the operators: clamp < 0 is none ---------------------------------------------------------------------

_LIBRARY = torch.library.Library("ganinv_ops", "FRAGMENT")
_LIBRARY.define(
    "winograd(Tensor x, Tensor weight, Tensor styles, Tensor? factor, Tensor? noise, Tensor? bias, "
    "int padding, bool flip_weight, float slope, float gain, float clamp) -> Tensor"
)
_LIBRARY.define("winograd_up(Tensor x, Tensor weight, Tensor styles, bool flip_weight) -> Tensor")


def _steps(x: Tensor, weight: Tensor, *rest: Any) -> Tensor:
    styles, factor, noise, bias, padding, flip_weight, slope, gain, clamp = rest
    scaled = x * styles.to(x.dtype)[:, :, None, None]
    w = (weight if flip_weight else weight.flip((2, 3))).to(x.dtype)
    z = by_pytorch(F.conv2d, scaled, w, padding=padding)
    limit = None if clamp < 0 else clamp
    z = epilogue(z, factor=factor, noise=noise, bias=bias, slope=slope, gain=gain, clamp=limit, impl="ref")
    return z.contiguous(memory_format=torch.channels_last)


def _fake(x: Tensor, weight: Tensor, *rest: Any) -> Tensor:
    grown = 2 * rest[4] - 2
    shape = (x.shape[0], weight.shape[0], x.shape[2] + grown, x.shape[3] + grown)
    return x.new_empty(shape).contiguous(memory_format=torch.channels_last)


def _up_steps(x: Tensor, weight: Tensor, styles: Tensor, flip: bool) -> Tensor:
    scaled, w = x * styles.to(x.dtype)[:, :, None, None], _for_transposed(weight.to(x.dtype), flip)
    return by_pytorch(F.conv_transpose2d, scaled, w, stride=2).contiguous(memory_format=torch.channels_last)


def _up_fake(x: Tensor, weight: Tensor, *rest: Any) -> Tensor:
    shape = (x.shape[0], weight.shape[0], 2 * x.shape[2] + 1, 2 * x.shape[3] + 1)
    return x.new_empty(shape).contiguous(memory_format=torch.channels_last)


_LIBRARY.impl("winograd", native_or("winograd", _steps), "CompositeExplicitAutograd")
_LIBRARY.impl("winograd_up", native_or("winograd_up", _up_steps), "CompositeExplicitAutograd")
torch.library.register_fake("ganinv_ops::winograd", _fake, lib=_LIBRARY)
torch.library.register_fake("ganinv_ops::winograd_up", _up_fake, lib=_LIBRARY)
