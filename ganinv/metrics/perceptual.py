"""Perceptual distance over part of a picture: between feature maps of a network, place by place."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

Features = Callable[[Tensor], Sequence[Tensor]]
"""Pictures [M, 3, R, R] in [-1, 1] -> maps [M, C, h, w] or vectors [M, D], one of each layer looked at."""


def weighted_mean(values: Tensor, weight: Tensor) -> Tensor:
    """Mean [M] of `values` [M, C, H, W] with `weight` [1 or M, 1, H, W]; 0 where nothing weighs."""
    total = (values * weight).flatten(1).sum(1)
    return total / (weight.flatten(1).sum(1) * values.shape[1]).clamp(min=1e-6)


def feature_distance(a: Sequence[Tensor], b: Sequence[Tensor], weight: Tensor) -> Tensor:
    """Squared difference [M] of features, summed over layers.

    Maps [M, C, h, w] are brought to unit length at each place, as LPIPS does (Zhang et al. 2018, with all
    channels alike), and averaged with the `weight` [1 or M, 1, R, R] of the pixels that a place covers;
    vectors [M, D] are compared as they are.
    """
    total = a[0].new_zeros(len(a[0]))
    for x, y in zip(a, b, strict=True):
        if x.ndim == 4:
            share = F.adaptive_avg_pool2d(weight, (x.shape[2], x.shape[3]))
            apart = (F.normalize(x, dim=1) - F.normalize(y, dim=1)).square().sum(1, keepdim=True)
            total = total + weighted_mean(apart, share)
        else:
            total = total + (x - y).flatten(1).square().sum(1)
    return total


def pairwise_distance(features: Sequence[Tensor], weight: Tensor) -> Tensor:
    """Mean of `feature_distance` over all pairs of the pictures whose `features` these are: a number, NaN for
    one picture.
    """
    first, second = torch.triu_indices(len(features[0]), len(features[0]), 1)
    if not len(first):
        return torch.tensor(torch.nan)
    return feature_distance([x[first] for x in features], [x[second] for x in features], weight).mean()
