"""The CUDA kernels on a card: every type and layout, first and second gradients, against float64."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor

from ganinv_ops import build, dispatch
from ganinv_ops.bias_act import ACTIVATIONS, bias_act
from ganinv_ops.dispatch import Impl
from ganinv_ops.epilogue import epilogue
from ganinv_ops.filtered_lrelu import filtered_lrelu
from ganinv_ops.filters import setup_filter
from ganinv_ops.upfirdn2d import upfirdn2d

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]
BLUR = setup_filter([1, 3, 3, 1])
LONG = setup_filter(torch.hann_window(14, periodic=False)[1:-1].tolist())
LOPSIDED = setup_filter([[1, 2, 0, 3], [4, 1, 1, 0], [0, 5, 2, 2]])
TOLERANCE = {torch.float32: 2e-5, torch.float16: 4e-3, torch.bfloat16: 3e-2}
LAYOUTS = (torch.contiguous_format, torch.channels_last)

Op = Callable[..., Tensor]
OPS: dict[str, Op] = {
    **{
        f"bias_act {act}": lambda x, b, f, impl, act=act: bias_act(x, b, act=act, clamp=1.5, impl=impl)
        for act in ACTIVATIONS
    },
    "blur": lambda x, b, f, impl: upfirdn2d(x, f(BLUR), padding=(2, 1, 2, 1), impl=impl),
    "up 2": lambda x, b, f, impl: upfirdn2d(x, f(BLUR), up=2, padding=(2, 1, 2, 1), gain=4, impl=impl),
    "down 2": lambda x, b, f, impl: upfirdn2d(x, f(BLUR), down=2, padding=1, impl=impl),
    "twelve taps": lambda x, b, f, impl: upfirdn2d(x, f(LONG), up=2, padding=(6, 5, 6, 5), impl=impl),
    "any": lambda x, b, f, impl: upfirdn2d(x, f(LOPSIDED), up=(3, 1), down=(2, 3), padding=3, impl=impl),
    "epilogue": lambda x, b, f, impl: epilogue(
        x, factor=x[:, :, 0, 0].detach() + 2, noise=x[:, :1].detach(), bias=b, gain=1.4, clamp=2, impl=impl
    ),
    "epilogue, blur": lambda x, b, f, impl: epilogue(
        x, f(BLUR), padding=(2, 1, 2, 1), bias=b, gain=1.4, impl=impl
    ),
    "filtered_lrelu": lambda x, b, f, impl: filtered_lrelu(
        x, f(LONG), f(LONG), b, up=2, down=2, padding=(9, 8, 9, 8), clamp=1.0, impl=impl
    ),
}


def results(op: Op, x: Tensor, b: Tensor, impl: Impl, filter_type: torch.dtype) -> Sequence[Tensor]:
    """The result, its gradients, and the gradient of one of these."""
    x, b = x.detach().requires_grad_(True), b.detach().requires_grad_(True)
    y = op(x, b, lambda f: f.to("cuda", filter_type), impl)
    weight = torch.linspace(-1, 1, y.numel(), device="cuda", dtype=torch.float64).reshape(y.shape).to(y.dtype)
    dx, db = torch.autograd.grad((y * weight).sum(), (x, b), create_graph=True, allow_unused=True)
    found = [y, dx, *([] if db is None else [db])]
    second = None  # none is zero
    if dx.requires_grad:
        (second,) = torch.autograd.grad(dx.square().sum(), x, allow_unused=True)
    return [t.detach() for t in (*found, torch.zeros_like(x) if second is None else second)]


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("name", OPS)
def test_kernel_is_right(name: str, dtype: torch.dtype, layout: torch.memory_format) -> None:
    for shape in ((2, 16, 20, 33), (3, 5, 17, 18), (1, 64, 40, 40)):
        if name == "filtered_lrelu":
            shape = (*shape[:2], 54, 54)
        x = (
            torch.randn(shape, generator=torch.Generator().manual_seed(1))
            .cuda()
            .to(dtype, memory_format=layout)
        )
        b = torch.randn(shape[1], generator=torch.Generator().manual_seed(2)).cuda().to(dtype)
        exact = results(OPS[name], x.double(), b.double(), "ref", torch.float64)
        native: Impl = "auto" if name.startswith("epilogue") and layout is LAYOUTS[0] else "native"
        found = results(OPS[name], x, b, native, torch.float32)
        assert len(found) == len(exact)
        factors = (1, *[4] * (len(found) - 2), 8)
        for factor, ours, expected in zip(factors, found, exact, strict=True):
            error = (ours.double() - expected).norm() / expected.norm().clamp(min=1e-6)
            assert error < TOLERANCE[dtype] * factor


@pytest.mark.parametrize("op", build.OPS["cuda"])
def test_kernels_pass_their_check(op: str) -> None:
    assert dispatch.native("cuda").ready, dispatch.native("cuda").detail
    assert dispatch.CHECKS[op]() < 1e-3


def test_same_bits_every_time_and_on_another_stream() -> None:
    x = torch.randn(4, 64, 64, 64, device="cuda").contiguous(memory_format=torch.channels_last)
    first = upfirdn2d(x, BLUR.cuda(), padding=(2, 1, 2, 1), impl="native")
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        second = upfirdn2d(x, BLUR.cuda(), padding=(2, 1, 2, 1), impl="native")
    stream.synchronize()
    assert torch.equal(first, second)


def test_more_than_two_to_the_31_numbers() -> None:
    free, _ = torch.cuda.mem_get_info()
    if free < 20 << 30:
        pytest.skip("needs 20 GB of free memory")
    x = torch.zeros(33, 64, 1024, 1024, dtype=torch.float16, device="cuda")
    x = x.contiguous(memory_format=torch.channels_last)
    x[-1] = torch.randn_like(x[-1])
    y = upfirdn2d(x, BLUR.cuda(), padding=(2, 1, 2, 1), impl="native")
    torch.testing.assert_close(y[-1:], upfirdn2d(x[-1:], BLUR.cuda(), padding=(2, 1, 2, 1), impl="native"))
    assert not y[:-1].any()
    z = bias_act(x, torch.ones(64, device="cuda", dtype=torch.float16), act="lrelu", impl="native")
    torch.testing.assert_close(
        z[-1:], bias_act(x[-1:], torch.ones(64, device="cuda").half(), act="lrelu", impl="ref")
    )
