"""The state file of a run: what is needed to go on as if nothing had happened, as plain data."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import torch

from ganinv.parts import CheckpointError, atomic_write

FORMAT = "ganinv-training-state-1"


def state_path(out: Path, stage: int) -> Path:
    """Where the last state of a stage lies."""
    return out / f"stage{stage}.state"


def save_state(path: Path, state: dict[str, Any]) -> Path:
    """Write a state whole or not at all. Raises OutputError."""
    return atomic_write(path, lambda stream: torch.save({"format": FORMAT, **state}, stream))


def load_state(path: Path, *, stage: int) -> dict[str, Any]:
    """Read a state; nothing in the file is run.

    Raises:
        CheckpointError: no such file, not a state, or the state of another stage.
    """
    if not path.is_file():
        raise CheckpointError(f"no training state at {path}: run stage {stage} first, or leave out --resume")
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
