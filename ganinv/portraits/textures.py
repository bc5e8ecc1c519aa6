"""Per-image textures over the chart: heights, slopes, ambient occlusion and self shadow of head and hair cap.

There are far fewer texels than rays, so whatever is a function of the direction only is computed here once.
Blurs and derivatives are matrix products from both sides.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from ganinv.portraits import chart
from ganinv.portraits.face import Face
from ganinv.portraits.features import hair_thickness, hairline
from ganinv.portraits.geometry import Surface, surface
from ganinv.portraits.noise import Noise, skin_noise
from ganinv.portraits.tensors import smoothstep


@dataclass(frozen=True)
class Textures:
    """Each texture is [B, C, T, T] over the chart square."""

    head_height: Tensor
    head: Tensor
    """slope along a, slope along b, ambient occlusion, light left by the self shadow"""
    cap_height: Tensor
    cap: Tensor
    """slope along a, slope along b, light left by the self shadow"""
    cap_reach: Tensor
    """[B, 1, 1]: scale of the ellipsoid that holds the cap"""
    eye_height: Tensor
    """[B, 1, 1]: distance of the eye's middle from the middle of the head"""


@lru_cache(maxsize=32)
def _blur_matrix(texels: int, reach: int, device: torch.device) -> Tensor:
    """[T, T]: two passes of a box of 2 reach + 1 texels, the border going on."""
    box = 2 * reach + 1
    padded = F.pad(torch.eye(texels)[None], (2 * reach, 2 * reach), mode="replicate")
    return F.avg_pool1d(F.avg_pool1d(padded, box, 1), box, 1)[0].T.contiguous().to(device)


@lru_cache(maxsize=8)
def _slope_matrix(texels: int, device: torch.device) -> Tensor:
    """[T, T]: central difference per chart unit, one-sided at half weight on the border."""
    step = 2.0 * chart.HALF / texels
    padded = F.pad(torch.eye(texels)[None], (1, 1), mode="replicate")[0]
    return ((padded[:, 2:] - padded[:, :-2]) / (2.0 * step)).T.contiguous().to(device)


def _blur(field: Tensor, width: float) -> Tensor:
    """Blur [B, T, T] by a box of half width `width` chart units, at least one texel."""
    texels = field.shape[-1]
    reach = max(1, round(width * texels / (2.0 * chart.HALF)))
    matrix = _blur_matrix(texels, reach, field.device)
    return matrix @ field @ matrix.T


def _slopes(field: Tensor) -> tuple[Tensor, Tensor]:
    matrix = _slope_matrix(field.shape[-1], field.device)
    return field @ matrix.T, matrix @ field


def _cap_height(face: Face, noise: Noise, shape: Surface, distance: Tensor, line: Tensor) -> Tensor:
    """Outer surface of the hair; before the hairline it sinks well below the skin, or it would stop rays."""
    texels = len(line)
    a = line.expand(texels, -1).reshape(1, 1, -1).expand(len(shape.base), 1, -1)
    b = line[:, None].expand(-1, texels).reshape(1, 1, -1).expand_as(a)
    waves = 0.12 * skin_noise(noise, 0, a * 0.45, b * 0.45) + 0.08 * skin_noise(noise, 1, a * 0.9, b * 0.9)
    curls = face.curl * (waves + 0.05 * skin_noise(noise, 0, a * 1.7, b * 1.7)).view_as(shape.base)
    thickness = hair_thickness(face, line.view(1, 1, -1), line.view(1, -1, 1), distance)
    height = shape.base + 0.005 + thickness * (1.0 + 2.2 * curls)
    return height + 0.05 * curls * smoothstep(distance, 0.0, 0.2) - 0.11 * smoothstep(distance, 0.015, -0.11)


def _light_left(
    points: Tensor, blocker: Tensor, light: Tensor, steps: tuple[float, ...], spread: float
) -> Tensor:
    """1 = lit .. 0.07 = in shadow: march from points [B, 3, T*T] to the light and look below `blocker`."""
    blocked = torch.zeros_like(points[:, :1])
    for step in steps:
        at, length, _ = chart.to_chart(points + light * step)
        depth = chart.look_up(blocker[:, None], at.div_(chart.HALF)) - length
        blocked = torch.maximum(blocked, depth.sub_(0.006).div_(spread * step + 0.015).clamp_(0.0, 1.0))
    return (1.0 - 0.93 * smoothstep(blocked, 0.0, 1.0)).view_as(blocker)


def _occlusion(head: Tensor, both: Tensor, hair: Tensor) -> Tensor:
    """Ambient light that reaches the skin, 0..1, from how deep it lies below its surroundings."""
    fine, wide = (_blur(head, 0.05) - head).clamp_(min=0.0), (_blur(head, 0.14) - head).clamp_(min=0.0)
    covered = (_blur(both, 0.14) - head).clamp_(min=0.0).mul_(1.0 - hair)
    return (fine * 9.0 + wide * 4.0 + covered * 5.0).neg_().exp_()


def make_textures(face: Face, noise: Noise, light: Tensor, texels: int) -> Textures:
    """All chart textures; `light` [B, 3, 1] is the key's direction in head space."""
    shape = surface(face, texels)
    line = chart.axis(texels, shape.base)
    row, column = line.view(1, 1, -1), line.view(1, -1, 1)
    distance = hairline(face, row, column)
    cap = _cap_height(face, noise, shape, distance, line)
    hair = smoothstep(distance, -0.02, 0.04) * (1.0 - smoothstep(face.recede, 0.97, 1.0))
    both = shape.head + (cap - shape.head).clamp(min=0.0) * hair
    direction = torch.stack([x.expand(1, texels, texels) for x in chart.from_chart(row, column)], 1).view(
        1, 3, -1
    )
    head_points = direction * shape.head.view(-1, 1, texels * texels)
    cap_points = direction * cap.view(-1, 1, texels * texels)
    lit = _blur(_light_left(head_points, both, light, (0.05, 0.12, 0.24, 0.42), 0.42), 0.0)
    cap_lit = _light_left(cap_points, both, light, (0.22,), 0.5)
    occlusion = _occlusion(shape.head, both, hair)
    eye = torch.cat((face.eye_a, face.eye_b), 1) / chart.HALF
    reach = ((cap - shape.base).clamp(min=0.0) * hair).amax((1, 2), keepdim=True)
    return Textures(
        head_height=shape.head[:, None],
        head=torch.stack((*_slopes(shape.head), occlusion, lit), 1),
        cap_height=cap[:, None],
        cap=torch.stack((*_slopes(cap), cap_lit), 1),
        cap_reach=1.05 + 0.95 / 0.86 * reach,
        eye_height=chart.look_up(shape.head[:, None], eye),
    )
