"""The Winograd layer: equal to its definition in float64, for every shape; when it is chosen."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest
import torch
from torch import Tensor

from ganinv_ops import winograd
from ganinv_ops.conv import conv2d_resample
from ganinv_ops.epilogue import epilogue
from ganinv_ops.modulate import modulated_conv2d
from ganinv_ops.upfirdn2d import setup_filter

TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 8e-3}
BLUR = setup_filter([1, 3, 3, 1])
FILTERS = {
    "blur": BLUR,
    "one axis": setup_filter([1, 2, 4, 1], separable=True),
    "lopsided": setup_filter([[1, 2, 0, 3], [4, 1, 1, 0], [0, 5, 2, 2], [1, 0, 3, 1]]),
}


def normal(*size: int, seed: int = 0) -> Tensor:
    return torch.randn(size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def layer(n: int, into: int, out: int, height: int, width: int, up: int, padding: int) -> list[Tensor]:
    """x in channels_last, weight, styles, factor, noise for each picture, bias; float64."""
    rows, columns = (up * side + (0 if up == 2 else 2 * padding - 2) for side in (height, width))
    x = normal(n, into, height, width).contiguous(memory_format=torch.channels_last)
    weight, styles = normal(out, into, 3, 3, seed=1), 1 + normal(n, into, seed=2) / 3
    factor = 1 + normal(n, out, seed=3).abs() / 3
    return [x, weight, styles, factor, normal(n, 1, rows, columns, seed=4), normal(out, seed=5)]


def definition(
    parts: list[Tensor], f: Tensor | None, up: int, padding: int, flip: bool, **after: Any
) -> Tensor:
    x, weight, styles, factor, noise, bias = parts
    z = conv2d_resample(
        x * styles[:, :, None, None], weight, f, up=up, padding=padding, flip_weight=flip, impl="ref"
    )
    return epilogue(z, factor=factor, noise=noise, bias=bias, impl="ref", **after)


def error(y: Tensor, expected: Tensor) -> float:
    assert y.shape == expected.shape and y.is_contiguous(memory_format=torch.channels_last)
    return float((y.double() - expected).norm() / expected.norm())


AFTER: dict[str, Any] = {"slope": 0.2, "gain": math.sqrt(2), "clamp": 20.0}


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("flip", [True, False])
@pytest.mark.parametrize("padding", [0, 1, 2])
@pytest.mark.parametrize(
    "shape", [(2, 16, 32, 8, 8), (3, 48, 16, 13, 6), (1, 32, 192, 5, 50), (1, 144, 80, 7, 9)]
)
def test_same_size(shape: tuple[int, ...], padding: int, flip: bool, dtype: torch.dtype) -> None:
    parts = layer(*shape, 1, padding)  # type: ignore[arg-type]
    narrow = [t.to(dtype) for t in parts]
    y = winograd.winograd_conv2d(*narrow, padding=padding, flip_weight=flip, **AFTER)
    assert y.dtype == dtype
    assert (
        error(y, definition([t.double() for t in narrow], None, 1, padding, flip, **AFTER)) < TOLERANCE[dtype]
    )


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("flip", [True, False])
@pytest.mark.parametrize("name", FILTERS)
@pytest.mark.parametrize("shape", [(2, 16, 32, 8, 8), (3, 48, 16, 13, 6), (1, 32, 48, 5, 50)])
def test_doubling(shape: tuple[int, ...], name: str, flip: bool, dtype: torch.dtype) -> None:
    parts, f = layer(*shape, 2, 1), FILTERS[name]  # type: ignore[arg-type]
    narrow = [t.to(dtype) for t in parts]
    y = winograd.winograd_conv2d(*narrow, up=2, f=f, flip_weight=flip, **AFTER)
    assert error(y, definition([t.double() for t in narrow], f, 2, 1, flip, **AFTER)) < TOLERANCE[dtype]


def test_absent_parts_and_shared_noise() -> None:
    x, weight, styles, factor, noise, bias = (t.float() for t in layer(2, 16, 16, 9, 8, 1, 1))
    for some in ((None, None, None), (factor, None, None), (None, noise[:1], None), (None, None, bias)):
        y = winograd.winograd_conv2d(x, weight, styles, *some)
        neutral = [torch.ones_like(factor), torch.zeros_like(noise), torch.zeros_like(bias)]
        filled = [n if s is None else s.expand_as(n) for s, n in zip(some, neutral, strict=True)]
        expected = definition([t.double() for t in (x, weight, styles, *filled)], None, 1, 1, True, slope=1.0)
        assert error(y, expected) < 1e-5


def test_threads_and_batches_give_the_same_bytes() -> None:
    parts = [t.float() for t in layer(5, 32, 64, 30, 31, 1, 1)]
    before = torch.get_num_threads()
    try:
        results = []
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            results.append(winograd.winograd_conv2d(*parts))
        x, weight, styles, factor, noise, bias = parts
        alone = winograd.winograd_conv2d(x[3:4], weight, styles[3:4], factor[3:4], noise[3:4], bias)
    finally:
        torch.set_num_threads(before)
    assert torch.equal(results[0], results[1]) and torch.equal(results[0], results[2])
    assert torch.equal(results[0][3:4], alone)


def test_slices_and_nothing() -> None:
    x, weight, styles, *_ = (t.float() for t in layer(4, 48, 32, 12, 12, 1, 1))
    part = x[::2, 16:32, 1:, ::2]
    y = winograd.winograd_conv2d(part, weight[:, 16:32], styles[::2, 16:32])
    expected = winograd.winograd_conv2d(
        part.clone(memory_format=torch.contiguous_format),
        weight[:, 16:32].clone(),
        styles[::2, 16:32].clone(),
    )
    assert torch.equal(y, expected)
    assert winograd.winograd_conv2d(x[:0], weight, styles[:0]).shape == (0, 32, 12, 12)


@pytest.mark.parametrize("up", [1, 2])
def test_modulated_convolution_takes_it(up: int, monkeypatch: pytest.MonkeyPatch) -> None:
    x, weight, styles, _, noise, bias = (t.float() for t in layer(1, 32, 32, 64, 64, up, 1))
    options: dict[str, Any] = {"noise": noise, "bias": bias, "act": "lrelu", "padding": 1, "up": up}
    options["resample_filter"] = BLUR
    calls = []
    whole = winograd.winograd_conv2d
    monkeypatch.setattr(winograd, "winograd_conv2d", lambda *a, **k: calls.append(1) or whole(*a, **k))
    with torch.no_grad():
        y = modulated_conv2d(x, weight.requires_grad_(True), styles, **options)
    assert calls
    expected = modulated_conv2d(
        *(t.detach().double() for t in (x, weight, styles)), impl="ref", **options | {"noise": noise.double()}
    )
    assert error(y, expected) < 1e-5
    calls.clear()
    modulated_conv2d(x, weight, styles, **options)  # a gradient is wanted
    small = x[:, :, :16, :16].contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        modulated_conv2d(x, weight, styles, impl="ref", **options)
        modulated_conv2d(x.contiguous(), weight, styles, **options)
        modulated_conv2d(small, weight, styles, **options | {"noise": None})
        modulated_conv2d(x.double(), weight, styles, **options)
        modulated_conv2d(x[:, :8], weight[:, :8], styles[:, :8], **options)
    assert not calls


@pytest.mark.parametrize("up", [1, 2])
def test_registration_is_sound(up: int) -> None:
    parts = [t.float() for t in layer(1, 16, 16, 8, 9, up, 1)]
    arguments = (*parts, BLUR if up == 2 else None, up, 1, True, 0.2, 1.4, -1.0)
    torch.library.opcheck(
        torch.ops.ganinv_ops.winograd.default, arguments, test_utils=("test_schema", "test_faketensor")
    )
    assert error(torch.ops.ganinv_ops.winograd(*arguments), winograd._steps(*arguments).double()) < 1e-5


def test_parts_of_other_shapes_are_not_read() -> None:
    x, weight, styles, factor, noise, bias = (t.float() for t in layer(2, 16, 32, 8, 8, 1, 1))
    for arguments, text in (
        ((styles[:1],), "styles have shape [1, 16]; give [2, 16]"),
        ((styles, factor[:, :16]), "factor has shape [2, 16]; give [2, 32]"),
        ((styles, None, noise[..., 1:]), "noise has shape [2, 1, 8, 7]; give [2 or 1, 1, 8, 8]"),
        ((styles, None, None, bias[1:]), "bias has shape [31]; give [32]"),
    ):
        with pytest.raises(ValueError, match=re.escape(text)):
            winograd.winograd_conv2d(x, weight, *arguments)


def test_what_the_kernel_refuses() -> None:
    x, weight, styles, *_ = (t.float() for t in layer(1, 16, 16, 8, 8, 1, 1))
    for arguments, options in (
        ((x[:, :8], weight[:, :8], styles[:, :8]), {}),
        ((x, weight[:, :, :1, :1], styles), {}),
        ((x, weight, styles), {"padding": 3}),
        ((x, weight, styles), {"up": 2}),
        ((x.double(), weight, styles), {}),
    ):
        with pytest.raises(RuntimeError, match="ganinv_ops::winograd: "):
            winograd.winograd_conv2d(*arguments, **options)  # type: ignore[arg-type]
