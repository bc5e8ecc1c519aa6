"""Which entries of z a picture's visible part tells, for generators whose entries each stand for something.

A fresh code that agrees with a picture in nothing but what the hole hides is the one case in which both
inputs of the mixing network are needed and the right answer is known on every pixel. Ordinary generators
spread every entry of z over the whole picture; this is for those whose z was trained to mean something, as
the portraits' was (docs/training.md).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import max_pool2d

from ganinv.parts import Backbone

PROBES = 32
"""Pictures over which the influence of an entry is averaged."""
FLOOR = 0.06
"""Change of a pixel, of a range of 2, that counts as none: independent entries are nearly so."""
SHARE = 0.45
"""An entry is told once the visible part holds this share of its influence, ..."""
CLEAR = 20.0
"""... or this much of it at 64 px: 100 pixels that change by a tenth of the range, for instance."""
FULL_INFLUENCE = 5.0
"""Summed influence at 64 px from which an entry counts in full: it shows in pictures."""
ENDS = 2.0
"""A part hole covers what moves between an entry at -2 and at 2: 95 % of its values lie between."""
PART_FLOOR, PART_SHARES = 0.12, (0.25, 0.5)
"""A pixel moves if it changes by this much, of a range of 2, and by a share of the picture's most that is
drawn between these: generators move a little of everything, and holes are to be tight and generous."""


class ToldEntries:
    """Maps of how strongly each entry of z moves each pixel, taken once from random pictures."""

    def __init__(self, backbone: Backbone, seed: int = 0) -> None:
        maps = influence_maps(backbone, torch.Generator().manual_seed(seed)).flatten(1)  # (z_dim, R * R)
        self.influence = maps
        enough = CLEAR * (backbone.resolution / 64) ** 2
        self.needed = (SHARE * maps.sum(dim=1)).clamp(max=enough)  # (z_dim,)
        whole = FULL_INFLUENCE * (backbone.resolution / 64) ** 2
        self.weight = (maps.sum(dim=1) / whole).clamp(max=1)  # (z_dim,): how much an entry shows, 0 to 1

    def __call__(self, visible: Tensor) -> Tensor:
        """Whether each entry is told: (N, z_dim) bool from visible (N, 1, R, R)."""
        return visible.flatten(1) @ self.influence.T >= self.needed


@torch.no_grad()
def influence_maps(backbone: Backbone, generator: torch.Generator) -> Tensor:
    """Mean change of each pixel above `FLOOR` when one entry of z is drawn again: (z_dim, R, R)."""
    device = backbone.w_avg.device
    maps = []
    z = torch.randn(PROBES, backbone.z_dim, generator=generator).to(device)
    fresh = torch.randn(PROBES, backbone.z_dim, generator=generator).to(device)
    labels = torch.zeros(PROBES, backbone.c_dim, device=device) if backbone.c_dim else None
    before = _pictures(backbone, z, labels)
    for entry in range(backbone.z_dim):
        moved = z.clone()
        moved[:, entry] = fresh[:, entry]
        change = (_pictures(backbone, moved, labels) - before).abs()  # (PROBES, 3, R, R)
        maps.append((change - FLOOR).clamp_min(0).mean(dim=(0, 1)))
    return torch.stack(maps)


@torch.no_grad()
def part_holes(
    backbone: Backbone, z: Tensor, entries: Tensor, labels: Tensor | None, shares: Tensor, wider: int
) -> Tensor:
    """Holes (N, 1, R, R) bool, each cut to what one entry of z moves in that very picture.

    Args:
        z: of the pictures, (N, z_dim).
        entries: index of each picture's entry, (N,).
        labels: (N, c_dim), or None where the generator has no classes.
        shares: of the largest change in a picture that a pixel must have, (N,).
        wider: pixels by which the holes are widened.
    """
    ends = []
    for end in (-ENDS, ENDS):
        moved = z.clone()
        moved[torch.arange(len(z)), entries] = end
        ends.append(_pictures(backbone, moved, labels))
    change = (ends[1] - ends[0]).abs().amax(dim=1, keepdim=True)
    least = (shares[:, None, None, None] * change.amax(dim=(2, 3), keepdim=True)).clamp_min(PART_FLOOR)
    return max_pool2d((change > least).float(), 2 * wider + 1, stride=1, padding=wider) > 0


def _pictures(backbone: Backbone, z: Tensor, labels: Tensor | None) -> Tensor:
    return backbone.synthesize(backbone.map(z, labels)).images.float().clamp(-1, 1)
