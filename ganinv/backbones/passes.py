"""How a generator draws: how many pictures in one pass, and whether its passes are compiled."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import torch

from ganinv.backbones.base import Backbone
from ganinv.errors import UsageError

MOST = 8
"""Pictures in one pass where nothing else is said: more are hardly faster, on a card and less so on a CPU."""
_TENSORS = 3
"""Of the widest block that a pass holds at once, for each picture: 2.1 to 2.6 were measured."""


def pass_size(backbone: Backbone, chunk: int | None = None) -> int:
    """Pictures for one pass of the generator.

    Args:
        chunk: so many; None is `backbone.chunk`, and where that is None as many as fit half of the free
            memory, `MOST` at most.

    Raises:
        UsageError: a chunk below 1.
    """
    asked = backbone.chunk if chunk is None else chunk
    if asked is not None:
        if asked < 1:
            raise UsageError(f"a chunk of {asked} pictures is not possible; give 1 or more")
        return asked
    free = free_bytes(backbone.w_avg.device)
    return MOST if free is None else max(1, min(MOST, free // 2 // picture_bytes(backbone)))


def picture_bytes(backbone: Backbone) -> int:
    """Memory that a pass takes for each picture, about."""
    widest = max(channels * side**2 for side, channels in backbone.feature_channels.items())
    dtype: torch.dtype = getattr(backbone, "compute_dtype", torch.float32) or torch.float32
    return _TENSORS * widest * dtype.itemsize


def free_bytes(device: torch.device) -> int | None:
    """Memory of the device that nobody uses; None where the system does not tell."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return free + unused
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return int(next(line.split()[1] for line in lines if line.startswith("MemAvailable"))) * 1024
    except (OSError, StopIteration):
        return None


def compile_passes(backbone: Backbone) -> None:
    """From now on `backbone.synthesize` is compiled by torch.compile, once for each shape; the first pass of
    a shape takes seconds to minutes. On a card its kernels are recorded as a CUDA graph, so that one picture
    is not slowed by launching them.

    Raises:
        UsageError: there is no C++ compiler, which torch.compile needs on a CPU.
    """
    on_card = backbone.w_avg.device.type == "cuda"
    compiler = os.environ.get("CXX", "g++").split()[0]
    if not on_card and shutil.which(compiler) is None:
        raise UsageError(f"compiling needs a C++ compiler, and {compiler} is not on the PATH: drop --compile")
    draw = torch.compile(backbone.synthesize, dynamic=False, mode="reduce-overhead" if on_card else None)
    setattr(backbone, "synthesize", draw)  # noqa: B010  (a method, for mypy)
