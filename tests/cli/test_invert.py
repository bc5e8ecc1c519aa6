"""`ganinv invert`: what it writes, byte for byte, from files, folders and globs."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ganinv.cli.progress import download_bar, items_bar
from ganinv.inversion import Inversion

SIZE = 16


def names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_writes_what_the_names_promise(bench: Any) -> None:
    picture = bench.picture("me.png", (48, 48))
    asked = ("--mask", "half-left", "--samples", 3, "--seed", 5, "--raw", "--no-tones")
    result = bench.invert(picture, *asked)
    assert result.exit_code == 0, result.stderr
    out = bench.folder / "out"
    samples = [f"me-0{i}{kind}.png" for i in range(3) for kind in ("", "-raw")]
    expected = [*samples, "me-input.png", "me-mask.png", "me-sheet.png", "me.inversion.safetensors"]
    assert names(out) == sorted(expected)
    working, mask = bench.pixels(out / "me-input.png"), bench.pixels(out / "me-mask.png")
    assert working.shape == (SIZE, SIZE, 3)
    assert (mask[:, : SIZE // 2] == 255).all()
    assert (mask[:, SIZE // 2 :] == 0).all()
    for index in range(3):
        done, raw = bench.pixels(out / f"me-0{index}.png"), bench.pixels(out / f"me-0{index}-raw.png")
        assert np.array_equal(done[mask == 0], working[mask == 0])
        assert np.array_equal(done[mask == 255], raw[mask == 255])
    inversion = Inversion.load(out / "me.inversion.safetensors")
    assert inversion.samples == 3
    assert np.array_equal(inversion.hole[0, 0].numpy() * 255, mask)
    assert np.array_equal(inversion.working[0].permute(1, 2, 0).numpy(), working)
    assert inversion.options["mask"] == "half-left"
    assert bench.pixels(out / "me-sheet.png").shape[1] > 5 * 128
    assert "me-sheet.png" in result.stdout


def test_tones_in_the_hole_meet_the_known_pixels(bench: Any) -> None:
    """Unless told otherwise; known pixels are the picture's either way."""
    picture = bench.picture("me.png", (48, 48))
    found = {}
    for out, more in (("met", ()), ("hard", ("--no-tones",))):
        arguments = ("--mask", "half-left", "--samples", 1, "--out", out)
        assert bench.run("invert", picture, *bench.tiny, *arguments, *more).exit_code == 0
        found[out] = bench.pixels(Path(out) / "me-00.png").astype(int)
    edge = SIZE // 2
    assert np.array_equal(found["met"][:, edge:], found["hard"][:, edge:])
    step = {name: np.abs(p[:, edge - 1] - p[:, edge]).mean() for name, p in found.items()}
    assert step["met"] != step["hard"]
    assert Inversion.load(Path("hard/me.inversion.safetensors")).options["tones"] is False


def test_same_seed_same_bytes_in_another_folder(bench: Any) -> None:
    first = bench.picture("a/me.png")
    second = bench.folder / "b" / "me.png"
    second.parent.mkdir()
    second.write_bytes(first.read_bytes())
    for picture, out in ((first, "one"), (second, "two/deep")):
        arguments = ("--mask", "free-form:lama-thick", "--samples", 2, "--seed", 3, "--out", out)
        assert bench.run("invert", picture, *bench.tiny, *arguments).exit_code == 0
    assert len(names(Path("one"))) == 6
    for name in names(Path("one")):
        assert Path("one", name).read_bytes() == Path("two/deep", name).read_bytes(), name
    other = ("--mask", "free-form:lama-thick", "--samples", 2, "--seed", 4, "--out", "three")
    assert bench.run("invert", first, *bench.tiny, *other).exit_code == 0
    assert Path("one/me-00.png").read_bytes() != Path("three/me-00.png").read_bytes()


def test_folders_keep_subfolders_and_leave_their_results_out(bench: Any) -> None:
    for name in ("in/a.png", "in/deep/a.jpg", "in/.hidden/b.png", "in/notes.txt"):
        if name.endswith("txt"):
            (bench.folder / name).write_text("no picture")
        else:
            bench.picture(name)
    out = bench.folder / "in" / "results"
    for _ in range(2):  # the second run meets the results of the first
        result = bench.run("invert", bench.folder / "in", *bench.tiny, "--out", out, "--json")
        assert result.exit_code == 0, result.stderr
        found = bench.printed(result)
        assert len(found["inputs"]) == 2
        assert {str(out / "a-00.png"), str(out / "deep" / "a-00.png")} <= set(found["outputs"])
    assert all(Path(path).is_file() for path in found["outputs"])


def test_globs_and_json(bench: Any) -> None:
    for name in ("p/a.png", "p/b.png", "p/q/c.png"):
        bench.picture(name)
    found = bench.printed(bench.invert("p/**/*.png", "--json", "--mask", "centre"))
    assert found["inputs"] == ["p/a.png", "p/b.png", "p/q/c.png"]
    assert str(bench.folder / "out" / "q" / "c-sheet.png") in found["outputs"]
    assert sorted(found) == ["failures", "inputs", "options", "outputs"]
    assert found["options"]["mask"] == "centre"
    assert found["options"]["samples"] == 1
    assert found["failures"] == []


def test_a_bad_picture_does_not_stop_the_others(bench: Any) -> None:
    bench.picture("in/a.png")
    bench.picture("in/z.png")
    (bench.folder / "in" / "m.png").write_bytes(b"not a picture at all")
    result = bench.invert("in", "--json")
    assert result.exit_code == 1
    found = bench.printed(result)
    assert [failure["input"] for failure in found["failures"]] == ["in/m.png"]
    assert "not a picture" in found["failures"][0]["error"]
    assert {"a-00.png", "z-00.png"} <= set(names(bench.folder / "out"))
    assert "Error: in/m.png" in result.stderr
    assert "2 of 3 inputs done, 1 failed" in result.stderr


def test_mask_folders_give_each_picture_its_own(bench: Any) -> None:
    for name in ("in/a.png", "in/b.png", "in/c.png"):
        bench.picture(name)
    (bench.folder / "masks").mkdir()
    bench.mask("masks/a.png", 255 * np.eye(SIZE))
    bench.mask("masks/b.png", 255 * np.tri(SIZE))
    result = bench.invert("in", "--mask", "masks")
    assert result.exit_code == 1
    assert "no mask for in/c.png" in result.stderr
    assert (bench.pixels(bench.folder / "out/a-mask.png") == 255 * np.eye(SIZE)).all()
    assert (bench.pixels(bench.folder / "out/b-mask.png") == 255 * np.tri(SIZE)).all()


def test_alpha_fit_polarity_and_feather(bench: Any) -> None:
    pixels = np.full((SIZE, 2 * SIZE, 4), 200, np.uint8)
    pixels[:, : SIZE + 4, 3] = 0
    pixels[:, SIZE + 4 :, 3] = 255
    Image.fromarray(pixels).save(bench.folder / "wide.png")
    result = bench.invert("wide.png", "--mask", "alpha", "--fit", "crop")
    assert result.exit_code == 0, result.stderr
    mask = bench.pixels(bench.folder / "out/wide-mask.png")
    assert (mask[:, : SIZE // 2 + 4] == 255).all()
    assert (mask[:, SIZE // 2 + 4 :] == 0).all()
    picture = bench.picture("me.png")
    strip = np.zeros((SIZE, SIZE))
    strip[:, :4] = 255
    bench.mask("keep.png", 255 - strip)
    for folder, feather in (("sharp", 0), ("soft", 3)):
        arguments = ("--mask", "keep.png", "--mask-polarity", "keep-white", "--feather", feather)
        result = bench.run("invert", picture, *bench.tiny, *arguments, "--out", folder)
        assert result.exit_code == 0, result.stderr
    assert (bench.pixels(Path("sharp/me-mask.png")) == strip).all()
    sharp, soft = bench.pixels(Path("sharp/me-00.png")), bench.pixels(Path("soft/me-00.png"))
    assert np.array_equal(sharp[:, 4:], soft[:, 4:])
    assert not np.array_equal(sharp[:, :4], soft[:, :4])


def test_precision_and_truncation_matter(bench: Any) -> None:
    picture = bench.picture("me.png")
    drawn = {}
    for name, arguments in {
        "plain": (),
        "half": ("--precision", "bfloat16"),
        "mean": ("--truncation", 0, "--samples", 2),
    }.items():
        result = bench.run("invert", picture, *bench.tiny, *arguments, "--raw", "--out", name)
        assert result.exit_code == 0, result.stderr
        drawn[name] = bench.pixels(Path(name) / "me-00-raw.png").astype(int)
    difference = np.abs(drawn["plain"] - drawn["half"])
    assert difference.max() > 0
    assert difference.mean() < 16
    assert np.array_equal(drawn["mean"], bench.pixels(Path("mean/me-01-raw.png")))


def test_results_never_overwrite_what_they_are_made_from(bench: Any) -> None:
    (bench.folder / "out").mkdir()
    bench.picture("out/me.png")
    picture = bench.picture("out/me-00.png")
    before = picture.read_bytes()
    result = bench.invert("out/me.png", "out/me-00.png")
    assert result.exit_code == 2
    assert "would be written over the input out/me-00.png" in result.stderr
    assert picture.read_bytes() == before
    mask = bench.mask("out/me-mask.png", 255)
    result = bench.invert("out/me.png", "--mask", mask)
    assert result.exit_code == 2
    assert "would be written over" in result.stderr
    result = bench.run("invert", "out", *bench.tiny, "--out", "out")
    assert result.exit_code == 2
    assert "is the input folder itself" in result.stderr


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_bar_is_drawn_on_a_terminal_only(monkeypatch: pytest.MonkeyPatch) -> None:
    for stream, total, drawn in ((Terminal(), 3, True), (Terminal(), 1, False), (io.StringIO(), 3, False)):
        monkeypatch.setattr(sys, "stderr", stream)
        monkeypatch.setenv("TERM", "xterm")
        with items_bar(total) as advance:
            for _ in range(total):
                advance()
            print("a result")
        assert bool(stream.getvalue()) == drawn
        assert "a result" not in stream.getvalue()


def test_the_bar_of_a_download(monkeypatch: pytest.MonkeyPatch) -> None:
    with download_bar() as progress:
        assert progress is None
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    with download_bar() as progress:
        assert progress is not None
        progress(5_000_000, 20_000_000)
        progress(20_000_000, 20_000_000)
    assert "20.0/20.0 MB" in terminal.getvalue()
