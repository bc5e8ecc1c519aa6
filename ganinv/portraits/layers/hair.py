"""Short hair: the cap, a second surface over the head, and the bun on top of it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ganinv.portraits import chart
from ganinv.portraits.features import hairline
from ganinv.portraits.layers.star import Hit, surface_normal, trace
from ganinv.portraits.noise import skin_noise, strand_noise
from ganinv.portraits.rays import Rays
from ganinv.portraits.shading import Strands, shade_hair
from ganinv.portraits.tensors import (
    above,
    constant,
    cross,
    dot,
    normalise,
    power,
    safe_sqrt,
    smoothstep,
)

_BUN_CENTRE = (0.0, 1.09, -0.30)
_BUN_RADIUS = 0.27


def cap(rays: Rays) -> None:
    """Paint the hair on the head."""
    hit = trace(rays, rays.textures.cap_height, rays.textures.cap_reach, 12, 0.05)
    shell = torch.rsub(smoothstep(hit.miss, 0.3 * rays.step, 2.5 * rays.step), 1.0) * above(hit.inside + 0.05)
    distance = hairline(rays.face, hit.a, hit.b)
    z = rays.pose.to_world(hit.point)[:, 2:]
    # Strands reach at most 0.25 over the hairline; what lies behind the painted depth does not show.
    in_front, hairy = above(z - rays.depth() + 0.03), above(distance + 0.25) * above(0.97 - rays.face.recede)
    found = rays.select(
        shell * in_front * hairy, {**hit.fields(), "shell": shell, "distance": distance, "z": z}
    )
    if found:
        _paint_cap(found.rays, Hit.of(found.fields), found.fields)


@dataclass
class _Flow:
    """Strands of the cap: they run from a pole near the parting down over the head."""

    tangent: Tensor
    around: Tensor
    """angle about the pole, waved by curls"""
    angle: Tensor
    fine: Tensor
    locks: Tensor


def _flow(rays: Rays, hit: Hit) -> _Flow:
    face, direction = rays.face, hit.point / hit.length
    part = 0.35 * face.part
    pole = torch.cat((part, torch.full_like(part, 0.93), 0.30 * face.fringe - 0.25), 1)
    pole = normalise(pole)
    first = normalise(cross(pole, constant((0.0, 0.0, 1.0), part).expand_as(pole)))
    second = cross(pole, first)
    angle = torch.atan2(dot(direction, first), dot(direction, second))
    rise = dot(direction, pole).clamp_(-1.0, 1.0)
    along = safe_sqrt(2.0 - 2.0 * rise)
    waves = 0.10 * (4.0 * along + 2.0 * angle).sin_() * (0.4 + face.curl)
    curls = 0.35 * face.curl * skin_noise(rays.noise, 0, 1.2 * hit.a, 1.2 * hit.b)
    around = angle + waves + curls
    fine, locks = strand_noise(rays.noise, around / math.pi, along, 1.5)
    return _Flow(normalise(rise * direction - pole), around, angle, fine, locks)


def _edge_alpha(rays: Rays, hit: Hit, flow: _Flow, distance: Tensor) -> Tensor:
    """Opacity of the hair: ragged along the hairline, thin where it recedes."""
    face, edge = rays.face, rays.edge
    ragged = 0.10 * flow.fine + 0.07 * flow.locks + 0.03 * (9.0 * flow.angle).sin_() * (0.5 + face.fringe)
    ragged = ragged * (0.45 + 0.9 * face.fringe) * smoothstep(hit.a.abs(), 1.1, 0.7)
    plain = 1.0 - face.fringe
    alpha = smoothstep(distance + ragged, -0.012 - edge - 0.02 * plain, 0.03 + edge + 0.045 * plain)
    scarce = 0.55 * smoothstep(face.recede, 0.2, 1.0) + 0.9 * flow.fine
    bald = 0.55 * smoothstep(face.recede, 0.25, 0.8)
    return alpha * (1.0 - bald * smoothstep(hit.b, 0.2, 0.7) * smoothstep(scarce, 0.1, 0.5))


def _paint_cap(rays: Rays, hit: Hit, fields: dict[str, Tensor]) -> None:
    face, distance = rays.face, fields["distance"]
    curl, a, b = face.curl, hit.a, hit.b
    slope_a, slope_b, lit = chart.look_up(rays.textures.cap, hit.at / chart.HALF).split(1, 1)
    normal = surface_normal(hit, slope_a, slope_b)
    flow = _flow(rays, hit)
    alpha = _edge_alpha(rays, hit, flow, distance)
    # A thin layer seen edge-on is opaque.
    slant = dot(normal, rays.head_direction).abs_().clamp_(0.12, 1.0)
    alpha = 1.0 - power(torch.rsub(alpha.clamp_(0.0, 0.999), 1.0), 1.0 / slant)
    lump1 = skin_noise(rays.noise, 1, 1.6 * a, 1.6 * b)
    lump2 = skin_noise(rays.noise, 0, 1.6 * (a + 3.3), 1.6 * b)
    lump3 = skin_noise(rays.noise, 1, 3.3 * a, 3.3 * (b + 1.7))
    clump = (19.0 * flow.around + 4.0 * flow.locks).sin_() * (0.35 - 0.175 * curl)
    side = cross(normal, flow.tangent)
    across = 0.7 * clump + 0.35 * flow.locks + 0.3 * flow.fine + 1.1 * curl * lump1
    shaped = torch.addcmul(normal, side, across).addcmul_(flow.tangent, curl * (1.1 * lump2 + 0.8 * lump3))
    tangent = normalise(torch.addcmul(flow.tangent, side, 1.4 * curl * lump2))
    ambient = (0.35 + 0.65 * smoothstep(distance, -0.02, 0.22)) * (
        0.65 + 0.35 * smoothstep(hit.point[:, 1:2], -0.5, 0.5)
    )
    ambient = ambient * (1.0 - 0.55 * curl * smoothstep(lump3 + 0.5 * lump1, 0.12, -0.25))
    ambient = ambient * (1.0 - 0.25 * smoothstep(flow.locks + 0.4 * clump, 0.0, -0.35))
    strands = Strands(
        normal=rays.pose.turn_to_world(normalise(shaped)),
        tangent=rays.pose.turn_to_world(tangent),
        fine=flow.fine + 0.5 * curl * lump3,
        locks=flow.locks,
        lit=lit * (0.55 + 0.45 * ambient),
        ambient=ambient,
    )
    colour = shade_hair(rays, strands) * (0.68 + 0.32 * smoothstep(distance, -0.03, 0.10))
    rays.paint(colour, fields["shell"] * alpha, fields["z"], 0.03)


def bun(rays: Rays) -> None:
    """Paint the bun: a ball with swirling strands."""
    origin = rays.pose.camera - constant(_BUN_CENTRE, rays.x)
    h = dot(origin, rays.head_direction)
    inside = h.square() - dot(origin, origin) + _BUN_RADIUS**2
    distance = (h + safe_sqrt(inside)).neg_()
    normal = torch.addcmul(origin, rays.head_direction, distance) / _BUN_RADIUS
    x, y, _ = normal.split(1, 1)
    angle, radius = torch.atan2(x, y + 0.3), (x.square() + y.square()).sqrt_()
    fine, locks = strand_noise(rays.noise, angle / math.pi + 0.4 * radius, 2.0 * radius, 1.0)
    tangent = normalise(torch.cat((y + 0.3 * x, -x, torch.zeros_like(x)), 1))
    swirl = 0.6 * locks + 0.4 * (14.0 * radius + 2.0 * angle).sin_()
    shaped = normalise(torch.addcmul(normal, cross(normal, tangent), swirl))
    strands = Strands(
        normal=rays.pose.turn_to_world(shaped),
        tangent=rays.pose.turn_to_world(tangent),
        fine=fine,
        locks=locks,
        lit=1.0,
        ambient=0.5 + 0.5 * smoothstep(y, -0.6, 0.5),
    )
    coverage = smoothstep(inside, 0.0, 0.6 * rays.step) * rays.face.bun
    rays.paint(shade_hair(rays, strands), coverage, rays.pose.to_world(rays.at(distance))[:, 2:])
