"""Changed copies of a generator: weights, or noise maps, moved for one picture, kept as a difference.

A difference is held in half precision, and the weights it stands for are always "the generator's own + the
difference in single precision": what is drawn before saving and after loading is then the same, bit for bit.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from ganinv.backbones.base import Backbone
from ganinv.errors import CheckpointError

Difference = Mapping[str, Tensor]


def copy_apart(backbone: Backbone, names: Iterable[str]) -> Backbone:
    """A copy of a generator with tensors of its own under `names`; all others are shared, to save memory."""
    chosen = set(names)
    shared = [t for name, t in _tensors(backbone).items() if name not in chosen]
    return copy.deepcopy(backbone, memo={id(t): t for t in shared})


def with_difference(backbone: Backbone, difference: Difference) -> Backbone:
    """A copy of a generator with `difference` (state-dict name -> change) added; it stays as it is.

    Raises:
        CheckpointError: a difference of tensors that this generator does not have.
    """
    own = _tensors(backbone)
    for name, change in difference.items():
        if name not in own or own[name].shape != change.shape:
            found = f"of shape {list(own[name].shape)}" if name in own else "none"
            raise CheckpointError(
                f"a tuned weight {name!r} of shape {list(change.shape)} does not fit this {backbone.family} "
                f"generator, which has {found}: the inversion is damaged or of another version"
            )
    result = copy_apart(backbone, difference)
    with torch.no_grad():
        for name, tensor in _tensors(result).items():
            if name in difference:
                tensor.copy_(own[name].float() + difference[name].to(tensor.device).float())
    return result


def difference_of(tuned: Backbone, backbone: Backbone, names: Iterable[str]) -> dict[str, Tensor]:
    """`tuned` - `backbone` of the tensors `names`: float16 on the CPU."""
    new, old = _tensors(tuned), _tensors(backbone)
    return {
        name: (new[name].detach().float() - old[name].detach().float()).to("cpu", torch.float16)
        for name in sorted(names)
    }


def _tensors(backbone: Backbone) -> dict[str, Tensor]:
    return {**dict(backbone.named_parameters()), **dict(backbone.named_buffers())}
