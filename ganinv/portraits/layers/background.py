"""Backdrop: a lit wall with clouds and six blurred discs. Smooth, so computed per pixel and not per ray."""

from __future__ import annotations

from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from ganinv.portraits.rays import Scene
from ganinv.portraits.tensors import bell, smoothstep


@lru_cache(maxsize=8)
def _enlarge(size: int, cells: int, device: torch.device) -> Tensor:
    """[size, cells]: bicubic enlargement of a line of cells as a matrix."""
    unit = torch.eye(cells)[:, None, None]
    line = F.interpolate(unit, size=(1, size), mode="bicubic", align_corners=False)
    return line[:, 0, 0].T.contiguous().to(device)


def background(scene: Scene, size: int, x: Tensor, y: Tensor) -> Tensor:
    """Linear colour [B, 3, size, size]; x, y [size] are head units at z = 0, here halved to about +-1."""
    noise, backdrop = scene.noise, scene.palette.backdrop[..., None]
    across, up = x.view(1, 1, 1, -1), y.view(1, 1, -1, 1)
    matrix = _enlarge(size, noise.backdrop.shape[-1], x.device)
    clouds = matrix @ noise.backdrop @ matrix.T - 0.5
    side = scene.lights.side[..., None]
    glow = bell(across + 0.5 * side, 2.0**0.5) * bell(up - 0.2, 0.6**-0.5)
    picture = backdrop * (0.45 + 0.75 * glow + 0.40 * clouds[:, :1]) * (1.0 + 0.12 * clouds)
    a, b, reach, strength = noise.discs[:, :, :, None, None].unbind(1)  # each [B, 6, 1, 1]
    reach = 0.10 + 0.26 * reach
    distance = ((across - 2.6 * a + 1.3).square() + (up - 2.2 * b + 0.9).square()).sqrt_()
    discs = smoothstep(distance, reach * 1.12, reach * 0.80) * (strength - 0.35).clamp(min=0.0)
    return picture + 0.21 * discs.sum(1, keepdim=True) * (backdrop + 0.15)
