"""A feature pyramid with one map-to-style head a style, after pSp and e4e.

Coarse styles (0-2) are read from the map at 1/16 of the input, middle ones (3-6) at 1/8, fine ones (7 and up)
at 1/4.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn

from ganinv.backbones.layers import EqualLinear
from ganinv.encoders.ir_se import IRSEBody, IRSEConfig
from ganinv.encoders.layerwise import LayerwiseLinear
from ganinv.errors import ConfigError, UnknownNameError

COARSE, MIDDLE = 3, 7
"""First style of the middle group and of the fine group."""


@dataclass(frozen=True)
class PyramidEncoderConfig:
    """Shape of a pyramid encoder."""

    input_size: int = 256
    """Side of the input picture in pixels; a power of two, at least 16."""
    num_ws: int = 18
    """Styles to answer with."""
    w_dim: int = 512
    """Numbers in a style."""
    body: IRSEConfig = field(default_factory=IRSEConfig)
    """The last three stages must lie at 1/4, 1/8 and 1/16 of the input."""
    pyramid_width: int = 512
    """Channels of the three pyramid maps; a coarsest stage of another width gets a 1x1 convolution."""
    head_width: int = 512
    """Channels inside a head."""
    heads: Literal["single", "grouped"] = "single"
    """"single" has the published parameter names; "grouped" computes all heads of a map at once: faster."""

    def __post_init__(self) -> None:
        if self.input_size < 16 or self.input_size & (self.input_size - 1):
            raise ConfigError(f"encoder input_size {self.input_size} is not a power of two of at least 16")
        steps = [
            self.body.stem_stride * math.prod(self.body.strides[: k + 1])
            for k in range(len(self.body.strides))
        ]
        if steps[-3:] != [4, 8, 16]:
            raise ConfigError(
                f"the last three stages lie at 1/{steps[-3:]} of the input; a pyramid needs 1/[4, 8, 16]"
            )
        if min(self.num_ws, self.w_dim, self.pyramid_width, self.head_width) < 1:
            raise ConfigError("num_ws, w_dim, pyramid_width and head_width must be at least 1")
        if self.heads not in ("single", "grouped"):
            raise UnknownNameError("kind of head", self.heads, ["single", "grouped"])


def _ir_se_50(in_channels: int, input_size: int, num_ws: int, w_dim: int) -> PyramidEncoderConfig:
    return PyramidEncoderConfig(
        input_size=input_size,
        num_ws=num_ws,
        w_dim=w_dim,
        body=IRSEConfig(in_channels=in_channels),
        pyramid_width=512,
        head_width=512,
        heads="single",
    )


def _compact(
    in_channels: int,
    input_size: int,
    num_ws: int,
    w_dim: int,
    *,
    stem_width: int,
    widths: tuple[int, int, int],
    units: tuple[int, int, int],
    pyramid_width: int,
    head_width: int,
) -> PyramidEncoderConfig:
    """Sizes for small pictures: halved at once, three short stages, heads computed together."""
    body = IRSEConfig(
        in_channels=in_channels,
        stem_width=stem_width,
        stem_stride=2,
        widths=widths,
        units=units,
        strides=(2, 2, 2),
        stride_early=True,
    )
    return PyramidEncoderConfig(
        input_size=input_size,
        num_ws=num_ws,
        w_dim=w_dim,
        body=body,
        pyramid_width=pyramid_width,
        head_width=head_width,
        heads="grouped",
    )


PRESETS: dict[str, Callable[[int, int, int, int], PyramidEncoderConfig]] = {
    "ir-se-50": _ir_se_50,
    "small": partial(
        _compact, stem_width=32, widths=(48, 96, 128), units=(1, 1, 2), pyramid_width=96, head_width=64
    ),
    "tiny": partial(
        _compact, stem_width=8, widths=(8, 12, 16), units=(1, 1, 1), pyramid_width=16, head_width=8
    ),
}


def pyramid_preset(
    name: str, *, in_channels: int, input_size: int, num_ws: int, w_dim: int
) -> PyramidEncoderConfig:
    """A named size: "ir-se-50" (full size, from 256 px on), "small" (about 2 M parameters), "tiny" (tests).

    Raises:
        UnknownNameError: no preset has that name.
    """
    if name not in PRESETS:
        raise UnknownNameError("encoder preset", name, sorted(PRESETS))
    return PRESETS[name](in_channels, input_size, num_ws, w_dim)


class MapToStyle(nn.Module):
    """One head: 3x3 convolutions of stride 2 down to one pixel, then an equalised linear layer."""

    def __init__(self, inside: int, width: int, w_dim: int, size: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for k in range(int(math.log2(size))):
            layers += [nn.Conv2d(inside if k == 0 else width, width, 3, 2, 1), nn.LeakyReLU()]
        if not layers:  # a one-pixel map still needs its channels changed
            layers = [nn.Conv2d(inside, width, 1), nn.LeakyReLU()]
        self.convs = nn.Sequential(*layers)
        self.linear = EqualLinear(width, w_dim)

    def forward(self, x: Tensor) -> Tensor:
        """(N, inside, size, size) -> (N, w_dim)."""
        return self.linear(self.convs(x).flatten(1))


class GroupedMapToStyle(nn.Module):
    """The heads of one map, computed together: grouped convolutions, then one batched linear layer."""

    def __init__(self, heads: int, inside: int, width: int, w_dim: int, size: int) -> None:
        super().__init__()
        self.heads = heads
        wide = heads * width
        layers: list[nn.Module] = [nn.Conv2d(inside, wide, 3 if size > 1 else 1, 2, 1 if size > 1 else 0)]
        layers.append(nn.LeakyReLU(0.2))
        for _ in range(int(math.log2(size)) - 1):
            layers += [nn.Conv2d(wide, wide, 3, 2, 1, groups=heads), nn.LeakyReLU(0.2)]
        self.convs = nn.Sequential(*layers)
        self.linear = LayerwiseLinear(heads, width, w_dim, lr_mul=8.0)

    def forward(self, x: Tensor) -> Tensor:
        """(N, inside, size, size) -> (N, heads, w_dim)."""
        y = self.convs(x).flatten(1).unflatten(1, (self.heads, -1))  # (N, heads, width)
        return self.linear(y.transpose(0, 1)).transpose(0, 1)


class PyramidEncoder(IRSEBody):
    """A picture in, one offset a style out."""

    def __init__(self, config: PyramidEncoderConfig) -> None:
        super().__init__(config.body)
        self.config = config
        c1, c2, c3 = config.body.widths[-3:]
        wide = config.pyramid_width
        self.toplayer: nn.Module = nn.Identity() if c3 == wide else nn.Conv2d(c3, wide, 1)
        self.latlayer1 = nn.Conv2d(c2, wide, 1)
        self.latlayer2 = nn.Conv2d(c1, wide, 1)
        self.styles = nn.ModuleList()
        groups = style_groups(config.num_ws)
        for styles, step in zip(groups, (16, 8, 4), strict=True):
            size, count = config.input_size // step, len(styles)
            if config.heads == "single":
                self.styles.extend(MapToStyle(wide, config.head_width, config.w_dim, size) for _ in styles)
            elif count:
                self.styles.append(GroupedMapToStyle(count, wide, config.head_width, config.w_dim, size))

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, S, S) in any range the body was trained with -> offsets (N, num_ws, w_dim)."""
        c1, c2, c3 = self.stages(x)[-3:]
        p3 = self.toplayer(c3)
        p2 = _grow(p3, c2) + self.latlayer1(c2)
        p1 = _grow(p2, c1) + self.latlayer2(c1)
        maps, groups = (p3, p2, p1), style_groups(self.config.num_ws)
        if self.config.heads == "single":
            return torch.stack(
                [self.styles[i](p) for p, styles in zip(maps, groups, strict=True) for i in styles], dim=1
            )
        used = [p for p, styles in zip(maps, groups, strict=True) if len(styles)]
        return torch.cat([head(p) for head, p in zip(self.styles, used, strict=True)], dim=1)


def style_groups(num_ws: int) -> tuple[range, range, range]:
    """The style numbers read from the coarse, the middle and the fine map."""
    return range(min(COARSE, num_ws)), range(COARSE, min(MIDDLE, num_ws)), range(MIDDLE, num_ws)


def from_first(codes: Tensor, styles: int | None = None) -> Tensor:
    """Codes (N, num_ws, w_dim), of which all but the first are offsets to it, made absolute (e4e, Tov et al.
    2021, section 3.2). From row `styles` on they repeat the first one; None = none does.
    """
    first, offsets = codes[:, :1], codes[:, 1:]
    if styles is not None:
        offsets = torch.cat([offsets[:, : styles - 1], torch.zeros_like(offsets[:, styles - 1 :])], dim=1)
    return torch.cat([first, first + offsets], dim=1)


def _grow(small: Tensor, like: Tensor) -> Tensor:
    return nn.functional.interpolate(small, size=like.shape[-2:], mode="bilinear", align_corners=True)
