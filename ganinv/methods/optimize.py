"""`optimize`: codes found by gradient descent, from random ones or from another method's, on any backbone.

Each sample starts at a random code of its own and is pulled back towards it while it learns to show the
visible pixels, as in "randomise, then optimise" (Bardsley et al. 2014): a training-free baseline of diverse
completion, whose samples differ where the pixels leave them free to. Started at the codes that an encoder
found, it brings them nearer to the picture in a few steps (Zhu et al. 2020, arXiv 2004.00049, section 3.2).
The code moves in the coordinates in which random codes have unit variance, with noise added in the first
part of the run and a learning rate that falls at its end (both as in Karras et al. 2020, appendix D).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor

from ganinv.backbones.base import Backbone, Noise
from ganinv.backbones.tuning import copy_apart, difference_of
from ganinv.configs import build_config, check_numbers, takes
from ganinv.errors import UsageError
from ganinv.images import from_levels, to_levels
from ganinv.inversion import Inversion, backbone_record, check_backbone, run_versions
from ganinv.method import InversionMethod, check_label
from ganinv.methods.latents import LatentStatistics, latent_statistics, random_codes
from ganinv.methods.losses import VisibleLoss, noise_penalty, perceptual_features
from ganinv.plugins import registry
from ganinv.sampling import sample_seeds

_NOISE_MAPS = "noise_const"
_Start = Callable[[slice, int, torch.Generator], Tensor]
"""Picture (a slice of one), sample, generator -> the code [1, num_ws, w_dim] to start at."""
REFINING = {"steps": 30, "lr": 0.05, "jitter": 0.0}
"""Defaults where another method has found the start, which needs a few small steps."""


@dataclass(frozen=True)
class OptimizeConfig:
    """What `optimize` does with one sample."""

    space: Literal["w", "w+"] = "w"
    """w: one code for all layers, which holds erased parts together and edits well; w+: one for each."""
    steps: int = 200
    lr: float = 0.1
    """Of Adam, in standard deviations of random codes a step."""
    candidates: int = 64
    """Random codes drawn for a start, of which the one nearest to the visible pixels is taken."""
    label: int | None = None
    """Class of the starts, for generators that have classes; None = each in turn."""
    prior: float = 0.01
    """Weight of the squared distance from the start, in standard deviations."""
    jitter: float = 0.1
    """Noise added to the code at first, in standard deviations; it has faded at three quarters of the run."""
    l2_weight: float = 1.0
    perceptual_weight: float = 0.1
    perceptual: str = "auto"
    """auto, judge, pixels, or a TorchScript file: see ganinv.methods.losses."""
    noise_maps: bool = False
    """Also optimise the generator's noise maps; they are then kept in the result as tuned weights."""
    noise_weight: float = 100.0
    """Weight of what keeps optimised noise maps noise."""

    def __post_init__(self) -> None:
        weights = ("lr", "prior", "jitter", "l2_weight", "perceptual_weight", "noise_weight")
        check_numbers(self, counts=("steps", "candidates"), weights=weights)
        if self.space not in ("w", "w+"):
            raise UsageError(f"space {self.space!r} is not known; give w or w+")


class Optimize(InversionMethod):
    """Gradient descent on codes. Samples are found one after the other, so that none depends on another."""

    name = "optimize"
    version = "1"

    def __init__(
        self,
        backbone: Backbone,
        config: OptimizeConfig | None = None,
        embedder: InversionMethod | None = None,
    ) -> None:
        """Start at what `embedder` finds, if one is given; else at random codes.

        Raises UsageError where the backbone lacks what the options ask for.
        """
        self.backbone, self.embedder = backbone, embedder
        self.diverse = embedder is None or embedder.diverse
        self.content = None if embedder is None else embedder.content
        self.config = config = config or OptimizeConfig()
        check_label(backbone, config.label)
        features, self.perceptual = perceptual_features(config.perceptual, backbone)
        self.loss = VisibleLoss(
            features, l2_weight=config.l2_weight, perceptual_weight=config.perceptual_weight
        )
        buffers = [name for name, _ in backbone.named_buffers() if name.endswith(_NOISE_MAPS)]
        if config.noise_maps and not buffers:
            raise UsageError(f"{backbone.family} generators have no noise maps: drop noise_maps=true")
        self.maps = sorted(buffers) if config.noise_maps else []
        self._statistics: LatentStatistics | None = None

    def invert(
        self,
        images: Tensor,
        holes: Tensor | None = None,
        *,
        samples: int = 1,
        seed: int = 0,
        truncation: float = 1.0,
    ) -> Inversion:
        """See `InversionMethod.invert`; `truncation` is that of the starts: 0 starts all at the mean code."""
        hole = self.check_inputs(images, holes, samples)
        if self.embedder is not None:
            self.embedder.progress = self.progress
            starts = self.embedder.invert(images, holes, samples=samples, seed=seed, truncation=truncation)
            return self.refine(starts)
        if not 0 <= truncation <= 1:
            raise UsageError(f"truncation {truncation} is not possible; give 0 (the mean) to 1 (all variety)")
        device = self.backbone.w_avg.device
        working, hole = to_levels(images.to(device)), hole.to(device)
        targets, visible = from_levels(working), 1 - hole.float()
        unknown = Inversion(
            ws=torch.empty(len(targets), samples, self.backbone.num_ws, self.backbone.w_dim, device=device),
            seeds=sample_seeds(seed, samples),
            working=working,
            hole=hole.to(torch.uint8),
            backbone=backbone_record(self.backbone),
            method={"name": self.name, "version": self.version, "sha256": None},
            options=self._options(samples, seed, truncation),
            versions=run_versions(),
        )
        ws, maps = self._descend(
            unknown, lambda of, _, generator: self._start(targets[of], visible[of], generator, truncation)
        )
        return replace(unknown, ws=ws, tuned=maps)

    def refine(self, starts: Inversion) -> Inversion:
        """An inversion of this backbone with each code moved towards the visible pixels from where it is, and
        with the features that the embedder reads for the new ones. Random noise becomes constant noise.

        Raises:
            BackboneMismatchError: an inversion made with another backbone.
            UsageError: one whose generator was tuned to its codes.
        """
        check_backbone(self.backbone, starts.backbone.get("sha256"), "the inversion to be refined")
        if starts.tuned:
            told = starts.method.get("name", "unnamed")
            raise UsageError(f"{told} tuned the generator to its codes: refine codes first, then tune (pti)")
        starts = replace(starts, noise="const" if starts.noise == "random" else starts.noise, unedited=None)
        ws, maps = self._descend(starts, lambda of, k, _: starts.ws[of, k])
        return replace(
            (self.embedder or self).recoded(starts, ws),
            tuned=maps,
            **refined_record(self, starts, {**asdict(self.config), "perceptual": self.perceptual}),
        )

    def _descend(self, of: Inversion, start: _Start) -> tuple[Tensor, dict[str, Tensor]]:
        """Codes [N, K, num_ws, w_dim] found for an inversion's pictures, and differences of noise maps."""
        device = self.backbone.w_avg.device
        targets, visible = from_levels(of.working.to(device)), 1 - of.hole.to(device).float()
        shape, steps = of.ws.shape[:2], self.config.steps
        found: list[tuple[Tensor, dict[str, Tensor]]] = []
        for index in range(shape.numel()):
            picture, sample = slice(index // shape[1], index // shape[1] + 1), index % shape[1]
            generator = torch.Generator().manual_seed(of.seeds[sample])
            first = start(picture, sample, generator).to(device)
            tell = self.reporter(index * steps, shape.numel() * steps)
            found.append(self._fit(targets[picture], visible[picture], first, of.noise, generator, tell))
        if not found:
            return of.ws, {}
        maps = {name: torch.stack([m[name] for _, m in found]).unflatten(0, shape) for name in self.maps}
        return torch.stack([ws for ws, _ in found]).unflatten(0, shape), maps

    def _fit(
        self,
        target: Tensor,
        visible: Tensor,
        start: Tensor,
        noise: Noise,
        generator: torch.Generator,
        tell: Callable[[int], None],
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The codes [num_ws, w_dim] of one sample, and the differences of its noise maps (on the CPU)."""
        config = self.config
        network = copy_apart(self.backbone, self.maps)
        buffers = dict(network.named_buffers())
        maps = [buffers[name].requires_grad_() for name in self.maps]
        rows = self.backbone.num_ws if config.space == "w+" else 1
        moved = torch.zeros(1, rows, self.backbone.w_dim, device=start.device, requires_grad=True)
        optimizer = torch.optim.Adam([moved, *maps], lr=config.lr, betas=(0.9, 0.99))
        for step in range(config.steps):
            set_rate(optimizer, config.lr * learning_rate_factor(step / config.steps))
            fade = max(0.0, 1 - step / config.steps / 0.75) ** 2
            jitter = torch.randn(moved.shape, generator=generator).to(moved) * (config.jitter * fade)
            codes = start + (moved + jitter) @ self.statistics.basis
            drawn = network.synthesize(codes, noise=noise).images
            loss = self.loss(drawn, target, visible).sum() + config.prior * moved.square().mean()
            if maps:
                loss = loss + config.noise_weight * noise_penalty(maps)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            with torch.no_grad():
                for each in maps:
                    each.sub_(each.mean()).mul_(each.square().mean().clamp(min=1e-12).rsqrt())
            tell(step + 1)
        codes = start + moved.detach() @ self.statistics.basis
        return codes[0], difference_of(network, self.backbone, self.maps)

    @property
    def statistics(self) -> LatentStatistics:
        """Of the backbone's codes; computed at first use."""
        if self._statistics is None:
            self._statistics = latent_statistics(self.backbone)
        return self._statistics

    @torch.no_grad()
    def _start(
        self, target: Tensor, visible: Tensor, generator: torch.Generator, truncation: float
    ) -> Tensor:
        """The random code [1, num_ws, w_dim] nearest to the visible pixels among `candidates`."""
        z = torch.randn(self.config.candidates, self.backbone.z_dim, generator=generator)
        codes = random_codes(self.backbone, z, truncation, self.config.label)
        if len(codes) == 1:
            return codes
        loss = torch.cat(
            [self.loss(self.backbone.synthesize(w).images, target, visible) for w in codes.split(1)]
        )
        best = int(loss.argmin())
        return codes[best : best + 1]

    def _options(self, samples: int, seed: int, truncation: float) -> dict[str, Any]:
        asked: dict[str, Any] = {"samples": samples, "seed": seed, "truncation": truncation}
        asked |= {"perceptual": self.perceptual, "device": self.backbone.w_avg.device.type}
        return {**asdict(self.config), **asked}


def learning_rate_factor(t: float) -> float:
    """Share of the learning rate at `t`, 0 to 1, of a run: a short rise, a cosine fall in the end."""
    fall = min(1.0, (1 - t) / 0.25)
    return min(1.0, t / 0.05 + 0.05) * (0.5 - 0.5 * math.cos(fall * math.pi))


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Sets the learning rate of the coming steps."""
    for group in optimizer.param_groups:
        group["lr"] = rate


def refined_record(method: InversionMethod, found: Inversion, settings: dict[str, Any]) -> dict[str, Any]:
    """Fields of an inversion that say that `method`, so set, went on from what another had found."""
    embedder = dict(found.method)
    return {
        "method": {"name": method.name, "version": method.version, "sha256": None, "embedder": embedder},
        "options": {**found.options, method.name: settings},
        "versions": run_versions(),
    }


def other_method(backbone: Backbone, embedder: str | InversionMethod, name: str) -> InversionMethod:
    """The method that finds what `name` goes on from: an object, or a registered name, which is built with
    its own defaults. Raises UsageError where it is of another backbone.
    """
    if not isinstance(embedder, InversionMethod):
        return registry("methods").get(embedder)(backbone)
    if embedder.backbone is not backbone:
        raise UsageError(f"the embedder works with another backbone object: give {name} the same one")
    return embedder


@takes(OptimizeConfig)
def build(backbone: Backbone, *, embedder: str | InversionMethod | None = None, **options: Any) -> Optimize:
    """The method, registered as `optimize`. Its other options are the fields of `OptimizeConfig`; with an
    embedder, their defaults are those of `REFINING`.

    Args:
        embedder: the method that finds the codes to start at, an object or a registered name; None = random.

    Raises:
        UsageError, ConfigError: options that cannot work, or an embedder of another backbone.
    """
    if embedder is None:
        return Optimize(backbone, build_config(OptimizeConfig, options))
    found = other_method(backbone, embedder, Optimize.name)
    return Optimize(backbone, build_config(OptimizeConfig, REFINING | options), found)
