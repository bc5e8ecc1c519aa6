from __future__ import annotations

import pytest
import torch
from torch import nn

from ganinv.checkpoints import load_weights
from ganinv.errors import CheckpointError


def test_loads_into_own_dtype() -> None:
    module = nn.Linear(2, 3).double()
    load_weights(module, {"weight": torch.ones(3, 2), "bias": torch.zeros(3)}, source="file")
    assert module.weight.dtype == torch.float64 and bool((module.weight == 1).all())


def test_everything_wrong_is_in_one_message() -> None:
    module = nn.Linear(2, 3)
    before = module.weight.clone()
    with pytest.raises(CheckpointError) as caught:
        load_weights(module, {"weight": torch.ones(2, 2), "scale": torch.ones(1)}, source="x.safetensors")
    assert str(caught.value) == (
        "x.safetensors does not fit Linear: 1 missing (bias); 1 unexpected (scale); "
        "1 of another shape (weight [2, 2], not [3, 2])"
    )
    assert torch.equal(module.weight, before)


def test_long_lists_are_cut() -> None:
    with pytest.raises(CheckpointError, match=r"8 unexpected \(0, 1, 2, 3, 4, 5 and 2 more\)"):
        load_weights(nn.Module(), {str(i): torch.ones(1) for i in range(8)}, source="file")


def test_not_strict() -> None:
    module = nn.Linear(2, 3)
    load_weights(module, {"bias": torch.ones(3), "other": torch.ones(1)}, source="file", strict=False)
    assert bool((module.bias == 1).all())
    with pytest.raises(CheckpointError, match="1 of another shape"):
        load_weights(module, {"bias": torch.ones(4)}, source="file", strict=False)
