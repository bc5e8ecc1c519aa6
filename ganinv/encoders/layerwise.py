"""Many small equalised linear layers computed as one: one for each style layer of a W+ code."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class LayerwiseLinear(nn.Module):
    """One equalised linear layer for each of `layers` style layers, computed as one batched matrix product.

    Stored weights start as N(0, 1) / lr_mul and are multiplied by lr_mul / sqrt(in_features) in use.
    An `lr_mul` above 1 makes Adam move the layer faster, which short trainings need: at 1 a weight of size 1
    moves by the learning rate a step.
    """

    def __init__(
        self,
        layers: int,
        in_features: int,
        out_features: int,
        *,
        bias: float = 0.0,
        lr_mul: float = 1.0,
        scale: float = 1.0,
    ) -> None:
        """`scale` shrinks the starting weights, for heads that should begin near zero."""
        super().__init__()
        self.weight = nn.Parameter(torch.randn(layers, in_features, out_features).mul_(scale / lr_mul))
        self.bias = nn.Parameter(torch.full((layers, 1, out_features), bias / lr_mul))
        self.factor = lr_mul / math.sqrt(in_features)
        self.lr_mul = lr_mul

    def forward(self, x: Tensor) -> Tensor:
        """(layers, N, in_features) -> (layers, N, out_features); the layer comes first, as bmm wants it."""
        return torch.baddbmm(self.bias * self.lr_mul, x, self.weight * self.factor)
