"""The reader of foreign files: what it reads, bit for bit, and that nothing hostile gets through."""

from __future__ import annotations

import argparse
import importlib.util
import pickle
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ganinv.checkpoints.restricted import PersistentModule, read_foreign
from ganinv.errors import CheckpointError

ROOT = Path(__file__).resolve().parents[3]

# Pieces of pickles: what attackers call, what readers of checkpoints must know, and what holds them together.
GLOBALS = [
    b"os\nsystem\n", b"posix\nsystem\n", b"builtins\nexec\n", b"builtins\neval\n", b"builtins\ngetattr\n",
    b"__builtin__\nopen\n", b"torch\nload\n", b"torch.hub\nload\n", b"collections\nOrderedDict\n",
    b"torch._utils\n_rebuild_tensor_v2\n", b"torch\nFloatStorage\n", b"argparse\nNamespace\n",
    b"torch_utils.persistence\n_reconstruct_persistent_obj\n", b"numpy.core.multiarray\n_reconstruct\n",
]  # fmt: skip
VALUES = [
    b"N",
    b"K\x02",
    b"J\xff\xff\xff\x7f",
    b"\x88",
    b"G\x40\x00\x00\x00\x00\x00\x00\x00",
    b")",
    b"]",
    b"}",
    b"\x8f",
]
OPCODES = [bytes([op]) for op in b"(tRbaesudl0112QoR\x81\x85\x86\x87\x90\x91\x92\x93\x94.R"]
MEMO = [b"q\x00", b"q\x01", b"h\x00", b"h\x01", b"r\xff\xff\xff\x7f", b"j\x05\x00\x00\x00"]


@pytest.fixture(scope="module")
def attacks() -> ModuleType:
    spec = importlib.util.spec_from_file_location("attacks", ROOT / "scripts" / "attack_checkpoints.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def same(found: Any, expected: Any) -> None:
    """Equal in structure, types and every bit; a Namespace is expected as a dict."""
    if isinstance(expected, argparse.Namespace):
        expected = vars(expected)
    if isinstance(expected, torch.Tensor):
        assert found.dtype == expected.dtype and torch.equal(found, expected.detach())
    elif isinstance(expected, dict):
        assert type(found) is dict and list(found) == list(expected)
        for key, value in expected.items():
            same(found[key], value)
    elif isinstance(expected, list | tuple):
        assert type(found) is type(expected) and len(found) == len(expected)
        for a, b in zip(found, expected, strict=True):
            same(a, b)
    else:
        assert found == expected and type(found) is type(expected)


@pytest.mark.parametrize("new", [True, False], ids=["zip", "older"])
def test_torch_containers(tmp_path: Path, new: bool) -> None:
    shared = torch.arange(12.0)
    content = {
        "all": shared, "part": shared[3:9].reshape(2, 3), "turned": shared.reshape(3, 4).t(),
        "expanded": torch.ones(1, 5).expand(3, 5), "empty": torch.zeros(0, 4), "scalar": torch.tensor(2.5),
        "kinds": [torch.ones(2, dtype=d) for d in (torch.float16, torch.bfloat16, torch.int64, torch.bool)],
        "parameter": torch.nn.Parameter(torch.ones(3)), "args": argparse.Namespace(size=64, tags=("a", None)),
        "module": torch.nn.Linear(2, 3).state_dict(), "plain": [1, -2.5, "ü", b"x", True, {"k": 10**25}],
    }  # fmt: skip
    torch.save(content, tmp_path / "file.pt", _use_new_zipfile_serialization=new)
    found = read_foreign(tmp_path / "file.pt")
    same(found, {**content, "parameter": content["parameter"].data, "module": dict(content["module"])})
    found["all"][3] = -1.0
    assert found["part"][0, 0] == -1.0  # storages are shared as in the file


@pytest.mark.parametrize("protocol", range(6))
def test_plain_pickles(tmp_path: Path, protocol: int) -> None:
    content = {"a": [1, 70_000, -3, 2.5, None, True, "text", (), (1,), (1, 2, 3, 4)], "b": {"c": {}}}
    (tmp_path / "file.pkl").write_bytes(pickle.dumps(content, protocol))
    same(read_foreign(tmp_path / "file.pkl"), content)


def test_numpy_in_a_pickle_and_alone(tmp_path: Path) -> None:
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    content = {"array": array, "turned": np.asfortranarray(array), "scalar": np.float64(0.5)}
    for protocol in (2, 4, 5):
        (tmp_path / "file.pkl").write_bytes(pickle.dumps(content, protocol))
        found = read_foreign(tmp_path / "file.pkl")
        assert torch.equal(found["array"], torch.from_numpy(array)) and found["scalar"] == 0.5
        assert torch.equal(found["turned"], torch.from_numpy(array))
    np.save(tmp_path / "alone.npy", array)
    assert torch.equal(read_foreign(tmp_path / "alone.npy"), torch.from_numpy(array))
    np.save(tmp_path / "objects.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(CheckpointError, match="no plain numpy array"):
        read_foreign(tmp_path / "objects.npy")


@pytest.mark.parametrize("folder", ["rosinality", "encoders", "directions"])
def test_files_of_others_equal_what_torch_reads(shared: Path, folder: str) -> None:
    files = sorted((shared / "fixtures" / "parity" / folder).glob("*.pt"))
    assert files
    for path in files:
        with torch.serialization.safe_globals([argparse.Namespace]):
            same(read_foreign(path), torch.load(path, map_location="cpu", weights_only=True))


def test_nvidia_snapshots_are_read_without_their_source(shared: Path) -> None:
    files = sorted((shared / "fixtures" / "parity" / "nvidia").glob("*.pkl"))
    assert len(files) > 8
    for path in files:
        network = read_foreign(path)["G_ema"]
        assert isinstance(network, PersistentModule) and network.class_name == "Generator"
        assert "module_src" not in network.state and "mapping.w_avg" in network.tensors()
    old, new = (
        read_foreign(p)["G_ema"].tensors() for p in files if p.stem in ("ada_skip_64", "ada_skip_64_t17p3")
    )
    same(old, new)


def test_a_foreign_global_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    torch.save({"net": torch.nn.Linear(2, 2)}, path)
    with pytest.raises(
        CheckpointError, match=r"model\.pt is refused: it asks for torch\.nn\.modules\.linear\.Linear"
    ):
        read_foreign(path)


def test_absent_and_odd_files(tmp_path: Path) -> None:
    for path, text in ((tmp_path / "no.pt", "no such file"), (tmp_path, "is a folder")):
        with pytest.raises(CheckpointError, match=text):
            read_foreign(path)


def test_hand_made_attacks(attacks: ModuleType, tmp_path: Path) -> None:
    canary, path = tmp_path / "canary", tmp_path / "case.pt"
    harmless = {"embedded source", "deep list", "memo bomb", "TorchScript"}  # data that nobody runs
    for name, data in attacks.hand_made(canary):
        path.write_bytes(data)
        result = attacks.outcome(path)
        assert not canary.exists(), name
        assert (result == "data") == (name in harmless), (name, result)


@pytest.mark.timeout(120)
def test_mutated_files(attacks: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "case.pt"
    for _, data in attacks.mutations(500, 1, None):
        path.write_bytes(data)
        attacks.outcome(path)


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_any_program_of_pickle_opcodes(attacks: ModuleType, data: st.DataObject, canary_folder: Path) -> None:
    canary, path = canary_folder / "canary", canary_folder / "case.pkl"
    command = f"touch {canary}".encode()
    texts = [
        b"\x8c" + bytes([len(text)]) + text for text in (command, b"os", b"system", b"data", b"__class__")
    ]
    call = b"c" + b"os\nsystem\n" + b"(" + texts[0] + b"tR"
    pieces = st.sampled_from([*(b"c" + name for name in GLOBALS), *texts, *VALUES, *OPCODES, *MEMO, call])
    path.write_bytes(b"\x80\x04" + b"".join(data.draw(st.lists(pieces, max_size=40))) + b".")
    attacks.outcome(path)  # data, or one clear line
    assert not canary.exists()


@pytest.fixture(scope="module")
def canary_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("programs")
