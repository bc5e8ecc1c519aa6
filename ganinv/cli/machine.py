"""--backbone and the options of the machine turned into a generator ready for use."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganinv.allocator import keep_freed_memory
from ganinv.errors import CheckpointError

if TYPE_CHECKING:
    from ganinv.api import Backbone, Inversion


def open_backbone(name_or_path: str, device: str, **running: Any) -> Backbone:
    """The backbone on the device; `running`: precision, chunk and compiled of `load_backbone`.

    Raises:
        UnknownNameError, CheckpointError: no such backbone.
        UsageError: no such device, or the backbone cannot run in that way.
    """
    from ganinv.api import load_backbone

    return load_backbone(name_or_path, device=_made_ready(device), **running)


def open_backbone_of(weights: str | Path | None, device: str, **running: Any) -> Backbone:
    """The same for the backbone that goes with a method's weights, see `load_backbone_of`."""
    from ganinv.backbones.loading import load_backbone_of

    return load_backbone_of(weights, device=_made_ready(device), **running)


def backbone_of(inversion: Inversion, path: Path) -> str:
    """The file of the backbone that the inversion in `path` was made with, found by its digest.

    Raises:
        CheckpointError: it is not at hand.
    """
    from ganinv.backbones.loading import find_by_digest

    found = find_by_digest(str(inversion.backbone.get("sha256")), "generator")
    if found is None:
        raise CheckpointError(
            f"{path} was made with the backbone {inversion.backbone.get('name')!r}, which is neither "
            "in the package nor in your store: type --backbone FILE"
        )
    return str(found)


def _made_ready(device: str) -> str:
    """The device, "auto" decided. Where this process is to compute on the CPU it keeps what it frees."""
    import torch

    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cpu":
        keep_freed_memory()
    return device
