"""Eyeballs behind the lids, iris and highlights, and the lashes on the edge of the lids."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ganinv.portraits import chart
from ganinv.portraits.colours import colour
from ganinv.portraits.features import Lids, lids
from ganinv.portraits.noise import iris_noise
from ganinv.portraits.rays import Rays
from ganinv.portraits.tensors import above, bell, constant, dot, mix, normalise, safe_sqrt, smoothstep, spot

_RADIUS = 0.158
_IRIS = 0.455
"""half chord of the iris over the radius of the ball"""


@dataclass
class _Ball:
    """Eyeball at each ray, in head space."""

    normal: Tensor
    gaze: Tensor
    iris: Tensor
    """distance from the middle of the iris, 1 on its edge"""
    edge: float
    """softness of edges in units of `iris`"""


def eyes(rays: Rays, fields: dict[str, Tensor]) -> Tensor:
    """Colour [B, 3, M] of the head's `fields` (a, b, colour, lit) with eyes and lashes."""
    a, b, edge = fields["a"], fields["b"], rays.edge
    eye = lids(rays.face, a.abs())
    ball = _ball(rays, a)
    seen = smoothstep(eye.upper - b, -0.6 * edge, 0.8 * edge) * smoothstep(
        b - eye.lower, -0.6 * edge, 0.8 * edge
    )
    seen = seen * above(eye.bulge)
    inside_iris = smoothstep(ball.iris, 1.0 + 0.7 * ball.edge, 1.0 - 0.7 * ball.edge)
    shown = _surface(rays, ball, eye, inside_iris, b, fields["lit"])
    corner = spot(eye.side, b, -0.93, eye.base - 0.006, 0.13, 0.025)
    shown = mix(shown, rays.palette.skin * constant((0.72, 0.40, 0.384), a), 0.8 * corner)
    glint = _glints(rays, ball, inside_iris) * (0.3 + 0.7 * inside_iris)
    shown = shown + glint * seen * smoothstep(eye.upper - b, 0.0, 0.03)
    return _lashes(rays, eye, b, mix(fields["colour"], shown, seen), seen)


def _ball(rays: Rays, a: Tensor) -> _Ball:
    face, side = rays.face, a.sign()
    x, y, z = (t * rays.textures.eye_height for t in chart.from_chart(face.eye_a, face.eye_b))
    centre = torch.cat(torch.broadcast_tensors(x * side, y + 0.004, z - 0.93 * _RADIUS), 1)
    origin = rays.pose.camera - centre
    h = dot(origin, rays.head_direction)
    distance = (h + safe_sqrt(h.square() - dot(origin, origin) + _RADIUS**2)).neg_()
    normal = normalise(torch.addcmul(origin, rays.head_direction, distance))
    gaze_x, gaze_y = torch.deg2rad(face.gaze_x), torch.deg2rad(face.gaze_y)
    # Both eyes turn 2 degrees inwards.
    gaze = torch.cat(torch.broadcast_tensors(gaze_x.sin() - 0.035 * side, gaze_y.sin(), gaze_x.cos()), 1)
    gaze = normalise(gaze)
    iris = safe_sqrt(2.0 - 2.0 * dot(normal, gaze)) / _IRIS
    return _Ball(normal, gaze, iris, rays.edge / _RADIUS / _IRIS)


def _surface(rays: Rays, ball: _Ball, eye: Lids, inside_iris: Tensor, b: Tensor, lit: Tensor) -> Tensor:
    """Lit colour of sclera and iris, with the shadow of the lids that makes the ball sit in the head."""
    side = eye.side.abs()
    white = constant((0.90, 0.865, 0.84), b) * (1.0 - 0.45 * smoothstep(side, 0.55, 1.0))
    white = white * (1.0 - 0.8 * smoothstep(side, 0.70, 1.0) * constant((0.05, 0.28, 0.34), b))
    albedo = mix(white, _iris(rays, ball), inside_iris)
    facing = ((dot(rays.pose.turn_to_world(ball.normal), rays.lights.key) + 0.45) / 1.45).clamp_(0.0, 1.0)
    light = (0.50 + 0.68 * facing * (0.45 + 0.55 * lit)) * (
        1.0 - 0.60 * smoothstep(eye.upper - b, 0.060, 0.0) - 0.25 * smoothstep(b - eye.lower, 0.02, 0.0)
    )
    return albedo * light * (0.85 + (0.15 / 2.05) * rays.lights.key_colour)


def _iris(rays: Rays, ball: _Ball) -> Tensor:
    """Fibres, a warm collar around the pupil, a dark rim, light that pools at the bottom."""
    radius, tone = ball.iris, rays.palette.iris
    out = ball.normal - ball.gaze
    angle = torch.atan2(out[:, 1:2], out[:, :1] + 1e-6)
    fibres = iris_noise(rays.noise, angle / math.pi, 0.5 * radius)
    bright = (0.85 + 0.7 * fibres * smoothstep(radius, 0.3, 0.6)) * (
        1.15 + 0.75 * smoothstep(out[:, 1:2], 0.02, -0.10) * smoothstep(radius, 0.25, 0.8)
    )
    collar = 1.2 * tone + 0.4 * colour("#4a2f10", radius)
    result = mix(tone * bright, collar, 0.35 * bell(radius - 0.48, 0.12))
    pupil = smoothstep(radius, 0.40 + 0.5 * ball.edge, 0.40 - 0.5 * ball.edge)
    return result * ((1.25 - 0.9375 * smoothstep(radius, 0.74, 1.0)) * (1.0 - 0.97 * pupil))


def _glints(rays: Rays, ball: _Ball, inside_iris: Tensor) -> Tensor:
    """Reflections of key and fill on the cornea, which bulges out over the iris."""
    cornea = normalise(torch.addcmul(ball.normal, ball.normal - ball.gaze, 1.1 * inside_iris))
    key = normalise(rays.lights.key_head - rays.head_direction)
    fill = normalise(0.9 * rays.lights.fill_head - rays.head_direction)
    to_key, to_fill = (safe_sqrt(2.0 - 2.0 * dot(cornea, half)) for half in (key, fill))
    strong = 0.95 * smoothstep(to_key, 0.30 + 0.2 * ball.edge, 0.17)
    return strong + 0.16 * smoothstep(to_fill, 0.30, 0.15)


def _lashes(rays: Rays, eye: Lids, b: Tensor, shown: Tensor, seen: Tensor) -> Tensor:
    """Upper lash line and spikes, lower lash line, and the wet line on the lower lid."""
    face, edge, fem, side = rays.face, rays.edge, 1.0 - rays.face.gender, eye.side
    dark = rays.palette.hair_pigment * 0.12 + 0.004
    over, wide = b - eye.upper, side.abs()
    thick = 0.013 + 0.010 * fem + 0.008 * face.makeup
    line = smoothstep((over - 0.35 * thick).abs_(), thick + 0.55 * edge, 0.3 * thick)
    line = line * smoothstep(side, -1.06, -0.8) * smoothstep(side, 1.12 + 0.05 * fem, 0.95)
    line = line * above(b - eye.base + 0.02) * (0.55 + 0.45 * smoothstep(side, -0.9, 0.2))
    shown = mix(shown, dark, line * (0.90 - 0.25 * face.gender))
    comb = smoothstep((26.0 * side + 1.0).sin_(), -0.3, 0.8)
    reach = 0.045 * (0.4 + 0.6 * smoothstep(side, -0.4, 0.8))
    spikes = smoothstep(over, -0.004, 0.004) * smoothstep(over, reach, 0.008) * comb
    spikes = spikes * smoothstep(side, -0.7, -0.1) * smoothstep(side, 1.16, 0.95)
    shown = mix(shown, dark, spikes * (0.8 * fem * (0.45 + 0.4 * face.makeup)))
    lower = bell(b - eye.lower + 0.002, 0.008 + 0.35 * edge) * smoothstep(wide, 1.03, 0.85)
    shown = mix(shown, rays.palette.skin * 0.25, lower * (0.30 + 0.30 * face.makeup + 0.1 * fem))
    wet = 0.35 * bell(b - eye.lower - 0.010, 0.008) * seen
    return mix(shown, rays.palette.skin * constant((1.1, 0.77, 0.726), b), wet)
