"""Mapping network of StyleGAN2, StyleGAN3 and of class-conditional discriminators."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor, nn

from .base import Backbone
from .layers import EqualLinear, normalize_second_moment


class MappingNetwork(nn.Module):
    """z `[N, z_dim]` and classes c `[N, c_dim]` -> w `[N, w_dim]`.

    The normalised z, then the normalised embedding of c, go through leaky ReLU layers that learn slower than
    the rest (Karras et al. 2019, arXiv 1812.04948; classes as in Karras et al. 2020, arXiv 2006.06676).

    Args:
        z_dim: 0 for a network that sees classes only. c_dim: 0 for one without classes.
        width: of the layers before the last; None = w_dim.
        embed_dim: of the embedded class; None = w_dim.
        lr_multiplier: of the layers.
        track_mean: whether there is a buffer `w_avg`, the mean of w.
    """

    w_avg: Tensor

    def __init__(
        self,
        z_dim: int,
        c_dim: int,
        w_dim: int,
        num_layers: int = 8,
        *,
        width: int | None = None,
        embed_dim: int | None = None,
        lr_multiplier: float = 0.01,
        track_mean: bool = True,
    ) -> None:
        super().__init__()
        self.z_dim, self.c_dim, self.num_layers = z_dim, c_dim, num_layers
        embedded = (w_dim if embed_dim is None else embed_dim) if c_dim else 0
        if c_dim:
            self.embed = EqualLinear(c_dim, embedded)
        hidden = [w_dim if width is None else width] * (num_layers - 1)
        widths = [z_dim + embedded, *hidden, w_dim]
        for i in range(num_layers):
            self.add_module(
                f"fc{i}",
                EqualLinear(widths[i], widths[i + 1], activation="lrelu", lr_multiplier=lr_multiplier),
            )
        if track_mean:
            self.register_buffer("w_avg", torch.zeros(w_dim))

    def forward(self, z: Tensor | None, c: Tensor | None = None) -> Tensor:
        """w `[N, w_dim]`, float32.

        Raises:
            ValueError: classes where there are none, none where they are needed, or of another shape.
        """
        parts = [] if z is None or not self.z_dim else [normalize_second_moment(z.float())]
        if self.c_dim:
            if c is None or c.ndim != 2 or c.shape[1] != self.c_dim:
                given = "none were given" if c is None else f"not {list(c.shape)}"
                raise ValueError(f"this network needs classes c of shape [N, {self.c_dim}]; {given}")
            parts.append(normalize_second_moment(self.embed(c.float())))
        elif c is not None and c.shape[-1]:
            raise ValueError("this network has no classes: leave c out")
        x = torch.cat(parts, dim=1) if len(parts) > 1 else parts[0]
        for i in range(self.num_layers):
            x = self.get_submodule(f"fc{i}")(x)
        return x


class MappedConfig(Protocol):
    """What the configuration of a `MappedBackbone` says of its sizes and its mapping network."""

    @property
    def resolution(self) -> int: ...
    @property
    def z_dim(self) -> int: ...
    @property
    def w_dim(self) -> int: ...
    @property
    def c_dim(self) -> int: ...
    @property
    def mapping_layers(self) -> int: ...
    @property
    def mapping_width(self) -> int | None: ...
    @property
    def embed_dim(self) -> int | None: ...
    @property
    def mapping_lr(self) -> float: ...


class MappedBackbone(Backbone):
    """A generator whose codes come from a `MappingNetwork`, `self.mapping`: one w for all its layers."""

    def __init__(self, config: MappedConfig, num_ws: int) -> None:
        super().__init__()
        self.resolution, self.z_dim, self.w_dim = config.resolution, config.z_dim, config.w_dim
        self.c_dim, self.num_ws = config.c_dim, num_ws
        self.compute_dtype = torch.float32
        self.mapping = MappingNetwork(
            config.z_dim,
            config.c_dim,
            config.w_dim,
            config.mapping_layers,
            width=config.mapping_width,
            embed_dim=config.embed_dim,
            lr_multiplier=config.mapping_lr,
        )

    @property
    def w_avg(self) -> Tensor:  # type: ignore[override]
        """Mean of w `[w_dim]`, tracked during training."""
        return self.mapping.w_avg

    def map(
        self,
        z: Tensor,
        c: Tensor | None = None,
        truncation: float = 1.0,
        truncation_cutoff: int | None = None,
    ) -> Tensor:
        ws = self.mapping(z, c)[:, None].repeat(1, self.num_ws, 1)
        return self.truncate(ws, truncation, truncation_cutoff)
