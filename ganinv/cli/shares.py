"""One folder, several processes: which part of the inputs is this one's, and one report of all.

torchrun tells a process its place by RANK and WORLD_SIZE, srun by SLURM_PROCID and SLURM_NTASKS (which
lightning-fabric reads too). Processes never wait for each other: each writes its own report beside the
results, and whoever finds all of them there merges them. If one is killed there is no merged report, and a
rerun with --skip-existing does what is left.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from ganinv.errors import UsageError
from ganinv.files import write_bytes

T = TypeVar("T")
_INTERACTIVE = ("bash", "interactive")  # names of SLURM jobs in which a person types the commands
_LISTS = ("outputs", "inputs", "skipped", "failures")


@dataclass(frozen=True)
class Share:
    """Place of this process among `count`; run: the same for all of one launch, another for the next."""

    rank: int = 0
    count: int = 1
    run: str = ""

    def of(self, items: Sequence[T]) -> list[T]:
        """Its items: every `count`-th, so that neighbours in size and place are spread."""
        return list(items[self.rank :: self.count])


def my_share(environment: Mapping[str, str] | None = None) -> Share:
    """The share that the launcher of this process gave it; all, where there is none.

    Raises:
        UsageError: variables that are no such numbers.
    """
    env = os.environ if environment is None else environment
    slurm = "SLURM_NTASKS" in env and env.get("SLURM_JOB_NAME") not in _INTERACTIVE
    if "RANK" in env and "WORLD_SIZE" in env:
        names, run = ("RANK", "WORLD_SIZE"), ("TORCHELASTIC_RUN_ID", "TORCHELASTIC_RESTART_COUNT")
    elif slurm and "SLURM_PROCID" in env:
        names, run = ("SLURM_PROCID", "SLURM_NTASKS"), ("SLURM_JOB_ID", "SLURM_STEP_ID")
    else:
        return Share()
    told = [env[name] for name in names]
    numbers = [int(text) if text.isascii() and text.isdigit() else -1 for text in told]
    if not 0 <= numbers[0] < numbers[1]:
        pairs = ", ".join(f"{name}={text!r}" for name, text in zip(names, told, strict=True))
        raise UsageError(f"the place of this process is unclear: {pairs}; unset both to work alone")
    return Share(numbers[0], numbers[1], ".".join(env.get(name, "") for name in run))


def begin(share: Share, folder: Path, name: str) -> None:
    """Takes an earlier report of this share away. `name` is the merged report's, without its suffix."""
    _own(share, folder, name).unlink(missing_ok=True)


def finish(share: Share, folder: Path, name: str, report: Mapping[str, Any]) -> Path | None:
    """Writes this share's report, and the merged one where all shares are there.

    Returns:
        The merged report's path, or None while other shares are at work.

    Raises:
        OutputError: it cannot be written.
    """
    merged = folder / f"{name}.json"
    if share.count == 1:
        return write_bytes(merged, _text(report))
    own = {**report, "run": share.run, "rank": share.rank}
    write_bytes(_own(share, folder, name), _text(own))
    parts = []
    for rank in range(share.count):
        try:
            part = json.loads(_own(Share(rank, share.count), folder, name).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        if part.get("run") != share.run:
            return None
        parts.append(part)
    whole = {key: value for key, value in report.items() if key not in _LISTS}
    for key in _LISTS:
        whole[key] = [entry for part in parts for entry in part.get(key, [])]
    return write_bytes(merged, _text({**whole, "processes": share.count}))


def _own(share: Share, folder: Path, name: str) -> Path:
    return folder / f"{name}.{share.rank}-of-{share.count}.json"


def _text(report: Mapping[str, Any]) -> bytes:
    return (json.dumps(report, indent=1) + "\n").encode()
