"""The safetensors container: eight bytes of header length, a JSON header, then raw little-endian tensors.

Written here with sorted keys, because the safetensors library orders metadata at random and equal content
must give equal bytes. Read here with every declared size checked against the file before anything is
allocated.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from ganinv.errors import CheckpointError

DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
_CODES = {dtype: code for code, dtype in DTYPES.items()}
_MAX_HEADER = 100_000_000  # the limit of the safetensors library

# First bytes of files that people try; checked in this order.
_OTHERS = (
    (b"PK\x03\x04", "a zip archive, such as a PyTorch .pt or .pth file"),
    (b"\x80", "a Python pickle, such as a .pkl or an old .pt file"),
    (b"\x89HDF", "an HDF5 file"),
    (b"\x89PNG", "a PNG picture"),
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"\x93NUMPY", "a NumPy array"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"version https://git-lfs", "a git-lfs pointer, not the file itself: type git lfs pull"),
    (b"<", "an HTML or XML page (a failed download?)"),
)


@dataclass(frozen=True)
class Entry:
    """Where one tensor lies: type, shape, first byte and end, counted from the file's start."""

    dtype: torch.dtype
    shape: tuple[int, ...]
    start: int
    end: int


def encode(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> Iterator[bytes]:
    """The file's bytes, in pieces: the same for the same content."""
    header: dict[str, Any] = {"__metadata__": dict(metadata)}
    offset, names = 0, sorted(tensors)
    for name in names:
        tensor = tensors[name]
        if tensor.dtype not in _CODES:
            raise TypeError(f"tensor {name!r} is {tensor.dtype}, which safetensors files cannot hold")
        size = tensor.numel() * tensor.element_size()
        header[name] = {
            "dtype": _CODES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [offset, offset + size],
        }
        offset += size
    text = json.dumps(header, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    yield len(text).to_bytes(8, "little") + text
    for name in names:
        yield tensors[name].detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


def read_header(stream: BinaryIO, path: Path) -> tuple[dict[str, str], dict[str, Entry]]:
    """Metadata and tensor places of an open file, all of them checked. Raises CheckpointError."""
    size = os.fstat(stream.fileno()).st_size
    if size == 0:
        raise CheckpointError(f"{path} is empty (0 bytes)")
    head = stream.read(8)
    length = int.from_bytes(head, "little")
    if len(head) < 8 or length > _MAX_HEADER or stream.read(1) != b"{":
        raise _foreign(path, head)
    if 8 + length > size:
        raise CheckpointError(
            f"{path} is truncated: its header alone is {length} bytes and the file has {size}; copy it again"
        )
    stream.seek(8)
    try:
        header = json.loads(stream.read(length).decode("utf-8"))
    except (ValueError, RecursionError):
        raise CheckpointError(f"{path} is damaged: its safetensors header is not JSON") from None
    metadata = header.pop("__metadata__", {}) if isinstance(header, dict) else None
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise CheckpointError(f"{path} is damaged: its safetensors header holds no table of text")
    entries = {name: _entry(path, name, spec, 8 + length, size) for name, spec in header.items()}
    end = 8 + length
    for entry in sorted(entries.values(), key=lambda e: (e.start, e.end)):
        if entry.start != end:
            raise CheckpointError(f"{path} is damaged: its tensors overlap or leave gaps")
        end = entry.end
    if end != size:
        raise CheckpointError(f"{path} is damaged: {size - end} bytes follow the last tensor")
    return metadata, entries


def read_tensor(stream: BinaryIO, entry: Entry) -> Tensor:
    """One tensor, as stored, in memory of its own."""
    stream.seek(entry.start)
    data = bytearray(entry.end - entry.start)
    stream.readinto(data)  # type: ignore[attr-defined]
    if not data:
        return torch.empty(entry.shape, dtype=entry.dtype)
    return torch.frombuffer(data, dtype=entry.dtype).reshape(entry.shape)


def _entry(path: Path, name: str, spec: Any, base: int, size: int) -> Entry:
    try:
        dtype, shape = DTYPES.get(spec["dtype"]), tuple(spec["shape"])
        start, end = spec["data_offsets"]
    except (TypeError, KeyError, ValueError):
        raise CheckpointError(
            f"{path} is damaged: the header's entry of tensor {name!r} is incomplete"
        ) from None
    if dtype is None:
        raise CheckpointError(
            f"{path}: tensor {name!r} is of type {spec['dtype']}; known: {', '.join(DTYPES)}"
        )
    if not all(type(v) is int and v >= 0 for v in (*shape, start, end)):
        raise CheckpointError(
            f"{path} is damaged: tensor {name!r} declares shape {list(shape)} at {[start, end]}"
        )
    count = 1
    for side in shape:
        count *= side
    if end - start != count * dtype.itemsize:
        raise CheckpointError(
            f"{path} is damaged: tensor {name!r} of shape {list(shape)} "
            f"needs {count * dtype.itemsize} bytes, its entry spans {end - start}"
        )
    if base + end > size:
        raise CheckpointError(
            f"{path} is truncated: tensor {name!r} ends at byte {base + end} and the file has {size}; "
            "copy it again"
        )
    return Entry(dtype, shape, base + start, base + end)


def _foreign(path: Path, head: bytes) -> CheckpointError:
    for magic, what in _OTHERS:
        if head.startswith(magic[:8]):
            return CheckpointError(f"{path} is {what}: not a ganinv safetensors file, which is needed here")
    return CheckpointError(f"{path} is not a safetensors file, and of no other format that is known")
