from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from ganinv import plugins
from ganinv.backbones.base import Backbone
from ganinv.backbones.loading import BundledModel
from ganinv.checkpoints import write_checkpoint
from ganinv.editing import directions as module
from ganinv.editing.directions import (
    Direction,
    apply,
    apply_all,
    load_directions,
    read_directions,
    write_directions,
)
from ganinv.errors import BackboneMismatchError, CheckpointError, UnknownNameError, UsageError


def axis(index: int, rows: int = 1, width: int = 6) -> torch.Tensor:
    return torch.eye(width)[index].repeat(rows, 1)


def test_apply_moves_its_layers_only() -> None:
    ws = torch.zeros(2, 3, 4, 6)
    edited = apply(ws, Direction("age", axis(2), unit=0.5, layers=(1, 3)), 4.0)
    assert not ws.any()
    assert (edited[..., 1:3, 2] == 2).all() and edited.sum() == 2 * 2 * 3 * 2


def test_apply_with_a_row_for_each_layer() -> None:
    vector = torch.eye(6)[[0, 1, 2, 3]]
    edited = apply(torch.zeros(4, 6), Direction("age", vector), -1.0)
    assert torch.equal(edited, -vector)
    assert torch.equal(apply(edited, Direction("age", vector), 1.0), torch.zeros(4, 6))


@pytest.mark.parametrize(
    ("vector", "text"),
    [
        (torch.ones(6), r"a vector of shape \[6\]"),
        (torch.ones(1, 6), "rows of norm 2.449 to 2.449; expected 1"),
        (torch.full((1, 6), float("nan")), "a vector of shape"),
    ],
)
def test_vectors_are_checked(vector: torch.Tensor, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        Direction("age", vector)


@pytest.mark.parametrize(
    ("direction", "text"),
    [
        (
            Direction("age", axis(0, width=8), origin="a.file"),
            "'age' from a.file is for codes of 1 x 8, these are 4 x 6",
        ),
        (
            Direction("age", axis(0, rows=3)),
            "from an unnamed source is for codes of 3 x 6, these are 4 x 6",
        ),
        (Direction("age", axis(0), layers=(0, 9)), "is for layers 0 to 9 and there are 4"),
    ],
)
def test_directions_that_do_not_fit(direction: Direction, text: str) -> None:
    with pytest.raises(CheckpointError, match=text):
        apply(torch.zeros(4, 6), direction, 1.0)


def test_apply_all(fake_backbone: Backbone) -> None:
    known = {
        "age": Direction("age", axis(0)),
        "smile": Direction("smile", axis(1), backbone_sha256="cd" * 32),
    }
    edited = apply_all(torch.zeros(1, 1, 4, 6), [("age", 1.0), ("age", 2.0)], known, fake_backbone)
    assert (edited[..., 0] == 3).all()
    with pytest.raises(
        UnknownNameError, match=r"unknown direction 'agee'; did you mean 'age'. known: age, smile"
    ):
        apply_all(edited, [("agee", 1.0)], known, fake_backbone)
    with pytest.raises(
        BackboneMismatchError, match="direction 'smile' belongs to a backbone with digest cdcdcdcdcdcd"
    ):
        apply_all(edited, [("smile", 1.0)], known, fake_backbone)


def test_files(tmp_path: Path) -> None:
    path = tmp_path / "d.safetensors"
    one = Direction("age", axis(0), 0.5, (1, 3), "ab" * 32, about="older")
    write_directions(path, [one, Direction("yaw", axis(1, rows=4))], provenance={"seed": 1})
    found = read_directions(path)
    assert set(found) == {"age", "yaw"} and torch.equal(found["age"].vector, one.vector)
    assert replace(found["age"], vector=one.vector).__dict__ == replace(one, origin="d.safetensors").__dict__
    assert found["yaw"].layers is None and found["yaw"].backbone_sha256 is None
    with pytest.raises(UsageError, match="two directions of one name cannot go into"):
        write_directions(path, [one, one])


def test_damaged_files(tmp_path: Path) -> None:
    path = tmp_path / "d"
    write_checkpoint(path, {"age": axis(0)}, kind="directions", family="directions", config={})
    with pytest.raises(CheckpointError, match="its header and its vectors name different directions"):
        read_directions(path)
    for entry in ({}, {"unit": "x"}, {"unit": 1, "layers": [1]}, 3):
        write_checkpoint(
            path, {"age": axis(0)}, kind="directions", family="directions", config={"age": entry}
        )
        with pytest.raises(CheckpointError, match="is damaged"):
            read_directions(path)
    write_checkpoint(
        path, {"age": axis(0) * 3}, kind="directions", family="directions", config={"age": {"unit": 1}}
    )
    with pytest.raises(CheckpointError, match="rows of norm 3 to 3; expected 1"):
        read_directions(path)
    write_checkpoint(path, {}, kind="judge", family="f", config={})
    with pytest.raises(CheckpointError, match="holds a judge; directions are needed here"):
        read_directions(path)


def test_load_directions(
    tmp_path: Path,
    fake_backbone: Backbone,
    monkeypatch: pytest.MonkeyPatch,
    forget_plugins: Callable[[], None],
) -> None:
    own = Direction("age", axis(0), backbone_sha256=fake_backbone.sha256)
    foreign = Direction("alien", axis(0), backbone_sha256="cd" * 32)
    write_directions(tmp_path / "own.safetensors", [own, foreign])
    bundled = [BundledModel("own", "directions", tmp_path / "own.safetensors")]
    monkeypatch.setattr(module, "bundled_models", lambda: bundled)
    (tmp_path / "direction_plugin.py").write_text(
        "import torch\nfrom pathlib import Path\nfrom ganinv.parts import Direction\n"
        "def listed():\n"
        "    eye = torch.eye(6)\n"
        "    wide = Direction('wide', torch.eye(9)[:1])\n"
        "    return [Direction('age', eye[1:2]), wide, Direction('yaw', eye[2:3])]\n"
        "def filed():\n    return Path(__file__).parent / 'own.safetensors'\n"
        "def fails():\n    raise RuntimeError('no')\n"
        "def absent():\n    return 'no_such_file'\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    names = ",".join(f"directions/{name}=direction_plugin:{name}" for name in ("listed", "fails", "absent"))
    monkeypatch.setenv(plugins.VARIABLE, names)
    found = load_directions(fake_backbone)
    assert set(found) == {"age", "listed/age", "yaw"}
    assert torch.equal(found["age"].vector, own.vector) and found["age"].origin == "own.safetensors"
    assert found["listed/age"].name == "listed/age" and "direction_plugin:listed" in found["yaw"].origin


def test_no_directions_for_another_backbone(fake_backbone: Backbone) -> None:
    fake_backbone.sha256 = "00" * 32
    with pytest.raises(UnknownNameError, match="unknown direction 'age'; no direction is known here"):
        apply_all(torch.zeros(1, 1, 4, 6), [("age", 1.0)], load_directions(fake_backbone), fake_backbone)
