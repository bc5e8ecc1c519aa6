"""Reading and writing ganinv checkpoints: safetensors files whose metadata states what they are.

Metadata keys: `format` = "ganinv", `kind` (generator, discriminator, inversion, ...), `family` (the
architecture), `config` and `provenance` (JSON objects).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ganinv.checkpoints import container
from ganinv.errors import CheckpointError, NoSuchPartError
from ganinv.files import atomic_write

FORMAT = "ganinv"


@dataclass(frozen=True)
class Checkpoint:
    """A file's content.

    path: where it was read. sha256: of the file, 64 hexadecimal digits.
    kind, family: what it is and of which architecture. config: what rebuilds the module. provenance: how it
    was made.
    tensors: by name, on the CPU; half precision on file is float32 here.
    """

    path: Path
    sha256: str
    kind: str
    family: str
    config: dict[str, Any]
    provenance: dict[str, Any]
    tensors: dict[str, Tensor] = field(repr=False)


class Description(NamedTuple):
    """What a header states, without the tensors."""

    kind: str
    family: str
    config: dict[str, Any]
    provenance: dict[str, Any]


def describe(path: str | Path) -> Description:
    """What a ganinv checkpoint states of itself; reads its header only. Raises CheckpointError."""
    path = Path(path)
    try:
        with open(path, "rb") as stream:
            return _describe(path, container.read_header(stream, path)[0])
    except OSError as cause:
        raise CheckpointError(f"cannot read {path}: {cause.strerror or cause}") from cause


def read_checkpoint(path: str | Path, *, kind: str | None = None) -> Checkpoint:
    """Reads a ganinv checkpoint. Runs no code from it and allocates nothing that the file does not hold.

    Args:
        path: the file.
        kind: refuse files of any other kind; None takes every kind.

    Raises:
        CheckpointError: absent, unreadable, truncated, damaged, of another format; the text says which.
        NoSuchPartError: of another kind.
    """
    path = Path(path)
    if path.is_dir():
        raise CheckpointError(f"{path} is a folder; name a file in it")
    if not path.is_file():
        raise CheckpointError(f"{path} is not a plain file" if path.exists() else f"no such file: {path}")
    try:
        with open(path, "rb") as stream:
            metadata, entries = container.read_header(stream, path)
            found, family, config, provenance = _describe(path, metadata)
            if kind is not None and found != kind:
                raise NoSuchPartError(f"{path} holds {_a(found)}; {_a(kind)} {_is(kind)} needed here")
            tensors = {name: _single(container.read_tensor(stream, entries[name])) for name in entries}
    except OSError as cause:
        raise CheckpointError(f"cannot read {path}: {cause.strerror or cause}") from cause
    return Checkpoint(path, sha256_file(path), found, family, config, provenance, tensors)


def write_checkpoint(
    path: str | Path,
    tensors: Mapping[str, Tensor],
    *,
    kind: str,
    family: str,
    config: Mapping[str, Any],
    provenance: Mapping[str, Any] | None = None,
    dtype: torch.dtype | None = None,
) -> str:
    """Writes a ganinv checkpoint: whole or not at all, the same bytes for the same content.

    Args:
        tensors: by name, on any device.
        config, provenance: plain data (JSON).
        dtype: floating-point tensors are stored in it (float16 halves the file); None keeps theirs.

    Returns:
        The file's SHA-256, 64 hexadecimal digits.

    Raises:
        OutputError: the file cannot be written.
    """
    if dtype is not None:
        tensors = {k: v.to(dtype) if v.is_floating_point() else v for k, v in tensors.items()}
    metadata = {
        "format": FORMAT,
        "kind": kind,
        "family": family,
        "config": to_json(config),
        "provenance": to_json(provenance or {}),
    }
    pieces = list(container.encode(tensors, metadata))
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(piece)
    atomic_write(path, lambda stream: stream.writelines(pieces))
    return digest.hexdigest()


def sha256_file(path: str | Path) -> str:
    """SHA-256 of a file, 64 hexadecimal digits. Raises CheckpointError if it cannot be read."""
    try:
        with open(path, "rb") as stream:
            digest = hashlib.sha256()
            while piece := stream.read(1 << 20):
                digest.update(piece)
            return digest.hexdigest()
    except OSError as cause:
        raise CheckpointError(f"cannot read {path}: {cause.strerror or cause}") from cause


def to_json(data: Mapping[str, Any]) -> str:
    """One line of JSON with sorted keys; dataclass-free plain data only."""
    return json.dumps(dict(data), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def _describe(path: Path, metadata: Mapping[str, str]) -> Description:
    if metadata.get("format") != FORMAT:
        found = f"its format is {metadata['format']!r}" if "format" in metadata else "it states no format"
        raise CheckpointError(
            f"{path} is safetensors but not of ganinv: {found}; this version reads ganinv safetensors"
        )
    missing = [key for key in ("kind", "family", "config") if key not in metadata]
    if missing:
        raise CheckpointError(f"{path} is not complete: its header lacks {', '.join(missing)}")
    plain = []
    for key in ("config", "provenance"):
        try:
            value = json.loads(metadata.get(key, "{}"))
        except (ValueError, RecursionError):
            value = None
        if not isinstance(value, dict):
            raise CheckpointError(f"{path} is damaged: {key} in its header is not a JSON object")
        plain.append(value)
    return Description(metadata["kind"], metadata["family"], plain[0], plain[1])


def _single(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor


def _a(kind: str) -> str:
    if kind == "diverse-inpaint":
        return f"weights of {kind}"
    return kind if kind.endswith("s") else f"{'an' if kind[:1] in 'aeiou' else 'a'} {kind}"


def _is(kind: str) -> str:
    return "are" if kind.endswith("s") or kind == "diverse-inpaint" else "is"
