"""Folds, nostrils and lips around the mouth; inside of the open mouth: dark, a tongue, the upper teeth."""

from __future__ import annotations

from torch import Tensor

from ganinv.portraits.colours import colour
from ganinv.portraits.features import lips
from ganinv.portraits.layers.skin import darken_lines
from ganinv.portraits.noise import skin_noise
from ganinv.portraits.rays import Rays
from ganinv.portraits.tensors import bell, decay, dot, mix, segment, smoothstep, spot


def lower_face(rays: Rays, albedo: Tensor, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Folds, nostrils and lips: (albedo, nostril, lip, inside of the mouth)."""
    face, aa, edge = rays.face, a.abs(), rays.edge
    half, level = face.mouth_half, face.mouth_b
    squared, t = segment(aa, b, (0.185, -0.40), (half + 0.085, level + 0.05))
    fold = 0.08 + 0.32 * face.smiling + 0.52 * face.old
    lines = decay(squared, 0.020 + 0.3 * edge) * smoothstep(t, 1.0, 0.6) * fold
    squared, t = segment(aa, b, (half + 0.045, level - 0.03), (half + 0.07, level - 0.20))
    lines.addcmul_(decay(squared, 0.018 + 0.3 * edge) * (1.0 - t), 0.6 * face.old)
    albedo = darken_lines(albedo, lines)
    hole_a, hole_b = 0.072 * (1.0 + 0.16 * face.nose_width), -0.458 * (1.0 + 0.13 * face.nose_len)
    nostril = spot((a - 0.03 * face.asym).abs_(), b, hole_a, hole_b, 0.038, 0.017)
    albedo = albedo * (1.0 - 0.80 * nostril)
    mouth = lips(face, a)
    wide = mouth.side.abs()
    lip = smoothstep(mouth.top - b, -0.8 * edge, edge) * smoothstep(b - mouth.bottom, -0.8 * edge, edge)
    lip = lip * smoothstep(wide, 1.02, 0.97)
    inside = smoothstep(mouth.inner_up - b, -0.7 * edge, 0.7 * edge) * smoothstep(
        b - mouth.inner_low, -0.7 * edge, 0.7 * edge
    )
    inside = inside * smoothstep(wide, 1.0, 0.92) * smoothstep(face.open, 0.02, 0.15)
    chaps = 1.0 + 0.18 * skin_noise(rays.noise, 0, 12.0 * a, 2.4 * b)
    chaps = chaps * (1.0 - 0.16 * smoothstep(b - mouth.centre, -0.01, 0.02))
    albedo = mix(albedo, rays.palette.lip * chaps, lip * (0.88 - 0.175 * face.old))
    parting = bell(b - mouth.centre, 0.011 + 0.35 * edge) * smoothstep(wide, 1.08, 0.9)
    albedo = albedo * (1.0 - parting * (0.62 - 0.62 * smoothstep(face.open, 0.1, 0.4)))
    corner = spot(aa, b, 1.01 * half, level + 0.060 * face.smiling - 0.045 * face.frown, 0.028, 0.022)
    return albedo * (1.0 - 0.40 * corner), nostril, lip, inside


def open_mouth(rays: Rays, fields: dict[str, Tensor]) -> Tensor:
    """Colour [B, 3, M] with the inside of the mouth; `fields`: a, b, colour, normal (world), mouth."""
    face, a, b, edge = rays.face, fields["a"], fields["b"], rays.edge
    mouth = lips(face, a)
    side = mouth.side
    squared = side.square()
    teeth_end = mouth.inner_up - (mouth.inner_up - mouth.inner_low) * (0.74 - 0.1628 * squared)
    shown = smoothstep(b - teeth_end, -edge, edge) * smoothstep(side.abs(), 0.97, 0.80)
    place = 4.6 * side + 0.5
    gaps = bell(place - place.round(), 0.10)
    shade = (0.62 + 0.38 * smoothstep(mouth.inner_up - b, 0.0, 0.014)) * 1.22
    lit = 0.72 + 0.42 * dot(fields["normal"], rays.lights.key).clamp_(0.0, 1.0)
    white = (0.92 - 0.14 * gaps) * (1.0 - 0.55 * squared) * (1.0 - 0.10 * face.old) * shade * lit
    tooth = colour("#efe6d8", a) * (0.75 + (0.25 / 2.05) * rays.lights.key_colour) * white
    inside = mix(colour("#35100f", a) * 0.8, tooth, shown)
    tongue = bell(a, face.mouth_half * 0.6) * bell(b - mouth.inner_low - 0.01, 0.03) * (1.0 - shown)
    inside = mix(inside, colour("#a04848", a) * 0.6, 0.8 * tongue)
    return mix(fields["colour"], inside, fields["mouth"])
