"""Wall time of a call, and the machine it was measured on."""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path


def seconds(call: Callable[[], object]) -> float:
    """Of one call."""
    _wait()
    start = time.perf_counter()
    call()
    _wait()
    return time.perf_counter() - start


def least_seconds(call: Callable[[], object], repeat: int) -> float:
    """Of the fastest of `repeat` calls, after two to warm up."""
    warm_up(call, calls=2)
    return min(seconds(call) for _ in range(repeat))


def warm_up(call: Callable[[], object], *, calls: int = 12, limit: float = 2.0) -> None:
    """Once, and again up to `calls` times or `limit` seconds in all: memory that is kept when freed
    (ganinv/allocator.py) finds its places only after some calls, until when each takes fresh pages.
    """
    took = seconds(call)
    for _ in range(calls - 1):
        if took >= limit:
            break
        took += seconds(call)


def machine_name() -> str:
    """The processor and the number of its cores."""
    try:
        names = {
            line.split(":")[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        }
    except OSError:
        names = set()
    return f"{', '.join(sorted(names)) or platform.processor() or platform.machine()}, {os.cpu_count()} cores"


def _wait() -> None:
    """Until a card, if one was used, has done what it was given."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.synchronize()
