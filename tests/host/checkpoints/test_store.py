from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from ganinv.checkpoints import read_checkpoint, sha256_file, write_checkpoint
from ganinv.checkpoints.store import describe
from ganinv.errors import CheckpointError, OutputError

TENSORS = {
    "b": torch.arange(6.0).reshape(2, 3),
    "a": torch.tensor([True, False]),
    "scalar": torch.tensor(3.0),
    "none": torch.zeros(0, 4),
    "bytes": torch.arange(5, dtype=torch.uint8),
    "long": torch.tensor([2**40]),
    "strided": torch.arange(12.0).reshape(3, 4).t(),
}


def write(path: Path, **changes: Any) -> Path:
    arguments: dict[str, Any] = {"kind": "generator", "family": "stylegan2", "config": {"z": 1, "a": [2]}}
    write_checkpoint(path, TENSORS, **(arguments | changes))
    return path


def forge(path: Path, header: Any, data: bytes = b"") -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


META = {"format": "ganinv", "kind": "generator", "family": "f", "config": "{}"}


def test_round_trip(tmp_path: Path) -> None:
    path = write(tmp_path / "a.safetensors", provenance={"steps": 3})
    found = read_checkpoint(path, kind="generator")
    assert (found.kind, found.family, found.config) == ("generator", "stylegan2", {"z": 1, "a": [2]})
    assert found.provenance == {"steps": 3}
    assert found.sha256 == sha256_file(path)
    assert found.tensors.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert torch.equal(found.tensors[name], tensor) and found.tensors[name].dtype == tensor.dtype
    assert describe(path) == ("generator", "stylegan2", found.config, {"steps": 3})


def test_digest_is_returned(tmp_path: Path) -> None:
    digest = write_checkpoint(tmp_path / "a", TENSORS, kind="judge", family="f", config={})
    assert digest == sha256_file(tmp_path / "a")


def test_the_safetensors_library_reads_it(tmp_path: Path) -> None:
    found = load_file(write(tmp_path / "a.safetensors"))
    assert all(torch.equal(found[name], tensor) for name, tensor in TENSORS.items())


def test_equal_content_gives_equal_bytes(tmp_path: Path) -> None:
    first = write(tmp_path / "a").read_bytes()
    backwards = dict(reversed(TENSORS.items()))
    write_checkpoint(
        tmp_path / "b", backwards, kind="generator", family="stylegan2", config={"a": [2], "z": 1}
    )
    assert (tmp_path / "b").read_bytes() == first


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_comes_back_as_float32(tmp_path: Path, dtype: torch.dtype) -> None:
    found = read_checkpoint(write(tmp_path / "a", dtype=dtype))
    assert found.tensors["b"].dtype == torch.float32 and torch.equal(found.tensors["b"], TENSORS["b"])
    assert found.tensors["long"].dtype == torch.int64
    assert (tmp_path / "a").stat().st_size < write(tmp_path / "b").stat().st_size


def test_loaded_tensors_do_not_share_memory(tmp_path: Path) -> None:
    path = write(tmp_path / "a")
    read_checkpoint(path).tensors["b"].zero_()
    assert torch.equal(read_checkpoint(path).tensors["b"], TENSORS["b"])


def test_headers_of_pickles_are_not_read(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(1)}, tmp_path / "a.pt")
    torch.save({"a": 1}, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    for name, what in [("a.pt", "a zip archive"), ("old.pt", "a Python pickle")]:
        with pytest.raises(CheckpointError, match=f"{name} is {what}.*not a ganinv safetensors file"):
            describe(tmp_path / name)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", r"is empty \(0 bytes\)"),
        (b"abc", "is not a safetensors file"),
        (b"hello, this is plain text", "is not a safetensors file"),
        (b"<!DOCTYPE html><html></html>", "an HTML or XML page"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "git lfs pull"),
        (b"\x89PNG\r\n\x1a\n0000000000", "a PNG picture"),
        (struct.pack("<Q", 10**7) + b"{}", "is truncated: its header alone"),
        (struct.pack("<Q", 2) + b"{x", "header is not JSON"),
        (struct.pack("<Q", 40) + b"{" + b'"a":' * 9 + b"[[[", "header is not JSON"),
    ],
)
def test_other_files(tmp_path: Path, data: bytes, text: str) -> None:
    (tmp_path / "file").write_bytes(data)
    with pytest.raises(CheckpointError, match=text) as caught:
        read_checkpoint(tmp_path / "file")
    assert "\n" not in str(caught.value)


def test_absent_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no such file: .*nothing"):
        read_checkpoint(tmp_path / "nothing")
    with pytest.raises(CheckpointError, match="is a folder"):
        read_checkpoint(tmp_path)


@pytest.mark.parametrize("keep", [0.3, 0.9, 0.999])
def test_truncated_file(tmp_path: Path, keep: float) -> None:
    path = write(tmp_path / "a")
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * keep)])
    with pytest.raises(CheckpointError, match="is truncated"):
        read_checkpoint(path)


@pytest.mark.parametrize(
    ("entry", "text"),
    [
        (
            {"dtype": "F32", "shape": [10**12], "data_offsets": [0, 8]},
            "needs 4000000000000 bytes, its entry spans 8",
        ),
        (
            {"dtype": "F32", "shape": [10**12], "data_offsets": [0, 4 * 10**12]},
            "is truncated: tensor 't' ends at",
        ),
        ({"dtype": "F32", "shape": [-2], "data_offsets": [0, 8]}, "declares shape"),
        ({"dtype": "F32", "shape": [1.5], "data_offsets": [0, 8]}, "declares shape"),
        ({"dtype": "F32", "shape": [2], "data_offsets": [8, 0]}, "its entry spans -8"),
        ({"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}, "overlap or leave gaps"),
        ({"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}, "4 bytes follow the last tensor"),
        ({"dtype": "C64", "shape": [1], "data_offsets": [0, 8]}, "is of type C64; known: F64"),
        ({"dtype": "F32", "shape": [2]}, "entry of tensor 't' is incomplete"),
        (7, "entry of tensor 't' is incomplete"),
        ({"dtype": [], "shape": [2], "data_offsets": [0, 8]}, "entry of tensor 't' is incomplete"),
    ],
)
def test_sizes_that_lie(tmp_path: Path, entry: Any, text: str) -> None:
    path = forge(tmp_path / "a", {"__metadata__": META, "t": entry}, bytes(8))
    with pytest.raises(CheckpointError, match=text):
        read_checkpoint(path)


@pytest.mark.parametrize(
    ("header", "text"),
    [
        ([1, 2], "is not a safetensors file"),
        ({"__metadata__": 3}, "holds no table of text"),
        ({"__metadata__": {"format": 3}}, "holds no table of text"),
        ({"__metadata__": {}}, "safetensors but not of ganinv: it states no format"),
        ({"__metadata__": {"format": "pt"}}, "its format is 'pt'"),
        ({"__metadata__": {"format": "ganinv", "kind": "judge"}}, "its header lacks family, config"),
        ({"__metadata__": META | {"config": "[1]"}}, "config in its header is not a JSON object"),
        ({"__metadata__": META | {"provenance": "{"}}, "provenance in its header is not a JSON object"),
    ],
)
def test_headers_that_lack_something(tmp_path: Path, header: Any, text: str) -> None:
    with pytest.raises(CheckpointError, match=text):
        read_checkpoint(forge(tmp_path / "a", header))


def test_safetensors_of_others(tmp_path: Path) -> None:
    save_file({"w": torch.zeros(2)}, tmp_path / "a.safetensors", metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match="not of ganinv: its format is 'pt'"):
        read_checkpoint(tmp_path / "a.safetensors")


def test_wrong_kind(tmp_path: Path) -> None:
    path = write(tmp_path / "a", kind="inversion")
    with pytest.raises(CheckpointError, match="a holds an inversion; a generator is needed here"):
        read_checkpoint(path, kind="generator")


def test_unwritable(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="it is a folder"):
        write_checkpoint(tmp_path, TENSORS, kind="judge", family="f", config={})
