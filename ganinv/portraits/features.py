"""The drawn curves of the face in chart coordinates: lips, lids, brows, beard and hairline.

`a` is to the image right, `b` up; `a` and `b` may be fields of rays or a row and a column of a texture.
`aa` is |a|, so that left and right are alike.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ganinv.portraits.face import Face
from ganinv.portraits.tensors import above, bell, power, smoothstep, spot


@dataclass
class Lips:
    """Curves of the mouth over `a`: heights b of its lines."""

    side: Tensor
    """-1 at one corner .. 1 at the other"""
    bulge: Tensor
    """1 - side^2, 0 outside"""
    centre: Tensor
    inner_up: Tensor
    inner_low: Tensor
    top: Tensor
    bottom: Tensor


def lips(face: Face, a: Tensor) -> Lips:
    """Outer and inner edges of both lips; the upper one with Cupid's bow."""
    side = (a - 0.022 * face.asym) / face.mouth_half
    squared, wide = side.square(), side.abs()
    bulge = torch.rsub(squared, 1.0).clamp_(min=0.0)
    centre = (
        (0.052 * face.smiling - 0.036 * face.frown) * squared
        + (face.mouth_b - 0.012 * face.smiling)
        + (0.010 * (face.open - 1.0)) * bell(side, 0.25)
        + bell(wide - 0.3, 0.2).mul_(0.006)
    )
    root = bulge.sqrt()
    inner_up, inner_low = centre + 0.18 * face.gap * root, centre - 0.82 * face.gap * root
    bow = bell(wide - 0.22, 0.16).mul_(0.22).add_(0.86).sub_(bell(side, 0.10).mul_(0.10))
    top = inner_up + 0.002 + face.lip_up * power(bulge, 0.62).mul_(bow)
    belly = bell(side, 0.45).mul_(0.10).add_(0.92)
    bottom = inner_low - 0.002 - face.lip_low * power(bulge, 0.6).mul_(belly)
    return Lips(side, bulge, centre, inner_up, inner_low, top, bottom)


@dataclass
class Lids:
    """Curves of the eye opening over |a|: heights b of its lines."""

    side: Tensor
    """-1 at the inner corner .. 1 at the outer"""
    bulge: Tensor
    base: Tensor
    upper: Tensor
    lower: Tensor


def lids(face: Face, aa: Tensor) -> Lids:
    """Edges of the upper and lower lid of both eyes."""
    side = (aa - face.eye_a) / face.eye_half
    bulge = torch.rsub(side.square(), 1.0).clamp_(min=0.0)
    base = face.eye_b + face.eye_tilt * side
    upper = base + face.lid_up * power(bulge, 0.62).mul_(1.0 - 0.14 * side)
    lower = base - face.lid_low * power(bulge, 0.85).mul_(1.0 + 0.22 * side)
    return Lids(side, bulge, base, upper, lower)


def brow_centre(face: Face, along: Tensor) -> Tensor:
    """Height of the brow's middle line; `along` is 0 at the inner and 1 at the outer end."""
    arch = 0.055 * (1.0 - 0.5 * face.gender) * bell(along - 0.62, 0.33) - 0.045 * smoothstep(along, 0.6, 1.05)
    slant = 0.045 * face.brow_tilt * (along - 0.45) - 0.012 * face.frown * (1.0 - along)
    return face.brow_b - 0.02 + arch + slant


def brow_along(face: Face, aa: Tensor) -> Tensor:
    """|a| -> the parameter of `brow_centre`."""
    return (aa - 0.135 - 0.02 * face.eye_gap) / 0.53


def beard_mask(face: Face, a: Tensor, b: Tensor, mouth: Lips) -> Tensor:
    """1 where a beard grows: jaw, moustache and sideburns, not on the lips."""
    aa = a.abs()
    cheek_line = -0.575 + 0.215 * smoothstep(aa, 0.30, 0.62) + 0.36 * smoothstep(aa, 0.58, 0.84)
    wide = smoothstep(aa, 1.20, 1.02)
    jaw = smoothstep(cheek_line - b, -0.12, 0.14) * wide
    jaw = jaw * (1.0 - 0.35 * spot(aa, b, 0.16, mouth.bottom - 0.055, 0.10, 0.035))
    moustache = (
        smoothstep(b - mouth.top, -0.005, 0.025)
        * smoothstep(b, -0.475, -0.555)
        * smoothstep(aa, face.mouth_half * 1.55, face.mouth_half * 0.95)
    )
    on_lips = (
        smoothstep(b - mouth.bottom, -0.010, 0.012)
        * smoothstep(mouth.top - b, -0.008, 0.014)
        * smoothstep(mouth.side.abs(), 1.03, 0.97)
    )
    sideburn = smoothstep(aa, 0.80, 0.88) * smoothstep(b, 0.10, -0.1) * wide
    mask = torch.maximum(torch.maximum(jaw, moustache), sideburn) * (1.0 - on_lips)
    return mask * smoothstep(b, -1.6, -1.25)


def hairline(face: Face, a: Tensor, b: Tensor) -> Tensor:
    """Signed distance to the hairline in chart units, positive in the hair."""
    aa = a.abs()
    recede, part = face.recede, face.part
    top = 0.80 + 0.05 * face.forehead + 0.16 * recede + 0.66 * recede * smoothstep(recede, 0.3, 1.0)
    top = top - 0.45 * face.fringe * (0.82 + 0.35 * (a * part).clamp(-0.4, 0.4)) * smoothstep(aa, 0.95, 0.35)
    # Hair recedes at the temples first: the middle keeps a peak. A parting cuts a small notch.
    top = top - 0.11 * recede * (1.0 - smoothstep(recede, 0.6, 0.9)) * bell(a, 0.20)
    notch = 0.05 * (1.0 - face.fringe) * above(0.35 - recede) * smoothstep(part.abs(), 0.2, 0.5)
    top = top + notch * bell(a - 0.33 * part, 0.10)
    half_width = 0.90 + 0.03 * face.gender + 0.05 * smoothstep(recede, 0.35, 1.0)
    roundness = 2.7 - 0.5 * face.fringe
    # exp(n log x) with x kept off 0, once for each axis of the superellipse.
    across = power((aa / half_width).clamp(min=1e-6), roundness)
    upward = power(((b + 0.12) / (top + 0.12)).clamp(min=1e-6), roundness)
    distance = power((across + upward).add_(1e-6), 1.0 / roundness).sub_(1.0).mul_(0.8)
    # Lower limit: the sideburns and the nape.
    low = -0.10 - 0.12 * face.gender - 0.50 * smoothstep(face.length, 0.1, 0.3)
    return torch.minimum(distance, (b - low + 0.9 * smoothstep(aa, 1.05, 1.5)) * 0.7)


def hair_thickness(face: Face, a: Tensor, b: Tensor, distance: Tensor) -> Tensor:
    """How far the cap of hair stands off the head, in head units; `distance` is that of `hairline`."""
    top = face.thickness * (1.0 - 0.94 * smoothstep(face.recede, 0.3, 0.75)) * (1.0 - 0.35 * face.bun)
    crown = 0.55 * face.volume * (1.0 - face.length) * (1.0 - face.bun)
    # Thin at the sides, so that the cap dives under the curtain of long hair.
    sides = 0.42 + 0.22 * face.curl + (0.60 - 0.15 * face.curl) * smoothstep(face.length, 0.1, 0.3)
    shape = 1.0 + crown * spot(a, b, 0.0, 1.15, 0.75, 0.5) - sides * smoothstep(b, 0.50, -0.10)
    rise = 0.10 * smoothstep(distance, 0.0, 0.05) + 0.90 * smoothstep(distance, 0.0, 0.24 + 0.08 * face.curl)
    return top * shape * rise


def lens_distance(face: Face, x: Tensor, y: Tensor) -> Tensor:
    """Signed distance to the rim of the nearer lens of a pair of glasses, head units, negative inside."""
    shape = face.glass_shape
    half_width = 0.245 + 0.02 * shape
    half_height = (0.165 + 0.05 * (1.0 - shape) + 0.03 * (shape * 9.0).sin()).clamp(0.15, 0.225)
    exponent = 2.1 + 4.0 * shape
    across = ((x.abs() - 0.335 * (1.0 + 0.05 * face.fwidth)) / half_width).abs()
    across = across * (1.0 - 0.35 * shape * (y + 0.03))
    upward = ((y + 0.035) / half_height).abs()
    total = power(across.clamp(min=1e-6), exponent) + power(upward.clamp(min=1e-6), exponent)
    return (power(total + 1e-6, 1.0 / exponent) - 1.0) * half_height


def frame_mask(face: Face, x: Tensor, y: Tensor, edge: float, *, widen: float = 1.0) -> tuple[Tensor, Tensor]:
    """Coverage of rims and bridge at (x, y) of the lens plane, and the distance of `lens_distance`."""
    distance, half = lens_distance(face, x, y), face.frame_half * widen
    rim = smoothstep(distance.abs() - half, edge * 0.7, -edge * 0.5)
    bridge = smoothstep((y - 0.045 + 0.35 * x * x).abs() - 0.9 * half, edge * 0.7, -edge * 0.5)
    bridge = bridge * above(0.15 - x.abs()) * above(distance)
    return torch.maximum(rim, bridge), distance
