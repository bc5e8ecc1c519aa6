"""The weight file of the co-modulated U-Net: one format for training and use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ganinv.parts import (
    Backbone,
    CheckpointError,
    backbone_record,
    check_backbone,
    load_weights,
    read_checkpoint,
    write_checkpoint,
)

from .network import CoModConfig, CoModUNet

KIND = "comod"


@dataclass(frozen=True)
class TrainedCoMod:
    """The network of a weight file, in evaluation mode, without gradients."""

    network: CoModUNet
    name: str
    """The file's stem."""
    sha256: str
    """Of the file."""
    provenance: Mapping[str, Any]
    """How the weights were made, as the training wrote it."""


def save_comod(
    path: str | Path,
    network: CoModUNet,
    *,
    backbone: Backbone,
    provenance: Mapping[str, Any] | None = None,
    dtype: torch.dtype | None = None,
) -> str:
    """Write the network's weights (the averaged ones, for use) to one file. Returns its SHA-256.

    Args:
        backbone: the one whose random codes the network was trained to hear.
        dtype: float16 halves the file; None keeps float32.

    Raises:
        OutputError: the file cannot be written.
    """
    config = {"network": network.config.to_json(), "backbone": backbone_record(backbone)}
    tensors = network.state_dict()
    return write_checkpoint(
        path, tensors, kind=KIND, family=KIND, config=config, provenance=provenance, dtype=dtype
    )


def load_comod(path: str | Path, backbone: Backbone) -> TrainedCoMod:
    """Read what `save_comod` wrote, onto the backbone's device.

    Raises:
        CheckpointError: no such file, or not one of comod weights.
        BackboneMismatchError: trained with another backbone.
    """
    found = read_checkpoint(path, kind=KIND)
    missing = [key for key in ("network", "backbone") if key not in found.config]
    if missing:
        raise CheckpointError(f"{path} is not complete: its header does not state {', '.join(missing)}")
    check_backbone(backbone, found.config["backbone"].get("sha256"), f"the weight file {path}")
    network = CoModUNet(CoModConfig.from_json(found.config["network"]))
    load_weights(network, found.tensors, source=path)
    network.eval().requires_grad_(False).to(backbone.w_avg.device)
    return TrainedCoMod(network, Path(path).stem, found.sha256, found.provenance)
