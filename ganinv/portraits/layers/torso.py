"""Neck, shoulders and clothes. They stand in the world and do not follow the head."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ganinv.portraits.noise import skin_noise
from ganinv.portraits.rays import Rays
from ganinv.portraits.scene import CAMERA
from ganinv.portraits.shading import Surface, shade
from ganinv.portraits.tensors import (
    above,
    bell,
    constant,
    dot,
    ellipsoid_terms,
    mix,
    normalise,
    power,
    safe_sqrt,
    smoothstep,
    stack3,
)

_FAR = -9.0


@dataclass
class _Solid:
    """Where rays meet one of the three solids: depth (far away if they miss), unit normal, coverage."""

    z: Tensor
    normal: Tensor
    coverage: Tensor


def torso(rays: Rays) -> None:
    """Paint neck, shoulders and clothes."""
    masc = rays.face.gender
    chest_axes = stack3(
        1.42 + 0.22 * masc + 0.08 * rays.face.fwidth, torch.full_like(masc, 1.13), torch.full_like(masc, 0.82)
    )
    shoulder_axes = stack3(0.80 + 0.10 * masc, 0.66 + 0.03 * masc, torch.full_like(masc, 0.44))
    chest = _ellipsoid(rays, (0.0, -2.47, -0.42), chest_axes)
    shoulders = _ellipsoid(rays, (0.0, -1.85, -0.40), shoulder_axes)
    neck = _neck(rays)
    normal, z = _blend(chest, shoulders, neck)
    coverage = torch.maximum(torch.maximum(chest.coverage, shoulders.coverage), neck.coverage)
    share = (CAMERA[2] - z) / CAMERA[2]
    point = torch.cat((rays.x * share, (rays.y - CAMERA[1]) * share + CAMERA[1], z), 1)
    lit, near = head_shadow(rays, rays.pose.to_head(point))
    cloth, on_cloth, hem, folds = _clothes(rays, point)
    on_skin = 1.0 - on_cloth
    albedo = mix(rays.palette.skin * (1.0 - 0.04 * masc), cloth, on_cloth)
    bend = folds * on_cloth
    wrap = constant((0.40, 0.20, 0.12), z) * on_skin + 0.1 * on_cloth
    surface = Surface(
        normal=normalise(normal + torch.cat((0.35 * bend, 0.2 * bend, torch.zeros_like(bend)), 1)),
        albedo=albedo,
        lit=lit,
        ambient=near * (0.35 + 0.65 * near) * (1.0 - 0.35 * hem * on_skin),
        specular=0.05 - 0.03 * on_cloth,
        gloss=14.0,
        wrap=wrap,
    )
    rays.paint(shade(rays, surface), coverage, z)


def head_shadow(rays: Rays, point: Tensor) -> tuple[Tensor, Tensor]:
    """Soft shadow of the head on points of head space: (key light left, ambient light left), 0..1."""
    centre, axes = constant((0.0, -0.25, 0.0), point), constant((0.74, 1.02, 0.86), point)
    away, light = (point - centre) / axes, rays.lights.key_head / axes
    toward = (dot(away, light) / -dot(light, light)).clamp_(min=0.0)
    nearest = torch.addcmul(away, light, toward)
    closest, distance = dot(nearest, nearest).sqrt_(), dot(away, away).sqrt_()
    return 0.12 + 0.88 * smoothstep(closest, 0.70, 1.30), smoothstep(distance, 0.80, 1.65)


def _ellipsoid(rays: Rays, middle: tuple[float, float, float], axes: Tensor) -> _Solid:
    centre, camera = constant(middle, axes), constant(CAMERA, axes)
    q, h, inside = ellipsoid_terms(camera, rays.direction, centre, axes)
    distance = (h + safe_sqrt(inside)).div_(q).neg_()
    point = torch.addcmul(camera, rays.direction, distance)
    coverage = smoothstep(inside / q, 0.0, 4.0 * rays.step)
    hit = above(coverage - 0.01)
    normal = normalise((point - centre) / axes.square())
    return _Solid((point[:, 2:] - _FAR) * hit + _FAR, normal, coverage)


def _neck(rays: Rays) -> _Solid:
    """An upright cylinder that widens into the shoulders, with the muscles that run to the collar bone."""
    face, y = rays.face, rays.y
    radius = (0.365 + 0.075 * face.gender + 0.012 * face.fwidth) + 0.04 * smoothstep(y, -0.95, -0.55)
    radius = radius + 0.22 * power(smoothstep(y, -1.15, -1.65).clamp_(min=1e-9), 1.3)
    dx, _, dz = (rays.direction / torch.cat((radius, radius, 1.02 * radius), 1)).split(1, 1)
    oz = (CAMERA[2] + 0.24) / (1.02 * radius)
    q, h = dx * dx + dz * dz, oz * dz
    inside = h * h - q * (oz * oz - 1.0)
    distance = (h + safe_sqrt(inside)).div_(q).neg_()
    point = torch.addcmul(constant(CAMERA, y), rays.direction, distance)
    px, py, pz = point.split(1, 1)
    coverage = smoothstep(inside / q, 0.0, 4.0 * rays.step) * smoothstep(py, -0.35, -0.5)
    slope = 0.22 * smoothstep(y, -1.1, -1.45) / radius
    square = radius.square()
    normal = normalise(torch.cat((px / square, slope, (pz + 0.24) / (1.0404 * square)), 1))
    across = (px.abs() - 0.10 - 0.24 * smoothstep(py, -1.75, -1.0)) * 20.0
    muscle = px.sign() * across * bell(across, 1.0)
    normal = normalise(normal - torch.cat((0.22 * muscle, torch.zeros_like(py), torch.zeros_like(py)), 1))
    hit = above(coverage - 0.01)
    return _Solid((pz - _FAR) * hit + _FAR, normal, coverage)


def _blend(chest: _Solid, shoulders: _Solid, neck: _Solid) -> tuple[Tensor, Tensor]:
    """Normal and depth of the union; normals fade into each other where depths are within about 0.07."""
    front = torch.maximum(chest.z, shoulders.z)
    weights = [
        ((chest.z - front) / 0.07).exp_(),
        ((shoulders.z - front) / 0.07).exp_(),
        ((neck.z - front) / 0.07).clamp_(max=3.0).exp_(),
    ]
    total = chest.normal * weights[0]
    total.addcmul_(shoulders.normal, weights[1]).addcmul_(neck.normal, weights[2])
    return normalise(total / (weights[0] + weights[1] + weights[2])), torch.maximum(front, neck.z)


def _collar(rays: Rays, ax: Tensor, x: Tensor, z: Tensor) -> Tensor:
    """Height of the upper edge of the clothes, by kind: crew, V-neck, turtleneck, open shirt."""
    kind = rays.face.cloth_type
    crew = -1.33 + 0.10 * ax - 0.192 * (z + 0.1).clamp_(-0.5, 0.6)
    v_neck = torch.minimum(-1.78 + 1.05 * ax, crew + 0.06)
    turtleneck = -1.10 + 0.02 * (x * 20.0).sin() - 0.12 * z
    shirt = torch.minimum(-1.50 + 0.75 * ax, -1.14 - 0.1 * ax)
    line = shirt
    for limit, other in ((0.66, turtleneck), (0.55, v_neck), (0.35, crew)):
        line = torch.lerp(line, other, (kind < limit).float())
    return line


def _clothes(rays: Rays, point: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """(cloth colour, 1 on cloth, shade on the skin above the edge, folds)."""
    face, noise, colour = rays.face, rays.noise, rays.palette.cloth
    kind = face.cloth_type
    x, y, z = point.split(1, 1)
    ax = x.abs()
    below = _collar(rays, ax, x, z) - y
    on_cloth = smoothstep(below, -0.012, 0.012)
    folds = skin_noise(noise, 0, (0.8 * x + 0.4 * y) * 0.55, y * 0.1925)
    folds = folds + 0.5 * skin_noise(noise, 1, x * 1.1, (y * 0.5 + x * 0.4) * 1.1)
    weave = skin_noise(noise, 1, x * 6.0, y * 6.0)
    ribs = 0.10 * ((kind >= 0.55) & (kind < 0.66)).float() * (x * 90.0).sin()
    trim = bell(below - 0.045, 0.014) * on_cloth
    cloth = colour * (1.0 + 0.25 * folds + 0.10 * weave + ribs - 0.28 * trim)
    jacket = (kind > 0.82).float()
    lapel = ax - (0.20 - 0.176 * (1.15 + y))
    outer = (colour * 0.25 + 0.02) * (1.0 + 0.22 * folds + 0.08 * weave)
    cloth = mix(cloth, outer, smoothstep(lapel, 0.0, 0.02) * jacket)
    cloth = cloth * (1.0 - 0.5 * jacket * bell(lapel, 0.02))
    striped = ((kind > 0.20) & (kind < 0.35)).float() * smoothstep(face.cloth_sat, 0.25, 0.3)
    stripes = above((y * 34.0).sin() - 0.2) * (0.8 * striped)
    cloth = mix(cloth, 0.35 * cloth + 0.35, stripes)
    return cloth, on_cloth, bell(((below + 0.03) / 0.04).clamp_(-3.0, 3.0), 1.0), folds
