"""Other people's direction files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from ganinv.backbones.base import Backbone
from ganinv.editing.edits import CodeEdit, Coordinate, Direction
from ganinv.editing.foreign import read_foreign_edit
from ganinv.editing.mapper import Mapper
from ganinv.errors import CheckpointError, UsageError


def code_edit(path: Path, *arguments: Any) -> CodeEdit:
    found = read_foreign_edit(path, *arguments)
    assert isinstance(found, CodeEdit)
    return found


# ---- InterFaceGAN


def test_interfacegan_fixtures(shared: Path) -> None:
    folder = shared / "fixtures" / "parity"
    group = json.loads((folder / "directions" / "directions.json").read_text())
    tensors = load_file(folder / "directions" / "directions.safetensors")
    cases = [case for case in group["cases"] if case["kind"] == "latent_edit"]
    assert cases
    for case in cases:
        direction = code_edit(folder / case["files"]["direction"])
        w = tensors[case["inputs"]["w"]].float()
        edited = direction.move(w, case["args"]["factor"])
        expected = tensors[case["expected"]["w"]]
        torch.testing.assert_close(edited, expected, **{k: case["tol"][k] for k in ("atol", "rtol")})


def test_pose_has_one_row_in_truth(shared: Path) -> None:
    pose = code_edit(shared / "fixtures" / "parity" / "directions" / "pose.pt")
    assert isinstance(pose, Direction) and pose.vector.shape == (1, 512) and pose.space == "w"


def test_boundaries_of_older_generators_are_refused(tmp_path: Path) -> None:
    row = np.eye(1, 8)
    for name, model in (
        ("stylegan_ffhq_age_w_boundary.npy", "StyleGAN1"),
        ("stylegan_celebahq_smile_boundary.npy", "StyleGAN1"),
        ("stylegan_ffhq_age_c_gender_w_boundary.npy", "StyleGAN1"),
        ("pggan_celebahq_age_boundary.npy", "PGGAN"),
    ):
        np.save(tmp_path / name, row)
        text = (
            f"{name} is a boundary of {model}, whose codes are another space: use one made for this backbone"
        )
        with pytest.raises(CheckpointError, match=text):
            read_foreign_edit(tmp_path / name)
    np.save(tmp_path / "stylegan2_cat_tall_boundary.npy", row)
    assert code_edit(tmp_path / "stylegan2_cat_tall_boundary.npy").tensors()["vector"].dtype == torch.float32


def test_widths_that_do_not_fit_are_refused(tmp_path: Path, fake_backbone: Backbone) -> None:
    np.save(tmp_path / "age.npy", np.eye(1, 8))
    with pytest.raises(CheckpointError, match=r"age.npy is for codes of 1 x 8, this backbone has 4 x 6"):
        read_foreign_edit(tmp_path / "age.npy", None, fake_backbone)
    torch.save(torch.eye(6)[None, :3], tmp_path / "rows.pt")
    with pytest.raises(CheckpointError, match=r"rows.pt is for codes of 3 x 6, this backbone has 4 x 6"):
        read_foreign_edit(tmp_path / "rows.pt", None, fake_backbone)


def test_files_that_are_no_directions(tmp_path: Path) -> None:
    contents = {
        "counts.pt": (
            torch.ones(1, 8, dtype=torch.int64),
            "is no InterFaceGAN boundary: it holds torch.int64",
        ),
        "nothing.pt": (torch.zeros(1, 8), "is no InterFaceGAN boundary: direction 'nothing': a unit of 0"),
        "odd.pt": ({"weights": torch.ones(2)}, "holds no direction; known: an InterFaceGAN boundary"),
        "lists.pt": ([[1.0], [2.0]], "holds no direction; known"),
        "pca.pt": ({"mean": torch.ones(1, 8), "comp": 1, "std": 2}, "is no GANSpace file: expected tensors"),
        "pca2.pt": (
            {"mean": torch.ones(1, 8), "comp": torch.ones(3, 1, 7), "std": torch.ones(3)},
            "is damaged: mean, comp and std do not belong together",
        ),
    }
    for name, (content, text) in contents.items():
        torch.save(content, tmp_path / name)
        with pytest.raises(CheckpointError, match=text):
            read_foreign_edit(tmp_path / name, 0 if name.startswith("pca") else None)


def test_a_vector_that_is_not_normalised_keeps_its_length(tmp_path: Path) -> None:
    rows = torch.randn(18, 512, generator=torch.Generator().manual_seed(0))
    for value in (rows[:1], rows[None]):
        torch.save(value, tmp_path / "raw.pt")
        edit = read_foreign_edit(tmp_path / "raw.pt")
        assert isinstance(edit, Direction)
        torch.testing.assert_close(
            edit.move(torch.zeros(18, 512), 2.0), 2 * value.reshape(-1, 512).expand(18, 512)
        )


# ---- SFE


def test_all_layers_in_one_row(tmp_path: Path) -> None:
    rows = torch.randn(18, 512, generator=torch.Generator().manual_seed(0)).double()
    rows /= rows.norm()
    np.save(tmp_path / "fringe.npy", rows.reshape(1, -1).numpy())

    class Wide:
        num_ws, w_dim, sha256, family = 18, 512, "ab" * 32, "stylegan2"

    backbone: Any = Wide()
    found = code_edit(tmp_path / "fringe.npy", None, backbone)
    assert found.space == "w+"
    torch.testing.assert_close(found.move(torch.zeros(18, 512), 10.0), 10 * rows.float())
    with pytest.raises(
        UsageError, match=r"holds the rows of all layers in one, 9216 numbers: type --backbone"
    ):
        read_foreign_edit(tmp_path / "fringe.npy")
    backbone.num_ws = 14
    with pytest.raises(CheckpointError, match="is for codes of 18 x 512, this backbone has 14 x 512"):
        read_foreign_edit(tmp_path / "fringe.npy", None, backbone)


# ---- GANSpace


@pytest.fixture
def ganspace(tmp_path: Path) -> Path:
    """Four components of width 8 in a storage of another order, as the published files have them."""
    basis = torch.linalg.qr(torch.randn(8, 8, generator=torch.Generator().manual_seed(1))).Q
    comp = basis.contiguous()[:, :4].T[:, None]
    assert not comp.is_contiguous()
    tree = {"mean": torch.arange(8.0)[None], "comp": comp, "std": torch.tensor([4.0, 3.0, 2.0, 1.0])}
    torch.save(tree, tmp_path / "ffhq_pca.pt")
    return tmp_path / "ffhq_pca.pt"


def test_ganspace_goes_to_an_absolute_coordinate(ganspace: Path) -> None:
    tree = torch.load(ganspace, weights_only=True)
    ws = torch.randn(3, 1, 8, generator=torch.Generator().manual_seed(2)).repeat(1, 5, 1)
    found = code_edit(ganspace, 2)
    assert isinstance(found, Coordinate) and found.origin == "ffhq_pca.pt, component 2"
    moved = found.move(ws, -20.0)
    # (strength - coordinate) * std * comp, the coordinate being that of row 0 in deviations
    comp, std = tree["comp"][2, 0], tree["std"][2]
    coordinate = (ws[:, 0] - tree["mean"][0]) @ comp / std
    expected = ws + ((-20.0 - coordinate) * std)[:, None, None] * comp
    torch.testing.assert_close(moved, expected)
    torch.testing.assert_close((moved[:, 0] - tree["mean"][0]) @ comp / std, torch.full((3,), -20.0))


def test_a_ganspace_file_needs_a_component(ganspace: Path) -> None:
    text = r"holds GANSpace components 0 to 3; name one of them: type ffhq_pca.pt:0, or ffhq_pca.pt:0:4-7"
    with pytest.raises(UsageError, match=text):
        read_foreign_edit(ganspace)
    with pytest.raises(UsageError, match="0 to 3; 4 is none of them"):
        read_foreign_edit(ganspace, 4)


# ---- StyleCLIP


def mapper_state(prefix: str, groups: tuple[str, ...] = ("course", "medium", "fine")) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(3)
    return {
        f"{prefix}{group}_mapping.mapping.{i}.{kind}": 100 * torch.randn(shape, generator=generator)
        for group in groups
        for i in range(1, 5)  # 0 is the normalisation, without weights
        for kind, shape in (("weight", (6, 6)), ("bias", (6,)))
    }


def test_styleclip_mappers_wrapped_and_bare(tmp_path: Path) -> None:
    decoder = {"decoder.conv1.weight": torch.ones(2)}
    torch.save(
        {"state_dict": mapper_state("mapper.") | decoder, "opts": {"no_fine": False}}, tmp_path / "a.pt"
    )
    torch.save(mapper_state(""), tmp_path / "b.pt")
    wrapped, bare = code_edit(tmp_path / "a.pt"), code_edit(tmp_path / "b.pt")
    assert isinstance(wrapped, Mapper) and wrapped.unit == 0.1
    assert torch.equal(wrapped.weights["coarse.0.bias"], mapper_state("")["course_mapping.mapping.1.bias"])
    assert torch.equal(wrapped.weights["fine.3.weight"], mapper_state("")["fine_mapping.mapping.4.weight"])
    ws = torch.randn(2, 10, 6, generator=torch.Generator().manual_seed(4))
    assert torch.equal(wrapped.move(ws, 1.5), bare.move(ws, 1.5))


def test_mappers_that_are_not_whole_are_refused(tmp_path: Path) -> None:
    state = mapper_state("")
    del state["medium_mapping.mapping.2.bias"]
    torch.save(state, tmp_path / "a.pt")
    with pytest.raises(
        CheckpointError, match=r"a.pt is no StyleCLIP mapper that ganinv knows: .* 23 weights"
    ):
        read_foreign_edit(tmp_path / "a.pt")
