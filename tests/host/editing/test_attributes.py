"""The CSV that directions are fitted to, and the samples that are drawn to be labelled."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from ganinv.backbones.base import Backbone
from ganinv.editing.attributes import codes_of_seeds, read_attributes, write_samples
from ganinv.editing.fit import fit_directions
from ganinv.errors import BackboneMismatchError, CheckpointError, InputError, UsageError
from ganinv.images import to_uint8
from ganinv.inversion import Inversion


def table(folder: Path, *lines: str) -> Path:
    path = folder / "table.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


# ---- samples


def test_samples_are_the_pictures_of_their_seeds(tmp_path: Path, tiny_backbone: Any) -> None:
    backbone = tiny_backbone.backbone
    paths = list(write_samples(tmp_path / "out", backbone, 10, 5))
    assert [path.name for path in paths] == [*(f"{i:06d}.png" for i in range(10)), "samples.csv"]
    lines = paths[-1].read_text().splitlines()
    assert lines[:3] == ["file,seed", "000000.png,5", "000001.png,6"] and len(lines) == 11
    codes = codes_of_seeds(backbone, [9])
    with Image.open(paths[4]) as image:
        assert np.array_equal(np.asarray(image), to_uint8(backbone.synthesize(codes).images)[0])
    longer = list(write_samples(tmp_path / "longer", backbone, 12, 5))
    assert longer[9].read_bytes() == paths[9].read_bytes()


@pytest.mark.parametrize(
    ("count", "seed", "text"),
    [(0, 0, "--count 0: give 1 to 1000000"), (1, -1, "--seed -1"), (9, 2**53, "--seed")],
)
def test_impossible_samples(count: int, seed: int, text: str, tiny_backbone: Any, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=text):
        list(write_samples(tmp_path, tiny_backbone.backbone, count, seed))


# ---- rows by seed


def test_rows_by_seed(tmp_path: Path, tiny_backbone: Any) -> None:
    backbone = tiny_backbone.backbone
    path = table(
        tmp_path,
        "\ufefffile, seed,smile,hair style,notes",
        "000000.png,0,1.5,3,",
        "",
        "000001.png,1,,4,odd",
        "000007.png,7,-1e-1,5,",
    )
    found = read_attributes(path, backbone)
    torch.testing.assert_close(found.codes, codes_of_seeds(backbone, [0, 1, 7])[:, 0])
    assert list(found.attributes) == ["smile", "hair style"]
    smile = found.attributes["smile"].tolist()
    assert smile[0] == 1.5 and math.isnan(smile[1]) and smile[2] == pytest.approx(-0.1)
    assert found.left_out == {"notes": f"{path}, line 4: notes is 'odd', which is no number"}


def test_a_planted_direction_is_recovered(tmp_path: Path, tiny_backbone: Any) -> None:
    """Labels read the codes along an axis of theirs, with noise; the fit finds the axis and its sign."""
    backbone = tiny_backbone.backbone
    generator = torch.Generator().manual_seed(3)
    codes = codes_of_seeds(backbone, range(400))[:, 0]
    planted = torch.linalg.eigh(codes.T.cov()).eigenvectors[:, -2]
    reading = (codes - codes.mean(0)) @ planted
    noisy = reading + 0.1 * reading.std() * torch.randn(400, generator=generator)
    yes = (reading > reading.median()).int()
    rows = [f"{i},{noisy[i]:.6f},{yes[i]}" for i in range(400)]
    labelled = read_attributes(table(tmp_path, "seed,tall,yes", *rows), backbone)
    for direction, boundary in fit_directions(labelled, backbone):
        assert direction.vector[0] @ planted > 0.97
        assert boundary.accuracy > 0.9


# ---- rows by inversion


def test_rows_by_inversion(tmp_path: Path, inversion: Inversion, fake_backbone: Backbone) -> None:
    inversion.save(tmp_path / "sub/me.inversion.safetensors")
    name = "sub/me.inversion.safetensors"
    found = read_attributes(table(tmp_path, "inversion,age", f"{name},3"), fake_backbone)
    torch.testing.assert_close(found.codes, inversion.ws[:1, 0].mean(1))
    path = table(tmp_path, "inversion,sample,age", f"{name},2,3", f" {name},0,4")
    found = read_attributes(path, fake_backbone)
    torch.testing.assert_close(found.codes, inversion.ws[0, [2, 0]].mean(1))
    assert list(found.attributes) == ["age"]
    with pytest.raises(UsageError, match="no sample 3; this inversion has samples 0 to 2"):
        read_attributes(table(tmp_path, "inversion,sample,age", f"{name},3,1"), fake_backbone)
    with pytest.raises(CheckpointError, match="no such file"):
        read_attributes(table(tmp_path, "inversion,age", "you.inversion.safetensors,3"), fake_backbone)
    fake_backbone.sha256 = "00" * 32
    with pytest.raises(BackboneMismatchError, match=r"me.inversion.safetensors belongs to a backbone"):
        read_attributes(table(tmp_path, "inversion,age", f"{name},3"), fake_backbone)


# ---- tables that cannot be used


@pytest.mark.parametrize(
    ("lines", "error", "text"),
    [
        (["file,smile", "a.png,1"], UsageError, "has no column seed or inversion; one must say which code"),
        (["seed,inversion,x", "1,a,1"], UsageError, "has both a column seed and a column inversion"),
        (["seed,file", "1,a.png"], UsageError, "has no column of numbers besides seed: seed, file"),
        (["seed,notes", "1,odd"], UsageError, "has no column of numbers besides seed: seed, notes"),
        (["seed,smile"], InputError, "has no rows"),
        (["seed,smile", "1,2", "3"], InputError, "line 3: 1 cells, and 2 columns"),
        (["seed,x,x", "1,2,3"], InputError, "has two columns of one name: seed, x, x"),
        (["seed,x", "1.2E+15,2"], InputError, "line 2: seed is '1.2E\\+15', which is no whole number here"),
        (["seed,x", "-1,2"], InputError, "line 2: seed is '-1', which is no whole number here"),
        (["seed,x", f"{2**60},2"], InputError, "which is no whole number here"),
        (["inversion,sample,x", "a,b,1"], InputError, "line 2: sample is 'b', which is no whole number here"),
    ],
)
def test_refused(
    lines: list[str], error: type[Exception], text: str, tmp_path: Path, tiny_backbone: Any
) -> None:
    with pytest.raises(error, match=text):
        read_attributes(table(tmp_path, *lines), tiny_backbone.backbone)


def test_no_numbers_where_numbers_are_due(tmp_path: Path, tiny_backbone: Any) -> None:
    for cell in ("inf", "nan", "1,5"):
        path = table(tmp_path, "seed,x,y", f'1,"{cell}",2')
        assert list(read_attributes(path, tiny_backbone.backbone).attributes) == ["y"]


def test_files_that_cannot_be_read(tmp_path: Path, tiny_backbone: Any) -> None:
    with pytest.raises(InputError, match=r"cannot read .*absent.csv: No such file"):
        read_attributes(tmp_path / "absent.csv", tiny_backbone.backbone)
    (tmp_path / "latin.csv").write_bytes("seed,größe\n1,2\n".encode("latin-1"))
    with pytest.raises(InputError, match=r"latin.csv: it is not UTF-8 text"):
        read_attributes(tmp_path / "latin.csv", tiny_backbone.backbone)
