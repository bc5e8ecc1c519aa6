"""`ganinv align` and `ganinv paste`: files, records, bad photos among good ones, shares of processes."""

from __future__ import annotations

import io
import json
import os
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from ganinv.align.sidecar import Sidecar
from ganinv.cli.shares import Share, finish, my_share
from ganinv.errors import UsageError

FACE = np.array([[-0.5, 0], [0.5, 0], [0, 0.6], [-0.35, 1.1], [0.35, 1.1]])


def five(size: float, x: float, y: float, angle: float = 0.0) -> list[list[float]]:
    """Five points of a face: eye distance, middle of the eyes, degrees."""
    c, s = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    found: list[list[float]] = (FACE * size @ np.array([[c, s], [-s, c]]) + [x, y]).tolist()
    return found


def photo(path: Path, size: tuple[int, int] = (160, 120), **options: Any) -> Path:
    """A picture of smooth colours, (width, height)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(len(path.name))
    coarse = Image.fromarray(rng.integers(60, 200, (6, 8, 3), dtype=np.uint8))
    coarse.resize(size, Image.Resampling.BICUBIC).save(path, **options)
    return path


@pytest.fixture
def two(bench: Any) -> Any:
    """A photo of two faces with their points."""
    photo(bench.folder / "me.png")
    points = [five(12, 50, 45, 15), five(16, 110, 60, -20)]
    (bench.folder / "points.json").write_text(json.dumps({"me.png": points}))
    return bench


def align(bench: Any, *arguments: object) -> Any:
    return bench.run("align", *arguments, "--points", "points.json", "--preset", "psp", "--size", 32)


# ---- one photo


def test_the_largest_face_and_back(two: Any) -> None:
    result = align(two, "me.png", "--out", "out", "--mask", "part:mouth", "--json")
    assert result.exit_code == 0, result.stderr
    assert sorted(path.name for path in Path("out").iterdir()) == ["me-mask.png", "me.align.json", "me.png"]
    assert two.printed(result)["outputs"][-1] == "out/me.png"
    record = Sidecar.load(Path("out/me.align.json"))
    assert [(face.index, face.crop) for face in record.faces] == [(0, "me.png")]
    assert (
        record.mask == "part:mouth" and record.shape == (120, 160) and record.detector == {"name": "points"}
    )
    assert np.allclose(record.faces[0].face.points, five(16, 110, 60, -20), atol=1e-3)
    assert two.pixels(Path("out/me.png")).shape == (32, 32, 3)
    mask = two.pixels(Path("out/me-mask.png"))
    assert 0 < (mask == 255).mean() < 0.3 and set(np.unique(mask)) == {0, 255}

    back = two.run("paste", "out/me.png", "--sidecar", "out/me.align.json", "--out", "back")
    assert back.exit_code == 0, back.stderr
    assert np.array_equal(two.pixels(Path("back/me-photo.png")), two.pixels(Path("me.png")))


def test_all_faces_go_back_in_one_run(two: Any) -> None:
    assert align(two, "me.png", "--out", "out", "--face", "all").exit_code == 0
    assert {path.name for path in Path("out").iterdir()} == {"me-0.png", "me-1.png", "me.align.json"}
    Path("changed").mkdir()
    for index, shift in ((0, 60), (1, -60)):
        pixels = two.pixels(Path(f"out/me-{index}.png")).astype(int) + shift
        for variant in ("00", "01"):
            Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(f"changed/me-{index}-{variant}.png")
    result = two.run("paste", "changed", "--sidecar", "out", "--photo", ".", "--out", "back", "--json")
    assert result.exit_code == 0, result.stderr
    assert two.printed(result)["outputs"] == ["back/me-00-photo.png", "back/me-01-photo.png"]
    before = two.pixels(Path("me.png")).astype(int)
    after = two.pixels(Path("back/me-01-photo.png")).astype(int)
    assert (after - before)[64, 110].mean() == pytest.approx(60, abs=3)
    assert (after - before)[48, 50].mean() == pytest.approx(-60, abs=3)
    assert np.array_equal(after[:5], before[:5]) and np.array_equal(after[:, -5:], before[:, -5:])


def test_a_chosen_face_and_other_blends(two: Any) -> None:
    assert align(two, "me.png", "--out", "out", "--face", 1).exit_code == 0
    assert Sidecar.load(Path("out/me.align.json")).faces[0].index == 1
    for blend in ("feather", "seamless"):
        assert (
            two.run("paste", "out/me.png", "--sidecar", "out", "--blend", blend, "--out", "b").exit_code == 0
        )
        assert np.array_equal(two.pixels(Path("b/me-photo.png")), two.pixels(Path("me.png")))


def test_listing(two: Any) -> None:
    result = two.run("align", "me.png", "--list", "--points", "points.json")
    assert result.exit_code == 0
    head, first, second = result.stdout.splitlines()
    assert head == "me.png: 160 x 120, 2 faces"
    assert first.split()[0] == "0" and "given" in first and "square of 64 px" in first
    assert second.split()[0] == "1" and "square of 48 px" in second
    listed = two.printed(two.run("align", "me.png", "--list", "--points", "points.json", "--json"))
    assert [face["face"] for face in listed["faces"]["me.png"]] == [0, 1]
    assert two.run("align", "me.png").exit_code == 2


def test_depth_metadata_and_profile_come_back(two: Any) -> None:
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "A camera"
    photo(Path("me.jpg"), exif=exif)
    Path("points.json").write_text(json.dumps(five(14, 60, 70)))  # in the upright photo
    assert align(two, "me.jpg", "--out", "out").exit_code == 0
    changed = two.pixels(Path("out/me.png"))
    Image.fromarray(np.where(changed > 128, 255, changed).astype(np.uint8)).save("me-1.png")
    assert two.run("paste", "me-1.png", "--sidecar", "out", "--out", "back").exit_code == 0
    with Image.open("back/me-1-photo.png") as image:
        assert image.size == (120, 160) and image.getexif()[0x010F] == "A camera"
        assert 0x0112 not in image.getexif()


def test_a_square_much_larger_than_the_crop_warns(two: Any) -> None:
    photo(Path("big.png"), (400, 400))
    Path("points.json").write_text(json.dumps(five(60, 200, 180)))
    result = align(two, "big.png", "--out", "out")
    assert "face 0 is 240 px wide in the photo and 32 px in the crop" in result.stderr


# ---- mistakes


def refused(result: Any, code: int, *texts: str) -> None:
    assert result.exit_code == code, result.output
    error = result.stderr.splitlines()[-1]
    assert error.startswith("Error: ")
    for text in texts:
        assert text in error


def test_usage(two: Any) -> None:
    refused(align(two, "me.png"), 2, "type --out FOLDER for the crops, or --list")
    refused(align(two, "me.png", "--out", "o", "--face", "biggest"), 2, "type largest, all, or a number")
    refused(two.run("align", "me.png", "--out", "o", "--preset", "ffqh"), 2, "did you mean 'ffhq'")
    refused(two.run("align", "me.png", "--out", "o", "--detector", "dlb"), 2, "did you mean 'dlib'")
    refused(two.run("align", "me.png", "--out", "o", "--size", 5), 2, "--size 5: give 8 to 4096 pixels")
    refused(align(two, "me.png", "--out", "o", "--mask", "part:ear"), 2, "unknown part of a face 'ear'")
    refused(align(two, "me.png", "--out", "o", "--mask", "box:1,2"), 2, "is not box:x,y,w,h")
    refused(align(two, "me.png", "--out", "."), 2, "a result would be written over the input me.png")
    refused(align(two, "me.png", "--out", "o", "--face", 5), 1, "there is no face 5: 2 faces, 0 to 1")
    refused(align(two, "absent.png", "--out", "o"), 1, "no such file: absent.png")
    refused(
        two.run("align", "me.png", "--out", "o", "--points", "gone.json"), 1, "cannot read the points of gone"
    )
    assert not Path("o").exists()


def test_masks_of_photos(two: Any) -> None:
    def masked(mask: object, *more: object) -> Any:
        return align(two, "me.png", "--out", "out", "--mask", mask, *more)

    half = np.zeros((120, 160), np.uint8)
    half[:, 90:] = 255
    two.mask("half.png", half, (160, 120))
    result = masked("half.png", "--face", 1)
    refused(result, 1, "the mask erases nothing of face 1: all of it lies outside the face's square")
    result = masked("half.png", "--face", "all")
    assert result.exit_code == 0 and "the mask erases nothing of face 1, which is left out" in result.stderr
    assert [record.index for record in Sidecar.load(Path("out/me.align.json")).faces] == [0]
    result = masked("half.png")
    assert result.exit_code == 0
    assert "lies outside the square of face 0, and stays" in result.stderr
    assert (
        "more than half" in result.stderr
        and "is your mask inverted? --mask-polarity keep-white" in result.stderr
    )
    two.mask("small.png", np.zeros((8, 8)), (8, 8))
    refused(masked("small.png"), 1, "give a mask of the picture's shape")
    refused(masked("box:500,0,5,5"), 1, "box:500,0,5,5 lies beyond the photo of 160 x 120")
    refused(masked("alpha"), 1, "--mask alpha needs a picture with transparency")
    assert masked("box:100,60,20,10").exit_code == 0
    assert masked("half-left").exit_code == 0
    left = two.pixels(Path("out/me-mask.png"))
    assert (left[:, :15] == 255).all() and (left[:, 17:] == 0).all()


def test_masks_are_paired_by_name(two: Any) -> None:
    for name in ("a", "b", "c"):
        photo(two.folder / "photos" / f"{name}.png")
    Path("points.json").write_text(json.dumps(five(16, 80, 50)))
    Path("masks").mkdir()
    refused(align(two, "photos", "--out", "out", "--mask", "masks"), 1, "the mask folder masks is empty")
    for name, column in (("a", 70), ("c-mask", 90), ("z", 75)):
        spot = np.zeros((120, 160), np.uint8)
        spot[50:60, column : column + 5] = 255
        two.mask(f"masks/{name}.png", spot, (160, 120))
    result = align(two, "photos", "--out", "out", "--mask", "masks", "--json")
    assert result.exit_code == 1
    (failure,) = two.printed(result)["failures"]
    assert failure["input"] == "photos/b.png"
    assert "no mask for photos/b.png: looked for masks/b.png (or .jpg, ...)" in failure["error"]
    centres = [np.nonzero(two.pixels(Path(f"out/{name}-mask.png")))[1].mean() for name in "ac"]
    assert centres[0] < 14 and centres[1] > 18


def test_pasting_what_does_not_belong(two: Any) -> None:
    assert align(two, "me.png", "--out", "out").exit_code == 0

    def paste(*arguments: object) -> Any:
        return two.run("paste", *arguments, "--out", "back")

    photo(Path("you.png"), (32, 32))
    result = paste("you.png", "out/me.png", "--sidecar", "out")
    assert result.exit_code == 1 and "you.png begins with the name of no crop; crops: me" in result.stderr
    assert Path("back/me-photo.png").is_file()
    refused(paste("out/me.png", "--sidecar", "masks"), 2, "does not exist")
    Path("empty").mkdir()
    refused(paste("out/me.png", "--sidecar", "empty"), 2, "empty holds no file *.align.json")
    Path("bad.align.json").write_text("{}")
    refused(paste("out/me.png", "--sidecar", "bad.align.json"), 1, "is no sidecar of 'ganinv align'")
    refused(
        paste("out/me.png", "--sidecar", "out", "--photo", "you.png"), 1, "is not the photo that was aligned"
    )
    Image.new("RGB", (30, 20)).save("me-wide.png")
    refused(paste("me-wide.png", "--sidecar", "out"), 1, "the result for face 0 is 30 x 20; a crop is square")
    Path("other").mkdir()
    photo(Path("other/me.png"), (32, 32))
    refused(paste("out/me.png", "other/me.png", "--sidecar", "out"), 2, "would both be written as me-*")
    Path("me.png").unlink()
    refused(paste("out/me.png", "--sidecar", "out"), 1, "the photo me.png is not at", "type --photo")


# ---- folders


def bad_files(folder: Path) -> dict[str, str]:
    """Files that cannot be used, each with a part of its message; beside them, two odd ones that can."""
    (folder / "empty.png").touch()
    (folder / "text.png").write_text("I am not a picture")
    whole = photo(folder / "whole.png").read_bytes()
    (folder / "cut.png").write_bytes(whole[: len(whole) // 2])
    (folder / "apple.heic").write_bytes(struct.pack(">I", 24) + b"ftypheic" + bytes(400))
    buffer = io.BytesIO()
    Image.new("1", (20000, 20000)).save(buffer, "PNG")
    (folder / "huge.png").write_bytes(buffer.getvalue())
    (folder / "float.tif").parent.mkdir(exist_ok=True)
    Image.new("F", (20, 20), 0.5).save(folder / "float.tif")
    photo(folder / "tiny.png", (10, 10))
    return {
        "empty.png": "is empty (0 bytes)",
        "text.png": "is not a picture that can be read",
        "cut.png": "is truncated or damaged",
        "apple.heic": "is a HEIC picture, and no decoder is installed",
        "huge.png": "is larger than 89 million pixels",
        "float.tif": "has floating-point pixels",
        "tiny.png": "lies beyond the photo of 10 x 10",
    }


def good_files(folder: Path) -> list[str]:
    """Odd files that can be used."""
    names = ["with space.png", "unicode-ü-漢.png", "line\nbreak.png"]
    for name in names:
        photo(folder / name)
    first = Image.new("RGB", (160, 120), "red")
    first.save(folder / "moving.gif", save_all=True, append_images=[Image.new("RGB", (160, 120), "blue")])
    photo(folder / "exif.jpg", exif=b"Exif\0\0MM\0\x2a\0\0\0\x08\xff\xff" + b"\x01" * 40)
    Image.new("CMYK", (160, 120), (9, 99, 19, 9)).save(folder / "cmyk.jpg")
    Image.fromarray(np.full((120, 160), 40000, np.uint16)).save(folder / "deep.png")
    Image.new("P", (160, 120), 3).save(folder / "palette.png", transparency=3)
    return [*names, "moving.gif", "exif.jpg", "cmyk.jpg", "deep.png", "palette.png", "whole.png"]


@pytest.mark.parametrize("workers", [1, 2])
def test_a_folder_with_bad_files(two: Any, workers: int) -> None:
    folder = two.folder / "photos"
    folder.mkdir()
    bad, good = bad_files(folder), good_files(folder)
    Path("points.json").write_text(json.dumps(five(16, 80, 50)))
    result = align(two, "photos", "--out", "out", "--workers", workers, "--json")
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
    again = align(two, "photos", "--out", "out", "--skip-existing", "--json")
    assert len(two.printed(again)["skipped"]) == len(good) and two.printed(again)["outputs"] == []


def test_line_breaks_in_names_stay_on_one_line(two: Any) -> None:
    photo(two.folder / "photos" / "line\nbreak.png")
    photo(two.folder / "photos" / "plain.png")
    Path("points.json").write_text(json.dumps(five(16, 80, 50)))
    result = align(two, "photos", "--out", "out")
    assert "photos/line\\nbreak.png -> out/line\\nbreak.png (2 files)" in result.stdout.splitlines()


def test_an_unreadable_folder_is_told_and_the_rest_done(two: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    photo(two.folder / "photos" / "locked" / "a.png")
    photo(two.folder / "photos" / "open" / "b.png")
    Path("points.json").write_text(json.dumps(five(16, 80, 50)))
    scan, allowed = os.scandir, os.access

    def guarded(path: Any) -> Any:
        if str(path).endswith("locked"):
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", guarded)
    monkeypatch.setattr(
        os, "access", lambda path, mode: not str(path).endswith("locked") and allowed(path, mode)
    )
    result = align(two, "photos", "--out", "out")
    assert result.exit_code == 1
    assert "cannot read the folder photos/locked: no permission" in result.stderr
    assert Path("out/open/b.png").is_file()


def test_no_face_and_a_face_at_the_border(bench: Any) -> None:
    pytest.importorskip("dlib", reason="dlib is not installed (extra align)")
    photo(bench.folder / "photos" / "wall.png")
    photo(bench.folder / "photos" / "tiny.png", (10, 10))
    result = bench.run("align", "photos", "--out", "out", "--json")
    errors = [failure["error"] for failure in bench.printed(result)["failures"]]
    assert [e.split(" in this")[1].split(";")[0] for e in errors] == [
        " photo of 10 x 10",
        " photo of 160 x 120",
    ]
    photo(bench.folder / "edge.png")
    (bench.folder / "edge.json").write_text(json.dumps(five(16, 5, 50)))
    result = bench.run("align", "edge.png", "--points", "edge.json", "--preset", "psp", "--out", "out")
    assert result.exit_code == 0 and "face 0 is cut by the border: only" in result.stderr


def test_the_command_for_invert_goes_on_past_bad_photos(two: Any) -> None:
    folder = two.folder / "photos"
    folder.mkdir()
    bad = bad_files(folder)
    Path("points.json").write_text(json.dumps(five(16, 80, 50)))
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


def test_16_bits_come_back(two: Any) -> None:
    deep = np.random.default_rng(0).integers(0, 65536, (120, 160, 3)).astype(np.uint16)
    Path("deep.png").write_bytes(cv2.imencode(".png", deep)[1].tobytes())
    Path("points.json").write_text(json.dumps(five(16, 80, 50)))
    assert align(two, "deep.png", "--out", "out", "--mask", "box:75,55,12,9").exit_code == 0
    Image.new("RGB", (32, 32), (9, 99, 199)).save("deep-00.png")
    hole = np.zeros((120, 160), bool)
    hole[55:64, 75:87] = True
    Path("out/deep.png").rename("deep-01.png")
    result = two.run("paste", "deep-00.png", "deep-01.png", "--sidecar", "out", "--out", "back")
    assert result.exit_code == 0, result.stderr
    after = cv2.imread("back/deep-00-photo.png", cv2.IMREAD_UNCHANGED)
    assert (
        after.dtype == np.uint16
        and np.array_equal(after[:10], deep[:10])
        and (after[hole] != deep[hole]).any()
    )
    same = cv2.imread("back/deep-01-photo.png", cv2.IMREAD_UNCHANGED)
    assert np.array_equal(same, deep)


def test_skip_existing_redoes_what_is_not_whole_or_was_another(two: Any) -> None:
    assert align(two, "me.png", "--out", "out").exit_code == 0

    def skipped(*arguments: object) -> bool:
        return bool(
            two.printed(align(two, "me.png", "--out", "out", "--skip-existing", "--json", *arguments))[
                "skipped"
            ]
        )

    assert skipped()
    Path("out/me.png").unlink()
    assert not skipped() and skipped()
    Path("out/me.align.json").write_text("{")
    assert not skipped() and skipped()
    assert not skipped("--mask", "part:eyes") and skipped("--mask", "part:eyes")
    other = two.run("align", "me.png", "--points", "points.json", "--out", "out", "--skip-existing", "--json")
    assert not two.printed(other)["skipped"]


# ---- several processes


def test_shares_of_a_launch() -> None:
    assert my_share({}) == Share(0, 1, "")
    torchrun = {"RANK": "1", "WORLD_SIZE": "3", "TORCHELASTIC_RUN_ID": "x", "TORCHELASTIC_RESTART_COUNT": "0"}
    assert my_share(torchrun) == Share(1, 3, "x.0")
    slurm = {"SLURM_PROCID": "2", "SLURM_NTASKS": "4", "SLURM_JOB_ID": "77", "SLURM_STEP_ID": "1"}
    assert my_share(slurm) == Share(2, 4, "77.1")
    assert my_share(slurm | {"SLURM_JOB_NAME": "interactive"}) == Share()
    parts = [Share(rank, 3).of(range(10)) for rank in range(3)]
    assert sorted(item for part in parts for item in part) == list(range(10))
    for bad in ({"RANK": "3", "WORLD_SIZE": "3"}, {"RANK": "x", "WORLD_SIZE": "3"}):
        with pytest.raises(UsageError, match="the place of this process is unclear: RANK="):
            my_share(bad)


def test_reports_of_shares_are_merged_by_the_last(tmp_path: Path) -> None:
    def report(*outputs: str) -> dict[str, Any]:
        return {
            "outputs": list(outputs),
            "inputs": list(outputs),
            "skipped": [],
            "failures": [],
            "options": {"a": 1},
        }

    assert finish(Share(0, 2, "old"), tmp_path, "r", report("stale")) is None
    assert finish(Share(1, 2, "new"), tmp_path, "r", report("b")) is None  # the other is of another launch
    merged = finish(Share(0, 2, "new"), tmp_path, "r", report("a"))
    assert merged is not None
    found = json.loads(merged.read_text())
    assert found["outputs"] == ["a", "b"] and found["processes"] == 2 and found["options"] == {"a": 1}


def test_a_folder_by_two_processes_one_of_them_killed(two: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for index in range(7):
        photo(two.folder / "photos" / f"{index}.png")
    Path("points.json").write_text(json.dumps(five(16, 80, 50)))
    monkeypatch.setenv("WORLD_SIZE", "2")

    def share(rank: int, *more: object) -> Any:
        monkeypatch.setenv("RANK", str(rank))
        return align(two, "photos", "--out", "out", *more)

    first = share(0)  # the other is killed, and never reports
    assert first.exit_code == 0 and "process 0 of 2: 4 of 7 photos" in first.stderr
    assert "the last process to end writes out/align-report.json" in first.stderr
    assert not Path("out/align-report.json").exists() and len(list(Path("out").glob("[0-9].png"))) == 4
    assert share(1, "--skip-existing").exit_code == 0
    merged = json.loads(Path("out/align-report.json").read_text())
    assert len(merged["outputs"]) == 14 and len(merged["inputs"]) == 7 and not merged["failures"]
    monkeypatch.delenv("RANK")
    monkeypatch.delenv("WORLD_SIZE")
    Path("out/3.png").unlink()
    alone = align(two, "photos", "--out", "out", "--skip-existing")
    assert alone.exit_code == 0
    whole = json.loads(Path("out/align-report.json").read_text())
    assert len(whole["skipped"]) == 6 and [Path(p).name for p in whole["outputs"]] == [
        "3.align.json",
        "3.png",
    ]


def test_a_killed_worker_is_told(two: Any) -> None:
    """A worker that is ended from outside leaves one line, not a traceback."""
    for index in range(3):
        photo(two.folder / "photos" / f"{index}.png")
    code = (
        "import os, sys\nfrom functools import partial\nfrom pathlib import Path\n"
        "from ganinv.cli.inputs import Job\nfrom ganinv.cli.folder import FolderReport, run_folder\n"
        "from ganinv.errors import InputError\n"
        "if __name__ == '__main__':\n"
        "    jobs = [Job(Path(name), name) for name in 'abc']\n"
        "    try: run_folder(jobs, os._exit, FolderReport(False, [], {}), 2)\n"
        "    except InputError as e: print(e)\n"
    )
    Path("run.py").write_text(
        code.replace("os._exit", "partial(killed)").replace(
            "if __name__", "def killed(job): os._exit(9)\nif __name__"
        )
    )
    env = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    said = subprocess.run([sys.executable, "run.py"], capture_output=True, text=True, env=env, check=True)
    assert (
        "a worker process was ended from outside" in said.stdout and "--skip-existing to go on" in said.stdout
    )
