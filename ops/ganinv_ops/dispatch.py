"""Which version of an operator runs: its native kernel, judged once a process, or its reference.

The CUDA kernels compile, and what their threads do is tested on the host, but they were written where no card
is. So each is compared with the reference, once a process, before it is used.

Environment: GANINV_OPS=ref switches native kernels off.
"""

from __future__ import annotations

import math
import os
import re
import threading
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from ganinv_ops import build

CHECKS: dict[str, Callable[[], float]] = {}
"""Operator to the error of its CUDA kernels on small examples, relative to the reference's size."""

Impl = Literal["auto", "native", "ref"]
_DTYPES = {
    "cpu": (torch.float32, torch.float64, torch.bfloat16),
    "cuda": (torch.float32, torch.float16, torch.bfloat16),
}
_CPU_BFLOAT16 = torch.backends.mkldnn.is_available() and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
_CPU_MATRICES = _CPU_BFLOAT16 and torch.cpu._is_amx_tile_supported()
_TRUSTED: dict[str, bool] = {}
_LOCK = threading.RLock()
_VERDICTS: dict[str, Verdict] = {}
_WARNED: set[str] = set()


class NativeOpError(RuntimeError):
    """A native kernel was insisted on, but cannot run; the text holds the cause."""


@dataclass(frozen=True)
class Verdict:
    """Whether a library of native kernels runs in this process."""

    device: str
    """Type of the device that they are for."""
    ready: bool
    """The library is loaded."""
    detail: str
    """The library's path, or why there is none."""


def verdicts() -> dict[str, Verdict]:
    """The verdict on every library for this PyTorch; never raises or warns.

    Builds what was not tried yet, which takes about a minute, once a machine.
    """
    return {device: _judge(device) for device in build.OPS if device == "cpu" or torch.version.cuda}


def native(device: str) -> Verdict:
    """The verdict on one library, building it at the first call.

    A failure warns once in a process, with its cause, and is not tried again.
    """
    verdict = _VERDICTS.get(device) or _judge(device)
    if not verdict.ready and device not in _WARNED and not _switched_off():
        _WARNED.add(device)
        warnings.warn(
            f"the native kernels for {device} are not available, "
            f"the slower PyTorch versions run instead: {verdict.detail}",
            RuntimeWarning,
            stacklevel=4,
        )
    return verdict


def multiplies_bfloat16(device: torch.device) -> bool:
    """Whether PyTorch has products in bfloat16 that are no slower than those in float32. On a processor
    without instructions for them it has loops that take ten times as long and more.
    """
    return device.type != "cpu" or _CPU_BFLOAT16


def has_matrix_unit(device: torch.device) -> bool:
    """Whether products in bfloat16 have a unit of their own (AMX), some eight times as fast as float32's: the
    shortest way is then the plainest.
    """
    return device.type == "cpu" and _CPU_MATRICES


def by_pytorch(convolution: Callable[..., Tensor], a: Tensor, b: Tensor, **settings: Any) -> Tensor:
    """convolution(a, b), one of PyTorch's; in float32 where it would take many times as long in bfloat16."""
    if a.dtype == b.dtype == torch.bfloat16 and not multiplies_bfloat16(a.device):
        return convolution(a.float(), b.float(), **settings).to(torch.bfloat16)
    return convolution(a, b, **settings)


def choose(op: str, impl: Impl, x: Tensor) -> bool:
    """Whether `op` on `x` goes through the registered operator.

    While torch.compile or torch.export traces, the answer is yes: the graph holds the operator, which picks
    its kernel when it runs.

    Raises:
        ValueError: `impl` is none of the three.
        NativeOpError: "native" asked for, and impossible.
    """
    if impl == "ref":
        return False
    if impl not in ("auto", "native"):
        raise ValueError(f'impl is {impl!r}; give "auto", "native" or "ref"')
    written = _written(op, x)
    if impl == "native" and not written:
        raise NativeOpError(f"{op} has no native kernel for {x.dtype} on {x.device.type}; use impl='auto'")
    if torch.compiler.is_compiling():
        return True
    if impl == "auto" or not written:
        return ready(op, x)
    verdict = _judge(x.device.type)
    if not verdict.ready:
        raise NativeOpError(f"the native kernel of {op} is not available: {verdict.detail}")
    if x.is_cuda and not _trusted(op):
        raise NativeOpError(f"the CUDA kernel of {op} differs from the reference; use impl='ref'")
    return True


def ready(op: str, x: Tensor) -> bool:
    """Whether `op` has a native kernel for a tensor like x; builds it at the first call."""
    return _written(op, x) and native(x.device.type).ready and (not x.is_cuda or _trusted(op))


def kernel(op: str, x: Tensor, name: str | None = None) -> Any:
    """The native operator for a tensor like x, or None where there is none.

    Args:
        name: of the operator, where it is not that of `op`.
    """
    if not ready(op, x):
        return None
    return getattr(torch.ops.ganinv_ops, f"{name or op}_cuda" if x.is_cuda else name or op)


def native_or(op: str, steps: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """What an operator runs where no native kernel is registered (yet): it loads that kernel and calls again,
    or takes `steps`, which have the operator's arguments, the first of them a tensor.
    """

    def run(x: Tensor, *rest: Any) -> Tensor:
        found = kernel(op, x)
        y: Tensor = steps(x, *rest) if found is None else found(x, *rest)
        return y

    return run


def relative_error(found: Tensor, expected: Tensor) -> float:
    """Of the norm."""
    return float((found - expected).float().norm() / expected.float().norm())


def _written(op: str, x: Tensor) -> bool:
    """Whether there is source for a kernel of `op` for a tensor of this type on this device."""
    device = x.device.type
    there = device == "cpu" or bool(torch.version.cuda)
    return there and op in build.OPS.get(device, ()) and x.dtype in _DTYPES[device]


def _trusted(op: str) -> bool:
    """Whether the CUDA kernel agrees with the reference; asked once, and warns if not."""
    if op not in _TRUSTED:
        if torch.cuda.is_current_stream_capturing():
            return False  # nothing can be compared while a graph is recorded: run once before
        try:
            error = CHECKS[op]()
        except RuntimeError:  # of the driver
            error = math.inf
        _TRUSTED[op] = error <= 1e-3
        if not _TRUSTED[op]:
            warnings.warn(
                f"the CUDA kernel of {op} differs from the reference by {error:.1e} of its size, "
                "so the slower PyTorch version runs instead",
                RuntimeWarning,
                stacklevel=4,
            )
    return _TRUSTED[op]


def _switched_off() -> bool:
    return os.environ.get("GANINV_OPS", "").lower() == "ref"


def _judge(device: str) -> Verdict:
    with _LOCK:
        if device not in _VERDICTS:
            if _switched_off():
                _VERDICTS[device] = Verdict(device, False, "switched off by GANINV_OPS=ref")
            else:
                try:
                    _VERDICTS[device] = Verdict(device, True, str(build.load(device)))
                except Exception as error:  # whatever goes wrong here, the reference still works
                    _VERDICTS[device] = Verdict(device, False, _cause(error))
        return _VERDICTS[device]


def _cause(error: Exception) -> str:
    """The telling lines of an error: ninja prints whole command lines before the compiler's complaint."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    telling = list(
        dict.fromkeys(line for line in lines if re.search(r"\berror: |not found|No such file", line))
    )
    return " | ".join((telling or lines or [type(error).__name__])[:3])[:600]
