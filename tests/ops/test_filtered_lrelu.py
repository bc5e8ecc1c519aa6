"""filtered_lrelu: native kernel, reference and definition agree; gradients, layouts, types, errors."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck

from ganinv_ops import filtered_lrelu as op
from ganinv_ops.dispatch import Impl, NativeOpError
from ganinv_ops.filtered_lrelu import filtered_lrelu
from ganinv_ops.filters import setup_filter

IMPLS = pytest.mark.parametrize("impl", ["ref", "native"])
BOTH: tuple[Impl, ...] = ("ref", "native")
TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-12, torch.bfloat16: 1e-2}
TWELVE, MORE = torch.linspace(-1, 2, 12).cos() / 4, torch.linspace(-2, 2, 24).cos() / 8
RADIAL = torch.linspace(-2, 3, 144).cos().reshape(12, 12) / 12
OTHER = torch.arange(1.0, 16).reshape(3, 5).sin()
RANK_ONE = torch.outer(torch.tensor([1.0, 3.0, 3.0, 1.0]), torch.tensor([1.0, 2.0, 1.0])) / 8
# name: filters and settings; those of StyleGAN3 first
SETTINGS: dict[str, tuple[Tensor | None, Tensor | None, dict[str, Any]]] = {
    "up 2 down 2": (TWELVE, TWELVE, {"up": 2, "down": 2, "padding": (9, 8, 9, 8), "clamp": 0.5}),
    "up 4 down 2": (MORE, TWELVE, {"up": 4, "down": 2, "padding": (-1, 14, 13, -2), "slope": 0.05}),
    "up 2 down 4": (TWELVE, MORE, {"up": 2, "down": 4, "padding": (20, 21, 22, 19), "gain": 1.0}),
    "radial": (TWELVE, RADIAL, {"up": 2, "down": 2, "padding": (11, 10, 11, 10), "clamp": 0.5}),
    "two full filters": (RADIAL, OTHER, {"up": 2, "down": 3, "padding": 9, "flip_filter": True}),
    "odd": (TWELVE[:5], RANK_ONE, {"up": 3, "down": 1, "padding": (3, 2), "slope": -0.5, "gain": 2.0}),
    "no filters": (None, None, {"up": 2, "down": 3, "padding": (1, 0, -2, 3), "slope": 0.0}),
    "only the activation": (None, None, {"clamp": 0.7}),
    "cropped": (TWELVE, None, {"padding": (12, -5, 10, -5), "slope": 1.5}),
}
NAMES = pytest.mark.parametrize("name", SETTINGS)


def picture(*shape: int, dtype: torch.dtype = torch.float64, seed: int = 1) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)).to(dtype)


def correlate(x: Tensor, f: Tensor | None, flip: bool, step: int, gain: int) -> Tensor:
    """Tap by tap, every `step`-th sample."""
    f = torch.ones(1, 1) if f is None else f
    f = (f * gain ** (f.ndim / 2)).to(x.dtype)
    taps = torch.outer(f, f) if f.ndim == 1 else f
    taps = taps if flip else taps.flip((0, 1))
    h, w = x.shape[2] - taps.shape[0] + 1, x.shape[3] - taps.shape[1] + 1
    y = x.new_zeros(*x.shape[:2], h, w)
    for k, row in enumerate(taps):
        for j, tap in enumerate(row):
            y = y + tap * x[:, :, k : k + h, j : j + w]
    return y[:, :, ::step, ::step]


def definition(
    x: Tensor, b: Tensor | None, fu: Tensor | None, fd: Tensor | None, s: dict[str, Any]
) -> Tensor:
    """As the docstring of the file says it."""
    up, flip, padding = s.get("up", 1), s.get("flip_filter", False), s.get("padding", 0)
    pads = [padding] * 4 if isinstance(padding, int) else list(padding) if len(padding) == 4 else None
    x = x if b is None else x + b.reshape(1, -1, 1, 1)
    wide = x.new_zeros(*x.shape[:2], x.shape[2] * up, x.shape[3] * up)
    wide[:, :, ::up, ::up] = x
    wide = F.pad(wide, pads or [padding[0]] * 2 + [padding[1]] * 2)
    z = correlate(wide, fu, flip, 1, up**2)
    y = torch.where(z > 0, z, z * s.get("slope", 0.2)) * s.get("gain", 2**0.5)
    limit = s.get("clamp") or float("inf")
    return correlate(y.clamp(-limit, limit), fd, flip, s.get("down", 1), 1)


def relative(a: Tensor, b: Tensor) -> float:
    assert a.shape == b.shape
    return float((a.double() - b.double()).norm() / b.double().norm().clamp_min(1e-12))


@IMPLS
@NAMES
def test_definition(name: str, impl: Impl) -> None:
    fu, fd, settings = SETTINGS[name]
    b = picture(3, seed=2)
    for shape in ((2, 3, 9, 12), (1, 3, 14, 13)):
        x = picture(*shape)
        for bias in (b, None):
            expected = definition(x, bias, fu, fd, settings)
            torch.testing.assert_close(
                filtered_lrelu(x, fu, fd, bias, impl=impl, **settings), expected, rtol=1e-11, atol=1e-11
            )


@NAMES
@pytest.mark.parametrize("dtype", TOLERANCE)
def test_native_equals_reference(name: str, dtype: torch.dtype) -> None:
    fu, fd, settings = SETTINGS[name]
    for shape in ((1, 40, 18, 90), (5, 7, 13, 17), (1, 1, 60, 200)):
        x, b = picture(*shape, dtype=dtype), picture(shape[1], dtype=dtype, seed=2)
        # the reference would round between its steps; compare with it in float32
        wide = torch.float32 if dtype == torch.bfloat16 else dtype
        expected = filtered_lrelu(x.to(wide), fu, fd, b, impl="ref", **settings)
        for layout in (torch.contiguous_format, torch.channels_last):
            y = filtered_lrelu(x.contiguous(memory_format=layout), fu, fd, b, impl="native", **settings)
            assert y.dtype == dtype and y.is_contiguous(memory_format=layout)
            assert relative(y, expected) < TOLERANCE[dtype]


@IMPLS
@NAMES
def test_gradients_of_first_and_second_order(name: str, impl: Impl) -> None:
    fu, fd, settings = SETTINGS[name]
    x = picture(1, 2, 8, 9).requires_grad_(True)
    b = picture(2, seed=2).requires_grad_(True)

    def call(x: Tensor, b: Tensor) -> Tensor:
        return filtered_lrelu(x, fu, fd, b, impl=impl, **settings)

    assert gradcheck(call, (x, b), fast_mode=True)
    assert gradgradcheck(call, (x, b), fast_mode=True)


@NAMES
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_gradients_equal_the_references(name: str, dtype: torch.dtype) -> None:
    fu, fd, settings = SETTINGS[name]
    b = picture(20, seed=2).to(dtype).requires_grad_(True)
    x = picture(2, 20, 12, 30).to(dtype, memory_format=torch.channels_last).requires_grad_(True)
    dy = picture(*filtered_lrelu(x, fu, fd, b, **settings).shape, seed=3).to(dtype).requires_grad_(True)
    results = []
    for impl in BOTH:
        leaves = (x, b, dy)
        if impl == "ref" and dtype == torch.bfloat16:
            leaves = tuple(t.detach().float().requires_grad_(True) for t in leaves)
        y = filtered_lrelu(leaves[0], fu, fd, leaves[1], impl=impl, **settings)
        dx, db = torch.autograd.grad(y, leaves[:2], leaves[2], create_graph=True)
        v = picture(*dx.shape, seed=4).to(dx.dtype)
        (d_dy,) = torch.autograd.grad((dx * v).sum() + db.sum(), leaves[2])
        results.append((y, dx, db, d_dy))
    for ref, native in zip(*results, strict=True):
        assert native.dtype == dtype
        assert relative(native.detach(), ref.detach()) < {torch.float64: 1e-11}.get(dtype, 2e-2)


def test_slices_and_strides() -> None:
    base = picture(4, 40, 30, 66, dtype=torch.float32)
    fu, fd, settings = SETTINGS["up 2 down 2"]
    for x in (
        base[::2, 1::3, 3:, ::2],
        base.to(memory_format=torch.channels_last)[:, 2:30, ::2, 5:],
        base.permute(1, 0, 3, 2),
        base[:1].expand(3, -1, -1, -1),
    ):
        leaf = x.detach().requires_grad_(True)
        y = [filtered_lrelu(leaf, fu, fd, impl=impl, **settings) for impl in BOTH]
        assert relative(y[1].detach(), y[0].detach()) < 1e-5
        dy = picture(*y[0].shape, dtype=torch.float32).transpose(2, 3).contiguous().transpose(2, 3)
        dx = [torch.autograd.grad(v, leaf, dy)[0] for v in y]
        assert relative(dx[1], dx[0]) < 1e-3  # a value at the kink may fall either way


def test_mask_of_the_native_kernel() -> None:
    fu, fd, _ = SETTINGS["up 2 down 2"]
    x, b = picture(3, 7, 9, 100), picture(7, seed=2)
    for clamp in (-1.0, 0.5):
        s = op.Settings(2, 2, (9, 8, 9, 8), (0, 0, 0, 0), 4.0, 1.0, 1.4, 0.2, clamp, False)
        _, mask = torch.ops.ganinv_ops.filtered_lrelu(x, fu, fd, b, *s, True)
        assert mask.dtype == torch.uint8 and mask.shape == (1 if clamp < 0 else 2, 3, 24, 206)
        assert torch.equal(mask, op._mask(x, fu, b, s))
        _, none = torch.ops.ganinv_ops.filtered_lrelu(x, fu, fd, b, *s, False)
        assert none.shape == (0,)
    with pytest.raises(RuntimeError, match="has a gradient only when called with keep=True"):
        y, _ = torch.ops.ganinv_ops.filtered_lrelu(x.requires_grad_(True), fu, fd, b, *s, False)
        y.sum().backward()


def test_operators_fall_back_where_nothing_is_built() -> None:
    code = (
        "import torch\n"
        "from ganinv_ops.filtered_lrelu import Settings, _reference\n"
        "f, b = torch.linspace(-1, 2, 12).cos(), torch.linspace(-1, 1, 5)\n"
        "for clamp in (-1.0, 0.5):\n"
        "    s = Settings(2, 2, (9, 8, 9, 8), (0, 0, 0, 0), 4.0, 1.0, 1.4, 0.2, clamp, False)\n"
        "    x = torch.linspace(-9, 9, 500).sin().reshape(1, 5, 10, 10).requires_grad_(True)\n"
        "    y, _ = torch.ops.ganinv_ops.filtered_lrelu(x, f, f, b, *s, True)\n"
        "    for y in (y, _reference(x, f, f, b, s)):\n"
        "        (dx,) = torch.autograd.grad(y.square().sum(), x, create_graph=True)\n"
        "        (d_x,) = torch.autograd.grad(dx.square().sum(), x)\n"
        "        print(*(f'{float(t.norm()):.4g}' for t in (y, dx, d_x)))\n"
    )
    environment = os.environ | {"GANINV_OPS": "ref"}
    answer = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    lines = answer.stdout.splitlines()
    assert lines[0] == lines[1] and lines[2] == lines[3] and lines[0] != lines[2]


def test_two_threads_give_the_same_bytes() -> None:
    x = picture(1, 20, 30, 170, dtype=torch.float32)
    before = torch.get_num_threads()
    results = []
    try:
        for threads in (1, 2, 7):  # seven get narrower strips
            torch.set_num_threads(threads)
            results.append(filtered_lrelu(x, TWELVE, RADIAL, up=2, down=2, padding=10, impl="native"))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(results[0], results[1]) and torch.equal(results[0], results[2])


@IMPLS
def test_nothing_and_not_a_number(impl: Impl) -> None:
    options: dict[str, Any] = {"up": 2, "down": 2, "padding": 9, "impl": impl}
    assert filtered_lrelu(torch.zeros(0, 4, 8, 8), TWELVE, TWELVE, **options).shape == (0, 4, 6, 6)
    empty = torch.zeros(0, 4, 8, 8, requires_grad=True)
    (dx,) = torch.autograd.grad(filtered_lrelu(empty, TWELVE, TWELVE, **options).sum(), empty)
    assert dx.shape == empty.shape
    x = torch.zeros(1, 1, 8, 8)
    x[..., 4, 4] = float("nan")
    y = filtered_lrelu(x, TWELVE, TWELVE, clamp=1.0, **options)
    assert y.isnan().any() and not filtered_lrelu(x.nan_to_num(), TWELVE, TWELVE, clamp=1.0, **options).any()
    infinite = filtered_lrelu(torch.full((1, 1, 2, 2), float("inf")), clamp=3.0, impl=impl)
    assert (infinite == 3).all()
    assert not filtered_lrelu(torch.ones(1, 1, 8, 8), TWELVE, TWELVE, clamp=0, **options).any()


def test_only_the_reference_differentiates_the_filters() -> None:
    f = picture(3, 3).requires_grad_(True)
    x = picture(1, 2, 6, 6)
    assert gradcheck(lambda f: filtered_lrelu(x, f, f), (f,))
    with pytest.raises(NativeOpError, match="no gradient for the filters; detach them"):
        filtered_lrelu(x, None, f, impl="native")


def test_errors() -> None:
    x, f = torch.zeros(1, 3, 8, 8), setup_filter([1.0] * 12)
    with pytest.raises(ValueError, match=re.escape("x has shape [3, 8, 8]; give [N, C, H, W]")):
        filtered_lrelu(x[0], f)
    with pytest.raises(ValueError, match=re.escape("bias has shape [4]; x has 3 channels, give [3]")):
        filtered_lrelu(x, b=torch.zeros(4))
    with pytest.raises(ValueError, match="up is 0; give a whole number of at least 1"):
        filtered_lrelu(x, up=0)
    with pytest.raises(ValueError, match=r"down is 1\.5; give a whole number"):
        filtered_lrelu(x, down=1.5)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="clamp is -1; give a number of at least 0, or None for no limit"):
        filtered_lrelu(x, clamp=-1)
    with pytest.raises(ValueError, match=re.escape("fd has shape [1, 1, 4]; give [n] or [height, width]")):
        filtered_lrelu(x, f, torch.zeros(1, 1, 4))
    with pytest.raises(ValueError, match=re.escape("padding is [1, 2, 3]; give one number")):
        filtered_lrelu(x, padding=(1, 2, 3))
    message = (
        "a picture of 8x8 with up 2 and padding [3, 3, 3, 3] is smaller than filters of 12x12 and 12x12 need"
    )
    with pytest.raises(ValueError, match=re.escape(message)):
        filtered_lrelu(x, f, f, up=2, padding=3)
    with pytest.raises(NativeOpError, match=r"filtered_lrelu has no native kernel for torch\.float16 on cpu"):
        filtered_lrelu(x.half(), impl="native")
    assert filtered_lrelu(x.half(), f, f, up=2, padding=9).dtype == torch.float16
