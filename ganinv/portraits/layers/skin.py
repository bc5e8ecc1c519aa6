"""Colour of the skin: mottling, redness, scalp, freckles, lines of age, brows, lips, beard.

`SkinState` is filled for all rays of the head by `base_skin`; the others correct it on the rays they touch.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ganinv.portraits.colours import colour
from ganinv.portraits.features import beard_mask, brow_along, brow_centre, hairline, lids, lips
from ganinv.portraits.layers.star import Hit
from ganinv.portraits.noise import skin_noise
from ganinv.portraits.rays import Rays
from ganinv.portraits.tensors import above, bell, constant, decay, mix, power, segment, smoothstep, spot


@dataclass
class SkinState:
    """What the shading of the head needs: albedo [B, 3, M], the rest [B, 1, M]."""

    albedo: Tensor
    rough: Tensor
    """small irregularity of the normal"""
    lines: Tensor
    """tilt of the normal in the lines of the forehead"""
    brow: Tensor
    lip: Tensor
    mouth: Tensor
    """1 inside the open mouth"""
    nostril: Tensor
    beard: Tensor
    """opacity of the beard"""
    bristle: Tensor
    """noise of the beard"""


def base_skin(rays: Rays, hit: Hit) -> SkinState:
    """Colour of bare skin and scalp everywhere on the head."""
    face, a, b, aa = rays.face, hit.a, hit.b, hit.a.abs()
    mottle = 0.6 * _noise(rays, 0, 1.3, a, b) + 0.4 * _noise(rays, 1, 3.1, a, b)
    fine = _noise(rays, 0, 7.0, a, b)
    albedo = rays.palette.skin * (1.0 + (0.07 * mottle + 0.05 * fine) * (1.0 - 0.5 * face.young))
    red = (0.10 + 0.55 * spot(aa, b, 0.50, -0.27, 0.24, 0.16)).add_(
        spot(a, b, 0.0, -0.38, 0.16, 0.10), alpha=0.45
    )
    red.add_(spot(a, b, 0.0, -0.93, 0.2, 0.12), alpha=0.25)
    red.addcmul_(spot(aa, b, 0.56, -0.20, 0.2, 0.12), 0.3 * face.makeup)
    red = red.mul_(_lightness(rays)).clamp_(0.0, 1.2)
    albedo = albedo.mul_(1.0 + red * constant((0.03, -0.26, -0.30), a))
    under_eye = (0.45 + 0.5 * face.old) * spot(aa, b, 0.37, -0.07, 0.17, 0.06)
    under_eye = under_eye.add_(spot(aa, b, 0.20, 0.03, 0.08, 0.08), alpha=0.35).clamp_(0.0, 1.0)
    albedo = albedo.mul_(1.0 - under_eye * constant((0.10, 0.18, 0.16), a))
    # The scalp takes on the colour of the hair, which hides the edge of the cap.
    scalp = smoothstep(hairline(face, a, b) + 0.05 * _noise(rays, 1, 4.0, a, b), -0.07, 0.05)
    scalp = scalp * (0.75 - 0.75 * smoothstep(face.recede, 0.9, 1.0))
    albedo = mix(albedo, mix(rays.palette.skin, rays.palette.hair, 0.6), scalp)
    zero = [torch.zeros_like(a) for _ in range(7)]
    return SkinState(albedo, 0.025 * (fine + mottle), *zero)


def _noise(rays: Rays, channel: int, frequency: float, a: Tensor, b: Tensor) -> Tensor:
    return skin_noise(rays.noise, channel, a * frequency, b * frequency)


def _lightness(rays: Rays) -> Tensor:
    """How much red and blue tints show on this skin, [B, 1, 1]."""
    return 1.0 - 0.55 * smoothstep(rays.face.skin, 0.3, 0.8)


def darken_lines(albedo: Tensor, lines: Tensor) -> Tensor:
    """Albedo [B, 3, M] darkened along lines of age, `lines` [B, 1, M] being their depth."""
    return albedo * (1.0 - lines.clamp(0.0, 1.2) * constant((0.289, 0.34, 0.357), lines))


def freckles(rays: Rays, albedo: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """Albedo with freckles over cheeks and nose."""
    where = (spot(a.abs(), b, 0.40, -0.2, 0.3, 0.16) + 0.7 * spot(a, b, 0.0, -0.2, 0.2, 0.15)).clamp_(
        0.0, 1.0
    )
    amount = smoothstep(_noise(rays, 0, 6.5, a, b), 0.24, 0.36) * rays.face.freckle * where
    return albedo * (1.0 - amount * constant((0.348, 0.522, 0.58), a))


def upper_face(rays: Rays, albedo: Tensor, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Lines, lids and brows above the nose: (albedo, tilt of the normal, coverage of the brow)."""
    face, palette, aa, edge = rays.face, rays.palette, a.abs(), rays.edge
    lines, tilt = _forehead_lines(rays, a, b)
    crow = 0.75 * face.old + 0.18 * face.smiling * smoothstep(face.age, 25.0, 45.0)
    outer = face.eye_a + face.eye_half
    for start, stop in ((0.03, 0.085), (-0.005, 0.01), (-0.045, -0.075)):
        squared, t = segment(aa, b, (outer + 0.02, start), (outer + 0.15, stop))
        lines.addcmul_(decay(squared, 0.010 + 0.3 * edge) * (1.0 - 0.6 * t), crow)
    squared, t = segment(aa, b, (face.eye_a - 0.14, -0.115), (face.eye_a + 0.10, -0.165))
    bag = decay(squared, 0.014 + 0.3 * edge) * (1.0 - 0.6 * (2.0 * t - 1.0).square_())
    lines.addcmul_(bag, 0.105 + 0.525 * face.old)
    squared, _ = segment(aa, b, (0.075, 0.17), (0.065, 0.30))
    lines.addcmul_(decay(squared, 0.012 + 0.3 * edge), 0.5 * face.old)
    albedo = darken_lines(albedo, lines)
    eye = lids(face, aa)
    wide = eye.side.abs()
    fold_height = face.lid_up + 0.036 + 0.008 * (1.0 - face.gender) - 0.018 * face.old
    fold = eye.base + fold_height * power((1.0 - (0.86 * eye.side).square_()).clamp_(min=0.0), 0.6)
    crease = bell(b - fold, 0.012 + 0.4 * edge) * smoothstep(wide, 1.16, 0.85)
    lid = (
        smoothstep(b - eye.upper, -0.005, 0.01)
        * smoothstep(b - fold, 0.10, -0.03)
        * smoothstep(wide, 1.3, 0.8)
    )
    albedo = albedo * (1.0 - (0.42 + 0.12 * face.old) * crease)
    albedo = albedo * (1.0 + (palette.eyelid - 1.0) * (0.75 * lid))
    along = brow_along(face, aa)
    half = face.brow_half * smoothstep(along, -0.10, 0.18) * (1.0 - 0.62 * smoothstep(along, 0.45, 1.05))
    hairs = skin_noise(rays.noise, 1, 12.0 * a + 11.0 * b * a.sign(), 3.5 * b - a)
    off = (b - brow_centre(face, along)).abs_() + 0.012 * hairs
    brow = smoothstep(off, half + (0.010 + 0.5 * edge), 0.55 * half - 0.004)
    brow = brow * smoothstep(along, -0.07, 0.03) * smoothstep(along, 1.06, 0.92)
    tone = mix(palette.hair_pigment * 0.50 + 0.002, colour("#8d8a88", a), 0.6 * palette.grey)
    weight = brow * (0.78 + 0.5 * hairs).clamp_(0.0, 0.95)
    return mix(albedo, tone * (1.0 + 0.4 * hairs), weight), tilt, brow


def _forehead_lines(rays: Rays, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Darkness of the three lines of the forehead, and how they tilt the normal."""
    face, lines, tilt = rays.face, torch.zeros_like(a), torch.zeros_like(a)
    inner, depth = smoothstep(a.abs(), 0.58, 0.30), 0.75 * smoothstep(face.old, 0.15, 0.9)
    for i, height in enumerate((0.42, 0.52, 0.62)):
        line = height + 0.025 * (5.0 * a + i).cos_() + 0.012 * (11.0 * a + 2.0 * i).sin_() - 0.05 * a.square()
        u = (b - line) / (0.014 + 0.3 * rays.edge)
        strength = bell(u, 1.0) * inner
        lines.addcmul_(strength, depth)
        tilt.addcmul_(strength * u, face.old)
    return lines, tilt


def beard(rays: Rays, albedo: Tensor, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Beard, or the shadow of a shaved one: (albedo, opacity, noise)."""
    face, palette = rays.face, rays.palette
    mask = beard_mask(face, a, b, lips(face, a))
    bristle = skin_noise(rays.noise, 0, 10.4 * a, 3.575 * b) + skin_noise(rays.noise, 1, 16.0 * a, 5.0 * b)
    bristle = bristle.mul_(0.6)
    density = mask * (1.0 + 0.9 * bristle * (1.0 - mask)) * smoothstep(face.beard, 0.02, 0.55)
    cover = smoothstep(density + 0.55 * bristle * density.clamp(0.0, 1.0) * (1.2 - face.beard), 0.15, 0.85)
    cover = cover * smoothstep(face.beard, 0.0, 0.12)
    shaved = (
        0.18 * face.gender * _lightness(rays) * above(0.05 - face.beard) * smoothstep(face.gender, 0.6, 0.9)
    )
    albedo = albedo * (1.0 - mask * (shaved * constant((1.0, 0.8, 0.6), a)))
    tone = mix(palette.hair_pigment * 0.75, colour("#b5b3b0", a), 0.95 * palette.grey)
    opacity = cover * (0.30 + 0.62 * smoothstep(face.beard, 0.1, 0.6))
    return mix(albedo, tone * (1.0 + bristle).clamp_(min=0.2), opacity), opacity, bristle
