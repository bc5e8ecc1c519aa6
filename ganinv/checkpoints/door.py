"""Any checkpoint file, by its content: our safetensors, and the files of others through `layouts`.

A file is read as plain data first (`store`, `restricted`), then each layout in turn is asked whether it knows
that data. Nothing from a file ever runs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

from torch import Tensor

from ganinv.checkpoints import store
from ganinv.checkpoints.layouts.base import Found, Part
from ganinv.checkpoints.machine import PickleError
from ganinv.checkpoints.rebuild import PersistentModule
from ganinv.checkpoints.restricted import read_foreign
from ganinv.checkpoints.store import Checkpoint, sha256_file
from ganinv.errors import CheckpointError, NoSuchPartError

__all__ = ["FileContents", "Found", "Part", "open_file", "pick_part", "read_checkpoint"]

LAYOUTS = ("rosinality", "nvidia", "stylegan3", "psp")
"""Modules of `ganinv.checkpoints.layouts` with `recognise(tree) -> Found | None`, asked in this order. They
import networks, and networks' loaders import this package: hence names, not functions.
"""
_DAMAGED = (PickleError, ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)
"""What a layout may run into: a tree is not trusted, and anything may stand where it expects a number."""
_PREFERRED = ("G_ema", "g_ema", "decoder", "generator_smooth", "G", "g", "D", "d")
_KNOWN = (
    "rosinality .pt (g_ema, g, d), NVIDIA's .pkl of StyleGAN2 and StyleGAN3 networks (G_ema, G, D), .pt of "
    "the pSp family (state_dict, opts), ganinv .safetensors"
)


@dataclass(frozen=True)
class FileContents:
    """What a file holds.

    path: where it was read. sha256: of the file, 64 hexadecimal digits. format: "ganinv", "rosinality",
    "stylegan2-ada", "stylegan3", "psp", "e4e", ... parts: its networks. facts: plain data worth telling.
    """

    path: Path
    sha256: str
    format: str
    parts: tuple[Part, ...]
    facts: dict[str, Any] = field(default_factory=dict)


def open_file(path: str | Path) -> FileContents:
    """Opens any checkpoint file and says what it holds. Runs nothing from it.

    Raises:
        CheckpointError: absent, damaged, hostile, or of no known layout; the text says what was found.
    """
    path = Path(path).expanduser()
    if not _is_foreign(path):
        stored = store.read_checkpoint(path)
        part = Part(stored.kind, stored.kind, stored.family, stored.config, stored.tensors)
        return FileContents(path, stored.sha256, store.FORMAT, (part,), stored.provenance)
    found = recognise(read_foreign(path), path)
    return FileContents(path, sha256_file(path), found.format, found.parts, found.facts)


def recognise(tree: Any, source: object) -> Found:
    """What a tree of plain data holds; `source` is named in messages. Raises CheckpointError."""
    for name in LAYOUTS:
        ask: Callable[[Any], Found | None] = import_module(f"ganinv.checkpoints.layouts.{name}").recognise
        try:
            found = ask(tree)
        except CheckpointError as cause:
            raise CheckpointError(f"{source} cannot be used: {cause.message}") from cause
        except _DAMAGED as cause:
            raise CheckpointError(f"{source} is damaged: as a {name} file it fails with {cause!r}") from cause
        if found is not None:
            return found
    raise CheckpointError(f"{source} is of no known layout: it holds {_outline(tree)}; known: {_KNOWN}")


def read_checkpoint(path: str | Path, *, kind: str | None = None) -> Checkpoint:
    """Reads one network (or, of our own format, anything) from any checkpoint file.

    Args:
        path: the file.
        kind: "generator" takes G_ema before G; refuse files without this kind. None takes every ganinv
            file, and of others their first network.

    Raises:
        CheckpointError: as `open_file`; no such kind in it; tensors missing from it or left over.
    """
    path = Path(path).expanduser()
    if not _is_foreign(path):
        return store.read_checkpoint(path, kind=kind)
    contents = open_file(path)
    part = pick_part(contents, kind)
    for what, names in (("lacks", part.missing), ("has unknown", part.unexpected)):
        if names:
            more = f" and {len(names) - 6} more" if len(names) > 6 else ""
            raise CheckpointError(f"{path}: its {part.name} {what} {', '.join(names[:6])}{more}")
    provenance = {"format": contents.format, "part": part.name, **contents.facts}
    return Checkpoint(
        path, contents.sha256, part.kind, part.family, part.config, provenance, dict(part.tensors)
    )


def pick_part(contents: FileContents, kind: str | None = None) -> Part:
    """The best network of that kind in a file: averaged weights before those still in training.

    Raises:
        NoSuchPartError: none.
    """
    found = [part for part in contents.parts if kind in (None, part.kind)]
    if not found:
        held = ", ".join(f"{part.name} ({part.kind})" for part in contents.parts) or "no network"
        raise NoSuchPartError(f"{contents.path} holds {held}; no {kind} is in it")
    rank = {name: place for place, name in enumerate(_PREFERRED)}
    return min(found, key=lambda part: rank.get(part.name, len(rank)))


def _is_foreign(path: Path) -> bool:
    """Whether a file starts as zip archives, pickles and NumPy arrays do, and is not safetensors."""
    try:
        with open(path, "rb") as stream:
            head = stream.read(9)
    except OSError:
        return False  # told by the reader of our own files
    if head[4:] == b"\0\0\0\0{":  # eight bytes of length, then JSON
        return False
    return head.startswith((b"PK\x03\x04", b"\x80", b"\x93NUMPY", b"(", b"}", b"]"))


def _outline(tree: Any) -> str:
    if isinstance(tree, PersistentModule):
        return f"a module of class {tree.class_name[:60]!r}"
    if isinstance(tree, Tensor):
        return f"one tensor of shape {list(tree.shape)}"
    if isinstance(tree, Mapping):
        keys = ", ".join(repr(str(key)[:40]) for key in list(tree)[:8])
        return f"a dictionary of {keys or 'nothing'}{' and more' if len(tree) > 8 else ''}"
    return f"a {type(tree).__name__}"
