"""The methods that the loop trains: their stages, what they leave out, and the file they end in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from ganinv.parts import Backbone, ConfigError, PublishedEncoder, backbone_record, save_encoder

from ..comod.weights import save_comod
from ..weights import save_networks
from .common import Completing, Networks, Stage
from .comod import CoModStage, CompletingUNet
from .plain import PlainEncoder, PlainStage
from .settings import TrainConfig
from .stage1 import Stage1
from .stage2 import Stage2
from .start import EncoderStart


@dataclass(frozen=True)
class Trainable:
    """A method as training sees it. Subclasses say how its weights are written."""

    name: str
    stages: Sequence[Stage] = (Stage1(), Stage2())
    setups: tuple[str, ...] = ()
    """Values of `setup` that fit, the default one first; none = all."""
    codes: Literal["absolute", "offsets"] | None = None
    """How its encoder must answer, "absolute" or "offsets"; None = either way."""
    unused: tuple[str, ...] = ()
    """Settings, with dots, that mean nothing here."""

    @property
    def result(self) -> str:
        """Name of the weight file."""
        return f"{self.name}.safetensors"

    def stage(self, number: int) -> Stage:
        """Stage 1 or 2."""
        return self.stages[number - 1]

    def settle(self, config: TrainConfig) -> TrainConfig:
        """The configuration as this method takes it.

        Raises:
            ConfigError: it asks for something that this method does not have.
        """
        default = TrainConfig()
        for name in self.unused:
            if _value(config, name) != _value(default, name):
                raise ConfigError(f"{self.name} has no {name}: leave it out")
        if not self.setups or config.setup in self.setups:
            return config
        if config.setup != default.setup:
            raise ConfigError(
                f"setup {config.setup!r} does not fit {self.name}; possible: {', '.join(self.setups)}"
            )
        return replace(config, setup=self.setups[0])

    def save(
        self, path: Path, networks: Completing, backbone: Backbone, provenance: Mapping[str, Any]
    ) -> str:
        """Write weights for use; returns the file's SHA-256. Raises OutputError."""
        assert isinstance(networks, Networks)
        return save_networks(path, networks, backbone=backbone, provenance=provenance)

    def encoder_start(self, start: EncoderStart) -> EncoderStart:
        """The weights to begin with as this method's encoder takes them.

        Raises:
            ConfigError: an encoder of offsets, where codes are absolute.
        """
        given = start.options.codes
        if self.codes in (None, given):
            return start
        if given == "offsets":
            raise ConfigError(
                f"{self.name} answers a code for each layer, the encoder {start.name} offsets to the first "
                "one: begin with another encoder, or type --method e4e"
            )

        def fill(encoder: Any) -> None:
            start.fill(encoder)
            encoder.silence_offsets()

        return replace(start, options=replace(start.options, codes="offsets"), fill=fill)


class PlainTrainable(Trainable):
    """psp and e4e."""

    def save(
        self, path: Path, networks: Completing, backbone: Backbone, provenance: Mapping[str, Any]
    ) -> str:
        """See `Trainable`; `ganinv invert --method psp --weights` takes the file."""
        assert isinstance(networks, PlainEncoder)
        encoder: PublishedEncoder = networks.encoder.published()
        encoder.family = self.name
        return save_encoder(path, encoder, backbone=backbone_record(backbone), provenance=provenance)


class CoModTrainable(Trainable):
    """comod."""

    def save(
        self, path: Path, networks: Completing, backbone: Backbone, provenance: Mapping[str, Any]
    ) -> str:
        """See `Trainable`; `ganinv evaluate --method comod --weights` takes the file."""
        assert isinstance(networks, CompletingUNet)
        return save_comod(path, networks.net, backbone=backbone, provenance=provenance)


_MIXES = (
    "network.gate",
    "network.skip_resolutions",
    "data.hidden_codes",
    "data.part_holes",
    "data.layer_range",
    "losses.mode_seeking",
    "start_from",
)
_ENCODES = ("network.encoder_from", "losses.code", "losses.latent", "losses.delta", "stage1.code_images")
_PROGRESSIVE = "stage1.progressive"
DIVERSE_INPAINT = Trainable("diverse-inpaint", unused=(_PROGRESSIVE, "stage2.progressive"))
PSP = PlainTrainable("psp", (PlainStage(),), ("plain",), "absolute", (*_MIXES, _PROGRESSIVE))
E4E = PlainTrainable("e4e", (PlainStage(),), ("plain",), "offsets", _MIXES)
COMOD = CoModTrainable(
    # the full pass would hand it the code of the very picture that it is asked for
    "comod",
    (CoModStage(),),
    ("plain", "partial-only", "classic"),
    unused=(*_MIXES, *_ENCODES, _PROGRESSIVE),
)


def _value(config: TrainConfig, dotted: str) -> Any:
    value: Any = config
    for name in dotted.split("."):
        value = getattr(value, name)
    return value
