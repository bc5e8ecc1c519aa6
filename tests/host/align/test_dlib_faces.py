"""Faces found by dlib in drawn scenes whose landmarks are known, and in a photograph."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from ganinv.align.dlib_faces import build_mmod, build_mmod_5
from ganinv.align.faces import Detector, check_which, cut_note, face_from_points, in_order, pick
from ganinv.align.geometry import PRESETS, anchors, face_quad
from ganinv.align.models import model_file
from ganinv.errors import CheckpointError, InputError, PluginError, UsageError
from ganinv.images import read_picture
from ganinv.plugins import registry
from ganinv.portraits.crowd import Person

INNER = slice(27, 68)


def error(found: np.ndarray, true: np.ndarray) -> float:
    """Mean distance of the points of eyes, nose and mouth, in eye distances."""
    return float(np.hypot(*(found - true)[INNER].T).mean() / anchors(true).eye_distance)


def test_the_largest_of_several_comes_first(dlib_hog: Detector, group: Any) -> None:
    found = in_order(dlib_hog.find(group.pixels))
    assert error(found[0].points, group.points[1]) < 0.15
    everyone = in_order(dlib_hog.find(group.pixels, thorough=True))
    assert len(everyone) == 3
    for face, index in zip(everyone, (1, 0, 2), strict=True):
        assert error(face.points, group.points[index]) < 0.25
        left, top, width, height = face.box
        inside = (group.points[index] >= (left, top)) & (group.points[index] <= (left + width, top + height))
        assert inside.all(1)[INNER].mean() > 0.9
        assert face.score is not None and face.score > 0


@pytest.mark.parametrize(("side", "angle"), [(72, 0), (150, 40), (400, -40), (1770, 15)])
def test_faces_of_60_to_1500_px_and_leaning(dlib_hog: Detector, draw: Any, side: int, angle: float) -> None:
    """The square of a face is 0.85 of a portrait's side."""
    room = max(400, round(1.3 * side))
    shown = draw((room, room + 100), Person(2, side, room / 2 + 30, room / 2, angle))
    found = in_order(dlib_hog.find(shown.pixels))
    assert len(found) == 1
    assert error(found[0].points, shown.points[0]) < 0.15


def test_errors_over_portraits(dlib_hog: Detector, draw: Any) -> None:
    """Points of eyes, nose and mouth, upright portraits; docs/photo.md has the figures of many more."""
    people = [Person(index, 256, 128, 128) for index in range(20, 36)]
    shown = [draw((256, 256), person, seed=77) for person in people]
    errors = [error(in_order(dlib_hog.find(s.pixels))[0].points, s.points[0]) for s in shown]
    assert np.median(errors) < 0.075 and np.mean(np.array(errors) < 0.12) >= 0.8


def test_the_photograph(dlib_hog: Detector) -> None:
    """Against eyes, nose and mouth as a person marked them in scikit-image's astronaut."""
    spec = importlib.util.find_spec("skimage")
    path = Path(next(iter(spec.submodule_search_locations or ()))) / "data/astronaut.png" if spec else None
    if path is None or not path.is_file():
        pytest.skip("scikit-image's astronaut is not installed (extra test)")
    pixels = read_picture(path).pixels
    five = registry("aligners").get("dlib-5")().find(pixels)
    for found in (dlib_hog.find(pixels), five):
        assert len(found) == 1
        at = anchors(found[0].points, found[0].layout)
        assert at.left_eye == pytest.approx((203, 101), abs=2)
        assert at.right_eye == pytest.approx((247, 103), abs=2)
        assert at.mouth == pytest.approx((224, 141), abs=3 if len(found[0].points) == 68 else 8)
    turned = np.ascontiguousarray(np.rot90(pixels))
    assert dlib_hog.find(turned) == []  # lying faces are not looked for


@pytest.mark.slow
@pytest.mark.parametrize("points", [68, 5])
def test_the_network_finds_the_faces_of_a_scene(draw: Any, points: int) -> None:
    pytest.importorskip("dlib", reason="dlib is not installed (extra align)")
    shown = draw((200, 300), Person(8, 130, 75, 100, 15), Person(14, 150, 215, 100, -10))
    detector = (build_mmod if points == 68 else build_mmod_5)()
    assert detector.about()["name"] == ("dlib-mmod" if points == 68 else "dlib-mmod-5")
    found = sorted(detector.find(shown.pixels, thorough=True), key=lambda face: face.box[0])
    assert len(found) == 2
    for face, true in zip(found, shown.points, strict=True):
        assert face.score is not None and face.score > 0.5
        if points == 68:
            assert error(face.points, true) < 0.15
        at, there = anchors(face.points, face.layout), anchors(true)
        apart = np.hypot(*(np.stack([at.eyes, at.mouth]) - np.stack([there.eyes, there.mouth])).T)
        assert apart.max() < 0.2 * there.eye_distance


@pytest.mark.parametrize("shape", [(10, 10), (1, 300), (200, 200), (700, 500)])
def test_no_face(dlib_hog: Detector, shape: tuple[int, int]) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    for pixels in (noise, np.full((*shape, 3), 127, np.uint8), cv2.GaussianBlur(noise, (0, 0), 3)):
        found = in_order(dlib_hog.find(np.ascontiguousarray(pixels.reshape(*shape, 3)), thorough=True))
        with pytest.raises(InputError, match=rf"no face was found in this photo of {shape[1]} x {shape[0]}"):
            pick(found, "largest", shape)


def test_views_that_are_not_contiguous(dlib_hog: Detector, group: Any) -> None:
    padded = np.pad(group.pixels, ((0, 0), (7, 7), (0, 0)))
    found = in_order(dlib_hog.find(padded[:, 7:-7]))
    assert error(found[0].points, group.points[1]) < 0.15


def test_which() -> None:
    faces = [face_from_points(np.array([[0, 0], [k, 0], [k / 2, k / 2], [0, k], [k, k]])) for k in (9.0, 5.0)]
    assert [index for index, _ in pick(faces, "all", (9, 9))] == [0, 1]
    assert pick(faces, "1", (9, 9))[0][1] is faces[1]
    with pytest.raises(InputError, match="no face 2: 2 faces, 0 to 1; see --list"):
        pick(faces, "2", (9, 9))
    with pytest.raises(InputError, match="no face 7: one face, number 0"):
        pick(faces[:1], "7", (9, 9))
    for bad in ("biggest", "-1", "1.5", ""):
        with pytest.raises(UsageError, match="type largest, all, or a number"):
            check_which(bad)


def test_a_face_at_the_border() -> None:
    points = np.array([[-40.0, 20], [40, 20], [0, 60], [-25, 100], [25, 100]])
    note = cut_note(0, face_quad(points, PRESETS["psp"]), (300, 300))
    assert note is not None and "face 0 is cut by the border: only" in note
    assert cut_note(0, face_quad(points + 400, PRESETS["psp"]), (900, 900)) is None
    with pytest.raises(InputError, match="face 1 lies beyond the photo of 300 x 200"):
        cut_note(1, face_quad(points + 5000, PRESETS["psp"]), (200, 300))


# ---- models


def test_model_files(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = tmp_path / "own.dat"
    given.write_bytes(b"x")
    assert model_file(str(given), "usual.dat") == given
    with pytest.raises(CheckpointError, match="no landmark model nowhere: neither a file nor a name"):
        model_file("nowhere", "usual.dat")
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if "recognition" in name else real(name)
    )
    with pytest.raises(PluginError, match=r"pip install 'ganinv\[align\]'.*--landmark-model"):
        model_file(None, "usual.dat")


def test_damaged_and_wrong_models(tmp_path: Path, dlib_hog: Detector) -> None:
    from ganinv.align.models import check_dlib_model
    from ganinv.store import add_model

    damaged = tmp_path / "damaged.dat"
    damaged.write_bytes(b"no model" * 100)
    build: Any = registry("aligners").get("dlib")
    with pytest.raises(CheckpointError, match="no landmark model of dlib's, or it is damaged"):
        build(model=str(damaged))
    with pytest.raises(CheckpointError, match="no landmark model of dlib's"):
        add_model("damaged", str(damaged))
    check_dlib_model(model_file(None, "shape_predictor_5_face_landmarks.dat"))
    kept = add_model("five", str(model_file(None, "shape_predictor_5_face_landmarks.dat")), licence="CC0")
    assert kept.kinds == ("landmarks",) and model_file("five", "usual.dat") == kept.path
    assert build(model="five").about() == {"name": "dlib", "model": "five.dat"}
