"""The state file of a run: what is needed to go on as if nothing had happened, as plain data."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import torch

from ganinv.parts import CheckpointError, OutputError, atomic_write

FORMAT = "ganinv-training-state-3"
LOG = "log.jsonl"
BEST = "best.safetensors"
_HALF_WRITTEN = (".stage?.state.*.tmp", ".*.safetensors.*.tmp", f".{LOG}.*.tmp", "sheets/.stage*.png.*.tmp")


def state_path(out: Path, stage: int) -> Path:
    """Where the last state of a stage lies."""
    return out / f"stage{stage}.state"


def require_state(path: Path, stage: int) -> None:
    """Raise CheckpointError where there is no state at `path`."""
    if not path.is_file():
        raise CheckpointError(f"no training state at {path}: run stage {stage} first, or leave out --resume")


def claim(out: Path) -> None:
    """Make a folder a run's: its log is there from the start on. What a killed run left half-written goes.

    Raises:
        OutputError: the folder cannot be made or written to.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        (out / LOG).touch()
        for leftover in [path for pattern in _HALF_WRITTEN for path in out.glob(pattern)]:
            leftover.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f"cannot write to {out}: {error.strerror or error}") from error


def save_state(path: Path, state: dict[str, Any]) -> Path:
    """Write a state whole or not at all. Raises OutputError."""
    return atomic_write(path, lambda stream: torch.save({"format": FORMAT, **state}, stream))


def load_state(path: Path, *, stage: int) -> dict[str, Any]:
    """Read a state; nothing in the file is run.

    Raises:
        CheckpointError: no such file, not a state, or the state of another stage.
    """
    require_state(path, stage)
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, OSError, EOFError, ValueError, KeyError, pickle.UnpicklingError) as error:
        raise CheckpointError(f"{path} is not a training state or is damaged: {error}") from error
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise CheckpointError(f"{path} is not a training state of this version ({FORMAT})")
    if state.get("stage") != stage:
        raise CheckpointError(f"{path} is a state of stage {state.get('stage')}; stage {stage} is needed")
    return state


def changed_fields(old: dict[str, Any], new: dict[str, Any], prefix: str = "") -> list[str]:
    """Dotted names of the entries in which two nested tables differ."""
    found = []
    for key in sorted(old.keys() | new.keys()):
        a, b = old.get(key), new.get(key)
        if isinstance(a, dict) and isinstance(b, dict):
            found += changed_fields(a, b, f"{prefix}{key}.")
        elif a != b:
            found.append(prefix + key)
    return found
