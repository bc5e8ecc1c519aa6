"""Time the fused operators against their PyTorch references.

One line per operator, type and shape (channels_last): milliseconds of the reference and of the native
kernel, native over reference, and gigabytes a second of the native kernel, counting each tensor that must be
read or written once. `step` is forward and backward together; tiny shapes show the cost of a call.

With --stylegan3 instead: filtered_lrelu on layers of StyleGAN3-T and -R (1024 px), against its reference and
against the same steps by the native upfirdn2d and bias_act; medians of rounds that take turns, since other
work on the machine slows all alike. `x` is how many times longer the other way takes; the reference is timed
in float32 only.
"""

from __future__ import annotations

import argparse
import math
import statistics
from collections.abc import Callable

import torch
from torch import Tensor

from ganinv.bench.ops import calls
from ganinv.bench.timing import least_seconds, seconds
from ganinv_ops.bias_act import bias_act
from ganinv_ops.dispatch import Impl, verdicts
from ganinv_ops.filtered_lrelu import filtered_lrelu
from ganinv_ops.filters import setup_filter
from ganinv_ops.upfirdn2d import upfirdn2d

SHAPES = [(32, 256, 4), (32, 128, 16), (32, 128, 32), (32, 64, 64), (32, 3, 64)]
WIDE = [(8, 512, 32), (4, 128, 256)]
# name: channels (some of them), size after the convolution, up, down, padding before and after, radial fd
STYLEGAN3 = {
    "T L0": (512, 38, 2, 2, (9, 8), False),
    "T L4": (512, 54, 4, 2, (-6, -9), False),
    "T L6, 64 ch": (64, 150, 2, 2, (9, 8), False),
    "T L9, 16 ch": (16, 278, 4, 2, (-6, -9), False),
    "T L11, 16 ch": (16, 1046, 2, 2, (9, 8), False),
    "R L0, 256 ch": (256, 36, 2, 2, (11, 10), True),
    "R L6, 64 ch": (64, 148, 2, 2, (11, 10), True),
    "R L7, 16 ch": (16, 148, 4, 2, (-2, -5), True),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeat", type=int, default=15)
    parser.add_argument("--wide", action="store_true", help="larger shapes too")
    parser.add_argument("--stylegan3", action="store_true", help="only filtered_lrelu")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    for verdict in verdicts().values():
        print(f"{verdict.device}: {'native' if verdict.ready else 'no native kernel'}, {verdict.detail}")
    if options.stylegan3:
        stylegan3(options.repeat)
        return
    head = f"{'operator':16} {'type':8} {'shape':>14} {'ref ms':>8} {'native':>8} {'ratio':>6} {'GB/s':>6}"
    print(f"{head} | {'step: ref':>9} {'native':>8} {'ratio':>6}")
    for shape in SHAPES + (WIDE if options.wide else []):
        for dtype in (torch.float32, torch.bfloat16):
            n, channels, side = shape
            x = torch.randn(n, channels, side, side).to(dtype=dtype, memory_format=torch.channels_last)
            for name, call in calls(n, channels, dtype).items():
                if name != "filtered_lrelu":  # whose shapes are those of --stylegan3
                    line(name, x, call, options.repeat)


def stylegan3(rounds: int) -> None:
    """Measure and print filtered_lrelu on every layer of `STYLEGAN3`."""
    print(f"{'layer':13} {'type':8} {'memory':13} {'native ms':>9} {'steps x':>7} {'ref x':>6} |", end="")
    print(f" {'step: native':>12} {'steps x':>7} {'ref x':>6}")
    for name, layer in STYLEGAN3.items():
        for dtype in (torch.float32, torch.bfloat16):
            for layout in (torch.contiguous_format, torch.channels_last):
                forward, step = layer_times(layer, dtype, layout, rounds)
                memory = str(layout).split(".")[1].removesuffix("_format")
                print(
                    f"{name:13} {str(dtype)[6:]:8} {memory:13} {forward[0]:9.2f} {forward[1]:7.1f} "
                    f"{forward[2]:6.1f} | {step[0]:12.2f} {step[1]:7.1f} {step[2]:6.1f}",
                    flush=True,
                )


def layer_times(
    layer: tuple[int, int, int, int, tuple[int, int], bool],
    dtype: torch.dtype,
    layout: torch.memory_format,
    rounds: int,
) -> tuple[list[float], list[float]]:
    """Forward, then forward and backward: native ms, how many times longer by steps, by the reference."""
    channels, size, up, down, (before, after), radial = layer
    x = torch.randn(1, channels, size, size).to(dtype=dtype, memory_format=layout)
    bias, leaf = torch.randn(channels, dtype=dtype), x.clone().requires_grad_(True)
    fu, fd = hann(6 * up), hann(6 * down)
    if radial:
        radius = (torch.arange(12) - 5.5).square()
        fd = setup_filter((-(radius + radius[:, None]).sqrt() / 2).exp())
    pad = (before, after, before, after)

    def whole(x: Tensor, impl: Impl) -> Tensor:
        return filtered_lrelu(x, fu, fd, bias, up=up, down=down, padding=pad, clamp=256, impl=impl)

    def steps(x: Tensor) -> Tensor:
        x = upfirdn2d(bias_act(x, bias), fu, up=up, padding=pad, gain=up**2)
        return upfirdn2d(bias_act(x, act="lrelu", gain=math.sqrt(2), clamp=256), fd, down=down)

    dy = torch.randn_like(whole(x, "native"))
    ways: list[Callable[[Tensor], Tensor]] = [lambda x: whole(x, "native"), steps, lambda x: whole(x, "ref")]
    times: list[list[float]] = [[] for _ in range(6)]
    for _ in range(rounds):
        for i, way in enumerate(ways):
            if i == 2 and dtype == torch.bfloat16:
                continue  # PyTorch's grouped convolutions take minutes there
            with torch.no_grad():
                times[i].append(seconds(lambda: way(x)))  # noqa: B023
            times[3 + i].append(seconds(lambda: torch.autograd.grad(way(leaf), leaf, dy)))  # noqa: B023
    middle = [statistics.median(t) if t else math.nan for t in times]
    return (
        [middle[0] * 1e3, middle[1] / middle[0], middle[2] / middle[0]],
        [middle[3] * 1e3, middle[4] / middle[3], middle[5] / middle[3]],
    )


def hann(taps: int) -> Tensor:
    """A low-pass filter of that many taps, applied along both axes."""
    return setup_filter(torch.hann_window(taps + 2, periodic=False)[1:-1])


def line(name: str, x: Tensor, call: Callable[[Tensor, Impl], Tensor], repeat: int) -> None:
    """Measure and print one operator on one input."""
    y = call(x, "ref")
    dy = torch.randn_like(y)
    leaf = x.clone().requires_grad_(True)

    def plain(impl: Impl) -> float:
        with torch.no_grad():
            return least_seconds(lambda: call(x, impl), repeat) * 1e3

    def step(impl: Impl) -> float:
        return least_seconds(lambda: torch.autograd.grad(call(leaf, impl), leaf, dy), repeat) * 1e3

    ref, native = plain("ref"), plain("native")
    ref_step, native_step = step("ref"), step("native")
    rate = (x.nbytes + y.nbytes) / native / 1e6
    shape = "x".join(map(str, x.shape))
    print(
        f"{name:16} {str(x.dtype)[6:]:8} {shape:>14} {ref:8.3f} {native:8.3f} {native / ref:6.2f} "
        f"{rate:6.1f} | {ref_step:9.3f} {native_step:8.3f} {native_step / ref_step:6.2f}"
    )


if __name__ == "__main__":
    main()
