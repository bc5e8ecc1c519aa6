"""--backbone, --device and --precision turned into a generator ready for use."""

from __future__ import annotations

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
    import torch

    from ganinv.api import load_backbone

    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    backbone = load_backbone(name_or_path, device=device)
    if precision == "bfloat16":
        if not hasattr(backbone, "compute_dtype"):
            raise UsageError(
                f"{backbone.family} backbones compute in float32 only: drop --precision bfloat16"
            )
        setattr(backbone, "compute_dtype", torch.bfloat16)  # noqa: B010  (not every family has it)
    return backbone
