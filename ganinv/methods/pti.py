"""`pti`: pivotal tuning (Roich et al. 2021, arXiv 2106.05744): the generator is moved to draw the picture.

A code, the pivot, comes from any other method and stays as it is. The weights of the synthesis network are
trained on the visible pixels of this one picture, while pictures of codes around the pivot are held where
they were (locality regularisation, section 3.2), so that directions still mean what they meant. The erased
pixels are held to what the pivot showed there before, with less force. The change of the weights is kept
inside the Inversion; the backbone is untouched.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ganinv.backbones.base import Backbone
from ganinv.backbones.tuning import copy_apart, difference_of, with_difference
from ganinv.configs import build_config, check_numbers, takes
from ganinv.images import from_levels
from ganinv.inversion import Inversion, check_backbone
from ganinv.method import InversionMethod
from ganinv.methods.latents import latent_statistics, random_codes
from ganinv.methods.losses import VisibleLoss, perceptual_features
from ganinv.methods.optimize import (
    Optimize,
    OptimizeConfig,
    learning_rate_factor,
    other_method,
    refined_record,
    set_rate,
)
from ganinv.rendering import injection

_SEED = 2  # of the codes around the pivot: one for all, so that equal pivots give equal pictures


@dataclass(frozen=True)
class PtiConfig:
    """How the generator is tuned to one picture."""

    steps: int = 150
    lr: float = 3e-3
    """Of Adam, on the stored weights."""
    l2_weight: float = 1.0
    perceptual_weight: float = 0.1
    perceptual: str = "auto"
    """auto, judge, pixels, or a TorchScript file: see ganinv.methods.losses."""
    hold: float = 0.1
    """Weight of the distance between the erased pixels and what the pivot showed there."""
    locality: float = 0.1
    """Weight of the distance between pictures of codes around the pivot and what they were."""
    locality_every: int = 2
    """Steps from one such code to the next."""
    locality_distance: float = 1.0
    """Distance of these codes from the pivot; 1 is the usual distance of a code from the mean code."""

    def __post_init__(self) -> None:
        weights = ("l2_weight", "perceptual_weight", "hold", "locality", "locality_distance", "lr")
        check_numbers(self, counts=("steps", "locality_every"), weights=weights)


class PivotalTuning(InversionMethod):
    """Another method, followed by the tuning of the generator, for each sample apart."""

    name = "pti"
    version = "1"

    def __init__(self, embedder: InversionMethod, config: PtiConfig | None = None) -> None:
        """Tune to what `embedder` finds, on its backbone."""
        self.embedder, self.backbone = embedder, embedder.backbone
        self.diverse, self.content = embedder.diverse, embedder.content
        self.config = config = config or PtiConfig()
        features, self.perceptual = perceptual_features(config.perceptual, self.backbone)
        self.loss = VisibleLoss(
            features, l2_weight=config.l2_weight, perceptual_weight=config.perceptual_weight
        )

    def invert(
        self,
        images: Tensor,
        holes: Tensor | None = None,
        *,
        samples: int = 1,
        seed: int = 0,
        truncation: float = 1.0,
    ) -> Inversion:
        """See `InversionMethod.invert`; the codes are the embedder's."""
        self.check_inputs(images, holes, samples)
        self.embedder.progress = self.progress
        pivots = self.embedder.invert(images, holes, samples=samples, seed=seed, truncation=truncation)
        return self.refine(pivots)

    def refine(self, pivots: Inversion) -> Inversion:
        """An inversion of this backbone with the generator tuned to each of its samples.

        Random noise becomes constant noise, which is what can be tuned to.

        Raises:
            BackboneMismatchError: an inversion made with another backbone.
        """
        check_backbone(self.backbone, pivots.backbone.get("sha256"), "the inversion to be refined")
        noise = "const" if pivots.noise == "random" else pivots.noise
        pivots = replace(pivots, noise=noise, unedited=None)  # tuned with its features as they are
        names = _synthesis_parameters(self.backbone)
        radius = latent_statistics(self.backbone).radius * self.config.locality_distance
        n, k = pivots.ws.shape[:2]
        found = []
        for index in range(n * k):
            tell = self.reporter(index * self.config.steps, n * k * self.config.steps)
            found.append(self._tune(pivots, index // k, index % k, names, radius, tell))
        tuned = {}
        for name in found[0] if found else ():
            tuned[name] = torch.stack([one[name] for one in found]).unflatten(0, (n, k))
        return replace(
            pivots,
            tuned=tuned,
            features_in_holes=True,  # the weights were tuned to the picture that is drawn with them
            **refined_record(self, pivots, {**asdict(self.config), "perceptual": self.perceptual}),
        )

    def _tune(
        self,
        pivots: Inversion,
        picture: int,
        sample: int,
        names: list[str],
        radius: float,
        tell: Callable[[int], None],
    ) -> dict[str, Tensor]:
        """The change of weights, by name, of one sample of one picture."""
        config, device = self.config, self.backbone.w_avg.device
        target = from_levels(pivots.working[picture][None].to(device))
        visible = 1 - pivots.hole[picture : picture + 1].float().to(device)
        ws = pivots.ws[picture, sample][None].to(device)
        inject = injection({r: f[picture, sample][None].to(device) for r, f in pivots.features.items()})
        own = dict(self.backbone.named_parameters())
        change = {name: torch.zeros_like(own[name], dtype=torch.float16) for name in names}
        change |= {name: tensor[picture, sample] for name, tensor in pivots.tuned.items()}
        network = with_difference(self.backbone, change)
        moved = [
            parameter.requires_grad_() for name, parameter in network.named_parameters() if name in names
        ]
        optimizer = torch.optim.Adam(moved, lr=config.lr)
        with torch.no_grad():
            before = network.synthesize(ws, noise=pivots.noise, inject=inject).images
        generator = torch.Generator().manual_seed(_SEED)
        for step in range(config.steps):
            set_rate(optimizer, config.lr * learning_rate_factor(step / config.steps))
            drawn = network.synthesize(ws, noise=pivots.noise, inject=inject).images
            loss = self.loss(drawn, target, visible) + config.hold * self.loss(drawn, before, 1 - visible)
            if config.locality and step % config.locality_every == 0:
                loss = loss + config.locality * self._locality(network, ws, radius, generator)
            optimizer.zero_grad(set_to_none=True)
            loss.sum().backward()
            optimizer.step()
            tell(step + 1)
        return difference_of(network, self.backbone, change)

    def _locality(self, network: Backbone, ws: Tensor, radius: float, generator: torch.Generator) -> Tensor:
        """How far the picture of a code at `radius` from the pivot has moved (section 3.2 of the paper)."""
        z = torch.randn(1, self.backbone.z_dim, generator=generator)
        with torch.no_grad():
            apart = random_codes(self.backbone, z) - ws
            near = ws + radius * torch.nn.functional.normalize(apart, dim=2)
            old = self.backbone.synthesize(near).images
        return self.loss(network.synthesize(near).images, old, torch.ones_like(old[:, :1]))


def _synthesis_parameters(backbone: Backbone) -> list[str]:
    """Names of the weights that codes meet on their way to a picture: all but the mapping network's."""
    network = copy_apart(backbone, [name for name, _ in backbone.named_parameters()]).requires_grad_()
    names, weights = zip(*network.named_parameters(), strict=True)
    image = network.synthesize(backbone.w_avg.expand(1, backbone.num_ws, -1)).images
    reached = torch.autograd.grad(image.sum(), weights, allow_unused=True)
    return [name for name, gradient in zip(names, reached, strict=True) if gradient is not None]


@takes(PtiConfig)
def build(
    backbone: Backbone, *, embedder: str | InversionMethod = "optimize", **options: Any
) -> PivotalTuning:
    """The method, registered as `pti`. Its other options are the fields of `PtiConfig`.

    Args:
        embedder: the method that finds the pivots: an object, or a registered name, which is built with its
            own defaults ("optimize" in W, as the paper has it).

    Raises:
        UsageError, ConfigError: options that cannot work, or an embedder of another backbone.
    """
    config = build_config(PtiConfig, options)
    if embedder == "optimize":
        shared = {"space": "w", "perceptual": config.perceptual}
        return PivotalTuning(Optimize(backbone, build_config(OptimizeConfig, shared)), config)
    return PivotalTuning(other_method(backbone, embedder, PivotalTuning.name), config)
