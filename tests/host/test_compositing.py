"""Composites: known pixels bit for bit, soft edges, tones carried on into the hole."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.sparse import lil_matrix
from scipy.sparse.linalg import spsolve

from ganinv.compositing import composite, joined, matched, membrane
from ganinv.errors import UsageError

few = settings(max_examples=25, deadline=None)


def noise(*shape: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def random_hole(side: int, seed: int = 0) -> np.ndarray:
    """bool (side, side): a box, and specks."""
    hole = np.random.default_rng(seed).random((side, side)) < 0.1
    hole[side // 4 : -side // 6, side // 3 :] = True
    return hole


def laplace(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    """The solution (H, W) with a free border, by a direct solver."""
    height, width = known.shape
    system, right = lil_matrix((height * width, height * width)), np.zeros(height * width)
    for y in range(height):
        for x in range(width):
            row = y * width + x
            if known[y, x]:
                system[row, row], right[row] = 1, values[y, x]
                continue
            for dy, dx in ((-1, 0), (1, 0), (0, -1), (0, 1)):
                if 0 <= y + dy < height and 0 <= x + dx < width:
                    system[row, row] += 1
                    system[row, (y + dy) * width + x + dx] -= 1
    return np.asarray(spsolve(system.tocsr(), right)).reshape(height, width)


@pytest.mark.parametrize(("height", "width"), [(32, 32), (21, 34), (80, 70)])
def test_the_membrane_is_nearly_that_of_laplace(height: int, width: int) -> None:
    known = ~random_hole(80)[:height, :width]
    y, x = np.mgrid[:height, :width]
    values = 20 * np.sin(y / 7) + 0.8 * x + np.random.default_rng(1).normal(0, 2, (height, width))
    expected = laplace(values, known)
    asked = torch.from_numpy(values * known).float()[None, None]
    found = membrane(asked, torch.from_numpy(known).float()[None, None])[0, 0].numpy()
    assert np.array_equal(found[known], values[known].astype(np.float32))
    spread = expected[~known].max() - expected[~known].min()
    assert np.abs(found - expected).mean() < 0.04 * spread and np.abs(found - expected).max() < 0.2 * spread


def test_a_constant_difference_is_taken_out_everywhere() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(40, 200, (2, 24, 24, 3), dtype=np.uint8)
    hole = np.stack([random_hole(24), random_hole(24, 1)])
    raw = (truth + np.array([9, -14, 30])).astype(np.uint8)
    assert np.array_equal(composite(raw, truth, hole), truth)
    hard = composite(raw, truth, hole, tones=False)
    assert np.array_equal(hard[hole], raw[hole]) and np.array_equal(hard[~hole], truth[~hole])


def seam(size: float, fine: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """What is carried of a difference of this size, alike or by turns from row to row, over that difference,
    [8], the first of known pixels; and the same of a membrane alone.
    """
    known = torch.zeros(1, 1, 32, 32)
    known[..., :16] = 1
    rows = (1 - 2 * (torch.arange(32) % 2)) if fine else torch.ones(32)
    outside = size * rows.float()[:, None].expand(1, 1, 32, 32) * known
    shown = joined(torch.zeros_like(outside), outside, known)
    assert torch.equal(shown[..., :16], outside[..., :16])
    parts = (found[0, 0, 8:24, 15:23] * rows[8:24, None] for found in (shown, membrane(outside, known)))
    over, alone = (part.mean(dim=0) / size for part in parts)  # away from the picture's border
    return over, alone


def test_a_difference_too_fine_for_tones_fades_over_some_pixels() -> None:
    over, alone = seam(0.2, fine=True)
    assert over[0] == 1 and ((over[:-1] - over[1:]) < 0.3).all() and over[7].abs() < 0.15
    assert alone[0] - alone[1] > 0.7


def test_a_difference_too_large_for_tones_fades_too() -> None:
    over, _ = seam(0.3, fine=False)
    torch.testing.assert_close(over, torch.ones(8), atol=0.02, rtol=0)  # one of tones: carried on
    over, alone = seam(0.9, fine=False)
    assert over[0] == 1 and ((over[:-1] - over[1:]) < 0.25).all() and 0.3 < over[7] < 0.45
    assert alone[7] > 0.95


def test_known_pixels_stay_and_hidden_ones_are_not_read() -> None:
    rng = np.random.default_rng(0)
    raw, working = (rng.integers(0, 256, (1, 32, 32, 3), dtype=np.uint8) for _ in range(2))
    hole = random_hole(32)[None]
    shown = composite(raw, working, hole)
    assert np.array_equal(shown[~hole], working[~hole]) and not np.array_equal(shown[hole], raw[hole])
    other = np.where(hole[..., None], 255 - working, working)
    assert np.array_equal(composite(raw, other, hole), shown)


@pytest.mark.parametrize("erased", [True, False])
def test_nothing_moves_where_all_or_nothing_is_erased(erased: bool) -> None:
    raw = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3), dtype=np.uint8)
    assert np.array_equal(matched(raw, 255 - raw, np.full((2, 8, 8), erased)), raw)


def test_one_wholly_erased_picture_among_others_keeps_its_own() -> None:
    raw = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3), dtype=np.uint8)
    hole = np.stack([np.ones((16, 16), bool), random_hole(16)])
    shown = matched(raw, np.zeros_like(raw), hole)
    assert np.array_equal(shown[0], raw[0]) and not np.array_equal(shown[1], raw[1])


@given(
    raw=hnp.arrays(np.uint8, (1, 6, 6, 3)),
    working=hnp.arrays(np.uint8, (1, 6, 6, 3)),
    hole=hnp.arrays(np.bool_, (1, 6, 6)),
    feather=st.integers(0, 4),
    tones=st.booleans(),
)
@few
def test_known_pixels_are_kept_bit_for_bit(
    raw: Any, working: Any, hole: Any, feather: int, tones: bool
) -> None:
    result = composite(raw, working, hole, feather, tones=tones)
    assert np.array_equal(result[~hole], working[~hole])
    hidden = np.where(hole[..., None], 255 - working, working)
    assert np.array_equal(
        composite(raw, hidden, hole, feather, tones=tones), result
    )  # erased pixels have no say
    if (feather == 0 and not tones) or hole.all():
        assert np.array_equal(result[hole], raw[hole])


def test_feather_fades_inside_the_hole_only() -> None:
    raw, working = np.full((1, 4, 8, 3), 200, np.uint8), np.zeros((1, 4, 8, 3), np.uint8)
    hole = np.zeros((1, 4, 8, 1), bool)
    hole[:, :, 4:] = True
    assert composite(raw, working, hole, 2, tones=False)[0, 1, :, 0].tolist() == [
        0,
        0,
        0,
        0,
        67,
        133,
        200,
        200,
    ]
    assert composite(raw, working, hole, 99, tones=False)[0, 1, 7, 0] < 200


def test_composite_of_a_wrong_shape_and_feather() -> None:
    with pytest.raises(ValueError, match="shapes differ"):
        composite(noise(1, 4, 4, 3), noise(1, 4, 5, 3), np.zeros((1, 4, 4), bool))
    with pytest.raises(UsageError, match="a feather of -1 pixels"):
        composite(noise(1, 4, 4, 3), noise(1, 4, 4, 3), np.zeros((1, 4, 4), bool), -1)
