"""What `ganinv align` and `ganinv paste` refuse, and what their masks warn of."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ganinv.align.sidecar import Sidecar


def test_usage(two: Any) -> None:
    two.refused(two.align("me.png"), 2, "type --out FOLDER for the crops, or --list")
    two.refused(two.align("me.png", "--out", "o", "--face", "biggest"), 2, "type largest, all, or a number")
    two.refused(two.run("align", "me.png", "--out", "o", "--preset", "ffqh"), 2, "did you mean 'ffhq'")
    two.refused(two.run("align", "me.png", "--out", "o", "--detector", "dlb"), 2, "did you mean 'dlib'")
    two.refused(two.run("align", "me.png", "--out", "o", "--size", 5), 2, "--size 5: give 8 to 4096 pixels")
    two.refused(two.align("me.png", "--out", "o", "--mask", "part:ear"), 2, "unknown part of a face 'ear'")
    two.refused(two.align("me.png", "--out", "o", "--mask", "box:1,2"), 2, "is not box:x,y,w,h")
    two.refused(two.align("me.png", "--out", "."), 2, "a result would be written over the input me.png")
    two.refused(two.align("me.png", "--out", "o", "--face", 5), 1, "there is no face 5: 2 faces, 0 to 1")
    two.refused(two.align("absent.png", "--out", "o"), 1, "no such file: absent.png")
    two.refused(
        two.run("align", "me.png", "--out", "o", "--points", "gone.json"), 1, "cannot read the points of gone"
    )
    assert not Path("o").exists()


def test_masks_of_photos(two: Any) -> None:
    def masked(mask: object, *more: object) -> Any:
        return two.align("me.png", "--out", "out", "--mask", mask, *more)

    half = np.zeros((120, 160), np.uint8)
    half[:, 90:] = 255
    two.mask("half.png", half, (160, 120))
    result = masked("half.png", "--face", 1)
    two.refused(result, 1, "the mask erases nothing of face 1: all of it lies outside the face's square")
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
    two.refused(masked("small.png"), 1, "give a mask of the picture's shape")
    two.refused(masked("box:500,0,5,5"), 1, "box:500,0,5,5 lies beyond the photo of 160 x 120")
    two.refused(masked("alpha"), 1, "--mask alpha needs a picture with transparency")
    assert masked("box:100,60,20,10").exit_code == 0
    assert masked("half-left").exit_code == 0
    left = two.pixels(Path("out/me-mask.png"))
    assert (left[:, :15] == 255).all() and (left[:, 17:] == 0).all()


def test_masks_are_paired_by_name(two: Any) -> None:
    for name in ("a", "b", "c"):
        two.photo(two.folder / "photos" / f"{name}.png")
    Path("points.json").write_text(json.dumps(two.five(16, 80, 50)))
    Path("masks").mkdir()
    two.refused(two.align("photos", "--out", "out", "--mask", "masks"), 1, "the mask folder masks is empty")
    for name, column in (("a", 70), ("c-mask", 90), ("z", 75)):
        spot = np.zeros((120, 160), np.uint8)
        spot[50:60, column : column + 5] = 255
        two.mask(f"masks/{name}.png", spot, (160, 120))
    result = two.align("photos", "--out", "out", "--mask", "masks", "--json")
    assert result.exit_code == 1
    (failure,) = two.printed(result)["failures"]
    assert failure["input"] == "photos/b.png"
    assert "no mask for photos/b.png: looked for masks/b.png (or .jpg, ...)" in failure["error"]
    centres = [np.nonzero(two.pixels(Path(f"out/{name}-mask.png")))[1].mean() for name in "ac"]
    assert centres[0] < 14 and centres[1] > 18


def test_pasting_what_does_not_belong(two: Any) -> None:
    assert two.align("me.png", "--out", "out").exit_code == 0

    def paste(*arguments: object) -> Any:
        return two.run("paste", *arguments, "--out", "back")

    two.photo(Path("you.png"), (32, 32))
    result = paste("you.png", "out/me.png", "--sidecar", "out")
    assert result.exit_code == 1 and "you.png begins with the name of no crop; crops: me" in result.stderr
    assert Path("back/me-photo.png").is_file()
    two.refused(paste("out/me.png", "--sidecar", "masks"), 2, "does not exist")
    Path("empty").mkdir()
    two.refused(paste("out/me.png", "--sidecar", "empty"), 2, "empty holds no file *.align.json")
    Path("bad.align.json").write_text("{}")
    two.refused(paste("out/me.png", "--sidecar", "bad.align.json"), 1, "is no sidecar of 'ganinv align'")
    two.refused(
        paste("out/me.png", "--sidecar", "out", "--photo", "you.png"), 1, "is not the photo that was aligned"
    )
    Image.new("RGB", (30, 20)).save("me-wide.png")
    two.refused(
        paste("me-wide.png", "--sidecar", "out"), 1, "the result for face 0 is 30 x 20; a crop is square"
    )
    Path("other").mkdir()
    two.photo(Path("other/me.png"), (32, 32))
    two.refused(paste("out/me.png", "other/me.png", "--sidecar", "out"), 2, "would both be written as me-*")
    Path("me.png").unlink()
    two.refused(paste("out/me.png", "--sidecar", "out"), 1, "the photo me.png is not at", "type --photo")
