"""Edits by small networks: the latent mapper of StyleCLIP."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from ganinv.backbones.layers import normalize_second_moment
from ganinv.editing.edits import CodeEdit, Space
from ganinv_ops.bias_act import bias_act


@dataclass(frozen=True, eq=False)
class Mapper(CodeEdit):
    """ws + strength * unit * mapper(ws): the latent mapper of StyleCLIP (Patashnik et al. 2021).

    A network for each group of layers: normalisation, then four linear layers with leaky ReLU. The published
    ones normalise over the rows of their group, where a mapping network would over the width (StyleCLIP,
    issue 82); so does this.

    weights: "coarse.0.weight" (w_dim, w_dim), "coarse.0.bias" (w_dim,), ... "fine.3.bias", as stored with a
        learning-rate multiplier of 0.01. A group that is absent leaves its layers alone.
    """

    weights: Mapping[str, Tensor]

    form = "mapper"
    GROUPS: ClassVar[dict[str, tuple[int, int | None]]] = {
        "coarse": (0, 4),
        "medium": (4, 8),
        "fine": (8, None),
    }
    DEPTH: ClassVar[int] = 4
    LR_MULTIPLIER: ClassVar[float] = 0.01

    def __post_init__(self) -> None:
        super().__post_init__()
        groups = [group for group in self.GROUPS if f"{group}.0.weight" in self.weights]
        names = {f"{g}.{i}.{kind}" for g in groups for i in range(self.DEPTH) for kind in ("weight", "bias")}
        if not groups or names != self.weights.keys():
            raise ValueError(
                f"direction {self.name!r}: {len(self.weights)} weights are no mapper of 4 layers"
            )
        for name, tensor in self.weights.items():
            shape = [self.width] * (2 if name.endswith("weight") else 1)
            if list(tensor.shape) != shape or not tensor.isfinite().all():
                raise ValueError(
                    f"direction {self.name!r}: {name} is {list(tensor.shape)}; expected finite {shape}"
                )

    @property
    def width(self) -> int:
        """w_dim of the codes it is for."""
        return next(iter(self.weights.values())).shape[-1]

    @property
    def space(self) -> Space:
        return "w+"

    def tensors(self) -> dict[str, Tensor]:
        return dict(self.weights)

    @classmethod
    def from_tensors(cls, name: str, tensors: Mapping[str, Tensor], **facts: Any) -> Mapper:
        return cls(name, dict(tensors), **facts)

    def step(self, ws: Tensor, strength: float) -> Tensor:
        steps = torch.zeros_like(ws)
        for group, (first, last) in self.GROUPS.items():
            if f"{group}.0.weight" in self.weights:
                steps[..., first:last, :] = self._mapped(group, ws[..., first:last, :])
        return strength * self.unit * steps

    def _mapped(self, group: str, x: Tensor) -> Tensor:
        x = normalize_second_moment(x, dim=-2)  # over the group's rows: see the class
        scale = self.LR_MULTIPLIER / math.sqrt(self.width)
        for i in range(self.DEPTH):
            weight, bias = (self.weights[f"{group}.{i}.{kind}"].to(x) for kind in ("weight", "bias"))
            x = torch.nn.functional.linear(x, weight * scale)
            x = bias_act(x, bias * self.LR_MULTIPLIER, dim=x.ndim - 1, act="lrelu")
        return x

    def check_shape(self, num_ws: int, w_dim: int) -> None:
        super().check_shape(num_ws, w_dim)
        if self.width != w_dim:
            raise self.refused(f"is a mapper of width {self.width}, these codes have {w_dim}")
