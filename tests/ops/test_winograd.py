"""The Winograd layer: equal to its definition in float64, for every shape; when it is chosen."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest
import torch
from torch import Tensor

from ganinv_ops import dispatch, winograd
from ganinv_ops.conv import conv2d_resample, upsampling_conv2d
from ganinv_ops.epilogue import epilogue
from ganinv_ops.filters import setup_filter
from ganinv_ops.modulate import modulated_conv2d

TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 8e-3}
BLUR = setup_filter([1, 3, 3, 1])


def normal(*size: int, seed: int = 0) -> Tensor:
    return torch.randn(size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def layer(n: int, into: int, out: int, height: int, width: int, padding: int = 1) -> list[Tensor]:
    """x in channels_last, weight, styles, factor, noise for each picture, bias; float64."""
    rows, columns = (side + 2 * padding - 2 for side in (height, width))
    x = normal(n, into, height, width).contiguous(memory_format=torch.channels_last)
    weight, styles = normal(out, into, 3, 3, seed=1), 1 + normal(n, into, seed=2) / 3
    factor = 1 + normal(n, out, seed=3).abs() / 3
    return [x, weight, styles, factor, normal(n, 1, rows, columns, seed=4), normal(out, seed=5)]


def definition(parts: list[Tensor], padding: int, flip: bool, **after: Any) -> Tensor:
    x, weight, styles, factor, noise, bias = parts
    z = conv2d_resample(x * styles[:, :, None, None], weight, padding=padding, flip_weight=flip, impl="ref")
    return epilogue(z, factor=factor, noise=noise, bias=bias, impl="ref", **after)


def error(y: Tensor, expected: Tensor) -> float:
    assert y.shape == expected.shape and y.is_contiguous(memory_format=torch.channels_last)
    return float((y.detach().double() - expected.detach()).norm() / expected.detach().norm())


AFTER: dict[str, Any] = {"slope": 0.2, "gain": math.sqrt(2), "clamp": 20.0}


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("flip", [True, False])
@pytest.mark.parametrize("padding", [0, 1, 2])
@pytest.mark.parametrize(
    "shape", [(2, 16, 32, 8, 8), (3, 48, 16, 13, 6), (1, 32, 192, 5, 50), (1, 144, 80, 7, 9)]
)
def test_same_size(shape: tuple[int, ...], padding: int, flip: bool, dtype: torch.dtype) -> None:
    parts = layer(*shape, padding)  # type: ignore[arg-type]
    narrow = [t.to(dtype) for t in parts]
    y = winograd.winograd_conv2d(*narrow, padding=padding, flip_weight=flip, **AFTER)
    assert y.dtype == dtype
    expected = definition([t.double() for t in narrow], padding, flip, **AFTER)
    assert error(y, expected) < TOLERANCE[dtype]


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("flip", [True, False])
@pytest.mark.parametrize(
    "shape",
    [(2, 16, 32, 8, 8), (3, 48, 16, 13, 6), (1, 32, 48, 5, 50), (1, 144, 80, 7, 3), (2, 16, 16, 1, 2)],
)
def test_doubling(shape: tuple[int, ...], flip: bool, dtype: torch.dtype) -> None:
    x, weight, styles = (t.to(dtype) for t in layer(*shape)[:3])
    y = winograd.winograd_up(x, weight, styles, flip_weight=flip)
    assert y.dtype == dtype
    scaled = x.double() * styles.double()[:, :, None, None]
    expected = upsampling_conv2d(scaled, weight.double(), up=2, flip_weight=flip)
    assert error(y, expected) < TOLERANCE[dtype]


def test_absent_parts_and_shared_noise() -> None:
    x, weight, styles, factor, noise, bias = (t.float() for t in layer(2, 16, 16, 9, 8))
    for some in ((None, None, None), (factor, None, None), (None, noise[:1], None), (None, None, bias)):
        y = winograd.winograd_conv2d(x, weight, styles, *some)
        neutral = [torch.ones_like(factor), torch.zeros_like(noise), torch.zeros_like(bias)]
        filled = [n if s is None else s.expand_as(n) for s, n in zip(some, neutral, strict=True)]
        expected = definition([t.double() for t in (x, weight, styles, *filled)], 1, True, slope=1.0)
        assert error(y, expected) < 1e-5


def test_threads_and_batches_give_the_same_bytes() -> None:
    parts = [t.float() for t in layer(5, 32, 64, 30, 31)]
    before = torch.get_num_threads()
    try:
        results, doubled = [], []
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            results.append(winograd.winograd_conv2d(*parts))
            doubled.append(winograd.winograd_up(*parts[:3]))
        x, weight, styles, factor, noise, bias = parts
        alone = winograd.winograd_conv2d(x[3:4], weight, styles[3:4], factor[3:4], noise[3:4], bias)
    finally:
        torch.set_num_threads(before)
    assert torch.equal(results[0], results[1]) and torch.equal(results[0], results[2])
    assert torch.equal(results[0][3:4], alone)
    assert torch.equal(doubled[0], doubled[1]) and torch.equal(doubled[0], doubled[2])
    assert torch.equal(doubled[0][3:4], winograd.winograd_up(x[3:4], weight, styles[3:4]))


def test_slices_and_nothing() -> None:
    x, weight, styles, *_ = (t.float() for t in layer(4, 48, 32, 12, 12))
    part = x[::2, 16:32, 1:, ::2]
    y = winograd.winograd_conv2d(part, weight[:, 16:32], styles[::2, 16:32])
    expected = winograd.winograd_conv2d(
        part.clone(memory_format=torch.contiguous_format),
        weight[:, 16:32].clone(),
        styles[::2, 16:32].clone(),
    )
    assert torch.equal(y, expected)
    assert winograd.winograd_conv2d(x[:0], weight, styles[:0]).shape == (0, 32, 12, 12)
    assert winograd.winograd_up(x[:0], weight, styles[:0]).shape == (0, 32, 25, 25)


@pytest.mark.parametrize("up", [1, 2])
@pytest.mark.parametrize("f", [BLUR, setup_filter([1, 2, 4, 1, 2], separable=True)], ids=["4 x 4", "5"])
def test_modulated_convolution_takes_it(up: int, f: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    x, weight, styles, _, noise, bias = (t.float() for t in layer(1, 32, 32, 32, 32))
    noise = noise.repeat(1, 1, up, up)
    options: dict[str, Any] = {"noise": noise, "bias": bias, "act": "lrelu", "padding": 1, "up": up}
    options["resample_filter"] = f
    calls, name = [], ("winograd_conv2d", "winograd_up")[up - 1]
    whole = getattr(winograd, name)
    monkeypatch.setattr(winograd, name, lambda *a, **k: calls.append(1) or whole(*a, **k))
    with torch.no_grad():
        y = modulated_conv2d(x, weight.requires_grad_(True), styles, **options)
    assert calls
    expected = modulated_conv2d(
        *(t.detach().double() for t in (x, weight, styles)), impl="ref", **options | {"noise": noise.double()}
    )
    assert error(y, expected) < 1e-5
    calls.clear()
    modulated_conv2d(x, weight, styles, **options).sum().backward()
    assert weight.grad is not None
    calls.clear()
    small = x[:, :, :4, :4].contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        modulated_conv2d(x, weight, styles, impl="ref", **options)
        modulated_conv2d(x.contiguous(), weight, styles, **options)
        modulated_conv2d(small, weight, styles, **options | {"noise": None})
        modulated_conv2d(x.double(), weight, styles, **options)
        modulated_conv2d(x[:, :8], weight[:, :8], styles[:, :8], **options)
    assert not calls


@pytest.mark.parametrize("instructions", [True, False])
def test_bfloat16_doubles_by_pytorch_where_that_is_sooner(
    instructions: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatch, "_CPU_BFLOAT16", instructions)
    monkeypatch.setattr(dispatch, "_CPU_MATRICES", False)
    options: dict[str, Any] = {"up": 2, "padding": (1, 1, 1, 1), "impl": "auto"}
    weight = torch.zeros(32, 32, 3, 3)
    for side, sooner in ((64, False), (256, True)):
        x = torch.zeros(1, 32, side, side, dtype=torch.bfloat16).contiguous(memory_format=torch.channels_last)
        assert winograd.fits(x, weight, **options) == (sooner or not instructions)
        assert winograd.fits(x.float(), weight, **options)


@pytest.mark.parametrize("up", [1, 2])
def test_bfloat16_goes_by_the_matrix_unit_where_one_is(up: int, monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.zeros(1, 32, 256, 256, dtype=torch.bfloat16).contiguous(memory_format=torch.channels_last)
    options: dict[str, Any] = {"up": up, "padding": (1, 1, 1, 1), "impl": "auto"}
    monkeypatch.setattr(dispatch, "_CPU_BFLOAT16", True)
    for unit in (True, False):
        monkeypatch.setattr(dispatch, "_CPU_MATRICES", unit)
        assert winograd.fits(x, torch.zeros(32, 32, 3, 3), **options) == (not unit)
        assert winograd.fits(x.float(), torch.zeros(32, 32, 3, 3), **options)


@pytest.mark.parametrize("up", [1, 2])
def test_few_pixels_go_by_pytorch(up: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(winograd, "LEAST_PIXELS", 128)
    options: dict[str, Any] = {"up": up, "padding": (1, 1, 1, 1), "impl": "auto"}
    for n, side, sooner in ((1, 8, False), (2, 8, True), (8, 4, True), (64, 3, False)):
        x = torch.zeros(n, 16, side, side).contiguous(memory_format=torch.channels_last)
        assert winograd.fits(x, torch.zeros(16, 16, 3, 3), **options) == sooner


@pytest.mark.parametrize("up", [1, 2])
def test_without_instructions_for_bfloat16_pytorch_multiplies_float32(
    up: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatch, "_CPU_BFLOAT16", False)
    x, weight = (t.to(torch.bfloat16) for t in (normal(2, 5, 6, 6), normal(3, 5, 3, 3)))
    x.requires_grad_()
    y = conv2d_resample(x, weight, up=up, padding=1, impl="ref")
    wide = conv2d_resample(x.float(), weight.float(), up=up, padding=1, impl="ref")
    assert torch.equal(y, wide.to(torch.bfloat16))  # rounded once, at the end
    (gradient,) = torch.autograd.grad(y.float().sum(), x)
    assert gradient.dtype == torch.bfloat16 and gradient.isfinite().all()


def test_changed_weights_are_transformed_again() -> None:
    x, weight, styles, *_ = (t.float() for t in layer(1, 16, 16, 16, 16))
    f, options = BLUR, {"up": 2, "padding": 1}
    for change in (lambda: None, lambda: weight.mul_(2), lambda: weight.copy_(weight.flip(0))):
        change()
        with torch.no_grad():
            y = modulated_conv2d(x, weight, styles, resample_filter=f, **options)
        expected = modulated_conv2d(x, weight.clone(), styles, resample_filter=f, impl="ref", **options)
        assert error(y, expected.double()) < 1e-5


def test_registration_is_sound() -> None:
    x, weight, styles, *others = (t.float() for t in layer(1, 16, 16, 8, 9))
    tests = ("test_schema", "test_faketensor")
    same, double = torch.ops.ganinv_ops.winograd, torch.ops.ganinv_ops.winograd_up
    arguments = (x, weight, styles, *others, 1, True, 0.2, 1.4, -1.0)
    torch.library.opcheck(same.default, arguments, test_utils=tests)
    assert error(same(*arguments), winograd._steps(*arguments).double()) < 1e-5
    torch.library.opcheck(double.default, (x, weight, styles, True), test_utils=tests)
    assert error(double(x, weight, styles, True), winograd._up_steps(x, weight, styles, True).double()) < 1e-5
    torch.library.opcheck(torch.ops.ganinv_ops.winograd_weight.default, (x, x, 1, True), test_utils=tests)
    dy = torch.zeros(1, 16, 17, 19)
    torch.library.opcheck(torch.ops.ganinv_ops.winograd_up_weight.default, (x, dy, True), test_utils=tests)


def test_many_weights_come_in_groups_and_many_tiles_in_batches() -> None:
    """More than fit the buffers, and different parts in turn: what is left in them must not show."""
    for into, out, side in ((512, 192, 9), (64, 80, 150), (512, 320, 40)):
        x, weight, styles, *others = (t.float() for t in layer(2, into, out, side, side))
        y = winograd.winograd_conv2d(x, weight, styles, *others, **AFTER)
        assert error(y, winograd._steps(x, weight, styles, *others, 1, True, *AFTER.values()).double()) < 2e-5
        y = winograd.winograd_up(x, weight, styles)
        assert error(y, winograd._up_steps(x, weight, styles, False).double()) < 2e-5


def test_parts_of_other_shapes_are_not_read() -> None:
    x, weight, styles, factor, noise, bias = (t.float() for t in layer(2, 16, 32, 8, 8))
    for arguments, text in (
        ((styles[:1],), "styles have shape [1, 16]; give [2, 16]"),
        ((styles, factor[:, :16]), "factor has shape [2, 16]; give [2, 32]"),
        ((styles, None, noise[..., 1:]), "noise has shape [2, 1, 8, 7]; give [2 or 1, 1, 8, 8]"),
        ((styles, None, None, bias[1:]), "bias has shape [31]; give [32]"),
    ):
        with pytest.raises(ValueError, match=re.escape(text)):
            winograd.winograd_conv2d(x, weight, *arguments)


def test_what_the_kernel_refuses() -> None:
    x, weight, styles, *_ = (t.float() for t in layer(1, 16, 16, 8, 8))
    for arguments, options in (
        ((x[:, :8], weight[:, :8], styles[:, :8]), {}),
        ((x, weight[:, :, :1, :1], styles), {}),
        ((x, weight, styles), {"padding": 3}),
        ((x.double(), weight, styles), {}),
    ):
        with pytest.raises(RuntimeError, match="ganinv_ops::winograd: "):
            winograd.winograd_conv2d(*arguments, **options)  # type: ignore[arg-type]
        if not options:
            with pytest.raises(RuntimeError, match="ganinv_ops::winograd: "):
                winograd.winograd_up(*arguments)
