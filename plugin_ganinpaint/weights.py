"""The weight file of the plugin: one format for training and use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from ganinv.parts import (
    Backbone,
    CheckpointError,
    backbone_record,
    bundled_models,
    check_backbone,
    find_model,
    load_weights,
    read_checkpoint,
    write_checkpoint,
)

from .config import NetworkConfig
from .encoder import ErasedEncoder
from .mixing import GatedMixing
from .skip import SkipEncoder

KIND = "diverse-inpaint"


class HasNetworks(Protocol):
    """What can be saved: a training module, or what `load_networks` gave."""

    @property
    def config(self) -> NetworkConfig: ...
    @property
    def encoder(self) -> nn.Module: ...
    @property
    def mixing(self) -> nn.Module: ...
    @property
    def skip(self) -> nn.Module | None: ...


@dataclass(frozen=True)
class TrainedNetworks:
    """The networks of a weight file, in evaluation mode, without gradients."""

    config: NetworkConfig
    encoder: ErasedEncoder
    mixing: GatedMixing
    skip: SkipEncoder | None
    """None in a file of stage 1."""
    name: str
    """The file's stem."""
    sha256: str
    """Of the file."""
    provenance: Mapping[str, Any]
    """How the weights were made, as the training wrote it."""

    def tensors(self, *, with_skip: bool) -> dict[str, Tensor]:
        """Under their names in a weight file, with those of the skip encoder or without."""
        return named_tensors(self.encoder, self.mixing, self.skip if with_skip else None)


def named_tensors(encoder: nn.Module, mixing: nn.Module, skip: nn.Module | None) -> dict[str, Tensor]:
    """The networks' tensors under their names in a weight file."""
    parts = {"encoder": encoder, "mixing": mixing, "skip": skip}
    return {
        f"{part}.{key}": value
        for part, module in parts.items()
        if module is not None
        for key, value in module.state_dict().items()
    }


def save_networks(
    path: str | Path,
    networks: HasNetworks,
    *,
    backbone: Backbone,
    provenance: Mapping[str, Any] | None = None,
    dtype: torch.dtype | None = None,
) -> str:
    """Write the networks' weights (the averaged ones, for use) to one file. Returns its SHA-256.

    Args:
        dtype: float16 halves the file; None keeps float32.

    Raises:
        OutputError: the file cannot be written.
    """
    tensors = named_tensors(networks.encoder, networks.mixing, networks.skip)
    config = {
        "networks": networks.config.to_json(),
        "backbone": backbone_record(backbone),
        "stage": 1 if networks.skip is None else 2,
    }
    return write_checkpoint(
        path, tensors, kind=KIND, family=KIND, config=config, provenance=provenance, dtype=dtype
    )


def load_networks(path: str | Path, backbone: Backbone) -> TrainedNetworks:
    """Read what `save_networks` wrote, onto the backbone's device.

    Raises:
        CheckpointError: no such file, or not one of diverse-inpaint weights.
        BackboneMismatchError: trained for another backbone.
    """
    found = read_checkpoint(path, kind=KIND)
    missing = [key for key in ("networks", "backbone", "stage") if key not in found.config]
    if missing:
        raise CheckpointError(f"{path} is not complete: its header does not state {', '.join(missing)}")
    check_backbone(backbone, found.config["backbone"].get("sha256"), f"the weight file {path}")
    config = NetworkConfig.from_json(found.config["networks"])
    device = backbone.w_avg.device
    modules: dict[str, nn.Module] = {
        "encoder": ErasedEncoder(config, backbone.w_avg),
        "mixing": GatedMixing(config, backbone.w_avg),
    }
    if found.config["stage"] == 2:
        modules["skip"] = SkipEncoder(config)
    module = nn.ModuleDict(modules)
    load_weights(module, found.tensors, source=path)
    module.eval().requires_grad_(False).to(device)
    encoder, mixing, skip = module["encoder"], module["mixing"], modules.get("skip")
    assert isinstance(encoder, ErasedEncoder) and isinstance(mixing, GatedMixing)
    assert skip is None or isinstance(skip, SkipEncoder)
    return TrainedNetworks(config, encoder, mixing, skip, Path(path).stem, found.sha256, found.provenance)


def find_weights(backbone: Backbone, weights: str | Path | None) -> Path:
    """The file named by `weights`, or the shipped one that was trained for `backbone`.

    Raises:
        CheckpointError: nothing is shipped for this backbone.
        UnknownNameError: `weights` is neither a shipped file's name nor a path.
    """
    if weights is not None:
        return find_model(weights, KIND)
    shipped = [model.path for model in bundled_models() if model.kind == KIND]
    for path in shipped:
        if read_checkpoint(path, kind=KIND).config.get("backbone") == backbone_record(backbone):
            return path
    raise CheckpointError(
        f"no diverse-inpaint weights are shipped for the backbone {backbone.name!r}: train some with "
        f"ganinv train --method diverse-inpaint --backbone {backbone.path or backbone.name} --out DIR, or "
        "name a weight file: --weights FILE (in Python: weights=FILE)"
    )
