"""One of the processes of test_training_devices.py: takes a step of each configuration, keeps its gradients.

python one_of_two.py FOLDER      with the environment that torchrun gives
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import torch

from ganinv.parts import load_backbone, load_config, load_discriminator
from plugin_ganinpaint.config import NetworkConfig
from plugin_ganinpaint.training.entry import make_fabric
from plugin_ganinpaint.training.memory import check_memory
from plugin_ganinpaint.training.methods import DIVERSE_INPAINT
from plugin_ganinpaint.training.reals import Reals
from plugin_ganinpaint.training.settings import TrainConfig
from plugin_ganinpaint.training.steps import StageSteps


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    backbone = load_backbone(folder / "tiny.safetensors")
    discriminator = load_discriminator(folder / "tiny-discriminator.safetensors")
    reals = Reals(torch.from_numpy(np.load(folder / "reals.npy")))
    for path in sorted(folder.glob("*.yaml")):
        config = load_config(TrainConfig, path)
        fabric = make_fabric(config)
        networks = NetworkConfig.for_backbone(backbone, preset="tiny")
        stage = DIVERSE_INPAINT.stage(int(path.stem[-1]))
        run = StageSteps(
            fabric, config, stage, backbone, discriminator, networks, folder, reals=reals, report=print
        )
        run.networks.eval()
        batch = run.sampler.draw()
        run.sampler.draw = lambda batch=batch: batch  # type: ignore[method-assign, misc]
        terms = run.train_step(0.9)
        kept = {
            "batch": vars(batch),
            "terms": terms,
            "networks": {k: p.grad for k, p in run.networks.named_parameters()},
            "discriminator": {k: p.grad for k, p in run.discriminator.named_parameters()},
        }
        torch.save(kept, folder / f"{path.stem}-{fabric.global_rank}.pt")
        run.train_step(0.9)  # what DDP has against a step it tells in the next one
    check_memory(fabric, config, DIVERSE_INPAINT.stages, backbone, discriminator, networks)
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
    sys.stdout.flush()
    os._exit(0)  # what threads of the process group still do at exit is no part of this
