"""Stage 1, second half: the gated mixing of the encoded code with a random one, layer by layer."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, leaky_relu

from ganinv.parts import LayerwiseLinear

from .config import NetworkConfig


class GatedMixing(nn.Module):
    """y_out = sigmoid(g) * y_comb + (1 - sigmoid(g)) * y_rand, layer by layer.

    (y_comb, g) = NN_l([y_enc, y_rand, visible]) with weights of its own for each layer l.

    y = (w - w_avg) @ basis are the codes' coordinates. With the basis it starts with, one for each entry of w
    in units of w_std, this is the paper's gate. One whose coordinates each stand for something lets the gate
    take an expression from one code and the skin from the other; see `training/codes.py`. What is visible is
    told too, at a few pixels a side (our choice: what to take from w_rand depends on what is hidden).

    A pair is normalised together, so that the truncation of w_rand still shows. y_comb = y_enc + delta: the
    network starts at the encoder's answer.
    """

    w_avg: Tensor
    basis: Tensor

    def __init__(self, config: NetworkConfig, w_avg: Tensor) -> None:
        """`w_avg` (w_dim): the backbone's mean code."""
        super().__init__()
        self.gate, self.visible_side = config.mixing.gate, config.mixing.visible_side
        self.register_buffer("w_avg", w_avg.detach().clone().float())
        self.register_buffer("basis", torch.eye(config.w_dim) / config.w_std)
        layers, w_dim, width, lr_mul = config.num_ws, config.w_dim, config.mixing.width, config.mixing.lr_mul
        sizes = [2 * w_dim + self.visible_side**2] + [width] * config.mixing.depth
        self.trunk = nn.ModuleList(LayerwiseLinear(layers, a, b, lr_mul=lr_mul) for a, b in pairwise(sizes))
        self.delta = LayerwiseLinear(layers, width, w_dim, lr_mul=lr_mul, scale=0.1)
        # Bias 0 and small weights: sigmoid(g) starts near 0.5, both codes are heard from the first step on.
        self.logit = LayerwiseLinear(layers, width, w_dim, lr_mul=lr_mul, scale=0.1) if self.gate else None

    def forward(self, w_enc: Tensor, w_rand: Tensor, visible: Tensor) -> Tensor:
        """Mix two codes.

        Args:
            w_enc, w_rand: (N, num_ws, w_dim).
            visible: (N, 1, R, R), 1 = known.

        Returns:
            w_out (N, num_ws, w_dim).
        """
        y_comb, logits = self.mix(w_enc, w_rand, visible)
        y = y_comb if logits is None else torch.lerp(self._coordinates(w_rand), y_comb, torch.sigmoid(logits))
        return self.w_avg + torch.linalg.solve(self.basis, y, left=False)

    def mix(self, w_enc: Tensor, w_rand: Tensor, visible: Tensor) -> tuple[Tensor, Tensor | None]:
        """Coordinates of the combined code and the gate's logits, each (N, num_ws, w_dim); no logits without
        a gate.
        """
        y_enc = self._coordinates(w_enc)
        pair = torch.cat([y_enc, self._coordinates(w_rand)], dim=2)  # (N, L, 2 w_dim)
        pair = pair * torch.rsqrt(pair.square().mean(dim=2, keepdim=True) + 1e-4)
        if self.visible_side:
            seen = adaptive_avg_pool2d(visible.float(), self.visible_side).flatten(1) * 2 - 1
            pair = torch.cat([pair, seen[:, None].expand(-1, pair.shape[1], -1)], dim=2)
        x = pair.transpose(0, 1)  # (L, N, 2 w_dim + visible_side^2)
        for layer in self.trunk:
            x = leaky_relu(layer(x), 0.2) * 2**0.5  # keeps the variance
        y_comb = y_enc + self.delta(x).transpose(0, 1)
        return y_comb, None if self.logit is None else self.logit(x).transpose(0, 1)

    def _coordinates(self, codes: Tensor) -> Tensor:
        return (codes - self.w_avg) @ self.basis
