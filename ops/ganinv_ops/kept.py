"""What is made of weights for one kind of kernel, kept for as long as the weights stay as they are.

A frozen generator draws many pictures with the same weights; to transform or to reorder them takes as long as
a small layer itself.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable

import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

_KEPT = WeakTensorKeyDictionary()


def kept(weight: Tensor, key: Hashable, make: Callable[[], Tensor]) -> Tensor:
    """`make()`, or what it gave before.

    It is made again once the weight was changed in place, which PyTorch counts; what is written behind its
    back (`weight.data`) goes unseen. Nothing outlives the weight. Nothing is kept of tensors that do not
    count changes (those of inference mode), while a graph is traced, or where a gradient is wanted.

    Args:
        weight: what it is made of.
        key: what else it depends on.
    """
    if torch.compiler.is_compiling() or (torch.is_grad_enabled() and weight.requires_grad):
        return make()
    if weight.is_inference():
        return make()
    state = (weight._version, weight.data_ptr(), weight.dtype)
    known = _KEPT.setdefault(weight, {})
    if key not in known or known[key][0] != state:
        known[key] = (state, make())
    result: Tensor = known[key][1]
    return result
