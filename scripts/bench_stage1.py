"""Training steps of stage 1 of diverse-inpaint, ours and the usual way, in turn.

    python scripts/bench_stage1.py --resolution 128 --threads 2

The usual way: a weight for each sample in grouped convolutions, plain layout, the unfused reference of every
operation, float32; the same networks, losses, batches and optimiser steps. Each measurement runs in a process
of its own that keeps freed memory, as `ganinv train` does; the medians of the rounds are told, and how many
times as long the usual way takes.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

from ganinv.allocator import keep_freed_memory
from ganinv.backbones.discriminator import Discriminator, DiscriminatorConfig
from ganinv.backbones.stylegan2 import StyleGAN2Config, StyleGAN2Generator
from ganinv.bench.peer_style import PeerStyleGenerator
from ganinv.bench.timing import seconds
from plugin_ganinpaint.config import NetworkConfig
from plugin_ganinpaint.training.entry import make_fabric
from plugin_ganinpaint.training.settings import DataSettings, LossSettings, StageSettings, TrainConfig
from plugin_ganinpaint.training.stage1 import Stage1
from plugin_ganinpaint.training.steps import StageSteps

WAYS = ("ours", "ours-bfloat16", "usual")


def seconds_a_step(way: str, resolution: int, batch: int, steps: int, device: str) -> float:
    """Median seconds of a step, warm. The discriminator learns in every second one, so two are timed."""
    keep_freed_memory()
    torch.manual_seed(0)
    # as wide as the bundled generator is at its own size
    shape = StyleGAN2Config(
        resolution, z_dim=128, w_dim=192, mapping_layers=4, channel_base=32 * resolution, channel_max=256
    )
    backbone = (PeerStyleGenerator if way == "usual" else StyleGAN2Generator)(shape)
    critic = Discriminator(DiscriminatorConfig(resolution, channel_base=32 * resolution, channel_max=256))
    config = TrainConfig(
        backbone="random",
        stage1=StageSettings(images=10**9, batch=batch),
        losses=LossSettings(adversarial_every=2),
        data=DataSettings(style_mixing=0.5),
        precision="bfloat16" if way.endswith("bfloat16") else "float32",
        accelerator=device,
    )
    with tempfile.TemporaryDirectory() as folder:
        run = StageSteps(
            make_fabric(config), config, Stage1(), backbone, critic, NetworkConfig.for_backbone(backbone),
            Path(folder), report=print,
        )  # fmt: skip
        if way == "usual":
            run.networks.to(memory_format=torch.contiguous_format)
            run.discriminator.to(memory_format=torch.contiguous_format)
        times = [seconds(lambda: [run.train_step(0.1) for _ in range(2)]) / 2 for _ in range(steps // 2 + 2)]
    return statistics.median(times[2:])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--resolution", type=int, default=128)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--steps", type=int, default=8, help="an even number")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--alone", choices=WAYS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.alone:
        torch.set_num_threads(args.threads)
        print(seconds_a_step(args.alone, args.resolution, args.batch, args.steps, args.device))
        return
    found: dict[str, list[float]] = {way: [] for way in WAYS}
    for _ in range(args.rounds):
        for way, times in found.items():
            environment = os.environ | ({"GANINV_OPS": "ref"} if way == "usual" else {})
            command = [sys.executable, __file__, "--alone", way, "--device", args.device]
            for name in ("resolution", "batch", "steps", "threads"):
                command += [f"--{name}", str(getattr(args, name))]
            answer = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
            times.append(float(answer.stdout.split()[-1]))
    ours = statistics.median(found["ours"])
    for way, times in found.items():
        middle = statistics.median(times)
        print(f"{way:14} {middle:7.3f} s a step of {args.batch}, {middle / ours:5.2f} x ours")


if __name__ == "__main__":
    main()
