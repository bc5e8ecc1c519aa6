"""A published encoder as its authors run it: pSp, e4e and ReStyle, with the meaning of their codes.

`PublishedEncoder` holds the network under the names of the files (less the prefix `encoder.`) and the mean
code from which its answers count. One that was trained here on erased pictures (`ganinv train --method e4e`)
is the same but for a fourth input channel, which tells what is visible.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d

from ganinv.configs import build_config
from ganinv.encoders.ir_se import IRSEConfig
from ganinv.encoders.last_map import LastMapEncoder, LastMapEncoderConfig
from ganinv.encoders.pyramid import PyramidEncoder, PyramidEncoderConfig, from_first
from ganinv.errors import ConfigError
from ganinv.pooling import shrink_erased

HEADS = ("pyramid", "heads", "mean", "vector")


@dataclass(frozen=True)
class PublishedEncoderConfig:
    """What rebuilds a published encoder; the layouts of the checkpoint door find it out from a file."""

    num_ws: int = 18
    """Styles to answer with."""
    w_dim: int = 512
    """Numbers in a style."""
    head_width: int = 512
    """Channels inside a head."""
    body: IRSEConfig = field(default_factory=IRSEConfig)
    """Input channels: 3, a picture; 4, an erased picture and what is visible of it; 6, a picture and the
    picture drawn so far (ReStyle)."""
    pyramid: PyramidEncoderConfig | None = None
    """Full shape of a pyramid that is not as published, in place of the fields above."""
    heads: Literal["pyramid", "heads", "mean", "vector"] = "pyramid"
    """How codes are read: a pyramid of the last three stages, or one of `LastMapEncoderConfig.reading`."""
    codes: Literal["absolute", "offsets"] = "absolute"
    """"offsets": codes from the second on are added to the first one (e4e, Tov et al. 2021, section 3.2)."""
    input_size: int = 256
    """Width of the input picture in pixels."""
    input_rows: int | None = None
    """Height of the input where it is not square: the middle rows are taken (192 of 256 for cars)."""
    iterations: int = 1
    """Passes: 1, or as many as ReStyle was trained with."""

    def __post_init__(self) -> None:
        if self.codes not in ("absolute", "offsets"):
            raise ConfigError(f"codes are {self.codes!r}; possible: absolute, offsets")
        if self.heads not in HEADS:
            raise ConfigError(f"heads are {self.heads!r}; possible: {', '.join(HEADS)}")
        if self.channels not in (3, 4, 6):
            raise ConfigError(f"the encoder takes {self.channels} channels; possible are 3, 4 and 6")
        if self.iterations < 1 or not 1 <= (self.input_rows or self.input_size) <= self.input_size:
            raise ConfigError(
                f"{self.iterations} passes on {self.input_rows} of {self.input_size} rows are not possible"
            )

    @property
    def feedback(self) -> bool:
        """Whether the encoder is also shown the picture drawn so far."""
        return self.channels == 6

    @property
    def erased(self) -> bool:
        """Whether the encoder was trained on erased pictures, and is shown what is visible."""
        return self.channels == 4

    @property
    def channels(self) -> int:
        """Of the input."""
        return (self.pyramid.body if self.pyramid else self.body).in_channels

    def to_json(self) -> dict[str, Any]:
        """Plain data for a header; `build_published` reads it back."""
        return asdict(self)

    def network(self) -> nn.Module:
        """The network alone, with random weights: pictures to codes as the heads give them."""
        shape: dict[str, Any] = {
            "input_size": self.input_size,
            "num_ws": self.num_ws,
            "w_dim": self.w_dim,
            "body": self.body,
            "head_width": self.head_width,
        }
        if self.pyramid is not None:
            return PyramidEncoder(self.pyramid)
        if self.heads == "pyramid":
            wide = self.body.widths[-1]  # published pyramids are as wide as the last stage
            return PyramidEncoder(PyramidEncoderConfig(**shape, pyramid_width=wide))
        return LastMapEncoder(LastMapEncoderConfig(**shape, reading=self.heads))


class PublishedEncoder(nn.Module):
    """Pictures in, style codes out, counted from the mean code.

    name, sha256: of the file it was read from. family: "psp", "e4e" or "restyle". made_for: the record of the
    backbone that it answers to, where the file states it.
    """

    name: str = "unnamed"
    sha256: str = ""
    family: str = "psp"
    made_for: Mapping[str, Any] | None = None
    latent_avg: Tensor

    def __init__(self, config: PublishedEncoderConfig) -> None:
        super().__init__()
        self.config = config
        self.net = config.network()
        self.register_buffer("latent_avg", torch.zeros(config.num_ws, config.w_dim))

    def forward(self, x: Tensor, *, stage: int | None = None) -> Tensor:
        """Codes before the mean code (or, for ReStyle, the previous code) is added.

        Args:
            x: (N, 3, 4 or 6, rows, input_size), RGB in [-1, 1], from `prepare`; with 4, from
                `prepare_erased`.
            stage: of e4e's progressive training: rows above it repeat the first one; None = all rows differ.

        Returns:
            (N, num_ws, w_dim).
        """
        codes = self.net(x)
        if self.config.codes == "absolute":
            return codes
        return from_first(codes, None if stage is None else 1 + stage)

    def prepare(self, images: Tensor) -> Tensor:
        """Pictures (N, 3, R, R) of any size, as the network sees them: (N, 3, rows, input_size).

        Larger ones are averaged by area, smaller ones repeat their pixels: what the authors do with the
        pictures that ReStyle feeds back.
        """
        return self._middle(adaptive_avg_pool2d(images, self.config.input_size))

    def prepare_erased(self, images: Tensor, visible: Tensor) -> Tensor:
        """Pictures (N, 3, R, R) with what is visible of them (N, 1, R, R), as an encoder of erased pictures
        sees them: (N, 4, rows, input_size). Nothing of a hidden pixel gets in.

        Raises:
            UsageError: R does not go with input_size, see `shrink_erased`.
        """
        small, known = shrink_erased(images, visible, self.config.input_size)
        return self._middle(torch.cat([small, known], dim=1))

    def _middle(self, x: Tensor) -> Tensor:
        size, rows = self.config.input_size, self.config.input_rows
        if rows is None:
            return x
        above = (size - rows) // 2
        return x[:, :, above : above + rows]


def build_published(config: Mapping[str, Any]) -> PublishedEncoder:
    """An encoder with random weights, from its header. Raises ConfigError."""
    return PublishedEncoder(build_config(PublishedEncoderConfig, config))
