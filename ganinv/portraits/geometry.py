"""The shape of the head as a height field over the chart: distance from the middle in each direction.

Three ellipsoids are merged softly; features are added as bumps. Most bumps are products of a Gaussian across
and a Gaussian up, so that all of them together are one matrix product; the nose and mouth, which are not, are
added in the small rectangle that they touch.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ganinv.portraits import chart
from ganinv.portraits.face import Face
from ganinv.portraits.features import beard_mask, lips
from ganinv.portraits.tensors import Value, above, bell, decay, segment, smoothstep, spot


@dataclass
class Surface:
    """Heights [B, T, T] in head units over the chart texture: row = b upward from -HALF, column = a."""

    base: Tensor
    """the skull without features, on which hair grows"""
    head: Tensor


def surface(face: Face, texels: int) -> Surface:
    """Distance of the skull and of the finished head from the middle of the head, in every direction."""
    line = chart.axis(texels, face.gender)
    a, b = line.view(1, 1, -1), line.view(1, -1, 1)
    base = _skull(face, chart.from_chart(a, b))
    head = base + _bumps(face, line)
    rows, columns = _rectangle(texels, 0.75, -0.66, 0.38)
    head[:, rows, columns] += _nose(face, a[..., columns], b[:, rows])
    rows, columns = _rectangle(texels, 0.62, -1.2, -0.25)
    head[:, rows, columns] += _mouth(face, a[..., columns], b[:, rows])
    if bool((face.beard > 0.45).any()):
        rows, columns = _rectangle(texels, 1.25, -1.65, 0.15)
        head[:, rows, columns] += _beard(face, a[..., columns], b[:, rows])
    return Surface(base, head)


def _rectangle(texels: int, half_width: float, low: float, high: float) -> tuple[slice, slice]:
    """Rows low..high and columns +-half_width (chart units) of a texture, rounded outwards."""

    def texel(coordinate: float) -> float:
        return (coordinate / chart.HALF + 1.0) * 0.5 * texels

    rows = slice(max(0, int(texel(low))), min(texels, int(texel(high)) + 1))
    return rows, slice(int(texel(-half_width)), min(texels, int(texel(half_width)) + 1))


def _radial(direction: tuple[Tensor, ...], centre: tuple[float, ...], axes: tuple[Value, ...]) -> Tensor:
    """Outermost distance to an ellipsoid along directions from the origin; continuous where it is missed."""
    d = [x / s for x, s in zip(direction, axes, strict=True)]
    c = [x / s for x, s in zip(centre, axes, strict=True)]
    q = d[0].square() + d[1].square() + d[2].square()
    h = d[0] * c[0] + d[1] * c[1] + d[2] * c[2]
    inside = h.square() - q * (c[0] * c[0] + c[1] * c[1] + c[2] * c[2] - 1.0)
    return (h + inside.sign() * (inside.abs() + 1e-9).sqrt_()).div_(q)


def _skull(face: Face, direction: tuple[Tensor, ...]) -> Tensor:
    width = 1.0 + 0.075 * face.fwidth
    jaw = width * (0.905 + 0.135 * face.gender) * (1.0 + 0.03 * face.old) * (1.0 + 0.08 * face.jaw_width)
    jaw_height = (0.51 + 0.02 * face.gender) * (1.0 + 0.075 * face.face_len)
    cranium = _radial(direction, (0.0, 0.27, -0.14), (0.765 * width, 0.885 + 0.045 * face.forehead, 0.95))
    middle = _radial(direction, (0.0, -0.22, 0.06), (0.675 * width * (1.0 + 0.035 * face.young), 0.72, 0.74))
    lower = _radial(direction, (0.0, -0.60, 0.22), (0.505 * jaw, jaw_height, 0.54))
    top = torch.maximum(torch.maximum(cranium, middle), lower)
    total = sum_exp(16.0, top, cranium, middle, lower)
    return top + total.log_().div_(16.0).sub_(0.02)


def sum_exp(sharpness: float, top: Tensor, *parts: Tensor) -> Tensor:
    """Sum of exp(sharpness (part - top)): with a log, the soft maximum."""
    total = torch.zeros_like(top)
    for part in parts:
        total += (part - top).mul_(sharpness).exp_()
    return total


def _bump_table(face: Face) -> list[tuple[Value, Value, Value, Value, Value]]:
    """(height, |a| of the middle, width, b of the middle, half height) of every Gaussian bump."""
    masc, old, sm = face.gender, face.old, face.smiling
    fem = 1.0 - masc
    return [
        (-0.060, face.eye_a - 0.035, 0.24, face.eye_b + 0.06, 0.12),  # sockets
        (-0.050, 0.165, 0.075, 0.03, 0.10),
        (0.020 + 0.026 * masc, 0.36, 0.28, 0.24, 0.07),  # brow ridge
        (0.042, face.eye_a, 0.165, face.eye_b + 0.01, 0.115),  # eyeballs under the lids
        (-0.020 * old, 0.40, 0.14, -0.145, 0.05),  # groove and bag below the eye
        (0.017 * (0.8 * old + 0.25 * sm), 0.37, 0.13, -0.105, 0.035),
        (0.030 + 0.012 * fem + 0.022 * face.cheek + 0.012 * face.young, 0.55, 0.19, -0.20, 0.15),  # cheekbone
        (0.042 * sm, 0.45, 0.17, -0.31, 0.12),  # raised by a smile
        (
            -0.030 * (0.45 * (1.0 - face.young) + 0.6 * old) * (1.0 - 0.5 * sm),
            0.62,
            0.15,
            -0.50,
            0.15,
        ),  # hollow
        (0.030 * old, 0.48, 0.13, -0.80, 0.13),  # jowl
        (0.036, 0.0, 0.29, -0.65, 0.17),  # muzzle
        (
            -0.020 * (0.6 + sm),
            face.mouth_half * 1.04,
            0.035,
            face.mouth_b + 0.06 * sm - 0.04 * face.frown,
            0.035,
        ),
        (-0.012, 0.0, 0.022, -0.535, 0.05),  # philtrum and its two ridges
        (0.007, 0.035, 0.016, -0.535, 0.05),
        (
            0.050 + 0.015 * masc + 0.030 * face.chin,
            0.0,
            0.12 + 0.06 * masc,
            -0.935 - 0.03 * face.face_len,
            0.09,
        ),
        (-0.020, 0.80, 0.16, 0.22, 0.2),  # temples
        (0.012, 0.30, 0.2, 0.50, 0.14),  # forehead
        (0.020 * masc, 0.80, 0.16, -0.62, 0.16),  # angle of the jaw
        (0.09 * smoothstep(face.beard, 0.6, 1.0), 0.0, 0.25, -1.0, 0.17),  # full beard on the chin
    ]


def _bumps(face: Face, line: Tensor) -> Tensor:
    """Sum of the table's bumps, [B, T, T]."""
    like = face.gender
    rows = [
        torch.cat([torch.as_tensor(v, device=like.device).expand_as(like) for v in c], 1)
        for c in zip(*_bump_table(face), strict=True)
    ]
    height, a0, width, b0, tall = rows  # each [B, K, 1]
    across = bell(line.abs() - a0, width)
    upward = bell(line - b0, tall).mul_(height)
    return upward.transpose(1, 2) @ across


def _nose(face: Face, a: Tensor, b: Tensor) -> Tensor:
    masc, size = face.gender, 1.0 + 0.24 * face.nose
    b = b / (1.0 + 0.13 * face.nose_len)
    a = a - 0.03 * face.asym * smoothstep(b, 0.1, -0.4)
    aa, wide = a.abs(), 1.0 + 0.16 * face.nose_width
    profile = (
        0.022
        + (0.092 + 0.034 * masc) * size * smoothstep(b, 0.20, -0.42)
        + 0.030 * smoothstep(b, -0.05, -0.34)
    )
    profile = profile * smoothstep(b, -0.475, -0.395) * smoothstep(b, 0.30, 0.02)
    half = (0.056 + 0.056 * smoothstep(b, -0.04, -0.40) + 0.010 * masc) * wide
    ridge = profile * (0.66 * bell(a, half) + 0.34 * bell(a, half * 2.2))
    wing_a = (0.116 + 0.014 * masc + 0.020 * face.nose) * wide
    tip = 0.042 * size * spot(a, b, 0.0, -0.365, 0.095, 0.080)
    wings = (0.060 + 0.012 * masc) * spot(aa, b, wing_a, -0.405, 0.052, 0.055) * smoothstep(b, -0.48, -0.42)
    return ridge + tip + wings - 0.030 * spot(aa, b, 0.070, -0.462, 0.034, 0.020)


def _mouth(face: Face, a: Tensor, b: Tensor) -> Tensor:
    fold_to = (face.mouth_half + 0.085, face.mouth_b + 0.05)
    squared, t = segment(a.abs(), b, (0.185, -0.40), fold_to)
    fold = (0.006 + 0.020 * face.smiling + 0.020 * face.old) * decay(squared, 0.032) * (1.0 - 0.4 * t)
    mouth = lips(face, a)
    half_up = (mouth.top - mouth.inner_up) / 2.0 + 0.012
    half_low = (mouth.inner_low - mouth.bottom) / 2.0 + 0.012
    middle_up = (mouth.top + mouth.inner_up) / 2.0 - 0.3 * half_up
    middle_low = (mouth.bottom + mouth.inner_low) / 2.0 + 0.1 * half_low
    root = mouth.bulge.sqrt()
    upper = root * (0.020 + 0.25 * face.lip_up) * bell(b - middle_up, half_up)
    lower = root * (0.022 + 0.25 * face.lip_low) * bell(b - middle_low, half_low)
    between = bell(b - (mouth.inner_up + mouth.inner_low) / 2.0, 0.016 + 0.5 * face.gap)
    between = 0.022 * between * smoothstep(mouth.side.abs(), 1.10, 0.8)
    crease = 0.042 * spot(a, b, 0.0, mouth.bottom - 0.040, 0.16, 0.038)
    return upper + lower - between - crease - fold


def _beard(face: Face, a: Tensor, b: Tensor) -> Tensor:
    mouth = lips(face, a)
    mask = beard_mask(face, a, b, mouth)
    off_lips = torch.maximum(b - mouth.top, mouth.bottom - b) + 10.0 * above(mouth.side.abs() - 1.25)
    return 0.055 * smoothstep(face.beard, 0.45, 1.0) * mask * smoothstep(off_lips, 0.0, 0.07)
