"""Writing files so that a reader sees the whole new file or none of it."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from ganinv.errors import OutputError


def atomic_write(path: str | Path, write: Callable[[BinaryIO], object]) -> Path:
    """Calls `write(stream)` on a temporary file beside `path`, then renames it to `path`.

    Missing parent folders are made. On any failure, Ctrl-C included, the temporary file is removed and
    what stood at `path` before is still there.

    Returns:
        The path, as a Path.

    Raises:
        OutputError: no permission, disk full, `path` is a folder, ...
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, "it is a folder")
        try:
            with open(temporary, "wb") as stream:
                write(stream)
                stream.flush()
                os.fsync(stream.fileno())  # a full disk may only tell now
            os.replace(temporary, path)
        except BaseException:
            with suppress(OSError):
                temporary.unlink()
            raise
    except OSError as cause:
        raise output_error(path, cause) from cause
    return path


def write_bytes(path: str | Path, data: bytes) -> Path:
    """`atomic_write` of bytes at hand. Raises OutputError."""
    return atomic_write(path, lambda stream: stream.write(data))


def output_error(path: str | Path, cause: OSError) -> OutputError:
    """The OutputError, with advice, for what the system said about writing `path`."""
    advice = {
        errno.ENOSPC: "the disk is full; free some space or choose another --out folder",
        errno.EDQUOT: "your disk quota is used up; free some space or choose another --out folder",
        errno.EACCES: "no permission; choose an --out folder you may write to",
        errno.EPERM: "no permission; choose an --out folder you may write to",
        errno.EROFS: "the file system is read-only; choose another --out folder",
        errno.EISDIR: "it is a folder; choose another name",
        errno.ENOTDIR: "part of the path is a file, not a folder; choose another --out folder",
        errno.EEXIST: "part of the path is a file, not a folder; choose another --out folder",
        errno.ENAMETOOLONG: "the name is too long; choose a shorter one",
        errno.EFBIG: "the file would be larger than allowed here",
    }.get(cause.errno or 0, cause.strerror or str(cause))
    return OutputError(f"cannot write {path}: {advice}")


def ganinv_home() -> Path:
    """The folder for what a user adds: GANINV_HOME if set, else ~/.cache/ganinv; not made here."""
    given = os.environ.get("GANINV_HOME")
    return Path(given).expanduser() if given else Path.home() / ".cache" / "ganinv"
