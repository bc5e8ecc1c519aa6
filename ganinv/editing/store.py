"""The user's own directions: NAME.safetensors under `ganinv_home()/directions`, one in each file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ganinv.editing.edits import Edit
from ganinv.editing.manifest import read_directions, write_directions
from ganinv.errors import CheckpointError, UnknownNameError, UsageError
from ganinv.files import ganinv_home
from ganinv.store import check_name

_SUFFIX = ".safetensors"


def stored_directions() -> dict[str, Edit]:
    """All directions of the store, by name. Raises CheckpointError for a damaged file."""
    return {path.stem: _read(path) for path in sorted(_folder().glob(f"[!.]*{_SUFFIX}"))}


def check_free(name: str) -> None:
    """Raises UsageError unless a direction can be kept under that name."""
    check_name(name, "direction")
    if _path(name).exists():
        raise UsageError(
            f"the store has a direction {name!r} already; type ganinv directions remove {name} first"
        )


def keep_direction(name: str, edit: Edit, *, provenance: Mapping[str, Any] | None = None) -> Path:
    """Writes an edit into the store under `name`; gives the file.

    Raises:
        UsageError: a bad or taken name. OutputError: the store cannot be written.
    """
    check_free(name)
    write_directions(_path(name), [replace(edit, name=name)], provenance=provenance)
    return _path(name)


def remove_direction(name: str) -> None:
    """Deletes a direction of the store. Raises UnknownNameError."""
    known = [path.stem for path in _folder().glob(f"[!.]*{_SUFFIX}")]
    if name not in known:
        raise UnknownNameError("stored direction", name, known)
    _path(name).unlink()


def _read(path: Path) -> Edit:
    found = list(read_directions(path).values())
    if len(found) != 1:
        raise CheckpointError(
            f"{path} holds {len(found)} directions; a file of the store holds one: remove it"
        )
    return replace(found[0], name=path.stem)


def _folder() -> Path:
    return ganinv_home() / "directions"


def _path(name: str) -> Path:
    return _folder() / f"{name}{_SUFFIX}"
