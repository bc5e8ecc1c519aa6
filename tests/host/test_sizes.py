"""Pictures and holes brought to another size or shape."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ganinv.errors import InputError, UsageError
from ganinv.images import Picture
from ganinv.sizes import fit_array, fit_shape, resize, resize_hole

few = settings(max_examples=25, deadline=None)


def noise(*shape: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def test_fit() -> None:
    wide = Picture(noise(4, 8, 3), noise(4, 8), ("before",))
    with pytest.raises(InputError, match="the picture is 8 x 4, not square; type --fit crop or --fit pad"):
        fit_shape(wide)
    with pytest.raises(UsageError, match="unknown fit 'squash'"):
        fit_shape(wide, "squash")
    cropped = fit_shape(wide, "crop")
    assert np.array_equal(cropped.pixels, wide.pixels[:, 2:6]) and cropped.alpha is not None
    assert cropped.notes == ("before", "the picture of 8 x 4 was cropped to a square")
    padded = fit_shape(wide, "pad")
    assert padded.pixels.shape == (8, 8, 3) and np.array_equal(padded.pixels[2:6], wide.pixels)
    assert np.array_equal(padded.pixels[0], wide.pixels[0])
    square = Picture(noise(4, 4, 3))
    assert fit_shape(square) is square


def test_padding_is_never_erased() -> None:
    hole = fit_array(np.ones((3, 8), bool), "pad")
    assert hole.shape == (8, 8) and hole.sum() == 24


@given(
    pixels=hnp.arrays(np.uint8, st.tuples(st.integers(1, 20), st.integers(1, 20), st.just(3))),
    size=st.integers(1, 20),
)
@few
def test_resize_down_is_the_area_mean(pixels: Any, size: int) -> None:
    size = min(size, *pixels.shape[:2])

    def shares(length: int) -> Any:
        cells = np.arange(size)[:, None] * length / size
        ends = np.minimum(np.arange(length) + 1, cells + length / size)
        return np.maximum(0, ends - np.maximum(np.arange(length), cells)) * size / length

    rows, columns = shares(pixels.shape[0]), shares(pixels.shape[1])
    exact = np.einsum("ah,hwc,bw->abc", rows, pixels.astype(float), columns)
    assert np.abs(resize(pixels, size) - exact).max() <= 0.5 + 1e-6


@given(pixels=hnp.arrays(np.uint8, (5, 7, 3)), factor=st.integers(1, 4))
@few
def test_resize_of_repeated_pixels_gives_them_back(pixels: Any, factor: int) -> None:
    large = pixels.repeat(factor, axis=0).repeat(factor, axis=1)
    assert np.array_equal(resize(large, (5, 7)), pixels)


def test_resize_up() -> None:
    up = resize(np.full((4, 4, 3), 9, np.uint8), 16)
    assert up.shape == (16, 16, 3) and (up == 9).all()
    assert resize(noise(4, 4), 8).shape == (8, 8)


@given(hole=hnp.arrays(np.bool_, (6, 6)), factor=st.integers(1, 5))
@few
def test_resize_hole_round_trip(hole: Any, factor: int) -> None:
    assert np.array_equal(resize_hole(resize_hole(hole, 6 * factor), 6), hole)
    assert resize_hole(hole, (3, 4)).shape == (3, 4)
