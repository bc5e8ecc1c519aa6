"""Coordinates of codes in which each entry of z can be read, and how far codes are from the true ones."""

from __future__ import annotations

import torch
from torch import Tensor

from ganinv.parts import Backbone

from .. import losses
from .hidden import ToldEntries

PROBES = 8000
"""Codes from which spread and readout are measured."""
READABLE = 0.05
"""Share of an entry's variance that must be read from the codes for a coordinate of its own."""
PLAIN_SHARE, REST_SHARE = 0.3, 0.3
"""Weights of the plain distance and of that in the rest's coordinates, beside that of the entries."""


class CodeReadout:
    """A linear map from codes to the entries of z, by ridge regression; taken once from random codes.

    spread: mean square of w - w_avg. entries: (w_dim, z_dim), (w - w_avg) @ entries is about z.
    """

    @torch.no_grad()
    def __init__(self, backbone: Backbone) -> None:
        z = torch.randn(PROBES, backbone.z_dim, generator=torch.Generator().manual_seed(0))
        self.z = z.to(backbone.w_avg.device)
        parts = [backbone.map(part, backbone.classes(len(part)))[:, 0] for part in self.z.split(1000)]
        self.codes = torch.cat(parts).float() - backbone.w_avg  # (PROBES, w_dim)
        self.spread = self.codes.square().mean()
        ridge = torch.eye(self.codes.shape[1], device=self.z.device)
        self.entries = torch.linalg.solve(self.codes.T @ self.codes + ridge, self.codes.T @ self.z)
        read = 1 - (self.z - self.codes @ self.entries).square().mean(dim=0) / self.z.square().mean(dim=0)
        best = read.argsort(descending=True)[: self.codes.shape[1]]
        self.readable = best[read[best] > READABLE]

    def basis(self) -> Tensor:
        """Coordinates y = (w - w_avg) @ basis, (w_dim, w_dim): first one for each readable entry of z, then
        the rest, which over random codes does not correlate with them; each of about variance 1.

        So a code in which one of the first coordinates alone is changed moves as random codes do when that
        entry changes. Were the rest merely orthogonal to the readout, the move would be read as well and
        shown by half: most of a smile lay in the rest.
        """
        columns = torch.cat([self.entries[:, self.readable], self.rest()], dim=1)
        return columns / self._deviations(columns)

    def rest(self) -> Tensor:
        """Directions (w_dim, R), orthogonal to how codes move with readable entries; coordinates along them
        have variance 1 over random codes.
        """
        moves = self.codes.T @ self.z[:, self.readable]  # (w_dim, entries)
        columns = torch.linalg.svd(moves, full_matrices=True).U[:, len(self.readable) :]
        return columns / self._deviations(columns)

    def _deviations(self, columns: Tensor) -> Tensor:
        return (self.codes @ columns).square().mean(dim=0).sqrt().clamp_min(1e-3 * self.spread.sqrt())


class CodeDistance:
    """Distance of codes to the true ones; a scalar, about 1 for the mean code.

    Without `told` it is the squared distance in units of the codes' spread. There a few entries of z that
    colour the whole picture outweigh an expression or a pair of glasses. With `told` each entry is read from
    the codes, and all entries that show in the picture count the same, but that those which the hole hides
    count as much in all as those which it leaves: of a tight hole it is one. A code may read right and draw
    something else, so the distance in the coordinates that no entry has a part in is added with weight
    `REST_SHARE`, and the plain distance with `PLAIN_SHARE`.
    """

    def __init__(self, readout: CodeReadout, told: ToldEntries | None = None) -> None:
        self.spread, self.entries, self.rest = readout.spread, readout.entries, readout.rest()
        self.weight = None if told is None else told.weight

    def __call__(self, codes: Tensor, true: Tensor, counts: Tensor, told: Tensor | None = None) -> Tensor:
        """Mean over codes (N, num_ws, w_dim), of which those that do not count, (N,) bool, add 0. `told`:
        which entries the picture tells, (N, z_dim) bool; None = all.
        """
        plain = losses.code_distance(codes, true, counts, self.spread)
        if self.weight is None:
            return plain
        error = ((codes - true) @ self.entries).square().mean(dim=1)  # (N, z_dim)
        known = torch.ones_like(error, dtype=torch.bool) if told is None else told
        total, parts = torch.zeros_like(error[:, 0]), torch.zeros_like(error[:, 0])
        for of_part in (known, ~known):
            weight = self.weight * of_part  # (N, z_dim)
            sums = weight.sum(dim=1)
            part = sums.clamp(max=1)  # what hardly shows is no half
            total = total + part * (error * weight).sum(dim=1) / sums.clamp_min(1e-6)
            parts = parts + part
        found = (total / parts.clamp_min(1e-6) * counts).mean() + PLAIN_SHARE * plain
        if self.rest.shape[1]:
            one = torch.ones_like(self.spread)
            found = found + REST_SHARE * losses.code_distance(
                codes @ self.rest, true @ self.rest, counts, one
            )
        return found
