"""Edits drawn during stage 2, so that the skip features learn what must give way when a code moves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ganinv.parts import Backbone, ConfigError, Direction, load_directions

from .settings import StageSettings

if TYPE_CHECKING:
    from .data import Sampler

RANDOM_STEP = 0.25
"""A random edit of strength 1 moves a code by this share of the way between two random codes."""


class Edits:
    """Draws shifts of W+ codes: strength * direction, fitted ones or differences of random codes."""

    def __init__(self, backbone: Backbone, settings: StageSettings) -> None:
        """Raises ConfigError where bundled directions are asked for and the backbone has none."""
        self.share, self.strength = settings.edit_share, settings.edit_strength
        self.table: Tensor | None = None
        if settings.edit_directions == "random":
            return
        known = load_directions(backbone, stored=False)  # a run must not depend on what its user keeps
        directions = [edit for edit in known.values() if isinstance(edit, Direction)]
        if directions:
            self.table = direction_table(directions, backbone.num_ws).to(backbone.w_avg.device)
        elif settings.edit_directions == "bundled":
            raise ConfigError(
                f"edit_directions is bundled and backbone {backbone.name!r} has none; use random or auto"
            )

    @property
    def kind(self) -> str:
        """ "bundled" or "random"."""
        return "random" if self.table is None else "bundled"

    def draw(self, sampler: Sampler, count: int) -> Tensor:
        """Shifts (count, num_ws, w_dim)."""
        generator, device = sampler.generator, sampler.device
        strength = (2 * torch.rand(count, 1, 1, generator=generator) - 1) * self.strength
        if self.table is not None:
            chosen = torch.randint(0, len(self.table), (count,), generator=generator)
            return self.table[chosen.to(device)] * strength.to(device)
        return RANDOM_STEP * strength.to(device) * (sampler.codes(count) - sampler.codes(count))


def direction_table(directions: list[Direction], num_ws: int) -> Tensor:
    """unit * vector of every direction, zero outside its layers, (count, num_ws, w_dim)."""
    rows = []
    for direction in directions:
        full = (direction.unit * direction.vector.float()).expand(num_ws, -1).clone()  # (num_ws, w_dim)
        if direction.layers is not None:
            first, last = direction.layers
            index = torch.arange(num_ws)
            full[(index < first) | (index >= last)] = 0
        rows.append(full)
    return torch.stack(rows)
