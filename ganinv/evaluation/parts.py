"""Measurements on disk while an evaluation runs, so that one that was stopped goes on where it was.

A stage measures numbered items. Each finished stretch of them is one file; memory holds one stretch.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ganinv.errors import UsageError
from ganinv.files import write_bytes

Arrays = dict[str, np.ndarray]
Progress = Callable[[str, int, int], None]
"""Told what is done, the items finished and the items in all."""

_STRETCH = 20
_IDENTITY = "run.json"


class Parts:
    """The measurements in one folder, all of one run."""

    def __init__(self, folder: Path, identity: Mapping[str, Any], *, fresh: bool = False) -> None:
        """`identity`: all that a measurement depends on.

        Raises:
            UsageError: the folder holds measurements of another run, and is not to be started `fresh`.
        """
        self.folder = folder
        text = json.dumps(identity, indent=1, sort_keys=True, default=str)
        kept = folder / _IDENTITY
        if kept.is_file() and kept.read_text(encoding="utf-8") != text:
            if not fresh:
                raise UsageError(
                    f"{folder} holds measurements of other settings, weights or versions: choose another "
                    "--out, or type --fresh to discard them"
                )
            fresh = True
        if fresh:
            for path in folder.glob("*.npz"):
                path.unlink()
        write_bytes(kept, text.encode())

    def run(
        self,
        stage: str,
        count: int,
        work: Callable[[range], Arrays],
        progress: Progress | None = None,
    ) -> Arrays:
        """What `work` measures of items 0 .. count-1: name -> [count, ...]; finished ones are read."""
        tell = progress or (lambda *_: None)
        found = []
        for start in range(0, count, _STRETCH):
            stretch = range(start, min(start + _STRETCH, count))
            path = self.folder / f"{stage}-{start:07d}.npz"
            if not path.is_file():
                self._write(path, work(stretch))
            found.append(path)
            tell(stage, stretch.stop, count)
        return _joined(found)

    def _write(self, path: Path, arrays: Arrays) -> None:
        buffer = io.BytesIO()
        np.savez(buffer, **arrays)  # type: ignore[arg-type]
        write_bytes(path, buffer.getvalue())


def _joined(paths: list[Path]) -> Arrays:
    """The arrays [n, ...] of all stretches, one after the other; a name that one lacks is NaN there."""
    stretches: list[Arrays] = []
    for path in paths:
        with np.load(path, allow_pickle=False) as loaded:
            stretches.append({name: loaded[name] for name in loaded.files})
    names = {name: array for stretch in stretches for name, array in stretch.items()}
    counts = [len(next(iter(stretch.values()))) for stretch in stretches]
    return {
        name: np.concatenate(
            [
                stretch.get(name, np.full((count, *like.shape[1:]), np.nan))
                for stretch, count in zip(stretches, counts, strict=True)
            ]
        )
        for name, like in names.items()
    }


def stacked(rows: list[Arrays]) -> Arrays:
    """Arrays of single items as arrays [n, ...]; a name that one item lacks is NaN there."""
    names = {name: array for row in rows for name, array in row.items()}
    return {
        name: np.stack([row.get(name, np.full(like.shape, np.nan)) for row in rows])
        for name, like in names.items()
    }
