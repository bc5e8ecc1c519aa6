"""A second, plainer discriminator: it tells soft pictures from sharp ones where StyleGAN2's, of widths that
two cores can train, does not (docs/history.md has the figures). Used by train_portraits.py; not exported.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from paired_portraits import feature_distance
from torch import Tensor, nn


class Critic(nn.Module):
    """Convolutions, group norms and mean pooling, whose gradients have no grid of a stride in them."""

    def __init__(
        self, side: int, widths: tuple[int, ...] = (32, 64, 96, 128), *, narrow: bool = False
    ) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, widths[0], 3, 1, 1)
        self.convolutions = nn.ModuleList(
            nn.Conv2d(below, width, 3, 1, 1) for below, width in pairwise((*widths, widths[-1]))
        )
        self.norms = nn.ModuleList(nn.GroupNorm(8, layer.out_channels) for layer in self.convolutions)
        self.out = nn.Linear(widths[-1] * (side // 2 ** len(widths)) ** 2, 1)
        self.narrow = narrow
        """Whether its layers run in bfloat16."""

    def forward(self, images: Tensor) -> list[Tensor]:
        """Its layers' outputs, the logits [N, 1] last, of pictures [N, 3, side, side] in [-1, 1]."""
        with torch.autocast(images.device.type, torch.bfloat16, enabled=self.narrow):
            x, outputs = F.leaky_relu(self.first(images), 0.2), []
            for convolution, norm in zip(self.convolutions, self.norms, strict=True):
                x = F.leaky_relu(norm(convolution(F.avg_pool2d(x, 2))), 0.2)
                outputs.append(x)
            return [*outputs, self.out(x.flatten(1)).float()]


class Verdict(NamedTuple):
    """What the critic says of a batch: two losses of the generator, and what its own step needs."""

    adversarial: Tensor
    features: Tensor
    real: Tensor
    logits_real: Tensor


class CriticTrainer:
    """The critic and its steps: logistic loss, R1 in every fourth step."""

    R1_EVERY = 4

    def __init__(self, side: int, lr: float, r1_gamma: float, *, narrow: bool = False) -> None:
        self.critic, self.lr, self.r1_gamma = Critic(side, narrow=narrow), lr, r1_gamma
        self.optimiser = torch.optim.Adam(self.critic.parameters(), lr=lr, betas=(0.5, 0.99))
        self.steps = 0

    def judge(self, fake: Tensor, real: Tensor) -> Verdict:
        """Losses of pictures [N, 3, side, side] that are to look like these renders of their z."""
        real = real.detach().requires_grad_(self.steps % self.R1_EVERY == 0)
        seen = self.critic(real)
        self.critic.requires_grad_(False)
        *layers, logits = self.critic(fake)
        self.critic.requires_grad_(True)
        return Verdict(F.softplus(-logits).mean(), feature_distance(layers, seen[:-1]), real, seen[-1])

    def learn(self, verdict: Verdict, fake: Tensor) -> dict[str, float]:
        """One step of the critic on the batch it judged; what it reports."""
        logits = self.critic(fake.detach())[-1]
        loss = F.softplus(-verdict.logits_real).mean() + F.softplus(logits).mean()
        report = {
            "critic": loss.item(),
            "critic_real": verdict.logits_real.mean().item(),
            "critic_fake": logits.mean().item(),
        }
        if verdict.real.requires_grad:
            (slope,) = torch.autograd.grad(verdict.logits_real.sum(), verdict.real, create_graph=True)
            loss = loss + self.r1_gamma / 2 * self.R1_EVERY * slope.square().sum((1, 2, 3)).mean()
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self.optimiser.step()
        self.steps += 1
        return report

    def state(self) -> dict[str, object]:
        """What a run needs to go on."""
        return {
            "critic": self.critic.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "steps": self.steps,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from another run's `state`, at this one's rate: a restart may have changed it."""
        self.critic.load_state_dict(state["critic"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.optimiser.param_groups[0]["lr"] = self.lr
        self.steps = state["steps"]
