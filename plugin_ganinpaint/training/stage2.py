"""Stage 2: the skip encoder brings back what a code cannot hold; the other networks stand still at first.

Edit consistency: some rows of the full pass are rendered from w_out + edit with the skip features of the
unedited picture, and must equal the truly edited picture on every pixel. The features have to give way where
the edit asks.
"""

from __future__ import annotations

from itertools import chain

from ganinv.parts import Backbone

from ..config import NetworkConfig
from .common import Completing, Networks, Stage
from .settings import StageSettings

THAWED_SHARE = 0.1
"""Share of the learning rate for encoder and mixing network once they learn again."""


class Stage2(Stage):
    """The skip encoder, and later, slowly, the networks of stage 1."""

    number = 2

    def build(self, config: NetworkConfig, backbone: Backbone) -> Networks:
        """See `Stage`."""
        return Networks(config, backbone.w_avg, with_skip=True).to(backbone.w_avg.device)

    def parameter_groups(self, networks: Completing, settings: StageSettings) -> list[dict[str, object]]:
        """See `Stage`."""
        assert isinstance(networks, Networks) and networks.skip is not None
        groups: list[dict[str, object]] = [
            {"params": list(networks.skip.parameters()), "lr": settings.lr, "share": 1.0}
        ]
        if settings.thaw_from < 1:
            codes = list(chain(networks.encoder.parameters(), networks.mixing.parameters()))
            groups.append({"params": codes, "lr": settings.lr, "share": THAWED_SHARE})
        return groups

    def prepare(self, networks: Completing, settings: StageSettings, progress: float) -> None:
        """Freeze encoder and mixing network until the progress at which they are to learn again."""
        assert isinstance(networks, Networks)
        networks.codes_learn = settings.thaw_from < 1 and progress >= settings.thaw_from
