"""Which averaged networks of a run were the best: those whose completions lie closest to true pictures.

The distance is KID of composites, seen through the frozen copy of the discriminator that the perceptual term
looks through. The judge of the evaluation chooses nothing: its figures stay those of a network that no choice
has seen.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ganinv.parts import Backbone, kid

from ..losses import FeatureDistance, blend
from .common import Completing, render
from .data import Sampler


@dataclass(frozen=True)
class Best:
    """The averaged networks of a moment, as a copy on the CPU."""

    images: int
    """Pictures seen until then."""
    kid: float
    networks: Completing

    @classmethod
    def of(cls, images: int, kid: float, networks: Completing) -> Best:
        """A copy of `networks` as they are now."""
        return cls(images, kid, copy.deepcopy(networks).cpu())

    def to_state(self) -> dict[str, Any]:
        """Plain data for a state file."""
        return {"images": self.images, "kid": self.kid, "networks": self.networks.state_dict()}

    @classmethod
    def from_state(cls, state: dict[str, Any], like: Completing) -> Best:
        """Inverse of `to_state`, with networks of the shape of `like`."""
        found = cls.of(state["images"], state["kid"], like)
        found.networks.load_state_dict(state["networks"])
        return found


class Chooser:
    """Measures networks on pictures, holes and codes that are drawn once, so that two moments compare."""

    def __init__(self, sampler: Sampler, distance: FeatureDistance, count: int) -> None:
        """`sampler`: one of its own, with a generator of its own; `count` is rounded up to its batches."""
        self.backbone: Backbone = sampler.backbone
        self.distance = distance
        self.shown: list[tuple[Tensor, Tensor, Tensor]] = []  # pictures, visible pixels, codes; on the CPU
        truth = []
        for _ in range(-(-count // sampler.count)):
            batch = sampler.draw()
            codes = sampler.codes(len(batch.image))
            self.shown.append((batch.image.cpu(), batch.visible.cpu(), codes.cpu()))
            truth.append(self._features(batch.image))
        self.truth = torch.cat(truth)  # (N, D)

    @torch.no_grad()
    def kid(self, networks: Completing) -> float:
        """KID of composites to the true pictures, pairs of one picture left out; lower is better."""
        device, drawn = self.backbone.w_avg.device, []
        for kept in self.shown:
            image, visible, codes = (part.to(device) for part in kept)
            shown, _ = networks(image * visible, visible, codes, partial(render, self.backbone))
            composite = blend(image, shown.clamp(-1, 1), visible)
            drawn.append(self._features(composite))
        return kid(torch.cat(drawn)[:, None], self.truth, paired=True, replicates=1).value

    @torch.no_grad()
    def _features(self, images: Tensor) -> Tensor:
        return self.distance.pooled(images).cpu()
