"""Pad, upsample, filter and downsample pictures in one pass, and the usual resampling calls built on it.

The meaning, one axis at a time: insert ``up - 1`` zeros after every sample; pad (or crop, where negative)
the result; convolve with the filter, keeping only where it fits; keep every ``down``-th sample from the
first. The reference below is the specification.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ganinv_ops.dispatch import CHECKS, Impl, NativeOpError, choose, native_or, relative_error
from ganinv_ops.filters import Padding, add_padding, down_padding, filter_size, parse_padding, up_padding

Pair = int | Sequence[int]
"""One number for both axes, or (x, y)."""


def upfirdn2d(
    x: Tensor,
    f: Tensor | None,
    *,
    up: Pair = 1,
    down: Pair = 1,
    padding: Padding = 0,
    flip_filter: bool = False,
    gain: float = 1.0,
    impl: Impl = "auto",
) -> Tensor:
    """Upsample, pad, filter and downsample.

    Args:
        x: [N, C, H, W], floating point.
        f: [n] (applied along both axes), [height, width], or None for no filter; float32 whatever the type
            of x.
        up, down: whole factors, one number or (x, y).
        padding: in upsampled pixels: one number, (x, y) or (left, right, top, bottom); negative numbers crop.
        flip_filter: False convolves, True correlates.
        gain: factor of the result.
        impl: "auto" runs the native kernel where there is one, "native" insists, "ref" never does.

    Returns:
        [N, C, (H * up + top + bottom - height) // down + 1, same for W], type and memory layout of x.

    Raises:
        ValueError: wrong shapes, factors below 1, or nothing left after padding.
        NativeOpError: "native" asked for, and impossible.
    """
    upx, upy = _pair(up, "up")
    downx, downy = _pair(down, "down")
    px0, px1, py0, py1 = parse_padding(padding)
    fh, fw = _check(x, f)
    if x.shape[2] * upy + py0 + py1 < fh or x.shape[3] * upx + px0 + px1 < fw:
        raise ValueError(
            f"a picture of {x.shape[2]}x{x.shape[3]} with up ({upx}, {upy}) and "
            f"padding {[px0, px1, py0, py1]} "
            f"is smaller than the {fh}x{fw} filter; pad more"
        )
    pads = (px0, px1, py0, py1)
    if f is not None and f.requires_grad:
        if impl == "native":
            raise NativeOpError(
                "upfirdn2d's native kernel has no gradient for the filter; detach it, or use impl='auto'"
            )
        impl = "ref"
    if f is None or not choose("upfirdn2d", impl, x):  # without a filter nothing is left to fuse
        return _reference(x, f, (upx, upy), (downx, downy), pads, flip_filter, gain)
    y: Tensor = torch.ops.ganinv_ops.upfirdn2d(x, f, (upx, upy), (downx, downy), pads, flip_filter, gain)
    return y


def filter2d(
    x: Tensor,
    f: Tensor | None,
    *,
    padding: Padding = 0,
    flip_filter: bool = False,
    gain: float = 1.0,
    impl: Impl = "auto",
) -> Tensor:
    """Filter [N, C, H, W] and keep its size; `padding` comes on top. Arguments as in `upfirdn2d`."""
    fh, fw = filter_size(f)
    px0, px1, py0, py1 = parse_padding(padding)
    pad = (px0 + fw // 2, px1 + (fw - 1) // 2, py0 + fh // 2, py1 + (fh - 1) // 2)
    return upfirdn2d(x, f, padding=pad, flip_filter=flip_filter, gain=gain, impl=impl)


def upsample2d(
    x: Tensor,
    f: Tensor | None,
    *,
    up: Pair = 2,
    padding: Padding = 0,
    flip_filter: bool = False,
    gain: float = 1.0,
    impl: Impl = "auto",
) -> Tensor:
    """Enlarge [N, C, H, W] to [N, C, H * up, W * up] and keep its brightness.

    `padding` comes on top of what centres the result; the other arguments are those of `upfirdn2d`.
    """
    upx, upy = _pair(up, "up")
    px0, px1, py0, py1 = add_padding(padding, up_padding(f, upx, upy))
    return upfirdn2d(
        x,
        f,
        up=(upx, upy),
        padding=(px0, px1, py0, py1),
        flip_filter=flip_filter,
        gain=gain * upx * upy,
        impl=impl,
    )


def downsample2d(
    x: Tensor,
    f: Tensor | None,
    *,
    down: Pair = 2,
    padding: Padding = 0,
    flip_filter: bool = False,
    gain: float = 1.0,
    impl: Impl = "auto",
) -> Tensor:
    """Reduce [N, C, H, W] to [N, C, H // down, W // down] (even sizes).

    `padding` comes on top of what centres the result; the other arguments are those of `upfirdn2d`.
    """
    downx, downy = _pair(down, "down")
    pad = add_padding(padding, down_padding(f, downx, downy))
    return upfirdn2d(x, f, down=(downx, downy), padding=pad, flip_filter=flip_filter, gain=gain, impl=impl)


def keeps_channels_last(x: Tensor) -> bool:
    """Whether [N, C, H, W] lies in memory with its channels side by side, so that results should too."""
    return x.shape[1] > 1 and x.shape[2] * x.shape[3] > 1 and x.stride(1) == 1


def _pair(value: Pair, name: str) -> tuple[int, int]:
    x, y = (value, value) if isinstance(value, int) else (value[0], value[-1]) if len(value) == 2 else (0, 0)
    if x < 1 or y < 1:
        raise ValueError(f"{name} is {value}; give a whole number of at least 1, or two of them (x, y)")
    return x, y


def _check(x: Tensor, f: Tensor | None) -> tuple[int, int]:
    if x.ndim != 4:
        raise ValueError(f"x has shape {list(x.shape)}; give [N, C, H, W]")
    if f is not None and (f.ndim not in (1, 2) or f.numel() == 0):
        raise ValueError(
            f"the filter has shape {list(f.shape)}; give [n] or [height, width], as setup_filter makes"
        )
    return filter_size(f)


def _reference(
    x: Tensor,
    f: Tensor | None,
    up: Sequence[int],
    down: Sequence[int],
    padding: Sequence[int],
    flip_filter: bool,
    gain: float,
) -> Tensor:
    upx, upy = up
    downx, downy = down
    if upx > 1 or upy > 1:
        x = _insert_zeros(x, upx, upy)  # [N, C, H * upy, W * upx]
    if any(padding):
        x = F.pad(x, list(padding))
    if f is None:
        x = x[:, :, ::downy, ::downx]
        return x * gain if gain != 1 else x
    # scaled in the filter's own type and only then cast: published float64 values rest on that rounding
    taps = (f * gain ** (f.ndim / 2)).to(x.dtype)
    if not flip_filter:
        taps = taps.flip(list(range(taps.ndim)))  # conv2d correlates
    channels = x.shape[1]
    if taps.ndim == 2:
        return F.conv2d(x, taps.expand(channels, 1, -1, -1), stride=(downy, downx), groups=channels)
    # along x first where that shrinks the picture for the second pass
    x = F.conv2d(x, taps.reshape(1, 1, 1, -1).expand(channels, 1, 1, -1), stride=(1, downx), groups=channels)
    return F.conv2d(
        x, taps.reshape(1, 1, -1, 1).expand(channels, 1, -1, 1), stride=(downy, 1), groups=channels
    )


def _insert_zeros(x: Tensor, upx: int, upy: int) -> Tensor:
    n, c, h, w = x.shape
    if keeps_channels_last(x):
        spaced = F.pad(x.permute(0, 2, 3, 1).reshape(n, h, 1, w, 1, c), [0, 0, 0, upx - 1, 0, 0, 0, upy - 1])
        return spaced.reshape(n, h * upy, w * upx, c).permute(0, 3, 1, 2)
    spaced = F.pad(x.reshape(n, c, h, 1, w, 1), [0, upx - 1, 0, 0, 0, upy - 1])
    return spaced.reshape(n, c, h * upy, w * upx)


# ---- the operator -----------------------------------------------------------------------------------------

_LIBRARY = torch.library.Library("ganinv_ops", "FRAGMENT")
_LIBRARY.define(
    "upfirdn2d(Tensor x, Tensor f, int[] up, int[] down, SymInt[] padding, bool flip_filter, float gain) "
    "-> Tensor"
)


def _fake(
    x: Tensor,
    f: Tensor,
    up: Sequence[int],
    down: Sequence[int],
    padding: Sequence[int],
    flip_filter: bool,
    gain: float,
) -> Tensor:
    n, c, h, w = x.shape
    height = (h * up[1] + padding[2] + padding[3] - f.shape[0]) // down[1] + 1
    width = (w * up[0] + padding[0] + padding[1] - f.shape[-1]) // down[0] + 1
    layout = torch.channels_last if keeps_channels_last(x) else torch.contiguous_format
    return torch.empty((n, c, height, width), dtype=x.dtype, device=x.device, memory_format=layout)


def _setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, f, ctx.up, ctx.down, ctx.padding, ctx.flip_filter, ctx.gain = inputs
    ctx.size = x.shape[2:]
    ctx.save_for_backward(f)


def _backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
    """The adjoint: factors swapped, filter reversed, and the padding that gives back the input's size."""
    (f,) = ctx.saved_tensors
    fh, fw = filter_size(f)
    px0, _, py0, _ = ctx.padding
    upx, upy = ctx.up
    downx, downy = ctx.down
    pads = (
        fw - px0 - 1,
        ctx.size[1] * upx - dy.shape[3] * downx + px0 - upx + 1,
        fh - py0 - 1,
        ctx.size[0] * upy - dy.shape[2] * downy + py0 - upy + 1,
    )
    dx = torch.ops.ganinv_ops.upfirdn2d(dy, f, ctx.down, ctx.up, pads, not ctx.flip_filter, ctx.gain)
    return dx, None, None, None, None, None, None


def _cuda_error(device: str = "cuda", suffix: str = "_cuda") -> float:
    """See `CHECKS`."""
    x = torch.linspace(-50, 50, 2 * 8 * 9 * 11).sin().reshape(2, 8, 9, 11).to(device)
    run = getattr(torch.ops.ganinv_ops, f"upfirdn2d{suffix}")
    taps, errors = torch.tensor([1.0, 3.0, 2.0, 0.5], device=device), []
    for f in (taps, torch.outer(taps, taps), torch.arange(12.0, device=device).reshape(4, 3).sin()):
        for up, down in ((1, 1), (2, 1), (1, 2), (3, 2)):
            for layout in (torch.contiguous_format, torch.channels_last):
                z = x.contiguous(memory_format=layout)
                rest = (f, (up, up), (down, down), (2, 1, 3, -1), False, 1.7)
                errors.append(relative_error(run(z, *rest), _reference(z, *rest)))
    return max(errors)


CHECKS["upfirdn2d"] = _cuda_error
_LIBRARY.impl("upfirdn2d", native_or("upfirdn2d", _reference), "CompositeExplicitAutograd")
torch.library.register_fake("ganinv_ops::upfirdn2d", _fake, lib=_LIBRARY)
torch.library.register_autograd("ganinv_ops::upfirdn2d", _backward, setup_context=_setup, lib=_LIBRARY)
