"""Passes of a generator a second, with freed memory kept (`ganinv.allocator`) and with glibc's usual ways.

    python scripts/bench_allocator.py [--threads 1 2]        forward and backward, the bundled generator
    python scripts/bench_allocator.py --side 1024            forward alone, batch 1, random weights

The two settings run in processes of their own, in turn; medians of the rounds are told: pictures a second,
seconds of processor time a picture (user and system), and the most memory.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import torch

from ganinv.allocator import keep_freed_memory
from ganinv.backbones.loading import load_backbone
from ganinv.backbones.stylegan2 import StyleGAN2Config, StyleGAN2Generator

WARM = 2
FIGURES = ("pictures a second", "user s a picture", "system s a picture", "MB at most")


def measure(step: Callable[[], object], steps: int, batch: int) -> list[float]:
    """`FIGURES` of a step that makes `batch` pictures."""
    for _ in range(WARM):
        step()
    before, start = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    for _ in range(steps):
        step()
    seconds, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF)
    pictures = batch * steps
    user, system = after.ru_utime - before.ru_utime, after.ru_stime - before.ru_stime
    return [pictures / seconds, user / pictures, system / pictures, after.ru_maxrss / 1024]


def alone(args: argparse.Namespace) -> list[float]:
    """What one process measures."""
    torch.set_num_threads(args.threads[0])
    if args.side:
        network = StyleGAN2Generator(StyleGAN2Config(resolution=args.side)).eval()
        z = torch.randn(1, network.z_dim)
        with torch.inference_mode():
            return measure(lambda: network(z), args.steps, 1)
    generator = load_backbone(args.backbone).requires_grad_(True)
    z = torch.randn(args.batch, generator.z_dim)
    return measure(lambda: generator(z, noise="random").square().mean().backward(), args.steps, args.batch)


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--backbone", default="portraits-64")
    parser.add_argument("--side", type=int, help="forward passes of a StyleGAN2 of this side instead")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--alone", choices=("usual", "kept"), help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    """The command."""
    args = parse()
    if args.alone:
        if args.alone == "kept" and not keep_freed_memory():
            sys.exit("freed memory cannot be kept: no glibc, or a MALLOC_ variable is set")
        print(json.dumps(alone(args)))
        return
    passed = ["--backbone", args.backbone, "--batch", str(args.batch), "--steps", str(args.steps)]
    passed += ["--side", str(args.side)] if args.side else []
    for threads in args.threads:
        found: dict[str, list[list[float]]] = {"usual": [], "kept": []}
        for _ in range(args.rounds):
            for name, rounds in found.items():
                command = [sys.executable, __file__, *passed, "--threads", str(threads), "--alone", name]
                text = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
                rounds.append(json.loads(text))
        usual, kept = (
            [statistics.median(column) for column in zip(*found[name], strict=True)] for name in found
        )
        print(f"{threads} threads; ratio of speeds {kept[0] / usual[0]:.2f}")
        for label, before, after in zip(FIGURES, usual, kept, strict=True):
            print(f"  {label:20}{before:10.3f} usual{after:10.3f} kept")


if __name__ == "__main__":
    main()
