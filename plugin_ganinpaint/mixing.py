"""Stage 1, second half: the gated mixing of the encoded code with a random one, layer by layer."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu

from ganinv.parts import LayerwiseLinear

from .config import NetworkConfig


class GatedMixing(nn.Module):
    """w_out = sigmoid(g) * w_comb + (1 - sigmoid(g)) * w_rand, layer by layer.

    (w_comb, g) = NN_l([w_enc, w_rand]) with weights of its own for each layer l.

    Codes are centred on w_avg and divided by w_std before the network sees them, and a pair is normalised
    together, so that the truncation of w_rand still shows. w_comb = w_enc + delta: the network starts at the
    encoder's answer.
    """

    w_avg: Tensor

    def __init__(self, config: NetworkConfig, w_avg: Tensor) -> None:
        """`w_avg` (w_dim): the backbone's mean code."""
        super().__init__()
        self.w_std, self.gate = config.w_std, config.mixing.gate
        self.register_buffer("w_avg", w_avg.detach().clone().float())
        layers, w_dim, width, lr_mul = config.num_ws, config.w_dim, config.mixing.width, config.mixing.lr_mul
        sizes = [2 * w_dim] + [width] * config.mixing.depth
        self.trunk = nn.ModuleList(LayerwiseLinear(layers, a, b, lr_mul=lr_mul) for a, b in pairwise(sizes))
        self.delta = LayerwiseLinear(layers, width, w_dim, lr_mul=lr_mul, scale=0.1)
        # Bias 0 and small weights: sigmoid(g) starts near 0.5, both codes are heard from the first step on.
        self.logit = LayerwiseLinear(layers, width, w_dim, lr_mul=lr_mul, scale=0.1) if self.gate else None

    def forward(self, w_enc: Tensor, w_rand: Tensor) -> Tensor:
        """(N, num_ws, w_dim) twice -> w_out (N, num_ws, w_dim)."""
        w_comb, logits = self.mix(w_enc, w_rand)
        return w_comb if logits is None else torch.lerp(w_rand, w_comb, torch.sigmoid(logits))

    def mix(self, w_enc: Tensor, w_rand: Tensor) -> tuple[Tensor, Tensor | None]:
        """The combined code and the gate's logits, each (N, num_ws, w_dim); no logits without a gate."""
        pair = torch.cat([w_enc - self.w_avg, w_rand - self.w_avg], dim=2) / self.w_std  # (N, L, 2 w_dim)
        pair = pair * torch.rsqrt(pair.square().mean(dim=2, keepdim=True) + 1e-4)
        x = pair.transpose(0, 1)  # (L, N, 2 w_dim)
        for layer in self.trunk:
            x = leaky_relu(layer(x), 0.2) * 2**0.5  # keeps the variance
        w_comb = w_enc + self.w_std * self.delta(x).transpose(0, 1)
        return w_comb, None if self.logit is None else self.logit(x).transpose(0, 1)
