"""The crop against numbers of the published programs, and what the geometry promises."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from ganinv.align.crop import crop_face, crop_hole, prepare
from ganinv.align.geometry import (
    PRESETS,
    Preset,
    anchors,
    apply,
    as_quad,
    face_quad,
    inside,
    inverted,
    own_preset,
    preset,
    side,
    to_crop,
)
from ganinv.errors import InputError, UnknownNameError, UsageError
from ganinv.images import read_picture

CASES = (
    "frontal.e4e frontal.restyle frontal.psp frontal.styleres rot25.e4e rot25.restyle rot-70.e4e "
    "nearborder.e4e nearborder.restyle outside.e4e tiny.e4e big_shrink.e4e pad_all.e4e upside.e4e floatlm.e4e"
)


@pytest.fixture(scope="module")
def published() -> dict[str, Any]:
    folder = Path(__file__).resolve().parents[4] / "shared/fixtures/parity"
    if not folder.is_dir():
        pytest.skip("no reference data beside this checkout (../shared)")
    listing = json.loads((folder / "align/align.json").read_text())
    tensors = load_file(folder / "align/align.safetensors")
    return {"cases": {c["id"]: c for c in listing["cases"]}, "tensors": tensors, "folder": folder}


@pytest.mark.parametrize("name", CASES.split())
def test_published_numbers_and_pictures(published: dict[str, Any], name: str) -> None:
    case, tensors, folder = published["cases"][name], published["tensors"], published["folder"]
    size, transform = case["args"]["output_size"], case["args"]["transform_size"]
    points = tensors[case["inputs"]["landmarks"]]
    quad = face_quad(points, Preset("case", size, transform))
    assert np.abs(quad - tensors[case["expected"]["quad"]]).max() < 1e-6
    assert abs(side(quad) - case["steps"]["qsize"][0]) < 1e-6
    pixels = read_picture(folder / case["files"]["source"]).pixels
    _, last = prepare(pixels, quad, size)
    assert np.abs(last - tensors[case["expected"]["quad_final"]]).max() < 1e-6
    crop = crop_face(pixels, quad, Preset("case", size, transform))
    apart = np.abs(crop.astype(int) - read_picture(folder / case["files"]["aligned"]).pixels.astype(int))
    assert apart.mean() <= 0.1 and apart.max() <= 2


def face(size: float = 100.0, angle: float = 0.0, centre: tuple[float, float] = (200.0, 150.0)) -> np.ndarray:
    """Five points: eyes, nose, corners of the mouth; `size` = eye distance, `angle` in degrees."""
    plain = np.array([[-0.5, 0], [0.5, 0], [0, 0.6], [-0.35, 1.1], [0.35, 1.1]]) * size
    c, s = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    return plain @ np.array([[c, s], [-s, c]]) + centre


def test_every_fixture_is_asked_about(published: dict[str, Any]) -> None:
    assert set(published["cases"]) == set(CASES.split())


@pytest.mark.parametrize("angle", [0, 40, -90, 180, 213])
def test_the_square_turns_with_the_face(angle: float) -> None:
    quad = face_quad(face(angle=angle), PRESETS["psp"])
    assert side(quad) == pytest.approx(400)
    across = quad[3] - quad[0]
    assert (
        np.degrees(np.arctan2(across[1], across[0])) == pytest.approx((angle + 180) % 360 - 180, abs=1e-6)
        or angle == 180
    )
    assert quad.mean(0) == pytest.approx(face(angle=angle)[:2].mean(0) + (apply_angle(11, angle)), abs=1e-6)
    there = apply(to_crop(quad, 256), face(angle=angle))
    upright = apply(to_crop(face_quad(face(), PRESETS["psp"]), 256), face())
    assert np.abs(there - upright).max() < 1e-6


def apply_angle(down: float, angle: float) -> np.ndarray:
    return np.array([-np.sin(np.radians(angle)), np.cos(np.radians(angle))]) * down


def test_marked_points_land_where_the_geometry_says() -> None:
    """True points: what is drawn at a landmark is found at its place in the crop, within 2 % of the eyes."""
    points = face(angle=25)
    quad = face_quad(points, PRESETS["psp"])
    expected = apply(to_crop(quad, 256), points)
    for point, place in zip(points, expected, strict=True):
        y, x = np.mgrid[:400, :500]
        blob = 255 * np.exp(-((x - point[0]) ** 2 + (y - point[1]) ** 2) / 32)
        crop = crop_face(np.repeat(blob[..., None], 3, 2).astype(np.uint8), quad, PRESETS["psp"])[..., 0]
        rows, columns = np.mgrid[:256, :256]
        weight = crop.astype(float)
        found = np.array([(columns * weight).sum(), (rows * weight).sum()]) / weight.sum()
        assert np.abs(found - place).max() < 0.02 * 64


def test_maps_and_shares() -> None:
    quad = face_quad(face(angle=10), PRESETS["ffhq"])
    there = to_crop(quad, 64)
    assert apply(inverted(there), apply(there, face())) == pytest.approx(face())
    corner = quad[0] + (quad[2] - quad[0]) / 128  # the centre of the first of 64 pixels
    assert apply(there, corner[None]) == pytest.approx(np.zeros((1, 2)), abs=1e-9)
    assert inside(quad, (2000, 2000)) < 1
    moved = quad + 500
    assert inside(moved, (2000, 2000)) == 1 and inside(quad - 5000, (2000, 2000)) == 0
    assert np.array_equal(as_quad(quad.tolist()), quad)
    for bad in (
        [1, 2],
        [[0, 0], [0, 9], [9, 9], [9, 1]],
        [[0, 0]] * 4,
        "x",
        [[0, 0], [0, 1], [1, float("nan")], [1, 0]],
    ):
        with pytest.raises(InputError, match="quad"):
            as_quad(bad)


def test_presets() -> None:
    assert (preset("ffhq").size, preset("ffhq").transform) == (1024, 4096)
    assert (preset("psp").size, preset("psp").transform) == (256, 256)
    assert preset("ffhq", 256).transform == 1024 and preset("ffhq", 2048).transform == 4096
    with pytest.raises(UnknownNameError, match="did you mean 'ffhq'"):
        preset("ffqh")
    with pytest.raises(UsageError, match="--size 3: give 8 to 4096"):
        preset("psp", 3)
    assert own_preset("portraits-128", 128) == preset("portraits")
    assert own_preset("ffhq256", 256) == preset("ffhq", 256)


def test_layouts() -> None:
    five = face()
    left, right = five[0], five[1]
    shift = np.array([10.0, 0])
    nose = (left + right) / 2 + 0.78 * ((five[3] + five[4]) / 2 - (left + right) / 2)
    dlib = np.stack([right + shift, right - shift, left - shift, left + shift, nose])
    for got, wanted in zip(anchors(dlib, "dlib-5"), anchors(five), strict=True):
        assert got == pytest.approx(wanted)
    with pytest.raises(InputError, match="68 or 5 points"):
        anchors(np.zeros((7, 2)))
    with pytest.raises(InputError, match="one place"):
        anchors(np.zeros((5, 2)))
    with pytest.raises(InputError, match="finite"):
        anchors(np.full((5, 2), np.nan))


def test_a_hole_is_found_in_the_crop() -> None:
    quad = face_quad(face(), PRESETS["psp"])  # x 0 .. 400, y -39 .. 361
    hole = np.zeros((300, 500), bool)
    assert not crop_hole(hole, quad, 64).any()
    hole[:] = True
    found = crop_hole(hole, quad, 64)
    rows = apply(to_crop(quad, 64), np.array([[200, -0.5], [200, 299.5]]))[:, 1]
    assert found[int(np.ceil(rows[0])) + 1 : int(rows[1])].all() and not found[: int(rows[0])].any()
    hole[:] = False
    hole[100, 103] = True  # a single pixel of the photo, a sixth of one of the crop
    assert 1 <= crop_hole(hole, quad, 64).sum() <= 4


def test_a_square_beyond_the_photo_is_still_a_picture() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (10, 10, 3), np.uint8)
    quad = face_quad(face(centre=(3000, 3000)), PRESETS["psp"])
    assert crop_face(pixels, quad, PRESETS["psp"]).shape == (256, 256, 3)
