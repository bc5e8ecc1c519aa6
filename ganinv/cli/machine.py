"""--backbone and the options of `machine_options` turned into a generator ready for use."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ganinv.errors import CheckpointError, UsageError

if TYPE_CHECKING:
    from ganinv.api import Backbone, Inversion
    from ganinv.cli.common import Machine


def open_backbone(name_or_path: str, machine: Machine) -> Backbone:
    """The backbone on the device, computing as asked.

    Raises:
        UnknownNameError, CheckpointError: no such backbone.
        UsageError: no such device, or the backbone cannot compute in that precision, or not be compiled.
    """
    from ganinv.api import load_backbone

    return _set_up(load_backbone(name_or_path, device=_picked(machine.device)), machine)


def open_backbone_of(weights: str | Path | None, machine: Machine) -> Backbone:
    """The same for the backbone that goes with a method's weights, see `load_backbone_of`."""
    from ganinv.backbones.loading import load_backbone_of

    return _set_up(load_backbone_of(weights, device=_picked(machine.device)), machine)


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


def _set_up(backbone: Backbone, machine: Machine) -> Backbone:
    import torch

    from ganinv.backbones.passes import compile_passes

    if machine.precision == "bfloat16":
        if not hasattr(backbone, "compute_dtype"):
            raise UsageError(
                f"{backbone.family} backbones compute in float32 only: drop --precision bfloat16"
            )
        setattr(backbone, "compute_dtype", torch.bfloat16)  # noqa: B010  (not every family has it)
    backbone.chunk = machine.chunk
    if machine.compiled:
        compile_passes(backbone)
    return backbone
