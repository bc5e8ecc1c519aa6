"""Each native operation against its reference, and against the copy rate of the machine."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from ganinv.bench.timing import seconds, warm_up
from ganinv_ops.bias_act import bias_act
from ganinv_ops.dispatch import Impl
from ganinv_ops.epilogue import epilogue
from ganinv_ops.filtered_lrelu import filtered_lrelu
from ganinv_ops.filters import setup_filter
from ganinv_ops.upfirdn2d import downsample2d, filter2d, upsample2d

SHAPE = (1, 64, 512, 512)
"""64 MB in float32, beyond the cache."""


class OpResult(NamedTuple):
    """Medians of one operation, channels_last, seconds; gigabytes: what must be read and written once.
    compiled: torch.compile of the reference, where it was timed.
    """

    name: str
    dtype: str
    native: float
    reference: float
    gigabytes: float
    compiled: float = math.nan


def race_ops(
    rounds: int,
    shape: tuple[int, int, int, int] | None = None,
    *,
    device: str = "cpu",
    compiled: bool = False,
) -> list[OpResult]:
    """Native and reference of every operation in turn, forward without gradients, in float32, bfloat16 and,
    on a card, float16.

    Args:
        shape: default `SHAPE`, on a card 32 times as many pictures, several times its cache.
        compiled: time torch.compile of the reference too.
    """
    on_card = device != "cpu"
    shape = shape or (SHAPE[0] * (32 if on_card else 1), *SHAPE[1:])
    return [
        _one(
            name,
            call,
            torch.randn(shape, device=device).to(dtype, memory_format=torch.channels_last),
            rounds,
            compiled,
        )
        for dtype in (torch.float32, torch.bfloat16, *([torch.float16] if on_card else []))
        for name, call in calls(*shape[:2], dtype, device).items()
    ]


def calls(
    n: int, channels: int, dtype: torch.dtype, device: str = "cpu"
) -> dict[str, Callable[[Tensor, Impl], Tensor]]:
    """Name -> call(x, impl) on n pictures of so many channels, with the settings of generators."""
    blur, bias, factor = (
        setup_filter([1, 3, 3, 1], device=device),
        torch.randn(channels, dtype=dtype, device=device),
        torch.ones(n, channels, device=device),
    )
    hann = setup_filter(torch.hann_window(14, periodic=False)[1:-1], device=device)
    root = math.sqrt(2)
    return {
        "bias_act": lambda x, impl: bias_act(x, bias, act="lrelu", impl=impl),
        "upfirdn2d blur": lambda x, impl: filter2d(x, blur, impl=impl),
        "upfirdn2d up 2": lambda x, impl: upsample2d(x, blur, impl=impl),
        "upfirdn2d down 2": lambda x, impl: downsample2d(x, blur, impl=impl),
        "epilogue": lambda x, impl: epilogue(x, factor=factor, bias=bias, gain=root, impl=impl),
        "epilogue, blur": lambda x, impl: epilogue(
            x, blur, padding=(1, 1, 1, 1), filter_gain=4, factor=factor, bias=bias, gain=root, impl=impl
        ),
        "filtered_lrelu": lambda x, impl: filtered_lrelu(
            x, hann, hann, bias, up=2, down=2, padding=(9, 8, 9, 8), impl=impl
        ),
    }


def _one(
    name: str, call: Callable[[Tensor, Impl], Tensor], x: Tensor, rounds: int, compiled: bool
) -> OpResult:
    ways: list[Callable[[], Tensor]] = [lambda: call(x, "native"), lambda: call(x, "ref")]
    if compiled:
        graph = torch.compile(lambda given: call(given, "ref"))
        ways.append(lambda: graph(x))
    times: list[list[float]] = [[] for _ in ways]
    with torch.no_grad():
        written = ways[0]().nbytes
        for way in ways:
            warm_up(way)
        for _ in range(rounds):
            for way, taken in zip(ways, times, strict=True):
                taken.append(seconds(way))
    native, reference, *rest = (statistics.median(taken) for taken in times)
    gigabytes = (x.nbytes + written) / 1e9
    return OpResult(name, str(x.dtype)[6:], native, reference, gigabytes, rest[0] if rest else math.nan)
