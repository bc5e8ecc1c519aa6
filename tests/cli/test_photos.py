"""From the photo and back in one command: `--align` and `--paste-back` of invert and edit."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ganinv.align.photo import Result, paste_results
from ganinv.align.sidecar import Sidecar
from ganinv.api import Inversion, open_picture
from ganinv.images import read_picture


@pytest.fixture
def shown(bench: Any) -> Any:
    """me.png, 160 x 120, with two faces whose points are told; mask.png erases a box of the larger one."""
    rng = np.random.default_rng(2)
    coarse = Image.fromarray(rng.integers(60, 200, (6, 8, 3), dtype=np.uint8))
    coarse.resize((160, 120), Image.Resampling.BICUBIC).save("me.png")
    points = [bench.five(14, 45, 50), bench.five(17, 110, 60)]
    Path("points.json").write_text(json.dumps({"me.png": points}))
    hole = np.zeros((120, 160), np.uint8)
    hole[55:75, 100:125] = 255
    bench.mask("mask.png", hole, (160, 120))
    return bench


POINTS = ("--align", "--points", "points.json")


def test_one_command(shown: Any) -> None:
    arguments = ("me.png", "--mask", "mask.png", *POINTS, "--paste-back", "--samples", 3)
    result = shown.invert(*arguments, "--json")
    assert result.exit_code == 0, result.stderr
    names = {Path(path).name for path in shown.printed(result)["outputs"]}
    assert names == {path.name for path in Path("out").iterdir()}
    pasted = [f"me-{index:02d}-photo.png" for index in range(3)]
    assert {*pasted, "me.align.json", "me-00.png", "me-input.png", "me-mask.png", "me-sheet.png"} <= names
    before, hole = shown.pixels(Path("me.png")), shown.pixels(Path("mask.png")) > 0
    photos = [shown.pixels(Path("out") / name) for name in pasted]
    for after in photos:
        assert np.array_equal(after[~hole], before[~hole])  # bit for bit what the mask left
        assert (after[hole] != before[hole]).any()
    assert not np.array_equal(photos[0], photos[1])
    assert shown.pixels(Path("out/me-input.png")).shape == (16, 16, 3)
    first = {path.name: path.read_bytes() for path in Path("out").iterdir()}
    assert shown.invert(*arguments).exit_code == 0
    assert {path.name: path.read_bytes() for path in Path("out").iterdir()} == first  # the same bytes again


def test_the_pasted_photo_is_what_the_parts_say(shown: Any) -> None:
    """Without a mask the difference between the answer and the crop is added, warped back."""
    assert shown.invert("me.png", *POINTS, "--paste-back").exit_code == 0
    record = Sidecar.load(Path("out/me.align.json"))
    picture = read_picture("me.png")
    answer = shown.pixels(Path("out/me-00.png"))
    expected = paste_results(picture, record, {0: Result(answer)}, "feather").colours
    assert np.array_equal(shown.pixels(Path("out/me-00-photo.png")), expected)
    again = shown.run("paste", "out/me-00.png", "--sidecar", "out", "--out", "back")
    assert again.exit_code == 0, again.stderr
    assert np.array_equal(shown.pixels(Path("back/me-00-photo.png")), expected)


@pytest.mark.parametrize("blend", ["feather", "seamless"])
def test_all_faces_of_a_photo(shown: Any, blend: str) -> None:
    mask = ("--mask", "part:eyes", "--face", "all", "--blend", blend)
    result = shown.invert("me.png", *POINTS, *mask, "--paste-back", "--samples", 2)
    assert result.exit_code == 0, result.stderr
    record = Sidecar.load(Path("out/me.align.json"))
    holes = [face.hole for face in record.faces]
    assert len(holes) == 2 and all(hole is not None and hole.any() for hole in holes)
    before, after = shown.pixels(Path("me.png")), shown.pixels(Path("out/me-01-photo.png"))
    changed = (before != after).any(2)
    assert all((changed & hole).any() for hole in holes) and not (changed & ~holes[0] & ~holes[1]).any()
    assert Path("out/me-0-00.png").is_file() and Path("out/me-1.inversion.safetensors").is_file()


def test_edit_of_photos_and_of_what_was_inverted_before(shown: Any) -> None:
    direction = ("--direction", "age", "--strength", 2)
    result = shown.edit("me.png", *shown.tiny[:2], *POINTS, "--paste-back", *direction, "--face", "all")
    assert result.exit_code == 0, result.stderr
    names = {path.name for path in Path("edits").iterdir()}
    assert names == {"me-0-00-edit.png", "me-1-00-edit.png", "me-00-edit-photo.png", "me.align.json"}
    assert shown.pixels(Path("edits/me-00-edit-photo.png")).shape == (120, 160, 3)

    assert shown.invert("me.png", "--mask", "mask.png", *POINTS, "--samples", 2).exit_code == 0
    saved = "out/me.inversion.safetensors"
    assert Inversion.load(saved).options["alignment"] == {"sidecar": "me.align.json", "face": 0}
    before, hole = shown.pixels(Path("me.png")), shown.pixels(Path("mask.png")) > 0
    assert shown.edit(saved, *direction, "--paste-back", "--keep-known", "--sample", 1).exit_code == 0
    after = shown.pixels(Path("edits/me-01-edit-photo.png"))
    assert np.array_equal(after[~hole], before[~hole]) and (after != before).any()
    assert shown.edit(saved, *direction, "--paste-back").exit_code == 0
    whole = shown.pixels(Path("edits/me-00-edit-photo.png"))
    assert (whole[~hole] != before[~hole]).any() and np.array_equal(whole[:5], before[:5])

    nothing = ("--direction", "age", "--strength", 0, "--paste-back", "--change-only")
    assert shown.edit("me.png", *shown.tiny[:2], *POINTS, *nothing).exit_code == 0
    assert np.array_equal(shown.pixels(Path("edits/me-00-edit-photo.png")), before)  # an edit of 0 is none
    shown.refused(
        shown.edit(saved, *direction, "--change-only"), 2, "says what --paste-back pastes: type both"
    )

    Path("me.png").rename("moved.png")
    shown.refused(
        shown.edit(saved, *direction, "--paste-back"), 1, "the photo me.png is not at", "type --photo"
    )
    assert shown.edit(saved, *direction, "--paste-back", "--photo", "moved.png").exit_code == 0


def test_mistakes(shown: Any) -> None:
    shown.refused(
        shown.invert("me.png", "--paste-back"), 2, "--paste-back puts an aligned face back", "type --align"
    )
    shown.refused(shown.invert("me.png", "--face", "all"), 2, "are for photos: type --align as well")
    shown.refused(shown.invert("me.png", *POINTS, "--preset", "ffqh"), 2, "did you mean 'ffhq'")
    shown.refused(shown.invert("me.png", *POINTS, "--face", "9"), 1, "there is no face 9: 2 faces, 0 to 1")
    shown.refused(shown.invert("me.png", *POINTS, "--content", "8x16"), 1, "--align makes square crops")
    shown.picture("plain.png")
    assert shown.invert("plain.png", "--mask", "half-left").exit_code == 0
    edit = shown.edit(
        "out/plain.inversion.safetensors", "--direction", "age", "--strength", 1, "--paste-back"
    )
    shown.refused(edit, 1, "was not made with --align, so there is no photo to paste back into")
    assert not list(Path("out").glob("me*"))


def test_skip_existing(shown: Any) -> None:
    arguments = ("me.png", *POINTS, "--skip-existing", "--json")
    assert len(shown.printed(shown.invert(*arguments))["inputs"]) == 1
    assert shown.printed(shown.invert(*arguments))["inputs"] == []
    shown.picture("plain.png")
    assert len(shown.printed(shown.invert("plain.png", "--skip-existing", "--json"))["inputs"]) == 1
    assert shown.printed(shown.invert("plain.png", "--skip-existing", "--json"))["inputs"] == []
    Path("out/plain-00.png").unlink()
    assert len(shown.printed(shown.invert("plain.png", "--skip-existing", "--json"))["inputs"]) == 1


@pytest.mark.parametrize("command", ["invert", "edit"])
def test_skip_existing_of_photos_looks_for_all_that_is_asked_for(shown: Any, command: str) -> None:
    def done(*more: object) -> bool:
        arguments = ("me.png", *POINTS, *more, "--skip-existing", "--json")
        tiny = (*shown.tiny[:2], "--direction", "age", "--strength", 2)
        result = shown.invert(*arguments) if command == "invert" else shown.edit(*arguments, *tiny)
        assert result.exit_code == 0, result.stderr
        told = "1 of 1 pictures are done already and left out" in result.stderr
        assert told == (shown.printed(result)["inputs"] == [])
        return told

    every = ("--face", "all", "--samples", 2, "--paste-back")
    assert not done() and done() and done("--face", 0)
    assert not done("--face", 1)  # the other one, which has the same names
    assert done("--face", 1) and not done(*every) and done(*every) and not done()
    folder = Path("out" if command == "invert" else "edits")
    for path in (
        sorted(folder.glob("me-1-0*")) + sorted(folder.glob("*-photo.png")) + [folder / "me.align.json"]
    ):
        assert not done(*every)
        assert done(*every)
        path.unlink()
    assert not done(*every)
    (folder / "me.align.json").write_text("{}")
    assert not done(*every)


def test_skip_existing_finishes_a_folder_that_was_interrupted(
    shown: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An edit stopped in the second of three photos: before its sidecar, which is the last file of each."""
    for name in ("a", "b", "c"):
        shown.photo(f"photos/{name}.png")
    Path("points.json").write_text(json.dumps({f"{name}.png": [shown.five(17, 110, 60)] for name in "abc"}))
    arguments = ("photos", *shown.tiny[:2], *POINTS, "--paste-back", "--direction", "age", "--strength", 2)
    assert shown.edit(*arguments).exit_code == 0
    whole = {path.name: path.read_bytes() for path in Path("edits").iterdir()}
    shutil.rmtree("edits")

    save = Sidecar.save

    def stop(self: Sidecar, path: Path) -> Path:
        if path.name == "b.align.json":
            raise KeyboardInterrupt
        return save(self, path)

    with monkeypatch.context() as patch:
        patch.setattr(Sidecar, "save", stop)
        assert shown.edit(*arguments).exit_code != 0
    assert Path("edits/a.align.json").is_file() and Path("edits/b-00-edit.png").is_file()
    assert not list(Path("edits").glob("c*"))
    again = shown.edit(*arguments, "--skip-existing", "--json")
    assert shown.printed(again)["inputs"] == ["photos/b.png", "photos/c.png"], again.stderr
    assert {path.name: path.read_bytes() for path in Path("edits").iterdir()} == whole


def test_shares_of_invert(shown: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for index in range(3):
        shown.picture(f"many/{index}.png")
    monkeypatch.setenv("WORLD_SIZE", "2")
    for rank in (0, 1):
        monkeypatch.setenv("RANK", str(rank))
        assert shown.invert("many").exit_code == 0
    merged = json.loads(Path("out/invert-report.json").read_text())
    assert sorted(merged["inputs"]) == [f"many/{index}.png" for index in range(3)]
    assert merged["processes"] == 2 and len(merged["outputs"]) == 3 * 5


def test_boxes_and_parts_of_plain_pictures(shown: Any) -> None:
    shown.picture("plain.png", (32, 32))
    assert shown.invert("plain.png", "--mask", "box:8,4,16,12").exit_code == 0
    mask = shown.pixels(Path("out/plain-mask.png"))
    assert (mask[2:8, 4:12] == 255).all() and (mask == 255).sum() == 48
    shown.refused(
        shown.invert("plain.png", "--mask", "box:90,4,16,12"), 1, "lies beyond the photo of 32 x 32"
    )
    shown.refused(shown.invert("plain.png", "--mask", "part:eye"), 2, "did you mean 'eyes'")
    shown.refused(shown.invert("plain.png", "--mask", "box:a"), 2, "is not box:x,y,w,h")


def test_a_part_of_a_portrait_that_is_a_crop_already(tmp_path: Path) -> None:
    pytest.importorskip("dlib", reason="dlib is not installed (extra align)")
    from ganinv.portraits.files import write_portraits

    picture, listing = list(write_portraits(tmp_path, 1, 256, 7))
    opened = open_picture(picture, 64, mask="part:mouth")
    points = np.array(json.loads(listing.read_text())[0]["landmarks"]) / 4
    x, y = np.rint(points[48:68]).astype(int).T
    assert opened.hole[0, 0].numpy()[y, x].mean() >= 0.9 and opened.hole.mean() < 0.1


def test_transparent_photos_become_opaque_where_a_hole_was_filled(shown: Any) -> None:
    rgba = np.dstack([shown.pixels(Path("me.png")), np.full((120, 160), 255, np.uint8)])
    rgba[55:75, 100:125, 3] = 0
    Image.fromarray(rgba).save("clear.png")
    Path("points.json").write_text(json.dumps(shown.five(17, 110, 60)))
    assert shown.invert("clear.png", "--mask", "alpha", *POINTS, "--paste-back").exit_code == 0
    after = shown.pixels(Path("out/clear-00-photo.png"))
    assert (after[..., 3] == 255).all()
    known = rgba[..., 3] == 255
    assert np.array_equal(after[known], rgba[known])
