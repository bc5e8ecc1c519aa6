"""Distances between two sets of pictures, from features of a network: FID and KID.

With another network than Inception the figures compare only with each other.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from ganinv.metrics.bootstrap import Array, Estimate, bootstrap

_GROUPS = 500  # more pictures share groups, so that the table of sums stays small
_ROWS = 1024


def kid(
    drawn: Tensor, reference: Tensor, *, paired: bool = False, replicates: int = 1000, seed: int = 0
) -> Estimate:
    """Kernel inception distance (Binkowski et al. 2018, cubic polynomial kernel): unbiased, so 0 for equal
    distributions, and sometimes below.

    Several samples of one picture depend on each other. Pairs of one picture are therefore left out of the
    mean over pairs, as an item's pair with itself is in the plain estimate, and an interval draws pictures.

    Args:
        drawn: features [N, K, D] of K samples of each of N pictures. reference: features [M, D].
        paired: `reference` are the same N pictures, so that pairs of one picture are left out there too, and
            both are drawn again together.
    """
    x, y = drawn.double(), reference[:, None].double()  # [N, K, D], [M, 1, D]
    groups = [_groups(len(x)), _groups(len(y))]
    within_x, within_y = (_kernel_sums(z, g, z, g) for z, g in zip((x, y), groups, strict=True))
    across = _kernel_sums(x, groups[0], y, groups[1])
    sizes = [np.bincount(g) * z.shape[1] for z, g in zip((x, y), groups, strict=True)]

    def distance(a: Array, *other: Array) -> Array:
        b = other[0] if other else a
        between = _mean_of_pairs(across, a, b, sizes[0], sizes[1], others_only=paired)
        own = _mean_of_pairs(within_x, a, a, sizes[0], sizes[0], others_only=True)
        theirs = _mean_of_pairs(within_y, b, b, sizes[1], sizes[1], others_only=True)
        return own + theirs - 2 * between

    counts = [len(sizes[0])] if paired else [len(sizes[0]), len(sizes[1])]
    found = bootstrap(distance, *counts, replicates=replicates, seed=seed, centred=True)
    return Estimate(found.value, found.low, found.high, len(x))


def fid(drawn: Tensor, reference: Tensor, *, replicates: int = 100, seed: int = 0) -> Estimate:
    """Frechet inception distance (Heusel et al. 2017) of features [N, D] and [M, D], by torchmetrics.

    It grows as N and M fall, so it compares at equal N and M only; the interval is that of this N and M.
    """

    def distance(a: Array, b: Array) -> Array:
        return np.array([_fid(drawn, reference, *weights) for weights in zip(a, b, strict=True)])

    counts = len(drawn), len(reference)
    return bootstrap(distance, *counts, replicates=replicates, seed=seed, centred=True)


class _Given(nn.Module):
    """Stands where torchmetrics expects its network: features are handed over instead of pictures."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = num_features

    def forward(self, features: Tensor) -> Tensor:
        return features


def _fid(x: Tensor, y: Tensor, x_weights: Array, y_weights: Array) -> float:
    from torchmetrics.image.fid import FrechetInceptionDistance

    measure = FrechetInceptionDistance(feature=_Given(x.shape[1]))
    for features, weights, real in ((x, x_weights, False), (y, y_weights, True)):
        again = torch.from_numpy(weights).long()
        measure.update(features.double().repeat_interleave(again, dim=0), real=real)
    return float(measure.compute())


def _groups(count: int) -> np.ndarray:
    """The group [N] of each picture: its own while these are few."""
    return np.arange(count) * min(count, _GROUPS) // max(count, 1)


def _kernel_sums(x: Tensor, x_groups: np.ndarray, y: Tensor, y_groups: np.ndarray) -> Array:
    """Sums [G, H] of the kernel over the pairs of each two groups; features [N, K, D] and [M, L, D]."""
    rows, columns = (torch.from_numpy(np.repeat(g, z.shape[1])) for z, g in ((x, x_groups), (y, y_groups)))
    left, right = x.flatten(0, 1), y.flatten(0, 1)
    sums = torch.zeros(int(rows.max()) + 1, int(columns.max()) + 1, dtype=torch.float64)
    for start in range(0, len(left), _ROWS):
        part = slice(start, start + _ROWS)
        kernel = (left[part] @ right.T / left.shape[1] + 1) ** 3  # [rows, M * L]
        by_column = torch.zeros(len(kernel), sums.shape[1], dtype=torch.float64).index_add_(
            1, columns, kernel
        )
        sums.index_add_(0, rows[part], by_column)
    return sums.numpy()


def _mean_of_pairs(
    sums: Array, a: Array, b: Array, rows: np.ndarray, columns: np.ndarray, *, others_only: bool
) -> Array:
    """Mean kernel [B] over the pairs of groups drawn `a` and `b` times; without a group's pairs with itself,
    where `others_only`.
    """
    numbers = np.outer(rows, columns).astype(np.float64)
    if others_only:
        sums, numbers = sums - np.diag(np.diag(sums)), numbers - np.diag(np.diag(numbers))
    total, count = ((a @ table * b).sum(1) for table in (sums, numbers))
    return np.divide(total, count, out=np.full(len(a), np.nan), where=count > 0)
