"""Bad input of every kind to `ganinv invert`: exit codes, one line of text, no half-written file."""

from __future__ import annotations

import errno
import io
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

SIZE = 16


def assert_refused(result: Any, code: int, *texts: str) -> None:
    """One line of error with these texts (notes on a picture may come before it), and that exit code."""
    assert result.exit_code == code, result.stderr
    *notes, error = result.stderr.splitlines()
    assert all(note.startswith(("Note: ", "Warning: ")) for note in notes)
    assert error.startswith("Error: ")
    for text in texts:
        assert text in error


def leftovers(folder: Path) -> list[str]:
    """Hidden or temporary files."""
    return [path.name for path in folder.rglob("*") if path.name.startswith(".") or path.name.endswith("tmp")]


# ------------------------------------------------------------------------------------------ pictures


def test_absent_and_broken_pictures(bench: Any) -> None:
    assert_refused(bench.invert("absent.png"), 1, "no such file: absent.png")
    Path("text.png").write_text("I am not a picture")
    assert_refused(bench.invert("text.png"), 1, "text.png", "not a picture")
    Path("empty.png").touch()
    assert_refused(bench.invert("empty.png"), 1, "empty")
    whole = bench.picture("whole.png", (64, 64)).read_bytes()
    Path("cut.png").write_bytes(whole[: len(whole) // 2])
    assert_refused(bench.invert("cut.png"), 1, "cut.png is truncated")
    buffer = io.BytesIO()
    Image.new("RGB", (64, 64), (9, 99, 199)).save(buffer, "JPEG")
    Path("cut.jpg").write_bytes(buffer.getvalue()[:-200])
    assert_refused(bench.invert("cut.jpg"), 1, "cut.jpg is truncated")
    assert not (bench.folder / "out").exists()


def test_shapes(bench: Any) -> None:
    bench.picture("wide.png", (32, 16))
    assert_refused(bench.invert("wide.png"), 1, "32 x 16, not square", "--fit crop", "--fit pad")
    assert bench.invert("wide.png", "--fit", "pad").exit_code == 0


def test_stem_collisions_are_refused_before_any_work(bench: Any) -> None:
    bench.picture("a/me.png")
    bench.picture("b/me.jpg")
    assert_refused(bench.invert("a/me.png", "b/me.jpg"), 2, "a/me.png and b/me.jpg", "me-*")
    assert not (bench.folder / "out").exists()


def test_empty_folders_and_globs(bench: Any) -> None:
    Path("empty").mkdir()
    assert_refused(bench.invert("empty"), 2, "empty holds no input", "*.png")
    assert_refused(bench.invert("no-*.png"), 2, "no-*.png holds no input")


# ------------------------------------------------------------------------------------------ masks


def test_masks_of_another_size_or_shape(bench: Any) -> None:
    picture = bench.picture("me.png", (32, 32))
    left = np.zeros((64, 64))
    left[:, :20] = 255
    bench.mask("large.png", left, (64, 64))
    result = bench.invert(picture, "--mask", "large.png")
    assert result.exit_code == 0
    assert "Warning: " in result.stderr
    assert "64 x 64 was resized to the picture's 32 x 32" in result.stderr
    bench.mask("wide.png", 255, (64, 32))
    assert_refused(bench.invert(picture, "--mask", "wide.png"), 1, "64 x 32 and the picture 32 x 32")


def test_an_answer_that_is_not_finite_is_not_written(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    picture = bench.picture("me.png")
    found = bench.run(
        "invert", picture, "--backbone", bench.backbone, "--method", "optimize", "--steps", 3,
        "--option", "lr=1e30", "--option", "candidates=1", "--out", "out"
    )  # fmt: skip
    assert_refused(found, 1, "the method's answer is not finite, so nothing is written")
    assert not list(Path("out").glob("*"))


def test_black_white_grey_and_nearly_white_masks(bench: Any) -> None:
    picture = bench.picture("me.png")
    result = bench.invert(picture, "--mask", bench.mask("black.png", 0))
    assert result.exit_code == 0
    assert "Note: " in result.stderr
    assert "plain inversion" in result.stderr
    result = bench.invert(picture)
    assert result.exit_code == 0
    assert "no mask: plain inversion" in result.stderr
    drawn, given = (np.asarray(Image.open(f"out/me-{end}.png")) for end in ("00", "input"))
    assert not np.array_equal(drawn, given)  # the generator's picture, not the input pasted over it
    result = bench.invert(picture, "--mask", bench.mask("white.png", 255))
    assert result.exit_code == 0
    assert "Warning: " in result.stderr
    assert "unconditional samples" in result.stderr
    grey = np.zeros((SIZE, SIZE))
    grey[:4], grey[4:8] = 127, 128
    result = bench.invert(picture, "--mask", bench.mask("grey.png", grey))
    assert result.exit_code == 0
    assert "neither black nor white" in result.stderr
    mask = bench.pixels(bench.folder / "out/me-mask.png")
    assert (mask[:4] == 0).all()
    assert (mask[4:8] == 255).all()
    most = np.full((SIZE, SIZE), 255)
    most[0, :8] = 0
    result = bench.invert(picture, "--mask", bench.mask("most.png", most))
    assert result.exit_code == 0
    assert "Warning: me" not in result.stdout
    assert "erases 96.9% of the picture" in result.stderr


def test_mostly_white_files_get_a_hint_and_named_masks_do_not(bench: Any) -> None:
    picture = bench.picture("me.png")
    most = np.full((SIZE, SIZE), 255)
    most[:6] = 0
    result = bench.invert(picture, "--mask", bench.mask("most.png", most))
    assert "is your mask inverted? --mask-polarity keep-white" in result.stderr
    result = bench.invert(picture, "--mask", "border")
    assert "inverted" not in result.stderr


def test_unknown_masks(bench: Any) -> None:
    picture = bench.picture("me.png")
    assert_refused(bench.invert(picture, "--mask", "half-lft"), 2, "did you mean 'half-left'?", "centre")
    assert_refused(bench.invert(picture, "--mask", "free-form:matt"), 2, "did you mean 'free-form:mat'?")
    assert_refused(bench.invert(picture, "--mask", "absent.png"), 1, "no such mask file: absent.png")
    assert_refused(bench.invert(picture, "--mask", "alpha"), 1, "this one has none")
    assert not (bench.folder / "out").exists()


# ------------------------------------------------------------------------------------------ options


@pytest.mark.parametrize(
    ("arguments", "texts"),
    [
        (("--samples", "0"), ("--samples", "0 is not in the range")),
        (("--samples", "-3"), ("--samples",)),
        (("--samples", "two"), ("--samples", "not a valid integer")),
        (("--seed", "-1"), ("--seed",)),
        (("--truncation", "1.5"), ("--truncation",)),
        (("--truncation", "nan"), ("--truncation", "not a finite number")),
        (("--feather", "-1"), ("--feather",)),
        (("--fit", "stretch"), ("--fit", "refuse", "crop", "pad")),
        (("--precision", "float8"), ("--precision", "bfloat16")),
        (("--device", "gpu"), ("unknown device 'gpu'", "--device cpu")),
        (("--method", "random-code"), ("unknown method 'random-code'; did you mean 'random-codes'?",)),
        (("--weights", "w.safetensors"), ("'random-codes' was given options weights",)),
        (("--backbone", "portrait64"), ("unknown backbone 'portrait64'",)),
        (("--sampels", "2"), ("--sampels", "--samples")),
    ],
)
def test_options_that_do_not_exist_or_fit(
    bench: Any, arguments: tuple[str, ...], texts: tuple[str, ...]
) -> None:
    picture = bench.picture("me.png")
    result = bench.run("invert", picture, *bench.tiny, "--out", "out", *arguments)
    assert_refused(result, 2, *texts)
    assert not Path("out").exists()


def test_backbone_files_that_are_none(bench: Any) -> None:
    picture = bench.picture("me.png")
    for name in ("absent.safetensors", str(picture)):
        result = bench.run("invert", picture, *bench.tiny, "--backbone", name, "--out", "out")
        assert_refused(result, 1, name)
    assert_refused(bench.run("invert", "--out", "out"), 2, "Missing argument")
    assert_refused(bench.run("invert", picture), 2, "Missing option '--out'")


def test_a_picture_unlike_the_domain_is_only_a_warning(bench: Any) -> None:
    pixels = np.zeros((SIZE, SIZE, 3), np.uint8)
    pixels[::2] = 255
    Image.fromarray(pixels).save("stripes.png")
    result = bench.invert("stripes.png")
    assert result.exit_code == 0
    assert "unlike what the backbone was trained on" in result.stderr


# ------------------------------------------------------------------------------------------ writing


@pytest.mark.parametrize("point", ["open", "write", "fsync", "rename"])
@pytest.mark.parametrize("which", ["first", "last"])
def test_a_full_disk_leaves_whole_files_only(
    bench: Any, monkeypatch: pytest.MonkeyPatch, point: str, which: str
) -> None:
    for name in ("in/a.png", "in/b.png"):
        bench.picture(name)
    assert bench.invert("in/a.png", "--samples", 2).exit_code == 0
    whole = {path.name: path.read_bytes() for path in (bench.folder / "out").iterdir()}
    broken = _break_writing(monkeypatch, point, after=0 if which == "first" else len(whole) - 1)
    result = bench.run("invert", "in", *bench.tiny, "--samples", "2", "--out", "full", "--json")
    assert broken, "the fault was never met"
    assert result.exit_code == 1
    assert "the disk is full" in result.stderr
    failures = bench.printed(result)["failures"]
    assert [failure["input"] for failure in failures] == ["in/a.png", "in/b.png"]
    assert "not tried" in failures[1]["error"]
    assert leftovers(bench.folder / "full") == []
    written = list((bench.folder / "full").iterdir())
    assert all(path.read_bytes() == whole[path.name] for path in written)
    assert written == [] if which == "first" else 0 < len(written) < len(whole)


def _break_writing(monkeypatch: pytest.MonkeyPatch, point: str, after: int) -> list[str]:
    """Makes one step of writing fail with "disk full" from its `after`-th call on; returns the faults met."""
    import ganinv.files as files

    met: list[str] = []
    calls = iter(range(1_000_000))

    def full(*_: Any, **__: Any) -> None:
        met.append(point)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def failing(real: Any) -> Any:
        return lambda *args, **kwargs: (full if next(calls) >= after else real)(*args, **kwargs)

    if point == "fsync":
        monkeypatch.setattr(files.os, "fsync", failing(os.fsync))
    elif point == "rename":
        monkeypatch.setattr(files.os, "replace", failing(os.replace))
    elif point == "open":
        monkeypatch.setattr(files, "open", failing(open), raising=False)
    else:

        class Stream(io.FileIO):
            """Takes half of what is written, then fails."""

            def write(self, data: Any) -> int:
                if next(calls) >= after:
                    super().write(bytes(data)[: len(data) // 2])
                    full()
                return super().write(data)

        monkeypatch.setattr(files, "open", lambda path, mode: Stream(path, "w"), raising=False)
    return met


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_no_write_permission(bench: Any) -> None:
    picture = bench.picture("me.png")
    Path("locked").mkdir(mode=0o500)
    result = bench.run("invert", picture, *bench.tiny, "--out", "locked/out")
    assert_refused(result, 1, "cannot write", "no permission")


def test_no_write_permission_as_the_system_tells_it(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    picture = bench.picture("me.png")

    def denied(*_: Any, **__: Any) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(Path, "mkdir", denied)
    result = bench.invert(picture, "--mask", "centre")
    assert_refused(result, 1, "cannot write", "no permission; choose an --out folder you may write to")


def test_out_is_a_file(bench: Any) -> None:
    picture = bench.picture("me.png")
    Path("taken").write_text("a file")
    assert_refused(bench.run("invert", picture, *bench.tiny, "--out", "taken"), 2, "--out")
    result = bench.run("invert", picture, *bench.tiny, "--out", "taken/deeper", "--mask", "centre")
    assert_refused(result, 1, "cannot write")
    assert Path("taken").read_text() == "a file"


def test_ctrl_c_leaves_whole_files_only(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import ganinv.files as files

    picture = bench.picture("me.png")
    calls = iter(range(1_000_000))
    real = os.replace

    def interrupted(source: Any, target: Any) -> None:
        if next(calls) == 2:
            raise KeyboardInterrupt
        real(source, target)

    monkeypatch.setattr(files.os, "replace", interrupted)
    result = bench.invert(picture, "--samples", 3)
    assert result.exit_code == 130
    assert "interrupted" in result.stderr
    assert leftovers(bench.folder / "out") == []
    assert len(list((bench.folder / "out").iterdir())) == 2
