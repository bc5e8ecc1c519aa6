"""`ganinv align` on folders: bad photos among good ones are told and left out."""

from __future__ import annotations

import io
import json
import os
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image


def bad_files(bench: Any, folder: Path) -> dict[str, str]:
    """Files that cannot be used, each with a part of its message; beside them, two odd ones that can."""
    (folder / "empty.png").touch()
    (folder / "text.png").write_text("I am not a picture")
    whole = bench.photo(folder / "whole.png").read_bytes()
    (folder / "cut.png").write_bytes(whole[: len(whole) // 2])
    (folder / "apple.heic").write_bytes(struct.pack(">I", 24) + b"ftypheic" + bytes(400))
    buffer = io.BytesIO()
    Image.new("1", (20000, 20000)).save(buffer, "PNG")
    (folder / "huge.png").write_bytes(buffer.getvalue())
    (folder / "float.tif").parent.mkdir(exist_ok=True)
    Image.new("F", (20, 20), 0.5).save(folder / "float.tif")
    bench.photo(folder / "tiny.png", (10, 10))
    return {
        "empty.png": "is empty (0 bytes)",
        "text.png": "is not a picture that can be read",
        "cut.png": "is truncated or damaged",
        "apple.heic": "is a HEIC picture, and no decoder is installed",
        "huge.png": "is larger than 89 million pixels",
        "float.tif": "has floating-point pixels",
        "tiny.png": "lies beyond the photo of 10 x 10",
    }


def good_files(bench: Any, folder: Path) -> list[str]:
    """Odd files that can be used."""
    names = ["with space.png", "unicode-ü-漢.png", "line\nbreak.png"]
    for name in names:
        bench.photo(folder / name)
    first = Image.new("RGB", (160, 120), "red")
    first.save(folder / "moving.gif", save_all=True, append_images=[Image.new("RGB", (160, 120), "blue")])
    bench.photo(folder / "exif.jpg", exif=b"Exif\0\0MM\0\x2a\0\0\0\x08\xff\xff" + b"\x01" * 40)
    Image.new("CMYK", (160, 120), (9, 99, 19, 9)).save(folder / "cmyk.jpg")
    Image.fromarray(np.full((120, 160), 40000, np.uint16)).save(folder / "deep.png")
    Image.new("P", (160, 120), 3).save(folder / "palette.png", transparency=3)
    return [*names, "moving.gif", "exif.jpg", "cmyk.jpg", "deep.png", "palette.png", "whole.png"]


@pytest.mark.parametrize("workers", [1, 2])
def test_a_folder_with_bad_files(two: Any, workers: int) -> None:
    folder = two.folder / "photos"
    folder.mkdir()
    bad, good = bad_files(two, folder), good_files(two, folder)
    Path("points.json").write_text(json.dumps(two.five(16, 80, 50)))
    result = two.align("photos", "--out", "out", "--workers", workers, "--json")
    assert result.exit_code == 1
    report = two.printed(result)
    told = {Path(failure["input"]).name: failure["error"] for failure in report["failures"]}
    assert set(told) == set(bad)
    for name, text in bad.items():
        assert text in told[name], name
    for name in good:
        assert (Path("out") / f"{Path(name).stem}.png").is_file(), name
        assert (Path("out") / f"{Path(name).stem}.align.json").is_file(), name
    assert "Warning: photos/moving.gif: moving.gif has several frames; the first is used" in result.stderr
    assert all(line.startswith(("Warning: ", "Error: ", "9 of 16")) for line in result.stderr.splitlines())
    merged = json.loads(Path("out/align-report.json").read_text())
    assert merged == report
    again = two.align("photos", "--out", "out", "--skip-existing", "--json")
    assert len(two.printed(again)["skipped"]) == len(good) and two.printed(again)["outputs"] == []


def test_line_breaks_in_names_stay_on_one_line(two: Any) -> None:
    two.photo(two.folder / "photos" / "line\nbreak.png")
    two.photo(two.folder / "photos" / "plain.png")
    Path("points.json").write_text(json.dumps(two.five(16, 80, 50)))
    result = two.align("photos", "--out", "out")
    assert "photos/line\\nbreak.png -> out/line\\nbreak.png (2 files)" in result.stdout.splitlines()


def test_an_unreadable_folder_is_told_and_the_rest_done(two: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    two.photo(two.folder / "photos" / "locked" / "a.png")
    two.photo(two.folder / "photos" / "open" / "b.png")
    Path("points.json").write_text(json.dumps(two.five(16, 80, 50)))
    scan, allowed = os.scandir, os.access

    def guarded(path: Any) -> Any:
        if str(path).endswith("locked"):
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", guarded)
    monkeypatch.setattr(
        os, "access", lambda path, mode: not str(path).endswith("locked") and allowed(path, mode)
    )
    result = two.align("photos", "--out", "out")
    assert result.exit_code == 1
    assert "cannot read the folder photos/locked: no permission" in result.stderr
    assert Path("out/open/b.png").is_file()


def test_no_face_and_a_face_at_the_border(bench: Any) -> None:
    pytest.importorskip("dlib", reason="dlib is not installed (extra align)")
    bench.photo(bench.folder / "photos" / "wall.png")
    bench.photo(bench.folder / "photos" / "tiny.png", (10, 10))
    result = bench.run("align", "photos", "--out", "out", "--json")
    errors = [failure["error"] for failure in bench.printed(result)["failures"]]
    assert [e.split(" in this")[1].split(";")[0] for e in errors] == [
        " photo of 10 x 10",
        " photo of 160 x 120",
    ]
    bench.photo(bench.folder / "edge.png")
    (bench.folder / "edge.json").write_text(json.dumps(bench.five(16, 5, 50)))
    result = bench.run("align", "edge.png", "--points", "edge.json", "--preset", "psp", "--out", "out")
    assert result.exit_code == 0 and "face 0 is cut by the border: only" in result.stderr


def test_the_command_for_invert_goes_on_past_bad_photos(two: Any) -> None:
    folder = two.folder / "photos"
    folder.mkdir()
    bad = bad_files(two, folder)
    Path("points.json").write_text(json.dumps(two.five(16, 80, 50)))
    arguments = (
        "photos",
        "--align",
        "--points",
        "points.json",
        "--mask",
        "part:nose",
        "--paste-back",
        "--json",
    )
    result = two.invert(*arguments)
    assert result.exit_code == 1
    assert {Path(failure["input"]).name for failure in two.printed(result)["failures"]} == set(bad)
    assert Path("out/whole-00-photo.png").is_file() and Path("out/whole.align.json").is_file()
