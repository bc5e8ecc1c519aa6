"""Completions of an inversion: its holes filled, its known pixels as they were."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ganinv.compositing import composite
from ganinv.images import Bytes, to_uint8
from ganinv.inversion import Inversion
from ganinv.rendering import render

if TYPE_CHECKING:
    from ganinv.backbones.base import Backbone


def complete(inversion: Inversion, backbone: Backbone, *, feather: int = 0, tones: bool = True) -> Bytes:
    """The pictures of an inversion as they are to be shown: what the generator draws for the holes
    (`Inversion.for_holes`), pasted into the known pixels by `composite`.

    Args:
        inversion: what was found, or an edited one.
        backbone: the generator it was found with.
        feather, tones: see `composite`.

    Returns:
        uint8 (N, K, R, R, 3); outside the holes `inversion.working`, bit for bit.

    Raises:
        BackboneMismatchError: the inversion was made with another backbone. UsageError: a negative feather.
    """
    drawn = to_uint8(render(inversion.for_holes(), backbone))
    count = inversion.samples
    working = np.repeat(inversion.working.permute(0, 2, 3, 1).cpu().numpy(), count, axis=0)
    hole = np.repeat(inversion.hole[:, 0].bool().cpu().numpy(), count, axis=0)
    filled = composite(drawn.reshape(working.shape), working, hole, feather, tones=tones)
    return filled.reshape(drawn.shape)
