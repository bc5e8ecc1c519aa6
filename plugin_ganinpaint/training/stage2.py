"""Stage 2: the skip encoder brings back what a code cannot hold; the other networks stand still at first.

Edit consistency: some rows of the full pass are rendered from w_out + edit with the skip features of the
unedited picture, and must equal the truly edited picture on every pixel. The features have to give way where
the edit asks.
"""

from __future__ import annotations

from itertools import chain

from torch import Tensor, nn

from ganinv.parts import Backbone

from ..config import NetworkConfig
from .common import Networks, render
from .data import Batch
from .settings import StageSettings

THAWED_SHARE = 0.1
"""Share of the learning rate for encoder and mixing network once they learn again."""


def build(config: NetworkConfig, backbone: Backbone) -> Networks:
    """The networks of stage 2, freshly initialised from torch's global generator."""
    return Networks(config, backbone.w_avg, with_skip=True).to(backbone.w_avg.device)


def parameter_groups(networks: Networks, settings: StageSettings) -> list[dict[str, object]]:
    """What the optimiser moves, with each group's share of the learning rate."""
    assert networks.skip is not None
    groups: list[dict[str, object]] = [
        {"params": list(networks.skip.parameters()), "lr": settings.lr, "share": 1.0}
    ]
    if settings.thaw_from < 1:
        codes = list(chain(networks.encoder.parameters(), networks.mixing.parameters()))
        groups.append({"params": codes, "lr": settings.lr, "share": THAWED_SHARE})
    return groups


def set_frozen(networks: Networks, settings: StageSettings, progress: float) -> None:
    """Freeze encoder and mixing network until the progress at which they are to learn again."""
    networks.codes_learn = settings.thaw_from < 1 and progress >= settings.thaw_from


def outputs(networks: nn.Module, backbone: Backbone, batch: Batch) -> tuple[Tensor, Tensor]:
    """Pictures (P * N, 3, R, R) of all passes, edited where the batch says so, and the unedited w_out."""
    w_out, deltas, _ = networks(batch.erased, batch.visible, batch.w_rand, lambda ws: render(backbone, ws))
    drawn = w_out if batch.edit is None else w_out + batch.edit
    return render(backbone, drawn, deltas), w_out
