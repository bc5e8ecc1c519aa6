"""What is made of weights is kept while they stay as they are, and no longer."""

from __future__ import annotations

import gc

import torch
from torch import Tensor

from ganinv_ops import kept as module
from ganinv_ops.kept import kept


class Maker:
    """Counts how often something is made of a weight."""

    def __init__(self, weight: Tensor) -> None:
        self.weight, self.made = weight, 0

    def __call__(self) -> Tensor:
        self.made += 1
        return self.weight * 2


def test_made_once_and_again_after_a_change() -> None:
    maker = Maker(torch.ones(3))
    for _ in range(3):
        assert torch.equal(kept(maker.weight, "a", maker), torch.full((3,), 2.0))
    assert maker.made == 1
    kept(maker.weight, "b", maker)
    assert maker.made == 2
    maker.weight.add_(1)
    assert torch.equal(kept(maker.weight, "a", maker), torch.full((3,), 4.0))
    maker.weight.data = torch.zeros(3)  # other memory, the same count of changes
    assert torch.equal(kept(maker.weight, "a", maker), torch.zeros(3))


def test_an_optimiser_changes_weights() -> None:
    weight = torch.nn.Parameter(torch.ones(3))
    maker, optimiser = Maker(weight), torch.optim.Adam([weight], lr=0.5)
    with torch.no_grad():
        kept(weight, "a", maker)
    weight.sum().backward()
    optimiser.step()
    with torch.no_grad():
        assert torch.allclose(kept(weight, "a", maker), torch.ones(3))


def test_gradients_reach_the_weight() -> None:
    weight = torch.ones(3, requires_grad=True)
    maker = Maker(weight)
    with torch.no_grad():
        assert not kept(weight, "a", maker).requires_grad
    kept(weight, "a", maker).sum().backward()
    assert weight.grad is not None
    assert torch.equal(weight.grad, torch.full((3,), 2.0))


def test_nothing_outlives_the_weight() -> None:
    before = len(module._KEPT)
    weight = torch.ones(3)
    kept(weight, "a", Maker(weight))
    assert len(module._KEPT) == before + 1
    del weight
    gc.collect()
    assert len(module._KEPT) == before


def test_tensors_that_count_no_changes() -> None:
    with torch.inference_mode():
        maker = Maker(torch.ones(3))
        kept(maker.weight, "a", maker)
        maker.weight.add_(1)
        assert torch.equal(kept(maker.weight, "a", maker), torch.full((3,), 4.0))
