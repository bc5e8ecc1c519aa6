"""3 x 3 convolutions of style-based generators on a CPU, Winograd's way (Lavin & Gray 2016).

`winograd_conv2d` is a whole layer in one pass, by F(4 x 4, 3 x 3) with a quarter of the multiplications;
modulation, demodulation, noise, bias and activation are done while its tiles are transformed. `winograd_up`
is the transposed convolution of a doubling layer, by F(4, 2), with 81 of 144. `winograd_weight` and
`winograd_up_weight` are the gradients of their weights, with as few. None of them has a gradient:
`winograd_autograd` makes plain convolutions of them that have. `_steps` and the others after it are the
definitions; results differ from them by rounding (about 5e-6 of their norm in float32).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.grad import conv2d_weight

from ganinv_ops.dispatch import (
    Impl,
    by_pytorch,
    choose,
    has_matrix_unit,
    multiplies_bfloat16,
    native_or,
)
from ganinv_ops.epilogue import epilogue
from ganinv_ops.upfirdn2d import keeps_channels_last

LEAST_PIXELS = 512 if torch.backends.cpu.get_cpu_capability() == "AVX512" else 64
"""Of all pictures: for fewer, transforming the weights takes longer than it saves."""
LEAST_SIDE = 16
"""Of a transposed convolution's input: PyTorch's gradient to the weight is sooner for smaller ones."""

_DTYPES = (torch.float32, torch.bfloat16)


def fits(
    x: Tensor,
    weight: Tensor,
    *,
    up: int = 1,
    down: int = 1,
    padding: Sequence[int] = (0, 0, 0, 0),
    impl: Impl = "auto",
) -> bool:
    """Whether a convolution (of stride `down`) or transposed convolution (up 2) can be had here, sooner than
    PyTorch's; of one with a stride, the gradient to its weight.

    Args:
        x: [N, I, H, W].
        weight: [O, I, kh, kw].
    """
    if x.device.type != "cpu" or x.dtype not in _DTYPES or not keeps_channels_last(x):
        return False
    n, channels, h, w = x.shape
    if channels % 16 or weight.shape[0] % 16 or weight.shape[2:] != (3, 3) or up > 2 or down > 2:
        return False
    if down == 2:
        if any(padding) or h % 2 == 0 or w % 2 == 0:  # not what a transposed convolution gives
            return False
        return min(h, w) // 2 >= LEAST_SIDE and not narrow(x) and choose("winograd_up_weight", impl, x)
    if n * h * w < LEAST_PIXELS or min(h, w) < 4:
        return False
    if up == 1 and (len(set(padding)) > 1 or padding[0] not in (0, 1, 2)):
        return False
    if narrow(x) and (has_matrix_unit(x.device) or (up == 2 and channels > (n * h * w) ** 0.5 / 8)):
        return False
    return choose("winograd" if up == 1 else "winograd_up", impl, x)


def narrow(x: Tensor) -> bool:
    """Whether PyTorch multiplies numbers like these in bfloat16, twice as fast as we do in float32."""
    return x.dtype == torch.bfloat16 and multiplies_bfloat16(x.device)


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


def _gradient_to_weight(x: Tensor, dy: Tensor, *, shape: Sequence[int], **settings: int) -> Tensor:
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
_LIBRARY.define("winograd_weight(Tensor x, Tensor dy, int padding, bool flip_weight) -> Tensor")
_LIBRARY.define("winograd_up_weight(Tensor x, Tensor dy, bool flip_weight) -> Tensor")
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


def weight_steps(x: Tensor, dy: Tensor, padding: int, flip: bool) -> Tensor:
    """Gradient [O, I, 3, 3] of a convolution's weight, of x [N, I, H, W] and the gradient of its result."""
    shape = (dy.shape[1], x.shape[1], 3, 3)
    dw = by_pytorch(_gradient_to_weight, x, dy, shape=shape, padding=padding)
    return dw if flip else dw.flip((2, 3))


def _weight_fake(x: Tensor, dy: Tensor, *settings: Any) -> Tensor:
    return x.new_empty((dy.shape[1], x.shape[1], 3, 3))


def _up_steps(x: Tensor, weight: Tensor, styles: Tensor, flip: bool) -> Tensor:
    scaled, w = x * styles.to(x.dtype)[:, :, None, None], _for_transposed(weight.to(x.dtype), flip)
    return by_pytorch(F.conv_transpose2d, scaled, w, stride=2).contiguous(memory_format=torch.channels_last)


def up_weight_steps(x: Tensor, dy: Tensor, flip: bool) -> Tensor:
    """The same of a transposed convolution."""
    shape = (x.shape[1], dy.shape[1], 3, 3)
    dw = by_pytorch(_gradient_to_weight, dy, x, shape=shape, stride=2).transpose(0, 1)
    return (dw.flip((2, 3)) if flip else dw).contiguous()


def _up_fake(x: Tensor, weight: Tensor, *rest: Any) -> Tensor:
    shape = (x.shape[0], weight.shape[0], 2 * x.shape[2] + 1, 2 * x.shape[3] + 1)
    return x.new_empty(shape).contiguous(memory_format=torch.channels_last)


_OPERATORS: dict[str, tuple[Callable[..., Tensor], Callable[..., Tensor]]] = {
    "winograd": (_steps, _fake),
    "winograd_up": (_up_steps, _up_fake),
    "winograd_weight": (weight_steps, _weight_fake),
    "winograd_up_weight": (up_weight_steps, _weight_fake),
}
for _name, (_definition, _shape) in _OPERATORS.items():
    _LIBRARY.impl(_name, native_or(_name, _definition), "CompositeExplicitAutograd")
    torch.library.register_fake(f"ganinv_ops::{_name}", _shape, lib=_LIBRARY)
