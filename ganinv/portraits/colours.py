"""sRGB and linear colours, ramps through fixed colours, the palettes of the domain (all linear inside)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

SKIN = ("#ebc8b3", "#e6bc9f", "#d6a683", "#b1805c", "#865840", "#5c3b2a", "#3d271c")
HAIR_BROWN = ("#0f0b0a", "#2a1a12", "#4a2f1e", "#7a5433", "#b58a54", "#dcbd86")
HAIR_RED = ("#1c0a06", "#4a1a0c", "#83301a", "#a84a20", "#c8763a", "#dc9c60")
IRIS = ("#2a1509", "#5a3214", "#7a5a24", "#5c7440", "#4a7fa0", "#7fa9c4")
IRIS_KNOTS = (0.0, 0.3, 0.5, 0.65, 0.82, 1.0)
LIPSTICK = ("#b0303a", "#c4566a", "#8c2a3c", "#c9736a")
EYE_SHADOW = ("#6b4a52", "#4a4550", "#7a5a48")
FRAMES = ("#b08a3a", "#9a9aa0", "#1a1a1c", "#121214", "#4a2a18", "#6a1f22")


def linear_rgb(code: str) -> list[float]:
    """`#rrggbb` in sRGB -> three linear values in [0, 1]."""
    values = [int(code[i : i + 2], 16) / 255.0 for i in (1, 3, 5)]
    return [((v + 0.055) / 1.055) ** 2.4 if v > 0.04045 else v / 12.92 for v in values]


def colour(code: str, like: Tensor) -> Tensor:
    """`#rrggbb` -> linear [1, 3, 1] on the device of `like`."""
    return torch.tensor(linear_rgb(code), device=like.device).view(1, 3, 1)


def ramp(position: Tensor, codes: Sequence[str], knots: Sequence[float] | None = None) -> Tensor:
    """Piecewise linear in linear RGB: position [B] in 0..1 -> [B, 3, 1]; knots equally spaced by default."""
    table = torch.tensor([linear_rgb(code) for code in codes], device=position.device)
    if knots is None:
        knots = [i / (len(codes) - 1) for i in range(len(codes))]
    at = torch.tensor(knots, dtype=position.dtype, device=position.device)
    low = (torch.searchsorted(at, position.contiguous(), right=True) - 1).clamp(0, len(codes) - 2)
    weight = ((position - at[low]) / (at[low + 1] - at[low])).clamp(0.0, 1.0)[:, None]
    return (table[low] * (1.0 - weight) + table[low + 1] * weight)[:, :, None]


def hsv(hue: Tensor, saturation: Tensor, value: Tensor) -> Tensor:
    """Hue, saturation, value [B] in [0, 1] -> display RGB [B, 3, 1]."""
    sector = torch.stack([(n + hue * 6.0) % 6.0 for n in (5.0, 3.0, 1.0)], 1)
    amount = torch.minimum(sector, 4.0 - sector).clamp(0.0, 1.0)
    return (value[:, None] - (value * saturation)[:, None] * amount)[:, :, None]


def to_srgb(linear: Tensor) -> Tensor:
    """Linear >= 0 -> sRGB curve; its straight part, capped, is the larger one below 0.0031: no branch."""
    curve = linear.clamp(min=1e-6).log_().mul_(1.0 / 2.4).exp_().mul_(1.055).sub_(0.055)
    return torch.maximum(curve, torch.minimum(linear * 12.92, linear.new_tensor(0.04045)))
