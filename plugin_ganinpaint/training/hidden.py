"""Which entries of z a picture's visible part tells, for generators whose entries each stand for something.

A fresh code that agrees with a picture in nothing but what the hole hides is the one case in which both
inputs of the mixing network are needed and the right answer is known on every pixel. Ordinary generators
spread every entry of z over the whole picture; this is for those whose z was trained to mean something, as
the portraits' was (docs/training.md).
"""

from __future__ import annotations

import torch
from torch import Tensor

from ganinv.parts import Backbone

PROBES = 32
"""Pictures over which the influence of an entry is averaged."""
FLOOR = 0.06
"""Change of a pixel, of a range of 2, that counts as none: independent entries are nearly so."""
SHARE = 0.45
"""An entry is told once the visible part holds this share of its influence, ..."""
CLEAR = 20.0
"""... or this much of it at 64 px: 100 pixels that change by a tenth of the range, for instance."""


class ToldEntries:
    """Maps of how strongly each entry of z moves each pixel, taken once from random pictures."""

    def __init__(self, backbone: Backbone, seed: int = 0) -> None:
        maps = influence_maps(backbone, torch.Generator().manual_seed(seed)).flatten(1)  # (z_dim, R * R)
        self.influence = maps
        enough = CLEAR * (backbone.resolution / 64) ** 2
        self.needed = (SHARE * maps.sum(dim=1)).clamp(max=enough)  # (z_dim,)

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
    before = _pictures(backbone, z)
    for entry in range(backbone.z_dim):
        moved = z.clone()
        moved[:, entry] = fresh[:, entry]
        change = (_pictures(backbone, moved) - before).abs()  # (PROBES, 3, R, R)
        maps.append((change - FLOOR).clamp_min(0).mean(dim=(0, 1)))
    return torch.stack(maps)


def _pictures(backbone: Backbone, z: Tensor) -> Tensor:
    labels = torch.zeros(len(z), backbone.c_dim, device=z.device) if backbone.c_dim else None
    return backbone.synthesize(backbone.map(z, labels)).images.float().clamp(-1, 1)
