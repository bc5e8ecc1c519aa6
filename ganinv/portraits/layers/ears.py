"""Ears: two flat ellipsoids turned outwards, with a ridge and a bowl."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ganinv.portraits.rays import Rays
from ganinv.portraits.shading import Surface, shade, skin_wrap
from ganinv.portraits.tensors import bell, constant, dot, normalise, safe_sqrt, smoothstep

_AXES = (0.060, 0.200, 0.120)
_OUTWARD = 0.55
"""radians about y"""


def _turn(side: float, like: Tensor) -> Tensor:
    """[3, 3]: head space -> space of one ear."""
    c, s = math.cos(side * _OUTWARD), math.sin(side * _OUTWARD)
    return torch.tensor([[c, 0.0, -s], [0.0, 1.0, 0.0], [s, 0.0, c]], device=like.device)


def ear(rays: Rays, side: float) -> None:
    """Paint the ear on the image left (side -1) or right (side 1) of a head that looks ahead."""
    local, distance, coverage = _hit(rays, side)
    found = rays.select(coverage, {"local": local, "distance": distance, "coverage": coverage})
    if found:
        fields = found.fields
        _paint(found.rays, side, fields["local"], fields["distance"], fields["coverage"])


def _hit(rays: Rays, side: float) -> tuple[Tensor, Tensor, Tensor]:
    """(point [B, 3, M] on the unit ball that the ear is stretched from, distance along the ray, coverage)."""
    turn, axes = _turn(side, rays.x), constant(_AXES, rays.x)
    width = side * 0.735 * (1.0 + 0.075 * rays.face.fwidth)
    centre = torch.cat((width, torch.full_like(width, -0.12), torch.full_like(width, -0.17)), 1)
    origin, direction = turn @ (rays.pose.camera - centre) / axes, turn @ rays.head_direction / axes
    q, h = dot(direction, direction), dot(origin, direction)
    inside = h * h - q * (dot(origin, origin) - 1.0)
    distance = (h + safe_sqrt(inside)).div_(q).neg_()
    local = torch.addcmul(origin, direction, distance)
    return local, distance, smoothstep(inside / q, 0.0, 0.9 * rays.step)


def _paint(rays: Rays, side: float, local: Tensor, distance: Tensor, coverage: Tensor) -> None:
    _, up, front = local.split(1, 1)
    radius = ((0.95 * up).square_() + front.square()).sqrt_()
    ridge = bell(radius - 0.62, 0.13)
    bowl = smoothstep(radius, 0.52, 0.25) * smoothstep(up, -0.75, -0.3)
    bend = torch.cat((torch.zeros_like(up), 0.35 * ridge * up, 0.5 * front * (ridge - bowl)), 1)
    normal = normalise(normalise(local / constant(_AXES, up)) + bend)
    albedo = rays.palette.skin * constant((1.05, 0.86, 0.82), up) * (1.0 - 0.45 * bowl - 0.18 * ridge)
    surface = Surface(
        normal=rays.pose.turn_to_world(_turn(side, up).T @ normal),
        albedo=albedo,
        lit=0.9 - 0.35 * bowl,
        ambient=0.85 - 0.4 * bowl,
        specular=0.04,
        gloss=12.0,
        wrap=1.3 * skin_wrap(up),
    )
    z = rays.pose.to_world(rays.at(distance))[:, 2:]
    rays.paint(shade(rays, surface), coverage, z, 0.03)
