"""Figures from readings of attributes: whether they are true, agree, are plausible, and move as asked."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Array = npt.NDArray[np.float64]

READ_AS = {  # direction -> the attribute that shows whether it did what it says
    "age": "age",
    "smile": "smile",
    "yaw": "yaw",
    "glasses": "glasses",
    "beard": "beard",
    "gender": "gender",
    "hair-colour": "hair_light",
    "hair-length": "length",
    "skin-tone": "skin",
}
PLAUSIBLE = (0.01, 0.99)
"""quantiles of readings of true pictures between which a reading counts as plausible"""
_AT_THE_END = 0.5  # deviations


def r2_and_auc(readings: Tensor, truth: Tensor, names: Sequence[str]) -> dict[str, float]:
    """How well `readings` `[N, A]` follow `truth` `[N, A]`: R2, or the area under the ROC curve where the
    truth has two values.
    """
    scores = {}
    for i, name in enumerate(names):
        value, reading = truth[:, i].double(), readings[:, i].double()
        levels = value.unique()
        if len(levels) == 2:
            positive = value == levels[1]
            ranks = torch.empty_like(value)
            ranks[reading.argsort()] = torch.arange(1, len(value) + 1, dtype=value.dtype)
            n1, n0 = positive.sum(), (~positive).sum()
            scores[name] = ((ranks[positive].sum() - n1 * (n1 + 1) / 2) / (n1 * n0)).item()
        else:
            scores[name] = (
                1 - (reading - value).square().sum() / (value - value.mean()).square().sum()
            ).item()
    return scores


def plausible(readings: Array, truth: Array) -> Array:
    """Share [N, A] of the samples' readings [N, K, A] that lie where 98 % of those of true pictures
    [M, A] do; 0.98 for a perfect generator.
    """
    low, high = np.quantile(truth, PLAUSIBLE, axis=0)
    inside: Array = ((readings >= low) & (readings <= high)).mean(1)
    return inside


def agreement(readings: Array, truth: Array) -> Array:
    """Mean |reading of a sample - reading of its truth| [N, A], in deviations of the truth's; of samples'
    readings [N, K, A] and the truth's [N, A].
    """
    apart: Array = np.abs(readings - truth[:, None]).mean(1) / _deviation(truth)
    return apart


def correlation(readings: Array, truth: Array, weights: Array) -> Array:
    """Correlation [B] of one attribute's reading in the samples [N, K] with that in the truth [N], for each
    row of weights [B, N]; NaN where nothing varies.
    """
    total = weights.sum(1)
    mean_y = weights @ truth / total
    mean_x = weights @ readings.mean(1) / total
    cross = weights @ (readings.mean(1) * truth) / total - mean_x * mean_y
    spread_x = weights @ np.square(readings).mean(1) / total - mean_x**2
    spread_y = weights @ np.square(truth) / total - mean_y**2
    below = np.sqrt(np.clip(spread_x * spread_y, 0, None))
    return np.divide(cross, below, out=np.full(len(below), np.nan), where=below > 1e-12)


def edit_moves(before: Array, after: Array, truth: Array, column: int, sign: int) -> tuple[Array, Array]:
    """What an edit towards `sign` (-1 or 1) did to each picture.

    Pictures already within half a deviation of the asked end (the 1st or 99th percentile of true pictures)
    have nowhere to go, and are NaN in what is returned.

    Args:
        before, after: readings [N, A]. truth: those of true pictures [M, A]. column: the edited attribute's.

    Returns:
        asked_way [N]: 1 where the attribute moved that way. moves [N, A]: movements in the asked way, in
        deviations of the truth's readings.
    """
    deviation = _deviation(truth)
    end = np.quantile(truth[:, column], PLAUSIBLE[1] if sign > 0 else PLAUSIBLE[0])
    usable = sign * (end - before[:, column]) > _AT_THE_END * deviation[column]
    moves = sign * (after - before) / deviation
    asked_way = np.where(usable, (moves[:, column] > 0).astype(float), np.nan)
    return asked_way, np.where(usable[:, None], moves, np.nan)


def _deviation(truth: Array) -> Array:
    spread: Array = np.maximum(truth.std(0, ddof=1), 1e-9)
    return spread
