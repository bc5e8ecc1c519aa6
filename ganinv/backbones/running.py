"""How a generator is run: its precision, torch.compile, and how many pictures go through it in one pass."""

from __future__ import annotations

import math
import types
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeGuard

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from ganinv.backbones.base import Backbone, Synthesis
from ganinv.errors import UsageError

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}

# Pictures in one pass at the most: more gain next to nothing.
_MOST = 32
# Of the free memory, for activations: the rest is for results, convolutions' own space and other programs.
_SHARE = 0.5
# Bytes of activations on a CPU at the most: more falls out of its caches, and is slower a picture than
# single pictures are (docs/performance.md). So free memory, which varies, seldom decides there.
_CPU_ROOM = 400e6


def set_precision(backbone: Backbone, precision: str) -> None:
    """Lets the generator's convolutions run in "float32", "bfloat16" or (on CUDA) "float16"; codes and
    pictures stay float32.

    Raises:
        UsageError: an unknown precision, or one that this generator or its device does not have.
    """
    dtype = PRECISIONS.get(precision)
    if dtype is None:
        raise UsageError(f"precision {precision!r} is not known; possible: {', '.join(PRECISIONS)}")
    device = backbone.w_avg.device.type
    if dtype == torch.float16 and device != "cuda":
        raise UsageError(f"float16 is for CUDA, and the generator is on {device}: type --precision bfloat16")
    if not hasattr(backbone, "compute_dtype"):
        if dtype == torch.float32:
            return
        raise UsageError(f"{backbone.family} backbones compute in float32 only: drop --precision {precision}")
    setattr(backbone, "compute_dtype", dtype)  # noqa: B010  (not every family has it)


def compile_synthesis(backbone: Backbone) -> None:
    """Lets `backbone.synthesize` run through torch.compile; where gradients are wanted it runs as before.
    On a card its kernels are recorded as CUDA graphs, so that one picture is not slowed by launching them.

    The first picture of each shape waits for the compiler (up to a minute).

    Raises:
        UsageError: at the first picture, where the machine cannot compile (no C++ compiler, no triton).
    """
    from torch._dynamo.exc import TorchDynamoException  # seconds to import
    from torch._inductor.exc import InductorError

    on_card = backbone.w_avg.device.type == "cuda"
    compiled = torch.compile(type(backbone).synthesize, mode="reduce-overhead" if on_card else None)

    def synthesize(self: Backbone, ws: Tensor, **options: Any) -> Synthesis:
        if torch.is_grad_enabled():
            return type(self).synthesize(self, ws, **options)
        try:
            if on_card:
                torch.compiler.cudagraph_mark_step_begin()
            found: Synthesis = compiled(self, ws, **options)
        except (TorchDynamoException, InductorError) as cause:
            reason = str(getattr(cause, "inner_exception", cause)).strip().splitlines()[0]
            raise UsageError(f"torch.compile cannot be had here ({reason}): drop --compile") from cause
        if not on_card:
            return found
        # the graph's next run writes over its results
        return Synthesis(found.images.clone(), {side: f.clone() for side, f in found.features.items()})

    # A bound method, because a copied module binds its copy to itself.
    setattr(backbone, "synthesize", types.MethodType(synthesize, backbone))  # noqa: B010


def chunks(count: int, size: int) -> Iterator[slice]:
    """`count` pictures in passes of `size`."""
    for start in range(0, count, size):
        yield slice(start, min(start + size, count))


def pass_size(backbone: Backbone, count: int) -> int:
    """How many of `count` pictures go through the generator in one pass: `backbone.chunk`, or as many as free
    memory has room for, a power of two at least 1, so that a little more or less of it rarely matters.
    """
    if backbone.chunk is not None:
        return backbone.chunk
    if count <= 1:
        return 1
    device = backbone.w_avg.device
    room = _SHARE * free_bytes(device)
    if device.type == "cpu":
        room = min(room, _CPU_ROOM)
    fits = 1
    while 2 * fits <= min(room / max(picture_bytes(backbone), 1), _MOST):
        fits *= 2
    return min(fits, count)


def free_bytes(device: torch.device) -> float:
    """Bytes that can be allocated there without swapping; what PyTorch keeps for itself counts as free."""
    if device.type == "cuda":
        kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + kept
    import psutil

    return min(psutil.virtual_memory().available, _container_bytes())


@torch.no_grad()
def picture_bytes(backbone: Backbone) -> int:
    """Bytes of activations that are alive at once while one picture is drawn, at the most.

    Measured: a picture is drawn and its tensors are counted, once for each generator and precision.
    """
    key = str(getattr(backbone, "compute_dtype", torch.float32))
    known = _MEASURED.setdefault(backbone, {})
    if key not in known:
        codes = backbone.w_avg.expand(1, backbone.num_ws, -1)
        with LiveBytes() as live:
            type(backbone).synthesize(backbone, codes)
        known[key] = live.peak
    return known[key]


_MEASURED: weakref.WeakKeyDictionary[Backbone, dict[str, int]] = weakref.WeakKeyDictionary()


class LiveBytes(TorchDispatchMode):
    """While active, counts the bytes of tensors that operations make: those alive now (`live`), and the most
    that were at once (`peak`). Space that an operation takes for itself is not seen.

    Raises:
        MemoryError: there are more than `limit`.
    """

    def __init__(self, limit: float = math.inf) -> None:
        super().__init__()
        self.limit = limit
        self.live = self.peak = 0
        self.known: set[int] = set()

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """No: what PyTorch wraps the next method in to skip it imports torch.compile, which takes seconds."""
        return False

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        given = {a.untyped_storage()._cdata for a in args if _has_storage(a)}
        result = func(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, (tuple, list)) else (result,):
            if _has_storage(tensor):
                self._count(tensor.untyped_storage(), given)
        return result

    def _count(self, storage: torch.UntypedStorage, given: set[int]) -> None:
        """Counts a storage until it is freed, unless it is counted already or a view of what was given."""
        key, size = storage._cdata, storage.nbytes()
        if key in self.known or key in given:
            return
        self.known.add(key)
        self.live += size
        self.peak = max(self.peak, self.live)
        weakref.finalize(storage, self._free, key, size)
        if self.live > self.limit:
            raise MemoryError(f"{self.live} bytes of tensors; at most {self.limit:.0f} are allowed")

    def _free(self, key: int, size: int) -> None:
        self.known.discard(key)
        self.live -= size


def _has_storage(value: object) -> TypeGuard[Tensor]:
    """Not what is in an order of oneDNN's own: packed weights, which are kept and no cost of a pass."""
    return isinstance(value, Tensor) and value.layout == torch.strided


def _container_bytes() -> float:
    """What a container's limit (Linux control groups, version 2) leaves; without one, infinity."""
    try:
        limit, used = (int(Path(f"/sys/fs/cgroup/memory.{of}").read_text()) for of in ("max", "current"))
    except (OSError, ValueError):  # no such files, or "max"
        return math.inf
    return max(limit - used, 0)
