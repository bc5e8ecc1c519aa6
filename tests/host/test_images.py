"""Pixels and tensors, composites and sheets."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ganinv.errors import UsageError
from ganinv.images import composite, sheet, to_tensor, to_uint8

few = settings(max_examples=25, deadline=None)


def noise(*shape: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def test_tensor_contract() -> None:
    pixels = noise(2, 4, 5, 3)
    tensor = to_tensor(pixels)
    assert tensor.shape == (2, 3, 4, 5) and tensor.dtype == torch.float32 and tensor.is_contiguous()
    assert tensor.min() >= -1 and tensor.max() <= 1
    assert np.array_equal(to_uint8(tensor), pixels)
    assert to_tensor(pixels[0]).shape == (1, 3, 4, 5)


def test_to_uint8_rounds_and_clamps() -> None:
    values = torch.tensor([-2.0, -1.0, 0.0, 1.0, 9.0, 100.6 / 127.5 - 1, 100.4 / 127.5 - 1])
    assert to_uint8(values.expand(1, 3, 1, 7))[0, 0, :, 2].tolist() == [0, 0, 128, 255, 255, 101, 100]


def test_read_only_pixels_are_taken() -> None:
    pixels = noise(2, 2, 3)
    pixels.flags.writeable = False
    assert to_tensor(pixels).shape == (1, 3, 2, 2)


# ---- composite


@given(
    raw=hnp.arrays(np.uint8, (1, 6, 6, 3)),
    working=hnp.arrays(np.uint8, (1, 6, 6, 3)),
    hole=hnp.arrays(np.bool_, (1, 6, 6)),
    feather=st.integers(0, 4),
)
@few
def test_known_pixels_are_kept_bit_for_bit(raw: Any, working: Any, hole: Any, feather: int) -> None:
    result = composite(raw, working, hole, feather)
    assert np.array_equal(result[~hole], working[~hole])
    hidden = np.where(hole[..., None], 255 - working, working)
    assert np.array_equal(composite(raw, hidden, hole, feather), result)  # erased pixels have no say
    if feather == 0 or hole.all():
        assert np.array_equal(result[hole], raw[hole])


def test_feather_fades_inside_the_hole_only() -> None:
    raw, working = np.full((1, 4, 8, 3), 200, np.uint8), np.zeros((1, 4, 8, 3), np.uint8)
    hole = np.zeros((1, 4, 8, 1), bool)
    hole[:, :, 4:] = True
    assert composite(raw, working, hole, 2)[0, 1, :, 0].tolist() == [0, 0, 0, 0, 67, 133, 200, 200]
    assert composite(raw, working, hole, 99)[0, 1, 7, 0] < 200


def test_composite_of_a_wrong_shape_and_feather() -> None:
    with pytest.raises(ValueError, match="shapes differ"):
        composite(noise(1, 4, 4, 3), noise(1, 4, 5, 3), np.zeros((1, 4, 4), bool))
    with pytest.raises(UsageError, match="a feather of -1 pixels"):
        composite(noise(1, 4, 4, 3), noise(1, 4, 4, 3), np.zeros((1, 4, 4), bool), -1)


def test_sheet() -> None:
    page = sheet([[noise(4, 3, 3)] * 3, [noise(4, 3, 3)]], gap=1)
    assert page.shape == (11, 13, 3) and page.dtype == np.uint8
    assert np.array_equal(page[1:5, 9:12], noise(4, 3, 3)) and (page[6:, 5:] == 255).all()
