"""epilogue: native kernel and reference agree; gradients of first and second order, graphs, errors."""

from __future__ import annotations

import math
import os
import re
import subprocess
import sys
from collections.abc import Collection
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck

from ganinv_ops.bias_act import bias_act
from ganinv_ops.dispatch import NativeOpError, relative_error
from ganinv_ops.epilogue import epilogue
from ganinv_ops.filters import setup_filter
from ganinv_ops.upfirdn2d import upfirdn2d

TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-12, torch.bfloat16: 1e-2}
BLUR, ODD = setup_filter([1, 3, 3, 1]), setup_filter([[1.0, 2, 0], [3, -1, 2]])
SETTINGS: dict[str, dict[str, Any]] = {
    "doubling layer": {
        "f": BLUR,
        "padding": (1, 1, 1, 1),
        "filter_gain": 4.0,
        "gain": math.sqrt(2),
        "clamp": 1.5,
    },
    "layer": {"gain": math.sqrt(2)},
    "to RGB": {"slope": 1.0, "clamp": 0.8},
    "twelve taps": {"f": setup_filter(torch.hann_window(12)), "padding": (6, 5, 4, 7), "slope": 0.1},
    "two-dimensional filter": {"f": ODD, "padding": (2, -1, 0, 1), "gain": 0.5},
}
NAMES = pytest.mark.parametrize("name", SETTINGS)


def parts(
    name: str, dtype: torch.dtype = torch.float64, shape: tuple[int, ...] = (2, 5, 7, 6)
) -> list[Tensor]:
    """x in channels_last, factor, noise for each picture, bias."""
    generator = torch.Generator().manual_seed(1)

    def normal(*size: int) -> Tensor:
        return torch.randn(size, generator=generator, dtype=torch.float64).to(dtype)

    x = normal(*shape).contiguous(memory_format=torch.channels_last)
    height, width = epilogue(x, **SETTINGS[name], impl="ref").shape[2:]
    return [x, 1 + normal(*shape[:2]) / 3, normal(shape[0], 1, height, width), normal(shape[1])]


@NAMES
def test_definition(name: str) -> None:
    s = SETTINGS[name]
    x, factor, noise, bias = parts(name)
    z = x
    if s.get("f") is not None:
        z = upfirdn2d(x, s["f"], padding=s["padding"], gain=s.get("filter_gain", 1.0), impl="ref")
    z = z * factor[:, :, None, None] + noise
    alpha = s.get("slope", 0.2)
    expected = bias_act(
        z, bias, act="lrelu", alpha=alpha, gain=s.get("gain", 1.0), clamp=s.get("clamp"), impl="ref"
    )
    for impl in ("ref", "native"):
        y = epilogue(x, factor=factor, noise=noise, bias=bias, impl=impl, **s)  # type: ignore[arg-type]
        torch.testing.assert_close(y, expected)


@NAMES
@pytest.mark.parametrize("dtype", TOLERANCE)
def test_native_equals_reference(name: str, dtype: torch.dtype) -> None:
    wide = torch.float32 if dtype == torch.bfloat16 else dtype
    for shape in ((3, 40, 18, 9), (1, 3, 5, 33)):
        x, *given = parts(name, dtype, shape)
        for kept in ((True, True, True), (False, True, False), (True, False, False), (False, False, True)):
            factor, noise, bias = (t if keep else None for t, keep in zip(given, kept, strict=True))
            for grain in (noise, None if noise is None else noise[:1]):
                after = {"factor": factor, "noise": grain, "bias": bias, **SETTINGS[name]}
                y, expected = epilogue(x, impl="native", **after), epilogue(x.to(wide), impl="ref", **after)
                assert y.dtype == dtype and y.is_contiguous(memory_format=torch.channels_last)
                error = (y.to(wide) - expected).norm() / expected.norm()
                assert error < TOLERANCE[dtype]


@NAMES
@pytest.mark.parametrize("impl", ["ref", "native"])
def test_gradients_of_first_and_second_order(name: str, impl: Any) -> None:
    leaves = [t.requires_grad_(True) for t in parts(name, shape=(2, 2, 5, 4))]

    def call(x: Tensor, factor: Tensor, noise: Tensor, bias: Tensor) -> Tensor:
        return epilogue(x, factor=factor, noise=noise, bias=bias, impl=impl, **SETTINGS[name])

    assert gradcheck(call, leaves, fast_mode=True)
    assert gradgradcheck(call, leaves, fast_mode=True)


def test_shared_noise_and_absent_parts_have_gradients_too() -> None:
    x, _, noise, _ = parts("layer")
    noise = noise[:1].clone().requires_grad_(True)
    x.requires_grad_(True)
    results = []
    for impl in ("ref", "native"):
        y = epilogue(x, noise=noise, impl=impl, clamp=0.7)  # type: ignore[arg-type]
        results.append(torch.autograd.grad(y.square().sum(), (x, noise)))
    torch.testing.assert_close(*results)


@pytest.mark.parametrize("name", ["doubling layer", "layer", "to RGB"])
def test_registration_is_sound(name: str) -> None:
    x, factor, noise, bias = (t.float().requires_grad_(True) for t in parts(name))
    s = {"f": None, "padding": (0, 0, 0, 0), "filter_gain": 1.0, "slope": 0.2, "gain": 1.0, "clamp": -1.0}
    s |= SETTINGS[name]
    arguments = (
        x,
        s["f"],
        s["padding"],
        s["filter_gain"],
        factor,
        noise,
        bias,
        s["slope"],
        s["gain"],
        s["clamp"],
    )
    kinds = ("test_schema", "test_autograd_registration", "test_faketensor", "test_aot_dispatch_static")
    torch.library.opcheck(torch.ops.ganinv_ops.epilogue.default, arguments, test_utils=kinds)


def backward(name: str, dtype: torch.dtype, absent: Collection[str], steps: bool) -> list[Tensor]:
    """Gradients of the native kernel, by the kernel of one pass or in steps."""
    x, *others = parts(name, dtype, (3, 40, 9, 7))
    given = {k: v for k, v in zip(("factor", "noise", "bias"), others, strict=True) if k not in absent}
    leaves = [t.requires_grad_() for t in (x, *given.values())]
    y = epilogue(x, **SETTINGS[name], **given, impl="native")
    dy = torch.randn(y.shape, generator=torch.Generator().manual_seed(2)).to(dtype)
    return [g.detach() for g in torch.autograd.grad(y, leaves, dy, create_graph=steps)]


@NAMES
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("absent", [(), ("noise",), ("factor",), ("noise", "bias")])
def test_gradients_of_one_pass_are_those_of_the_steps(
    name: str, dtype: torch.dtype, absent: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = backward(name, dtype, absent, steps=True)
    monkeypatch.setattr("ganinv_ops.epilogue._in_steps", None)
    for found, wanted in zip(backward(name, dtype, absent, steps=False), expected, strict=True):
        assert found.shape == wanted.shape and found.dtype == wanted.dtype
        assert relative_error(found, wanted) < 10 * TOLERANCE[dtype]


def test_gradient_to_a_scale_alone_reads_the_input(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the result is x times a factor, one that is 0 is no obstacle."""
    monkeypatch.setattr("ganinv_ops.epilogue._in_steps", None)
    x, factor, _, _ = parts("layer")
    factor[0, 1] = 0
    leaves = [x.requires_grad_(), factor.requires_grad_()]
    y = epilogue(x, factor=factor, slope=1, gain=1.5, impl="native")
    found = torch.autograd.grad(y, leaves, y.detach().cos())
    plain = 1.5 * x * factor[:, :, None, None]
    for a, b in zip(found, torch.autograd.grad(plain, leaves, y.detach().cos()), strict=True):
        torch.testing.assert_close(a, b)


def test_a_factor_of_zero_goes_by_steps() -> None:
    """The result does not tell what it was multiplied with."""
    x, factor, noise, bias = parts("doubling layer")
    factor[1, 2] = 0
    factor.requires_grad_()
    given = {"factor": factor, "noise": noise, "bias": bias, **SETTINGS["doubling layer"]}
    found, expected = (
        torch.autograd.grad(epilogue(x, **given, impl=impl).sum(), factor)[0] for impl in ("native", "ref")
    )
    assert expected[1, 2] != 0
    torch.testing.assert_close(found, expected)


def test_one_pass_gives_the_same_bits_with_any_number_of_threads() -> None:
    before, results = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            results.append(backward("layer", torch.float32, (), steps=False))
    finally:
        torch.set_num_threads(before)
    for others in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], others, strict=True))


def test_plain_layout_goes_by_steps() -> None:
    x, factor, noise, bias = parts("doubling layer")
    plain = epilogue(x.contiguous(), factor=factor, noise=noise, bias=bias, **SETTINGS["doubling layer"])
    other = epilogue(x, factor=factor, noise=noise, bias=bias, **SETTINGS["doubling layer"])
    assert plain.is_contiguous() and not other.is_contiguous()
    torch.testing.assert_close(plain, other)


def test_nothing_and_not_a_number() -> None:
    empty = torch.zeros(0, 4, 5, 5).contiguous(memory_format=torch.channels_last)
    assert epilogue(empty, BLUR, padding=(1, 1, 1, 1), gain=2.0).shape == (0, 4, 4, 4)
    x = torch.full((1, 4, 5, 5), float("nan")).contiguous(memory_format=torch.channels_last)
    assert epilogue(x, gain=2.0, clamp=1.0, impl="native").isnan().all()


def test_operator_falls_back_where_nothing_is_built() -> None:
    code = (
        "import torch\n"
        "from ganinv_ops.epilogue import _reference\n"
        "x = torch.linspace(-9, 9, 500).sin().reshape(1, 5, 10, 10).to(memory_format=torch.channels_last)\n"
        "rest = (None, (0, 0, 0, 0), 1.0, torch.full((1, 5), 2.0), None, None, 0.2, 1.4, 1.0)\n"
        "y = torch.ops.ganinv_ops.epilogue(x.requires_grad_(True), *rest)\n"
        "z = _reference(x, *rest)\n"
        "for t in (y, z):\n"
        "    print(float(t.norm()), float(torch.autograd.grad(t.square().sum(), x)[0].norm()))\n"
    )
    environment = os.environ | {"GANINV_OPS": "ref"}
    answer = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    own, expected = answer.stdout.splitlines()
    assert [float(v) for v in own.split()] == pytest.approx([float(v) for v in expected.split()])


@pytest.mark.parametrize(
    "part, shape, text",
    [
        ("factor", (2, 3), "factor has shape [2, 3]; give [2, 5]"),
        ("noise", (2, 1, 7, 5), "noise has shape [2, 1, 7, 5]; give [2 or 1, 1, 7, 6]"),
        ("noise", (7, 6), "noise has shape [7, 6]"),
        ("bias", (2, 5), "bias has shape [2, 5]; give [5]"),
    ],
)
def test_parts_of_other_shapes_are_not_read(part: str, shape: tuple[int, ...], text: str) -> None:
    x, *_ = parts("layer")
    with pytest.raises(ValueError, match=re.escape(text)):
        epilogue(x, gain=2.0, impl="native", **{part: torch.zeros(shape)})  # type: ignore[arg-type]


def test_errors() -> None:
    x = torch.zeros(1, 3, 8, 8).contiguous(memory_format=torch.channels_last)
    with pytest.raises(ValueError, match="slope is 0; give a number above 0"):
        epilogue(x, slope=0)
    with pytest.raises(ValueError, match=r"padding \[1, 1, 1, 1\] without a filter"):
        epilogue(x, padding=(1, 1, 1, 1))
    with pytest.raises(NativeOpError, match=r"epilogue has no native kernel for torch\.float16 on cpu"):
        epilogue(x.half(), gain=2.0, impl="native")
