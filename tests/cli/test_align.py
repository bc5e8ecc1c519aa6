"""`ganinv align` and `ganinv paste` on one photo: files, records, and every pixel back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from ganinv.align.sidecar import Sidecar


def test_the_largest_face_and_back(two: Any) -> None:
    result = two.align("me.png", "--out", "out", "--mask", "part:mouth", "--json")
    assert result.exit_code == 0, result.stderr
    assert sorted(path.name for path in Path("out").iterdir()) == ["me-mask.png", "me.align.json", "me.png"]
    assert two.printed(result)["outputs"][-1] == "out/me.png"
    record = Sidecar.load(Path("out/me.align.json"))
    assert [(face.index, face.crop) for face in record.faces] == [(0, "me.png")]
    assert (
        record.mask == "part:mouth" and record.shape == (120, 160) and record.detector == {"name": "points"}
    )
    assert np.allclose(record.faces[0].face.points, two.five(16, 110, 60, -20), atol=1e-3)
    assert two.pixels(Path("out/me.png")).shape == (32, 32, 3)
    mask = two.pixels(Path("out/me-mask.png"))
    assert 0 < (mask == 255).mean() < 0.3 and set(np.unique(mask)) == {0, 255}

    back = two.run("paste", "out/me.png", "--sidecar", "out/me.align.json", "--out", "back")
    assert back.exit_code == 0, back.stderr
    assert np.array_equal(two.pixels(Path("back/me-photo.png")), two.pixels(Path("me.png")))


def test_all_faces_go_back_in_one_run(two: Any) -> None:
    assert two.align("me.png", "--out", "out", "--face", "all").exit_code == 0
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
    assert two.align("me.png", "--out", "out", "--face", 1).exit_code == 0
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
    two.photo(Path("me.jpg"), exif=exif)
    Path("points.json").write_text(json.dumps(two.five(14, 60, 70)))  # in the upright photo
    assert two.align("me.jpg", "--out", "out").exit_code == 0
    changed = two.pixels(Path("out/me.png"))
    Image.fromarray(np.where(changed > 128, 255, changed).astype(np.uint8)).save("me-1.png")
    assert two.run("paste", "me-1.png", "--sidecar", "out", "--out", "back").exit_code == 0
    with Image.open("back/me-1-photo.png") as image:
        assert image.size == (120, 160) and image.getexif()[0x010F] == "A camera"
        assert 0x0112 not in image.getexif()


def test_a_square_much_larger_than_the_crop_warns(two: Any) -> None:
    two.photo(Path("big.png"), (400, 400))
    Path("points.json").write_text(json.dumps(two.five(60, 200, 180)))
    result = two.align("big.png", "--out", "out")
    assert "face 0 is 240 px wide in the photo and 32 px in the crop" in result.stderr


def test_16_bits_come_back(two: Any) -> None:
    deep = np.random.default_rng(0).integers(0, 65536, (120, 160, 3)).astype(np.uint16)
    Path("deep.png").write_bytes(cv2.imencode(".png", deep)[1].tobytes())
    Path("points.json").write_text(json.dumps(two.five(16, 80, 50)))
    assert two.align("deep.png", "--out", "out", "--mask", "box:75,55,12,9").exit_code == 0
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
    assert two.align("me.png", "--out", "out").exit_code == 0

    def skipped(*arguments: object) -> bool:
        return bool(
            two.printed(two.align("me.png", "--out", "out", "--skip-existing", "--json", *arguments))[
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
