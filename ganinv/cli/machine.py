"""--backbone, --device and --precision turned into a generator ready for use."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ganinv.errors import CheckpointError, UsageError

if TYPE_CHECKING:
    from ganinv.api import Backbone, Inversion


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
