"""The CUDA kernel of filtered_lrelu without a card: it compiles; its blocks, run on the host, are right."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from ganinv_ops import dispatch, filtered_lrelu_cuda
from ganinv_ops import filtered_lrelu as op
from ganinv_ops.filters import filter_size, setup_filter

SEPARABLE = torch.linspace(-1, 2, 12).cos()
FULL = torch.linspace(-2, 3, 144).cos().reshape(12, 12)
CASES: dict[str, tuple[tuple[int, ...], Tensor | None, Tensor | None, dict[str, Any]]] = {
    "up 2 down 2": ((2, 5, 38, 45), SEPARABLE, SEPARABLE, {"up": 2, "down": 2, "padding": (9, 8, 9, 8)}),
    "up 4 down 2": (
        (1, 9, 26, 20),
        torch.linspace(-1, 2, 24).cos(),
        SEPARABLE,
        {"up": 4, "down": 2, "padding": (-6, -9, -6, -9)},
    ),
    "radial": ((1, 3, 36, 36), SEPARABLE, FULL, {"up": 2, "down": 2, "padding": (11, 10, 11, 10)}),
    "two full filters": ((1, 3, 11, 13), FULL, FULL[:5, :3], {"up": 2, "down": 3, "padding": (9, 8, 7, 6)}),
    "odd": ((3, 1, 9, 40), SEPARABLE[:5], SEPARABLE[:7], {"up": 3, "down": 1, "padding": (3, 2, 5, 4)}),
    "no filters": ((1, 17, 9, 7), None, None, {"up": 2, "down": 3, "padding": (1, 0, -2, 3)}),
}


@pytest.fixture(scope="module")
def tiles(compile_for_host: Callable[[str], ctypes.CDLL]) -> ctypes.CDLL:
    loaded = compile_for_host("run_tiles")
    loaded.run_tiles.restype = ctypes.c_int64
    return loaded


def host_launch(
    library: ctypes.CDLL,
    limit: int,
    backwards: bool,
    x: Tensor,
    y: Tensor,
    mask: Tensor | None,
    first: Tensor,
    second: Tensor,
    b: Tensor | None,
    up: int,
    down: int,
    padding_up: Sequence[int],
    padding_down: Sequence[int],
    gain: float,
    slope: float,
    clamp: float,
    keep: bool,
) -> bool:
    """Stands in for the operator of filtered_lrelu_cuda.cpp."""

    def filter_numbers(f: Tensor) -> tuple[int, int, int]:
        return f.shape[0], f.shape[-1], int(f.ndim == 1)

    b = None if b is None else b.contiguous()
    n, c, h, w = x.shape
    middle = (
        h * up + padding_up[2] + padding_up[3] - first.shape[0] + 1,
        w * up + padding_up[0] + padding_up[1] - first.shape[-1] + 1,
    )
    assert mask is None or mask.shape[2:] == middle
    numbers = [
        *(*x.stride(), *y.stride(), n * c, c, h, w, *middle, *y.shape[2:], up, down),
        *(padding_up[0], padding_up[2], padding_down[0], padding_down[2]),
        *(0 if mask is None else 1 if keep else 2, 0 if mask is None else mask.shape[0]),
        *(*filter_numbers(first), *filter_numbers(second)),
    ]
    pointers = [ctypes.c_void_p(None if t is None else t.data_ptr()) for t in (x, y, b, mask, first, second)]
    blocks: int = library.run_tiles(
        *pointers,
        (ctypes.c_int64 * len(numbers))(*numbers),
        (ctypes.c_float * 3)(gain, slope, clamp),
        ctypes.c_int64(limit),
        backwards,
    )
    return blocks > 0


@pytest.fixture(params=[(72 * 1024, False), (72 * 1024, True), (9 * 1024, False)], ids=str)
def launch(
    request: pytest.FixtureRequest, tiles: ctypes.CDLL, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., bool]:
    """The tiles in place of the kernel: usual shared memory, the same with items backwards, little of it."""
    limit, backwards = request.param
    monkeypatch.setattr(filtered_lrelu_cuda, "_launch", partial(host_launch, tiles, limit, backwards))
    return filtered_lrelu_cuda.run


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("clamp", [-1.0, 0.4])
@pytest.mark.parametrize("flip", [False, True])
def test_tiles_equal_the_reference(launch: Callable[..., bool], name: str, clamp: float, flip: bool) -> None:
    shape, fu, fd, options = CASES[name]
    up, pads = options["up"], options["padding"]
    s = op.Settings(up, options["down"], pads, (0, 0, 0, 0), float(up**2), 1.0, 1.4, 0.2, clamp, flip)
    x = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    b = torch.randn(shape[1], generator=torch.Generator().manual_seed(2))
    if shape[1] > 8:
        x = x.to(memory_format=torch.channels_last)
    for keep in (False, True):
        y, mask = op._fake(x, fu, fd, b, *s, keep)
        if not launch(x, y, mask.zero_() if keep else None, (fu, fd), b, s, keep=keep):
            assert name in ("radial", "two full filters")  # not in little shared memory
            return
        torch.testing.assert_close(y, op._reference(x, fu, fd, b, s), rtol=1e-4, atol=1e-4)
    seen = tuple(slice(0, (n - 1) * s.down + k) for n, k in zip(y.shape[2:], filter_size(fd), strict=True))
    differing = (mask ^ op._mask(x, fu, b, s))[..., seen[0], seen[1]].count_nonzero()
    assert differing <= 2  # a value at the kink may fall either way
    upstream = torch.randn(y.shape, generator=torch.Generator().manual_seed(3))
    back = op._adjoint_settings(s, fu, fd, upstream.shape[2:], mask.shape[2:], x.shape[2:])
    dx = torch.empty_like(x)
    if not launch(upstream, dx, mask, (fd, fu), None, back, keep=False):
        assert name == "up 4 down 2"
        return
    expected = op._reference(upstream, fd, fu, None, back, mask)
    torch.testing.assert_close(dx, expected, rtol=1e-4, atol=1e-4)


def test_first_use_compares_with_the_reference(
    launch: Callable[..., bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert dispatch.CHECKS["filtered_lrelu"] is op._cuda_error
    right = op._cuda_error("cpu")
    if right == float("inf"):
        pytest.skip("no tile fits so little shared memory")
    assert right < 1e-5
    monkeypatch.setattr(filtered_lrelu_cuda, "_launch", lambda *_: False)
    assert op._cuda_error("cpu") == float("inf")


@pytest.mark.cuda
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_kernel_equals_the_reference_on_a_card(dtype: torch.dtype) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    f = setup_filter(torch.hann_window(14, periodic=False)[1:-1].tolist()).cuda()
    x = torch.randn(2, 20, 54, 54, device="cuda").to(dtype).requires_grad_(True)
    b = torch.randn(20, device="cuda").to(dtype)
    results = []
    impls: tuple[dispatch.Impl, ...] = ("ref", "native")
    for impl in impls:
        y = op.filtered_lrelu(x, f, f, b, up=2, down=2, padding=(9, 8, 9, 8), clamp=1.0, impl=impl)
        results.append((y, *torch.autograd.grad(y.float().square().sum(), x)))
    for ref, native in zip(*results, strict=True):
        error = (ref - native).float().norm() / ref.float().norm()
        assert error < (1e-4 if dtype == torch.float32 else 3e-2)
