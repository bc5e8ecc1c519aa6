"""--backbone, --device and --precision turned into a generator ready for use."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ganinv.errors import UsageError

if TYPE_CHECKING:
    from ganinv.api import Backbone


def open_backbone(name_or_path: str, device: str, precision: str) -> Backbone:
    """The backbone on the device, computing in the precision.

    Raises:
        UnknownNameError, CheckpointError: no such backbone.
        UsageError: no such device, or the backbone cannot compute in that precision.
    """
    from ganinv.api import load_backbone

    return _in_precision(load_backbone(name_or_path, device=_picked(device)), precision)


def open_backbone_of(weights: str | Path | None, device: str, precision: str) -> Backbone:
    """The same for the backbone that goes with a method's weights, see `load_backbone_of`."""
    from ganinv.backbones.loading import load_backbone_of

    return _in_precision(load_backbone_of(weights, device=_picked(device)), precision)


def _picked(device: str) -> str:
    import torch

    return ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device


def _in_precision(backbone: Backbone, precision: str) -> Backbone:
    import torch

    if precision == "bfloat16":
        if not hasattr(backbone, "compute_dtype"):
            raise UsageError(
                f"{backbone.family} backbones compute in float32 only: drop --precision bfloat16"
            )
        setattr(backbone, "compute_dtype", torch.bfloat16)  # noqa: B010  (not every family has it)
    return backbone
