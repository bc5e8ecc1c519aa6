"""Holes: fixed shapes, seeded free-form presets with the published shares, ranges that cannot be met."""

from __future__ import annotations

import time

import numpy as np
import pytest
import torch

from ganinv import masks
from ganinv.errors import UnknownNameError, UsageError

PUBLISHED_SHARES = {
    "comodgan": 0.65,
    "mat": 0.40,
    "mat-small": 0.21,
    "lama-thin": 0.30,
    "lama-medium": 0.31,
    "lama-thick": 0.46,
}


@pytest.mark.parametrize("name", masks.FIXED_NAMES)
def test_fixed_shapes_cover_what_they_say(name: str) -> None:
    hole = masks.named_hole(name, 64, seed=0)
    assert hole.shape == (64, 64)
    assert hole.dtype == np.bool_
    assert hole.mean() == {"centre": 0.25, "border": 0.75}.get(name, 0.5)


def test_halves_lie_on_their_side() -> None:
    assert masks.half(8, "left")[:, :4].all()
    assert masks.half(8, "right")[:, 4:].all()
    assert masks.half(8, "top")[:4].all()
    assert masks.half(8, "bottom")[4:].all()
    with pytest.raises(UnknownNameError, match="'left'"):
        masks.half(8, "lft")


def test_box_rounds_to_pixels_and_refuses_nonsense() -> None:
    hole = masks.box(10, 0.1, 0.2, 0.5, 0.4)
    assert hole.sum() == 4 * 2
    assert hole[2:4, 1:5].all()
    with pytest.raises(UsageError, match="leaves the picture"):
        masks.box(10, 0.5, 0, 0.5, 1)


@pytest.mark.parametrize("preset", masks.PRESETS)
def test_free_form_is_seeded(preset: str) -> None:
    first = masks.named_hole(f"free-form:{preset}", 32, seed=3)
    assert np.array_equal(first, masks.named_hole(f"free-form:{preset}", 32, seed=3))
    others = [masks.named_hole(f"free-form:{preset}", 32, seed=seed) for seed in range(4, 8)]
    assert any(not np.array_equal(first, other) for other in others)
    assert 0 < first.mean() < 1


@pytest.mark.parametrize("size", [64, 512])
@pytest.mark.parametrize("preset", masks.PRESETS)
def test_shares_are_the_published_ones_at_every_size(preset: str, size: int) -> None:
    holes = masks.free_form_batch(250, size, preset, np.random.default_rng(0))
    assert abs(holes.float().mean().item() - PUBLISHED_SHARES[preset]) < 0.04


def test_batch_speed_suits_training() -> None:
    generator = torch.Generator().manual_seed(0)
    started = time.process_time()
    masks.free_form_batch(200, 64, {"comodgan": 1, "mat": 1, "lama-medium": 1}, generator)
    assert time.process_time() - started < 1.0


def test_batch_mixes_presets_and_advances_the_torch_generator_once() -> None:
    generator = torch.Generator().manual_seed(5)
    mix = {"half": 1.0, "mat-small": 3.0, "centre": 0.0}
    holes = masks.free_form_batch(40, 32, mix, generator, (0.05, 0.6))
    assert holes.shape == (40, 1, 32, 32)
    assert holes.dtype == torch.bool
    shares = holes.float().mean(dim=(1, 2, 3))
    assert ((shares > 0.05) & (shares < 0.6)).all()
    assert (shares == 0.5).any()
    single = torch.Generator().manual_seed(5)
    torch.randint(0, 2**62, (1,), generator=single)
    assert torch.equal(single.get_state(), generator.get_state())


def test_small_ranges_are_met_and_impossible_ones_refused() -> None:
    rng = np.random.default_rng(0)
    shares = masks.free_form_batch(16, 64, "mat", rng, (0.0, 0.1)).float().mean(dim=(1, 2, 3))
    assert shares.max() < 0.1
    with pytest.raises(UsageError, match="impossible"):
        masks.free_form_batch(1, 64, "mat", rng, (0.5, 0.5))
    with pytest.raises(UsageError, match="widen the range"):
        masks.free_form_batch(1, 32, "centre", rng, (0.5, 0.6))
    with pytest.raises(UsageError, match="nothing to draw"):
        masks.free_form_batch(1, 32, {"mat": 0.0}, rng)


@pytest.mark.parametrize(
    ("spec", "offer"),
    [
        ("center", "centre"),
        ("free-form:matt", "free-form:mat"),
        ("half-lef", "half-left"),
        ("free-form:", "free-form"),
    ],
)
def test_unknown_names_offer_the_nearest(spec: str, offer: str) -> None:
    with pytest.raises(UnknownNameError, match=f"did you mean '{offer}'"):
        masks.named_hole(spec, 16, seed=0)
    with pytest.raises(UnknownNameError, match="unknown mask preset 'matt'; did you mean 'mat'"):
        masks.free_form_batch(1, 16, "matt", np.random.default_rng(0))
