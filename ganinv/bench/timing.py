"""Wall time of a call."""

from __future__ import annotations

import time
from collections.abc import Callable


def seconds(call: Callable[[], object]) -> float:
    """Of one call."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def least_seconds(call: Callable[[], object], repeat: int) -> float:
    """Of the fastest of `repeat` calls, after two to warm up."""
    call()
    call()
    return min(seconds(call) for _ in range(repeat))
