"""Time and memory of opening a rosinality file of 1024 px (33 million numbers), in a process of its own.

    python scripts/bench_checkpoints.py

The file has random weights under the original's names and shapes, and is deleted again.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from torch import Tensor

from ganinv.backbones.loading import load_backbone


def rosinality_generator(side: int) -> dict[str, Tensor]:
    """A generator's state under rosinality's names, codes 512 wide, channel multiplier 2."""
    width = {s: min(512, 32768 // s) for s in (4 << i for i in range(9))}
    sides = [s for s in width if 8 <= s <= side]
    kernel = torch.outer(torch.tensor([1.0, 3.0, 3.0, 1.0]), torch.tensor([1.0, 3.0, 3.0, 1.0])) / 16
    state: dict[str, Tensor] = {"input.input": torch.randn(1, 512, 4, 4)}

    def layer(name: str, inside: int, out: int, size: int, up: bool) -> None:
        state[f"{name}.conv.weight"] = torch.randn(1, out, inside, size, size)
        state[f"{name}.conv.modulation.weight"] = torch.randn(inside, 512)
        state[f"{name}.conv.modulation.bias"] = torch.ones(inside)
        if size == 1:
            state[f"{name}.bias"] = torch.zeros(1, 3, 1, 1)
            if up:
                state[f"{name}.upsample.kernel"] = kernel
            return
        state[f"{name}.noise.weight"] = torch.zeros(1)
        state[f"{name}.activate.bias"] = torch.zeros(out)
        if up:
            state[f"{name}.conv.blur.kernel"] = kernel

    for i in range(1, 9):
        state[f"style.{i}.weight"], state[f"style.{i}.bias"] = torch.randn(512, 512), torch.zeros(512)
    layer("conv1", 512, 512, 3, False)
    layer("to_rgb1", 512, 3, 1, False)
    state["noises.noise_0"] = torch.randn(1, 1, 4, 4)
    for i, s in enumerate(sides):
        layer(f"convs.{2 * i}", width[s // 2], width[s], 3, True)
        layer(f"convs.{2 * i + 1}", width[s], width[s], 3, False)
        layer(f"to_rgbs.{i}", width[s], 3, 1, True)
        for k in (2 * i + 1, 2 * i + 2):
            state[f"noises.noise_{k}"] = torch.randn(1, 1, s, s)
    return state


def memory(what: str) -> int:
    """Memory of this process in bytes: "VmRSS" now, "VmHWM" at its peak (Linux). getrusage would count the
    parent's, which made the file.
    """
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith(what)).split()[1])


def open_once(path: Path) -> None:
    before, start = memory("VmRSS"), time.perf_counter()
    backbone = load_backbone(path)
    seconds = time.perf_counter() - start
    grown = (memory("VmHWM") - before) / path.stat().st_size
    print(f"{seconds:.2f} s, memory grown by {grown:.2f} x the file, ", end="")
    print(f"{sum(p.numel() for p in backbone.parameters()) / 1e6:.1f} M weights")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--side", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--alone", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.alone:
        open_once(args.alone)
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "generator.pt"
        torch.save({"g_ema": rosinality_generator(args.side), "latent_avg": torch.zeros(512)}, path)
        print(f"{path.stat().st_size / 1e6:.0f} MB")
        for _ in range(args.rounds):
            subprocess.run([sys.executable, __file__, "--alone", str(path)], check=True)


if __name__ == "__main__":
    main()
