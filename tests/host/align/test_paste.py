"""What pasting promises: no bit changes outside the region, the result inside it, closed seams."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest

from ganinv.align import seam
from ganinv.align.crop import crop_face, crop_hole
from ganinv.align.geometry import PRESETS, apply, face_quad, side, to_crop
from ganinv.align.paste import BLENDS, paste_face
from ganinv.errors import UsageError
from ganinv.sizes import resize

PRESET = PRESETS["psp"].at(64)


def photo(deep: bool = False) -> np.ndarray:
    """Smooth colours with some grain, uint8 or uint16 (300, 400, 3)."""
    rng = np.random.default_rng(3)
    base = cv2.resize(
        rng.uniform(60, 190, (5, 6, 3)).astype(np.float32), (400, 300), interpolation=cv2.INTER_CUBIC
    )
    grainy = np.clip(base + rng.normal(0, 3, base.shape), 0, 255)
    return np.rint(grainy * 257).astype(np.uint16) if deep else np.rint(grainy).astype(np.uint8)


def quad_at(angle: float = 20, size: float = 40, centre: tuple[float, float] = (200, 140)) -> np.ndarray:
    plain = np.array([[-0.5, 0], [0.5, 0], [0, 0.6], [-0.35, 1.1], [0.35, 1.1]]) * size
    c, s = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    return face_quad(plain @ np.array([[c, s], [-s, c]]) + centre, PRESET)


def eight(colours: np.ndarray) -> np.ndarray:
    return colours if colours.dtype == np.uint8 else ((colours.astype(int) + 128) // 257).astype(np.uint8)


def disc(quad: np.ndarray, radius: float, shape: tuple[int, int] = (300, 400)) -> np.ndarray:
    """A hole in the middle of a square; radius in sides."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    middle = quad.mean(0)
    return np.hypot(x - middle[0], y - middle[1]) < radius * side(quad)


@pytest.mark.parametrize("blend", BLENDS)
@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize("size", [64, 16, 512])
def test_an_untouched_crop_gives_the_photo_bit_for_bit(blend: Any, deep: bool, size: int) -> None:
    colours, quad = photo(deep), quad_at()
    crop = resize(crop_face(eight(colours), quad, PRESET), size)
    for hole in (None, disc(quad, 0.2)):
        pasted = paste_face(colours, crop.copy(), crop, quad, hole=hole, blend=blend)
        assert np.array_equal(pasted.colours, colours) and pasted.colours.dtype == colours.dtype
        assert not pasted.region.any()


@pytest.mark.parametrize("blend", BLENDS)
@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize("centre", [(200, 140), (20, 20), (395, 290)])
def test_outside_the_region_no_bit_changes(blend: Any, deep: bool, centre: tuple[float, float]) -> None:
    colours, quad = photo(deep), quad_at(centre=centre)
    before = colours.copy()
    crop = crop_face(eight(colours), quad, PRESET)
    result = np.clip(crop.astype(int) + [30, -20, 10], 0, 255).astype(np.uint8)
    hole = disc(quad, 0.2)
    whole = paste_face(colours, result, crop, quad, blend=blend)
    filled = paste_face(colours, crop, crop, quad, hole=hole, surround=result, blend=blend)
    for pasted in (whole, filled):
        assert np.array_equal(colours, before)  # the photo given is not written to
        assert np.array_equal(pasted.colours[~pasted.region], colours[~pasted.region])
        assert pasted.region.any() and not pasted.region.all()
    y, x = np.nonzero(whole.region)
    there = apply(to_crop(quad, 1), np.stack([x, y], 1).astype(float))
    assert (
        there.min() > -0.52 and there.max() < 0.52 + 0
    )  # pixels of a crop of one pixel: the square's middle is 0
    assert not (filled.region & ~hole).any()


def test_the_difference_is_added_outside_a_hole() -> None:
    """A smooth change of the crop appears in the photo as that change; the photo's grain stays."""
    colours, quad = photo(), quad_at()
    crop = crop_face(colours, quad, PRESET)
    y, x = np.mgrid[:64, :64]
    bump = 40 * np.exp(-((x - 31.5) ** 2 + (y - 31.5) ** 2) / 128)
    result = np.clip(crop + np.rint(bump)[..., None], 0, 255).astype(np.uint8)
    pasted = paste_face(colours, result, crop, quad)
    rows, columns = np.mgrid[:300, :400]
    at = apply(to_crop(quad, 64), np.stack([columns.ravel(), rows.ravel()], 1).astype(float)).reshape(
        300, 400, 2
    )
    wanted = 40 * np.exp(-((at - 31.5) ** 2).sum(-1) / 128)
    apart = pasted.colours.astype(float) - colours - wanted[..., None]
    assert np.abs(apart).max() <= 2 and np.abs(apart[wanted > 1]).mean() < 0.6


def test_differences_fade_towards_the_edges() -> None:
    colours, quad = np.full((300, 400, 3), 120, np.uint8), quad_at(angle=0)
    crop = crop_face(colours, quad, PRESET)
    pasted = paste_face(colours, crop + 40, crop, quad).colours[..., 0].astype(int)
    row = pasted[round(quad.mean(0)[1])]
    left, right = int(quad[0, 0]), int(quad[2, 0])
    assert (row[left + 40 : right - 40] == 160).all()
    assert np.abs(np.diff(row)).max() <= 3 and row[left - 1] == 120


def test_a_hole_takes_the_result() -> None:
    colours, quad = photo(), quad_at()
    hole = disc(quad, 0.25)
    erased = colours.copy()
    erased[hole] = (255, 0, 255)  # what was there must not shine through
    crop = crop_face(erased, quad, PRESET)
    true = crop_face(colours, quad, PRESET)  # the best completion there is
    pasted = paste_face(erased, crop, crop, quad, hole=hole, surround=true)
    assert np.array_equal(pasted.region, hole)
    apart = np.abs(pasted.colours.astype(int) - colours)[hole]
    assert apart.mean() < 4 and np.percentile(apart, 99) < 15


@pytest.mark.parametrize("blend", BLENDS)
def test_tones_meet_at_the_seam(blend: Any) -> None:
    colours = np.full((300, 400, 3), 120, np.uint8)
    quad = quad_at()
    hole = disc(quad, 0.2)
    crop = crop_face(colours, quad, PRESET)
    off = (crop.astype(int) + [14, -10, 8]).astype(np.uint8)
    pasted = paste_face(colours, crop, crop, quad, hole=hole, surround=off, blend=blend)
    seam = hole & ~cv2.erode(hole.astype(np.uint8), np.ones((5, 5))).astype(bool)
    assert np.abs(pasted.colours[seam].astype(int) - 120).max() <= 4


def test_a_hole_that_goes_on_beyond_the_square_ends_softly() -> None:
    colours, quad = np.full((300, 400, 3), 120, np.uint8), quad_at(angle=0)
    hole = np.zeros((300, 400), bool)
    hole[100:180] = True
    crop = crop_face(colours, quad, PRESET)
    result = np.where(crop_hole(hole, quad, 64)[..., None], np.uint8(200), crop)
    pasted = paste_face(colours, result, crop, quad, hole=hole)
    row = pasted.colours[140, :, 0].astype(int)
    assert row[200] > 165 and np.abs(np.diff(row)).max() < 40
    assert (row[: int(quad[0, 0])] == 120).all()


def test_small_faces_do_not_alias() -> None:
    """A fine pattern in a large result becomes its mean in a small square, not a moiré."""
    colours, quad = np.full((300, 400, 3), 128, np.uint8), quad_at(size=12)
    crop = np.full((512, 512, 3), 128, np.uint8)
    result = crop.copy()
    result[:, ::2] += 100
    pasted = paste_face(colours, result, crop, quad)
    middle = pasted.colours[disc(quad, 0.2)].astype(int)
    assert np.abs(middle - 178).max() <= 4


@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize("blend", BLENDS)
@pytest.mark.parametrize("filled", [False, True])
def test_strips_show_nowhere(monkeypatch: pytest.MonkeyPatch, deep: bool, blend: Any, filled: bool) -> None:
    """Some rows at a time or all at once: a level in few pixels, whose place is rounded otherwise."""
    colours, quad = photo(deep), quad_at()
    crop, result = softly_changed(colours, quad)
    hole = disc(quad, 0.3) if filled else None
    whole = paste_face(colours, result, crop, quad, hole=hole, blend=blend)
    monkeypatch.setattr(seam, "_STRIP", 400 * 7)
    strips = paste_face(colours, result, crop, quad, hole=hole, blend=blend)
    assert np.array_equal(strips.region, whole.region)
    unit = 257 if deep else 1
    apart = np.abs(strips.colours.astype(float) - whole.colours.astype(float)) / unit
    assert apart.max() <= 1 + 1 / 257 and (apart > 0.01).mean() < 1e-3


@pytest.mark.parametrize("blend", BLENDS)
@pytest.mark.parametrize("filled", [False, True])
@pytest.mark.parametrize("factor", [2, 3])
def test_large_squares_are_closed_nearly_as_small_ones(
    monkeypatch: pytest.MonkeyPatch, blend: Any, filled: bool, factor: int
) -> None:
    """What closes a seam is found on a reduced copy: a level away in the mean, in the region only."""
    colours, quad = photo(), quad_at(size=55)
    crop, result = softly_changed(colours, quad, 24)
    hole = disc(quad, 0.3) if filled else None
    before = crop if filled else result
    whole = paste_face(colours, before, crop, quad, hole=hole, surround=result, blend=blend)
    area = int(np.prod(np.ptp(np.argwhere(bounds(quad)), axis=0) + 1))
    monkeypatch.setattr(seam, "_LARGEST", area / factor**2)
    reduced = paste_face(colours, before, crop, quad, hole=hole, surround=result, blend=blend)
    assert np.array_equal(reduced.region, whole.region)
    assert np.array_equal(reduced.colours[~whole.region], colours[~whole.region])
    apart = np.abs(reduced.colours.astype(int) - whole.colours)[whole.region]
    assert apart.mean() < (0.7 if blend == "feather" else 2) and np.percentile(apart, 99) <= 5
    assert apart.any() == (filled or blend == "seamless")  # a plain difference needs no closing


def softly_changed(colours: np.ndarray, quad: np.ndarray, size: int = 64) -> tuple[np.ndarray, np.ndarray]:
    """A crop, and it with smooth changes of up to 30 levels."""
    crop = resize(crop_face(eight(colours), quad, PRESET), size)
    coarse = np.random.default_rng(1).uniform(-30, 30, (3, 3, 3))
    change = cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC)
    return crop, np.clip(crop + change, 0, 255).astype(np.uint8)


def bounds(quad: np.ndarray) -> np.ndarray:
    """The bounds of a square in the photo, bool (300, 400)."""
    where = np.zeros((300, 400), bool)
    low, high = np.floor(quad.min(0)).astype(int).clip(0), np.ceil(quad.max(0)).astype(int) + 1
    where[low[1] : high[1], low[0] : high[0]] = True
    return where


def test_several_faces_and_bad_calls() -> None:
    colours = photo()
    one, two = quad_at(centre=(100, 100)), quad_at(centre=(300, 180), angle=-35)
    crops = [crop_face(colours, quad, PRESET) for quad in (one, two)]
    first = paste_face(colours, np.clip(crops[0] + 20, 0, 255).astype(np.uint8), crops[0], one)
    both = paste_face(first.colours, np.clip(crops[1] + 20, 0, 255).astype(np.uint8), crops[1], two)
    assert np.array_equal(
        both.colours[first.region & ~both.region], first.colours[first.region & ~both.region]
    )
    with pytest.raises(UsageError, match="--blend 'glue' is not possible; type feather or seamless"):
        paste_face(colours, crops[0], crops[0], one, blend="glue")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="must be equal"):
        paste_face(colours, crops[0][:32, :32], crops[0], one)
    far = paste_face(colours, crops[0], crops[1], quad_at(centre=(5000, 5000)))
    assert np.array_equal(far.colours, colours)
