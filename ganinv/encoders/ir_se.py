"""The bodies of pSp, e4e and ReStyle: IR-SE (batch norm, PReLU, squeeze-and-excitation) and ResNet-34.

Parameter names follow the published files: `input_layer`, `body.N.res_layer`, `body.N.shortcut_layer` of
IR-SE; `conv1`, `bn1`, `relu`, `body.N.conv1` ... of ResNet (He et al. 2016, arXiv 1512.03385).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from ganinv.errors import ConfigError, UnknownNameError


@dataclass(frozen=True)
class IRSEConfig:
    """Shape of a body. The defaults are IR-SE-50."""

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
    """Squeeze-and-excitation keeps channels / squeeze in between."""
    squeeze_least: int = 4
    """Squeeze-and-excitation keeps at least that many channels."""
    unit: Literal["ir-se", "resnet"] = "ir-se"
    """"resnet": two-convolution units behind a 7x7 stem, as in ResNet-34; the squeeze is then unused."""

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
                + (self.in_channels, self.stem_width, self.stem_stride, self.squeeze, self.squeeze_least)
            )
            < 1
        ):
            raise ConfigError("every width, unit count and stride of an IR-SE body must be at least 1")
        if self.unit not in ("ir-se", "resnet"):
            raise UnknownNameError("unit of an encoder body", self.unit, ["ir-se", "resnet"])


class SqueezeExcite(nn.Module):
    """Scales each channel by a number read from the whole map."""

    def __init__(self, channels: int, squeeze: int, least: int = 4) -> None:
        super().__init__()
        middle = max(channels // squeeze, least)
        self.fc1 = nn.Conv2d(channels, middle, 1, bias=False)
        self.fc2 = nn.Conv2d(middle, channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> the same shape."""
        s = x.mean((2, 3), keepdim=True)  # (N, C, 1, 1)
        return x * torch.sigmoid(self.fc2(torch.relu(self.fc1(s))))


class Pointwise(nn.Conv2d):
    """A 1x1 convolution without bias that takes every `stride`-th pixel.

    It takes them before it convolves. oneDNN's own strided kernel (PyTorch 2.13, AVX-512, channels_last)
    writes past its buffers in the backward pass where there are fewer than 16 channels.
    """

    def __init__(self, inside: int, outside: int, stride: int) -> None:
        super().__init__(inside, outside, 1, bias=False)
        self.every = stride

    def forward(self, x: Tensor) -> Tensor:
        """(N, inside, H, W) -> (N, outside, H / stride, W / stride)."""
        return super().forward(x[:, :, :: self.every, :: self.every])


class IRSEUnit(nn.Module):
    """Batch norm, 3x3, PReLU, 3x3, batch norm, squeeze-and-excitation; added to a shortcut."""

    def __init__(self, inside: int, outside: int, stride: int, config: IRSEConfig) -> None:
        super().__init__()
        first, second = (stride, 1) if config.stride_early else (1, stride)
        self.res_layer = nn.Sequential(
            nn.BatchNorm2d(inside),
            nn.Conv2d(inside, outside, 3, first, 1, bias=False),
            nn.PReLU(outside),
            nn.Conv2d(outside, outside, 3, second, 1, bias=False),
            nn.BatchNorm2d(outside),
            SqueezeExcite(outside, config.squeeze, config.squeeze_least),
        )
        self.shortcut_layer: nn.Module
        if inside != outside:
            self.shortcut_layer = nn.Sequential(Pointwise(inside, outside, stride), nn.BatchNorm2d(outside))
        else:
            self.shortcut_layer = nn.MaxPool2d(1, stride) if stride > 1 else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(N, inside, H, W) -> (N, outside, H / stride, W / stride)."""
        return self.res_layer(x) + self.shortcut_layer(x)


class ResNetUnit(nn.Module):
    """Two 3x3 convolutions with batch norm, added to a shortcut, ReLU last: ResNet's basic block."""

    def __init__(self, inside: int, outside: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inside, outside, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outside)
        self.conv2 = nn.Conv2d(outside, outside, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outside)
        self.downsample: nn.Module = nn.Identity()
        if inside != outside or stride > 1:
            self.downsample = nn.Sequential(Pointwise(inside, outside, stride), nn.BatchNorm2d(outside))

    def forward(self, x: Tensor) -> Tensor:
        """(N, inside, H, W) -> (N, outside, H / stride, W / stride)."""
        y = torch.relu(self.bn1(self.conv1(x)))
        return torch.relu(self.bn2(self.conv2(y)) + self.downsample(x))


class IRSEBody(nn.Module):
    """A picture in, the last feature map of every stage out."""

    def __init__(self, config: IRSEConfig) -> None:
        super().__init__()
        self.body_config = config
        stem, outside, stride = config.in_channels, config.stem_width, config.stem_stride
        if config.unit == "ir-se":
            self.input_layer = nn.Sequential(
                nn.Conv2d(stem, outside, 3, stride, 1, bias=False),
                nn.BatchNorm2d(outside),
                nn.PReLU(outside),
            )
        else:
            self.conv1 = nn.Conv2d(stem, outside, 7, stride, 3, bias=False)
            self.bn1 = nn.BatchNorm2d(outside)
            self.relu = nn.PReLU(outside)
        units: list[nn.Module] = []
        self.stage_ends: list[int] = []
        inside = outside
        for width, count, stride in zip(config.widths, config.units, config.strides, strict=True):
            for k in range(count):
                step = stride if k == 0 else 1
                units.append(
                    IRSEUnit(inside, width, step, config)
                    if config.unit == "ir-se"
                    else ResNetUnit(inside, width, step)
                )
                inside = width
            self.stage_ends.append(len(units) - 1)
        self.body = nn.Sequential(*units)

    def stages(self, x: Tensor) -> list[Tensor]:
        """(N, in_channels, H, W) -> one map a stage, finest first."""
        x = self.input_layer(x) if self.body_config.unit == "ir-se" else self.relu(self.bn1(self.conv1(x)))
        maps: list[Tensor] = []
        for k, unit in enumerate(self.body):
            x = unit(x)
            if k in self.stage_ends:
                maps.append(x)
        return maps

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, H, W) -> the coarsest map (N, widths[-1], h, w)."""
        return self.stages(x)[-1]
