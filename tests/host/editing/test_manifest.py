"""Files of directions: one format for every kind of edit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from ganinv.backbones.loading import BUNDLED
from ganinv.checkpoints import write_checkpoint
from ganinv.checkpoints.store import describe
from ganinv.editing.edits import Coordinate, Direction, Edit
from ganinv.editing.manifest import manifest, read_directions, write_directions
from ganinv.editing.mapper import Mapper
from ganinv.editing.style_shift import StyleShift
from ganinv.errors import CheckpointError, UsageError

AXIS = torch.eye(6)[:1]
FACTS: dict[str, Any] = {
    "unit": 0.5,
    "backbone_sha256": "ab" * 32,
    "safe_range": (-2.0, 3.0),
    "licence": "MIT",
    "origin": "age.pt",
    "about": "older",
}
ENTRY = {"form": "linear", "layers": None} | FACTS


def test_every_kind_comes_back(tmp_path: Path) -> None:
    square, row = torch.eye(6), torch.ones(6)
    mapper = {f"fine.{i}.{kind}": t for i in range(4) for kind, t in (("weight", square), ("bias", row))}
    edits: list[Edit] = [
        Direction("age", AXIS, layers=(1, 3), **FACTS),
        Coordinate("eyes", AXIS, torch.arange(6.0), layers=(0, 1), **FACTS),
        Mapper("hair", mapper, **FACTS),
        StyleShift("store/lips", {"synthesis.b8.conv0.affine": row}, **FACTS),
    ]
    path = tmp_path / "d.safetensors"
    digest = write_directions(path, edits, provenance={"seed": 1})
    found = read_directions(path)
    assert list(found) == ["age", "eyes", "hair", "store/lips"]
    for edit in edits:
        again = found[edit.name]
        assert type(again) is type(edit) and manifest(again) == manifest(edit)
        assert again.tensors().keys() == edit.tensors().keys()
        assert all(torch.equal(tensor, edit.tensors()[part]) for part, tensor in again.tensors().items())
    assert digest == write_directions(tmp_path / "again", found.values(), provenance={"seed": 1})
    assert manifest(edits[0]) == {
        "form": "linear",
        "space": "w+",
        "layers": [1, 3],
        **FACTS,
        "safe_range": [-2.0, 3.0],
    }


def test_facts_that_are_not_told(tmp_path: Path) -> None:
    write_directions(tmp_path / "d.safetensors", [Direction("age", AXIS)])
    found = read_directions(tmp_path / "d.safetensors")["age"]
    assert (found.layers, found.backbone_sha256, found.safe_range, found.licence) == (None, None, None, "")
    assert found.origin == "d.safetensors"


def test_two_of_one_name(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="two directions of one name cannot go into"):
        write_directions(tmp_path / "d", [Direction("age", AXIS), Direction("age", AXIS)])


@pytest.mark.parametrize(
    "change",
    [
        {"form": "round"},
        {"form": "coordinate"},
        {"form": "mapper"},
        {"unit": "x"},
        {"unit": 0},
        {"layers": [1]},
        {"layers": [2, 1]},
        {"safe_range": [1]},
        {"safe_range": 3},
    ],
)
def test_damaged_manifests(tmp_path: Path, change: dict[str, object]) -> None:
    path = tmp_path / "d"
    config = {"age": ENTRY | change}
    write_checkpoint(path, {"age/vector": AXIS}, kind="directions", family="directions", config=config)
    with pytest.raises(CheckpointError, match="is damaged"):
        read_directions(path)


def test_damaged_files(tmp_path: Path) -> None:
    path = tmp_path / "d"
    cases: list[tuple[dict[str, torch.Tensor], dict[str, Any], str]] = [
        ({"age/vector": AXIS}, {}, "its header and its tensors name different directions"),
        ({"age": AXIS}, {"age": ENTRY}, "its header and its tensors name different directions"),
        ({"age/vector": AXIS}, {"age": {}}, "is damaged: 'layers'"),
        ({"age/vector": AXIS}, {"age": 3}, "is damaged"),
        ({"age/vector": AXIS * 3}, {"age": ENTRY}, "rows of norm 3 to 3; expected 1"),
    ]
    for tensors, config, text in cases:
        write_checkpoint(path, tensors, kind="directions", family="directions", config=config)
        with pytest.raises(CheckpointError, match=text):
            read_directions(path)
    write_checkpoint(path, {}, kind="judge", family="f", config={})
    with pytest.raises(CheckpointError, match="holds a judge; directions are needed here"):
        read_directions(path)


def test_the_bundled_file() -> None:
    path = BUNDLED / "portraits-64-directions.safetensors"
    if not path.is_file():
        pytest.skip("weights not in this checkout")
    found = read_directions(path)
    assert {"age", "glasses", "smile", "yaw"} <= set(found)
    for name, edit in found.items():
        assert edit.safe_range == (-3.0, 3.0) and edit.licence == "Apache-2.0" and edit.about, name
    assert describe(path).provenance["script"] == "scripts/fit_directions.py"
