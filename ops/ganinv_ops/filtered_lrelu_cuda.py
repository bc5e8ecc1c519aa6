"""Runs csrc/filtered_lrelu.cu. Used by filtered_lrelu.py alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from ganinv_ops.filtered_lrelu import Settings


def run(
    x: Tensor,
    y: Tensor,
    mask: Tensor | None,
    filters: tuple[Tensor | None, Tensor | None],
    b: Tensor | None,
    s: Settings,
    *,
    keep: bool,
) -> bool:
    """Fill y.

    Args:
        x: [N, C, H, W] of any strides, float32, float16 or bfloat16, on a CUDA device like all others.
        y: [N, C, H, W] of the result, of the same type.
        mask: with `keep`, what to fill too; else what takes the activation's place, or None.
        filters: of upsampling and of downsampling.
        b: [C] or None.
        s: what follows the tensors in the schemas of filtered_lrelu.py.
        keep: see mask.

    Returns:
        False where not even the smallest tile fits shared memory; nothing was done.
    """
    first = _taps(filters[0], x, s.gain_up, s.flip_filter)
    second = _taps(filters[1], x, s.gain_down, s.flip_filter)
    numbers = (s.up, s.down, s.padding_up, s.padding_down, s.gain, s.slope, s.clamp)
    return _launch(x, y, mask, first, second, b, *numbers, keep)


def _launch(*arguments: Any) -> bool:
    """The operator of csrc/filtered_lrelu_cuda.cpp."""
    done: bool = torch.ops.ganinv_ops.filtered_lrelu_tiles(*arguments)
    return done


def _taps(f: Tensor | None, x: Tensor, gain: float, flip_filter: bool) -> Tensor:
    """What the kernel wants: scaled, in the order of a correlation."""
    if f is None:
        return torch.full((1, 1), gain, dtype=torch.float32, device=x.device)
    taps = (f * gain ** (f.ndim / 2)).float()
    return (taps if flip_filter else taps.flip(list(range(f.ndim)))).contiguous()
