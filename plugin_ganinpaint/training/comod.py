"""The co-modulated U-Net in the loop: no encoder, no codes, pictures at once."""

from __future__ import annotations

from torch import Tensor

from ganinv.parts import Backbone

from ..comod.network import CoModUNet
from ..config import NetworkConfig
from .common import Completing, Draw, Stage

PRESETS = {"ir-se-50": "large"}
"""Sizes that go by another name here."""


class CompletingUNet(Completing):
    """The network under the loop's names; its random vector is the first row of a code."""

    def __init__(self, config: NetworkConfig, net: CoModUNet) -> None:
        super().__init__()
        self.config, self.net = config, net

    def forward(
        self, erased: Tensor, visible: Tensor, w_rand: Tensor, draw: Draw, edit: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """See `Completing`; nothing is drawn by the generator, and nothing can be edited."""
        maps, vector = self.net.encode(erased, visible)
        passes = len(w_rand) // len(erased)
        each = [m.repeat(passes, 1, 1, 1) for m in maps], vector.repeat(passes, 1)
        return self.net.decode(*each, w_rand[:, 0]).float(), w_rand


class CoModStage(Stage):
    """Its one stage."""

    def build(self, config: NetworkConfig, backbone: Backbone) -> CompletingUNet:
        """See `Stage`."""
        preset = PRESETS.get(config.encoder.preset, config.encoder.preset)
        net = CoModUNet.for_backbone(backbone, preset, content=config.content)
        return CompletingUNet(config, net).to(backbone.w_avg.device)
