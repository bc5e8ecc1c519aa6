"""Stage 1, first half: the encoder that reads a style code from the visible part of a picture."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ganinv.parts import PyramidEncoder

from .config import NetworkConfig
from .pooling import shrink_erased


class ErasedEncoder(nn.Module):
    """w_enc = w_avg + w_std * E([erased, visible])."""

    w_avg: Tensor

    def __init__(self, config: NetworkConfig, w_avg: Tensor) -> None:
        """`w_avg` (w_dim): the backbone's mean code."""
        super().__init__()
        self.config = config
        self.body = PyramidEncoder(config.pyramid())
        self.register_buffer("w_avg", w_avg.detach().clone().float())

    def forward(self, erased: Tensor, visible: Tensor) -> Tensor:
        """Read the code of a partly known picture.

        Args:
            erased: (N, 3, R, R) in [-1, 1] at the backbone's resolution; not read where `visible` is 0.
            visible: (N, 1, R, R), 1 = known.

        Returns:
            w_enc (N, num_ws, w_dim).
        """
        small, known = shrink_erased(erased, visible, self.config.encoder.input_size)
        return self.w_avg + self.config.w_std * self.body(torch.cat([small, known], dim=1))
