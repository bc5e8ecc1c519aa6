"""Sizes of the plugin's three networks, chosen to suit a backbone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, TypeVar

import torch

from ganinv.parts import (
    Backbone,
    CheckpointError,
    ConfigError,
    PyramidEncoderConfig,
    build_config,
    pyramid_preset,
    sample_z,
)

LARGE = 256
"""From this backbone resolution on the full-size networks are used."""
PAPER_RESOLUTIONS = (32, 64, 128)
"""Where the paper lets skip features in."""


@dataclass(frozen=True)
class EncoderOptions:
    """Shape of the encoder of erased pictures."""

    preset: str = "small"
    """"ir-se-50", "small" or "tiny"; see ganinv/encoders/pyramid.py."""
    input_size: int = 64
    """Side in pixels of the picture that the encoder sees; larger ones are pooled to it."""
    shape: PyramidEncoderConfig | None = None
    """Full shape, in place of the preset's: that of the published encoder it started from."""
    codes: Literal["absolute", "offsets"] = "absolute"
    """"offsets": codes from the second on are added to the first one, as in e4e."""

    def __post_init__(self) -> None:
        if self.codes not in ("absolute", "offsets"):
            raise ConfigError(f"encoder codes are {self.codes!r}; possible: absolute, offsets")


@dataclass(frozen=True)
class MixingOptions:
    """Shape of the mixing network."""

    width: int = 512
    """Hidden channels in each style's network."""
    depth: int = 4
    """Linear layers before the two heads."""
    gate: bool = True
    """False removes the gate: the network's own code is used as it is (plain concatenation, the ablation)."""
    lr_mul: float = 8.0
    """Run-time weight factor of the equalised layers; above 1 they move faster at the same learning rate."""
    visible_side: int = 8
    """Side of the map of what is visible, which the network sees beside the codes; 0 = it sees none."""

    def __post_init__(self) -> None:
        if self.width < 1 or self.depth < 1 or self.lr_mul <= 0 or self.visible_side < 0:
            raise ConfigError(
                f"mixing width {self.width}, depth {self.depth} and lr_mul {self.lr_mul} must be positive"
            )


@dataclass(frozen=True)
class SkipOptions:
    """Shape of the skip encoder."""

    resolutions: tuple[int, ...] = (32,)
    """Sides in pixels of the generator's blocks that get features, ascending."""
    input_size: int = 64
    """Side in pixels of the pictures that the skip encoder sees; at least twice the largest resolution."""
    widths: tuple[int, ...] = (32, 64, 96)
    """Channels at 1/2, 1/4, 1/8 ... of the input."""
    units: tuple[int, ...] = (1, 1, 1)
    """Residual units at 1/2, 1/4, 1/8 ... of the input."""
    pyramid_width: int = 64
    """Channels from which gate and residual are read."""
    gate_bias: float = -3.0
    """Where the gate's logit starts; sigmoid(-3) is 0.05, nearly closed."""

    def __post_init__(self) -> None:
        sides = [self.input_size >> (k + 1) for k in range(len(self.widths))]
        if len(self.widths) != len(self.units):
            raise ConfigError(f"skip widths {self.widths} and units {self.units} must name the same levels")
        if not self.resolutions or any(r not in sides for r in self.resolutions):
            raise ConfigError(
                f"skip resolutions {list(self.resolutions)} cannot be read from an input of "
                f"{self.input_size} px with {len(self.widths)} levels; possible: {sides}"
            )


@dataclass(frozen=True)
class NetworkConfig:
    """All that is needed to build the networks for one backbone; the header of a weight file holds it."""

    resolution: int
    """Side of the backbone's pictures in pixels."""
    num_ws: int
    w_dim: int
    feature_channels: dict[int, int]
    """Channels of the backbone's blocks at the skip resolutions."""
    w_std: float = 1.0
    """Root mean square of w - w_avg of the backbone's own codes: the unit in which the networks see codes."""
    content: tuple[int, int] | None = None
    """Height and width of the middle part of the backbone's pictures that holds content; None = all of it."""
    encoder: EncoderOptions = field(default_factory=EncoderOptions)
    mixing: MixingOptions = field(default_factory=MixingOptions)
    skip: SkipOptions = field(default_factory=SkipOptions)

    @classmethod
    def for_backbone(
        cls,
        backbone: Backbone,
        *,
        preset: str | None = None,
        gate: bool = True,
        skip_resolutions: Sequence[int] | None = None,
        encoder: EncoderOptions | None = None,
        content: tuple[int, int] | None = None,
    ) -> NetworkConfig:
        """The networks that suit `backbone`.

        Args:
            preset: size of all three networks; None: "ir-se-50" from 256 px, "small" from 64 px, else "tiny".
            gate: False for the ablation without a gate.
            skip_resolutions: blocks that get skip features; None: those of 32, 64 and 128 that are at most
                half the backbone's resolution (half of it where none is).
            encoder: of the encoder, in place of the preset's.
            content: middle part (height, width) of the pictures that holds content; None: all of it.

        Raises:
            ConfigError: a skip resolution that the backbone does not have, or above half its side.
        """
        size = backbone.resolution
        preset = preset or ("ir-se-50" if size >= LARGE else "small" if size >= 64 else "tiny")
        resolutions = _skip_resolutions(backbone, skip_resolutions)
        return cls(
            resolution=size,
            num_ws=backbone.num_ws,
            w_dim=backbone.w_dim,
            feature_channels={r: backbone.feature_channels[r] for r in resolutions},
            w_std=code_spread(backbone),
            content=content,
            encoder=encoder or EncoderOptions(preset=preset, input_size=min(size, LARGE)),
            mixing=_mixing_options(backbone, preset, gate),
            skip=_skip_options(preset, min(size, max(LARGE, 2 * resolutions[-1])), resolutions),
        )

    def __post_init__(self) -> None:
        parts = [part * self.encoder.input_size for part in self.content or ()]
        if any(part % self.resolution or part > self.resolution * self.encoder.input_size for part in parts):
            raise ConfigError(
                f"content {self.content} of {self.resolution} px does not fall on whole pixels of the "
                f"encoder's {self.encoder.input_size} px"
            )

    @property
    def encoder_content(self) -> tuple[int, int] | None:
        """`content` in pixels of the encoder's input."""
        if self.content is None:
            return None
        height, width = (part * self.encoder.input_size // self.resolution for part in self.content)
        return height, width

    def pyramid(self) -> PyramidEncoderConfig:
        """The encoder's full configuration: four channels in, one style a layer out."""
        if self.encoder.shape is not None:
            return self.encoder.shape
        return pyramid_preset(
            self.encoder.preset,
            in_channels=4,
            input_size=self.encoder.input_size,
            num_ws=self.num_ws,
            w_dim=self.w_dim,
        )

    def to_json(self) -> dict[str, Any]:
        """Plain data for a file's header."""
        data = asdict(self)
        data["feature_channels"] = {str(r): c for r, c in self.feature_channels.items()}
        return data

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> NetworkConfig:
        """Read what `to_json` wrote.

        Raises:
            CheckpointError: an entry is missing or not known.
        """
        return described(cls, data, "diverse-inpaint")


Description = TypeVar("Description")


def described(kind: type[Description], data: dict[str, Any], family: str) -> Description:
    """The network description in the header of a weight file of `family`.

    Raises:
        CheckpointError: an entry is missing or not known.
    """
    try:
        return build_config(kind, data)
    except ConfigError as error:
        raise CheckpointError(
            f"the network description in this {family} file does not fit: {error}"
        ) from error


def code_spread(backbone: Backbone, count: int = 2048) -> float:
    """Root mean square of w - w_avg over `count` codes of fixed seeds."""
    with torch.no_grad():
        z = sample_z(0, count, backbone.z_dim).to(backbone.w_avg.device)
        w = backbone.map(z, backbone.classes(count))[:, 0]
        return max(float((w - backbone.w_avg).square().mean().sqrt()), 1e-6)


def _skip_resolutions(backbone: Backbone, asked: Sequence[int] | None) -> tuple[int, ...]:
    half = backbone.resolution // 2
    possible = [r for r in backbone.feature_channels if 8 <= r <= half]
    if asked is None:
        return tuple(r for r in PAPER_RESOLUTIONS if r in possible) or (half,)
    wrong = [r for r in asked if r not in possible]
    if wrong or not asked:
        raise ConfigError(f"skip resolutions {list(asked)} do not fit this backbone; possible: {possible}")
    return tuple(sorted(set(asked)))


def _mixing_options(backbone: Backbone, preset: str, gate: bool) -> MixingOptions:
    if preset == "ir-se-50":
        return MixingOptions(width=512, gate=gate)
    if preset == "tiny":
        return MixingOptions(width=32, depth=2, gate=gate)
    width = min(2 * backbone.w_dim, 512)
    while width > 32 and _mixing_size(backbone.num_ws, backbone.w_dim, width) > 1_950_000:
        width -= 16  # the shipped mixing network keeps under 2 M parameters
    return MixingOptions(width=width, gate=gate)


def _mixing_size(layers: int, w_dim: int, width: int, depth: int = 4) -> int:
    """Parameters of a mixing network, biases left out."""
    return layers * (2 * w_dim * width + (depth - 1) * width * width + 2 * width * w_dim)


def _skip_options(preset: str, input_size: int, resolutions: tuple[int, ...]) -> SkipOptions:
    levels = 1  # down to 8 px of context, or as low as the lowest resolution asks
    while input_size >> (levels + 1) >= 8:
        levels += 1
    table = {"tiny": ((8, 12, 16), 16), "small": ((32, 64, 96), 64), "ir-se-50": ((64, 128, 256), 128)}
    widths, pyramid = table.get(preset, table["small"])
    return SkipOptions(
        resolutions=resolutions,
        input_size=input_size,
        widths=tuple(widths[min(k, 2)] for k in range(levels)),
        units=(1,) * levels,
        pyramid_width=pyramid,
    )
