"""Tracing surfaces that are a height over the chart: the head and the cap of hair."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor

from ganinv.portraits import chart
from ganinv.portraits.rays import Rays
from ganinv.portraits.tensors import Value, above, constant, ellipsoid_terms, normalise, safe_sqrt

CENTRE = (0.0, -0.02, 0.02)
AXES = (0.86, 1.28, 1.22)
"""ellipsoid that holds the head with room to spare; head space"""
CORE_CENTRE = (0.0, -0.22, 0.06)
CORE_AXES = (0.52, 0.62, 0.62)
"""ellipsoid that every head holds"""
_INSIDE = 1e-3


@dataclass
class Hit:
    """Nearest approach of each ray to the surface: fields [B, 1, M], point [B, 3, M] in head space."""

    point: Tensor
    at: Tensor
    """[B, 2, M] chart coordinates"""
    length: Tensor
    scale: Tensor
    miss: Tensor
    """distance to the surface where the ray passes it by, 0 where it enters"""
    inside: Tensor
    """above 0 where the ray meets the bounding ellipsoid"""

    def fields(self) -> dict[str, Tensor]:
        """All of it by name, for `Rays.select`."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @staticmethod
    def of(chosen: dict[str, Tensor]) -> Hit:
        """From the fields that `Rays.select` gave back (which may hold more)."""
        return Hit(**{field.name: chosen[field.name] for field in fields(Hit)})

    @property
    def a(self) -> Tensor:
        """Chart coordinate across."""
        return self.at[:, :1]

    @property
    def b(self) -> Tensor:
        """Chart coordinate upward."""
        return self.at[:, 1:]


def trace(rays: Rays, heights: Tensor, scale: Value, steps: int, shortest: float) -> Hit:
    """March from the bounding ellipsoid, scaled, to the surface `heights` [B, 1, T, T].

    While a ray is outside it goes at least `shortest` a step: else grazing rays run out of steps and leave
    halos between the far temple and the hair.
    """
    camera, direction = rays.pose.camera, rays.head_direction
    axes = constant(AXES, direction) * scale
    q, h, inside = ellipsoid_terms(camera, direction, constant(CENTRE, direction), axes)
    distance = (h + safe_sqrt(inside)).div_(q).neg_()
    best, nearest, entered = torch.full_like(distance, 9.0), distance, torch.zeros_like(distance)
    for step in range(steps):
        at, length, _ = chart.to_chart(torch.addcmul(camera, direction, distance))
        height = length.sub_(chart.look_up(heights, at.div_(chart.HALF)))
        away = height.abs()
        nearest = torch.addcmul(nearest, distance - nearest, above(best - away))
        best = torch.minimum(best, away)
        entered = torch.maximum(entered, above(_INSIDE - height))
        if step < steps - 1:
            pace = height * 0.8
            outside = above(height - 0.012)
            distance = distance + pace.addcmul_(torch.relu(shortest - pace), outside)
    point = torch.addcmul(camera, direction, nearest)
    at, length, size = chart.to_chart(point)
    return Hit(point, at, length, size, best * (1.0 - entered), inside)


def surface_normal(hit: Hit, slope_a: Tensor, slope_b: Tensor) -> Tensor:
    """Unit normal [B, 3, M] in head space: gradient of length - height(a, b), chart derivative included."""
    point, length, scale = hit.point, hit.length, hit.scale
    outward = point / length
    reach = length + point[:, 2:]
    k = (scale / (length * reach).clamp_(min=1e-4)).mul_(-0.5)
    x, y, z = outward.split(1, 1)
    along = torch.cat((x, y, z + 1.0), 1).mul_(length).addcmul_(outward, reach)
    weight = (slope_a * point[:, :1] + slope_b * point[:, 1:2]).mul_(k)
    slopes = torch.cat((slope_a, slope_b, torch.zeros_like(slope_a)), 1).mul_(scale)
    return normalise(outward - slopes.addcmul_(along, weight))
