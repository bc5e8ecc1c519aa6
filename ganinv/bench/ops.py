"""Each native operation against its reference, and against the copy rate of the machine."""

from __future__ import annotations

import functools
import math
import statistics
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from ganinv.bench.timing import seconds
from ganinv_ops.bias_act import bias_act
from ganinv_ops.build import Impl
from ganinv_ops.epilogue import epilogue
from ganinv_ops.filtered_lrelu import filtered_lrelu
from ganinv_ops.upfirdn2d import downsample2d, filter2d, setup_filter, upsample2d

SHAPE = (1, 64, 512, 512)
"""64 MB in float32, beyond the cache."""


class OpResult(NamedTuple):
    """Medians of one operation, channels_last, seconds; gigabytes: what must be read and written once."""

    name: str
    dtype: str
    native: float
    reference: float
    gigabytes: float


def race_ops(rounds: int, shape: tuple[int, int, int, int] = SHAPE) -> list[OpResult]:
    """Native and reference of every operation in turn, in float32 and bfloat16, forward without gradients."""
    return [
        _one(name, call, torch.randn(shape).to(dtype, memory_format=torch.channels_last), rounds)
        for dtype in (torch.float32, torch.bfloat16)
        for name, call in calls(*shape[:2], dtype).items()
    ]


def calls(n: int, channels: int, dtype: torch.dtype) -> dict[str, Callable[[Tensor, Impl], Tensor]]:
    """Name -> call(x, impl) on n pictures of so many channels, with the settings of generators."""
    blur, bias, factor = (
        setup_filter([1, 3, 3, 1]),
        torch.randn(channels, dtype=dtype),
        torch.ones(n, channels),
    )
    hann = setup_filter(torch.hann_window(14, periodic=False)[1:-1])
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


def _one(name: str, call: Callable[[Tensor, Impl], Tensor], x: Tensor, rounds: int) -> OpResult:
    times: dict[Impl, list[float]] = {"native": [], "ref": []}
    with torch.no_grad():
        y = call(x, "native")
        for _ in range(rounds):
            for impl, taken in times.items():
                taken.append(seconds(functools.partial(call, x, impl)))
    native, reference = (statistics.median(taken) for taken in times.values())
    return OpResult(name, str(x.dtype)[6:], native, reference, (x.nbytes + y.nbytes) / 1e9)
