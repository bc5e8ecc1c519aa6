"""Boxes, parts of a face, holes of crops, records of alignments, and given points."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ganinv.align.crop import crop_hole
from ganinv.align.faces import Face, face_from_points
from ganinv.align.geometry import PRESETS, face_quad
from ganinv.align.points import GivenPoints
from ganinv.align.regions import PARTS, box_hole, check_region, hole_in_photo, is_region, part_hole
from ganinv.align.sidecar import FaceRecord, Sidecar
from ganinv.errors import InputError, UnknownNameError, UsageError

PARTS_POINTS = {"eyes": slice(36, 48), "mouth": slice(48, 68), "nose": slice(27, 36)}


def test_boxes() -> None:
    hole = box_hole("box:10,20,30,5", (100, 80))
    assert hole.sum() == 150 and hole[20:25, 10:40].all()
    assert box_hole("box:-5,-5,10,10", (100, 80)).sum() == 25  # what lies beyond is left out
    with pytest.raises(InputError, match="box:200,0,5,5 lies beyond the photo of 80 x 100"):
        box_hole("box:200,0,5,5", (100, 80))
    for bad in ("box:", "box:1,2,3", "box:a,b,c,d", "box:1,2,3,4,5"):
        with pytest.raises(UsageError, match="is not box:x,y,w,h; type for example"):
            check_region(bad)
    for bad in ("box:1,2,0,4", "box:1,2,3,-4", "box:1,2,3,inf", "box:nan,2,3,4"):
        with pytest.raises(UsageError, match="needs a width and a height above 0"):
            check_region(bad)
    assert is_region("box:1,1,1,1") and is_region("part:eyes") and not is_region("./box.png")


@pytest.mark.parametrize("five", [False, True])
@pytest.mark.parametrize("part", PARTS)
def test_parts(group: Any, part: str, five: bool) -> None:
    points, shape = group.points[1], group.pixels.shape[:2]
    few = [points[36:42].mean(0), points[42:48].mean(0), points[30], points[48], points[54]]
    face = face_from_points(np.stack(few)) if five else Face(points, (0, 0, 1, 1))
    hole = part_hole(f"part:{part}", face, shape)
    assert 0.001 < hole.mean() < 0.3
    eyes, mouth = points[PARTS_POINTS["eyes"]], points[PARTS_POINTS["mouth"]]

    def covered(which: np.ndarray) -> float:
        x, y = np.rint(which).astype(int).T
        return float(hole[y, x].mean())

    if part in PARTS_POINTS:
        assert covered(points[PARTS_POINTS[part]]) >= (0.6 if five else 1)
        others = np.concatenate([points[PARTS_POINTS[p]] for p in PARTS_POINTS if p != part])
        assert covered(others) < 0.5
    else:
        lower = part == "lower-face"
        assert covered(mouth) == (1 if lower else 0) and covered(eyes) == (0 if lower else 1)


def test_unknown_parts(group: Any) -> None:
    with pytest.raises(UnknownNameError, match="unknown part of a face 'eye'; did you mean 'eyes'"):
        check_region("part:eye")


def test_the_hole_of_a_crop_in_its_photo(group: Any) -> None:
    shape = group.pixels.shape[:2]
    quad = face_quad(group.points[1], PRESETS["psp"])
    small = np.zeros((64, 64), bool)
    small[20:40, 10:50] = True
    back = crop_hole(hole_in_photo(small, quad, shape), quad, 64)
    inner, outer = small.copy(), small.copy()
    inner[[20, 39]], inner[:, [10, 49]] = False, False
    outer[19:41, 9:51] = True
    assert back[inner].all() and not back[~outer].any()
    assert not hole_in_photo(np.zeros((64, 64), bool), quad, shape).any()


# ---- records


def record(tmp_path: Path, group: Any) -> Sidecar:
    face = Face(group.points[1], (1.0, 2.0, 3.0, 4.0), 0.5)
    quad = face_quad(face.points, PRESETS["psp"])
    hole = np.zeros(group.pixels.shape[:2], bool)
    hole[100:130, 300:370] = True
    faces = (FaceRecord(1, face, quad, "me.png", hole), FaceRecord(2, face, quad, None, None))
    detector = {"name": "dlib"}
    photo = tmp_path / "a folder" / "mé.jpg"
    return Sidecar(photo, "ab" * 32, (450, 700), PRESETS["psp"], detector, "part:eyes", faces)


def test_a_record_survives_its_file(tmp_path: Path, group: Any) -> None:
    before = record(tmp_path, group)
    path = before.save(tmp_path / "out" / "me.align.json")
    assert json.loads(path.read_text())["photo"]["path"] == "../a folder/mé.jpg"
    after = Sidecar.load(path)
    assert after.photo.resolve() == before.photo.resolve()
    fields = ("sha256", "shape", "preset", "detector", "mask")
    assert all(getattr(after, name) == getattr(before, name) for name in fields)
    for old, new in zip(before.faces, after.faces, strict=True):
        assert (new.index, new.crop, new.face.box, new.face.score) == (
            old.index,
            old.crop,
            old.face.box,
            old.face.score,
        )
        assert np.array_equal(new.quad, old.quad)
        assert np.abs(new.face.points - old.face.points).max() < 1e-3
        assert (new.hole is None and old.hole is None) or np.array_equal(new.hole, old.hole)
    assert after.face(2).crop is None
    with pytest.raises(InputError, match="no face 7"):
        after.face(7)


def test_damaged_records(tmp_path: Path, group: Any) -> None:
    path = record(tmp_path, group).save(tmp_path / "me.align.json")
    whole = json.loads(path.read_text())
    huge = whole["photo"] | {"size": [1 << 40, 1 << 40]}
    far = [whole["faces"][0] | {"hole": whole["faces"][0]["hole"] | {"left": 690}}]
    damage: list[Any] = [
        {},
        [],
        "x",
        whole | {"format": "other"},
        whole | {"photo": huge},
        whole | {"faces": far},
    ]
    damage += [
        whole | {"faces": [whole["faces"][0] | {"quad": [[0, 0]] * 4}]},
        whole | {"preset": {"odd": 1}},
        whole | {"preset": whole["preset"] | {"size": 1 << 40}},
    ]
    for content in damage:
        path.write_text(json.dumps(content))
        with pytest.raises(InputError, match="is no sidecar of 'ganinv align', or it is damaged"):
            Sidecar.load(path)
    path.write_text("{")
    with pytest.raises(InputError, match="damaged"):
        Sidecar.load(path)
    with pytest.raises(InputError, match="cannot read"):
        Sidecar.load(tmp_path / "absent.align.json")


# ---- given points


def test_given_points(tmp_path: Path, group: Any) -> None:
    one, path = group.points[0].tolist(), tmp_path / "points.json"
    pixels = group.pixels

    def faces(content: Any, name: str = "me.jpg") -> list[Face]:
        path.write_text(json.dumps(content))
        return GivenPoints(path).find(pixels, name=name)

    assert np.allclose(faces(one)[0].points, group.points[0])
    assert len(faces([one, one[:5]])) == 2
    assert len(faces({"me.jpg": one})) == 1 and len(faces({"me": [one, one]})) == 2
    listing = [{"file": "me.jpg", "seed": 1, "landmarks": one}, {"file": "you.jpg", "landmarks": one}]
    assert len(faces(listing)) == 1
    with pytest.raises(
        InputError, match=r"has no points for they\.jpg: names are those of the photos' files"
    ):
        faces(listing, "they.jpg")
    for bad in ([], {"me.jpg": [[1, 2]]}, [1, 2], [{"file": "me.jpg"}], [[[1, "x"]] * 68], 3):
        with pytest.raises(InputError, match="its form: "):
            faces(bad)
    path.write_text("not json")
    with pytest.raises(InputError, match="cannot read the points of"):
        GivenPoints(path)


def test_face_alignment_that_is_absent_offline_or_there(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys
    import types
    from urllib.error import URLError

    from ganinv.align.fan_faces import build
    from ganinv.errors import CheckpointError, PluginError

    monkeypatch.setitem(sys.modules, "face_alignment", None)
    with pytest.raises(PluginError, match="face-alignment is not installed: type pip install face-alignment"):
        build()
    with pytest.raises(UsageError, match="face-alignment has its own models"):
        build("x.dat")

    class Network:
        def __init__(self, kind: str, **options: Any) -> None:
            if kind == "offline":
                raise URLError("no route to host")

        def get_landmarks_from_image(self, pixels: np.ndarray, return_bboxes: bool) -> tuple[Any, Any, Any]:
            return [np.zeros((68, 2))], None, [np.array([1, 2, 11, 22, 0.9])]

    fake = types.ModuleType("face_alignment")
    fake.FaceAlignment = Network  # type: ignore[attr-defined]
    fake.LandmarksType = types.SimpleNamespace(TWO_D="offline")  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "face_alignment", fake)
    with pytest.raises(CheckpointError, match=r"cannot fetch its weights .*https://github.com/1adrianb"):
        build()
    fake.LandmarksType = types.SimpleNamespace(TWO_D="2d")  # type: ignore[attr-defined]
    found = build().find(np.zeros((9, 9, 3), np.uint8))
    assert found[0].box == (1, 2, 10, 20) and found[0].score == pytest.approx(0.9)
