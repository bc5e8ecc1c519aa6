"""Time the fused operators against their PyTorch references.

One line per operator, type and shape (channels_last): milliseconds of the reference and of the native
kernel, native over reference, and gigabytes a second of the native kernel, counting each tensor that must be
read or written once. `step` is forward and backward together; tiny shapes show the cost of a call.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import torch
from torch import Tensor

from ganinv_ops.bias_act import bias_act
from ganinv_ops.build import Impl, verdicts
from ganinv_ops.upfirdn2d import downsample2d, filter2d, setup_filter, upsample2d

SHAPES = [(32, 256, 4), (32, 128, 16), (32, 128, 32), (32, 64, 64), (32, 3, 64)]
WIDE = [(8, 512, 32), (4, 128, 256)]


def best_of(call: Callable[[], object], repeat: int) -> float:
    """Seconds of the fastest of `repeat` calls, after two to warm up."""
    call()
    call()
    times = []
    for _ in range(repeat):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times)


def operators(
    shape: tuple[int, int, int], dtype: torch.dtype
) -> dict[str, tuple[Tensor, Callable[[Tensor, Impl], Tensor]]]:
    """Name -> (input, call)."""
    n, c, s = shape
    x = torch.randn(n, c, s, s).to(dtype=dtype, memory_format=torch.channels_last)
    small = torch.randn(n, c, s // 2, s // 2).to(dtype=dtype, memory_format=torch.channels_last)
    bias = torch.randn(c, dtype=dtype)
    f = setup_filter([1, 3, 3, 1])
    return {
        "bias_act": (x, lambda t, impl: bias_act(t, bias, act="lrelu", clamp=256, impl=impl)),
        "filter2d": (x, lambda t, impl: filter2d(t, f, impl=impl)),
        "upsample2d": (small, lambda t, impl: upsample2d(t, f, impl=impl)),
        "downsample2d": (x, lambda t, impl: downsample2d(t, f, impl=impl)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeat", type=int, default=15)
    parser.add_argument("--wide", action="store_true", help="larger shapes too")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    for verdict in verdicts().values():
        print(f"{verdict.op}: {'native' if verdict.ready else 'no native kernel'}, {verdict.detail}")
    head = f"{'operator':13} {'type':8} {'shape':>14} {'ref ms':>8} {'native':>8} {'ratio':>6} {'GB/s':>6}"
    print(f"{head} | {'step: ref':>9} {'native':>8} {'ratio':>6}")
    for shape in SHAPES + (WIDE if options.wide else []):
        for dtype in (torch.float32, torch.bfloat16):
            for name, (x, call) in operators(shape, dtype).items():
                line(name, x, call, options.repeat)


def line(name: str, x: Tensor, call: Callable[[Tensor, Impl], Tensor], repeat: int) -> None:
    """Measure and print one operator on one input."""
    y = call(x, "ref")
    dy = torch.randn_like(y)
    leaf = x.clone().requires_grad_(True)

    def plain(impl: Impl) -> float:
        with torch.no_grad():
            return best_of(lambda: call(x, impl), repeat) * 1e3

    def step(impl: Impl) -> float:
        return best_of(lambda: torch.autograd.grad(call(leaf, impl), leaf, dy), repeat) * 1e3

    ref, native = plain("ref"), plain("native")
    ref_step, native_step = step("ref"), step("native")
    rate = (x.nbytes + y.nbytes) / native / 1e6
    shape = "x".join(map(str, x.shape))
    print(
        f"{name:13} {str(x.dtype)[6:]:8} {shape:>14} {ref:8.3f} {native:8.3f} {native / ref:6.2f} "
        f"{rate:6.1f} | {ref_step:9.3f} {native_step:8.3f} {native_step / ref_step:6.2f}"
    )


if __name__ == "__main__":
    main()
