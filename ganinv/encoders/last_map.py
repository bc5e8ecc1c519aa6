"""Encoders that read every style from the body's last feature map: those of ReStyle, and pSp's simple ones.

ReStyle (Alaluf et al. 2021, arXiv 2104.02699) has one map-to-style head a style; pSp (Richardson et al. 2021,
arXiv 2008.00951) was also published with a single style, and with all styles from one linear layer.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn

from ganinv.backbones.layers import EqualLinear
from ganinv.encoders.ir_se import IRSEBody, IRSEConfig
from ganinv.encoders.pyramid import MapToStyle
from ganinv.errors import ConfigError, UnknownNameError

READINGS = ("heads", "mean", "vector")
_POOLED = 7
"""Side to which the map is pooled before "vector" flattens it: 25088 = 512 * 7 * 7 inputs as published."""


@dataclass(frozen=True)
class LastMapEncoderConfig:
    """Shape of an encoder that reads the last map only."""

    input_size: int = 256
    """Side of the input picture in pixels; a power of two."""
    num_ws: int = 18
    """Styles to answer with."""
    w_dim: int = 512
    """Numbers in a style."""
    body: IRSEConfig = field(default_factory=IRSEConfig)
    head_width: int = 512
    """Channels inside a head, or of the layer before the last one of "vector"."""
    reading: Literal["heads", "mean", "vector"] = "heads"
    """"heads": one head a style. "mean": one style from the map's mean, for all layers. "vector": all styles
    from the flattened map by two linear layers."""

    def __post_init__(self) -> None:
        if self.input_size < 16 or self.input_size & (self.input_size - 1):
            raise ConfigError(f"encoder input_size {self.input_size} is not a power of two of at least 16")
        if min(self.num_ws, self.w_dim, self.head_width) < 1:
            raise ConfigError("num_ws, w_dim and head_width must be at least 1")
        if self.reading not in READINGS:
            raise UnknownNameError("reading of the last map", self.reading, READINGS)


class LastMapEncoder(IRSEBody):
    """A picture in, one offset a style out; nothing but the coarsest map is read."""

    def __init__(self, config: LastMapEncoderConfig) -> None:
        super().__init__(config.body)
        self.config = config
        wide, body = config.body.widths[-1], config.body
        if config.reading == "heads":
            step = body.stem_stride
            for stride in body.strides:
                step *= stride
            size = max(config.input_size // step, 1)
            self.styles = nn.ModuleList(
                MapToStyle(wide, config.head_width, config.w_dim, size) for _ in range(config.num_ws)
            )
        elif config.reading == "mean":
            self.linear = EqualLinear(wide, config.w_dim)
        else:
            self.output_layer_2 = nn.Sequential(
                nn.BatchNorm2d(wide),
                nn.AdaptiveAvgPool2d(_POOLED),
                nn.Flatten(),
                nn.Linear(wide * _POOLED**2, config.head_width),
            )
            self.linear = EqualLinear(config.head_width, config.w_dim * config.num_ws)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, S, S) -> offsets (N, num_ws, w_dim)."""
        last = self.stages(x)[-1]
        shape = (self.config.num_ws, self.config.w_dim)
        if self.config.reading == "heads":
            return torch.stack([head(last) for head in self.styles], dim=1)
        if self.config.reading == "mean":
            return self.linear(last.mean((2, 3)))[:, None].expand(-1, *shape)
        return self.linear(self.output_layer_2(last)).unflatten(1, shape)
