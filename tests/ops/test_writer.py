"""Results that go past the cache (csrc/writer.h) have the bytes of those that do not."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from ganinv_ops import winograd
from ganinv_ops.bias_act import bias_act
from ganinv_ops.epilogue import epilogue
from ganinv_ops.filters import setup_filter
from ganinv_ops.upfirdn2d import filter2d, upsample2d

PAST_CACHE = 32 << 20  # bytes, as in the source
BLUR = setup_filter([1, 3, 3, 1])
OPERATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "bias_act": lambda x: bias_act(x, torch.arange(3).to(x.dtype), act="lrelu", impl="native"),
    "upfirdn2d": lambda x: filter2d(x, BLUR, impl="native"),
    "upfirdn2d up 2": lambda x: upsample2d(x, BLUR, impl="native"),
    "epilogue": lambda x: epilogue(x, bias=torch.arange(3.0), gain=0.5, impl="native"),
    "epilogue, blur": lambda x: epilogue(
        x, BLUR, padding=(2, 1, 2, 1), bias=torch.arange(3.0), impl="native"
    ),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64], ids=str)
@pytest.mark.parametrize("name", OPERATIONS)
def test_a_large_result_has_the_bytes_of_its_pictures_alone(name: str, dtype: torch.dtype) -> None:
    call, height, width = OPERATIONS[name], 301, 333  # rows that begin anywhere in a line of the cache
    count = PAST_CACHE // (3 * height * width * dtype.itemsize) + 1
    x = torch.randn(count, 3, height, width, generator=torch.Generator().manual_seed(0)).to(dtype)
    x[0, 0, 0, :4] = torch.tensor([torch.nan, torch.inf, -torch.inf, -0.0])
    x = x.contiguous(memory_format=torch.channels_last)
    whole = call(x)
    assert whole.nbytes >= PAST_CACHE
    alone = torch.cat([call(picture) for picture in x.split(1)])
    assert alone[0].nbytes < PAST_CACHE
    torch.testing.assert_close(whole, alone, rtol=0, atol=0, equal_nan=True)


WEIGHT = torch.randn(32, 16, 3, 3, generator=torch.Generator().manual_seed(1))
LAYERS: dict[str, Callable[[Tensor], Tensor]] = {
    "winograd": lambda x: winograd.winograd_conv2d(x, WEIGHT, x.new_ones(len(x), 16), clamp=9.0),
    "winograd, doubling": lambda x: winograd.winograd_up(x, WEIGHT, x.new_ones(len(x), 16)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_a_large_result_of_a_layer_has_the_bytes_of_its_pictures_alone(name: str) -> None:
    call, side = LAYERS[name], 301 if name == "winograd" else 149
    count = PAST_CACHE // (32 * 299 * 299 * 4) + 1
    x = torch.randn(count, 16, side, side, generator=torch.Generator().manual_seed(0))
    x = x.contiguous(memory_format=torch.channels_last)
    whole = call(x)
    assert whole.nbytes >= PAST_CACHE
    alone = torch.cat([call(picture) for picture in x.split(1)])
    assert alone[0].nbytes < PAST_CACHE
    assert torch.equal(whole, alone)


def test_a_gradient_past_the_cache_has_its_bytes() -> None:
    x = torch.randn(PAST_CACHE // 4 + 7, 1, generator=torch.Generator().manual_seed(0)).requires_grad_()
    (whole,) = torch.autograd.grad(bias_act(x, act="swish", impl="native").sum(), x)
    halves = [half.detach().requires_grad_() for half in x.split(len(x) // 2)]
    alone = [torch.autograd.grad(bias_act(h, act="swish", impl="native").sum(), h)[0] for h in halves]
    assert torch.equal(whole, torch.cat(alone))
