"""bias_act: the native kernel against the reference, gradients of both, layouts, types, errors."""

from __future__ import annotations

import re

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

from ganinv_ops.bias_act import ACTIVATIONS, bias_act
from ganinv_ops.dispatch import Impl, NativeOpError

TOLERANCE = {torch.float32: 2e-6, torch.float64: 1e-12, torch.bfloat16: 2e-2}
IMPLS = pytest.mark.parametrize("impl", ["ref", "native"])
ACTS = pytest.mark.parametrize("act", ACTIVATIONS)
DTYPES = pytest.mark.parametrize("dtype", TOLERANCE)


@ACTS
@DTYPES
@pytest.mark.parametrize(
    "shape, dim", [((3, 5, 7, 6), 1), ((2, 70, 9, 9), 1), ((4, 6), -1), ((37,), 0), ((2, 3, 4), 2)]
)
def test_native_equals_reference(act: str, dtype: torch.dtype, shape: tuple[int, ...], dim: int) -> None:
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype) * 2
    b = torch.randn(shape[dim], generator=generator, dtype=torch.float64).to(dtype)
    for options in ({}, {"gain": 0.7, "clamp": 0.9, "alpha": 0.1}):
        ref = bias_act(x, b, dim=dim, act=act, impl="ref", **options)
        y = bias_act(x, b, dim=dim, act=act, impl="native", **options)
        assert y.dtype == dtype
        torch.testing.assert_close(y, ref, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])


@ACTS
@IMPLS
@pytest.mark.parametrize("clamp", [None, 0.8])
def test_gradients_of_first_and_second_order(act: str, impl: Impl, clamp: float | None) -> None:
    generator = torch.Generator().manual_seed(7)
    x = torch.randn(2, 3, 2, 3, dtype=torch.float64, generator=generator).requires_grad_(True)
    b = torch.randn(3, dtype=torch.float64, generator=generator).requires_grad_(True)

    def call(x: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return bias_act(x, b, act=act, gain=1.3, clamp=clamp, impl=impl)

    assert gradcheck(call, (x, b))
    assert gradgradcheck(call, (x, b))


@pytest.mark.parametrize("act", ["tanh", "swish", "elu"])
def test_third_order_equals_the_reference(act: str) -> None:
    results = []
    impls: tuple[Impl, ...] = ("ref", "native")
    for impl in impls:
        g = torch.linspace(-2, 2, 12, dtype=torch.float64).reshape(3, 4).requires_grad_(True)
        x = g
        y = bias_act(x, None, act=act, impl=impl).sum()
        for _ in range(3):
            (g,) = torch.autograd.grad(y, x, create_graph=True)
            y = (g * torch.linspace(1, 2, 12, dtype=torch.float64).reshape(3, 4)).sum()
        results.append(g)
    torch.testing.assert_close(results[0], results[1])


@DTYPES
def test_memory_layout_is_kept(dtype: torch.dtype) -> None:
    x = torch.randn(2, 5, 4, 3).to(dtype)
    b = torch.randn(5).to(dtype)
    expected = bias_act(x, b, act="lrelu", impl="ref")
    for variant in (
        x.to(memory_format=torch.channels_last),
        x.permute(2, 0, 3, 1).contiguous().permute(1, 3, 0, 2),
    ):
        y = bias_act(variant, b, act="lrelu", impl="native")
        assert y.stride() == variant.stride()
        torch.testing.assert_close(y, expected, rtol=1e-2, atol=1e-2)


def test_holes_in_memory_and_differing_layouts_in_the_gradient() -> None:
    base = torch.randn(4, 6, 8, 10)
    x = base[::2, 1:, ::3, 2:9].requires_grad_(True)
    b = torch.randn(5)
    dy = torch.randn(x.shape).to(memory_format=torch.channels_last)
    grads = []
    impls: tuple[Impl, ...] = ("ref", "native")
    for impl in impls:
        y = bias_act(x, b, act="lrelu", impl=impl)
        grads += [y, torch.autograd.grad(y, x, dy)[0]]
    torch.testing.assert_close(grads[0], grads[2])
    torch.testing.assert_close(grads[1], grads[3])


@IMPLS
def test_nothing_and_one_number(impl: Impl) -> None:
    assert bias_act(torch.zeros(0, 4, 8, 8), torch.zeros(4), act="lrelu", impl=impl).shape == (0, 4, 8, 8)
    assert bias_act(torch.zeros(2, 4, 0, 8), torch.zeros(4), act="tanh", impl=impl).shape == (2, 4, 0, 8)
    assert bias_act(torch.tensor(-1.0), act="relu", impl=impl).item() == 0
    empty = torch.zeros(0, 4, requires_grad=True)
    assert torch.autograd.grad(bias_act(empty, torch.zeros(4), act="swish", impl=impl).sum(), empty)[
        0
    ].shape == (0, 4)


@IMPLS
def test_not_a_number_and_infinity_pass_through(impl: Impl) -> None:
    for dtype in (torch.float32, torch.bfloat16):
        x = torch.tensor([float("nan"), float("inf"), -float("inf")], dtype=dtype)
        y = bias_act(x, act="lrelu", gain=1.0, clamp=3, impl=impl)
        assert y[0].isnan() and y[1] == 3 and y[2] == -3


@IMPLS
def test_clamp_of_zero_gives_zeros(impl: Impl) -> None:
    assert not bias_act(torch.randn(2, 3), act="lrelu", clamp=0, impl=impl).any()


def test_defaults_and_a_bias_of_another_type() -> None:
    x = torch.tensor([[-1.0, 2.0]])
    y = bias_act(x, torch.zeros(2, dtype=torch.float64), act="lrelu")
    torch.testing.assert_close(y, torch.tensor([[-0.2, 2.0]]) * 2**0.5)
    assert bias_act(x) is x


def test_errors() -> None:
    x = torch.zeros(2, 3, 4, 4)
    with pytest.raises(ValueError, match=r"unknown activation 'gelu'; known: linear, relu, lrelu"):
        bias_act(x, act="gelu")
    with pytest.raises(ValueError, match="clamp is -1; give a number of at least 0"):
        bias_act(x, clamp=-1)
    with pytest.raises(
        ValueError, match=re.escape("bias has shape [4]; x has 3 entries in dimension 1, give [3]")
    ):
        bias_act(x, torch.zeros(4))
    with pytest.raises(ValueError, match="dim is 4, but x has 4 dimensions"):
        bias_act(x, torch.zeros(4), dim=4)
    with pytest.raises(ValueError, match="impl is 'fast'; give"):
        bias_act(x, act="lrelu", impl="fast")  # type: ignore[arg-type]
    with pytest.raises(NativeOpError, match=r"bias_act has no native kernel for torch\.float16 on cpu"):
        bias_act(x.half(), act="lrelu", impl="native")
    assert bias_act(x.half(), act="lrelu").dtype == torch.float16
