"""Encoders of pSp, e4e and ReStyle by name or file, and into a file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ganinv.backbones.loading import check_device, fill, find_model
from ganinv.checkpoints import read_checkpoint, write_checkpoint
from ganinv.encoders.published import PublishedEncoder
from ganinv.errors import CheckpointError, ConfigError, UnknownNameError
from ganinv.plugins import registry


def load_encoder(name_or_path: str | Path, *, device: str | torch.device = "cpu") -> PublishedEncoder:
    """An encoder of pSp, e4e or ReStyle ready for use: eval mode, no gradients, `name`, `sha256`, `family`.

    Args:
        name_or_path: the name of a stored model, or a file: of the original programs, or of
            `ganinv models convert --part encoder`.

    Raises:
        UnknownNameError, CheckpointError: no such file, or no encoder in it. UsageError: no such device.
    """
    found = read_checkpoint(find_model(name_or_path, "encoder"), kind="encoder")
    try:
        builder = registry("encoders").get(found.family)
    except UnknownNameError as cause:
        raise CheckpointError(f"{found.path} needs another plugin: {cause.message}") from cause
    try:
        config = {key: value for key, value in found.config.items() if key != "backbone"}
        encoder: PublishedEncoder = fill(lambda: builder(config), found)
    except ConfigError as cause:
        raise CheckpointError(f"{found.path} describes no valid {found.family} encoder: {cause}") from cause
    encoder.name, encoder.sha256, encoder.family = found.path.stem, found.sha256, found.family
    encoder.made_for = found.config.get("backbone")
    return encoder.eval().requires_grad_(False).to(check_device(device))


def save_encoder(
    path: str | Path,
    encoder: PublishedEncoder,
    *,
    backbone: Mapping[str, Any],
    provenance: Mapping[str, Any] | None = None,
) -> str:
    """Write an encoder that `load_encoder` reads, with the record of the backbone it was trained for. Returns
    the file's SHA-256. Raises OutputError.
    """
    return write_checkpoint(
        path,
        encoder.state_dict(),
        kind="encoder",
        family=encoder.family,
        config={**encoder.config.to_json(), "backbone": dict(backbone)},
        provenance=provenance,
    )
