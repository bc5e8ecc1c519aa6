"""Edits: what changes one attribute of the pictures of an inversion, in a chosen strength.

Four kinds, one use: `edit.apply(inversion, strength)` gives another inversion, to be drawn, saved or edited.

- Direction: codes go along a vector (InterFaceGAN, SeFa, our own fits).
- Coordinate: codes go to a place on an axis, wherever they start (GANSpace).
- Mapper: small networks say where each code goes (StyleCLIP's latent mapper).
- StyleShift: the codes stay, and the styles that the generator makes of them move (StyleSpace channels).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, replace
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from ganinv.backbones.base import Backbone
from ganinv.backbones.layers import normalize_second_moment
from ganinv.errors import CheckpointError
from ganinv.inversion import Inversion, check_backbone
from ganinv_ops.bias_act import bias_act

Space = Literal["w", "w+", "s"]


@dataclass(frozen=True, eq=False)
class Edit(ABC):
    """An edit by name, with what is known of it.

    unit: what one step of strength is multiplied by; a negative one turns the edit round.
    layers: (first, last) rows of the codes it changes, last excluded; None = all.
    backbone_sha256: of the generator it was made for; None = usable with every one it fits.
    safe_range: least and largest strength that pictures are known to bear; None = not told.
    licence, origin: as told, "" = not told. about: what positive strengths do: "older".

    Raises:
        ValueError: facts that cannot be.
    """

    name: str
    _: KW_ONLY
    unit: float = 1.0
    layers: tuple[int, int] | None = None
    backbone_sha256: str | None = None
    safe_range: tuple[float, float] | None = None
    licence: str = ""
    origin: str = ""
    about: str = ""

    form: ClassVar[str]

    def __post_init__(self) -> None:
        if not math.isfinite(self.unit) or self.unit == 0:
            raise ValueError(
                f"direction {self.name!r}: a unit of {self.unit}; expected a number other than 0"
            )
        if self.layers is not None and not 0 <= self.layers[0] < self.layers[1]:
            raise ValueError(f"direction {self.name!r}: layers {list(self.layers)}; expected first < last")
        if self.safe_range is not None:
            low, high = self.safe_range
            if not (math.isfinite(low) and math.isfinite(high) and low < high):
                raise ValueError(f"direction {self.name!r}: a safe range of {low} to {high}")

    @property
    @abstractmethod
    def space(self) -> Space:
        """w: the same change in every layer; w+: layer by layer; s: in the styles."""

    @abstractmethod
    def tensors(self) -> dict[str, Tensor]:
        """What a file keeps of it, by name; `from_tensors` takes it back."""

    @classmethod
    @abstractmethod
    def from_tensors(cls, name: str, tensors: Mapping[str, Tensor], **facts: Any) -> Edit:
        """The inverse of `tensors`. Raises KeyError, TypeError or ValueError."""

    @abstractmethod
    def apply(self, inversion: Inversion, strength: float) -> Inversion:
        """The edited inversion; the given one stays as it is. Raises CheckpointError if it does not fit."""

    def check(self, backbone: Backbone) -> None:
        """Raises BackboneMismatchError or CheckpointError unless this edit can be used with `backbone`."""
        if self.backbone_sha256 is not None:
            check_backbone(backbone, self.backbone_sha256, f"direction {self.name!r}")

    def is_safe(self, strength: float) -> bool:
        """Whether a strength lies in the safe range; True where none is told."""
        return self.safe_range is None or self.safe_range[0] <= strength <= self.safe_range[1]

    def _refused(self, what: str) -> CheckpointError:
        source = self.origin or "an unnamed source"
        return CheckpointError(
            f"direction {self.name!r} from {source} {what}: use one made for this backbone"
        )


class CodeEdit(Edit):
    """An edit that changes W+ codes and nothing else."""

    @abstractmethod
    def step(self, ws: Tensor, strength: float) -> Tensor:
        """What is added to codes `ws` (..., num_ws, w_dim) if all layers move; broadcasts to their shape."""

    @abstractmethod
    def check_shape(self, num_ws: int, w_dim: int) -> None:
        """Raises CheckpointError where codes of that shape cannot be edited."""
        last = (self.layers or (0, 1))[1]
        if last > num_ws:
            raise self._refused(f"is for layers up to {last - 1}, and these codes have 0 to {num_ws - 1}")

    def move(self, ws: Tensor, strength: float) -> Tensor:
        """Edited codes.

        Args:
            ws: float32 (..., num_ws, w_dim), left unchanged.

        Raises:
            CheckpointError: the edit is for codes of another shape.
        """
        num_ws, w_dim = ws.shape[-2:]
        self.check_shape(num_ws, w_dim)
        first, last = self.layers or (0, num_ws)
        edited = ws.clone()
        edited[..., first:last, :] += self.step(ws, strength).to(ws).expand_as(ws)[..., first:last, :]
        return edited

    def apply(self, inversion: Inversion, strength: float) -> Inversion:
        return replace(inversion, ws=self.move(inversion.ws, strength))

    def check(self, backbone: Backbone) -> None:
        super().check(backbone)
        self.check_shape(backbone.num_ws, backbone.w_dim)


@dataclass(frozen=True, eq=False)
class Direction(CodeEdit):
    """ws + strength * unit * vector.

    vector: float32 (rows, w_dim), rows = 1 (the same for every layer) or num_ws; each row of norm 1 or 0, or
        the whole of norm 1, so that `unit` is a length.
    """

    vector: Tensor

    form = "linear"

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_vector(self.name, self.vector)

    @property
    def space(self) -> Space:
        return "w" if len(self.vector) == 1 and self.layers is None else "w+"

    def tensors(self) -> dict[str, Tensor]:
        return {"vector": self.vector}

    @classmethod
    def from_tensors(cls, name: str, tensors: Mapping[str, Tensor], **facts: Any) -> Direction:
        return cls(name, **{**facts, **tensors})

    def step(self, ws: Tensor, strength: float) -> Tensor:
        return strength * self.unit * self.vector

    def check_shape(self, num_ws: int, w_dim: int) -> None:
        super().check_shape(num_ws, w_dim)
        rows, width = self.vector.shape
        if width != w_dim or rows not in (1, num_ws):
            raise self._refused(f"is for codes of {rows} x {width}, these are {num_ws} x {w_dim}")


@dataclass(frozen=True, eq=False)
class Coordinate(CodeEdit):
    """Codes go to the coordinate strength * unit on an axis through the mean: GANSpace (Haerkoenen et al.
    2020), whose strengths are such places and no steps. 0 is the mean, and not "unchanged".

    The coordinate that codes have before is that of their row 0; every layer moves by the same step.

    vector: float32 (1, w_dim), of norm 1. mean: (w_dim,).
    """

    vector: Tensor
    mean: Tensor

    form = "coordinate"

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_vector(self.name, self.vector)
        if len(self.vector) != 1 or self.mean.shape != self.vector.shape[1:]:
            raise ValueError(
                f"direction {self.name!r}: an axis {list(self.vector.shape)} with a mean "
                f"{list(self.mean.shape)}; expected [1, w_dim] and [w_dim]"
            )

    @property
    def space(self) -> Space:
        return "w" if self.layers is None else "w+"

    def tensors(self) -> dict[str, Tensor]:
        return {"vector": self.vector, "mean": self.mean}

    @classmethod
    def from_tensors(cls, name: str, tensors: Mapping[str, Tensor], **facts: Any) -> Coordinate:
        return cls(name, **{**facts, **tensors})

    def step(self, ws: Tensor, strength: float) -> Tensor:
        vector = self.vector.to(ws)
        reached = (ws[..., 0, :] - self.mean.to(ws)) @ vector[0]  # [...], a length
        return (strength * self.unit - reached)[..., None, None] * vector  # [..., 1, w_dim]

    def check_shape(self, num_ws: int, w_dim: int) -> None:
        super().check_shape(num_ws, w_dim)
        if len(self.mean) != w_dim:
            raise self._refused(f"is for codes of width {len(self.mean)}, these have {w_dim}")


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
            raise self._refused(f"is a mapper of width {self.width}, these codes have {w_dim}")


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
        return replace(inversion, tuned=tuned)

    def check(self, backbone: Backbone) -> None:
        super().check(backbone)
        parameters = dict(backbone.named_parameters())
        for layer, shift in self.shifts.items():
            own = parameters.get(f"{layer}.bias")
            if own is None or own.shape != shift.shape:
                found = "has no such layer" if own is None else f"has {len(own)}"
                raise self._refused(
                    f"is for {len(shift)} channels of {layer}, and this {backbone.family} generator {found}"
                )


FORMS: dict[str, type[Edit]] = {cls.form: cls for cls in (Direction, Coordinate, Mapper, StyleShift)}
"""Every kind of edit by the name that a file gives it."""


def _check_vector(name: str, vector: Tensor) -> None:
    if vector.ndim != 2 or not vector.isfinite().all():
        raise ValueError(
            f"direction {name!r}: a vector of shape {list(vector.shape)}; expected finite [rows, w_dim]"
        )
    norms = vector.double().norm(dim=1)
    by_row = (((norms - 1).abs() < 1e-3) | (norms == 0)).all() and norms.any()
    if not by_row and abs(norms.norm().item() - 1) > 1e-3:
        raise ValueError(
            f"direction {name!r}: rows of norm {norms.min():.4g} to {norms.max():.4g}; "
            "expected 1, or 1 over all rows"
        )
