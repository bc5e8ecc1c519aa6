"""The activation of StyleGAN3: a leaky ReLU at a higher sampling rate, between two low-pass filters.

The meaning (Karras et al., "Alias-Free Generative Adversarial Networks", arXiv 2106.12423, section 3 and
appendix D): add the bias; upsample with ``fu`` and a gain of ``up ** 2``; leaky ReLU, gain, clamp; downsample
with ``fd``. The reference below is the specification.

The native kernels never hold the upsampled picture. For the gradient they keep one bit of each of its pixels
(was it positive), two with a clamp (did it pass); with those the derivative is linear, and so is its own.

The CUDA kernel has not run on a card yet: see filtered_lrelu_cuda.py.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ganinv_ops import filtered_lrelu_cuda
from ganinv_ops.bias_act import bias_act
from ganinv_ops.dispatch import CHECKS, Impl, NativeOpError, choose, ready, relative_error
from ganinv_ops.filters import Padding, filter_size, parse_padding
from ganinv_ops.upfirdn2d import keeps_channels_last, upfirdn2d


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
        impl: "auto" runs the native kernel where there is one, "native" insists, "ref" never does. On CUDA,
            filters too large for shared memory go through the reference in any case.

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
                "filtered_lrelu's native kernel has no gradient for the filters; "
                "detach them, or use impl='auto'"
            )
        impl = "ref"
    if b is not None:
        b = b.to(x.dtype)
    limit = -1.0 if clamp is None else float(clamp)
    activation = (float(gain), float(slope), limit)
    settings = Settings(up, down, pads, (0, 0, 0, 0), float(up**2), 1.0, *activation, flip_filter)
    if not choose("filtered_lrelu", impl, x):
        return _reference(x, fu, fd, b, settings)
    keep = torch.is_grad_enabled() and (x.requires_grad or (b is not None and b.requires_grad))
    y: Tensor = torch.ops.ganinv_ops.filtered_lrelu(x, fu, fd, b, *settings, keep)[0]
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


class Settings(NamedTuple):
    """What follows the tensors in the operators' schemas."""

    up: int
    down: int
    padding_up: Sequence[int]
    padding_down: Sequence[int]
    gain_up: float
    gain_down: float
    gain: float
    slope: float
    clamp: float
    """Negative: none."""
    flip_filter: bool


def _reference(
    x: Tensor,
    fu: Tensor | None,
    fd: Tensor | None,
    b: Tensor | None,
    s: Settings,
    mask: Tensor | None = None,
) -> Tensor:
    x = _upsampled(x, fu, b, s)
    if mask is None:
        clamp = None if s.clamp < 0 else s.clamp
        x = bias_act(x, act="lrelu", alpha=s.slope, gain=s.gain, clamp=clamp, impl="ref")
    else:
        positive, *inside = _unpack(mask, x.shape)
        x = x * torch.where(positive, s.gain, s.gain * s.slope).to(x.dtype)
        x = torch.where(inside[0], x, 0.0) if inside else x
    pads, flip = s.padding_down, s.flip_filter
    return upfirdn2d(x, fd, down=s.down, padding=pads, flip_filter=flip, gain=s.gain_down, impl="ref")


def _upsampled(x: Tensor, fu: Tensor | None, b: Tensor | None, s: Settings) -> Tensor:
    x = bias_act(x, b, impl="ref")
    pads, flip = s.padding_up, s.flip_filter
    return upfirdn2d(x, fu, up=s.up, padding=pads, flip_filter=flip, gain=s.gain_up, impl="ref")


# ---- the mask: [1, or 2 with a clamp, N * C / 8, H, W] of the upsampled picture ---------------------------


def _mask(x: Tensor, fu: Tensor | None, b: Tensor | None, s: Settings) -> Tensor:
    """Bit l of byte q is plane 8 * q + l: first, was it positive; with a clamp then, did it pass."""
    z = _upsampled(x, fu, b, s)
    facts = [z > 0]
    if s.clamp >= 0:
        facts.append(bias_act(z, act="lrelu", alpha=s.slope, gain=s.gain, impl="ref").abs() <= s.clamp)
    n, c, h, w = z.shape
    planes = torch.zeros((len(facts), (n * c + 7) // 8 * 8, h, w), dtype=torch.uint8, device=x.device)
    planes[:, : n * c] = torch.stack(facts).reshape(-1, n * c, h, w)
    return (planes.reshape(len(facts), -1, 8, h, w) * _bits(x)).sum(2, dtype=torch.uint8)


def _unpack(mask: Tensor, shape: torch.Size) -> list[Tensor]:
    """Truth values of `shape`, [N, C, H, W]."""
    n, c, h, w = shape
    planes = (mask.unsqueeze(2) & _bits(mask)).ne(0).reshape(mask.shape[0], -1, h, w)
    return list(planes[:, : n * c].reshape(-1, n, c, h, w))


def _bits(x: Tensor) -> Tensor:
    return 2 ** torch.arange(8, dtype=torch.uint8, device=x.device).reshape(8, 1, 1)


# ---- the operators ----------------------------------------------------------------------------------------

_LIBRARY = torch.library.Library("ganinv_ops", "FRAGMENT")
_SCHEMA = (
    "int up, int down, SymInt[] padding_up, SymInt[] padding_down, float gain_up, float gain_down, "
    "float gain, float slope, float clamp, bool flip_filter"
)
_LIBRARY.define(
    f"filtered_lrelu(Tensor x, Tensor? fu, Tensor? fd, Tensor? b, {_SCHEMA}, bool keep) -> (Tensor, Tensor)"
)
_LIBRARY.define(f"filtered_lrelu_masked(Tensor x, Tensor mask, Tensor? fu, Tensor? fd, {_SCHEMA}) -> Tensor")


def _kernel(
    x: Tensor, fu: Tensor | None, fd: Tensor | None, b: Tensor | None, *settings: Any
) -> tuple[Tensor, Tensor]:
    """Runs where no native kernel is registered (yet): loads it and calls again, or falls back."""
    s, keep = Settings(*settings[:-1]), settings[-1]
    if ready("filtered_lrelu", x):
        if not x.is_cuda:
            y, mask = torch.ops.ganinv_ops.filtered_lrelu(x, fu, fd, b, *s, keep)
            return y, mask
        y, mask = _fake(x, fu, fd, b, *s, keep)
        kept = mask.zero_() if keep else None  # the kernel leaves what no output sees
        if filtered_lrelu_cuda.run(x, y, kept, (fu, fd), b, s, keep=keep):
            return y, mask
    mask = _mask(x, fu, b, s) if keep else x.new_empty(0, dtype=torch.uint8)
    return _reference(x, fu, fd, b, s), mask


def _masked_kernel(x: Tensor, mask: Tensor, fu: Tensor | None, fd: Tensor | None, *settings: Any) -> Tensor:
    """Upsample, multiply with the slope that the mask tells, downsample."""
    s = Settings(*settings)
    if ready("filtered_lrelu", x):
        y: Tensor
        if not x.is_cuda:
            y = torch.ops.ganinv_ops.filtered_lrelu_masked(x, mask, fu, fd, *s)
            return y
        y = _masked_fake(x, mask, fu, fd, *s)
        if filtered_lrelu_cuda.run(x, y, mask, (fu, fd), None, s, keep=False):
            return y
    return _reference(x, fu, fd, None, s, mask)


def _fake(
    x: Tensor, fu: Tensor | None, fd: Tensor | None, b: Tensor | None, *settings: Any
) -> tuple[Tensor, Tensor]:
    s, keep = Settings(*settings[:-1]), settings[-1]
    (uh, uw), (left, right, top, bottom) = filter_size(fu), s.padding_up
    height, width = x.shape[2] * s.up + top + bottom - uh + 1, x.shape[3] * s.up + left + right - uw + 1
    size = (1 if s.clamp < 0 else 2, (x.shape[0] * x.shape[1] + 7) // 8, height, width)
    return _output(x, height, width, fd, s), x.new_empty(size if keep else (0,), dtype=torch.uint8)


def _masked_fake(x: Tensor, mask: Tensor, fu: Tensor | None, fd: Tensor | None, *settings: Any) -> Tensor:
    return _output(x, mask.shape[2], mask.shape[3], fd, Settings(*settings))


def _output(x: Tensor, height: int, width: int, fd: Tensor | None, s: Settings) -> Tensor:
    """Empty; height and width are those of the upsampled picture."""
    (dh, dw), (left, right, top, bottom) = filter_size(fd), s.padding_down
    h, w = (height + top + bottom - dh) // s.down + 1, (width + left + right - dw) // s.down + 1
    layout = torch.channels_last if keeps_channels_last(x) else torch.contiguous_format
    shape = (x.shape[0], x.shape[1], h, w)
    return torch.empty(shape, dtype=x.dtype, device=x.device, memory_format=layout)


def _cuda_error(device: str = "cuda") -> float:
    """See `CHECKS`."""
    s = Settings(2, 2, (9, 8, 9, 8), (0, 0, 0, 0), 4.0, 1.0, 1.4, 0.2, 0.9, False)
    x = torch.linspace(-50, 50, 2 * 5 * 40 * 37).sin().reshape(2, 5, 40, 37).to(device)
    errors = []
    for taps in (torch.hann_window(12), torch.linspace(-2, 3, 144).cos().reshape(12, 12)):
        f, b = (taps / taps.norm()).to(device), x[0, :, 0, 0]
        y, mask = _fake(x, f, f, b, *s, True)
        again = torch.empty_like(y)
        done = filtered_lrelu_cuda.run(x, y, mask.zero_(), (f, f), b, s, keep=True)
        done = done and filtered_lrelu_cuda.run(x, again, mask, (f, f), None, s, keep=False)
        pairs = ((y, _reference(x, f, f, b, s)), (again, _reference(x, f, f, None, s, mask)))
        errors += [relative_error(*pair) if done else math.inf for pair in pairs]
    return max(errors)


# ---- gradients --------------------------------------------------------------------------------------------


def _setup(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    x, fu, fd, _, *settings, _ = inputs
    ctx.size, ctx.settings = x.shape[2:], Settings(*settings)
    ctx.save_for_backward(output[1], fu, fd)


def _backward(ctx: Any, dy: Tensor, _: Tensor | None) -> tuple[Tensor | None, ...]:
    mask, fu, fd = ctx.saved_tensors
    if mask.ndim != 4:
        raise RuntimeError("ganinv_ops::filtered_lrelu has a gradient only when called with keep=True")
    dx = _adjoint(dy, mask, fu, fd, ctx.size, ctx.settings)
    return dx, None, None, dx.sum((0, 2, 3)) if ctx.needs_input_grad[3] else None, *[None] * 11


def _masked_setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, mask, fu, fd, *settings = inputs
    ctx.size, ctx.settings = x.shape[2:], Settings(*settings)
    ctx.save_for_backward(mask, fu, fd)


def _masked_backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
    mask, fu, fd = ctx.saved_tensors
    return _adjoint(dy, mask, fu, fd, ctx.size, ctx.settings), *[None] * 13


def _adjoint(
    dy: Tensor, mask: Tensor, fu: Tensor | None, fd: Tensor | None, size: Sequence[int], s: Settings
) -> Tensor:
    """The filters trade places; size is that of the result."""
    back = _adjoint_settings(s, fu, fd, dy.shape[2:], mask.shape[2:], size)
    dx: Tensor = torch.ops.ganinv_ops.filtered_lrelu_masked(dy, mask, fd, fu, *back)
    return dx


def _adjoint_settings(
    s: Settings,
    fu: Tensor | None,
    fd: Tensor | None,
    output: Sequence[int],
    middle: Sequence[int],
    size: Sequence[int],
) -> Settings:
    """The filters reversed, with the paddings that lead back from size to size."""
    first = _reversed_padding(fd, s.padding_down, output, s.down, middle, 1)
    second = _reversed_padding(fu, s.padding_up, middle, 1, size, s.up)
    gains = (s.gain_down, s.gain_up, s.gain)
    return Settings(s.down, s.up, first, second, *gains, s.slope, s.clamp, not s.flip_filter)


def _reversed_padding(
    f: Tensor | None, padding: Sequence[int], size: Sequence[int], up: int, result: Sequence[int], down: int
) -> list[int]:
    """What takes a picture of `size` (height, width) back to `result`, the size it was filtered from."""
    fh, fw = filter_size(f)
    left, top = fw - 1 - padding[0], fh - 1 - padding[2]
    right = (result[1] - 1) * down + fw - size[1] * up - left
    bottom = (result[0] - 1) * down + fh - size[0] * up - top
    return [left, right, top, bottom]


CHECKS["filtered_lrelu"] = _cuda_error
_LIBRARY.impl("filtered_lrelu", _kernel, "CompositeExplicitAutograd")
_LIBRARY.impl("filtered_lrelu_masked", _masked_kernel, "CompositeExplicitAutograd")
torch.library.register_fake("ganinv_ops::filtered_lrelu", _fake, lib=_LIBRARY)
torch.library.register_fake("ganinv_ops::filtered_lrelu_masked", _masked_fake, lib=_LIBRARY)
torch.library.register_autograd("ganinv_ops::filtered_lrelu", _backward, setup_context=_setup, lib=_LIBRARY)
torch.library.register_autograd(
    "ganinv_ops::filtered_lrelu_masked", _masked_backward, setup_context=_masked_setup, lib=_LIBRARY
)
