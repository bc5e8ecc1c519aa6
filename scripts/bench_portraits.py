#!/usr/bin/env python3
"""Pictures a second that the portrait renderer makes, in one-thread processes side by side.

    python scripts/bench_portraits.py [--size 64] [--processes 2] [--seconds 8]

Each process warms up, then renders fresh portraits in batches of 32 until the time is over.
"""

from __future__ import annotations

import argparse
import multiprocessing
import time

_BATCH = 32


def _work(
    size: int, series: int, seconds: float, results: multiprocessing.Queue[tuple[float, float]]
) -> None:
    import torch

    from ganinv.portraits.attributes import sample_attributes
    from ganinv.portraits.renderer import render

    torch.set_num_threads(1)
    render(sample_attributes(_BATCH, series), size)
    done, begin, used = 0, time.perf_counter(), time.process_time()
    while time.perf_counter() - begin < seconds:
        render(sample_attributes(_BATCH, series, start=done), size)
        done += _BATCH
    results.put((done / (time.perf_counter() - begin), done / (time.process_time() - used)))


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=8.0)
    options = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    workers = [
        context.Process(target=_work, args=(options.size, series, options.seconds, results))
        for series in range(options.processes)
    ]
    for worker in workers:
        worker.start()
    rates = [results.get() for _ in workers]
    for worker in workers:
        worker.join()
    each = ", ".join(f"{rate:.1f}" for rate, _ in rates)
    spent = ", ".join(f"{rate:.1f}" for _, rate in rates)
    total = sum(rate for rate, _ in rates)
    print(
        f"{options.size} px, {options.processes} one-thread processes: {total:.1f} pictures a second ({each})"
    )
    print(f"a second of processor time (what an idle machine would give): {spent}")


if __name__ == "__main__":
    main()
