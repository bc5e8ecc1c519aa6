"""The activation of StyleGAN3: a leaky ReLU at a higher sampling rate, between two low-pass filters.

The meaning (Karras et al., "Alias-Free Generative Adversarial Networks", arXiv 2106.12423, section 3 and
appendix D): add the bias; upsample with ``fu`` and a gain of ``up ** 2``; leaky ReLU, gain, clamp; downsample
with ``fd``. The reference below is the specification.

The native kernel never holds the upsampled picture. For the gradient it keeps one bit of each of its pixels
(was it positive), two with a clamp (did it pass); with those the derivative is linear, and so is its own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ganinv_ops.bias_act import bias_act
from ganinv_ops.build import Impl, NativeOpError, choose, native, supported
from ganinv_ops.upfirdn2d import Padding, filter_size, keeps_channels_last, parse_padding, upfirdn2d


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
        [N, C, (H * up + top + bottom - height of fu + 1 - height of fd) // down + 1, same for W], type and
        memory layout of x.

    Raises:
        ValueError: wrong shapes, factors below 1, a negative clamp, or nothing left after padding.
        NativeOpError: "native" asked for, and impossible.
    """
    pads = _check(x, fu, fd, b, up, down, padding, clamp)
    if any(f is not None and f.requires_grad for f in (fu, fd)):
        if impl == "native":
            raise NativeOpError(
                "filtered_lrelu's native kernel has no gradient for the filters; detach them, or use impl='auto'"
            )
        impl = "ref"
    if b is not None:
        b = b.to(x.dtype)
    if not choose("filtered_lrelu", impl, x):
        return _reference(x, fu, fd, b, up, down, pads, gain, slope, clamp, flip_filter)
    keep = torch.is_grad_enabled() and (x.requires_grad or (b is not None and b.requires_grad))
    limit = -1.0 if clamp is None else float(clamp)
    y: Tensor = torch.ops.ganinv_ops.filtered_lrelu(
        x, fu, fd, b, up, down, pads, float(gain), float(slope), limit, flip_filter, keep
    )[0]
    return y


def _check(
    x: Tensor,
    fu: Tensor | None,
    fd: Tensor | None,
    b: Tensor | None,
    up: int,
    down: int,
    padding: Padding,
    clamp: float | None,
) -> tuple[int, int, int, int]:
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
            f"a picture of {x.shape[2]}x{x.shape[3]} with up {up} and padding {[px0, px1, py0, py1]} "
            f"is smaller than filters of {uh}x{uw} and {dh}x{dw} need; pad more"
        )
    return px0, px1, py0, py1


def _reference(
    x: Tensor,
    fu: Tensor | None,
    fd: Tensor | None,
    b: Tensor | None,
    up: int,
    down: int,
    padding: Sequence[int],
    gain: float,
    slope: float,
    clamp: float | None,
    flip_filter: bool,
) -> Tensor:
    x = bias_act(x, b, impl="ref")
    x = upfirdn2d(x, fu, up=up, padding=padding, flip_filter=flip_filter, gain=up**2, impl="ref")
    x = bias_act(x, act="lrelu", alpha=slope, gain=gain, clamp=clamp, impl="ref")
    return upfirdn2d(x, fd, down=down, flip_filter=flip_filter, impl="ref")


# ---- the operators: clamp < 0 is none; the mask is [1 or 2, planes / 8, H, W] of the upsampled picture -------

_LIBRARY = torch.library.Library("ganinv_ops", "FRAGMENT")
_LIBRARY.define(
    "filtered_lrelu(Tensor x, Tensor? fu, Tensor? fd, Tensor? b, int up, int down, SymInt[] padding, "
    "float gain, float slope, float clamp, bool flip_filter, bool keep) -> (Tensor, Tensor)"
)
_LIBRARY.define(
    "filtered_lrelu_masked(Tensor x, Tensor mask, Tensor? fu, Tensor? fd, int up, int down, "
    "SymInt[] padding_up, SymInt[] padding_down, float gain_up, float gain_down, float gain, float slope, "
    "bool flip_filter) -> Tensor"
)


def _forward_kernel(
    x: Tensor,
    fu: Tensor | None,
    fd: Tensor | None,
    b: Tensor | None,
    up: int,
    down: int,
    padding: Sequence[int],
    gain: float,
    slope: float,
    clamp: float,
    flip_filter: bool,
    keep: bool,
) -> tuple[Tensor, Tensor]:
    """Runs where no native kernel is registered (yet): loads it and calls again, or falls back."""
    if supported(x) and native("filtered_lrelu").ready:
        y, mask = torch.ops.ganinv_ops.filtered_lrelu(
            x, fu, fd, b, up, down, padding, gain, slope, clamp, flip_filter, keep
        )
        return y, mask
    limit = None if clamp < 0 else clamp
    y = _reference(x, fu, fd, b, up, down, padding, gain, slope, limit, flip_filter)
    if not keep:
        return y, x.new_empty(0, dtype=torch.uint8)
    z = bias_act(x, b, impl="ref")
    z = upfirdn2d(z, fu, up=up, padding=padding, flip_filter=flip_filter, gain=up**2, impl="ref")
    facts = [z > 0]
    if limit is not None:
        facts.append(bias_act(z, act="lrelu", alpha=slope, gain=gain, impl="ref").abs() <= limit)
    return y, _pack(torch.stack(facts))


def _masked_kernel(
    x: Tensor,
    mask: Tensor,
    fu: Tensor | None,
    fd: Tensor | None,
    up: int,
    down: int,
    padding_up: Sequence[int],
    padding_down: Sequence[int],
    gain_up: float,
    gain_down: float,
    gain: float,
    slope: float,
    flip_filter: bool,
) -> Tensor:
    """Upsample, multiply with the slope that the mask tells, downsample."""
    if supported(x) and native("filtered_lrelu").ready:
        y: Tensor = torch.ops.ganinv_ops.filtered_lrelu_masked(
            x, mask, fu, fd, up, down, padding_up, padding_down, gain_up, gain_down, gain, slope, flip_filter
        )
        return y
    x = upfirdn2d(x, fu, up=up, padding=padding_up, flip_filter=flip_filter, gain=gain_up, impl="ref")
    positive, *inside = _unpack(mask, x.shape)
    x = x * torch.where(positive, gain, gain * slope).to(x.dtype)
    if inside:
        x = torch.where(inside[0], x, 0.0)
    return upfirdn2d(
        x, fd, down=down, padding=padding_down, flip_filter=flip_filter, gain=gain_down, impl="ref"
    )


def _pack(facts: Tensor) -> Tensor:
    """[F, N, C, H, W] of truth values -> [F, N * C / 8, H, W] of bytes; bit l is plane 8 * q + l."""
    count, n, c, h, w = facts.shape
    planes = facts.new_zeros((count, (n * c + 7) // 8 * 8, h, w), dtype=torch.uint8)
    planes[:, : n * c] = facts.reshape(count, n * c, h, w)
    weights = 2 ** torch.arange(8, dtype=torch.uint8, device=facts.device).reshape(8, 1, 1)
    return (planes.reshape(count, -1, 8, h, w) * weights).sum(2, dtype=torch.uint8)


def _unpack(mask: Tensor, shape: torch.Size) -> list[Tensor]:
    n, c, h, w = shape
    bits = 2 ** torch.arange(8, dtype=torch.uint8, device=mask.device).reshape(8, 1, 1)
    planes = (mask.unsqueeze(2) & bits).ne(0).reshape(mask.shape[0], -1, h, w)
    return list(planes[:, : n * c].reshape(-1, n, c, h, w))


def _empty(x: Tensor, height: int, width: int) -> Tensor:
    layout = torch.channels_last if keeps_channels_last(x) else torch.contiguous_format
    shape = (x.shape[0], x.shape[1], height, width)
    return torch.empty(shape, dtype=x.dtype, device=x.device, memory_format=layout)


def _forward_fake(
    x: Tensor,
    fu: Tensor | None,
    fd: Tensor | None,
    b: Tensor | None,
    up: int,
    down: int,
    padding: Sequence[int],
    gain: float,
    slope: float,
    clamp: float,
    flip_filter: bool,
    keep: bool,
) -> tuple[Tensor, Tensor]:
    (uh, uw), (dh, dw) = filter_size(fu), filter_size(fd)
    height = x.shape[2] * up + padding[2] + padding[3] - uh + 1
    width = x.shape[3] * up + padding[0] + padding[1] - uw + 1
    y = _empty(x, (height - dh) // down + 1, (width - dw) // down + 1)
    size = (1 if clamp < 0 else 2, (x.shape[0] * x.shape[1] + 7) // 8, height, width) if keep else (0,)
    return y, x.new_empty(size, dtype=torch.uint8)


def _masked_fake(
    x: Tensor,
    mask: Tensor,
    fu: Tensor | None,
    fd: Tensor | None,
    up: int,
    down: int,
    padding_up: Sequence[int],
    padding_down: Sequence[int],
    gain_up: float,
    gain_down: float,
    gain: float,
    slope: float,
    flip_filter: bool,
) -> Tensor:
    dh, dw = filter_size(fd)
    height = (mask.shape[2] + padding_down[2] + padding_down[3] - dh) // down + 1
    width = (mask.shape[3] + padding_down[0] + padding_down[1] - dw) // down + 1
    return _empty(x, height, width)


# ---- gradients --------------------------------------------------------------------------------------------


def _forward_setup(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    x, fu, fd, _, up, down, padding, gain, slope, _, flip_filter, _ = inputs
    ctx.size = x.shape[2:]
    ctx.settings = (up, down, padding, [0, 0, 0, 0], up**2, 1.0, gain, slope, flip_filter)
    ctx.save_for_backward(output[1], fu, fd)


def _forward_backward(ctx: Any, dy: Tensor, _: Tensor | None) -> tuple[Tensor | None, ...]:
    mask, fu, fd = ctx.saved_tensors
    if mask.ndim != 4:
        raise RuntimeError("ganinv_ops::filtered_lrelu has a gradient only when called with keep=True")
    dx = _adjoint(dy, mask, fu, fd, ctx.size, *ctx.settings)
    db = dx.sum((0, 2, 3)) if ctx.needs_input_grad[3] else None
    return dx, None, None, db, None, None, None, None, None, None, None, None


def _masked_setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, mask, fu, fd, *ctx.settings = inputs
    ctx.size = x.shape[2:]
    ctx.save_for_backward(mask, fu, fd)


def _masked_backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
    dx = _adjoint(dy, *ctx.saved_tensors, ctx.size, *ctx.settings)
    return dx, *[None] * 12


def _adjoint(
    dy: Tensor,
    mask: Tensor,
    fu: Tensor | None,
    fd: Tensor | None,
    size: Sequence[int],
    up: int,
    down: int,
    padding_up: Sequence[int],
    padding_down: Sequence[int],
    gain_up: float,
    gain_down: float,
    gain: float,
    slope: float,
    flip_filter: bool,
) -> Tensor:
    """Of upsampling, mask and downsampling: the filters trade places, reversed, with what pads to each size."""
    first = _reversed_padding(fd, padding_down, dy.shape[2:], down, mask.shape[2:], 1)
    second = _reversed_padding(fu, padding_up, mask.shape[2:], 1, size, up)
    dx: Tensor = torch.ops.ganinv_ops.filtered_lrelu_masked(
        dy, mask, fd, fu, down, up, first, second, gain_down, gain_up, gain, slope, not flip_filter
    )
    return dx


def _reversed_padding(
    f: Tensor | None, padding: Sequence[int], size: Sequence[int], up: int, result: Sequence[int], down: int
) -> list[int]:
    """What takes a picture of `size` (height, width) back to `result`, the size it was filtered from."""
    fh, fw = filter_size(f)
    left, top = fw - 1 - padding[0], fh - 1 - padding[2]
    right = (result[1] - 1) * down + fw - size[1] * up - left
    bottom = (result[0] - 1) * down + fh - size[0] * up - top
    return [left, right, top, bottom]


_LIBRARY.impl("filtered_lrelu", _forward_kernel, "CompositeExplicitAutograd")
_LIBRARY.impl("filtered_lrelu_masked", _masked_kernel, "CompositeExplicitAutograd")
torch.library.register_fake("ganinv_ops::filtered_lrelu", _forward_fake, lib=_LIBRARY)
torch.library.register_fake("ganinv_ops::filtered_lrelu_masked", _masked_fake, lib=_LIBRARY)
torch.library.register_autograd(
    "ganinv_ops::filtered_lrelu", _forward_backward, setup_context=_forward_setup, lib=_LIBRARY
)
torch.library.register_autograd(
    "ganinv_ops::filtered_lrelu_masked", _masked_backward, setup_context=_masked_setup, lib=_LIBRARY
)
