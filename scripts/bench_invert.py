"""What surrounds the generator, measured: folder runs, samples together or one by one, memory against chunk.

python scripts/bench_invert.py --threads 2
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from click.testing import CliRunner

from ganinv.api import load_backbone, load_method, write_png
from ganinv.backbones.running import chunks, pass_size, picture_bytes
from ganinv.backbones.stylegan2 import StyleGAN2Config, StyleGAN2Generator
from ganinv.cli import run as cli_run
from ganinv.cli.main import main as ganinv
from ganinv.cli.pipeline import overlapped
from ganinv.images import to_uint8
from ganinv.portraits.attributes import sample_attributes
from ganinv.portraits.renderer import render as draw_portraits
from ganinv.sizes import resize


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--pictures", type=int, default=24, help="of the folder")
    parser.add_argument("--side", type=int, default=1024, help="of the folder's pictures, in pixels")
    parser.add_argument("--resolutions", type=int, nargs="*", default=[256, 1024], help="for the memory")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    print(f"{os.cpu_count()} cores, {args.threads} threads, torch {torch.__version__}")
    samples(args.rounds)
    folder(args.rounds, args.pictures, args.side)
    memory(args.resolutions, args.threads)


def samples(rounds: int) -> None:
    """K samples of one picture in one call, against K calls for one sample each."""
    method = load_method("diverse-inpaint", backbone=load_backbone())
    side = method.backbone.resolution
    image, hole = draw_portraits(sample_attributes(1, seed=0), side) * 2 - 1, torch.zeros(1, 1, side, side)
    hole[..., side // 2 :] = 1

    def complete(count: int, seed: int = 0) -> None:
        method.render(method.invert(image, hole, samples=count, seed=seed).for_holes())

    print(f"\n{'samples':>8} {'together, s':>12} {'one by one, s':>14}")
    for count in (1, 4, 8, 16):
        ways = [lambda: complete(count), lambda: [complete(1, seed) for seed in range(count)]]  # noqa: B023
        together, apart = in_turn(ways, rounds)
        print(f"{count:8} {together:12.3f} {apart:14.3f} {apart / together:6.1f} x")


def folder(rounds: int, count: int, side: int) -> None:
    """`ganinv invert` of a folder, four samples each, with and without reading ahead and writing behind."""
    with tempfile.TemporaryDirectory() as place:
        for index, picture in enumerate(
            to_uint8(draw_portraits(sample_attributes(count, seed=0), 64) * 2 - 1)
        ):
            write_png(Path(place) / "in" / f"{index:03d}.png", resize(picture, side))

        def run(run_over: Callable[..., Iterator[Any]]) -> None:
            cli_run.overlapped = run_over  # type: ignore[assignment]
            arguments = [
                "invert",
                f"{place}/in",
                "--mask",
                "half-left",
                "--samples",
                "4",
                "--out",
                f"{place}/out",
            ]
            result = CliRunner().invoke(ganinv, [*arguments, "--device", "cpu"])
            assert result.exit_code == 0, result.output

        with_it, without = in_turn([lambda: run(overlapped), lambda: run(one_by_one)], rounds)
    print(f"\nfolder of {count} pictures of {side} px, 4 samples each, loading of the models included:")
    print(f"  with read-ahead {count / with_it:.2f} pictures/s, without {count / without:.2f}: ", end="")
    print(f"{without / with_it:.2f} x")


def one_by_one(jobs: Any, read: Any, work: Any) -> Iterator[Any]:
    """`overlapped` without overlap."""
    for job in jobs:
        yield from overlapped([job], read, work)


def memory(resolutions: list[int], threads: int) -> None:
    """Peak memory and time of 8 pictures of a config-f generator, drawn in chunks."""
    print(
        f"\n{'px':>5} {'chunk':>6} {'peak, MB':>9} {'s a picture':>12} {'measured cost of a picture, MB':>31}"
    )
    context = multiprocessing.get_context("spawn")
    for resolution in resolutions:
        for chunk in (1, 2, 4, 8, None):
            with context.Pool(1) as pool:
                used, seconds, cost, peak = pool.apply(draw, (resolution, chunk, threads))
            name = f"({used})" if chunk is None else str(used)
            print(f"{resolution:5} {name:>6} {peak / 1e6:9.0f} {seconds / 8:12.3f} {cost / 1e6:31.0f}")


def draw(resolution: int, chunk: int | None, threads: int) -> tuple[int, float, int, int]:
    """The chunk used, seconds, measured cost of a picture, and the growth of the process's peak memory."""
    import resource

    torch.set_num_threads(threads)
    generator = StyleGAN2Generator(StyleGAN2Config(resolution=resolution)).eval().requires_grad_(False)
    generator.chunk = chunk
    codes = torch.randn(8, generator.num_ws, generator.w_dim)
    cost, used = picture_bytes(generator), pass_size(generator, 8)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    with torch.no_grad():
        for part in chunks(8, used):
            generator.synthesize(codes[part])
    seconds = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used, seconds, cost, cost + 1024 * (after - before)  # the measuring pass has set the peak of one


def in_turn(ways: list[Callable[[], object]], rounds: int) -> list[float]:
    """Median seconds of each, taking turns, after one run for warming up."""
    seconds: list[list[float]] = [[] for _ in ways]
    for turn in range(rounds + 1):
        for way, taken in zip(ways, seconds, strict=True):
            start = time.perf_counter()
            way()
            if turn:
                taken.append(time.perf_counter() - start)
    return [statistics.median(taken) for taken in seconds]


if __name__ == "__main__":
    main()
