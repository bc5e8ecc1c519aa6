"""A latent discriminator, which tells a network's codes from those of the mapping network (e4e, Tov et al.
2021, section 3.2), and the delta regulariser of the same paper.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.nn.functional import leaky_relu

from ganinv.parts import Backbone, EqualLinear

from .. import losses

WIDTHS = (4, 512)
"""Of its hidden layers: so many times w_dim, at most so much."""
DEPTH = 4
R1_EVERY, R1_GAMMA = 16, 10.0
"""Steps between two R1 penalties, and their weight: e4e's."""
RATE_SHARE = 0.2
"""Of the discriminator's learning rate: e4e has 2e-5 beside 1e-4 for the encoder."""


class LatentDiscriminator(nn.Module):
    """Codes (M, w_dim), seen from the mean code in units of the codes' spread -> logits (M, 1)."""

    w_avg: Tensor

    def __init__(self, w_avg: Tensor, w_std: float) -> None:
        super().__init__()
        self.register_buffer("w_avg", w_avg.detach().clone().float())
        self.w_std, w_dim = w_std, len(w_avg)
        width = min(WIDTHS[0] * w_dim, WIDTHS[1])
        sizes = [w_dim] + [width] * (DEPTH - 1)
        self.hidden = nn.ModuleList(EqualLinear(a, b) for a, b in pairwise(sizes))
        self.last = EqualLinear(width, 1)

    def forward(self, codes: Tensor) -> Tensor:
        """See the class."""
        x = (codes - self.w_avg) / self.w_std
        for layer in self.hidden:
            x = leaky_relu(layer(x), 0.2) * 2**0.5  # keeps the variance
        logits: Tensor = self.last(x)
        return logits


class LatentCritic:
    """The latent discriminator with its optimiser: what codes pay, and its own step."""

    def __init__(self, fabric: Fabric, backbone: Backbone, w_std: float, kind: str) -> None:
        """Initial weights come from torch's global generator."""
        self.fabric, self.kind = fabric, kind
        self.network = LatentDiscriminator(backbone.w_avg, w_std).to(backbone.w_avg.device)
        optimiser = torch.optim.Adam(self.network.parameters(), lr=0.0, betas=(0.0, 0.99))
        self.wrapped, self.optimiser = fabric.setup(self.network, optimiser)

    def loss(self, codes: Tensor) -> Tensor:
        """What codes (N, num_ws, w_dim) pay for being told apart; a scalar."""
        self.network.requires_grad_(False)
        return losses.generator_loss(self.network(codes.flatten(0, 1)), self.kind)

    def set_rate(self, rate: float) -> None:
        """Follow the `rate` of the pictures' discriminator."""
        for group in self.optimiser.param_groups:
            group["lr"] = RATE_SHARE * rate

    def step(self, codes: Tensor, true: Tensor, number: int) -> dict[str, Tensor]:
        """Learn to tell codes from `true` ones, each (N, num_ws, w_dim); the terms, detached.

        `number`: of the step, for the lazy R1 penalty.
        """
        true = true.flatten(0, 1)
        self.network.requires_grad_(True)
        self.optimiser.zero_grad()
        terms = {
            "latent_discriminator": losses.discriminator_loss(
                self.wrapped(true), self.wrapped(codes.detach().flatten(0, 1)), self.kind
            )
        }
        loss = terms["latent_discriminator"]
        if number % R1_EVERY == 0:
            terms["latent_r1"] = losses.r1_penalty(self.wrapped, true)
            loss = loss + terms["latent_r1"] * (R1_GAMMA * R1_EVERY)
        self.fabric.backward(loss)
        self.optimiser.step()
        return {name: value.detach() for name, value in terms.items()}

    def state_dict(self) -> dict[str, object]:
        """Weights and optimiser."""
        return {"network": self.network.state_dict(), "optimiser": self.optimiser.state_dict()}

    def load_state_dict(self, state: dict[str, object]) -> None:
        """Inverse of `state_dict`."""
        self.network.load_state_dict(state["network"])  # type: ignore[arg-type]
        self.optimiser.load_state_dict(state["optimiser"])


def delta_length(codes: Tensor, spread: float) -> Tensor:
    """Mean length of the differences of codes (N, num_ws, w_dim) to the first one, over the length that a
    code of that `spread` has; a scalar. 0 for codes of the mapping network.
    """
    offsets = codes[:, 1:] - codes[:, :1]
    if not offsets.shape[1]:
        return codes.new_zeros(())
    return (offsets.square().mean(dim=2) + 1e-12).sqrt().mean() / spread
