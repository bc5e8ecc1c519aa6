"""What follows the convolution in a layer of a style-based generator, in one pass over the tensor.

``y = clamp(gain * act(filter(x) * factor + noise + bias))``, act a leaky ReLU. The reference below is the
specification.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ganinv_ops.bias_act import LRELU, bias_act
from ganinv_ops.dispatch import CHECKS, Impl, choose, kernel, relative_error
from ganinv_ops.filters import filter_size
from ganinv_ops.upfirdn2d import keeps_channels_last, upfirdn2d

Padding4 = tuple[int, int, int, int]


def epilogue(
    x: Tensor,
    f: Tensor | None = None,
    *,
    padding: Padding4 = (0, 0, 0, 0),
    filter_gain: float = 1.0,
    factor: Tensor | None = None,
    noise: Tensor | None = None,
    bias: Tensor | None = None,
    slope: float = 0.2,
    gain: float = 1.0,
    clamp: float | None = None,
    impl: Impl = "auto",
) -> Tensor:
    """Filter, scale each channel, add noise and bias, activate, scale and clamp.

    Args:
        x: [N, C, H, W].
        f, padding, filter_gain: as in `upfirdn2d`; padding (left, right, top, bottom).
        factor: [N, C], None is 1.
        noise: [N, 1, H', W'] or [1, 1, H', W'].
        bias: [C].
        slope: of the leaky ReLU below zero, above 0; 1 activates nothing.
        gain, clamp: as in `bias_act`.
        impl: as in `upfirdn2d`; the native kernel takes pictures in channels_last.

    Returns:
        [N, C, H', W'], type and memory layout of x.

    Raises:
        ValueError: a slope that is not above 0, padding without a filter.
        NativeOpError: "native" asked for, and impossible.
    """
    if not slope > 0:
        raise ValueError(f"slope is {slope}; give a number above 0")
    if f is None and any(padding):
        raise ValueError(f"padding {list(padding)} without a filter; give one, or no padding")
    nothing = factor is None and noise is None and slope == 1 and gain == 1 and clamp is None
    if nothing and f is None:
        return bias_act(x, bias, impl=impl)
    limit = -1.0 if clamp is None else float(clamp)
    settings = (padding, filter_gain, factor, noise, bias, slope, gain, limit)
    if not keeps_channels_last(x) or (f is not None and f.requires_grad):
        return _reference(x, f, *settings, impl=impl)
    if not choose("epilogue", impl, x):
        return _reference(x, f, *settings, impl="ref")
    y: Tensor = torch.ops.ganinv_ops.epilogue(x, f, *settings)
    return y


def _reference(
    x: Tensor,
    f: Tensor | None,
    padding: Sequence[int],
    filter_gain: float,
    factor: Tensor | None,
    noise: Tensor | None,
    bias: Tensor | None,
    slope: float,
    gain: float,
    clamp: float,
    impl: Impl = "ref",
) -> Tensor:
    if f is not None:
        x = upfirdn2d(x, f, padding=list(padding), gain=filter_gain, impl=impl)
    if factor is not None:
        factor = factor.to(x.dtype)[:, :, None, None]
        x = x * factor if noise is None else torch.addcmul(noise.to(x.dtype), x, factor)
    elif noise is not None:
        x = x + noise.to(x.dtype)
    limit = None if clamp < 0 else clamp
    if slope == 1:
        return bias_act(x, bias, gain=gain, clamp=limit, impl=impl)
    return bias_act(x, bias, act="lrelu", alpha=slope, gain=gain, clamp=limit, impl=impl)


# ---- the operator: clamp < 0 is none ----------------------------------------------------------------------

_LIBRARY = torch.library.Library("ganinv_ops", "FRAGMENT")
_LIBRARY.define(
    "epilogue(Tensor x, Tensor? f, SymInt[] padding, float filter_gain, Tensor? factor, Tensor? noise, "
    "Tensor? bias, float slope, float gain, float clamp) -> Tensor"
)
_LIBRARY.define(
    "epilogue_grad(Tensor dy, Tensor y, Tensor? factor, Tensor? noise, float slope, float gain, float clamp, "
    "bool for_noise) -> (Tensor, Tensor, Tensor, Tensor)"
)


def _kernel(x: Tensor, f: Tensor | None, padding: Sequence[int], *rest: Any) -> Tensor:
    """Runs where no native kernel is registered (yet): loads it and calls again, or falls back."""
    native = kernel("epilogue", x)
    if native is not None:
        y: Tensor = native(x, f, padding, *rest)
        return y
    return _reference(x, f, padding, *rest).contiguous(memory_format=torch.channels_last)


def _fake(x: Tensor, f: Tensor | None, padding: Sequence[int], *rest: Any) -> Tensor:
    fh, fw = (1, 1) if f is None else (f.shape[0], f.shape[-1])
    height, width = (
        x.shape[2] + padding[2] + padding[3] - fh + 1,
        x.shape[3] + padding[0] + padding[1] - fw + 1,
    )
    return x.new_empty((*x.shape[:2], height, width)).contiguous(memory_format=torch.channels_last)


def _setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, f, ctx.padding, ctx.filter_gain, factor, noise, bias, ctx.slope, ctx.gain, ctx.clamp = inputs
    ctx.size = x.shape[2:]
    # the input itself is needed for nothing but the factor's gradient
    ctx.save_for_backward(None if factor is None else x, f, factor, noise, bias, output)


Gradients = tuple[Tensor, Tensor | None, Tensor | None, Tensor | None]
"""To the filtered picture, the factor, the noise [N, 1, H, W] and the bias; these three only where wanted."""


def _backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
    once = None
    if type(dy) is Tensor and not torch.is_grad_enabled():  # no tracer's, and no second gradient is wanted
        once = _in_one_pass(ctx, dy)
    d_x, *others = once or _in_steps(ctx, dy)
    _, f, factor, noise, bias, _ = ctx.saved_tensors
    if f is not None:
        left, _, top, _ = ctx.padding
        fh, fw = filter_size(f)
        after = ctx.size[1] - dy.shape[3] + left, ctx.size[0] - dy.shape[2] + top
        d_x = _filter(d_x, f, (fw - left - 1, after[0], fh - top - 1, after[1]), ctx.filter_gain, True)
    d_factor, d_noise, d_bias = (
        None if found is None else found.sum_to_size(part.shape).to(part.dtype)
        for found, part in zip(others, (factor, noise, bias), strict=True)
    )
    return d_x, None, None, None, d_factor, d_noise, d_bias, None, None, None


def _in_one_pass(ctx: Any, dy: Tensor) -> Gradients | None:
    """By the native kernel, from the result alone: it tells what the factor was multiplied with, unless that
    is 0. None where this is not possible.
    """
    x, f, factor, noise, bias, y = ctx.saved_tensors
    _, _, _, _, for_factor, for_noise, for_bias, *_ = ctx.needs_input_grad
    native = kernel("epilogue_grad", dy)
    if native is None or not ctx.gain > 0:
        return None
    if for_factor and f is noise is bias is None and ctx.slope == 1 and ctx.clamp < 0:  # x times the factor
        d_x, _, products, _ = native(dy, x, factor, None, 1.0, ctx.gain, -1.0, False)
        return d_x, products * ctx.gain, None, None
    if for_factor and not bool(factor.all()):
        return None
    d_x, sums, products, d_noise = native(dy, y, factor, noise, ctx.slope, ctx.gain, ctx.clamp, for_noise)
    d_factor = None
    if for_factor:
        d_factor = (products if bias is None else products - sums * bias) / factor
    return d_x, d_factor, d_noise if for_noise else None, sums.sum(0) if for_bias else None


def _in_steps(ctx: Any, dy: Tensor) -> Gradients:
    """In differentiable steps, so that second gradients follow; the activation itself has none."""
    x, f, factor, _, _, y = ctx.saved_tensors
    _, _, _, _, for_factor, for_noise, for_bias, *_ = ctx.needs_input_grad
    if ctx.clamp >= 0:
        dy = torch.where(y.abs() < ctx.clamp, dy, 0.0)
    if ctx.slope == 1:
        dz = dy * ctx.gain
    else:  # leaky ReLU and gain keep the sign, so the result tells its own slope
        dz = torch.ops.ganinv_ops.bias_act_grad(dy, y, None, 1, LRELU, ctx.slope, ctx.gain, -1.0)
    d_factor = None
    if for_factor:
        filtered = x if f is None else _filter(x, f, ctx.padding, ctx.filter_gain, False)
        d_factor = (dz * filtered).sum((2, 3))
    d_x = dz if factor is None else dz * factor.to(dz.dtype)[:, :, None, None]
    d_noise = dz.sum(1, keepdim=True) if for_noise else None
    return d_x, d_factor, d_noise, dz.sum((0, 2, 3)) if for_bias else None


def _filter(x: Tensor, f: Tensor, padding: Sequence[int], gain: float, flip: bool) -> Tensor:
    y: Tensor = torch.ops.ganinv_ops.upfirdn2d(x, f, (1, 1), (1, 1), padding, flip, gain)
    return y


def _cuda_error(device: str = "cuda", suffix: str = "_cuda") -> float:
    """See `CHECKS`."""
    x = torch.linspace(-50, 50, 2 * 8 * 9 * 11).sin().reshape(2, 8, 9, 11).to(device)
    x = x.contiguous(memory_format=torch.channels_last)
    run = getattr(torch.ops.ganinv_ops, f"epilogue{suffix}")
    taps, errors = torch.tensor([1.0, 3.0, 2.0, 0.5], device=device), []
    for f in (None, torch.outer(taps, taps) / 6, torch.arange(12.0, device=device).reshape(4, 3).sin()):
        padding = (0, 0, 0, 0) if f is None else (f.shape[1] - 1, 0, 1, f.shape[0] - 2)
        for channels in (8, 5):
            z = x[:, :channels].contiguous(memory_format=torch.channels_last)
            parts = (z[:, :, 0, 0], x[:1, :1], z[0, :, 1, 1])
            rest = (f, padding, 1.7, *parts, 0.2, 1.4, 1.5)
            errors.append(relative_error(run(z, *rest), _reference(z, *rest)))
    return max(errors)


CHECKS["epilogue"] = _cuda_error
_LIBRARY.impl("epilogue", _kernel, "CompositeExplicitAutograd")
torch.library.register_fake("ganinv_ops::epilogue", _fake, lib=_LIBRARY)
torch.library.register_autograd("ganinv_ops::epilogue", _backward, setup_context=_setup, lib=_LIBRARY)
