"""The contract that every generator keeps, whatever its family.

`inject` and `capture` speak of a block by the side of its output in pixels, so that StyleGAN2 and StyleGAN3
can answer alike.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

Noise = Literal["const", "random", "none"]
Injection = Mapping[int, Callable[[Tensor], Tensor]]


@dataclass(frozen=True)
class Synthesis:
    """What one pass of a generator gives.

    images: `[N, 3, H, W]` float32, RGB, about [-1, 1] (nobody clamps here).
    features: side in pixels -> `[N, C, side, side]`, the captured block outputs, after injection.
    """

    images: Tensor
    features: dict[int, Tensor] = field(default_factory=dict)


class Backbone(nn.Module, ABC):
    """A StyleGAN generator: a mapping network z -> w and a synthesis network W+ -> picture.

    name, sha256, path: of the file it was loaded from; results keep the first two.
    chunk: pictures that methods and `render` send through it in one pass; None = as many as fit free memory.
    """

    family: str = "unknown"
    name: str = "unnamed"
    sha256: str = ""
    path: Path | None = None
    chunk: int | None = None
    resolution: int
    num_ws: int
    w_dim: int
    z_dim: int
    c_dim: int = 0
    w_avg: Tensor

    @property
    @abstractmethod
    def feature_channels(self) -> dict[int, int]:
        """Side in pixels -> channels of that block's output, for every block that `inject` and `capture`
        know.
        """

    @abstractmethod
    def map(
        self,
        z: Tensor,
        c: Tensor | None = None,
        truncation: float = 1.0,
        truncation_cutoff: int | None = None,
    ) -> Tensor:
        """Map `z` `[N, z_dim]` (and classes `c` `[N, c_dim]`) to W+ codes `[N, num_ws, w_dim]`.

        Args:
            truncation: psi, pulls the codes towards the mean: w_avg + psi (w - w_avg).
            truncation_cutoff: only this many codes from the first are pulled; None = all.

        Raises:
            ValueError: classes where there are none, none where they are needed, or of another shape.
        """

    @abstractmethod
    def synthesize(
        self,
        ws: Tensor,
        *,
        noise: Noise = "const",
        inject: Injection | None = None,
        capture: Sequence[int] = (),
        generator: torch.Generator | None = None,
    ) -> Synthesis:
        """Draw the pictures of the codes `ws` `[N, num_ws, w_dim]`.

        Args:
            noise: the constant maps of the network, fresh ones (from `generator`), or none.
            inject: side -> function applied to that block's output before it goes on.
            capture: sides whose block outputs are returned.

        Raises:
            ValueError: `ws` has another shape, or a side is not one of `feature_channels`.
        """

    def forward(
        self, z: Tensor, c: Tensor | None = None, truncation: float = 1.0, noise: Noise = "const"
    ) -> Tensor:
        """Pictures `[N, 3, H, W]` of `z` `[N, z_dim]`."""
        return self.synthesize(self.map(z, c, truncation), noise=noise).images

    def classes(self, count: int, label: int | None = None) -> Tensor | None:
        """Class labels `[count, c_dim]` on the generator's device for as many codes: `label` for all, or each
        class in its turn. None where the generator has no classes.
        """
        if not self.c_dim:
            return None
        index = torch.arange(count, device=self.w_avg.device) % self.c_dim
        if label is not None:
            index = torch.full_like(index, label)
        return torch.nn.functional.one_hot(index, self.c_dim).to(self.w_avg.dtype)

    def truncate(self, ws: Tensor, truncation: float, cutoff: int | None = None) -> Tensor:
        """Codes `[N, num_ws, w_dim]` with the first `cutoff` (None = all) pulled towards the mean code."""
        if truncation == 1 or cutoff == 0:
            return ws
        if cutoff is None:
            return self.w_avg.lerp(ws, truncation)
        return torch.cat([self.w_avg.lerp(ws[:, :cutoff], truncation), ws[:, cutoff:]], dim=1)

    def check_codes(self, ws: Tensor) -> None:
        """Raise ValueError where `ws` is not `[N, num_ws, w_dim]`."""
        if ws.ndim != 3 or ws.shape[1:] != (self.num_ws, self.w_dim):
            raise ValueError(f"codes of shape {tuple(ws.shape)}; expected [N, {self.num_ws}, {self.w_dim}]")

    def check_sides(self, sides: Sequence[int]) -> None:
        """Raise ValueError where a side is not that of a block."""
        unknown = sorted(set(sides) - set(self.feature_channels))
        if unknown:
            known = ", ".join(map(str, sorted(self.feature_channels)))
            raise ValueError(
                f"no block of {', '.join(map(str, unknown))} px in this generator; its blocks: {known} px"
            )
