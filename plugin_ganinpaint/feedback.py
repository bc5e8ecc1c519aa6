"""A second look: an encoder that sees what the codes of stage 1 draw, and moves them."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ganinv.parts import PyramidEncoder, middle, shrink, shrink_erased

from .config import NetworkConfig
from .encoder import last_linears


class FeedbackEncoder(nn.Module):
    """w_out + w_std * F([erased, visible, (y1 - erased) * visible]), y1 the picture of w_out.

    The idea is ReStyle's (Alaluf et al., ICCV 2021), which reads residues of codes from the picture drawn so
    far; ours is told where it may be compared. A fresh one moves nothing.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        self.body = PyramidEncoder(config.pyramid(in_channels=7))
        with torch.no_grad():
            for _, linear in last_linears(self.body):
                linear.weight.zero_()
                linear.bias.zero_()

    def forward(self, erased: Tensor, visible: Tensor, y1: Tensor, w_out: Tensor) -> Tensor:
        """Move codes so that they draw more of what is known.

        Args:
            erased: (N, 3, R, R) in [-1, 1] at the backbone's resolution; not read where `visible` is 0.
            visible: (N, 1, R, R), 1 = known.
            y1: (N, 3, R, R), what `w_out` draws; not read where `visible` is 0.
            w_out: (N, num_ws, w_dim).

        Returns:
            codes as `w_out`.
        """
        size = self.config.encoder.input_size
        small, known = shrink_erased(erased, visible, size)
        missed = (shrink(y1, size) - small) * known
        rows, columns = middle(size, self.config.encoder_content)
        moves = self.body(torch.cat([small, known, missed], dim=1)[:, :, rows, columns])
        return w_out + self.config.w_std * moves.float()
