"""The user's own models: weight files under `ganinv_home()/models`, each with a JSON of its facts."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from ganinv.checkpoints import open_file, sha256_file
from ganinv.errors import CheckpointError, UnknownNameError, UsageError
from ganinv.files import atomic_write, ganinv_home, write_bytes

SUFFIXES = (".safetensors", ".pt", ".pth", ".pkl", ".dat")


class StoredModel(NamedTuple):
    """A model file of the user's store; `licence` is None where it was not told.

    kinds: of the networks in it, "generator" and "discriminator" for instance.
    """

    name: str
    kinds: tuple[str, ...]
    path: Path
    sha256: str
    licence: str | None
    origin: str


def stored_models() -> list[StoredModel]:
    """All models of the store, by name. Raises CheckpointError for a damaged JSON."""
    return [_read(path) for path in sorted((ganinv_home() / "models").glob("*.json"))]


def add_model(
    name: str,
    source: str,
    *,
    licence: str | None = None,
    sha256: str | None = None,
    allow_http: bool = False,
    progress: Callable[[int, int | None], object] | None = None,
) -> StoredModel:
    """Copies or downloads a checkpoint, of ours or of others, as it is into the store under `name`.

    Args:
        sha256: what the file must have, in hex digits; None = anything.
        progress: of a download, called with the bytes so far and in all (None: not told).

    Raises:
        UsageError: a bad or taken name, or link. CheckpointError: no such file, or none that opens.
        OutputError: the store cannot be written.
    """
    check_name(name, "model")
    if sha256 and not re.fullmatch("[0-9a-fA-F]{64}", sha256):
        raise UsageError(f"{sha256!r} is no SHA-256: it has 64 hex digits")
    suffix = Path(urlsplit(source).path if "://" in source else source).suffix.lower()
    if suffix not in SUFFIXES:
        hint = "; a page of a file (Google Drive) must be opened in a browser, and the saved file given here"
        raise UsageError(
            f"{source} is no checkpoint by its name; known endings: {', '.join(SUFFIXES)}"
            + (hint if "://" in source else "")
        )
    path = ganinv_home() / "models" / f"{name}{suffix}"
    if path.with_suffix(".json").exists():
        raise UsageError(f"the store has a model {name!r} already; type ganinv models remove {name} first")
    if "://" in source:
        from ganinv.downloads import download  # not needed to look a name up

        if not path.exists():  # somebody may have put it there, as the message after a failure says
            download(source, path, sha256=sha256, allow_http=allow_http, progress=progress)
        elif sha256 and sha256_file(path) != sha256.lower():
            raise CheckpointError(f"{path} is not the file meant: its sha256 is {sha256_file(path)}")
    else:
        given = Path(source).expanduser()
        _, digest = _contents(given)  # before anything is copied
        if sha256 and digest != sha256.lower():
            raise CheckpointError(f"{source} is not the file meant: sha256 {digest}, expected {sha256}")
        with open(given, "rb") as stream:
            atomic_write(path, lambda out: shutil.copyfileobj(stream, out))
        source = str(given.resolve())
    try:
        kinds, digest = _contents(path)
        facts = {"kinds": kinds, "file": path.name, "sha256": digest, "licence": licence, "origin": source}
        write_bytes(path.with_suffix(".json"), json.dumps(facts, indent=2).encode())
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return _read(path.with_suffix(".json"))


def _contents(path: Path) -> tuple[list[str], str]:
    """Kinds of the networks in a file, and its digest. Raises CheckpointError for none that opens."""
    if path.suffix.lower() != ".dat":
        found = open_file(path)
        return sorted({part.kind for part in found.parts}), found.sha256
    from ganinv.align.models import check_dlib_model

    check_dlib_model(path)
    return ["landmarks"], sha256_file(path)


def check_name(name: str, what: str) -> None:
    """Raises UsageError unless `name` can be a file's name in the store; `what` is "model", "direction"."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}", name):
        raise UsageError(f"{name!r} is no {what} name; use letters, digits, - and _")


def remove_model(name: str) -> None:
    """Deletes a model of the store. Raises UnknownNameError."""
    models = {model.name: model.path for model in stored_models()}
    if name not in models:
        raise UnknownNameError("stored model", name, models)
    models[name].with_suffix(".json").unlink()
    models[name].unlink(missing_ok=True)


def _read(path: Path) -> StoredModel:
    try:
        facts = json.loads(path.read_text())
        return StoredModel(
            path.stem,
            tuple(facts["kinds"]),
            path.with_name(facts["file"]),
            facts["sha256"],
            facts["licence"],
            facts["origin"],
        )
    except (OSError, ValueError, KeyError, TypeError) as cause:
        raise CheckpointError(f"{path} is damaged; delete it and add the model again") from cause
