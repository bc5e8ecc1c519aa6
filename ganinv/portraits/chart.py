"""The chart: every direction from the middle of the head as a point of a disc, and textures over it.

Lambert's azimuthal equal-area map around +z (straight ahead): the disc of radius 2 is the whole sphere, the
silhouette seen from the front has radius 1.414. Textures cover the square +-HALF.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ganinv.portraits.tensors import dot

HALF = 1.96


def to_chart(point: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Points [B, 3, M] -> chart coordinates [B, 2, M], length [B, 1, M] and the map's scale [B, 1, M]."""
    length = dot(point, point).add_(1e-9).sqrt_()
    scale = torch.addcmul(length * length, length, point[:, 2:]).clamp_(min=1e-4).rsqrt_().mul_(2.0**0.5)
    return point[:, :2] * scale, length, scale


def from_chart(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Chart coordinates (that broadcast) -> x, y, z of the unit direction."""
    squared = (a * a + b * b).clamp(max=3.99)
    k = (1.0 - 0.25 * squared).sqrt_()
    return a * k, b * k, 1.0 - 0.5 * squared


def axis(texels: int, like: Tensor) -> Tensor:
    """[texels] chart coordinates of texel centres."""
    return ((torch.arange(texels, device=like.device) + 0.5) / texels * 2.0 - 1.0) * HALF


def look_up(texture: Tensor, coordinates: Tensor, *, mirrored: bool = False) -> Tensor:
    """Bilinear values of `texture` [B, C, h, w] at `coordinates` [B, 2, M], square +-1 -> [B, C, M].

    Outside the square the border goes on, or with `mirrored` the texture repeats, turned over each time.
    """
    grid = coordinates[:, :, None].permute(0, 2, 3, 1)
    padding = "reflection" if mirrored else "border"
    return F.grid_sample(texture, grid, mode="bilinear", padding_mode=padding, align_corners=False)[:, :, 0]
