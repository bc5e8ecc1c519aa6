"""What the CUDA threads of bias_act, upfirdn2d and epilogue do, run on the host, equals the reference."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from ganinv_ops import bias_act, build, dispatch, epilogue, upfirdn2d
from ganinv_ops.filters import filter_size

CSRC = Path(build.__file__).parent / "csrc"
TAPS = torch.tensor([1.0, 3.0, 2.0, 0.5])
FILTERS = {
    "four taps": TAPS,
    "a product of four": torch.outer(TAPS, TAPS.flip(0)) / 5,
    "no product": torch.arange(16.0).reshape(4, 4).sin(),
    "twelve taps": torch.linspace(-1, 2, 12).cos(),
    "odd": torch.arange(15.0).reshape(5, 3).cos(),
    "one of five": torch.linspace(-1, 1, 5).cos(),
    "zero": torch.zeros(4, 4),
}
RESAMPLINGS: dict[str, tuple[tuple[int, int], tuple[int, int], tuple[int, int, int, int]]] = {
    "blur": ((1, 1), (1, 1), (2, 1, 2, 1)),
    "double": ((2, 2), (1, 1), (2, 1, 11, 10)),
    "halve": ((1, 1), (2, 2), (11, 10, 1, 1)),
    "others": ((3, 2), (1, 2), (11, 11, 13, -1)),
    "crop": ((2, 2), (1, 1), (-3, 1, 2, -2)),
}


@pytest.fixture(scope="module")
def host(compile_for_host: Callable[[str], ctypes.CDLL]) -> ctypes.CDLL:
    loaded = compile_for_host("run_lanes")
    loaded.run_lanes.restype = loaded.run_packs.restype = ctypes.c_int64
    return loaded


def array(kind: Any, values: Sequence[float]) -> Any:
    return (kind * len(values))(*values)


def pointer(t: Tensor | None, skip: int = 0) -> ctypes.c_void_p:
    """To number -skip of t, which may lie far outside."""
    return ctypes.c_void_p(None if t is None else t.data_ptr() - 4 * skip)


def lanes(
    host: ctypes.CDLL,
    x: Tensor,
    y: Tensor,
    f: Tensor | None,
    up: tuple[int, int] = (1, 1),
    down: tuple[int, int] = (1, 1),
    padding: Sequence[int] = (0, 0, 0, 0),
    *,
    reversed_taps: bool = True,
    gain: float = 1.0,
    parts: Sequence[Tensor | None] | None = None,
    activation: Sequence[float] = (),
    segment: int = 4,
    backwards: bool = False,
) -> int:
    """Fills y as lane_glue.h would; returns the number of threads, negative without packs."""
    n, c, h, w = x.shape
    together = y.is_contiguous(memory_format=torch.channels_last) and c > 1
    fh, fw = filter_size(f)
    numbers = [
        *((n, c) if together else (n * c, 1)),
        *(h, w, *y.shape[2:], fh, fw, f is None or f.ndim == 1, reversed_taps),
        *(*up, *down, padding[0], padding[2], segment),
    ]
    end = None
    if parts is not None:
        end = (ctypes.c_void_p * 3)(*(pointer(part).value for part in parts))
    threads: int = host.run_lanes(
        *(pointer(x), pointer(y), pointer(f), array(ctypes.c_int64, numbers)),
        ctypes.c_float(gain if f is None or f.ndim == 2 else gain**0.5),
        *(end, array(ctypes.c_float, activation)),
        *(ctypes.c_int64(1 if parts is None or parts[1] is None else parts[1].shape[0]), ctypes.c_int64(0)),
        backwards,
    )
    return threads


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=str)
@pytest.mark.parametrize("resampling", RESAMPLINGS)
@pytest.mark.parametrize("name", FILTERS)
def test_upfirdn2d(host: ctypes.CDLL, name: str, resampling: str, layout: torch.memory_format) -> None:
    f, (up, down, padding) = FILTERS[name], RESAMPLINGS[resampling]
    for channels, segment, flip in ((8, 4, False), (8, 32, True), (5, 3, False)):
        x = torch.randn(2, channels, 13, 14, generator=torch.Generator().manual_seed(1))
        x = x.contiguous(memory_format=layout)
        expected = upfirdn2d.upfirdn2d(
            x, f, up=up, down=down, padding=padding, flip_filter=flip, gain=1.7, impl="ref"
        )
        y = torch.full_like(expected, torch.nan, memory_format=layout)
        options = {"reversed_taps": not flip, "gain": 1.7, "segment": segment, "backwards": flip}
        threads = lanes(host, x, y, f, up, down, padding, **options)
        assert (threads > 0) == (layout is torch.channels_last and channels == 8)
        torch.testing.assert_close(y, expected, rtol=1e-4, atol=1e-4)


def test_what_is_not_a_number_stays_where_the_filter_reaches(host: ctypes.CDLL) -> None:
    x = torch.zeros(1, 4, 9, 9).contiguous(memory_format=torch.channels_last)
    x[0, 1, 4, 4] = torch.inf
    y = torch.empty_like(x)
    lanes(host, x, y, TAPS, padding=(2, 1, 2, 1))
    assert torch.equal(y.isfinite().logical_not().nonzero()[:, 1].unique(), torch.tensor([1]))
    touched = y[0, 1].isfinite().logical_not()
    assert touched.sum() == 16 and touched[3:7, 3:7].all()


@pytest.mark.parametrize("clamp", [-1.0, 0.8])
@pytest.mark.parametrize("name", [None, "a product of four", "no product", "odd"])
def test_epilogue(host: ctypes.CDLL, name: str | None, clamp: float) -> None:
    f = None if name is None else FILTERS[name]
    padding = (0, 0, 0, 0) if f is None else (2, 1, 1, 2)
    for channels, pictures in ((8, 3), (8, 1), (5, 3)):
        x = torch.randn(3, channels, 9, 11, generator=torch.Generator().manual_seed(2))
        x = x.contiguous(memory_format=torch.channels_last)
        size = epilogue._fake(x, f, padding).shape
        noise = torch.randn(pictures, 1, *size[2:], generator=torch.Generator().manual_seed(3))
        for parts in ((x[:, :, 0, 0].contiguous(), noise, x[0, :, 1, 1].contiguous()), (None, None, None)):
            activation = (0.2, 1.4, clamp)
            expected = epilogue._reference(x, f, padding, 1.7, *parts, *activation)
            y = torch.full(size, torch.nan).contiguous(memory_format=torch.channels_last)
            options: dict[str, Any] = {"parts": parts, "activation": activation, "gain": 1.7 if name else 1.0}
            threads = lanes(host, x, y, f, padding=padding, **options)
            assert (threads > 0) == (channels == 8)
            torch.testing.assert_close(y, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("clamp", [-1.0, 0.8])
@pytest.mark.parametrize("act", bias_act.ACTIVATIONS)
def test_bias_act(host: ctypes.CDLL, act: str, clamp: float) -> None:
    number, activation = list(bias_act.ACTIVATIONS).index(act), (0.2, 1.3, clamp)
    for shape, layout in (
        ((2, 8, 4, 4), torch.contiguous_format),  # a bias for each pack
        ((2, 8, 5, 3), torch.channels_last),  # a bias for each number of a pack
        ((2, 3, 5, 3), torch.contiguous_format),  # neither, and numbers left over
        ((2, 5, 3, 3), torch.channels_last),
    ):
        x = torch.randn(shape, generator=torch.Generator().manual_seed(4)).mul(2)
        x = x.contiguous(memory_format=layout)
        dy, b = x.cos(), torch.linspace(-1, 1, shape[1])
        for bias in (b, None):
            expected = bias_act._reference(x, bias, 1, act, *activation[:2], None if clamp < 0 else clamp)
            slope = bias_act._derivative(1, x, bias, 1, number, *activation)
            for upstream, result in ((None, expected), (dy, dy * slope)):
                y = torch.full_like(x, torch.nan)
                numbers = (x.numel(), x.stride(1) if bias is not None else 1, shape[1], number)
                threads = host.run_packs(
                    *(pointer(x), pointer(upstream), pointer(y), pointer(bias)),
                    *(array(ctypes.c_int64, numbers), array(ctypes.c_float, activation), ctypes.c_int64(0)),
                )
                assert threads == x.numel() // 4 + x.numel() % 4
                torch.testing.assert_close(y, result, rtol=1e-5, atol=1e-6)


def test_extreme_numbers(host: ctypes.CDLL) -> None:
    x = torch.tensor([-torch.inf, -1e4, -0.0, 1e4, torch.inf, torch.nan, 1.0, 88.0])
    for number, act in enumerate(bias_act.ACTIVATIONS):
        y = torch.zeros_like(x)
        numbers, activation = array(ctypes.c_int64, (8, 1, 1, number)), array(ctypes.c_float, (0.2, 1.0, -1))
        host.run_packs(pointer(x), None, pointer(y), None, numbers, activation, ctypes.c_int64(0))
        expected = bias_act._reference(x, None, 0, act, 0.2, 1.0, None)
        torch.testing.assert_close(y, expected, equal_nan=True)


def test_more_than_two_to_the_31_numbers(host: ctypes.CDLL) -> None:
    """The last threads of tensors that are not there: only what they touch is."""
    width, channels, pictures = 1024, 64, 2**31 // (1024 * 1024 * 64) * 3
    x = torch.randn(1, channels, 40, width, generator=torch.Generator().manual_seed(5))
    x = x.contiguous(memory_format=torch.channels_last)  # the last rows of the last picture
    expected = upfirdn2d.upfirdn2d(x, TAPS, padding=(2, 1, 2, 1), impl="ref")
    y = torch.zeros_like(x)
    before = pictures * channels * width * 1024 - x.numel()
    assert before > 2**32
    numbers = (pictures, channels, *(1024, width) * 2, 4, 4, True, True, 1, 1, 1, 1, 2, 2, 32)
    threads = 2 * width * channels // 4 // 2  # of the last segment
    host.run_lanes(
        *(pointer(x, before), pointer(y, before), pointer(TAPS), array(ctypes.c_int64, numbers)),
        *(ctypes.c_float(1), None, None, ctypes.c_int64(1), ctypes.c_int64(threads), False),
    )
    assert torch.equal(y[:, :, :8], torch.zeros_like(y[:, :, :8]))
    torch.testing.assert_close(y[:, :, 8:], expected[:, :, 8:], rtol=1e-4, atol=1e-4)

    x, b = x.flatten()[:-1], torch.linspace(-1, 1, 7)
    y, size = torch.zeros_like(x), 2**33 + 3
    at = torch.arange(size - x.numel(), size)
    host.run_packs(
        *(pointer(x, size - x.numel()), None, pointer(y, size - x.numel()), pointer(b)),
        *(array(ctypes.c_int64, (size, 11, 7, bias_act.LRELU)), array(ctypes.c_float, (0.2, 1, -1))),
        ctypes.c_int64(500),
    )
    expected = torch.nn.functional.leaky_relu(x + b[at // 11 % 7], 0.2)
    assert (y != 0).sum() == 4 * 497 + 3
    torch.testing.assert_close(y[-1000:], expected[-1000:])


@pytest.mark.slow
@pytest.mark.parametrize(
    "op, architecture",
    [*((op, "sm_90") for op in build.OPS["cuda"]), ("filtered_lrelu", "sm_75"), ("bias_act", "sm_100")],
)
def test_nvcc_compiles_the_kernels(tmp_path: Path, op: str, architecture: str) -> None:
    nvcc = shutil.which("nvcc")
    if nvcc is None:
        pytest.skip("no nvcc")
    target = tmp_path / f"{op}.o"
    flags = ["-std=c++17", "-O3", "-Werror", "all-warnings", f"-arch={architecture}"]
    # PyTorch's own, which take away the implicit conversions
    flags += [f"-D__CUDA_NO_{name}__" for name in ("HALF_OPERATORS", "HALF_CONVERSIONS", "HALF2_OPERATORS")]
    flags += ["-D__CUDA_NO_BFLOAT16_CONVERSIONS__", "--expt-relaxed-constexpr"]
    subprocess.run([nvcc, *flags, "-c", str(CSRC / f"{op}.cu"), "-o", str(target)], check=True)
    assert target.stat().st_size > 10_000


@pytest.mark.parametrize("op", [bias_act, upfirdn2d, epilogue], ids=lambda op: op.__name__)
def test_first_use_compares_with_the_reference(op: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    name = op.__name__.removeprefix("ganinv_ops.")
    assert dispatch.CHECKS[name] is op._cuda_error
    assert dispatch.native("cpu").ready
    assert op._cuda_error("cpu", "") < 1e-5  # the CPU's kernels in the place of the card's
    monkeypatch.setattr(dispatch, "_TRUSTED", {})
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: False)
    monkeypatch.setitem(dispatch.CHECKS, name, lambda: op._cuda_error("cpu", ""))
    assert dispatch._trusted(name)
    monkeypatch.setattr(dispatch, "_TRUSTED", {})
    monkeypatch.setitem(dispatch.CHECKS, name, lambda: 0.25)
    with pytest.warns(RuntimeWarning, match=f"CUDA kernel of {name} differs from the reference by 2.5e-01"):
        assert not dispatch._trusted(name)
    monkeypatch.setitem(dispatch.CHECKS, name, lambda: 0.0)
    assert not dispatch._trusted(name)  # asked once


def test_no_verdict_while_a_graph_is_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatch, "_TRUSTED", {})
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: True)
    assert not dispatch._trusted("bias_act")
    assert dispatch._TRUSTED == {}
