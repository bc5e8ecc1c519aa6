"""pSp and e4e on erased pictures, the paper's baselines: an encoder is asked for the whole picture.

pSp (Richardson et al. 2021, arXiv 2008.00951) answers a code for each layer. e4e (Tov et al. 2021,
arXiv 2102.02766) answers one code and an offset for each further layer; offsets come in one after the other,
are kept small, and a latent discriminator keeps the codes among those of the mapping network.
"""

from __future__ import annotations

from torch import Tensor

from ganinv.parts import Backbone

from ..config import NetworkConfig
from ..encoder import ErasedEncoder
from .common import Completing, Draw, Stage
from .settings import StageSettings


class PlainEncoder(Completing):
    """An encoder of erased pictures that listens to nothing else: all passes get the same answer."""

    def __init__(self, config: NetworkConfig, w_avg: Tensor) -> None:
        super().__init__()
        self.config = config
        self.encoder = ErasedEncoder(config, w_avg)

    def encode(self, erased: Tensor, visible: Tensor) -> Tensor:
        """Codes (N, num_ws, w_dim)."""
        return self.encoder(erased, visible).float()

    def forward(
        self, erased: Tensor, visible: Tensor, w_rand: Tensor, draw: Draw, edit: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """See `Completing`."""
        codes = self.encode(erased, visible)
        codes = codes.repeat(len(w_rand) // len(codes), 1, 1)
        return draw(codes if edit is None else codes + edit, {}), codes


class PlainStage(Stage):
    """The one stage of psp and e4e."""

    def build(self, config: NetworkConfig, backbone: Backbone) -> PlainEncoder:
        """See `Stage`."""
        return PlainEncoder(config, backbone.w_avg).to(backbone.w_avg.device)

    def prepare(self, networks: Completing, settings: StageSettings, progress: float) -> None:
        """e4e's progressive training: let in as many offsets as are due."""
        assert isinstance(networks, PlainEncoder)
        styles = networks.config.num_ws
        if networks.config.encoder.codes == "offsets" and progress < settings.progressive:
            networks.encoder.styles = 1 + int(progress / settings.progressive * (styles - 1))
        else:
            networks.encoder.styles = None
