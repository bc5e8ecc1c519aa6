"""Edits computed from a generator's own affine layers, without any labels: SeFa and style channels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ganinv.backbones.base import Backbone
from ganinv.editing.edits import Direction
from ganinv.editing.style_shift import StyleShift
from ganinv.errors import CheckpointError, UsageError
from ganinv.methods.latents import random_codes
from ganinv.sampling import normal

_CODES = 4096
_SEED = 1  # one for all: the deviation of a channel describes the generator, not a sample
_TO_RGB = ".torgb.affine"


class StyleLayer(NamedTuple):
    """An affine layer: its name in the generator, the row of the codes that it takes, and itself."""

    name: str
    row: int
    affine: nn.Module

    @property
    def weight(self) -> Tensor:
        """[channels, w_dim]."""
        weight = self.affine.weight
        assert isinstance(weight, Tensor)
        return weight


def style_layers(backbone: Backbone) -> list[StyleLayer]:
    """Every affine layer of a generator in the order of drawing, to-RGB layers included.

    At 1024 px StyleGAN2 has 26, of 15 times 512, 3 times 256, 3 times 128, 3 times 64 and twice 32 channels
    (the order of StyleCLIP's S statistics). A to-RGB layer of StyleGAN2 takes the same row as the next
    convolution; every other layer takes a row of its own.

    Raises:
        CheckpointError: a generator of another build, whose layers these cannot be.
    """
    layers, row = [], 0
    for name, module in backbone.named_modules():
        if name.endswith(".affine"):
            layers.append(StyleLayer(name, row, module))
            row += not name.endswith(_TO_RGB)
    if not layers or layers[-1].row != backbone.num_ws - 1:
        raise CheckpointError(f"a {backbone.family} generator has no style layers that ganinv knows")
    return layers


def sefa(backbone: Backbone, index: int, layers: tuple[int, int] | None = None) -> Direction:
    """Direction `index` of SeFa (Shen and Zhou 2021): an eigenvector of A^T A, largest eigenvalue first.

    A stacks the affine weights of the chosen layers: for each row of the codes the convolution that takes
    it (the last to-RGB layer where only that does). As the published program does, each channel's weights are
    brought to norm 1 first. An eigenvector has no sign; ours has a positive entry
    where its magnitude is largest. Computed in float64; unit 1, a length in W as in the paper.

    Args:
        layers: (first, last) rows of the codes, last excluded, that A is made of and that move; None = all.

    Raises:
        UsageError: no such direction or layers. CheckpointError: a generator of another build.
    """
    first, last = layers or (0, backbone.num_ws)
    if not 0 <= first < last <= backbone.num_ws:
        raise UsageError(
            f"layers {first}-{last - 1} are not there: this backbone has 0-{backbone.num_ws - 1}"
        )
    if not 0 <= index < backbone.w_dim:
        raise UsageError(f"SeFa direction {index} is not there: this backbone has 0 to {backbone.w_dim - 1}")
    of_row: dict[int, StyleLayer] = {}
    for layer in style_layers(backbone):
        if layer.row not in of_row or of_row[layer.row].name.endswith(_TO_RGB):
            of_row[layer.row] = layer
    stacked = torch.cat([of_row[row].weight.detach().double().cpu() for row in range(first, last)])
    stacked = stacked / stacked.norm(dim=1, keepdim=True).clamp_min(1e-12)
    _, vectors = torch.linalg.eigh(stacked.T @ stacked)  # columns, smallest eigenvalue first
    vector = vectors[:, -1 - index]
    vector = vector * vector[vector.abs().argmax()].sign()
    return Direction(
        f"sefa:{index}",
        vector[None].float(),
        layers=layers,
        backbone_sha256=backbone.sha256 or None,
        origin=f"SeFa, component {index}",
    )


@torch.no_grad()
def style_channels(backbone: Backbone, channels: Sequence[tuple[int, int]]) -> StyleShift:
    """Channels of StyleSpace (Wu et al. 2021) that move together; strength 1 is a standard deviation of each.

    Args:
        channels: (layer, channel), counted from 0; layers as `style_layers` lists them. The deviations are
            those over 4096 random codes.

    Raises:
        UsageError: no such layer or channel. CheckpointError: a generator of another build.
    """
    layers = style_layers(backbone)
    w: Tensor | None = None
    shifts: dict[str, Tensor] = {}
    for number, channel in channels:
        if not 0 <= number < len(layers):
            raise UsageError(f"style layer {number} is not there: this backbone has 0 to {len(layers) - 1}")
        layer = layers[number]
        width = len(layer.weight)
        if not 0 <= channel < width:
            raise UsageError(
                f"channel {channel} of style layer {number} is not there: it has 0 to {width - 1}"
            )
        w = random_codes(backbone, normal(_SEED, _CODES, backbone.z_dim))[:, 0] if w is None else w
        deviation = layer.affine(w)[:, channel].double().std().cpu()
        shifts.setdefault(layer.name, torch.zeros(width))[channel] = deviation
    return StyleShift(
        "style:" + ",".join(f"{layer}:{channel}" for layer, channel in channels),
        shifts,
        backbone_sha256=backbone.sha256 or None,
        origin="StyleSpace channels " + ", ".join(f"{layer}:{channel}" for layer, channel in channels),
    )
