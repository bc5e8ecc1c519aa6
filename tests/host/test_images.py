"""Pixels and tensors, and sheets."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from ganinv.images import sheet, to_tensor, to_uint8


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


def test_sheet() -> None:
    page = sheet([[noise(4, 3, 3)] * 3, [noise(4, 3, 3)]], gap=1)
    assert page.shape == (11, 13, 3) and page.dtype == np.uint8
    assert np.array_equal(page[1:5, 9:12], noise(4, 3, 3)) and (page[6:, 5:] == 255).all()
