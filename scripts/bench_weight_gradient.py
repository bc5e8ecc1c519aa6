"""Gradients to the weights of 3 x 3 convolutions, ours beside PyTorch's, in turn.

    python scripts/bench_weight_gradient.py --threads 2

Layers as a discriminator of 128 px and a generator of config F have them, channels_last, float32. Memory that
is freed is kept, as the commands do it.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable

import torch
from torch import Tensor

from ganinv.allocator import keep_freed_memory
from ganinv.bench.timing import seconds
from ganinv_ops import winograd
from ganinv_ops.dispatch import choose, relative_error

LAYERS = (
    (16, 32, 32, 128, 1),
    (16, 64, 64, 64, 1),
    (16, 128, 128, 32, 1),
    (16, 256, 256, 16, 1),
    (16, 256, 256, 8, 1),
    (2, 512, 512, 64, 1),
    (2, 128, 128, 256, 1),
    (16, 32, 64, 128, 2),
    (16, 64, 128, 64, 2),
    (16, 128, 256, 32, 2),
    (4, 512, 512, 64, 2),
)
"""Pictures, channels, channels of the result, side of the input, stride."""


def contenders(n: int, into: int, out: int, side: int, stride: int) -> dict[str, Callable[[], Tensor]]:
    """What gives the gradient of one layer."""
    grown = side + (stride == 2)  # blurred by a filter of 4 taps
    x, dy = (
        torch.randn(shape).contiguous(memory_format=torch.channels_last)
        for shape in ((n, into, grown, grown), (n, out, side // stride, side // stride))
    )
    if not choose("winograd_weight", "native", x):
        raise RuntimeError("the native operations are not there")
    operators = torch.ops.ganinv_ops
    if stride == 1:
        return {
            "ours": lambda: operators.winograd_weight(x, dy, 1, True),
            "PyTorch's": lambda: winograd.weight_steps(x, dy, 1, True),
        }
    return {
        "ours": lambda: operators.winograd_up_weight(dy, x, False).transpose(0, 1),
        "PyTorch's": lambda: winograd.up_weight_steps(dy, x, False).transpose(0, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--rounds", type=int, default=9)
    args = parser.parse_args()
    keep_freed_memory()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    print("| layer | ours, ms | PyTorch's | ours is | they differ by |\n|---|---|---|---|---|")
    for n, into, out, side, stride in LAYERS:
        ways = contenders(n, into, out, side, stride)
        ours, theirs = (way() for way in ways.values())
        times: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(args.rounds + 3):  # the first warm up: kept memory finds its places
            for name, way in ways.items():
                times[name].append(seconds(way))
        mine, other = (statistics.median(found[3:]) * 1000 for found in times.values())
        layer = f"{n} x {into} to {out}, {side} px" + (", stride 2" if stride == 2 else "")
        differ = relative_error(ours, theirs)
        print(f"| {layer} | {mine:.1f} | {other:.1f} | {other / mine:.1f} x | {differ:.0e} |")


if __name__ == "__main__":
    main()
