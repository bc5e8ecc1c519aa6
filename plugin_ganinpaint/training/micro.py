"""Parts of a step's batch, for gradients that are added up where the whole does not fit into memory."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from .data import Batch

GROUP = 4
"""Pictures that the discriminator compares with each other; a part holds whole groups."""


@dataclass(frozen=True)
class Part:
    """Some pictures of a step's batch, in all their passes."""

    batch: Batch
    number: Tensor
    """(N,): the place of each picture in the whole batch."""


def parts_of(batch: Batch, count: int) -> list[Part]:
    """Cut a batch into `count` parts of as many pictures, which must be a multiple of `GROUP`.

    Group g of N pictures holds the pictures n of equal n mod (N / GROUP). Parts are cut so that each group
    lies in one of them: the discriminator answers as it does for the whole batch.
    """
    number = torch.arange(len(batch.image), device=batch.image.device)
    if count == 1:
        return [Part(batch, number)]
    groups = number.reshape(GROUP, count, -1)  # (GROUP, count, groups in a part)
    return [Part(_pictures(batch, rows), rows) for rows in groups.transpose(0, 1).flatten(1)]


def _pictures(batch: Batch, rows: Tensor) -> Batch:
    """The pictures `rows` (n,) of a batch, with the rows of all their passes and the targets these need."""
    total = len(batch.image)
    in_passes = torch.cat([rows + p * total for p in range(batch.passes)])
    wanted, target_of = batch.target_of[in_passes].unique(return_inverse=True)
    return replace(
        batch,
        image=batch.image[rows],
        visible=batch.visible[rows],
        w_rand=batch.w_rand[in_passes],
        where=batch.where[in_passes],
        targets=batch.targets[wanted],
        target_of=target_of,
        edit=None if batch.edit is None else batch.edit[in_passes],
        reals=batch.reals[rows],
        w_true=batch.w_true[rows],
        has_code=batch.has_code[rows],
        told=None if batch.told is None else batch.told[rows],
        labels=None if batch.labels is None else batch.labels[rows],
    )
