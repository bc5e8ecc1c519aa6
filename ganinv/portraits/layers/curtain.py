"""Long hair: a curtain, an upright elliptic cylinder around the head, with a far wall and a near wall."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ganinv.portraits.layers.torso import head_shadow
from ganinv.portraits.noise import strand_noise
from ganinv.portraits.rays import Rays
from ganinv.portraits.scene import CAMERA
from ganinv.portraits.shading import Strands, shade_hair
from ganinv.portraits.tensors import above, dot, normalise, safe_sqrt, smoothstep

SHORTEST = 0.165
"""no curtain for shorter hair (attribute `length`)"""
_AXIS_Z = -0.20
_FLAT = 0.90
"""radius to the front over radius to the side"""


@dataclass
class _Wall:
    """One wall of the curtain at each ray; head space."""

    point: Tensor
    normal: Tensor
    angle: Tensor
    """about the axis, 0 in front"""
    radius: Tensor
    wave: Tensor
    coverage: Tensor


def end_of(length: Tensor) -> Tensor:
    """Height y at which the hair ends, head units."""
    return -0.05 - 1.75 * length


def _radius(rays: Rays, y: Tensor, wave: Tensor) -> Tensor:
    """Half width of the curtain at height y."""
    face = rays.face
    wide = 0.745 * (1.0 + 0.075 * face.fwidth) + 1.05 * face.thickness
    fall = 0.16 * (0.3 + 0.7 * face.volume + 0.5 * face.curl) * (0.6 + 0.4 * face.length)
    end = end_of(face.length)
    taper = 0.26 * (1.0 - 0.6 * face.curl) * smoothstep(y, end + 0.45, end - 0.25)
    radius = wave + wide + fall * smoothstep(y, 0.30, -0.75) - taper
    roof = torch.rsub(((y - 0.05).clamp_(0.0, 1.2) / 1.22).square_(), 1.0).sqrt_()
    return radius * roof.clamp_(min=0.05)


def _walls(rays: Rays, near: bool) -> _Wall:
    """The near or the far crossing. Rays are almost level, so the radius is taken at the axis' depth."""
    face, camera, direction = rays.face, rays.pose.camera, rays.head_direction
    cx, cy, cz = camera.split(1, 1)
    dx, dy, dz = direction.split(1, 1)
    y = cy + dy * (CAMERA[2] + 0.2)
    wave = (y * (5.0 + 5.0 * face.curl) + rays.noise.wave).sin_() * smoothstep(y, 0.1, -0.7)
    wave = wave * ((0.035 + 0.05 * face.curl) * (0.35 + face.curl))
    radius = _radius(rays, y, wave)
    ux, uz, ox, oz = dx / radius, dz / (_FLAT * radius), cx / radius, (cz - _AXIS_Z) / (_FLAT * radius)
    q, h = ux * ux + uz * uz, ox * ux + oz * uz
    inside = h * h - q * (ox * ox + oz * oz - 1.0)
    root = safe_sqrt(inside)
    distance = ((-h - root) if near else (root - h)) / q
    point = torch.addcmul(camera, direction, distance)
    sx, sz = point[:, :1] / radius, (point[:, 2:] - _AXIS_Z) / (_FLAT * radius)
    outward = normalise(torch.cat((sx, torch.zeros_like(sx), sz / _FLAT), 1))
    coverage = smoothstep(inside / q, 0.0, 6.0 * rays.step) * smoothstep(y, 0.80, 0.55)
    coverage = coverage * smoothstep(face.length, 0.16, 0.30)
    return _Wall(point, outward if near else -outward, torch.atan2(sx, sz), radius, wave, coverage)


@dataclass
class _Locks:
    normal: Tensor
    fine: Tensor
    locks: Tensor
    coverage: Tensor


def _locks(rays: Rays, wall: _Wall) -> _Locks:
    """Strands and locks of a wall, with ragged ends; they turn the normal about the vertical."""
    curl, y, angle = rays.face.curl, wall.point[:, 1:2], wall.angle
    sway = 0.096 * wall.wave * y + 0.02 * curl * (9.0 * y + 7.0 * angle).sin_()
    fine, locks = strand_noise(rays.noise, angle / math.pi + sway, y, 1.3)
    clump = 0.5 * (angle * (22.0 + 6.0 * curl) + 12.0 * locks + 1.5 * y).sin_()
    turn = 0.45 * clump + 0.5 * locks
    x, up, z = wall.normal.split(1, 1)
    bend = 0.30 * curl * (y * (6.0 + 4.0 * curl) + 3.0 * angle).cos_()
    normal = normalise(torch.cat((x + turn * z, up + bend, z - turn * x), 1))
    end = end_of(rays.face.length) + 0.30 * locks + 0.15 * fine + 0.08 * (9.0 * angle).sin_()
    return _Locks(normal, fine, locks + 0.25 * clump, wall.coverage * smoothstep(y - end, -0.03, 0.09))


def curtain_back(rays: Rays) -> None:
    """Paint the far wall, behind neck and head: dim, without highlights."""
    wall = _walls(rays, near=False)
    found = _visible(rays, wall, wall.coverage)
    if found is None:
        return
    rays, wall = found
    hair = _locks(rays, wall)
    normal = rays.pose.turn_to_world(hair.normal)
    light = 0.21 + 0.05 * normal[:, 1:2] + 0.10 * dot(normal, rays.lights.key).clamp_(min=0.0)
    light = light * (1.0 + hair.fine + 0.7 * hair.locks).clamp_(min=0.1)
    colour = rays.palette.hair * (0.6 + 0.5 * rays.palette.backdrop) * light
    rays.paint(colour, hair.coverage, rays.pose.to_world(wall.point)[:, 2:])


def curtain_front(rays: Rays) -> None:
    """Paint the near wall, which leaves the face open."""
    wall = _walls(rays, near=True)
    margin = wall.angle.abs() - _opening(rays, wall)
    # Noise moves the inner edge by at most 0.17 rad.
    found = _visible(rays, wall, wall.coverage * above(margin + 0.20))
    if found is None:
        return
    rays, wall = found
    face, hair = rays.face, _locks(rays, wall)
    y, angle = wall.point[:, 1:2], wall.angle
    margin = angle.abs() - _opening(rays, wall) + 0.05 * hair.fine + 0.07 * hair.locks
    margin = margin + 0.05 * (3.1 * y + rays.noise.lock).sin_()
    rounded = smoothstep(margin, 0.30, 0.0)
    turn = torch.cat((-0.9 * angle.sign() * rounded, 0.2 * rounded, torch.zeros_like(rounded)), 1)
    normal = normalise(hair.normal + turn)
    swing = 0.30 * (0.15 + face.curl) * (y * (5.0 + 5.0 * face.curl) + rays.noise.wave).cos_()
    tangent = normalise(torch.cat((swing, -torch.ones_like(swing), torch.zeros_like(swing)), 1))
    ambient = (0.45 + 0.55 * smoothstep(margin, 0.0, 0.25)) * (1.0 - 0.45 * smoothstep(hair.locks, 0.0, -0.4))
    ambient = ambient * (0.6 + 0.4 * smoothstep(y, -1.9, -0.4))
    lit, _ = head_shadow(rays, wall.point)
    strands = Strands(
        normal=rays.pose.turn_to_world(normal),
        tangent=rays.pose.turn_to_world(tangent),
        fine=hair.fine,
        locks=hair.locks,
        lit=(0.35 + 0.65 * lit) * ambient,
        ambient=ambient,
    )
    coverage = hair.coverage * smoothstep(margin, -0.02, 0.05) * smoothstep(y, 0.95, 0.6)
    rays.paint(shade_hair(rays, strands), coverage, rays.pose.to_world(wall.point)[:, 2:], 0.03)


def _opening(rays: Rays, wall: _Wall) -> Tensor:
    """Angle from the front at which the near wall begins: it frames the face, comes forward below the jaw."""
    face, y = rays.face, wall.point[:, 1:2]
    width = (0.655 + 0.05 * rays.noise.drape) * (1.0 + 0.075 * face.fwidth) + 0.16 * smoothstep(y, 0.10, 0.6)
    width = width - 0.17 * smoothstep(face.length, 0.45, 0.9) * smoothstep(y, -0.50, -1.2)
    return (width / wall.radius).clamp_(0.05, 0.98).asin_()


def _visible(rays: Rays, wall: _Wall, coverage: Tensor) -> tuple[Rays, _Wall] | None:
    """The rays on which the wall may show: covered, above the ragged ends, not behind what is painted."""
    y = wall.point[:, 1:2]
    shown = coverage * above(y - end_of(rays.face.length) + 0.35)
    shown = shown * above(rays.pose.to_world(wall.point)[:, 2:] - rays.depth() + 0.03)
    fields = {
        "point": wall.point,
        "normal": wall.normal,
        "angle": wall.angle,
        "radius": wall.radius,
        "wave": wall.wave,
        "coverage": wall.coverage,
    }
    found = rays.select(shown, fields)
    return (found.rays, _Wall(**found.fields)) if found else None
