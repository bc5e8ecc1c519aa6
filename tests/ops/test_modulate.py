"""modulated_conv2d and conv2d_resample against their definitions."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck

from ganinv_ops.conv import conv2d_resample
from ganinv_ops.dispatch import Impl
from ganinv_ops.filters import setup_filter
from ganinv_ops.modulate import modulated_conv2d
from ganinv_ops.upfirdn2d import upfirdn2d

IMPLS = pytest.mark.parametrize("impl", ["ref", "native"])


def make(seed: int = 0, **options: Any) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    size, kernel = options.get("size", 6), options.get("kernel", 3)
    x = torch.randn(2, 4, size, size, generator=generator, dtype=torch.float64)
    weight = torch.randn(5, 4, kernel, kernel, generator=generator, dtype=torch.float64)
    styles = 1 + 0.5 * torch.randn(2, 4, generator=generator, dtype=torch.float64)
    return x, weight, styles


def one_weight_per_sample(x: Tensor, weight: Tensor, styles: Tensor, demodulate: bool) -> Tensor:
    weights = weight[None] * styles[:, None, :, None, None]  # [N, O, I, kh, kw]
    if demodulate:
        weights = weights / (weights.square().sum(dim=(2, 3, 4), keepdim=True) + 1e-8).sqrt()
    return torch.cat([F.conv2d(x[i : i + 1], w, padding=w.shape[-1] // 2) for i, w in enumerate(weights)])


@pytest.mark.parametrize("kernel", [1, 3])
@pytest.mark.parametrize("demodulate", [True, False])
def test_shared_weight_equals_one_weight_per_sample(kernel: int, demodulate: bool) -> None:
    x, weight, styles = make(kernel=kernel)
    noise = torch.randn(2, 1, 6, 6, dtype=torch.float64)
    y = modulated_conv2d(x, weight, styles, noise=noise, padding=kernel // 2, demodulate=demodulate)
    torch.testing.assert_close(y, one_weight_per_sample(x, weight, styles, demodulate) + noise)


@IMPLS
def test_doubling_without_a_filter(impl: Impl) -> None:
    x, weight, styles = make()
    bias = torch.arange(5.0, dtype=torch.float64)
    y = modulated_conv2d(x, weight, styles, bias=bias, up=2, padding=1, demodulate=False, impl=impl)
    scaled = x * styles[:, :, None, None]
    expected = conv2d_resample(scaled, weight, up=2, padding=1, flip_weight=False) + bias[:, None, None]
    torch.testing.assert_close(y, expected)


@pytest.mark.parametrize("demodulate", [True, False])
@pytest.mark.parametrize("shape", [(), (4,), (2, 4)])
def test_input_gain_is_not_undone(shape: tuple[int, ...], demodulate: bool) -> None:
    x, weight, styles = make()
    gain = 1 + torch.rand(shape, dtype=torch.float64)
    y = modulated_conv2d(x, weight, styles, input_gain=gain, padding=1, demodulate=demodulate)
    scaled = x * gain.expand(2, 4)[:, :, None, None]
    torch.testing.assert_close(y, one_weight_per_sample(scaled, weight, styles, demodulate))


@IMPLS
@pytest.mark.parametrize("kernel", [1, 2, 3])
@pytest.mark.parametrize("taps", [None, [1, 3, 3, 1], [1, 2, 1], [1, 2, 3, 4, 5, 6, 7, 8]])
@pytest.mark.parametrize("up, down", [(1, 1), (2, 1), (1, 2), (2, 2), (3, 1)])
def test_resampled_convolution_equals_its_steps(
    impl: Impl, kernel: int, taps: list[int] | None, up: int, down: int
) -> None:
    x, w, _ = make(size=9, kernel=kernel)
    f = None if taps is None else setup_filter(taps)
    n = 1 if f is None else f.shape[0]
    for flip_weight in (True, False):
        before, after = kernel // 2, (kernel - 1) // 2
        if up > 1:
            before, after = before + (n + up - 1) // 2, after + (n - up) // 2
        if down > 1:
            before, after = before + (n - down + 1) // 2, after + (n - down) // 2
        expected = upfirdn2d(
            x, f if up > 1 else None, up=up, padding=(before, after, before, after), gain=up**2, impl="ref"
        )
        expected = F.conv2d(expected, w if flip_weight else w.flip((2, 3)))
        if down > 1:
            expected = upfirdn2d(expected, f, down=down, impl="ref")
        padding = (kernel // 2, (kernel - 1) // 2) * 2
        y = conv2d_resample(x, w, f, up=up, down=down, padding=padding, flip_weight=flip_weight, impl=impl)
        torch.testing.assert_close(y, expected)


@IMPLS
@pytest.mark.parametrize("up", [1, 2])
def test_gradients_of_first_and_second_order(impl: Impl, up: int) -> None:
    leaves = tuple(t.requires_grad_(True) for t in make(seed=5, size=3))
    f = setup_filter([1, 3, 3, 1])

    def call(x: Tensor, weight: Tensor, styles: Tensor) -> Tensor:
        return modulated_conv2d(x, weight, styles, up=up, padding=1, resample_filter=f, impl=impl)

    assert gradcheck(call, leaves, fast_mode=True)
    assert gradgradcheck(call, leaves, fast_mode=True)


@IMPLS
@pytest.mark.parametrize("up", [1, 2])
def test_bfloat16_and_channels_last(impl: Impl, up: int) -> None:
    x, weight, styles = (t.float() for t in make(size=8))
    f = setup_filter([1, 3, 3, 1])
    expected = modulated_conv2d(x, weight, styles, up=up, padding=1, resample_filter=f, impl="ref")
    y = modulated_conv2d(
        x.to(torch.bfloat16, memory_format=torch.channels_last),
        weight,
        styles,
        up=up,
        padding=1,
        resample_filter=f,
        impl=impl,
    )
    assert y.dtype == torch.bfloat16 and y.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(y.float(), expected, rtol=5e-2, atol=5e-2)


@IMPLS
def test_no_samples(impl: Impl) -> None:
    x, weight, styles = make()
    f = setup_filter([1, 3, 3, 1])
    y = modulated_conv2d(x[:0], weight, styles[:0], up=2, padding=1, resample_filter=f, impl=impl)
    assert y.shape == (0, 5, 12, 12)


def test_errors() -> None:
    x, weight, styles = make()
    with pytest.raises(ValueError, match=re.escape("styles have shape [2, 3]; give [2, 4]")):
        modulated_conv2d(x, weight, styles[:, :3])
    with pytest.raises(ValueError, match=re.escape("x [2, 3, 6, 6] and weight [5, 4, 3, 3] do not fit")):
        modulated_conv2d(x[:, :3], weight, styles)
    with pytest.raises(ValueError, match="up is 0 and down is 1; give whole numbers"):
        conv2d_resample(x, weight, up=0)
    with pytest.raises(ValueError, match="activation 'swish' is not one of linear, lrelu"):
        modulated_conv2d(x, weight, styles, act="swish")  # type: ignore[arg-type]
