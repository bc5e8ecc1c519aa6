"""Directions in other people's files: InterFaceGAN boundaries and GANSpace components.

Everything is read by `ganinv.checkpoints.restricted`, which runs nothing that a file holds.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ganinv.checkpoints.restricted import read_foreign
from ganinv.editing.directions import Direction
from ganinv.errors import CheckpointError


def read_interfacegan(path: str | Path, *, num_ws: int, w_dim: int) -> Direction:
    """An InterFaceGAN boundary (Shen et al. 2020) as a direction: ws + strength * vector, unit 1.

    Args:
        path: `.pt` or `.npy` of [1, w_dim] or [1, num_ws, w_dim]; equal rows become one.
        num_ws, w_dim: of the backbone it is meant for.

    Raises:
        CheckpointError: not a boundary, of another width, or (by its name) one of StyleGAN1.
    """
    path = Path(path)
    if path.suffix == ".npy" and path.name.startswith("stylegan_") and "boundary" in path.name:
        raise CheckpointError(
            f"{path} is a boundary of StyleGAN1, whose W is another space: use one fitted on this backbone"
        )
    value = read_foreign(path)
    if not isinstance(value, Tensor) or not value.is_floating_point() or value.ndim not in (2, 3):
        raise CheckpointError(f"{path} is no InterFaceGAN boundary: expected one tensor [1, {w_dim}]")
    rows = value.float().reshape(-1, value.shape[-1])
    if rows.shape[1] != w_dim or rows.shape[0] not in (1, num_ws):
        raise CheckpointError(
            f"{path} is for codes of {rows.shape[0]} x {rows.shape[1]}, this backbone has "
            f"{num_ws} x {w_dim}: use one fitted on this backbone"
        )
    if torch.equal(rows, rows[:1].expand_as(rows)):
        rows = rows[:1]
    try:
        return Direction(path.stem, rows.clone(), origin=path.name)
    except ValueError as cause:
        raise CheckpointError(f"{path} is no InterFaceGAN boundary: {cause}") from cause


@dataclass(frozen=True, eq=False)
class Components:
    """GANSpace's principal components of W (Haerkoenen et al. 2020).

    mean: [w_dim]. vectors: [K, w_dim], orthonormal rows. deviations: [K], lengths along them.
    """

    mean: Tensor
    vectors: Tensor
    deviations: Tensor

    def move(self, ws: Tensor, component: int, layers: tuple[int, int], target: float) -> Tensor:
        """Codes (..., num_ws, w_dim) whose layers, last excluded, go to an absolute coordinate.

        The step is (target - coordinate of row 0) * deviation * vector; coordinates are in deviations.

        Raises:
            CheckpointError: a component, a layer or a width that is not there.
        """
        first, last = layers
        if not 0 <= component < len(self.vectors):
            raise CheckpointError(f"component {component} of {len(self.vectors)}: count from 0")
        if ws.shape[-1] != len(self.mean) or not 0 <= first < last <= ws.shape[-2]:
            raise CheckpointError(
                f"layers {first} to {last} of width {len(self.mean)} do not fit codes of "
                f"{ws.shape[-2]} x {ws.shape[-1]}: use components of this backbone"
            )
        mean, vector = self.mean.to(ws), self.vectors[component].to(ws)
        reached = (ws[..., 0, :] - mean) @ vector  # in units of W
        step = (target * self.deviations[component].to(ws) - reached)[..., None, None] * vector
        edited = ws.clone()
        edited[..., first:last, :] += step
        return edited


def read_ganspace(path: str | Path) -> Components:
    """A GANSpace file: `mean` [1, w_dim], `comp` [K, 1, w_dim], `std` [K]. Raises CheckpointError."""
    value = read_foreign(Path(path))
    found = [value.get(key) for key in ("mean", "comp", "std")] if isinstance(value, dict) else []
    parts = [part.float() for part in found if isinstance(part, Tensor)]
    if len(parts) != 3:
        raise CheckpointError(f"{path} is no GANSpace file: expected tensors mean, comp and std")
    mean, vectors, deviations = parts
    width = mean.numel()
    if vectors.shape[-1] != width or vectors.numel() != deviations.numel() * width:
        raise CheckpointError(f"{path} is damaged: mean, comp and std do not belong together")
    return Components(mean.reshape(width), vectors.reshape(-1, width), deviations.reshape(-1))
