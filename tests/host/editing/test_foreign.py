"""Other people's direction files."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from ganinv.editing.directions import apply
from ganinv.editing.foreign import read_ganspace, read_interfacegan
from ganinv.errors import CheckpointError


def test_interfacegan_fixtures(shared: Path) -> None:
    folder = shared / "fixtures" / "parity"
    group = json.loads((folder / "directions" / "directions.json").read_text())
    tensors = load_file(folder / "directions" / "directions.safetensors")
    cases = [case for case in group["cases"] if case["kind"] == "latent_edit"]
    assert cases
    for case in cases:
        file = folder / case["files"]["direction"]
        w = tensors[case["inputs"]["w"]].float()
        direction = read_interfacegan(file, num_ws=w.shape[-2], w_dim=w.shape[-1])
        edited = apply(w, direction, case["args"]["factor"])
        expected = tensors[case["expected"]["w"]]
        torch.testing.assert_close(edited, expected, **{k: case["tol"][k] for k in ("atol", "rtol")})


def test_boundaries_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    row = np.eye(1, 8)
    np.save(tmp_path / "stylegan_ffhq_age_w_boundary.npy", row)
    np.save(tmp_path / "age.npy", row)
    with pytest.raises(CheckpointError, match="StyleGAN1"):
        read_interfacegan(tmp_path / "stylegan_ffhq_age_w_boundary.npy", num_ws=4, w_dim=8)
    with pytest.raises(CheckpointError, match="1 x 8, this backbone has 4 x 16"):
        read_interfacegan(tmp_path / "age.npy", num_ws=4, w_dim=16)
    assert read_interfacegan(tmp_path / "age.npy", num_ws=4, w_dim=8).vector.dtype == torch.float32


def test_ganspace_goes_to_an_absolute_coordinate(tmp_path: Path) -> None:
    tree = {"mean": torch.ones(1, 8), "comp": torch.eye(8)[:3, None], "std": torch.tensor([2.0, 3.0, 4.0])}
    torch.save(tree, tmp_path / "pca.pt")
    components = read_ganspace(tmp_path / "pca.pt")
    ws = torch.randn(2, 1, 8).repeat(1, 4, 1)
    moved = components.move(ws, 1, (1, 3), 5.0)
    torch.testing.assert_close((moved[:, 1:3, 1] - 1) / 3, torch.full((2, 2), 5.0))
    assert torch.equal(moved[:, [0, 3]], ws[:, [0, 3]])
    with pytest.raises(CheckpointError, match="component 3 of 3"):
        components.move(ws, 3, (0, 1), 1.0)
