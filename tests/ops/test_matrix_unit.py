"""The ways of a CPU whose bfloat16 has a matrix unit. They can be had without one, only later."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from ganinv_ops import dispatch, matrix_unit
from ganinv_ops.conv import upsampling_conv2d
from ganinv_ops.filters import setup_filter
from ganinv_ops.modulate import modulated_conv2d

needs_bfloat16 = pytest.mark.skipif(
    not dispatch.multiplies_bfloat16(torch.device("cpu")), reason="no products in bfloat16 on this processor"
)
FLIPS = pytest.mark.parametrize("flip", [True, False])


def make(channels: int = 6, out: int = 5, h: int = 7, w: int = 4, n: int = 2) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(n, channels, h, w, generator=generator)
    return x.contiguous(memory_format=torch.channels_last), torch.randn(
        out, channels, 3, 3, generator=generator
    )


@FLIPS
def test_doubled_is_the_transposed_convolution_and_zeros(flip: bool) -> None:
    x, weight = make()
    y = matrix_unit.doubled(x, weight, flip)
    assert y.shape == (2, 5, 16, 10) and y.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(
        y[:, :, :-1, :-1], upsampling_conv2d(x, weight, up=2, flip_weight=flip, impl="ref")
    )
    assert not y[:, :, -1].any() and not y[:, :, :, -1].any()


@FLIPS
@pytest.mark.parametrize("padding", [0, 1, 2])
def test_convolution(flip: bool, padding: int) -> None:
    x, weight = make()
    expected = F.conv2d(x, weight if flip else weight.flip((2, 3)), padding=padding)
    torch.testing.assert_close(matrix_unit.conv2d(x, weight, padding, flip), expected)


def test_a_changed_weight_is_seen() -> None:
    x, weight = make()
    for way in (matrix_unit.doubled, lambda a, b: matrix_unit.conv2d(a, b, 1)):
        before = way(x, weight)
        weight.mul_(2)
        torch.testing.assert_close(way(x, weight), 2 * before)


def test_pictures_of_other_sizes_share_a_packed_weight() -> None:
    _, weight = make()
    for size in ({"n": 1}, {"n": 3, "h": 9}, {"w": 1}):
        x, _ = make(**size)
        expected = F.conv2d(x, weight, padding=1)
        torch.testing.assert_close(matrix_unit.conv2d(x, weight, 1), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("unit", [True, False])
def test_fits_where_the_unit_is(monkeypatch: pytest.MonkeyPatch, unit: bool) -> None:
    monkeypatch.setattr(dispatch, "_CPU_MATRICES", unit)
    x, weight = make(channels=128)
    styles = torch.ones(2, 128)
    narrow, one, pads = x.bfloat16(), {"up": 1, "down": 1}, (1, 1, 1, 1)
    fits = matrix_unit.fits
    assert fits(narrow, weight, styles, **one, padding=pads) == unit
    assert fits(narrow, weight, styles, up=2, down=1, padding=pads) == unit
    assert not fits(narrow[:, :64], weight[:, :64], styles[:, :64], up=2, down=1, padding=pads)
    assert not fits(x, weight, styles, **one, padding=pads)
    assert not fits(narrow, weight, styles, **one, padding=(1, 0, 1, 0))
    assert not fits(narrow, weight, styles, up=1, down=2, padding=pads)
    assert not fits(narrow, weight, styles, **one, padding=pads, impl="ref")
    assert not fits(narrow.contiguous(), weight, styles, **one, padding=pads)
    assert not fits(narrow[:0], weight, styles[:0], **one, padding=pads)
    for wanted in (narrow, weight, styles):
        wanted.requires_grad_(True)
        assert not fits(narrow, weight, styles, **one, padding=pads)
        wanted.requires_grad_(False)
    weight.requires_grad_(True)
    with torch.no_grad():
        assert fits(narrow, weight, styles, **one, padding=pads) == unit


@needs_bfloat16
@pytest.mark.parametrize("up", [1, 2])
def test_a_layer_goes_this_way(monkeypatch: pytest.MonkeyPatch, up: int) -> None:
    monkeypatch.setattr(dispatch, "_CPU_MATRICES", True)
    x, weight = make(channels=128, out=32, h=9, w=9)
    styles, bias = 1 + 0.5 * torch.randn(2, 128), torch.randn(32)
    noise = torch.randn(1, 1, 9 * up, 9 * up)
    taken = []
    for name in ("doubled", "conv2d"):
        own = getattr(matrix_unit, name)
        monkeypatch.setattr(matrix_unit, name, lambda *a, name=name, own=own: taken.append(name) or own(*a))

    def layer(x: Tensor, **settings: object) -> Tensor:
        f = setup_filter([1, 3, 3, 1])
        rest = {"bias": bias, "up": up, "padding": 1, "resample_filter": f}
        return modulated_conv2d(x, weight, styles, noise=noise, act="lrelu", **rest, **settings)  # type: ignore[arg-type]

    found, expected = layer(x.bfloat16()), layer(x, impl="ref")
    assert taken == ["conv2d" if up == 1 else "doubled"]
    assert found.dtype == torch.bfloat16
    assert float((found.float() - expected).norm() / expected.norm()) < 1e-2


@needs_bfloat16
@pytest.mark.parametrize("up", [1, 2])
def test_styles_alone_get_their_gradient(monkeypatch: pytest.MonkeyPatch, up: int) -> None:
    """In the first layer of a frozen generator neither the picture nor the weight wants one."""
    monkeypatch.setattr(dispatch, "_CPU_MATRICES", True)
    x, weight = make(channels=128, out=32, h=9, w=9)
    f, found = setup_filter([1, 3, 3, 1]), []
    for picture, settings in ((x.bfloat16(), {}), (x, {"impl": "ref"})):
        styles = torch.linspace(0.5, 1.5, 256).reshape(2, 128).requires_grad_()
        y = modulated_conv2d(picture, weight, styles, up=up, padding=1, resample_filter=f, **settings)
        found.append(torch.autograd.grad(y.float().square().sum(), styles)[0])
    assert float((found[0] - found[1]).norm() / found[1].norm()) < 3e-2
