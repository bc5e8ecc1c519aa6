"""Convolutions Winograd's way with gradients: equal to PyTorch's in float64, of any order; when taken."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from ganinv_ops import dispatch, winograd, winograd_autograd
from ganinv_ops.conv import conv2d_resample
from ganinv_ops.dispatch import relative_error
from ganinv_ops.filters import setup_filter

TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 8e-3}
BLUR = setup_filter([1, 3, 3, 1])


def normal(*size: int, seed: int = 0) -> Tensor:
    return torch.randn(size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def pair(n: int, into: int, out: int, height: int, width: int) -> tuple[Tensor, Tensor]:
    """x in channels_last and a weight; float64."""
    x = normal(n, into, height, width).contiguous(memory_format=torch.channels_last)
    return x, normal(out, into, 3, 3, seed=1)


@pytest.mark.parametrize("up", [1, 2])
def test_nor_are_gradients_multiplied_in_it(up: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatch, "_CPU_BFLOAT16", False)
    parts = [t.to(torch.bfloat16) for t in (normal(1, 16, 8, 8), normal(16, 16, 3, 3))]
    found = []
    for dtype in (torch.bfloat16, torch.float32):
        x, weight = (t.to(dtype, memory_format=torch.channels_last).requires_grad_() for t in parts)
        y = (
            winograd_autograd.conv2d(x, weight, 1)
            if up == 1
            else winograd_autograd.transposed_conv2d(x, weight)
        )
        found.append(torch.autograd.grad(y.float().square().sum(), (x, weight)))
    for narrow, wide in zip(*found, strict=True):
        assert narrow.dtype == torch.bfloat16
        assert float((narrow.float() - wide).norm() / wide.norm()) < 1e-2


@pytest.mark.parametrize("flip", [True, False])
@pytest.mark.parametrize("kind", ["padding 0", "padding 1", "padding 2", "transposed", "strided"])
def test_gradients_of_any_order(kind: str, flip: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(winograd, "LEAST_SIDE", 4)
    x, weight = pair(2, 16, 32, 9, 11)

    def ours(x: Tensor, w: Tensor) -> Tensor:
        if kind == "transposed":
            return winograd_autograd.transposed_conv2d(x, w, flip)
        if kind == "strided":
            return winograd_autograd.strided_conv2d(x, w, flip)
        return winograd_autograd.conv2d(x, w, int(kind[-1]), flip)

    def theirs(x: Tensor, w: Tensor) -> Tensor:
        w = w if flip == (kind != "transposed") else w.flip((2, 3))
        if kind == "transposed":
            return torch.nn.functional.conv_transpose2d(x, w.transpose(0, 1), stride=2)
        if kind == "strided":
            return torch.nn.functional.conv2d(x, w, stride=2)
        return torch.nn.functional.conv2d(x, w, padding=int(kind[-1]))

    def all_of(conv: Any, dtype: torch.dtype) -> list[Tensor]:
        inputs = [t.to(dtype, copy=True).requires_grad_(True) for t in (x, weight)]
        y = conv(*inputs)
        first = torch.autograd.grad(y.square().sum(), inputs, create_graph=True)
        penalty = first[0].square().sum() + (first[1] * y.mean()).sum()  # as R1 asks for
        return [y, *first, *torch.autograd.grad(penalty, inputs)]

    for found, expected in zip(all_of(ours, torch.float32), all_of(theirs, torch.float64), strict=True):
        distance = (found.detach().double() - expected.detach()).norm() / expected.detach().norm()
        assert float(distance) < 2e-5
    with torch.no_grad():
        torch.testing.assert_close(
            ours(x.float(), weight.float()).double(), theirs(x, weight), rtol=1e-4, atol=1e-3
        )
    frozen = x.float().requires_grad_(True)
    ours(frozen, weight.float()).sum().backward()
    assert frozen.grad is not None


def test_ordinary_convolutions_take_it(monkeypatch: pytest.MonkeyPatch) -> None:
    x, weight = (t.float() for t in pair(2, 32, 32, 32, 32))
    weight.requires_grad_(True)
    taken = []
    names = ["conv2d", "transposed_conv2d", "strided_conv2d"]
    for name in names:
        whole = getattr(winograd_autograd, name)
        monkeypatch.setattr(winograd_autograd, name, lambda *a, f=whole, n=name: taken.append(n) or f(*a))
    for name, factors in zip(names, ({}, {"up": 2}, {"down": 2}), strict=True):
        taken.clear()
        y = conv2d_resample(x, weight, BLUR, padding=1, **factors)
        assert taken[0] == name
        expected = conv2d_resample(x, weight, BLUR, padding=1, impl="ref", **factors)
        assert (
            y.is_contiguous(memory_format=torch.channels_last)
            and relative_error(y.detach(), expected.detach()) < 1e-5
        )
    taken.clear()
    for others in ({"groups": 2}, {"padding": (1, 0, 1, 1)}, {"down": 2, "padding": (2, 1, 2, 1)}):
        w = weight[:, :16] if "groups" in others else weight
        conv2d_resample(x, w, BLUR, **{"padding": 1, **others})  # type: ignore[arg-type]
    conv2d_resample(x, weight.double().float()[:8], None, padding=1)
    conv2d_resample(x, weight.detach(), BLUR, down=2, padding=1)  # PyTorch's, and no gradient is wanted
    assert not taken


@pytest.mark.parametrize("doubling", [False, True])
@pytest.mark.parametrize("flip", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    "shape", [(2, 16, 32, 8, 8), (3, 48, 16, 13, 6), (1, 32, 192, 5, 50), (2, 80, 48, 70, 61)]
)
def test_weight_gradient(shape: tuple[int, ...], dtype: torch.dtype, flip: bool, doubling: bool) -> None:
    """Equal to the definition in float64; the last shape takes several batches of tiles."""
    n, into, out, height, width = shape
    x = normal(n, into, height, width).to(dtype)
    for padding in (None,) if doubling else (0, 1, 2):
        grown = (
            (2 * height + 1, 2 * width + 1)
            if padding is None
            else (height + 2 * padding - 2, width + 2 * padding - 2)
        )
        dy = normal(n, out, *grown, seed=1).to(dtype)
        if padding is None:
            dw = torch.ops.ganinv_ops.winograd_up_weight(x, dy, flip)
            expected = winograd.up_weight_steps(x.double(), dy.double(), flip)
        else:
            dw = torch.ops.ganinv_ops.winograd_weight(x, dy, padding, flip)
            expected = winograd.weight_steps(x.double(), dy.double(), padding, flip)
        assert dw.shape == (out, into, 3, 3) and dw.dtype == dtype
        assert float((dw.double() - expected).norm() / expected.norm()) < TOLERANCE[dtype]


def test_weight_gradients_have_the_same_bytes_for_all_threads() -> None:
    x, dy = (normal(3, 32, 33, 41, seed=seed).float() for seed in (0, 1))
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            found.append(
                (
                    torch.ops.ganinv_ops.winograd_weight(x, dy, 1, True),
                    torch.ops.ganinv_ops.winograd_up_weight(x[:, :, :16, :20], dy, True),
                )
            )
    finally:
        torch.set_num_threads(before)
    for other in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(found[0], other, strict=True))


def test_weight_gradients_are_left_to_pytorch_where_that_is_sooner(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    x = normal(1, 16, 11, 11).to(torch.bfloat16).contiguous(memory_format=torch.channels_last)
    taken: list[str] = []
    monkeypatch.setattr(winograd, "LEAST_SIDE", 5)
    for name in ("weight_steps", "up_weight_steps"):
        whole = getattr(winograd, name)
        monkeypatch.setattr(winograd, name, lambda *a, f=whole, n=name: taken.append(n) or f(*a))
    for instructions in (False, True):
        monkeypatch.setattr(dispatch, "_CPU_BFLOAT16", instructions)
        winograd_autograd.weight_gradient(x, x, 1, True)
        winograd_autograd.transposed_weight_gradient(x[:, :, :5, :5], x, True)
        assert taken == (["weight_steps", "up_weight_steps"] if instructions else [])
        assert winograd.fits(x, x.new_zeros(16, 16, 3, 3), down=2) == (not instructions)
    monkeypatch.setattr(dispatch, "_CPU_BFLOAT16", False)
    monkeypatch.setattr(winograd, "LEAST_SIDE", 6)
    winograd_autograd.transposed_weight_gradient(x[:, :, :5, :5], x, True)
    assert taken[2:] == ["up_weight_steps"]
    assert not winograd.fits(x, x.new_zeros(16, 16, 3, 3), down=2)


def test_weight_gradients_of_nothing_and_of_what_does_not_fit() -> None:
    x = torch.zeros(2, 16, 8, 8)
    weight, up_weight = torch.ops.ganinv_ops.winograd_weight, torch.ops.ganinv_ops.winograd_up_weight
    assert torch.equal(weight(x[:0], x[:0], 1, True), torch.zeros(16, 16, 3, 3))
    assert torch.equal(up_weight(x[:0], torch.zeros(0, 16, 17, 17), True), torch.zeros(16, 16, 3, 3))
    for wrong in (x[:1], x[:, :8], x[..., 1:], x.double(), x.to(torch.bfloat16)):
        with pytest.raises(RuntimeError, match="ganinv_ops::winograd: "):
            weight(x, wrong, 1, True)
        with pytest.raises(RuntimeError, match="ganinv_ops::winograd: "):
            up_weight(x, wrong, True)
    with pytest.raises(RuntimeError, match="padding is 0, 1 or 2"):
        weight(x, x, 3, True)
