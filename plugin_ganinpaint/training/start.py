"""What a run begins with: sizes of its networks, and weights where the configuration names some."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ganinv.parts import Backbone, NoSuchPartError, find_model, load_encoder

from ..config import EncoderOptions, NetworkConfig
from ..encoder import ErasedEncoder, options_like
from ..weights import TrainedNetworks, load_networks


@dataclass(frozen=True)
class EncoderStart:
    """Shape and weights of an encoder."""

    name: str
    sha256: str
    """Of the file."""
    options: EncoderOptions
    fill: Callable[[ErasedEncoder], object]
    """Gives the weights to an encoder of that shape."""


@dataclass(frozen=True)
class Start:
    """What a run begins with."""

    sizes: NetworkConfig
    encoder: EncoderStart | None
    weights: TrainedNetworks | None
    """Of networks of those sizes; without a skip encoder where a fresh one of another shape is wanted."""


def find_start(name_or_path: str, backbone: Backbone) -> EncoderStart:
    """The encoder in a file: one of pSp or e4e, those that were trained here among them, or that of
    diverse-inpaint weights for this backbone.

    Raises:
        UnknownNameError, CheckpointError: no such file, or no encoder in it. BackboneMismatchError: weights
            of another backbone. ConfigError: an encoder that cannot read erased pictures.
    """
    try:
        published = load_encoder(name_or_path, device=backbone.w_avg.device)
    except NoSuchPartError as cause:
        try:
            found = load_networks(find_model(name_or_path, "encoder"), backbone)
        except NoSuchPartError:
            raise cause from None
        state = found.encoder.state_dict()
        return EncoderStart(
            found.name, found.sha256, found.config.encoder, lambda encoder: encoder.load_state_dict(state)
        )
    return EncoderStart(
        published.name, published.sha256, options_like(published), lambda encoder: encoder.adopt(published)
    )
