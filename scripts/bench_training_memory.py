"""How far the estimate of a training's memory is from what the training takes (Linux).

    python scripts/bench_training_memory.py

For each case the estimate is made in one process. In another the stage is built and takes three steps: the
growth of its resident memory from before to the peak is what it took.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

from ganinv.backbones.discriminator import Discriminator, DiscriminatorConfig
from ganinv.backbones.stylegan2 import StyleGAN2Config, StyleGAN2Generator
from ganinv.parts import load_backbone, load_discriminator
from plugin_ganinpaint.config import NetworkConfig
from plugin_ganinpaint.training.entry import make_fabric
from plugin_ganinpaint.training.memory import measure
from plugin_ganinpaint.training.methods import DIVERSE_INPAINT
from plugin_ganinpaint.training.settings import StageSettings, TrainConfig
from plugin_ganinpaint.training.steps import StageSteps

CASES = [
    (64, 1, 16, 1),
    (64, 2, 16, 1),
    (64, 2, 32, 1),
    (64, 2, 32, 4),
    (128, 1, 8, 1),
    (128, 2, 8, 1),
    (256, 2, 4, 1),
]
"""Side in pixels, stage, batch, parts."""


def models(side: int) -> tuple[Any, Discriminator]:
    """The bundled ones at 64 px; as wide at other sizes, with random weights."""
    if side == 64:
        return load_backbone("portraits-64"), load_discriminator("portraits-64")
    torch.manual_seed(0)
    shape = StyleGAN2Config(
        side, z_dim=128, w_dim=192, mapping_layers=4, channel_base=32 * side, channel_max=256
    )
    critic = DiscriminatorConfig(side, channel_base=32 * side, channel_max=256)
    return StyleGAN2Generator(shape).eval().requires_grad_(False), Discriminator(critic)


def alone(what: str, side: int, stage: int, batch: int, parts: int) -> float:
    """Bytes, estimated or taken, in this process."""
    backbone, critic = models(side)
    settings = StageSettings(images=10**9, batch=batch, accumulate=parts, thaw_from=0.5)
    config = TrainConfig(backbone="portraits-64", accelerator="cpu", stage1=settings, stage2=settings)
    networks, fabric = NetworkConfig.for_backbone(backbone, preset="small"), make_fabric(config)
    part = DIVERSE_INPAINT.stage(stage)
    if what == "estimate":
        need = measure(fabric, config, part, backbone, critic, networks, limit=float("inf"))
        return need.of(settings)
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before = resident("VmRSS")
    run = StageSteps(fabric, config, part, backbone, critic, networks, Path(), report=print)
    for _ in range(3):
        run.train_step(0.9)
    return resident("VmHWM") - before


def resident(name: str) -> float:
    """Bytes of this process's memory: "VmRSS" now, "VmHWM" at its peak."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name):
            return 1024 * float(line.split()[1])
    raise SystemExit("this needs Linux's /proc")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--alone", nargs=5, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.alone:
        what, *numbers = args.alone
        print(alone(what, *map(int, numbers)))
        return
    for case in CASES:
        found = {}
        for what in ("estimate", "taken"):
            command = [sys.executable, __file__, "--alone", what, *map(str, case)]
            answer = subprocess.run(command, capture_output=True, text=True, check=True)
            found[what] = float(answer.stdout.split()[-1])
        side, stage, batch, parts = case
        estimate, taken = (found[what] / 1e9 for what in ("estimate", "taken"))
        print(
            f"{side} px, stage {stage}, batch {batch} in {parts}: {estimate:.2f} GB estimated, "
            f"{taken:.2f} taken, {taken / estimate:.2f} times as much",
            flush=True,
        )


if __name__ == "__main__":
    main()
