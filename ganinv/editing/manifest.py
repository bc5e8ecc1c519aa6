"""Files of directions: one safetensors file for any number of edits of any kind, with the facts of each.

The header's `config` maps each name to its manifest: form, space, unit, layers, backbone_sha256, safe_range,
licence, origin, about (see `ganinv.editing.edits.Edit`). The tensors of an edit are called "NAME/PART".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from ganinv.checkpoints import read_checkpoint, write_checkpoint
from ganinv.editing.edits import Coordinate, Direction, Edit
from ganinv.editing.mapper import Mapper
from ganinv.editing.style_shift import StyleShift
from ganinv.errors import CheckpointError, UsageError

KIND = "directions"
FORMS: dict[str, type[Edit]] = {cls.form: cls for cls in (Direction, Coordinate, Mapper, StyleShift)}
"""Every kind of edit by the name that a file gives it."""


def manifest(edit: Edit) -> dict[str, Any]:
    """The facts of an edit as plain data."""
    return {
        "form": edit.form,
        "space": edit.space,
        "unit": edit.unit,
        "layers": list(edit.layers) if edit.layers else None,
        "backbone_sha256": edit.backbone_sha256,
        "safe_range": list(edit.safe_range) if edit.safe_range else None,
        "licence": edit.licence,
        "origin": edit.origin,
        "about": edit.about,
    }


def read_directions(path: str | Path) -> dict[str, Edit]:
    """The edits of a file of `write_directions`, by name. Raises CheckpointError."""
    stored = read_checkpoint(path, kind=KIND)
    tensors: dict[str, dict[str, Tensor]] = {}
    for key, tensor in stored.tensors.items():
        name, _, part = key.rpartition("/")
        tensors.setdefault(name, {})[part] = tensor.float()
    if stored.config.keys() != tensors.keys():
        raise CheckpointError(f"{path} is damaged: its header and its tensors name different directions")
    try:
        return {name: _edit(name, entry, tensors[name], path) for name, entry in stored.config.items()}
    except (AttributeError, KeyError, IndexError, TypeError, ValueError) as cause:
        raise CheckpointError(f"{path} is damaged: {cause}") from cause


def write_directions(
    path: str | Path, edits: Iterable[Edit], *, provenance: Mapping[str, Any] | None = None
) -> str:
    """Writes edits to a file; gives its SHA-256. Raises OutputError, UsageError for two of a name."""
    listed = list(edits)
    if len({edit.name for edit in listed}) < len(listed):
        raise UsageError(
            f"two directions of one name cannot go into {path}: {', '.join(edit.name for edit in listed)}"
        )
    config = {edit.name: manifest(edit) for edit in listed}
    tensors = {f"{e.name}/{part}": tensor.float() for e in listed for part, tensor in e.tensors().items()}
    return write_checkpoint(path, tensors, kind=KIND, family=KIND, config=config, provenance=provenance)


def _edit(name: str, entry: Mapping[str, Any], tensors: Mapping[str, Tensor], path: str | Path) -> Edit:
    layers, safe_range = entry["layers"], entry["safe_range"]
    return FORMS[entry["form"]].from_tensors(
        name,
        tensors,
        unit=float(entry["unit"]),
        layers=None if layers is None else (int(layers[0]), int(layers[1])),
        backbone_sha256=entry["backbone_sha256"],
        safe_range=None if safe_range is None else (float(safe_range[0]), float(safe_range[1])),
        licence=str(entry["licence"]),
        origin=str(entry["origin"]) or Path(path).name,
        about=str(entry["about"]),
    )
