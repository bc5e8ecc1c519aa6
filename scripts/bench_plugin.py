"""Our CUDA kernels beside those of NVIDIA's stylegan2-ada-pytorch, on a card.

    python scripts/bench_plugin.py --checkout CHECKOUT --json plugin.json

One line an operation and type, on pictures as in a 1024 px generator: milliseconds of ours, how many times
as long theirs takes, and the share of the copy rate, which is measured first. Theirs take plain layout, ours
are timed in channels_last; "plain" is ours in their layout. "layer end" is what follows a convolution: ours
is one epilogue, theirs demodulation, noise and bias_act one after the other.
"""

from __future__ import annotations

import argparse
import importlib
import json
import math
import statistics
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ganinv.bench.race import ceilings
from ganinv.bench.timing import seconds
from ganinv_ops.bias_act import bias_act
from ganinv_ops.epilogue import epilogue
from ganinv_ops.filters import setup_filter
from ganinv_ops.upfirdn2d import upfirdn2d

SHAPE = (16, 64, 512, 512)  # 0.5 GB in float16, several times a card's cache


def cases(theirs: Any, x: Tensor, plain: Tensor) -> dict[str, tuple[Callable[[], Tensor], ...]]:
    """Name -> ours, ours in plain layout, theirs."""
    f = setup_filter([1, 3, 3, 1], device=x.device)
    b = torch.randn(x.shape[1], device=x.device, dtype=x.dtype)
    noise = torch.randn(1, 1, *x.shape[2:], device=x.device, dtype=x.dtype)
    factor = torch.rand(x.shape[:2], device=x.device, dtype=x.dtype) + 0.5

    def their_end() -> Tensor:
        scaled = plain * factor[:, :, None, None] + noise
        result: Tensor = theirs.bias_act.bias_act(scaled, b, act="lrelu", gain=math.sqrt(2))
        return result

    def our_end(t: Tensor) -> Callable[[], Tensor]:
        return lambda: epilogue(t, factor=factor, noise=noise, bias=b, gain=math.sqrt(2))

    found = {
        "bias_act": (
            lambda: bias_act(x, b, act="lrelu", impl="native"),
            lambda: bias_act(plain, b, act="lrelu", impl="native"),
            lambda: theirs.bias_act.bias_act(plain, b, act="lrelu"),
        ),
        "layer end": (our_end(x), our_end(plain), their_end),
    }
    settings: dict[str, dict[str, Any]] = {
        "blur": {"padding": [2, 1, 2, 1]},
        "up 2": {"up": 2, "padding": [2, 1, 2, 1], "gain": 4},
        "down 2": {"down": 2, "padding": [1, 1, 1, 1]},
    }
    for name, options in settings.items():
        found[f"upfirdn2d, {name}"] = (
            lambda options=options: upfirdn2d(x, f, impl="native", **options),  # type: ignore[misc]
            lambda options=options: upfirdn2d(plain, f, impl="native", **options),  # type: ignore[misc]
            lambda options=options: theirs.upfirdn2d.upfirdn2d(plain, f, **options),  # type: ignore[misc]
        )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--checkout", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    sys.path.insert(0, str(args.checkout.resolve()))
    importlib.import_module("torch_utils.ops.bias_act")
    importlib.import_module("torch_utils.ops.upfirdn2d")
    theirs = importlib.import_module("torch_utils.ops")
    copy = ceilings(1, "cuda")["copy"]
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}, copy {copy:.0f} GB/s")
    print(f"{'operation':20} {'type':9} {'ms':>7} {'plain':>7} {'theirs':>8} {'of copy':>8}")
    rows = []
    for dtype in (torch.float32, torch.float16):
        plain = torch.randn(SHAPE, device="cuda").to(dtype)
        x = plain.contiguous(memory_format=torch.channels_last)
        for name, ways in cases(theirs, x, plain).items():
            written = [way().nbytes for way in ways]
            times = [statistics.median(seconds(way) for _ in range(args.rounds)) for way in ways]
            share = (x.nbytes + written[0]) / times[0] / 1e9 / copy
            told = f"{name:20} {str(dtype)[6:]:9} {times[0] * 1e3:7.3f} {times[1] / times[0]:6.2f}x"
            print(f"{told} {times[2] / times[0]:7.2f}x {share:8.0%}", flush=True)
            rows.append({"name": name, "dtype": str(dtype)[6:], "seconds": times, "share": share})
    if args.json:
        args.json.write_text(json.dumps({"card": torch.cuda.get_device_name(), "copy": copy, "rows": rows}))


if __name__ == "__main__":
    main()
