"""Bootstrap intervals (Efron 1979). The unit drawn again is a picture, with all that belongs to it.

A figure with an interval is a statistic of weights: how often each picture counts. Its interval holds the
middle `LEVEL` of its values over resamples. A figure of two sets of pictures draws both again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Statistic = Callable[..., Array]
"""Weights [B, N], a row for each resample, one such argument for each set of pictures, -> figures [B]."""

LEVEL = 0.95
REPLICATES = 1000
_CELLS = 4_000_000  # weights held at once


@dataclass(frozen=True)
class Estimate:
    """A figure, the ends of its interval, and the number of pictures it is from."""

    value: float
    low: float
    high: float
    count: int

    def to_json(self) -> dict[str, float | int | None]:
        """Plain data; what is not finite becomes None, which JSON has a word for."""
        numbers = {"value": self.value, "low": self.low, "high": self.high}
        return {**{k: v if math.isfinite(v) else None for k, v in numbers.items()}, "count": self.count}


def bootstrap(
    statistic: Statistic,
    *counts: int,
    replicates: int = REPLICATES,
    seed: int = 0,
    centred: bool = False,
) -> Estimate:
    """The statistic of all pictures, once each, with its percentile interval.

    Args:
        counts: of the pictures of each set.
        centred: for distances, which resampling makes larger (a sample drawn again is farther from any
            distribution than the sample was): the interval keeps its width and is moved so that its mean is
            the figure.
    """
    if not all(counts):
        return Estimate(math.nan, math.nan, math.nan, 0)
    value = float(statistic(*(np.ones((1, count)) for count in counts))[0])
    if min(counts) < 2:  # drawn again it is always the same: no interval, not one of no width
        return Estimate(value, math.nan, math.nan, counts[0])
    rows = max(1, _CELLS // max(counts))
    sets = (_resamples(count, replicates, rows, seed + i) for i, count in enumerate(counts))
    found = np.concatenate([statistic(*weights) for weights in zip(*sets, strict=True)])
    found = found[np.isfinite(found)]
    if not found.size:
        return Estimate(value, math.nan, math.nan, counts[0])
    if centred:
        found = found - found.mean() + value
    low, high = np.quantile(found, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Estimate(value, float(low), float(high), counts[0])


def mean_interval(values: Array, *, replicates: int = REPLICATES, seed: int = 0) -> Estimate:
    """Mean of `values` [N], one a picture; those that are NaN (not measured there) are left out."""
    kept = values[np.isfinite(values)]
    return bootstrap(lambda w: w @ kept / w.sum(1), len(kept), replicates=replicates, seed=seed)


def ratio_interval(over: Array, under: Array, *, replicates: int = REPLICATES, seed: int = 0) -> Estimate:
    """Sum of `over` [N] by sum of `under` [N]: a ratio of means, not a mean of ratios."""

    def ratio(weights: Array) -> Array:
        below = weights @ under
        return np.divide(weights @ over, below, out=np.full(len(weights), math.nan), where=below > 0)

    return bootstrap(ratio, len(over), replicates=replicates, seed=seed)


def _resamples(count: int, replicates: int, rows: int, seed: int) -> Iterator[Array]:
    """Weights [b, N], b <= rows: how often each of N pictures was drawn, of N draws."""
    rng = np.random.default_rng(seed)
    for start in range(0, replicates, rows):
        size = min(rows, replicates - start)
        yield rng.multinomial(count, np.full(count, 1 / count), size=size).astype(np.float64)
