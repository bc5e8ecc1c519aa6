"""Inside of the open mouth: dark, a tongue, and the upper teeth."""

from __future__ import annotations

from torch import Tensor

from ganinv.portraits.colours import colour
from ganinv.portraits.features import lips
from ganinv.portraits.rays import Rays
from ganinv.portraits.tensors import bell, dot, mix, smoothstep


def open_mouth(rays: Rays, fields: dict[str, Tensor]) -> Tensor:
    """Colour [B, 3, M] of the head's `fields` (a, b, colour, normal in the world, mouth) with the inside of the mouth."""
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
