"""Edits: what changes one attribute of the pictures of an inversion, in a chosen strength.

Four kinds, one use: `edit.apply(inversion, strength)` gives another inversion, to be drawn, saved or edited.

- Direction: codes go along a vector (InterFaceGAN, SeFa, our own fits).
- Coordinate: codes go to a place on an axis, wherever they start (GANSpace).
- Mapper, in mapper.py: small networks say where each code goes (StyleCLIP's latent mapper).
- StyleShift, in style_shift.py: the codes stay, and the styles that the generator makes of them move
  (StyleSpace channels).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar, Literal

from torch import Tensor

from ganinv.backbones.base import Backbone
from ganinv.errors import CheckpointError
from ganinv.inversion import Inversion, check_backbone

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

    def refused(self, what: str) -> CheckpointError:
        """The error of an edit that does not fit, to be raised."""
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
            raise self.refused(f"is for layers up to {last - 1}, and these codes have 0 to {num_ws - 1}")

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
        return inversion.edited(ws=self.move(inversion.ws, strength))

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
            raise self.refused(f"is for codes of {rows} x {width}, these are {num_ws} x {w_dim}")


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
            raise self.refused(f"is for codes of width {len(self.mean)}, these have {w_dim}")


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
