"""`comod`: the co-modulated U-Net as something that `ganinv evaluate` can measure."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ganinv.parts import Backbone, CheckpointError, Completion, chunks, find_model, pass_size

from ..sampling import random_codes
from .weights import KIND, TrainedCoMod, load_comod

VERSION = "1"


class CoModCompleter:
    """Fills holes with a trained network, whose random vectors come from the seeds of diverse-inpaint's."""

    name = KIND

    def __init__(self, backbone: Backbone, trained: TrainedCoMod) -> None:
        self.backbone, self.trained = backbone, trained
        self.content = trained.network.config.content

    @torch.no_grad()
    def complete(
        self, image: Tensor, hole: Tensor, *, samples: int, seed: int, truncation: float
    ) -> Completion:
        """K completions (K, 3, R, R) of a picture (1, 3, R, R) in [-1, 1] with its hole (1, 1, R, R), 1 =
        erased. What is visible is read once for all of them.
        """
        network, device = self.trained.network, self.backbone.w_avg.device
        random = random_codes(self.backbone, seed, samples, truncation)[:, 0]  # (K, w_dim)
        maps, vector = network.encode(image.to(device), 1 - hole.to(device).float())
        drawn = []
        for part in chunks(samples, pass_size(self.backbone, samples)):
            heard = random[part]
            seen = [m.expand(len(heard), -1, -1, -1) for m in maps]
            drawn.append(network.decode(seen, vector.expand(len(heard), -1), heard))
        return Completion(torch.cat(drawn).float().clamp(-1, 1))

    def to_json(self) -> dict[str, Any]:
        """What a record says of it."""
        weights = {"weights": self.trained.name, "sha256": self.trained.sha256}
        return {"name": self.name, "version": VERSION, **weights, "options": {}}


def build(backbone: Backbone, *, weights: str | Path | None = None) -> CoModCompleter:
    """The completer with its trained weights; registered as `comod`.

    Args:
        weights: a weight file of `save_comod`; none is shipped, so it must be given.

    Raises:
        CheckpointError: no weights, or a damaged file.
        UnknownNameError: neither a file nor a stored model's name.
        BackboneMismatchError: weights of another backbone.
    """
    if weights is None:
        raise CheckpointError("no comod weights are shipped: type --weights FILE (in Python: weights=FILE)")
    return CoModCompleter(backbone, load_comod(find_model(weights, KIND), backbone))
