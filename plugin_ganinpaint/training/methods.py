"""The methods that the loop trains: their stages, what they leave out, and the file they end in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from ganinv.parts import Backbone, ConfigError, PublishedEncoder, backbone_record, save_encoder

from ..weights import save_networks
from .common import Completing, Networks, Stage
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
    setup: str | None = None
    """The only value of `setup` that fits; None = the configuration's."""
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
        plain = TrainConfig()
        for name in self.unused:
            if _value(config, name) != _value(plain, name):
                raise ConfigError(f"{self.name} has no {name}: leave it out")
        return config if self.setup is None else replace(config, setup=self.setup)

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


_MIXES = (
    "setup",
    "network.gate",
    "network.skip_resolutions",
    "data.hidden_codes",
    "data.layer_range",
    "losses.mode_seeking",
    "start_from",
)
DIVERSE_INPAINT = Trainable("diverse-inpaint", unused=("stage1.progressive", "stage2.progressive"))
PSP = PlainTrainable(
    "psp", (PlainStage(),), setup="plain", codes="absolute", unused=(*_MIXES, "stage1.progressive")
)
E4E = PlainTrainable("e4e", (PlainStage(),), setup="plain", codes="offsets", unused=_MIXES)


def _value(config: TrainConfig, dotted: str) -> Any:
    value: Any = config
    for name in dotted.split("."):
        value = getattr(value, name)
    return value
