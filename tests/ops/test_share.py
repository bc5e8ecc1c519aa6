"""Work shared by threads (csrc/share.h): any number gives the same bytes, on sizes that no piece divides."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor

from ganinv_ops import winograd
from ganinv_ops.bias_act import bias_act
from ganinv_ops.epilogue import epilogue
from ganinv_ops.filters import setup_filter
from ganinv_ops.upfirdn2d import upfirdn2d

F = setup_filter([1, 3, 3, 1])


def normal(*size: int) -> Tensor:
    return torch.randn(size, generator=torch.Generator().manual_seed(len(size)))


def last(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last)


X = last(normal(1, 32, 131, 67))
STYLES, WEIGHT = 1 + normal(1, 32).abs(), normal(48, 32, 3, 3)
CALLS: dict[str, Callable[[], Tensor]] = {
    "bias_act": lambda: bias_act(X, normal(32), impl="native"),
    "upfirdn2d": lambda: upfirdn2d(X, F, up=2, padding=(2, 1, 2, 1), impl="native"),
    "upfirdn2d, plain layout": lambda: upfirdn2d(X.contiguous(), F, down=2, padding=1, impl="native"),
    "epilogue": lambda: epilogue(X, bias=normal(32), clamp=1.0, impl="native"),
    "epilogue with blur": lambda: epilogue(X, F, padding=(2, 1, 2, 1), bias=normal(32), impl="native"),
    "winograd": lambda: winograd.winograd_conv2d(X, WEIGHT, STYLES),
    "winograd, doubling": lambda: winograd.winograd_up(X, WEIGHT, STYLES),
}


@pytest.fixture(autouse=True)
def threads_as_before() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("name", CALLS)
def test_any_number_of_threads_gives_the_same_bytes(name: str) -> None:
    torch.set_num_threads(1)
    alone = CALLS[name]()
    assert alone.isfinite().all()
    for threads in (2, 3, 7):
        torch.set_num_threads(threads)
        for _ in range(3):  # who gets which piece is by chance
            assert torch.equal(CALLS[name](), alone), threads
