"""Stage 1: encoder and mixing network find codes that draw what is known, and a free rest."""

from __future__ import annotations

from torch import Tensor, nn

from ganinv.parts import Backbone

from .. import losses
from ..config import NetworkConfig
from .common import Networks, render
from .data import Batch
from .settings import StageSettings


def build(config: NetworkConfig, backbone: Backbone) -> Networks:
    """The networks of stage 1, freshly initialised from torch's global generator."""
    return Networks(config, backbone.w_avg, with_skip=False).to(backbone.w_avg.device)


def parameter_groups(networks: Networks, settings: StageSettings) -> list[dict[str, object]]:
    """What the optimiser moves, with each group's share of the learning rate."""
    return [{"params": list(networks.parameters()), "lr": settings.lr, "share": 1.0}]


def outputs(networks: nn.Module, backbone: Backbone, batch: Batch) -> tuple[Tensor, Tensor]:
    """Pictures (P * N, 3, R, R) of all passes and the codes w_out (P * N, num_ws, w_dim) behind them."""
    w_out, _, _ = networks(batch.erased, batch.visible, batch.w_rand, lambda ws: render(backbone, ws))
    return render(backbone, w_out), w_out


def code_distance(networks: nn.Module, backbone: Backbone, batch: Batch) -> Tensor:
    """Mean squared distance of w_enc to the true codes, in units of the codes' spread; a scalar.

    Our warm-up: pictures are generated, so the encoder can first learn codes directly. No picture is drawn
    and nothing goes back through the generator, which makes such a step several times cheaper. Real pictures
    have no code and are left out.
    """
    _, _, w_enc = networks(batch.erased, batch.visible, batch.w_rand, lambda ws: render(backbone, ws))
    return losses.code_distance(w_enc, batch.w_true, batch.has_code, backbone.w_avg)
