"""The renderer: pictures of attributes, their landmarks, and what moves what."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from ganinv.errors import OutputError, UsageError
from ganinv.portraits.attributes import TABLE, sample_attributes
from ganinv.portraits.files import write_portraits
from ganinv.portraits.landmarks import landmarks
from ganinv.portraits.layers.glasses import _apart_from_zero
from ganinv.portraits.renderer import render

EYES = slice(36, 48)


@pytest.fixture(scope="module")
def sample() -> dict[str, Tensor]:
    return sample_attributes(6, 21)


@pytest.fixture(scope="module")
def pictures(sample: dict[str, Tensor]) -> Tensor:
    return render(sample, 64)


def one(sample: dict[str, Tensor], i: int) -> dict[str, Tensor]:
    return {name: value[i : i + 1] for name, value in sample.items()}


def sweep(name: str, values: tuple[float, ...], **fixed: float) -> dict[str, Tensor]:
    """Portraits at the middle of every attribute, except for `fixed` and one that takes `values`."""
    n = len(values)
    base = {key: row.from_gaussian(torch.zeros(n)) for key, row in TABLE.items()}
    base |= {key: torch.full((n,), value) for key, value in fixed.items()}
    return {**base, name: torch.tensor(values), "seed": torch.full((n,), 99)}


def test_pictures_are_pictures(pictures: Tensor) -> None:
    assert pictures.shape == (6, 3, 64, 64) and pictures.dtype == torch.float32
    assert pictures.min() >= 0 and pictures.max() <= 1 and pictures.isfinite().all()
    assert (pictures.flatten(1).std(1) > 0.05).all()
    assert not pictures.is_inference()


def test_same_picture_twice(sample: dict[str, Tensor], pictures: Tensor) -> None:
    assert torch.equal(render(sample, 64), pictures)


def test_same_picture_alone_and_in_any_batch(sample: dict[str, Tensor], pictures: Tensor) -> None:
    alone = torch.cat([render(one(sample, i), 64) for i in range(6)])
    assert (alone - pictures).abs().max() <= 0.5 / 255
    turned = render({name: value.flip(0) for name, value in sample.items()}, 64)
    assert (turned.flip(0) - pictures).abs().max() <= 0.5 / 255


def test_chunks_do_not_show(
    pictures: Tensor, sample: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ganinv.portraits.renderer._CHUNK_RAYS", 2 * 128 * 128)
    assert (render(sample, 64) - pictures).abs().max() <= 0.5 / 255


def test_half_size_is_the_box_mean_of_full_size(sample: dict[str, Tensor], pictures: Tensor) -> None:
    large = torch.nn.functional.avg_pool2d(render(sample, 128), 2)
    assert (large - pictures).abs().mean() < 2.5 / 255


def test_other_devices(sample: dict[str, Tensor], pictures: Tensor, device: torch.device) -> None:
    there = render({name: value.to(device) for name, value in sample.items()}, 64)
    assert there.device.type == device.type
    assert (there.cpu() - pictures).abs().mean() < 0.5 / 255


def test_extremes_are_finite() -> None:
    corners = [
        {"yaw": 38.0, "pitch": 13.0, "recede": 0.8, "beard": 1.0, "glasses": 1.0},
        {"yaw": -38.0, "roll": -14.0, "curl": 1.0, "fringe": 1.0, "length": 1.0, "volume": 1.0, "smile": 1.0},
        {"recede": 1.0, "bun": 1.0, "age": 80.0, "length": 0.3, "smile": -0.25},
    ]
    for corner in corners:
        picture = render(sweep("gender", (0.0, 1.0), **corner), 48)
        assert picture.isfinite().all() and picture.std() > 0.05


def test_a_ray_along_the_bar_of_glasses_has_a_colour() -> None:
    """Of this picture one ray runs exactly along the plane of a bar, so that it meets it nowhere."""
    assert torch.isfinite(render(sample_attributes(1, 30, 300), 441)).all()
    x = torch.tensor([-1.0, -1e-5, -0.0, 0.0, 1e-5, 2.0])
    assert torch.allclose(_apart_from_zero(x), torch.tensor([-1.0, -1e-4, -1e-4, 1e-4, 1e-4, 2.0]))


@pytest.mark.parametrize(
    "name",
    ["eye_col", "gaze_x", "makeup", "cloth_hue", "bg_hue", "glasses", "hair_light", "length", "light_az"],
)
def test_what_is_only_painted_moves_no_landmark(name: str) -> None:
    points = landmarks(sweep(name, (0.0, 1.0)), 256)
    assert torch.equal(points[0], points[1])


@pytest.mark.parametrize(("name", "values"), [("eye_col", (0.0, 1.0)), ("gaze_x", (-15.0, 15.0))])
def test_eyes_change_nothing_outside_the_eyes(name: str, values: tuple[float, ...]) -> None:
    attributes = sweep(name, values, length=0.0)
    pictures, points = render(attributes, 128), landmarks(attributes, 128)
    changed = (pictures[0] - pictures[1]).abs().amax(0)
    for first in (36, 42):
        eye = points[0, first : first + 6]
        left, top = (eye.amin(0) - 3).floor().int().tolist()
        right, bottom = (eye.amax(0) + 3).ceil().int().tolist()
        assert changed[top : bottom + 1, left : right + 1].max() > 0.1
        changed[top : bottom + 1, left : right + 1] = 0
    assert changed.max() < 1e-5


@pytest.mark.parametrize(
    "name", ["age", "smile", "glasses", "beard", "gender", "hair_light", "length", "skin", "yaw"]
)
def test_attributes_show(name: str) -> None:
    low, high = TABLE[name].from_gaussian(torch.tensor([-1.5, 1.5])).tolist()
    pictures = render(sweep(name, (low, high)), 48)
    assert (pictures[0] - pictures[1]).abs().mean() > 0.5 / 255


def test_landmarks_lie_where_they_should(sample: dict[str, Tensor]) -> None:
    points = landmarks(sweep("yaw", (0.0,)), 256)[0]
    assert points.shape == (68, 2)
    mirrored = points.clone()
    mirrored[:, 0] = 255 - mirrored[:, 0]
    torch.testing.assert_close(points[0:17], mirrored[0:17].flip(0), atol=1.5, rtol=0)
    torch.testing.assert_close(points[36], mirrored[45], atol=0.1, rtol=0)
    assert points[36:48, 1].mean() < points[27:36, 1].mean() + 20 < points[48:68, 1].mean()
    assert abs(points[8, 0] - 127.5) < 4 and 190 < points[8, 1] < 225
    double = landmarks(sample, 512)
    torch.testing.assert_close((double + 0.5) / 2, landmarks(sample, 256) + 0.5, atol=1e-3, rtol=0)


def test_pupils_are_dark_where_landmarks_say() -> None:
    attributes = sweep("skin", (0.0,), gaze_x=0.0, smile=0.0, age=20.0, light_ratio=0.9)
    picture, points = render(attributes, 256)[0].mean(0), landmarks(attributes, 256)[0]
    for first in (36, 42):
        x, y = points[first : first + 6].mean(0).round().int().tolist()
        cheek = picture[y + 28 : y + 34, x - 3 : x + 4].mean()
        assert picture[y - 2 : y + 3, x - 2 : x + 3].min() < 0.5 * cheek


def test_mistakes(sample: dict[str, Tensor]) -> None:
    with pytest.raises(UsageError, match="give 8 to 1024 pixels"):
        render(sample, 4)
    with pytest.raises(UsageError, match="supersample 0: give 1 to 8"):
        render(sample, 64, supersample=0)
    with pytest.raises(UsageError, match="their product may be 2048 at most"):
        render(sample, 1024, supersample=4)
    with pytest.raises(UsageError, match="no value for seed"):
        render({name: value for name, value in sample.items() if name != "seed"}, 64)
    with pytest.raises(UsageError, match="give at least 1 pixel"):
        landmarks(sample, 0)


def test_files(tmp_path: Path) -> None:
    paths = list(write_portraits(tmp_path / "new" / "folder", 3, 16, 4))
    assert [path.name for path in paths] == ["000000.png", "000001.png", "000002.png", "portraits.json"]
    entries = json.loads(paths[-1].read_text())
    again = {name: torch.tensor([e["attributes"][name] for e in entries]) for name in TABLE}
    again["seed"] = torch.tensor([entry["seed"] for entry in entries])
    expected = sample_attributes(3, 4)
    assert all(torch.equal(again[name], expected[name]) for name in expected)
    torch.testing.assert_close(
        torch.tensor([entry["landmarks"] for entry in entries]), landmarks(expected, 16), atol=1e-3, rtol=0
    )


def test_a_full_disk_leaves_no_half_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OutputError, match="disk is full"):
        list(write_portraits(tmp_path, 1, 16, 0))
    assert list(tmp_path.iterdir()) == []


def test_dlib_finds_the_faces() -> None:
    if importlib.util.find_spec("dlib") is None:
        pytest.skip("dlib is not installed (extra `align`)")
    import dlib

    detector = dlib.get_frontal_face_detector()
    attributes = sample_attributes(16, 1)
    near = (attributes["yaw"].abs() < 25).nonzero()[:12, 0]
    pictures = render({name: value[near] for name, value in attributes.items()}, 192)
    shown = (pictures * 255).byte().permute(0, 2, 3, 1).numpy()
    found = [len(detector(np.ascontiguousarray(picture), 1)) for picture in shown]
    assert sum(n > 0 for n in found) >= 11
