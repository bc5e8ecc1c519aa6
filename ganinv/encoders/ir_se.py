"""The IR-SE body of pSp and e4e: residual units with batch norm, PReLU and squeeze-and-excitation.

Parameter names follow the published checkpoints (`input_layer`, `body.N.res_layer`, `body.N.shortcut_layer`).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ganinv.errors import ConfigError


@dataclass(frozen=True)
class IRSEConfig:
    """Shape of an IR-SE body. The defaults are IR-SE-50."""

    in_channels: int = 3
    """Channels of the input picture; 4 where the visible map travels with it."""
    widths: tuple[int, ...] = (64, 128, 256, 512)
    """Channels of each stage."""
    units: tuple[int, ...] = (3, 4, 14, 3)
    """Residual units of each stage."""
    strides: tuple[int, ...] = (2, 2, 2, 2)
    """Stride of each stage's first unit."""
    stem_width: int = 64
    """Channels of the first convolution."""
    stem_stride: int = 1
    """Stride of the first convolution; 2 saves most of the cost of small bodies."""
    stride_early: bool = False
    """True puts a unit's stride on its first convolution, not its second: cheaper, other than published."""
    squeeze: int = 16
    """Squeeze-and-excitation keeps channels / squeeze in between (at least 4)."""

    def __post_init__(self) -> None:
        if not self.widths or not len(self.widths) == len(self.units) == len(self.strides):
            raise ConfigError(
                f"widths {self.widths}, units {self.units} and strides {self.strides} "
                "must name the same stages"
            )
        if (
            min(
                self.widths
                + self.units
                + self.strides
                + (self.in_channels, self.stem_width, self.stem_stride, self.squeeze)
            )
            < 1
        ):
            raise ConfigError("every width, unit count and stride of an IR-SE body must be at least 1")


class SqueezeExcite(nn.Module):
    """Scales each channel by a number read from the whole map."""

    def __init__(self, channels: int, squeeze: int) -> None:
        super().__init__()
        middle = max(channels // squeeze, 4)
        self.fc1 = nn.Conv2d(channels, middle, 1, bias=False)
        self.fc2 = nn.Conv2d(middle, channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> the same shape."""
        s = x.mean((2, 3), keepdim=True)  # (N, C, 1, 1)
        return x * torch.sigmoid(self.fc2(torch.relu(self.fc1(s))))


class IRSEUnit(nn.Module):
    """Batch norm, 3x3, PReLU, 3x3, batch norm, squeeze-and-excitation; added to a shortcut."""

    def __init__(self, inside: int, outside: int, stride: int, *, squeeze: int, stride_early: bool) -> None:
        super().__init__()
        first, second = (stride, 1) if stride_early else (1, stride)
        self.res_layer = nn.Sequential(
            nn.BatchNorm2d(inside),
            nn.Conv2d(inside, outside, 3, first, 1, bias=False),
            nn.PReLU(outside),
            nn.Conv2d(outside, outside, 3, second, 1, bias=False),
            nn.BatchNorm2d(outside),
            SqueezeExcite(outside, squeeze),
        )
        self.shortcut_layer: nn.Module
        if inside != outside:
            self.shortcut_layer = nn.Sequential(
                nn.Conv2d(inside, outside, 1, stride, bias=False), nn.BatchNorm2d(outside)
            )
        else:
            self.shortcut_layer = nn.MaxPool2d(1, stride) if stride > 1 else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(N, inside, H, W) -> (N, outside, H / stride, W / stride)."""
        return self.res_layer(x) + self.shortcut_layer(x)


class IRSEBody(nn.Module):
    """A picture in, the last feature map of every stage out."""

    def __init__(self, config: IRSEConfig) -> None:
        super().__init__()
        self.body_config = config
        stem = config.stem_width
        self.input_layer = nn.Sequential(
            nn.Conv2d(config.in_channels, stem, 3, config.stem_stride, 1, bias=False),
            nn.BatchNorm2d(stem),
            nn.PReLU(stem),
        )
        units: list[IRSEUnit] = []
        self.stage_ends: list[int] = []
        inside = stem
        for width, count, stride in zip(config.widths, config.units, config.strides, strict=True):
            for k in range(count):
                units.append(
                    IRSEUnit(
                        inside,
                        width,
                        stride if k == 0 else 1,
                        squeeze=config.squeeze,
                        stride_early=config.stride_early,
                    )
                )
                inside = width
            self.stage_ends.append(len(units) - 1)
        self.body = nn.Sequential(*units)

    def stages(self, x: Tensor) -> list[Tensor]:
        """(N, in_channels, H, W) -> one map a stage, finest first."""
        x = self.input_layer(x)
        maps: list[Tensor] = []
        for k, unit in enumerate(self.body):
            x = unit(x)
            if k in self.stage_ends:
                maps.append(x)
        return maps

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, H, W) -> the coarsest map (N, widths[-1], h, w)."""
        return self.stages(x)[-1]
