"""A whole layer of a style-based generator in one pass on a CPU, its 3 x 3 convolution Winograd's way.

The algorithm (Lavin & Gray 2016, F(4 x 4, 3 x 3)) takes a quarter of the multiplications. Modulation,
demodulation, noise, bias and activation are done while its tiles are transformed, and a doubling layer's blur
is folded into its weights. For inference: there is no gradient. `_steps` is the definition; results differ
from it by rounding (about 5e-6 of their norm in float32).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ganinv_ops.build import Impl, choose, kernel
from ganinv_ops.conv import conv2d_resample
from ganinv_ops.epilogue import epilogue
from ganinv_ops.upfirdn2d import filter_size, keeps_channels_last

_DTYPES = (torch.float32, torch.bfloat16)


def pays(
    x: Tensor,
    weight: Tensor,
    *others: Tensor | None,
    up: int,
    padding: Sequence[int],
    f: Tensor | None,
    impl: Impl,
) -> bool:
    """Whether `winograd_conv2d` can do a layer, and sooner than an ordinary convolution.

    Args:
        others: what else takes part, and might want a gradient.
    """
    if x.device.type != "cpu" or x.dtype not in _DTYPES or not keeps_channels_last(x):
        return False
    n, channels, h, w = x.shape
    if channels % 16 or weight.shape[0] % 16 or weight.shape[2:] != (3, 3) or len(set(padding)) > 1:
        return False
    tiles = n * -(-h // 4) * -(-w // 4)
    if tiles < 64 or min(h, w) < 4:  # weights would be transformed for too little
        return False
    if up > 1:
        # the phases together take as many multiplications as a transposed convolution; what they save is
        # passes over memory, less where bfloat16 halves both
        most = (8 if x.dtype == torch.float32 else 0.5) * tiles**0.5
        if up > 2 or padding[0] != 1 or filter_size(f) != (4, 4) or channels > most:
            return False
    elif padding[0] not in (0, 1, 2):
        return False
    if torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in (x, weight, f, *others)):
        return False
    return choose("winograd", impl, x)


def winograd_conv2d(
    x: Tensor,
    weight: Tensor,
    styles: Tensor,
    factor: Tensor | None = None,
    noise: Tensor | None = None,
    bias: Tensor | None = None,
    *,
    up: int = 1,
    padding: int = 1,
    f: Tensor | None = None,
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
        up: 1, or 2 with padding 1 and a filter f of four taps an axis.
        padding: 0, 1 or 2.
        flip_weight: as in `conv2d_resample`.
        factor, noise, bias, slope, gain, clamp: as in `epilogue`.

    Returns:
        [N, O, up * H + 2 * padding - 2 * up, ...] in channels_last, type of x.
    """
    limit = -1.0 if clamp is None else float(clamp)
    y: Tensor = torch.ops.ganinv_ops.winograd(
        x, weight, styles, factor, noise, bias, f, up, padding, flip_weight, slope, gain, limit
    )
    return y


# ---- the operator: clamp < 0 is none ----------------------------------------------------------------------

_LIBRARY = torch.library.Library("ganinv_ops", "FRAGMENT")
_LIBRARY.define(
    "winograd(Tensor x, Tensor weight, Tensor styles, Tensor? factor, Tensor? noise, Tensor? bias, "
    "Tensor? f, int up, int padding, bool flip_weight, float slope, float gain, float clamp) -> Tensor"
)


def _kernel(x: Tensor, weight: Tensor, *rest: Any) -> Tensor:
    """Runs where no native kernel is registered (yet): loads it and calls again, or takes ordinary steps."""
    native = kernel("winograd", x)
    if native is not None:
        y: Tensor = native(x, weight, *rest)
        return y
    return _steps(x, weight, *rest)


def _steps(x: Tensor, weight: Tensor, *rest: Any) -> Tensor:
    styles, factor, noise, bias, f, up, padding, flip_weight, slope, gain, clamp = rest
    scaled = x * styles.to(x.dtype)[:, :, None, None]
    z = conv2d_resample(
        scaled, weight.to(x.dtype), f, up=up, padding=padding, flip_weight=flip_weight, impl="ref"
    )
    limit = None if clamp < 0 else clamp
    z = epilogue(z, factor=factor, noise=noise, bias=bias, slope=slope, gain=gain, clamp=limit, impl="ref")
    return z.contiguous(memory_format=torch.channels_last)


def _fake(x: Tensor, weight: Tensor, *rest: Any) -> Tensor:
    up, padding = rest[5], rest[6]
    grown = 0 if up == 2 else 2 * padding - 2
    shape = (x.shape[0], weight.shape[0], up * x.shape[2] + grown, up * x.shape[3] + grown)
    return x.new_empty(shape).contiguous(memory_format=torch.channels_last)


_LIBRARY.impl("winograd", _kernel, "CompositeExplicitAutograd")
torch.library.register_fake("ganinv_ops::winograd", _fake, lib=_LIBRARY)
