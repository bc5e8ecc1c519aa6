"""Filters of the resampling operations, and the padding that keeps a filtered picture in place."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

Padding = int | Sequence[int]
"""One number for all sides, (x, y), or (left, right, top, bottom); in upsampled pixels, negative crops."""


def setup_filter(
    f: Tensor | Sequence[float] | Sequence[Sequence[float]] | float | None,
    *,
    normalize: bool = True,
    flip_filter: bool = False,
    gain: float = 1.0,
    separable: bool | None = None,
    device: torch.device | str | None = None,
) -> Tensor:
    """Make a filter tensor for `upfirdn2d` and the calls built on it.

    Args:
        f: taps, [n] or [height, width], a number, or None for the filter that changes nothing.
        normalize: scale the taps to a sum of 1.
        flip_filter: reverse the taps.
        gain: total gain of the filter (per axis, its root).
        separable: keep 1-D taps as they are, to be applied along both axes; None does so from 8 taps on.
        device: where the result lives.

    Returns:
        float32 [n] (separable) or [height, width].

    Raises:
        ValueError: not a number, vector or matrix; empty; separable asked for 2-D taps.
    """
    taps = torch.as_tensor(1.0 if f is None else f, dtype=torch.float32, device=device)
    if taps.ndim > 2 or taps.numel() == 0:
        raise ValueError(
            f"a filter has shape [n] or [height, width] and at least one tap, not {list(taps.shape)}"
        )
    if taps.ndim == 0:
        taps = taps.reshape(1)
    if separable is None:
        separable = taps.ndim == 1 and taps.numel() >= 8
    if separable and taps.ndim != 1:
        raise ValueError("separable=True needs 1-D taps; give the taps of one axis, or separable=False")
    if taps.ndim == 1 and not separable:
        taps = torch.outer(taps, taps)
    if normalize:
        taps = taps / taps.sum()
    if flip_filter:
        taps = taps.flip(list(range(taps.ndim)))
    return taps * gain ** (taps.ndim / 2)


def filter_size(f: Tensor | None) -> tuple[int, int]:
    """(height, width) that a filter covers."""
    if f is None:
        return 1, 1
    return (int(f.shape[0]), int(f.shape[-1]))


def parse_padding(padding: Padding) -> tuple[int, int, int, int]:
    """(left, right, top, bottom) of any accepted form."""
    if isinstance(padding, int):
        return padding, padding, padding, padding
    if len(padding) == 2:
        return padding[0], padding[0], padding[1], padding[1]
    if len(padding) == 4:
        return padding[0], padding[1], padding[2], padding[3]
    raise ValueError(f"padding is {list(padding)}; give one number, (x, y) or (left, right, top, bottom)")


def add_padding(padding: Padding, more: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
    """Sum of two paddings, side by side."""
    px0, px1, py0, py1 = parse_padding(padding)
    return px0 + more[0], px1 + more[1], py0 + more[2], py1 + more[3]


def up_padding(f: Tensor | None, upx: int, upy: int) -> tuple[int, int, int, int]:
    """What keeps a picture enlarged with `f` in place and exactly `up` times as large."""
    fh, fw = filter_size(f)
    return (fw + upx - 1) // 2, (fw - upx) // 2, (fh + upy - 1) // 2, (fh - upy) // 2


def down_padding(f: Tensor | None, downx: int, downy: int) -> tuple[int, int, int, int]:
    """What keeps a picture reduced with `f` in place."""
    fh, fw = filter_size(f)
    return (fw - downx + 1) // 2, (fw - downx) // 2, (fh - downy + 1) // 2, (fh - downy) // 2
