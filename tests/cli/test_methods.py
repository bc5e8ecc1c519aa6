"""`--option`, `--steps` and `--refine`: methods with options from the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from ganinv.encoders.loading import load_encoder
from ganinv.inversion import Inversion


def invert(bench: Any, *arguments: object) -> Any:
    picture = bench.picture("me.png")
    tiny = (
        "--backbone",
        bench.backbone,
        "--device",
        "cpu",
        "--mask",
        "half-left",
        "--out",
        bench.folder / "out",
    )
    return bench.run("invert", picture, *tiny, *arguments)


FAST = ("--method", "optimize", "--steps", 2, "--option", "candidates=1", "--option", "space=w")


def test_options_reach_the_method(bench: Any) -> None:
    result = invert(bench, *FAST, "--option", "lr=1e-2", "--samples", 2)
    assert result.exit_code == 0, result.stderr
    found = Inversion.load(bench.folder / "out" / "me.inversion.safetensors")
    assert found.options["steps"] == 2 and found.options["lr"] == 0.01 and found.options["space"] == "w"
    assert not torch.equal(found.ws[:, 0], found.ws[:, 1])


def test_a_tuned_inversion_is_edited(bench: Any) -> None:
    result = invert(bench, *FAST, "--refine", "pti", "--refine-option", "steps=3", "--raw")
    assert result.exit_code == 0, result.stderr
    path = bench.folder / "out" / "me.inversion.safetensors"
    assert Inversion.load(path).tuned
    result = bench.edit(path, "--direction", "age", "--strength", 0)
    assert result.exit_code == 0, result.stderr
    raw = bench.pixels(bench.folder / "out" / "me-00-raw.png")
    assert (bench.pixels(bench.folder / "edits" / "me-00-edit.png") == raw).all()
    result = bench.edit(
        bench.folder / "me.png", *FAST, "--refine", "pti", "--direction", "age", "--strength", 1
    )
    assert result.exit_code == 0, result.stderr


def test_codes_are_refined(bench: Any) -> None:
    found = {}
    for name, more in {
        "starts": (),
        "refined": ("--refine", "optimize", "--refine-option", "steps=3"),
    }.items():
        result = invert(bench, "--method", "random-codes", "--samples", 2, *more)
        assert result.exit_code == 0, result.stderr
        found[name] = Inversion.load(bench.folder / "out" / "me.inversion.safetensors")
    starts, refined = found["starts"], found["refined"]
    assert refined.method["name"] == "optimize" and refined.method["embedder"]["name"] == "random-codes"
    assert refined.options["optimize"]["steps"] == 3 and refined.options["optimize"]["lr"] == 0.05
    moved = (refined.ws - starts.ws).abs().amax(dim=(2, 3))
    assert (moved > 0).all() and refined.seeds == starts.seeds


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("--method", "optimize", "--option", "stpes=3"), "has no option 'stpes'; did you mean steps?"),
        (("--method", "optimize", "--option", "steps"), "'steps' is not of the form key=value"),
        (("--method", "optimize", "--option", "steps=few"), "steps of method 'optimize' is 'few'"),
        (("--method", "random-codes", "--steps", 3), "method 'random-codes' has no option 'steps'"),
        (("--method", "optimize", "--refine", "ptti"), "unknown method 'ptti'; did you mean 'pti'?"),
        (("--method", "optimize", "--refine", "random-codes"), "refines nothing; type --refine optimize or"),
        (("--method", "optimize", "--refine-option", "steps=3"), "--refine-option needs --refine"),
    ],
)
def test_what_cannot_be_is_told(bench: Any, arguments: tuple[object, ...], text: str) -> None:
    result = invert(bench, *arguments)
    assert result.exit_code == 2 and text in result.stderr, result.stderr
    assert not (bench.folder / "out").exists()


@pytest.mark.parametrize(
    ("name", "method"), [("psp_tiny_64", "psp"), ("e4e_tiny_64", "e4e"), ("restyle_psp_tiny_64", "restyle")]
)
def test_published_encoders(bench: Any, shared: Path, name: str, method: str) -> None:
    """A picture is inverted with the encoder's own generator, then edited; --weights alone names both."""
    file = shared / f"fixtures/parity/encoders/{name}.pt"
    picture = bench.picture("me.png", (64, 64))
    arguments = ("--method", method, "--mask", "centre", "--samples", 2, "--out", bench.folder / "out")
    result = bench.run("invert", picture, "--weights", file, *arguments)
    assert result.exit_code == 0, result.stderr
    assert f"Note: {method} has one answer: all 2 samples are the same" in result.stderr
    path = bench.folder / "out" / "me.inversion.safetensors"
    first = Inversion.load(path)
    assert first.backbone["name"] == name and first.method["sha256"] == first.backbone["sha256"]
    assert torch.equal(first.ws[:, 0], first.ws[:, 1])
    again = bench.run(
        "invert", picture, "--backbone", file, *arguments, "--refine", "pti", "--refine-option", "steps=2"
    )
    assert again.exit_code == 0, again.stderr
    assert Inversion.load(path).tuned and torch.equal(Inversion.load(path).ws, first.ws)
    torch.save(torch.nn.functional.normalize(torch.ones(1, 12)), bench.folder / "tall.pt")
    edit = ("--direction", bench.folder / "tall.pt", "--strength", 1, "--out", bench.folder / "edits")
    assert bench.run("edit", path, "--backbone", file, *edit).exit_code == 0
    assert bench.run("edit", picture, "--weights", file, "--method", method, *edit).exit_code == 0


def test_a_stored_encoder_file_is_both(bench: Any, shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GANINV_HOME", str(bench.folder / "home"))
    file = shared / "fixtures/parity/encoders/e4e_tiny_64.pt"
    added = bench.run("models", "add", "small-e4e", file)
    assert added.exit_code == 0 and "small-e4e  encoder, generator" in added.stdout
    picture = bench.picture("me.png", (64, 64))
    for named in ("--backbone", "--weights"):
        result = bench.run(
            "invert", picture, "--method", "e4e", named, "small-e4e", "--out", bench.folder / named[2:]
        )
        assert result.exit_code == 0, result.stderr
    result = bench.run(
        "invert", picture, "--method", "psp", "--backbone", "small-e4e", "--out", bench.folder / "no"
    )
    assert result.exit_code == 2 and "type --method e4e" in result.stderr


def test_an_encoder_keeps_its_numbers(bench: Any, shared: Path) -> None:
    file, out = shared / "fixtures/parity/encoders/e4e_tiny_64.pt", bench.folder / "encoder.safetensors"
    assert bench.run("models", "convert", file, out, "--part", "encoder").exit_code == 0
    before, after = load_encoder(file), load_encoder(out)
    assert before.config == after.config and after.family == "e4e"
    assert all(torch.equal(value, after.state_dict()[key]) for key, value in before.state_dict().items())


@pytest.mark.parametrize("name", ["sg3_t_64", "sg3_r_64"])
def test_stylegan3(bench: Any, shared: Path, name: str) -> None:
    """A snapshot is converted; pictures are inverted with it, tuned to and edited."""
    file = bench.folder / "own.safetensors"
    snapshot = shared / f"fixtures/parity/nvidia/{name}.pkl"
    assert bench.run("models", "convert", snapshot, file).exit_code == 0
    picture = bench.picture("me.png", (64, 64))
    arguments = (*FAST, "--mask", "centre", "--out", bench.folder / "out")
    result = bench.run("invert", picture, "--backbone", snapshot, "--samples", 2, *arguments)
    assert result.exit_code == 0, result.stderr
    tuned = ("--refine", "pti", "--refine-option", "steps=2", "--raw")
    result = bench.run("invert", picture, "--backbone", file, *tuned, *arguments)
    assert result.exit_code == 0, result.stderr
    path = bench.folder / "out" / "me.inversion.safetensors"
    found = Inversion.load(path)
    assert found.backbone["name"] == "own" and found.ws.shape[2] == 16 and found.tuned
    torch.save(torch.nn.functional.normalize(torch.ones(1, found.ws.shape[3])), bench.folder / "tall.pt")
    edit = ("edit", path, "--backbone", file, "--direction", bench.folder / "tall.pt")
    for strength in (0, 3):
        result = bench.run(*edit, "--strength", strength, "--out", bench.folder / f"edits{strength}")
        assert result.exit_code == 0, result.stderr
    raw, still, moved = (
        bench.pixels(bench.folder / place)
        for place in ("out/me-00-raw.png", "edits0/me-00-edit.png", "edits3/me-00-edit.png")
    )
    assert (still == raw).all() and not (moved == raw).all()
