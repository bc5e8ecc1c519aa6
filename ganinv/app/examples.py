"""Pictures to begin with: drawn on the spot, so that none has to be shipped and none has to be had."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ganinv.align.faces import Face, face_from_points
from ganinv.backbones.base import Backbone
from ganinv.images import Picture, to_uint8
from ganinv.portraits import draws_portraits
from ganinv.sampling import sample_z

_SEED = 20260
_SHOWN = 6


@dataclass(frozen=True, eq=False)
class Example:
    """A picture at the generator's size; face: where it is known."""

    name: str
    picture: Picture
    face: Face | None = None


def examples(backbone: Backbone) -> list[Example]:
    """Portraits of the bundled domain for its generators, samples of their own for others."""
    if draws_portraits(backbone.name):
        return _portraits(backbone.resolution)
    with torch.no_grad():
        z = sample_z(_SEED, _SHOWN, backbone.z_dim).to(backbone.w_avg.device)
        c = backbone.classes(_SHOWN, None)
        rows = [
            backbone.synthesize(backbone.map(z[i : i + 1], None if c is None else c[i : i + 1], 0.7)).images
            for i in range(_SHOWN)
        ]
    drawn = to_uint8(torch.cat(rows).float())
    return [Example(f"sample-{index}", Picture(pixels)) for index, pixels in enumerate(drawn)]


def _portraits(size: int) -> list[Example]:
    from ganinv.portraits.attributes import sample_attributes
    from ganinv.portraits.landmarks import landmarks
    from ganinv.portraits.renderer import render

    attributes = sample_attributes(_SHOWN, _SEED)
    pixels = to_uint8(2 * render(attributes, size) - 1)
    points = landmarks(attributes, size)
    return [
        Example(f"portrait-{index}", Picture(pixels[index]), face_from_points(points[index].numpy()))
        for index in range(_SHOWN)
    ]
