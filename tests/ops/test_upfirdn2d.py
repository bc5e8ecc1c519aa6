"""upfirdn2d: native kernel, reference and definition agree; gradients, layouts, types, errors."""

from __future__ import annotations

import itertools
import re
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck

from ganinv_ops.dispatch import Impl, NativeOpError
from ganinv_ops.filters import setup_filter
from ganinv_ops.upfirdn2d import downsample2d, filter2d, upfirdn2d, upsample2d

IMPLS = pytest.mark.parametrize("impl", ["ref", "native"])
DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
TOLERANCE = {torch.float32: 2e-6, torch.float64: 1e-12, torch.bfloat16: 3e-2}
FILTERS = {
    "separable": torch.tensor([0.1, 0.5, -0.3, 0.7]),
    "rank one": torch.outer(torch.tensor([1.0, 3.0, 3.0, 1.0]), torch.tensor([1.0, 2.0, 1.0])) / 32,
    "full": torch.arange(1.0, 16).reshape(3, 5).sin(),
    "long": torch.linspace(-1, 2, 11),
}
SETTINGS: list[dict[str, Any]] = [
    {"padding": 4},
    {"up": 2, "padding": (5, 4, 6, 3)},
    {"down": 2, "padding": (6, 5, 4, 7), "flip_filter": True},
    {"up": (3, 2), "down": (2, 3), "padding": (7, 6, 9, 8), "gain": 2.5},
    {"up": 2, "down": 4, "padding": (9, -2, -3, 10), "gain": 0.7},
    {"up": 4, "padding": (11, 10, -4, 12)},
]


def definition(x: Tensor, f: Tensor, settings: dict[str, Any]) -> Tensor:
    """Sample by sample, as the docstring of the file says it."""
    (upx, upy), (downx, downy) = (
        (v, v) if isinstance(v := settings.get(name, 1), int) else v for name in ("up", "down")
    )
    padding = settings["padding"]
    px0, px1, py0, py1 = [padding] * 4 if isinstance(padding, int) else padding
    taps = (torch.outer(f, f) if f.ndim == 1 else f).to(x.dtype) * settings.get("gain", 1.0)
    if not settings.get("flip_filter", False):
        taps = taps.flip((0, 1))
    n, c, h, w = x.shape
    wide = x.new_zeros(n, c, h * upy + 40, w * upx + 40)  # 20 more on each side than any setting pads
    wide[:, :, 20 : 20 + h * upy : upy, 20 : 20 + w * upx : upx] = x
    wide = wide[:, :, 20 - py0 : 20 + h * upy + py1, 20 - px0 : 20 + w * upx + px1]
    fh, fw = taps.shape
    rows, columns = range(0, wide.shape[2] - fh + 1, downy), range(0, wide.shape[3] - fw + 1, downx)
    y = x.new_zeros(n, c, len(rows), len(columns))
    for (i, top), (j, left) in itertools.product(enumerate(rows), enumerate(columns)):
        y[:, :, i, j] = (wide[:, :, top : top + fh, left : left + fw] * taps).sum(dim=(2, 3))
    return y


@IMPLS
@pytest.mark.parametrize("name", FILTERS)
@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_definition(name: str, settings: dict[str, Any], impl: Impl) -> None:
    x = torch.randn(2, 3, 9, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    f = FILTERS[name].double()
    expected = definition(x, f, settings)
    for layout in (torch.contiguous_format, torch.channels_last):
        y = upfirdn2d(x.contiguous(memory_format=layout), f, impl=impl, **settings)
        assert y.is_contiguous(memory_format=layout)
        torch.testing.assert_close(y, expected, rtol=1e-12, atol=1e-12)


@DTYPES
@pytest.mark.parametrize("name", FILTERS)
@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_native_equals_reference(dtype: torch.dtype, name: str, settings: dict[str, Any]) -> None:
    for channels, layout in itertools.product(
        (1, 2, 3, 4, 5, 24), (torch.contiguous_format, torch.channels_last)
    ):
        x = torch.randn(2, channels, 11, 13, generator=torch.Generator().manual_seed(2))
        x = x.to(dtype).contiguous(memory_format=layout)
        y = upfirdn2d(x, FILTERS[name], impl="native", **settings)
        # the reference rounds its taps and its first pass to bfloat16; compare with it in float32
        ref = upfirdn2d(x.float() if dtype == torch.bfloat16 else x, FILTERS[name], impl="ref", **settings)
        assert y.dtype == dtype and y.is_contiguous(memory_format=layout)
        scale = float(ref.abs().max())
        torch.testing.assert_close(
            y.double(), ref.double(), rtol=0, atol=TOLERANCE[dtype] * max(scale, 1) / 2
        )


@IMPLS
@pytest.mark.parametrize("name", FILTERS)
@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_gradients_of_first_and_second_order(name: str, settings: dict[str, Any], impl: Impl) -> None:
    x = torch.randn(
        1, 2, 5, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(4)
    ).requires_grad_(True)

    def call(x: Tensor) -> Tensor:
        return upfirdn2d(x, FILTERS[name], impl=impl, **settings)

    assert gradcheck(call, (x,), fast_mode=True)
    assert gradgradcheck(call, (x,), fast_mode=True)


def test_gradient_equals_the_references_in_bfloat16_channels_last() -> None:
    x = torch.randn(2, 8, 16, 16).to(torch.bfloat16, memory_format=torch.channels_last).requires_grad_(True)
    f = setup_filter([1, 3, 3, 1])
    dy = torch.randn(2, 8, 32, 32).to(torch.bfloat16, memory_format=torch.channels_last)
    impls: tuple[Impl, ...] = ("ref", "native")
    ref, native = (torch.autograd.grad(upsample2d(x, f, impl=impl), x, dy)[0] for impl in impls)
    assert native.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(native, ref, rtol=2e-2, atol=2e-2)


def test_only_the_reference_differentiates_the_filter() -> None:
    f = torch.randn(3, 3, dtype=torch.float64, requires_grad=True)
    x = torch.randn(1, 2, 4, 4, dtype=torch.float64)
    assert gradcheck(lambda f: filter2d(x, f), (f,))
    with pytest.raises(NativeOpError, match="no gradient for the filter; detach it"):
        filter2d(x, f, impl="native")


@IMPLS
def test_resampling_keeps_brightness_and_size(impl: Impl) -> None:
    x = torch.ones(1, 2, 16, 12)
    for taps in ([1, 3, 3, 1], [1, 2, 1], [1, 1], [1, 4, 6, 4, 1], 1):
        f = setup_filter(taps)
        up, down, same = upsample2d(x, f, impl=impl), downsample2d(x, f, impl=impl), filter2d(x, f, impl=impl)
        assert up.shape == (1, 2, 32, 24) and down.shape == (1, 2, 8, 6) and same.shape == x.shape
        if taps != 1:
            torch.testing.assert_close(up[:, :, 4:-4, 4:-4], torch.ones(1, 2, 24, 16))
        torch.testing.assert_close(down[:, :, 2:-2, 2:-2], torch.ones(1, 2, 4, 2))


@IMPLS
def test_nothing_slices_and_no_filter(impl: Impl) -> None:
    f = setup_filter([1, 3, 3, 1])
    assert upsample2d(torch.zeros(0, 3, 8, 8), f, impl=impl).shape == (0, 3, 16, 16)
    base = torch.randn(3, 6, 20, 21)
    part = base[1:, ::2, 3:17, ::3]
    torch.testing.assert_close(filter2d(part, f, impl=impl), filter2d(part.contiguous(), f, impl="ref"))
    crop = base.to(memory_format=torch.channels_last)[:, :, 1:9, 2:12]
    y = filter2d(crop, f, impl=impl)
    assert y.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(y, filter2d(crop.contiguous(), f, impl="ref"))
    torch.testing.assert_close(upfirdn2d(base, None, padding=-1, impl=impl), base[:, :, 1:-1, 1:-1])
    torch.testing.assert_close(upfirdn2d(base, None, down=2, gain=2, impl=impl), base[:, :, ::2, ::2] * 2)


def test_two_threads_give_the_same_bytes() -> None:
    x = torch.randn(4, 32, 40, 40)
    before = torch.get_num_threads()
    one = upsample2d(x, FILTERS["full"], impl="native")
    try:
        torch.set_num_threads(2)
        two = upsample2d(x, FILTERS["full"], impl="native")
    finally:
        torch.set_num_threads(before)
    assert torch.equal(one, two)


def test_setup_filter() -> None:
    assert setup_filter([1, 3, 3, 1]).shape == (4, 4)
    assert setup_filter([1.0] * 8).shape == (8,)
    assert setup_filter([1, 2, 1], separable=True).tolist() == [0.25, 0.5, 0.25]
    assert setup_filter(None).tolist() == [[1]]
    with pytest.raises(ValueError, match=re.escape("at least one tap, not [0]")):
        setup_filter([])
    with pytest.raises(ValueError, match=re.escape("not [1, 1, 1]")):
        setup_filter(torch.ones(1, 1, 1))
    with pytest.raises(ValueError, match="separable=True needs 1-D taps"):
        setup_filter([[1, 2], [3, 4]], separable=True)


def test_errors() -> None:
    x, f = torch.zeros(1, 3, 8, 8), setup_filter([1, 3, 3, 1])
    with pytest.raises(ValueError, match=re.escape("x has shape [3, 8, 8]; give [N, C, H, W]")):
        upfirdn2d(x[0], f)
    with pytest.raises(ValueError, match="up is 0; give a whole number of at least 1"):
        upfirdn2d(x, f, up=0)
    with pytest.raises(ValueError, match=re.escape("down is (1, 2, 3); give")):
        upfirdn2d(x, f, down=(1, 2, 3))
    with pytest.raises(
        ValueError,
        match=re.escape("padding is [1, 2, 3]; give one number, (x, y) or (left, right, top, bottom)"),
    ):
        upfirdn2d(x, f, padding=(1, 2, 3))
    with pytest.raises(ValueError, match="is smaller than the 4x4 filter; pad more"):
        upfirdn2d(x, f, padding=-3)
    with pytest.raises(ValueError, match=re.escape("the filter has shape [1, 1, 4]")):
        upfirdn2d(x, torch.zeros(1, 1, 4))
    with pytest.raises(NativeOpError, match=r"upfirdn2d has no native kernel for torch\.float16 on cpu"):
        upfirdn2d(x.half(), f, impl="native")
    assert filter2d(x.half(), f).dtype == torch.float16
