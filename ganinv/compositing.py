"""Completions: the generator's pixels in the hole, the picture's outside it, and tones that meet.

A generator's picture is nowhere quite the picture it was asked for: a background is a little greener, skin a
little darker. Known pixels tell by how much. That difference is carried on into the hole as a membrane, which
is smooth inside and fixed at the edge (Perez et al., "Poisson Image Editing", 2003: the gradients in the hole
stay the generator's). What is none of tone, a strand that the generator has elsewhere or a scrap of a beard
where it drew skin, would be one step at the hole's edge: it fades over a few pixels. docs/method.md has what
that changes.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate, pad

from ganinv.errors import UsageError
from ganinv.images import Bools, Bytes, from_levels, to_levels

_SMALL = 64
_SWEEPS, _SWEEPS_LARGE = 12, 4
"""Smoothing steps at sizes up to `_SMALL` px and above; the next smaller size has done the rest."""
_FADING = (0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1)
"""Shares of what is left of the difference at a hole's edge that the first pixels inside take."""
_INNER = (..., slice(1, -1), slice(1, -1))
_TONE = 0.3
"""Largest difference of tones, of a range of 2: where it is larger, the pictures show different things."""


def composite(raw: Bytes, working: Bytes, hole: Bools, feather: int = 0, *, tones: bool = True) -> Bytes:
    """The generator's pixels in the hole and the picture's outside it, bit for bit.

    Args:
        raw, working: uint8 (N, H, W, 3).
        hole: bool (N, H, W) or (N, H, W, 1).
        feather: width in pixels of a band inside the hole over which the known colours next to it fade into
            the filling. What `working` holds inside the hole is never used.
        tones: move the filling's tones to meet the known pixels; False: `raw` as it is.

    Returns:
        uint8 (N, H, W, 3).
    """
    erased = (hole[..., 0] if hole.ndim == 4 else hole).astype(bool)
    if raw.shape != working.shape or erased.shape != raw.shape[:3]:
        raise ValueError(f"shapes differ: raw {raw.shape}, working {working.shape}, hole {hole.shape}")
    if feather < 0:
        raise UsageError(f"a feather of {feather} pixels is not possible; type --feather 0 or more")
    if tones:
        raw = matched(raw, working, erased)
    result = np.where(erased[..., None], raw, working)
    reached, colours = ~erased, np.where(erased[..., None], 0, working).astype(np.float64)
    for step in range(1, feather + 1):  # each ring takes the mean of its neighbours one ring further out
        weight = _neighbours(reached[..., None].astype(np.float64))
        ring = erased & ~reached & (weight[..., 0] > 0)
        if not ring.any():
            break
        colours[ring] = (_neighbours(colours * reached[..., None]) / np.maximum(weight, 1))[ring]
        share = step / (feather + 1)
        mixed = share * raw[ring] + (1 - share) * colours[ring]
        result[ring] = np.floor(mixed + 0.5).clip(0, 255).astype(np.uint8)
        reached = reached | ring
    return result


def _neighbours(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Sums over the 3 x 3 neighbourhood, of (N, H, W, C), zeros outside."""
    for axis in (1, 2):
        spread = [(0, 0)] * 4
        spread[axis] = (1, 1)
        wide = np.pad(values, spread).swapaxes(0, axis)
        values = (wide[:-2] + wide[1:-1] + wide[2:]).swapaxes(0, axis)
    return values


def matched(raw: Bytes, working: Bytes, hole: Bools) -> Bytes:
    """The generator's pictures, their tones in the hole moved to meet the known pixels.

    Args:
        raw, working: uint8 (N, H, W, 3). What `working` holds inside the hole is never used.
        hole: bool (N, H, W).

    Returns:
        uint8 (N, H, W, 3); as `raw` where everything, or nothing, is erased.
    """
    if hole.all() or not hole.any():
        return raw
    known = torch.from_numpy(~hole)[:, None].float()  # (N, 1, H, W)
    drawn, wanted = (torch.from_numpy(levels).permute(0, 3, 1, 2).contiguous() for levels in (raw, working))
    moved = to_levels(joined(from_levels(drawn), from_levels(wanted), known)).permute(0, 2, 3, 1).numpy()
    return np.where(hole[..., None], moved, raw)


def joined(inside: Tensor, outside: Tensor, known: Tensor) -> Tensor:
    """One picture inside a hole and another outside it, the tones of the first moved to meet the other's.

    Args:
        inside, outside: float32 (N, C, H, W) in [-1, 1]. known: (N, 1, H, W), 1 = outside, else 0.

    Returns:
        (N, C, H, W); `inside` where nothing is outside.
    """
    return torch.where(known > 0, outside, inside + carried((outside - inside) * known, known))


def carried(difference: Tensor, known: Tensor) -> Tensor:
    """A difference at known pixels, carried on to all others: what can be one of tones as a `membrane`; what
    is left, too large or too fine for one, fades over `len(_FADING)` pixels. Arguments and result as there.
    """
    largest = difference.abs().amax(dim=1, keepdim=True)
    found = membrane(difference * (_TONE / largest.clamp_min(_TONE)), known)
    near, reached, share = pad(difference, (1, 1, 1, 1)), pad(known, (1, 1, 1, 1)), torch.zeros_like(known)
    for part in _FADING:  # each ring takes the mean of its neighbours one ring further out
        count = _beside(reached)
        ring = ((count > 0) & (reached[_INNER] == 0)).float()
        near[_INNER].addcmul_(_beside(near), ring / count.clamp_min(1))
        reached[_INNER].add_(ring)
        share.add_(ring, alpha=part)
    return torch.lerp(found, near[_INNER], share)


def membrane(values: Tensor, known: Tensor) -> Tensor:
    """Values at known pixels, carried on smoothly to all others: nearly the solution of Laplace's equation
    with a free picture border, found from small sizes to large ones.

    Args:
        values: float32 (N, C, H, W), 0 where not known. known: (N, 1, H, W), 1 = known, else 0.

    Returns:
        (N, C, H, W), `values` at known pixels; 0 for a picture of which nothing is known.
    """
    height, width = known.shape[2:]
    side, start = max(height, width), torch.zeros_like(values)
    if side > 1:
        odd = (0, width % 2, 0, height % 2)
        weight = avg_pool2d(pad(known, odd), 2)
        small = avg_pool2d(pad(values, odd), 2) / weight.clamp_min(0.25)
        below = membrane(small * (weight > 0), (weight > 0).float())
        mode = "nearest" if side <= _SMALL else "bilinear"  # few steps would leave blocks
        start = interpolate(below, scale_factor=2, mode=mode)[:, :, :height, :width]
    found = torch.where(known > 0, values, start)
    steps = _SWEEPS if side <= _SMALL else _SWEEPS_LARGE
    for _ in range(steps if side > 1 else 0):
        around = _beside(pad(found, (1, 1, 1, 1), mode="replicate"))
        found = torch.where(known > 0, values, around / 4)
    return found


def _beside(padded: Tensor) -> Tensor:
    """Sums of each pixel's four neighbours: (N, C, H + 2, W + 2), padded by one -> (N, C, H, W)."""
    rows = padded[:, :, :-2, 1:-1] + padded[:, :, 2:, 1:-1]
    return rows + (padded[:, :, 1:-1, :-2] + padded[:, :, 1:-1, 2:])
