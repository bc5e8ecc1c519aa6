"""Everybody's checkpoint files as plain data: PyTorch's zip, its older container, plain pickles, .npy.

Facts of the containers: a zip holds NAME/data.pkl and one stored member NAME/data/KEY for each storage; the
older container is five pickles (magic number, protocol, system, content, storage keys), then for each storage
eight bytes of length and its raw numbers. NVIDIA's snapshots are plain pickles with such containers inside.
"""

from __future__ import annotations

import mmap
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ganinv.checkpoints.machine import Global, Machine, PickleError
from ganinv.checkpoints.opcodes import read_pickle
from ganinv.checkpoints.rebuild import STORAGES, PersistentModule, Rebuilder, Storage
from ganinv.errors import CheckpointError

__all__ = ["PersistentModule", "read_foreign"]

_MAGIC = 0x1950A86A20F9469CFC6C  # of PyTorch's older container
_MAX_NESTED = 2  # a snapshot holds storages; a storage holds no further file
MAX_MEMBERS = 50_000


def read_foreign(path: str | Path) -> Any:
    """The content of a .pt, .pth, .pkl or .npy file, without running anything from it.

    Returns:
        dict (every kind of dictionary, and Namespace), list, tuple, set, str, bytes (from 64 KiB on a
        memoryview), numbers, None, tensors on the CPU that share their storages as in the file, and
        `PersistentModule` for NVIDIA's modules.

    Raises:
        CheckpointError: absent, damaged, cut off, or with anything else in it; the text says what.
    """
    path = Path(path)
    if path.is_dir():
        raise CheckpointError(f"{path} is a folder; name a file in it")
    try:
        with open(path, "rb") as stream:
            size = stream.seek(0, 2)
            if size == 0:
                raise CheckpointError(f"{path} is empty (0 bytes)")
            # not closed here: long byte strings of the result are views of it, and keep it alive
            return _read(path, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ))
    except FileNotFoundError:
        raise CheckpointError(f"no such file: {path}") from None
    except OSError as cause:
        raise CheckpointError(f"cannot read {path}: {cause.strerror or cause}") from cause
    except (PickleError, RecursionError, MemoryError, UnicodeError) as cause:
        raise CheckpointError(f"{path} is refused: {cause or type(cause).__name__}") from None


def _read(path: Path, mapped: mmap.mmap) -> Any:
    head = bytes(mapped[:6])
    if head.startswith(b"PK\x03\x04"):
        return _read_zip(path, len(mapped))
    if head == b"\x93NUMPY":
        return _read_numpy(path)
    return _read_pickles(memoryview(mapped), nested=0)


def _read_numpy(path: Path) -> Any:
    try:
        return torch.from_numpy(np.load(path, allow_pickle=False))
    except (ValueError, TypeError, EOFError) as cause:
        raise PickleError(f"no plain numpy array ({cause})") from None


def _read_pickles(data: memoryview, nested: int) -> Any:
    """A plain pickle, or the older container, which starts with its magic number."""
    rebuilder = Rebuilder(lambda inner: _open_nested(inner, nested))
    machine = Machine(data, rebuilder.call, rebuilder.build, _no_storage)
    first = read_pickle(machine)
    if type(first) is not int or first != _MAGIC:
        return first
    protocol, system = read_pickle(machine), read_pickle(machine)
    if (
        type(protocol) is not int
        or protocol != 1001
        or not isinstance(system, dict)
        or system.get("little_endian") is not True
    ):
        raise PickleError("a PyTorch container of another version or byte order")
    start = machine.at
    sizes: dict[str, tuple[torch.dtype, int]] = {}

    def note(persistent: Any) -> Storage:
        key, dtype, numel = _parse_id(persistent)
        if sizes.setdefault(key, (dtype, numel)) != (dtype, numel):
            raise PickleError(f"storage {key[:40]!r} is declared twice")
        return _view(Storage(numel, None), persistent)

    sizer = Machine(data, rebuilder.call, rebuilder.build, note, start)
    read_pickle(sizer)  # the content, for its storages' sizes, which are needed to find the numbers
    machine.at = sizer.at
    keys = read_pickle(machine)
    storages = _read_storages(data, machine.at, keys, sizes)
    again = Machine(
        data, rebuilder.call, rebuilder.build, lambda i: _view(storages[_parse_id(i)[0]], i), start
    )
    return read_pickle(again)


def _read_storages(
    data: memoryview, at: int, keys: Any, sizes: dict[str, tuple[torch.dtype, int]]
) -> dict[str, Storage]:
    if not isinstance(keys, list) or sorted(map(str, keys)) != sorted(sizes):
        raise PickleError("its list of storages is not that of its content")
    found = {}
    for key in keys:
        dtype, numel = sizes[key]
        size = numel * dtype.itemsize
        if at + 8 + size > len(data) or int.from_bytes(data[at : at + 8], "little") != numel:
            raise PickleError(f"storage {key[:40]!r} of {numel} numbers is cut off")
        found[key] = Storage(numel, _numbers(data[at + 8 : at + 8 + size], dtype))
        at += 8 + size
    return found


def _open_nested(data: Any, nested: int) -> Any:
    if nested >= _MAX_NESTED or not isinstance(data, bytes | memoryview):
        raise PickleError("its storages are nested too deep")
    found = _read_pickles(memoryview(data), nested + 1)
    if not isinstance(found, Storage):
        raise PickleError(f"a {type(found).__name__} where a storage belongs")
    return found


def _read_zip(path: Path, size: int) -> Any:
    try:
        with zipfile.ZipFile(path) as archive:
            members = {info.filename: info for info in archive.infolist()}
            _check_members(members, size)
            names = [n for n in members if n.endswith("/data.pkl") and n.count("/") == 1]
            if len(names) != 1:
                raise PickleError("a zip archive without one data.pkl: no PyTorch file")
            folder = names[0].removesuffix("data.pkl")
            if any(n.startswith(f"{folder}code/") for n in members):
                raise PickleError("a TorchScript archive: a program, not weights")
            if f"{folder}byteorder" in members and archive.read(f"{folder}byteorder") != b"little":
                raise PickleError("written in another byte order")
            return _unpickle_zip(archive, folder)
    except (zipfile.BadZipFile, NotImplementedError, ValueError, KeyError, EOFError) as cause:
        raise PickleError(f"its zip archive is damaged ({cause})") from None


def _check_members(members: dict[str, zipfile.ZipInfo], size: int) -> None:
    """Stored members cannot be larger than the file, so nothing in it can swell."""
    if len(members) > MAX_MEMBERS:
        raise PickleError(f"its zip archive has over {MAX_MEMBERS} members")
    if any(m.compress_type != zipfile.ZIP_STORED or m.file_size != m.compress_size for m in members.values()):
        raise PickleError("its zip archive is compressed, which PyTorch's never is")
    if sum(m.file_size for m in members.values()) > size:
        raise PickleError("its zip archive declares more bytes than the file has")


def _unpickle_zip(archive: zipfile.ZipFile, folder: str) -> Any:
    storages: dict[str, Storage] = {}

    def load(persistent: Any) -> Storage:
        key, dtype, numel = _parse_id(persistent)
        if key not in storages:
            name = f"{folder}data/{key}"
            if archive.getinfo(name).file_size != numel * dtype.itemsize:
                raise PickleError(f"storage {key[:40]!r} is not {numel} numbers long")
            storages[key] = Storage(numel, _numbers(archive.read(name), dtype))
        values = storages[key].values
        if storages[key].numel != numel or values is None or values.dtype != dtype:
            raise PickleError(f"storage {key[:40]!r} is declared twice")
        return _view(storages[key], persistent)

    rebuilder = Rebuilder(lambda inner: _open_nested(inner, 0))
    data = memoryview(archive.read(f"{folder}data.pkl"))
    return read_pickle(Machine(data, rebuilder.call, rebuilder.build, load))


def _parse_id(persistent: Any) -> tuple[str, torch.dtype, int]:
    """("storage", type, key, place, count[, view]) -> key, type, count."""
    if not isinstance(persistent, tuple) or len(persistent) not in (5, 6) or persistent[0] != "storage":
        raise PickleError("it refers to something outside of the file")
    _, kind, key, _, numel = persistent[:5]
    if not isinstance(kind, Global) or kind.module != "torch" or kind.name not in STORAGES:
        raise PickleError(f"it has a storage of type {str(kind)[:60]}")
    if not isinstance(key, str) or type(numel) is not int or numel < 0:
        raise PickleError("it has a storage without key and size")
    return key, STORAGES[kind.name], numel


def _view(storage: Storage, persistent: Any) -> Storage:
    """The part of a storage that an old file means by (key, offset, size)."""
    view = persistent[5] if len(persistent) == 6 else None
    if view is None:
        return storage
    if not isinstance(view, tuple) or len(view) != 3 or any(type(n) is not int or n < 0 for n in view[1:]):
        raise PickleError("it has a view of a storage without place and size")
    _, offset, size = view
    if offset + size > storage.numel:
        raise PickleError(f"it has a view of {size} numbers over a storage of {storage.numel}")
    values = storage.values
    return Storage(size, None if values is None else values[offset : offset + size])


def _numbers(data: memoryview | bytes, dtype: torch.dtype) -> torch.Tensor:
    """Raw numbers in memory of their own."""
    if len(data) == 0:
        return torch.empty(0, dtype=dtype)
    return torch.frombuffer(bytearray(data), dtype=dtype)


def _no_storage(persistent: Any) -> Any:
    raise PickleError("it refers to something outside of the file")
