"""Directions by name, by file, and computed: what people type and what they get."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from ganinv import plugins
from ganinv.backbones.base import Backbone
from ganinv.backbones.loading import BundledModel
from ganinv.editing import directions as module
from ganinv.editing.directions import apply_edits, load_direction, load_directions
from ganinv.editing.edits import Direction
from ganinv.editing.manifest import write_directions
from ganinv.editing.store import keep_direction
from ganinv.errors import BackboneMismatchError, CheckpointError, UnknownNameError, UsageError
from ganinv.inversion import Inversion


def axis(index: int, width: int = 6) -> torch.Tensor:
    return torch.eye(width)[index : index + 1]


@pytest.fixture
def bundled(tmp_path: Path, fake_backbone: Backbone, monkeypatch: pytest.MonkeyPatch) -> Direction:
    """A bundled direction "age" of the fake backbone; "alien", of another one, is bundled too."""
    own = Direction("age", axis(0), backbone_sha256=fake_backbone.sha256, origin="fitted")
    foreign = Direction("alien", axis(0), backbone_sha256="cd" * 32)
    path = tmp_path / "own.safetensors"
    write_directions(path, [own, foreign])
    monkeypatch.setattr(module, "bundled_models", lambda: [BundledModel("own", "directions", path)])
    return own


def test_load_directions(
    tmp_path: Path,
    fake_backbone: Backbone,
    bundled: Direction,
    monkeypatch: pytest.MonkeyPatch,
    forget_plugins: Callable[[], None],
) -> None:
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
    keep_direction("age", Direction("any", axis(3)))
    keep_direction("mine", Direction("any", axis(4)))
    keep_direction("wider", Direction("any", axis(4, 9)))
    found = load_directions(fake_backbone)
    assert list(found) == ["age", "store/age", "mine", "listed/age", "yaw"]
    assert all(edit.name == name for name, edit in found.items())
    ages = [found[name] for name in ("age", "store/age", "listed/age")]
    assert [int(edit.tensors()["vector"].argmax()) for edit in ages] == [0, 3, 1]
    assert found["age"].origin == "fitted" and "direction_plugin:listed" in found["yaw"].origin
    assert list(load_directions(fake_backbone, stored=False)) == ["age", "listed/age", "yaw"]


def test_apply_edits(inversion: Inversion, fake_backbone: Backbone, bundled: Direction) -> None:
    other = Direction("smile", axis(1))
    edited = apply_edits(inversion, [("age", 1.0), (other, 2.0), ("age", 2.0)], fake_backbone)
    expected = inversion.ws.clone()
    expected[..., 0] += 3
    expected[..., 1] += 2
    torch.testing.assert_close(edited.ws, expected)
    assert edited.features == inversion.features and edited.seeds == inversion.seeds
    with pytest.raises(
        UnknownNameError, match=r"unknown direction 'agee'; did you mean 'age'. known: age. Or give a file"
    ):
        apply_edits(inversion, [("agee", 1.0)], fake_backbone)
    with pytest.raises(
        BackboneMismatchError, match="direction 'smile' belongs to a backbone with digest cdcd"
    ):
        apply_edits(inversion, [(Direction("smile", axis(1), backbone_sha256="cd" * 32), 1.0)], fake_backbone)


def test_a_stored_direction_of_another_backbone_says_so(fake_backbone: Backbone) -> None:
    keep_direction("wide", Direction("any", axis(0, 9), origin="wide.pt"))
    with pytest.raises(CheckpointError, match=r"'wide' from wide.pt is for codes of 1 x 9, these are 4 x 6"):
        load_direction("wide", fake_backbone)
    fake_backbone.sha256 = "00" * 32
    with pytest.raises(UnknownNameError, match="unknown direction 'age'; no direction is known here"):
        load_direction("age", fake_backbone)


def test_files_and_layers(tmp_path: Path, fake_backbone: Backbone, bundled: Direction) -> None:
    torch.save(axis(2), tmp_path / "tall.pt")
    found = load_direction(f"{tmp_path}/tall.pt:1-2", fake_backbone)
    assert found.layers == (1, 3) and found.name.endswith("tall.pt:1-2") and found.origin == "tall.pt"
    assert load_direction("age:0-0", fake_backbone).layers == (0, 1)
    assert load_direction(f"{tmp_path}/tall.pt").layers is None  # no backbone needed
    one, several = tmp_path / "one.safetensors", tmp_path / "own.safetensors"
    write_directions(one, [Direction("yaw", axis(1), unit=-2.0)])
    assert load_direction(str(one), fake_backbone).unit == -2.0
    assert load_direction(f"{several}:age", fake_backbone).about == bundled.about
    tree = {"mean": torch.ones(1, 6), "comp": torch.eye(6)[:, None], "std": torch.arange(1.0, 7.0)}
    torch.save(tree, tmp_path / "pca.pt")
    component = load_direction(f"{tmp_path}/pca.pt:2:0-1", fake_backbone)
    assert (component.form, component.unit, component.layers) == ("coordinate", 3.0, (0, 2))


@pytest.mark.parametrize(
    ("source", "error", "text"),
    [
        ("age:3-1", UsageError, "layers 3-1 run backwards; type 1-3"),
        ("age:0-4", CheckpointError, "is for layers up to 4, and these codes have 0 to 3"),
        ("tall.pt:1", UsageError, "is no GANSpace file and holds one direction: drop ':1'"),
        ("tall.pt:x", UsageError, "tall.pt:x is not understood; a component is a number: tall.pt:0"),
        (
            "own.safetensors",
            UsageError,
            "holds several directions; type own.safetensors:NAME, one of age, alien",
        ),
        ("own.safetensors:alien", BackboneMismatchError, "direction 'own.safetensors:alien' belongs to"),
        ("own.safetensors:aeg", UnknownNameError, "did you mean 'age'"),
        ("absent.npy", CheckpointError, "no such file: absent.npy"),
        ("sefa:x", UsageError, "'sefa:x' is not understood; type sefa:0, sefa:0:4-7, style:6:501"),
        ("style:3", UsageError, "'style:3' is not understood"),
        ("style:3:1:2-3", UsageError, "a style edit names its layers itself"),
    ],
)
def test_refusals(
    source: str,
    error: type[Exception],
    text: str,
    tmp_path: Path,
    fake_backbone: Backbone,
    bundled: Direction,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save(axis(2), "tall.pt")
    with pytest.raises(error, match=text):
        load_direction(source, fake_backbone)


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("age", "'age' is no direction file; known: an InterFaceGAN boundary"),
        ("sefa:0", "'sefa:0' is computed from a generator: type --backbone as well"),
        ("style:0:1", "is computed from a generator"),
    ],
)
def test_without_a_backbone(source: str, text: str) -> None:
    with pytest.raises(UsageError, match=text):
        load_direction(source)


def test_computed_ones(tiny_backbone: Any) -> None:
    backbone = tiny_backbone.backbone
    found = load_direction("sefa:1:2-3", backbone)
    assert (found.name, found.layers, found.backbone_sha256) == ("sefa:1:2-3", (2, 4), backbone.sha256)
    assert load_direction("style:0:1,3:2", backbone).form == "styles"
