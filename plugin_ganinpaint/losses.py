"""The losses of both stages, on pictures (N, 3, H, W) in about [-1, 1] and maps (N, 1, H, W) in {0, 1}.

`where` is the map of pixels that must agree: all ones in the full pass, the visible pixels in the partial
pass.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, softplus

from ganinv.parts import ConfigError, Discriminator

ADVERSARIAL_KINDS = ("non-saturating", "hinge")
LEAST_HOLE = 0.05
"""Share of a picture below which a hole's pixels gain no more weight: ten times that of others is enough."""


def blend(output: Tensor, target: Tensor, where: Tensor) -> Tensor:
    """where * output + (1 - where) * target."""
    return torch.lerp(target, output, where)


def visible_l2(output: Tensor, target: Tensor, where: Tensor) -> Tensor:
    """Squared error over the pixels of `where`, divided by their number: it does not shrink with the hole.

    Taken picture by picture and then averaged: a picture with few known pixels counts as much as any other,
    and one with none adds 0. `where` may also weigh pixels (`hole_weights`). Returns a scalar.
    """
    error = ((output - target).float().square() * where).sum(dim=(1, 2, 3))  # (N,)
    count = where.sum(dim=(1, 2, 3)) * output.shape[1]
    return (error / count.clamp_min(1)).mean()


def hole_weights(where: Tensor, visible: Tensor, balance: float) -> Tensor:
    """Weights of pixels (N, 1, H, W), 1 on average over a picture: how much each counts in the losses.

    In pictures that must agree everywhere (`where` all ones), a `balance` of 1 lets the hole count as much in
    all as what is visible, 0 each pixel alike. A hole that covers next to nothing counts as one of
    `LEAST_HOLE` does for each of its pixels; pictures without a hole, or that are all hole, as with 0.
    """
    seen = visible.mean(dim=(1, 2, 3), keepdim=True).clamp(LEAST_HOLE, 1 - LEAST_HOLE)
    even = torch.lerp(0.5 / (1 - seen), 0.5 / seen, visible)
    even = even / even.mean(dim=(1, 2, 3), keepdim=True)
    whole = where.amin(dim=(1, 2, 3), keepdim=True) == 1
    return torch.where(whole, 1 + balance * (even - 1), torch.ones_like(where))


def code_distance(codes: Tensor, true: Tensor, counts: Tensor, spread: Tensor) -> Tensor:
    """Mean squared distance of codes (N, num_ws, w_dim) to the true ones, in units of `spread`; a scalar.

    Rows that do not count (`counts` (N,) false) add 0, so the means over parts of a batch average to its own.
    """
    return ((codes - true).square().mean(dim=(1, 2)) * counts).mean() / spread


class FeatureDistance(nn.Module):
    """Perceptual distance from the feature maps of a frozen copy of the discriminator.

    Each map is normalised over channels at every position; the distance is the squared difference summed
    over channels, averaged over positions and then over depths. `name` goes into the checkpoint, so that a
    reader of figures knows which network judged during training.
    """

    name = "frozen-discriminator-features"

    def __init__(self, discriminator: Discriminator) -> None:
        super().__init__()
        self.network = copy.deepcopy(discriminator).eval().requires_grad_(False)

    def train(self, mode: bool = True) -> FeatureDistance:
        """Stays in evaluation mode: the features must not move."""
        return super().train(False)

    def features(self, images: Tensor) -> list[Tensor]:
        """Normalised feature maps of pictures (N, 3, H, W), finest first, each (N, C_k, h_k, w_k) float32."""
        return [unit_channels(f) for f in self.network.features(images)]

    def pooled(self, images: Tensor) -> Tensor:
        """One vector for each picture, (N, D) float32: the means of its normalised maps over positions,
        scaled so that a channel has about a mean square of 1 whatever their number.
        """
        maps = self.features(images)
        return torch.cat([f.mean(dim=(2, 3)) * f.shape[1] ** 0.5 for f in maps], dim=1)

    def forward(
        self, output: Tensor, target_features: Sequence[Tensor], weights: Tensor | None = None
    ) -> Tensor:
        """Mean distance of pictures (N, 3, H, W) to those that `target_features` were read from; a scalar.

        `weights` (N, 1, H, W): how much each pixel counts, 1 on average; averaged to the maps' sizes.
        """
        found = []
        for a, b in zip(self.features(output), target_features, strict=True):
            apart = (a - b).square().sum(dim=1, keepdim=True)
            if weights is not None:
                apart = apart * adaptive_avg_pool2d(weights, (apart.shape[2], apart.shape[3]))
            found.append(apart.mean())
        return torch.stack(found).mean()


def unit_channels(features: Tensor) -> Tensor:
    """Features (N, C, h, w) divided by their length over C, float32."""
    features = features.float()
    return features * torch.rsqrt(features.square().sum(dim=1, keepdim=True) + 1e-8)


def generator_loss(fake_logits: Tensor, kind: str = "non-saturating") -> Tensor:
    """What the trained networks pay for being told apart: a scalar from logits (N, 1).

    Raises:
        ConfigError: `kind` is not one of `ADVERSARIAL_KINDS`.
    """
    check_kind(kind)
    if kind == "hinge":
        return -fake_logits.float().mean()
    return softplus(-fake_logits.float()).mean()


def discriminator_loss(real_logits: Tensor, fake_logits: Tensor, kind: str = "non-saturating") -> Tensor:
    """What the discriminator pays for mistakes: a scalar from logits (N, 1) and (M, 1).

    Raises:
        ConfigError: `kind` is not one of `ADVERSARIAL_KINDS`.
    """
    check_kind(kind)
    real, fake = real_logits.float(), fake_logits.float()
    if kind == "hinge":
        return torch.relu(1 - real).mean() + torch.relu(1 + fake).mean()
    return softplus(-real).mean() + softplus(fake).mean()


def check_kind(kind: str) -> None:
    """Raise ConfigError where `kind` is not an adversarial loss."""
    if kind not in ADVERSARIAL_KINDS:
        raise ConfigError(f"adversarial loss {kind!r} is not known; possible: {', '.join(ADVERSARIAL_KINDS)}")


def r1_penalty(discriminator: Callable[[Tensor], Tensor], reals: Tensor) -> Tensor:
    """Half the mean squared gradient of the logits at real pictures, or codes, (N, ...) (Mescheder et al.
    2018); a scalar.
    """
    reals = reals.detach().requires_grad_(True)
    logits = discriminator(reals)
    (gradient,) = torch.autograd.grad(logits.float().sum(), reals, create_graph=True)
    return 0.5 * gradient.square().flatten(1).sum(dim=1).mean()


def default_r1_gamma(resolution: int, batch: int) -> float:
    """0.0002 * resolution^2 / batch, the rule of StyleGAN2-ADA."""
    return 0.0002 * resolution**2 / batch


def mode_seeking(
    first: Tensor, second: Tensor, codes_first: Tensor, codes_second: Tensor, hole: Tensor
) -> Tensor:
    """Small when two completions differ as much as the codes they were drawn from (Mao et al. 2019).

    Args:
        first, second: completions (N, 3, H, W) of the same erased pictures.
        codes_first, codes_second: the random codes (N, num_ws, w_dim) fed to get them.
        hole: (N, 1, H, W), 1 = erased; elsewhere they should not differ.

    Returns:
        Mean |difference of codes| over mean |difference of pictures in the hole|, a scalar.
    """
    inside = pairwise_difference(first, second, hole)
    apart = (codes_first - codes_second).abs().mean(dim=(1, 2))
    return (
        apart / (inside + 0.02)
    ).mean()  # 0.02: one hundredth of the range, so that equal pictures stay finite


def pairwise_difference(first: Tensor, second: Tensor, hole: Tensor) -> Tensor:
    """Mean absolute difference inside the hole for each picture, (N,); 0 where there is no hole."""
    total = ((first - second).float().abs() * hole).sum(dim=(1, 2, 3))
    return total / (hole.sum(dim=(1, 2, 3)) * first.shape[1]).clamp_min(1)
