"""The judge: a network that reads the attributes and the identity of a portrait, for figures only.

It is trained on its own renders with its own seed (scripts/train_judge.py), and lends nothing to the
training of other networks. The network that sees attributes for a loss of the generator
(scripts/paired_portraits.py) is of another design. The methods `optimize` and
`pti` look through the judge unless they are given perceptual=pixels: figures of theirs taken with it
flatter them. KID, edit and identity figures are taken with the judge; its own R2 and AUC stand beside them
in docs/results.md, with what it has been used for.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganinv.backbones.loading import find_model
from ganinv.checkpoints import load_weights, read_checkpoint

JUDGE = "portraits-64"
"""The bundled one, which looks at pictures of 64 px."""


@dataclass(frozen=True)
class JudgeConfig:
    """Architecture of the judge, as its checkpoint's header stores it."""

    resolution: int = 64
    names: tuple[str, ...] = ()
    """Attributes read, in order."""
    widths: tuple[int, ...] = (32, 64, 96, 160)
    """Channels at full size and after each halving."""
    identity_dim: int = 64

    def to_json(self) -> dict[str, Any]:
        """Plain data for a header."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> JudgeConfig:
        """Inverse of `to_json`."""
        values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in data.items()}
        return cls(**values)


class ResidualBlock(nn.Module):
    """Pre-activation residual block with group normalisation; `stride=2` halves the size."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.GroupNorm(8, in_channels), nn.GroupNorm(8, out_channels)
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, 1, bias=False)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, 1, 1, bias=False)
        self.shortcut = nn.Conv2d(in_channels, out_channels, 1, bias=False)
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        y = F.silu(self.norm1(x))
        short = self.shortcut(F.avg_pool2d(y, 2) if self.stride == 2 else y)
        return short + self.conv2(F.silu(self.norm2(self.conv1(y))))


class Judge(nn.Module):
    """Pictures `[N, 3, R, R]` in [-1, 1] -> readings of every attribute, an identity code and pooled
    features.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, config: JudgeConfig) -> None:
        super().__init__()
        self.config = config
        widths = config.widths
        self.stem = nn.Conv2d(3, widths[0], 3, 2, 1)
        stages: list[nn.Module] = []
        for below, width in pairwise(widths):
            stages += [ResidualBlock(below, width, 2), ResidualBlock(width, width, 1)]
        self.stages = nn.Sequential(*stages)
        self.side = config.resolution // 2 ** len(widths)
        self.hidden = nn.Linear(widths[-1] * self.side**2, 384)
        self.attributes = nn.Linear(384, len(config.names))
        self.identity_head = nn.Linear(384, config.identity_dim)
        self.register_buffer("mean", torch.zeros(len(config.names)))
        self.register_buffer("std", torch.ones(len(config.names)))

    def features(self, images: Tensor) -> Tensor:
        """Features `[N, 384]` for distances of distributions. Raises ValueError where the size is not
        the network's.
        """
        side = self.config.resolution
        if images.ndim != 4 or images.shape[1:] != (3, side, side):
            raise ValueError(f"pictures of shape {tuple(images.shape)}; expected [N, 3, {side}, {side}]")
        return F.silu(self.hidden(F.silu(self.stages(self.stem(images))).flatten(1)))

    def maps(self, images: Tensor) -> list[Tensor]:
        """Feature maps [N, C, h, w] at the end of each size, for perceptual distances."""
        x, found = self.stem(images), []
        for index, stage in enumerate(self.stages):
            x = stage(x)
            if index % 2 == 1:
                found.append(F.silu(x))
        return found

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Standardised readings `[N, A]` and unit identity codes `[N, identity_dim]`."""
        h = self.features(images)
        return self.attributes(h), F.normalize(self.identity_head(h), dim=1)

    @torch.no_grad()
    def read(self, images: Tensor, *, chunk: int = 256) -> Tensor:
        """Readings `[N, A]` in the attributes' own units, in the order of `config.names`."""
        parts = [self.attributes(self.features(x)) for x in images.split(chunk)]
        return torch.cat(parts) * self.std + self.mean

    def column(self, name: str) -> int:
        """Index of attribute `name` in a reading. Raises ValueError where it is unknown."""
        if name not in self.config.names:
            raise ValueError(f"the judge does not read {name!r}; it reads {', '.join(self.config.names)}")
        return self.config.names.index(name)


def load_judge(name_or_path: Path | str = JUDGE) -> Judge:
    """A judge in evaluation mode, by the name of its domain's backbone or by file.

    Raises:
        UnknownNameError, CheckpointError: no such judge, or the file is none.
    """
    path = find_model(name_or_path, "judge")
    checkpoint = read_checkpoint(path, kind="judge")
    judge = Judge(JudgeConfig.from_json(checkpoint.config))
    load_weights(judge, checkpoint.tensors, source=str(path))
    return judge.eval().requires_grad_(False)
