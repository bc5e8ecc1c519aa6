"""Forward and backward passes of a generator a second, with glibc's usual handling of memory and without.

    python scripts/bench_train_step.py --threads 1 2

Large blocks that are given back to the system at each step cost their pages again at the next one. The two
settings run in processes of their own, in turn; the median of the rounds is told.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time

import torch

from ganinv.backbones.loading import load_backbone

KEEP = {
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": "17179869184",
    "MALLOC_TOP_PAD_": "268435456",
}


def measure(backbone: str, batch: int, steps: int) -> float:
    """Pictures a second of forward and backward."""
    generator = load_backbone(backbone).requires_grad_(True)
    z = torch.randn(batch, generator.z_dim)
    start = 0.0
    for step in range(steps + 2):
        if step == 2:  # the first two warm up
            start = time.perf_counter()
        generator(z, noise="random").square().mean().backward()
    return batch * steps / (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--backbone", default="portraits-64")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.alone:
        torch.set_num_threads(args.threads[0])
        print(measure(args.backbone, args.batch, args.steps))
        return
    for threads in args.threads:
        found: dict[str, list[float]] = {"usual": [], "kept": []}
        for _ in range(args.rounds):
            for name, extra in (("usual", {}), ("kept", KEEP)):
                clean = {key: value for key, value in os.environ.items() if key not in KEEP}
                command = [sys.executable, __file__, "--alone", "--threads", str(threads)]
                command += [
                    "--backbone",
                    args.backbone,
                    "--batch",
                    str(args.batch),
                    "--steps",
                    str(args.steps),
                ]
                text = subprocess.run(
                    command, env={**clean, **extra}, capture_output=True, text=True, check=True
                ).stdout
                found[name].append(float(text.split()[-1]))
        usual, kept = (statistics.median(found[name]) for name in ("usual", "kept"))
        print(f"{threads} threads: {usual:.1f} pictures a second, {kept:.1f} kept, ratio {kept / usual:.2f}")


if __name__ == "__main__":
    main()
