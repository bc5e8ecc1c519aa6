"""What a run is asked for: which stages, in which folder, on which models; refused where it does not fit."""

from __future__ import annotations

from pathlib import Path

from ganinv.parts import Backbone, CheckpointError, ConfigError, Discriminator, UsageError

from .methods import Trainable
from .settings import TrainConfig
from .state import LOG, require_state, state_path

STAGES = ("1", "2", "both")


def check_request(
    method: Trainable, config: TrainConfig, out: Path, stage: str, resume: bool, minutes: float | None
) -> list[int]:
    """The stages to run.

    Raises:
        UsageError: an unknown stage, no time at all, or a folder that holds a run which nobody asked to
            resume.
        CheckpointError: nothing to resume, or stage 2 without a stage 1 to begin with.
    """
    if stage not in STAGES:
        raise UsageError(f"stage {stage!r} is not known; possible: {', '.join(STAGES)}")
    if minutes is not None and minutes <= 0:
        raise UsageError(f"{minutes} minutes are not enough; give a number above 0")
    known = [each.number for each in method.stages]
    stages = known if stage == "both" else [int(stage)]
    if stages[-1] not in known:
        raise UsageError(f"{method.name} has no stage {stage}: leave out --stage")
    present = [n for n in stages if state_path(out, n).is_file()]
    if present and not resume:
        raise UsageError(
            f"{out} already holds stage {present[0]} of a run; add --resume, or choose another --out folder"
        )
    if resume and not present and not (out / LOG).is_file():
        raise CheckpointError(
            f"nothing to resume in {out}: there is no {state_path(out, stages[0]).name}; leave out --resume"
        )
    if stages == [2] and not present and config.start_from is None:
        require_state(state_path(out, 1), 1)
    return stages


def check_models(config: TrainConfig, backbone: Backbone, discriminator: Discriminator) -> None:
    """Raise ConfigError where generator, discriminator and precision do not go together."""
    if discriminator.config.resolution != backbone.resolution:
        raise ConfigError(
            f"discriminator {discriminator.name!r} judges {discriminator.config.resolution} px, the backbone "
            f"draws {backbone.resolution} px: give the discriminator that was trained with it"
        )
    if discriminator.config.c_dim not in (0, backbone.c_dim):
        raise ConfigError(
            f"discriminator {discriminator.name!r} knows {discriminator.config.c_dim} classes, the backbone "
            f"{backbone.c_dim}: give the discriminator that was trained with it"
        )
    if config.precision == "bfloat16" and not hasattr(backbone, "compute_dtype"):
        raise ConfigError(f"{backbone.family} backbones compute in float32 only: drop precision=bfloat16")
