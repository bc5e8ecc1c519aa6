"""What a training will need in memory, measured before it starts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from lightning_fabric import Fabric

from ganinv.parts import Backbone, ConfigError, Discriminator, LiveBytes, free_bytes

from ..config import NetworkConfig
from .common import Stage
from .micro import GROUP
from .settings import StageSettings, TrainConfig
from .steps import StageSteps

CLEARLY = 1.25
"""An estimate that is this many times what is free ends the run before it begins."""
BESIDE = 1.2
"""What a process takes for each byte of its tensors: the heap has gaps, convolutions want space of their own.
Measured on a CPU (docs/training.md)."""
SMALLER = "type network.preset=small (or tiny), take a smaller backbone, or free memory"


@dataclass(frozen=True)
class Need:
    """Bytes that a stage needs, beyond what is loaded already."""

    fixed: float
    """Weights, gradients, optimisers and averages."""
    picture: float
    """For each picture that goes through the networks at once, forth and back."""

    def of(self, settings: StageSettings) -> float:
        """In all."""
        return self.fixed + self.picture * settings.batch / settings.accumulate


def measure(
    fabric: Fabric,
    config: TrainConfig,
    stage: Stage,
    backbone: Backbone,
    discriminator: Discriminator,
    networks: NetworkConfig,
    *,
    limit: float,
) -> Need:
    """Builds the stage once for itself, takes its largest step with `GROUP` pictures (R1, all networks
    learning) and counts the bytes of the tensors that are alive at once, `BESIDE` times.

    Raises:
        MemoryError: they are more than `limit`.
    """
    name = f"stage{stage.number}"
    settings = replace(getattr(config, name), batch=GROUP, accumulate=1, code_images=0)
    # what codes are fed costs no memory, and finding out which a hole hides takes a while
    trial = replace(config, data=replace(config.data, hidden_codes=0.0, part_holes=0.0), **{name: settings})
    with LiveBytes(limit) as live:
        run = StageSteps(
            fabric, trial, stage, backbone, discriminator, networks, Path(), report=lambda line: None
        )
        built = live.live
        run.train_step(1.0)
    best = sum(value.nbytes for value in run.networks.state_dict().values())
    return Need(BESIDE * (live.live + best), BESIDE * (live.peak - built) / GROUP)


def check_memory(
    fabric: Fabric,
    config: TrainConfig,
    stages: Sequence[Stage],
    backbone: Backbone,
    discriminator: Discriminator,
    networks: NetworkConfig,
) -> str:
    """A line on what the stages need and what is free.

    Raises:
        ConfigError: it clearly does not fit; the text says what would.
    """
    free = _free(fabric)
    needs = {}
    for stage in stages:
        try:
            needs[stage.number] = measure(
                fabric, config, stage, backbone, discriminator, networks, limit=CLEARLY * free
            )
        except MemoryError as cause:
            raise ConfigError(
                f"stage {stage.number} needs more than the {_gb(free)} GB that are free "
                f"for {GROUP} pictures at once: "
                f"{SMALLER}; memory_check=false begins all the same"
            ) from cause
    for number, need in needs.items():
        settings = config.stage(number)
        if need.of(settings) > CLEARLY * free:
            raise ConfigError(
                f"stage {number} needs about {_gb(need.of(settings))} GB, and {_gb(free)} GB are free: "
                f"{_advice(number, settings, need, free)}; memory_check=false begins all the same"
            )
    each = [f"{_gb(need.of(config.stage(number)))} GB in stage {number}" for number, need in needs.items()]
    return f"memory: needed are about {', '.join(each)}; {_gb(free)} GB are free"


def _free(fabric: Fabric) -> float:
    """Free bytes for a process, where there are fewest: all begin, or none. On CPUs they share memory."""
    free = free_bytes(fabric.device)
    if fabric.world_size == 1:
        return free
    if fabric.device.type == "cpu":
        free /= fabric.world_size
    value = torch.tensor(free, dtype=torch.float64, device=fabric.device)
    return float(torch.as_tensor(fabric.all_reduce(value, reduce_op="min")))


def _advice(stage: int, settings: StageSettings, need: Need, free: float) -> str:
    for parts in range(settings.accumulate + 1, settings.batch // GROUP + 1):
        if settings.batch % (GROUP * parts) == 0:
            total = need.of(replace(settings, accumulate=parts))
            if total <= free:
                return f"type stage{stage}.accumulate={parts} (about {_gb(total)} GB)"
    return SMALLER


def _gb(count: float) -> str:
    return f"{count / 1e9:.2g}" if count < 1e10 else f"{count / 1e9:.0f}"
