from __future__ import annotations

import errno
import os
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import pytest

from ganinv.errors import OutputError
from ganinv.files import atomic_write, write_bytes


def test_writes_and_makes_folders(tmp_path: Path) -> None:
    path = write_bytes(tmp_path / "a" / "b" / "c.bin", b"data")
    assert path.read_bytes() == b"data"
    assert [p.name for p in path.parent.iterdir()] == ["c.bin"]


def test_replaces_whole_or_not_at_all(tmp_path: Path) -> None:
    path = write_bytes(tmp_path / "a", b"old")

    def interrupted(stream: BinaryIO) -> None:
        stream.write(b"new")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        atomic_write(path, interrupted)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
    write_bytes(path, b"new")
    assert path.read_bytes() == b"new"


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EROFS])
def test_system_errors_are_one_line(tmp_path: Path, code: int) -> None:
    def fails(stream: BinaryIO) -> None:
        stream.write(b"half")
        raise OSError(code, os.strerror(code))

    with pytest.raises(OutputError, match=r"cannot write .*a: .*choose another --out folder"):
        atomic_write(tmp_path / "a", fails)
    assert not list(tmp_path.iterdir())


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    """What a full disk does, without one: the system refuses to write beyond `size` bytes."""
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, old[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
        signal.signal(signal.SIGXFSZ, handler)


def test_write_cut_short_by_the_system(tmp_path: Path) -> None:
    with file_size_limit(1000), pytest.raises(OutputError, match="cannot write"):
        write_bytes(tmp_path / "a", bytes(100_000))
    assert not list(tmp_path.iterdir())


def test_folder_in_the_way(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="it is a folder"):
        write_bytes(tmp_path, b"")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OutputError, match="part of the path is a file"):
        write_bytes(tmp_path / "file" / "below", b"")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_no_permission(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match="no permission"):
        write_bytes(tmp_path / "a", b"")
    tmp_path.chmod(0o700)


def test_no_permission_is_advised(tmp_path: Path) -> None:
    def fails(stream: BinaryIO) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    with pytest.raises(OutputError, match="no permission; choose an --out folder you may write to"):
        atomic_write(tmp_path / "a", fails)
