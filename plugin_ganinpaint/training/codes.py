"""How far codes are from the true ones: in the codes' own space, and in what they say of each entry of z."""

from __future__ import annotations

import torch
from torch import Tensor

from ganinv.parts import Backbone

from .. import losses
from .hidden import ToldEntries

PROBES = 8000
"""Codes from which spread and readout are measured."""
PLAIN_SHARE = 0.3
"""Weight of the plain distance beside that of the entries."""
FULL_INFLUENCE = 5.0
"""Summed change of the picture (`hidden.influence_maps`, at 64 px) from which an entry counts in full."""


class CodeDistance:
    """Distance of codes to the true ones; a scalar, about 1 for the mean code.

    Without `told` it is the squared distance in units of the codes' spread. There a few entries of z that
    colour the whole picture outweigh an expression or a pair of glasses. With `told` each entry is read from
    the codes by a linear map (ridge regression), and all entries that show in the picture count the same;
    the plain distance is added with weight `PLAIN_SHARE`.
    """

    @torch.no_grad()
    def __init__(self, backbone: Backbone, told: ToldEntries | None = None) -> None:
        self.readout: Tensor | None = None
        z = torch.randn(PROBES, backbone.z_dim, generator=torch.Generator().manual_seed(0))
        z = z.to(backbone.w_avg.device)
        codes = torch.cat([backbone.map(part, backbone.classes(len(part)))[:, 0] for part in z.split(1000)])
        codes = codes - backbone.w_avg  # (PROBES, w_dim)
        self.spread = codes.square().mean()
        if told is not None:
            ridge = torch.eye(codes.shape[1], device=codes.device)
            solved = torch.linalg.solve(codes.T @ codes + ridge, codes.T @ z)  # (w_dim, z_dim)
            whole = FULL_INFLUENCE * (backbone.resolution / 64) ** 2
            weight = (told.influence.sum(dim=1) / whole).clamp(max=1)
            self.readout = solved * (weight / weight.sum()).sqrt()

    def __call__(self, codes: Tensor, true: Tensor, counts: Tensor) -> Tensor:
        """Mean over codes (N, num_ws, w_dim), of which those that do not count, (N,) bool, add 0."""
        plain = losses.code_distance(codes, true, counts, self.spread)
        if self.readout is None:
            return plain
        entries = ((codes - true) @ self.readout).square().sum(dim=2).mean(dim=1)  # (N,)
        return (entries * counts).mean() + PLAIN_SHARE * plain
