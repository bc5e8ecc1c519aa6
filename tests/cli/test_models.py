"""`ganinv models inspect | convert | add | remove`, and a stored model as backbone."""

from __future__ import annotations

import contextlib
import functools
import json
import shutil
from collections.abc import Callable
from http.server import SimpleHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
import torch

from ganinv.backbones.loading import load_backbone, load_discriminator
from ganinv.checkpoints import read_checkpoint, sha256_file, write_checkpoint

NVIDIA = "fixtures/parity/nvidia/ada_cond_resnet_64.pkl"
CONDITIONAL = [NVIDIA, "fixtures/parity/nvidia/sg3_t_cond_32.pkl"]


def test_inspect_our_own(bench: Any) -> None:
    found = json.loads(bench.run("models", "inspect", bench.backbone, "--json").stdout)
    assert found["format"] == "ganinv" and len(found["sha256"]) == 64
    (part,) = found["parts"]
    assert (part["kind"], part["family"], part["config"]["resolution"]) == ("generator", "stylegan2", 16)
    assert part["missing"] == part["unexpected"] == [] and part["parameters"] > 1000


def test_inspect_nvidia(bench: Any, shared: Path) -> None:
    text = bench.run("models", "inspect", shared / NVIDIA).stdout
    assert "stylegan2-ada" in text and "G_ema  generator" in text and "D  discriminator" in text
    assert "c_dim 3, architecture resnet" in text and "training_set.xflip: True" in text


def test_inspect_stylegan3(bench: Any, shared: Path) -> None:
    text = bench.run("models", "inspect", shared / "fixtures/parity/nvidia/sg3_r_64.pkl").stdout
    assert "sg3_r_64.pkl: stylegan3" in text and "G_ema  generator, stylegan3" in text
    assert "D  discriminator, stylegan2" in text and "missing" not in text
    assert "conv_kernel 1" in text and "use_radial_filters True" in text


def test_inspect_says_what_is_wrong(bench: Any, tmp_path: Path) -> None:
    torch.save({"weights": torch.ones(2)}, tmp_path / "odd.pt")
    result = bench.run("models", "inspect", tmp_path / "odd.pt")
    assert result.exit_code == 1
    assert "is of no known layout: it holds a dictionary of 'weights'" in result.stderr
    assert "NVIDIA's .pkl of StyleGAN2 and StyleGAN3 networks" in result.stderr


@pytest.mark.parametrize("name", CONDITIONAL, ids=["stylegan2", "stylegan3"])
def test_convert_keeps_every_number(bench: Any, shared: Path, tmp_path: Path, name: str) -> None:
    generator, critic = tmp_path / "g.safetensors", tmp_path / "d.safetensors"
    assert bench.run("models", "convert", shared / name, generator).exit_code == 0
    before, after = load_backbone(shared / name), load_backbone(generator)
    assert before.state_dict().keys() == after.state_dict().keys()
    assert all(torch.equal(value, after.state_dict()[key]) for key, value in before.state_dict().items())
    z, c = torch.randn(2, before.z_dim), torch.eye(3)[:2]
    assert torch.equal(before(z, c), after(z, c))
    assert bench.run("models", "convert", shared / name, critic, "--part", "D").exit_code == 0
    assert load_discriminator(critic).config == load_discriminator(shared / name).config


def test_convert_refuses(bench: Any, tmp_path: Path) -> None:
    out = tmp_path / "out.safetensors"
    for arguments, text in (
        ((bench.backbone, bench.backbone), "exists; name another file"),
        ((bench.backbone, tmp_path / "out.pt"), "must end in .safetensors"),
        ((bench.backbone, out, "--part", "genrator"), "unknown part 'genrator'; did you mean 'generator'?"),
    ):
        result = bench.run("models", "convert", *arguments)
        assert result.exit_code == 2 and text in result.stderr, result.stderr
    assert not out.exists()


def test_a_stored_model_is_a_backbone(bench: Any, home: Path) -> None:
    result = bench.run("models", "add", "mine", bench.backbone, "--licence", "CC0")
    assert result.exit_code == 0 and str(home / "models" / "mine.safetensors") in result.stdout
    row = next(r for r in json.loads(bench.run("models", "list", "--json").stdout) if r["name"] == "mine")
    assert row["licence"] == "CC0" and row["origin"] == str(bench.backbone) and row["bytes"] > 0
    assert f"from {bench.backbone}, licence CC0" in bench.run("models", "list").stdout
    picture = bench.picture("me.png")
    arguments = ("--mask", "half-left", "--method", "optimize", "--steps", 1, "--option", "candidates=1")
    done = bench.run("invert", picture, "--backbone", "mine", *arguments, "--out", bench.folder / "out")
    assert done.exit_code == 0, done.stderr
    assert bench.run("models", "remove", "mine").exit_code == 0
    assert bench.run("models", "remove", "mine").exit_code == 2
    assert not list((home / "models").iterdir())


def test_add_takes_files_of_others(bench: Any, shared: Path) -> None:
    assert bench.run("models", "add", "cats", shared / NVIDIA).exit_code == 0
    assert load_backbone("cats").c_dim == 3


@pytest.fixture
def server(bench: Any, serve: Callable[[Any], str]) -> str:
    """The folder of the small models, on 127.0.0.1."""
    return serve(functools.partial(SimpleHTTPRequestHandler, directory=bench.backbone.parent))


def test_add_downloads_and_checks(
    bench: Any, home: Path, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    link, digest = f"{server}/{bench.backbone.name}", sha256_file(bench.backbone)
    refused = bench.run("models", "add", "mine", link, "--sha256", "0" * 64)
    assert refused.exit_code == 1 and "is not the file meant" in refused.stderr
    assert not list((home / "models").iterdir())
    refused = bench.run("models", "add", "mine", bench.backbone, "--sha256", "0" * 64)
    assert refused.exit_code == 1 and f"is not the file meant: sha256 {digest}" in refused.stderr
    told: list[tuple[int, int | None]] = []
    monkeypatch.setattr(
        "ganinv.cli.models.download_bar", lambda: contextlib.nullcontext(lambda *so_far: told.append(so_far))
    )
    result = bench.run("models", "add", "mine", link, "--sha256", digest.upper())
    assert result.exit_code == 0, result.stderr
    size = bench.backbone.stat().st_size
    assert told[-1] == (size, size) and load_backbone("mine").sha256 == digest
    (row,) = (r for r in json.loads(bench.run("models", "list", "--json").stdout) if r["name"] == "mine")
    assert row["origin"] == link


def test_what_a_failed_download_advises_works(bench: Any, home: Path) -> None:
    link = "http://127.0.0.1:1/x.safetensors"
    failed = bench.run("models", "add", "mine", link)
    place = home / "models" / "mine.safetensors"
    assert failed.exit_code == 1 and f"put it at {place} and type the command again" in failed.stderr
    assert not list(place.parent.iterdir())
    shutil.copy(bench.backbone, place)
    wrong = bench.run("models", "add", "mine", link, "--sha256", "0" * 64)
    assert wrong.exit_code == 1 and f"{place} is not the file meant" in wrong.stderr
    assert bench.run("models", "add", "mine", link).exit_code == 0
    assert load_backbone("mine").sha256 == sha256_file(bench.backbone)


def test_weights_that_are_not_finite_are_refused(bench: Any, tmp_path: Path) -> None:
    stored = read_checkpoint(bench.backbone)
    tensors = dict(stored.tensors)
    name = next(iter(tensors))
    tensors[name] = torch.full_like(tensors[name], float("nan"))
    kept = {"kind": stored.kind, "family": stored.family, "config": stored.config}
    write_checkpoint(tmp_path / "nan.safetensors", tensors, **kept)
    result = bench.run("directions", "list", "--backbone", tmp_path / "nan.safetensors")
    assert result.exit_code == 1 and f"is damaged: {name} holds numbers that are not finite" in result.stderr


def test_add_refuses(bench: Any, home: Path, tmp_path: Path) -> None:
    (tmp_path / "no.pt").write_bytes(b"nothing")
    for arguments, text, code in (
        (("portraits-64", bench.backbone), "is a model of the package", 2),
        (("a/b", bench.backbone), "'a/b' is no model name", 2),
        (("mine", tmp_path / "picture.png"), "is no checkpoint by its name", 2),
        (("mine", tmp_path / "no.pt"), "no.pt", 1),
        (("mine", "http://example.org/g.pkl"), "is not an https link", 2),
        (("mine", bench.backbone, "--sha256", "abcd"), "'abcd' is no SHA-256: it has 64 hex digits", 2),
        (("mine", "https://drive.google.com/file/d/1/view"), "must be opened in a browser", 2),
    ):
        result = bench.run("models", "add", *arguments)
        assert result.exit_code == code and text in result.stderr, result.stderr
    assert not list(home.iterdir())
