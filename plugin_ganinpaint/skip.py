"""Stage 2: the skip encoder, which brings back what a style code cannot hold."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from ganinv.parts import IRSEBody, IRSEConfig, shrink, shrink_erased

from .config import NetworkConfig


class SkipEncoder(nn.Module):
    """[erased, visible, y1] -> for each chosen block sigmoid(a) * s, to be added to its features."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        options = config.skip
        levels = len(options.widths)
        # Seven channels: the erased picture, where it is known, and the picture that stage 1 draws.
        self.body = IRSEBody(
            IRSEConfig(
                in_channels=7,
                stem_width=options.widths[0],
                stem_stride=2,
                widths=options.widths,
                units=options.units,
                strides=(1,) + (2,) * (levels - 1),
                stride_early=True,
            )
        )
        wide = options.pyramid_width
        self.laterals = nn.ModuleList(nn.Conv2d(width, wide, 1) for width in options.widths)
        self.residual, self.gate = nn.ModuleDict(), nn.ModuleDict()
        for side in options.resolutions:
            residual = nn.Conv2d(wide, config.feature_channels[side], 1)
            gate = nn.Conv2d(wide, config.feature_channels[side], 1)
            for head, bias in ((residual, 0.0), (gate, options.gate_bias)):
                nn.init.normal_(head.weight, std=0.1 / wide**0.5)
                nn.init.constant_(head.bias, bias)  # type: ignore[arg-type]
            self.residual[str(side)], self.gate[str(side)] = residual, gate

    def forward(self, erased: Tensor, visible: Tensor, y1: Tensor) -> dict[int, Tensor]:
        """Features that carry the known pixels over to the generator.

        Args:
            erased: (N, 3, R, R) in [-1, 1]; what it holds where `visible` is 0 is not read.
            visible: (N, 1, R, R), 1 = known.
            y1: (N, 3, R, R), the picture of stage 1.

        Returns:
            block side r -> delta (N, C_r, r, r), to be added to that block's features.
        """
        return {side: torch.sigmoid(a) * s for side, (a, s) in self.heads(erased, visible, y1).items()}

    def heads(self, erased: Tensor, visible: Tensor, y1: Tensor) -> dict[int, tuple[Tensor, Tensor]]:
        """Block side r -> gate logits a_r and residual s_r, each (N, C_r, r, r)."""
        size = self.config.skip.input_size
        small, known = shrink_erased(erased, visible, size)
        maps = self.body.stages(torch.cat([small, known, shrink(y1, size)], dim=1))
        out: dict[int, tuple[Tensor, Tensor]] = {}
        top: Tensor | None = None
        for lateral, level in zip(reversed(self.laterals), reversed(maps), strict=True):
            side = lateral(level)
            if top is not None:
                side = side + interpolate(top, size=side.shape[-2:], mode="bilinear", align_corners=False)
            top = side
            r = side.shape[-1]
            if r in self.config.skip.resolutions:
                x = nn.functional.leaky_relu(side, 0.2)
                out[r] = (self.gate[str(r)](x), self.residual[str(r)](x))
        return dict(sorted(out.items()))
