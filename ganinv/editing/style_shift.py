"""Edits of styles: channels of StyleSpace."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ganinv.backbones.base import Backbone
from ganinv.editing.edits import Edit, Space
from ganinv.inversion import Inversion


@dataclass(frozen=True, eq=False)
class StyleShift(Edit):
    """Styles + strength * unit * shift: channels of StyleSpace (Wu et al. 2021).

    Styles are what a layer's `affine` makes of its code, so a shift is a change of that affine's bias for one
    picture, which an inversion can hold as a tuned weight: it is drawn, saved and loaded like any other.

    shifts: name of an affine layer of the generator -> float32 (channels,).
    """

    shifts: Mapping[str, Tensor]

    form = "styles"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.layers is not None:
            raise ValueError(f"direction {self.name!r} is of styles, which name their layers: drop the range")
        if not self.shifts or any(s.ndim != 1 or not s.isfinite().all() for s in self.shifts.values()):
            raise ValueError(f"direction {self.name!r}: expected finite shifts of styles, [channels] each")

    @property
    def space(self) -> Space:
        return "s"

    def tensors(self) -> dict[str, Tensor]:
        return dict(self.shifts)

    @classmethod
    def from_tensors(cls, name: str, tensors: Mapping[str, Tensor], **facts: Any) -> StyleShift:
        return cls(name, dict(tensors), **facts)

    def apply(self, inversion: Inversion, strength: float) -> Inversion:
        if strength == 0:
            return inversion
        tuned, shape = dict(inversion.tuned), inversion.ws.shape[:2]
        for layer, shift in self.shifts.items():
            moved = (strength * self.unit * shift).expand(*shape, -1)  # [N, K, channels]
            name = f"{layer}.bias"
            if name in tuned:
                moved = tuned[name].float() + moved
            tuned[name] = moved.half()
        return inversion.edited(tuned=tuned)

    def check(self, backbone: Backbone) -> None:
        super().check(backbone)
        parameters = dict(backbone.named_parameters())
        for layer, shift in self.shifts.items():
            own = parameters.get(f"{layer}.bias")
            if own is None or own.shape != shift.shape:
                found = "has no such layer" if own is None else f"has {len(own)}"
                raise self.refused(
                    f"is for {len(shift)} channels of {layer}, and this {backbone.family} generator {found}"
                )
