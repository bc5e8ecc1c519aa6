"""Kill a small training with SIGKILL at random moments, resume it each time, and compare its end with that of
the same training left alone.

    python scripts/kill_training.py --kills 20 --seed 0 --out runs/kills

Both stages run on a random generator of 16 px. States and sheets are written every few steps, so that many
kills fall into the writing of a file. A training that comes to its end between two kills is compared, and
another one is begun. Compared are the weight files and sheets (bytes), the states (bits; not the seconds),
the log (all but times, no line twice), and that nothing half-written is left. The exit code is 1 where any
differs.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import random
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

OVERRIDES = (
    "stage1.images=96",
    "stage2.images=64",
    "log_every=1",
    "sheet_every=24",
    "save_every=16",
    "choose_by=8",
)
TIMES = ("seconds", "images_per_second")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True, help="Folder, new or empty.")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    if any(args.out.iterdir()):
        parser.error(f"{args.out} is not empty; give another --out")
    write_models(args.out)
    # A process that has imported everything and done nothing: attempts are forked from it.
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["plugin_ganinpaint.training.loop", "plugin_ganinpaint.training.memory"])
    attempt(processes, args.out, "warm-up", False, None)
    started = time.monotonic()
    attempt(processes, args.out, "whole", False, None)
    whole = time.monotonic() - started
    print(f"left alone it takes {whole:.1f} s", flush=True)
    draw, killed, runs, differences = random.Random(args.seed), 0, 0, []
    while killed < args.kills:
        runs += 1
        name, attempts, ended = f"run-{runs}", 0, False
        while not ended:
            resume = (args.out / name / "log.jsonl").exists()
            after = draw.uniform(0, whole) if killed < args.kills else None
            ended = attempt(processes, args.out, name, resume, after)
            attempts += 1
            if not ended:
                killed += 1
                print(f"kill {killed} after {after:.2f} s, with {kept(args.out / name)}", flush=True)
        found = list(compare(args.out / "whole", args.out / name))
        print(f"{name}: {attempts} attempts; {'the same' if not found else '; '.join(found[:5])}", flush=True)
        differences += found
    print(f"{killed} kills in {runs} trainings: {len(differences)} differences")
    sys.exit(1 if differences else 0)


def write_models(folder: Path) -> None:
    """A generator of 16 px with random weights, and a discriminator beside it."""
    from ganinv.backbones.discriminator import Discriminator, DiscriminatorConfig
    from ganinv.backbones.stylegan2 import StyleGAN2Config, StyleGAN2Generator
    from ganinv.checkpoints import write_checkpoint

    torch.manual_seed(0)
    shape = StyleGAN2Config(16, z_dim=16, w_dim=16, mapping_layers=2, channel_base=128, channel_max=8)
    critic = DiscriminatorConfig(16, channel_base=128, channel_max=8)
    for name, kind, network in (
        ("tiny", "generator", StyleGAN2Generator(shape)),
        ("tiny-discriminator", "discriminator", Discriminator(critic)),
    ):
        path, config = folder / f"{name}.safetensors", network.config.to_json()
        write_checkpoint(path, network.state_dict(), kind=kind, family="stylegan2", config=config)


def train(folder: Path, name: str, resume: bool) -> None:
    """The training, in a process of its own."""
    from plugin_ganinpaint.training.entry import train

    torch.set_num_threads(1)
    train("smoke", OVERRIDES, out=folder / name, backbone=str(folder / "tiny.safetensors"), resume=resume)


def attempt(processes: Any, folder: Path, name: str, resume: bool, after: float | None) -> bool:
    """Train until the end, or until it is killed `after` seconds. Whether it came to its end."""
    process = processes.Process(target=train, args=(folder, name, resume))
    process.start()
    process.join(after)
    process.kill()  # SIGKILL; nothing where it has ended
    process.join()
    if process.exitcode not in (0, -9):
        sys.exit(f"{name}: the training failed with exit code {process.exitcode}")
    return process.exitcode == 0


def kept(out: Path) -> str:
    """What a killed training has on disk."""
    states = [
        f"stage {stage} at {torch.load(path, weights_only=True)['images']} images"
        for stage in (1, 2)
        if (path := out / f"stage{stage}.state").is_file()
    ]
    half = len(list(out.glob("**/.*.tmp")))
    return (", ".join(states) or "no state") + (f", {half} files half-written" if half else "")


def compare(whole: Path, other: Path) -> Iterator[str]:
    """In what the end of `other` differs from that of `whole`."""
    for path in sorted([*whole.glob("*.safetensors"), *whole.glob("sheets/*.png")]):
        name = path.relative_to(whole)
        if not (other / name).is_file() or (other / name).read_bytes() != path.read_bytes():
            yield f"{name} differs"
    if {p.name for p in whole.glob("sheets/*")} != {p.name for p in other.glob("sheets/*")}:
        yield "the sheets are not the same ones"
    for name in ("stage1.state", "stage2.state"):
        a, b = (torch.load(out / name, weights_only=True) for out in (whole, other))
        yield from (f"{name}: {where}" for where in unequal({**a, "seconds": 0}, {**b, "seconds": 0}, ""))
    a, b = (log_of(out) for out in (whole, other))
    if a != b:
        yield f"the log differs ({len(a)} and {len(b)} lines)"
    marks = [(line["stage"], line["images"], "probe_kid" in line) for line in b]
    if len(set(marks)) != len(marks):
        yield "the log has lines twice"
    yield from (f"{path.name} is left" for path in other.glob("**/.*.tmp"))


def log_of(out: Path) -> list[dict[str, float]]:
    """The lines of a log without times."""
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key not in TIMES} for line in lines]


def unequal(a: Any, b: Any, path: str) -> Iterator[str]:
    """Where nested plain data with tensors differs, bit for bit."""
    if isinstance(a, torch.Tensor):
        if not torch.equal(a, b):
            yield path
    elif isinstance(a, dict) and a.keys() == b.keys():
        for key in a:
            yield from unequal(a[key], b[key], f"{path}.{key}")
    elif isinstance(a, list) and len(a) == len(b):
        for i, (x, y) in enumerate(zip(a, b, strict=True)):
            yield from unequal(x, y, f"{path}[{i}]")
    elif a != b:
        yield path


if __name__ == "__main__":
    main()
