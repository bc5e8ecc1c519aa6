"""Runs the calibration of a hidden attribute; see `ganinv.metrics.calibration` for what it is.

The hole of attribute a in a portrait: the pixels that change by over 1/255 when a alone is swept and the
portrait is rendered again, and all within 2 pixels of them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from ganinv.evaluation.measure import Bench, look
from ganinv.evaluation.parts import Arrays, stacked
from ganinv.evaluation.pictures import as_tensors, completed, rounded
from ganinv.images import to_tensor
from ganinv.metrics.judge import Judge
from ganinv.portraits.attributes import TABLE, sample_attributes
from ganinv.portraits.renderer import render
from ganinv.sampling import sample_seed

_ENDS = (0.005, 0.995)  # quantile levels that the sweep always has
_LEAST = 1 / 255
_WIDER = 2


@dataclass(frozen=True, eq=False)
class Swept:
    """A portrait with one attribute to hide.

    picture: uint8 (R, R, 3). hole: bool (R, R). redrawn: uint8 (L, R, R, 3), the same portrait with the
    attribute drawn afresh: one draw from each of L equal parts of its distribution, in random order. values:
    [L], what was drawn.
    """

    picture: np.ndarray
    hole: np.ndarray
    redrawn: np.ndarray
    values: np.ndarray


def sweep(attribute: str, series: int, index: int, size: int, count: int, seed: int) -> Swept:
    """Portrait `index` of a series with the hole of `attribute`, and `count` redraws."""
    rng = np.random.default_rng(sample_seed(seed, index))
    levels = np.concatenate([rng.permutation((np.arange(count) + rng.uniform(size=count)) / count), _ENDS])
    values = TABLE[attribute].from_gaussian(torch.special.ndtri(torch.from_numpy(levels))).float()
    own = sample_attributes(1, series, index)
    portraits = {name: value.repeat(len(values) + 1) for name, value in own.items()}
    portraits[attribute] = torch.cat([own[attribute], values])
    drawn = render(portraits, size)  # [1 + count + 2, 3, R, R]: itself, the redraws, the ends
    changes = (drawn.amax(0) - drawn.amin(0)).amax(0) > _LEAST
    side = 2 * _WIDER + 1
    hole = F.max_pool2d(changes[None, None].float(), side, stride=1, padding=_WIDER)[0, 0] > 0
    pixels = rounded(drawn)
    return Swept(pixels[0], hole.numpy(), pixels[1 : 1 + count], values[:count].numpy())


def measure_hidden(bench: Bench, judge: Judge, attribute: str, index: int) -> Arrays:
    """Readings of the attribute in portrait `index`: samples [K], redrawn [K], the redraws' values [K], and
    the share of the hole. A portrait that shows nothing of it gives NaN.
    """
    settings, series = bench.settings, bench.settings.series
    assert series is not None
    count, column = settings.calibration_samples, judge.column(attribute)
    swept = sweep(attribute, series, index, bench.backbone.resolution, count, settings.seed)
    if not swept.hole.any():
        empty = np.full(count, np.nan)
        return {"samples": empty, "redrawn": empty, "values": swept.values, "share": np.float64(0)}
    pasted = filled(bench, swept, count, index)
    return {
        "samples": look(judge, to_tensor(pasted))[0][:, column].numpy(),
        "redrawn": look(judge, to_tensor(swept.redrawn))[0][:, column].numpy(),
        "values": swept.values,
        "share": swept.hole.mean(),
    }


def filled(bench: Bench, swept: Swept, count: int, index: int) -> np.ndarray:
    """Completions uint8 (count, R, R, 3) of a swept portrait, known pixels pasted."""
    settings = bench.settings
    truth, hole = as_tensors(swept.picture, swept.hole)
    seed = sample_seed(settings.seed, index)
    done = bench.completer.complete(truth, hole, samples=count, seed=seed, truncation=settings.truncation)
    return completed(settings, done, swept.picture, swept.hole)


def measure_all_hidden(bench: Bench, judge: Judge, attribute: str, indices: range) -> Arrays:
    """`measure_hidden` of several portraits: arrays [n, ...]."""
    return stacked([measure_hidden(bench, judge, attribute, index) for index in indices])
