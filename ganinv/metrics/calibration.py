"""Are the samples of a hidden attribute spread as they should be?

Attributes of portraits are independent of each other. Where a hole hides all that depends on one of them,
what is known says nothing about it, so its true posterior is its prior. Readings of the samples are compared
with readings of the same portraits rendered again with that attribute drawn afresh: too little diversity
shows, and so does too much.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ganinv.metrics.bootstrap import Array, Estimate, bootstrap

BINS = 10
_ENOUGH = 0.5  # of its expected mass makes a bin count as covered


@dataclass(frozen=True)
class Calibration:
    """What is said of one attribute.

    expected, found: share of the redrawn renders and of the samples in each bin.
    total_variation: half the sum of |found - expected|: 0 is perfect, 1 the worst.
    floor: mean total variation of as many independent readings that are right.
    coverage: share of the bins with at least half their expected mass.
    spread: variance of the readings within a picture's samples, over that within its redrawn renders: below 1
        the samples of a picture are too alike.
    """

    expected: tuple[float, ...]
    found: tuple[float, ...]
    total_variation: Estimate
    floor: float
    coverage: Estimate
    spread: Estimate


def bin_edges(redrawn: Array, values: Array) -> Array:
    """Inner edges of the bins, fixed by the redrawn renders: deciles of their readings; or, where the
    attribute is absent (0) in over a quarter of them, one edge halfway between the mean readings with and
    without it, so that there are two classes.

    Args:
        redrawn: readings [...]. values: the attribute's true values [...].
    """
    absent = values == 0
    if 0.25 < absent.mean() < 1:
        return np.array([(redrawn[absent].mean() + redrawn[~absent].mean()) / 2])
    return np.quantile(redrawn, np.arange(1, BINS) / BINS)


def histogram(readings: Array, edges: Array) -> Array:
    """Share [N, bins] of each picture's readings [N, K] in each bin."""
    index = np.searchsorted(edges, readings, side="right")
    shares: Array = np.stack([(index == i).mean(1) for i in range(len(edges) + 1)], axis=1)
    return shares


def calibrate(samples: Array, redrawn: Array, edges: Array, *, replicates: int = 1000) -> Calibration:
    """Compares readings of samples [N, K] with those of redrawn renders [N, L] of the same N pictures."""
    p, q = histogram(samples, edges), histogram(redrawn, edges)
    inner = samples.var(1, ddof=1) if samples.shape[1] > 1 else np.full(len(samples), np.nan)
    right = redrawn.var(1, ddof=1)

    def variation(weights: Array) -> Array:
        return np.abs(weights @ p - weights @ q).sum(1) / weights.sum(1) / 2

    def coverage(weights: Array) -> Array:
        return (weights @ p >= _ENOUGH * (weights @ q)).mean(1)

    def spread(weights: Array) -> Array:
        return (weights @ inner) / np.maximum(weights @ right, 1e-12)

    count = len(samples)
    return Calibration(
        expected=tuple(q.mean(0).tolist()),
        found=tuple(p.mean(0).tolist()),
        total_variation=bootstrap(variation, count, replicates=replicates, centred=True),
        floor=_floor(q.mean(0), samples.size),
        coverage=bootstrap(coverage, count, replicates=replicates),
        spread=bootstrap(spread, count, replicates=replicates),
    )


def total_variation(readings: Array, redrawn: Array, edges: Array, *, replicates: int = 1000) -> Estimate:
    """Of readings of unrelated pictures [M] against those of redrawn renders [N, L]: for a generator's own
    samples.
    """
    p, q = histogram(readings[:, None], edges), histogram(redrawn, edges)

    def variation(a: Array, b: Array) -> Array:
        return np.abs(a @ p / a.sum(1)[:, None] - b @ q / b.sum(1)[:, None]).sum(1) / 2

    return bootstrap(variation, len(p), len(q), replicates=replicates, centred=True)


def _floor(expected: npt.NDArray[np.float64], count: int, draws: int = 200) -> float:
    found = np.random.default_rng(0).multinomial(count, expected / expected.sum(), size=draws) / count
    return float(np.abs(found - expected).sum(1).mean() / 2)
