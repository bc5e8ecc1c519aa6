"""--backbone and the options of the machine turned into a generator ready for use."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ganinv.api import Backbone


def open_backbone(name_or_path: str, device: str, **running: Any) -> Backbone:
    """The backbone on the device; `running`: precision, chunk and compiled of `load_backbone`.

    Raises:
        UnknownNameError, CheckpointError: no such backbone.
        UsageError: no such device, or the backbone cannot run in that way.
    """
    from ganinv.api import load_backbone

    return load_backbone(name_or_path, device=_picked(device), **running)


def open_backbone_of(weights: str | Path | None, device: str, **running: Any) -> Backbone:
    """The same for the backbone that goes with a method's weights, see `load_backbone_of`."""
    from ganinv.backbones.loading import load_backbone_of

    return load_backbone_of(weights, device=_picked(device), **running)


def _picked(device: str) -> str:
    import torch

    return ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
