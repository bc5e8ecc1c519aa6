"""`ganinv morph`, and `--reference` of `ganinv invert`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ganinv.inversion import Inversion


def morph(bench: Any, *arguments: object) -> Any:
    return bench.run("morph", *arguments, "--backbone", bench.backbone, "--device", "cpu", "--out", "m")


@pytest.fixture
def inverted(bench: Any) -> Path:
    """Two samples of a picture with its left half erased."""
    result = bench.invert(bench.picture("me.png"), "--mask", "half-left", "--samples", 2)
    assert result.exit_code == 0, result.stderr
    return bench.folder / "out" / "me.inversion.safetensors"


def test_from_one_sample_to_another(bench: Any, inverted: Path) -> None:
    result = morph(bench, inverted, "--steps", 5, "--json")
    assert result.exit_code == 0, result.stderr
    names = [f"me-morph-0{i}.png" for i in range(5)]
    names += ["me-morph.gif", "me-morph.inversion.safetensors", "me-morph-strip.png"]
    told = bench.printed(result)
    assert told["outputs"] == [f"m/{name}" for name in names] and told["options"]["steps"] == 5
    frames = [bench.pixels(Path("m", name)) for name in names[:5]]
    done = [bench.pixels(Path("out", f"me-0{i}.png")) for i in range(2)]
    assert np.array_equal(frames[0], done[0]) and np.array_equal(frames[-1], done[1])
    assert all(np.array_equal(f[:, 8:], done[0][:, 8:]) for f in frames)  # known pixels
    assert not np.array_equal(frames[2], frames[0])
    with Image.open("m/me-morph.gif") as gif:
        assert gif.n_frames == 8  # there and back
    assert Inversion.load("m/me-morph.inversion.safetensors").samples == 5


def test_between_two_pictures_and_raw(bench: Any, inverted: Path) -> None:
    assert bench.invert(bench.picture("other.png"), "--seed", 4).exit_code == 0
    second = bench.folder / "out" / "other.inversion.safetensors"
    result = morph(bench, inverted, second, "--from", 1, "--steps", 2)
    assert result.exit_code == 0 and "no known pixels are pasted" in result.stderr
    assert np.array_equal(bench.pixels(Path("m/me-morph-01.png")), bench.pixels(Path("out/other-00.png")))
    raw = morph(bench, inverted, "--raw", "--steps", 2)
    assert raw.exit_code == 0 and raw.stderr == ""
    known = bench.pixels(Path("m/me-morph-00.png"))[:, 8:]
    assert not np.array_equal(known, bench.pixels(Path("out/me-00.png"))[:, 8:])


def test_what_morph_refuses(bench: Any, inverted: Path) -> None:
    for arguments, code, text in (
        ((inverted, "--from", 1), 2, "--from 1 --to 1 is one sample; name two, or a second file"),
        ((inverted, "--to", 9), 2, "no sample 9; this inversion has samples 0 to 1"),
        ((inverted, "--steps", 1), 2, "--steps"),
        (("nowhere.inversion.safetensors",), 1, "nowhere.inversion.safetensors"),
    ):
        result = morph(bench, *arguments)
        assert result.exit_code == code and text in result.stderr, result.stderr
    assert not Path("m").exists()


def test_a_reference_needs_a_method_that_listens(bench: Any) -> None:
    picture = bench.picture("me.png")
    for arguments, text in (
        (("--reference", picture), "method 'random-codes' listens to no reference"),
        (("--layers", "coarse"), "type --reference PICTURE as well"),
        (("--reference", picture, "--refine", "pti"), "does not go with --refine"),
    ):
        result = bench.invert(picture, "--mask", "centre", *arguments)
        assert result.exit_code == 2 and text in result.stderr, result.stderr
