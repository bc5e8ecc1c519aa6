"""Glasses: two rims and a bridge on a bent plane before the face, lenses with a reflection, temples."""

from __future__ import annotations

import torch
from torch import Tensor

from ganinv.portraits.features import frame_mask
from ganinv.portraits.rays import Rays
from ganinv.portraits.shading import Surface, shade, skin_wrap
from ganinv.portraits.tensors import above, normalise, smoothstep

_FRONT = 0.955
_BEND = 0.40


def lens_plane(origin: Tensor, direction: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(x, y, distance) where rays of head space meet z = _FRONT - _BEND x^2, by three fixed-point steps."""
    ox, oy, oz = origin.split(1, 1)
    dx, dy, dz = direction.split(1, 1)
    distance = (_FRONT - oz) / dz
    for _ in range(2):
        distance = (_FRONT - _BEND * (ox + dx * distance).square_() - oz) / dz
    return ox + dx * distance, oy + dy * distance, distance


def glasses(rays: Rays) -> None:
    """Paint lenses, frame and temples."""
    face = rays.face
    x, y, distance = lens_plane(rays.pose.camera, rays.head_direction)
    frame, to_rim = frame_mask(face, x, y, rays.edge)
    tilt = 0.5 * smoothstep(y.abs(), 0.0, 1.0) + 0.2 * (y + 0.035).sign()
    normal = rays.pose.turn_to_world(normalise(torch.cat((0.6 * x, tilt, torch.ones_like(x)), 1)))
    z = rays.pose.to_world(rays.at(distance))[:, 2:]
    metal = Surface(
        normal, rays.palette.frame * 0.9, 1.0, 1.0, specular=0.30, gloss=30.0, wrap=0.1 * skin_wrap(x)
    )
    colour = shade(rays, metal)
    streak = smoothstep((5.0 * x + 8.0 * y + rays.noise.glare + 0.06 * face.yaw).sin_(), 0.62, 0.98)
    glare = 0.15 * streak + 0.03 + 0.10 * smoothstep(y, -0.1, 0.15)
    lens = 0.55 * smoothstep(to_rim, 0.0, -0.02) * glare
    rays.tint(0.75 + 0.4 * rays.palette.backdrop, lens, z, 0.02)
    rays.paint(colour, frame, z, 0.01)
    for side in (-1.0, 1.0):
        _temple(rays, colour * 0.8, side)


def _temple(rays: Rays, colour: Tensor, side: float) -> None:
    """The bar along one side of the head, on the plane x = side (0.60 + 0.19 (0.80 - z))."""
    cx, cy, cz = rays.pose.camera.split(1, 1)
    dx, dy, dz = rays.head_direction.split(1, 1)
    slope = 0.19 * side
    steep = dx + slope * dz
    # A ray along the plane meets it nowhere near: keep the division finite.
    distance = (0.60 * side + slope * (0.80 - cz) - cx) / _apart_from_zero(steep)
    y, z = cy + dy * distance, cz + dz * distance
    bar = smoothstep((y - 0.05).abs_() - 0.020 - 0.4 * rays.face.frame_half, rays.edge, -0.5 * rays.edge)
    bar = bar * above(0.80 - z) * above(z + 0.1)
    depth = rays.pose.to_world(rays.at(distance))[:, 2:]
    rays.paint(colour, bar, depth, 0.01)


def _apart_from_zero(x: Tensor) -> Tensor:
    """x, at least 1e-4 from 0 on its own side; 0 itself has a side too, so that dividing by it is finite."""
    return x + torch.copysign((1e-4 - x.abs()).clamp_(min=0.0), x)
