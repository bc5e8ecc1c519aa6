"""Small tensor arithmetic shared by all portrait files.

Shapes, here and in the whole room: an image parameter is [B, 1, 1]; a field has one value per ray or texel,
[B, 1, M] or [B, T, T]; a vector or linear colour is [B, 3, M]; a colour of an image is [B, 3, 1].
Comparisons, `where` and `pow` are avoided on fields: on a CPU they cost ten times a multiplication, so that
masks are clamped products (`above`) and powers go over exp and log.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

Value = Tensor | float

# Steep enough that anything visibly above zero is 1, finite so that 0 stays 0.
_STEEP = 1e12


def smoothstep(x: Tensor, start: Value, stop: Value) -> Tensor:
    """0 at `start`, 1 at `stop`, cubic between; falls as x grows where start > stop."""
    if isinstance(start, Tensor) or isinstance(stop, Tensor):
        t = ((x - start) / (stop - start)).clamp_(0.0, 1.0)
    else:
        scale = 1.0 / (stop - start)
        t = torch.rsub(x, -start * scale, alpha=-scale).clamp_(0.0, 1.0)
    return torch.rsub(t, 3.0, alpha=2.0).mul_(t).mul_(t)


def above(x: Tensor) -> Tensor:
    """1 where x > 0, else 0, as a field of x's type."""
    return (x * _STEEP).clamp_(0.0, 1.0)


def mix(first: Value, second: Value, weight: Value) -> Tensor:
    """first + (second - first) * weight."""
    mixed = first + (second - first) * weight
    assert isinstance(mixed, Tensor)
    return mixed


def decay(squared: Tensor, width: Value) -> Tensor:
    """exp(-d^2 / width^2) from the squared distance d^2."""
    return (squared * (-1.0 / (width * width))).exp_()


def power(x: Tensor, exponent: Value) -> Tensor:
    """x ** exponent for x >= 0 and exponent > 0."""
    return x.log().mul_(exponent).exp_()


def bell(x: Tensor, width: Value) -> Tensor:
    """exp(-(x / width)^2)."""
    if isinstance(width, Tensor):
        return (x / width).square_().neg_().exp_()
    return x.square().mul_(-1.0 / width**2).exp_()


def spot(a: Tensor, b: Tensor, a0: Value, b0: Value, width: Value, height: Value) -> Tensor:
    """exp(-((a - a0) / width)^2 - ((b - b0) / height)^2), a soft elliptic spot."""
    if isinstance(width, Tensor) or isinstance(height, Tensor):
        return ((a - a0) / width).square().add_(((b - b0) / height).square()).neg_().exp_()
    across = (a - a0).square_().mul_(-1.0 / width**2)
    up = b - b0
    return torch.addcmul(across, up, up, value=-1.0 / height**2).exp_()


def segment(
    a: Tensor, b: Tensor, start: tuple[Value, Value], stop: tuple[Value, Value]
) -> tuple[Tensor, Tensor]:
    """Squared distance from (a, b) to the segment start -> stop, and the parameter 0..1 along it."""
    run, rise = stop[0] - start[0], stop[1] - start[1]
    da, db = a - start[0], b - start[1]
    t = ((da * run + db * rise) / (run * run + rise * rise)).clamp_(0.0, 1.0)
    return (da - t * run).square_().add_((db - t * rise).square_()), t


def dot(u: Tensor, v: Tensor) -> Tensor:
    """Scalar product over dimension 1: [B, 3, M] (or [B, 3, 1]) -> [B, 1, M]."""
    (ux, uy, uz), (vx, vy, vz) = u.split(1, 1), v.split(1, 1)
    return torch.addcmul(torch.addcmul(ux * vx, uy, vy), uz, vz)


def normalise(v: Tensor) -> Tensor:
    """Unit vectors along dimension 1."""
    return v * dot(v, v).add_(1e-9).rsqrt_()


def cross(u: Tensor, v: Tensor) -> Tensor:
    """Vector product over dimension 1."""
    (ux, uy, uz), (vx, vy, vz) = u.split(1, 1), v.split(1, 1)
    return torch.cat((uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx), 1)


def stack3(x: Tensor, y: Tensor, z: Tensor) -> Tensor:
    """Three fields, possibly of shapes that broadcast -> one vector field [B, 3, M]."""
    return torch.cat(torch.broadcast_tensors(x, y, z), 1)


def constant(values: Sequence[float], like: Tensor) -> Tensor:
    """[1, n, 1] constant on the device of `like`."""
    return torch.tensor(values, dtype=torch.float32, device=like.device).view(1, -1, 1)


def ellipsoid_terms(
    origin: Tensor, direction: Tensor, centre: Tensor, axes: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Ray o + t d against an ellipsoid: (q, h, D) with t = (-h -+ sqrt(D)) / q; D < 0 means a miss."""
    o, d = (origin - centre) / axes, direction / axes
    q, h = dot(d, d), dot(o, d)
    return q, h, torch.addcmul(h * h, q, dot(o, o).sub_(1.0), value=-1.0)


def safe_sqrt(x: Tensor) -> Tensor:
    """Square root with negative values taken as 0."""
    return x.clamp(min=0.0).sqrt_()
