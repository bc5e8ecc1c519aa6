"""Stage 1: encoder and mixing network find codes that draw what is known, and a free rest."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ganinv.parts import Backbone

from ..config import NetworkConfig
from .common import Networks, Stage
from .data import Batch


class Stage1(Stage):
    """Encoder and mixing network, both learning from the start."""

    def build(self, config: NetworkConfig, backbone: Backbone) -> Networks:
        """See `Stage`."""
        return Networks(config, backbone.w_avg, with_skip=False).to(backbone.w_avg.device)


def code_scale(backbone: Backbone, batch: Batch) -> Tensor:
    """What the code distance of a batch is divided by, (2,): how many values of true codes are known, and
    their mean squared distance to the mean code.
    """
    count = batch.has_code.sum() * batch.w_true[0].numel()
    return torch.stack([count.float(), (batch.w_true - backbone.w_avg).square().mean()])


def code_distance(encode: Callable[[Tensor, Tensor], Tensor], batch: Batch, scale: Tensor) -> Tensor:
    """Mean squared distance of w_enc to the true codes, in units of the codes' spread; a scalar.

    Our warm-up: pictures are generated, so the encoder can first learn codes directly. No picture is drawn
    and nothing goes back through the generator, which makes such a step several times cheaper. Real pictures
    have no code and are left out.

    Args:
        encode: erased pictures and their visible pixels -> w_enc.
        batch: of a part of the step's pictures; the distances of all parts add up to that of the whole.
        scale: `code_scale` of all the step's pictures, a mean over the devices.
    """
    count, spread = scale
    error = (encode(batch.erased, batch.visible) - batch.w_true) * batch.has_code[:, None, None]
    return error.square().sum() / count.clamp_min(1) / spread.clamp_min(1e-12)
