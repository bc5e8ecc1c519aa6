"""`--option`, `--steps` and `--refine`: methods with options from the command line."""

from __future__ import annotations

from typing import Any

import pytest
import torch

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


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("--method", "optimize", "--option", "stpes=3"), "has no option 'stpes'; did you mean steps?"),
        (("--method", "optimize", "--option", "steps"), "'steps' is not of the form key=value"),
        (("--method", "optimize", "--option", "steps=few"), "steps of method 'optimize' is 'few'"),
        (("--method", "random-codes", "--steps", 3), "method 'random-codes' has no option 'steps'"),
        (("--method", "optimize", "--refine", "ptti"), "unknown method 'ptti'; did you mean 'pti'?"),
        (("--method", "optimize", "--refine", "random-codes"), "refines nothing; type --refine pti"),
        (("--method", "optimize", "--refine-option", "steps=3"), "--refine-option needs --refine"),
    ],
)
def test_what_cannot_be_is_told(bench: Any, arguments: tuple[object, ...], text: str) -> None:
    result = invert(bench, *arguments)
    assert result.exit_code == 2 and text in result.stderr, result.stderr
    assert not (bench.folder / "out").exists()
