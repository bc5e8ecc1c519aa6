"""Holes that hide an attribute, and redraws of it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ganinv.evaluation.hidden import sweep
from ganinv.portraits.attributes import TABLE, sample_attributes
from ganinv.portraits.renderer import render

SIZE = 32


@pytest.mark.parametrize("attribute", ["glasses", "smile"])
def test_outside_the_hole_nothing_depends_on_the_attribute(attribute: str) -> None:
    swept = sweep(attribute, 7, 3, SIZE, 6, seed=1)
    assert 0 < swept.hole.mean() < 0.6
    own = sample_attributes(1, 7, 3)
    levels = torch.tensor([0.03, 0.21, 0.46, 0.71, 0.97])  # not those of the sweep
    portraits = {name: value.repeat(len(levels)) for name, value in own.items()}
    portraits[attribute] = TABLE[attribute].from_gaussian(torch.special.ndtri(levels))
    drawn = render(portraits, SIZE)
    change = (drawn - render(own, SIZE)).abs().amax(dim=(0, 1)).numpy()
    assert change[~swept.hole].max() <= 2 / 255
    assert change[swept.hole].max() > 10 / 255


def test_the_hole_is_no_wider_than_two_pixels_around_what_changes() -> None:
    swept = sweep("glasses", 7, 3, SIZE, 8, seed=1)
    own = sample_attributes(1, 7, 3)
    drawn = render({k: v.repeat(2) for k, v in own.items()} | {"glasses": torch.tensor([0.0, 1.0])}, SIZE)
    changes = ((drawn[0] - drawn[1]).abs().amax(0) > 1 / 255).numpy()
    wide = np.zeros_like(changes)
    for r, c in zip(*np.nonzero(changes), strict=True):
        wide[max(r - 2, 0) : r + 3, max(c - 2, 0) : c + 3] = True
    assert np.array_equal(swept.hole, wide)


def test_redraws_follow_the_prior() -> None:
    """One draw from each eighth of the distribution: a quarter wear glasses, in every portrait."""
    for index in range(3):
        swept = sweep("glasses", 9, index, 8, 8, seed=2)
        assert swept.values.sum() == 2 and swept.redrawn.shape == (8, 8, 8, 3)
    ages = np.concatenate([sweep("age", 9, i, 8, 8, seed=2).values for i in range(12)])
    levels = np.sort(((ages - 18) / 62) ** (1 / 1.3))
    assert np.abs(levels - (np.arange(96) + 0.5) / 96).max() < 0.06  # without the eighths, 0.1


def test_the_picture_is_the_portrait_itself() -> None:
    swept, other = sweep("beard", 7, 5, SIZE, 4, seed=1), sweep("smile", 7, 5, SIZE, 4, seed=2)
    expected = (render(sample_attributes(1, 7, 5), SIZE)[0] * 255).round().permute(1, 2, 0).numpy()
    assert np.array_equal(swept.picture, expected) and np.array_equal(other.picture, expected)
