"""Edits in other people's files: InterFaceGAN and SFE boundaries, GANSpace components, StyleCLIP mappers.

Everything is read by `ganinv.checkpoints.restricted`, which runs nothing that a file holds.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ganinv.backbones.base import Backbone
from ganinv.checkpoints.restricted import read_foreign
from ganinv.editing.edits import Coordinate, Direction, Edit
from ganinv.editing.mapper import Mapper
from ganinv.errors import CheckpointError, UsageError

SUFFIXES = (".pt", ".pth", ".pkl", ".npy")
KNOWN = (
    "an InterFaceGAN boundary (.pt, .npy), a GANSpace file (mean, comp, std), a StyleCLIP mapper, "
    "ganinv directions (.safetensors)"
)
MAPPER_UNIT = 0.1  # w + 0.1 mapper(w) is the published step
_OLDER = re.compile(r"(stylegan|pggan)_.*boundary")
_WIDEST = 1024  # more numbers in one row are rows for several layers, one after the other
_GROUPS = {"course": "coarse", "medium": "medium", "fine": "fine"}  # "course" is how the files spell it


def read_foreign_edit(path: Path, component: int | None = None, backbone: Backbone | None = None) -> Edit:
    """The edit in a file of InterFaceGAN, SFE, GANSpace or StyleCLIP.

    Args:
        component: which one of a GANSpace file, which needs it; no other file takes it.
        backbone: what it is meant for; refuses files of other widths.

    Raises:
        CheckpointError: absent, damaged, of another generator, or none of these; the text says why.
        UsageError: a component too many or too few.
    """
    tree = read_foreign(path)
    if isinstance(tree, Mapping) and {"mean", "comp", "std"} <= tree.keys():
        edit: Edit = ganspace_component(tree, path, component)
    elif component is not None:
        raise UsageError(f"{path} is no GANSpace file and holds one direction: drop ':{component}'")
    elif isinstance(tree, Tensor):
        edit = boundary(tree, path, backbone)
    elif isinstance(tree, Mapping) and (weights := _mapper_weights(tree)):
        edit = mapper(weights, path)
    else:
        raise CheckpointError(f"{path} holds no direction; known: {KNOWN}")
    if backbone is not None:
        edit.check(backbone)
    return edit


def boundary(value: Tensor, path: Path, backbone: Backbone | None = None) -> Direction:
    """An InterFaceGAN boundary (Shen et al. 2020) as a direction: ws + strength * vector.

    Its rows are of norm 1, and so is the unit; of any other vector the length is.

    Args:
        value: [1, w_dim], or [1, num_ws, w_dim], whose rows become one where they are equal; or SFE's
            [1, num_ws * w_dim], of norm 1 as a whole, for which `backbone` must be known.
        path: its name tells a boundary of StyleGAN1.

    Raises:
        CheckpointError: not a boundary, of another width, or one of StyleGAN1. UsageError: no `backbone`.
    """
    if _OLDER.match(path.name):
        model = "StyleGAN1" if path.name.startswith("stylegan") else "PGGAN"
        raise CheckpointError(
            f"{path} is a boundary of {model}, whose codes are another space: use one made for this backbone"
        )
    if not value.is_floating_point() or value.ndim not in (1, 2, 3) or not value.numel():
        raise CheckpointError(
            f"{path} is no InterFaceGAN boundary: it holds {value.dtype} {list(value.shape)}; "
            "expected [1, w_dim] or [1, num_ws, w_dim]"
        )
    rows = value.float().reshape(-1, value.shape[-1])
    width = rows.shape[1]
    if len(rows) == 1 and width > _WIDEST and backbone is None:
        raise UsageError(
            f"{path} holds the rows of all layers in one, {width} numbers: type --backbone as well"
        )
    if len(rows) == 1 and backbone is not None and _holds_all_rows(width, backbone):
        rows = rows.reshape(-1, backbone.w_dim)
    elif torch.equal(rows, rows[:1].expand_as(rows)):
        rows = rows[:1]
    if backbone is not None and (rows.shape[1] != backbone.w_dim or len(rows) not in (1, backbone.num_ws)):
        raise CheckpointError(
            f"{path} is for codes of {rows.shape[0]} x {rows.shape[1]}, this backbone has "
            f"{backbone.num_ws} x {backbone.w_dim}: use one made for this backbone"
        )
    norms = rows.norm(dim=1)
    unit = 1.0
    if not torch.allclose(norms, torch.ones(1), atol=1e-3):  # not normalised: its length is the step
        unit = rows.norm().item()
        rows = rows / max(unit, 1e-12)
    try:
        return Direction(path.stem, rows.clone(), unit=unit, origin=path.name)
    except ValueError as cause:
        raise CheckpointError(f"{path} is no InterFaceGAN boundary: {cause}") from cause


def _holds_all_rows(width: int, backbone: Backbone) -> bool:
    """Whether a single row is those of all layers, of this backbone or, as its width tells, of another."""
    own = backbone.num_ws * backbone.w_dim
    return width == own or (width > _WIDEST and width % backbone.w_dim == 0)


def ganspace_component(tree: Mapping[str, Any], path: Path, component: int | None) -> Coordinate:
    """A component of a GANSpace file (Haerkoenen et al. 2020): strengths are coordinates, in deviations.

    Args:
        tree: `mean` [1, w_dim], `comp` [K, 1, w_dim] with orthonormal rows, `std` [K].

    Raises:
        UsageError: no component, or one that is not there. CheckpointError: damaged.
    """
    parts = [tree[key] for key in ("mean", "comp", "std")]
    if not all(isinstance(part, Tensor) for part in parts):
        raise CheckpointError(f"{path} is no GANSpace file: expected tensors mean, comp and std")
    mean, vectors, deviations = (part.float() for part in parts)
    width = mean.numel()
    if vectors.ndim == 0 or vectors.shape[-1] != width or vectors.numel() != deviations.numel() * width:
        raise CheckpointError(f"{path} is damaged: mean, comp and std do not belong together")
    count = deviations.numel()
    if component is None or not 0 <= component < count:
        problem = "name one of them" if component is None else f"{component} is none of them"
        raise UsageError(
            f"{path} holds GANSpace components 0 to {count - 1}; {problem}: type {path.name}:0, or "
            f"{path.name}:0:4-7 for some layers only"
        )
    try:
        return Coordinate(
            f"{path.stem}-{component}",
            vectors.reshape(count, width)[component][None].clone(),
            mean.reshape(width).clone(),
            unit=deviations.reshape(count)[component].item(),
            origin=f"{path.name}, component {component}",
        )
    except ValueError as cause:
        raise CheckpointError(f"{path} is no GANSpace file: {cause}") from cause


def mapper(weights: Mapping[str, Tensor], path: Path) -> Mapper:
    """A latent mapper of StyleCLIP, unit 0.1, of the weights that its file names "course_mapping", ...

    Raises CheckpointError where its networks are not of four layers.
    """
    try:
        return Mapper(path.stem, weights, unit=MAPPER_UNIT, origin=path.name)
    except ValueError as cause:
        raise CheckpointError(f"{path} is no StyleCLIP mapper that ganinv knows: {cause}") from cause


def _mapper_weights(tree: Mapping[Any, Any]) -> dict[str, Tensor]:
    """Weights under our names: "course_mapping.NAME.3.bias" is "coarse.2.bias", counted by their order.

    The file wraps them under `state_dict` with the prefix `mapper.`, or holds them bare.
    """
    inner = tree.get("state_dict", tree)
    found: dict[str, dict[int, dict[str, Tensor]]] = {}
    for key, value in inner.items() if isinstance(inner, Mapping) else ():
        match = re.fullmatch(
            r"(?:mapper\.)?(course|medium|fine)_mapping\.(?:.*\.)?(\d+)\.(weight|bias)", str(key)
        )
        if match and isinstance(value, Tensor):
            group, index, kind = match.groups()
            found.setdefault(_GROUPS[group], {}).setdefault(int(index), {})[kind] = value.float()
    return {
        f"{group}.{place}.{kind}": tensor
        for group, layers in found.items()
        for place, index in enumerate(sorted(layers))
        for kind, tensor in layers[index].items()
    }
