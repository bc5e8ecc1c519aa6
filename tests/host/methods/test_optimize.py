"""`optimize` on a generator of 16 px: it keeps the contract and gets nearer to the picture."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from ganinv.api import load_method
from ganinv.backbones.base import Backbone
from ganinv.errors import BackboneMismatchError, ConfigError, UsageError
from ganinv.inversion import Inversion
from ganinv.methods.latents import latent_statistics, random_codes
from ganinv.methods.optimize import Optimize, OptimizeConfig, learning_rate_factor
from ganinv.rendering import render
from ganinv.sampling import normal
from ganinv.testing import check_method

FAST = {"steps": 8, "candidates": 2}


@pytest.fixture
def backbone(tiny_backbone: Any) -> Backbone:
    found: Backbone = tiny_backbone.backbone
    return found


@pytest.fixture
def picture(backbone: Backbone) -> Tensor:
    with torch.no_grad():
        return backbone.synthesize(random_codes(backbone, normal(3, 1, 16))).images.clamp(-1, 1)


@pytest.fixture
def hole() -> Tensor:
    left = torch.zeros(1, 1, 16, 16)
    left[..., :8] = 1
    return left


def visible_error(inversion: Inversion, backbone: Backbone, picture: Tensor, hole: Tensor) -> float:
    apart = (render(inversion, backbone)[:, 0] - picture).square() * (1 - hole)
    return apart.mean().item()


@pytest.mark.parametrize("space", ["w", "w+"])
def test_keeps_the_contract(backbone: Backbone, space: Any) -> None:
    check_method(Optimize(backbone, OptimizeConfig(steps=3, candidates=2, space=space)))


@pytest.mark.parametrize("space", ["w", "w+"])
def test_more_steps_come_nearer(backbone: Backbone, picture: Tensor, hole: Tensor, space: str) -> None:
    errors = []
    for steps in (1, 40):
        method = load_method("optimize", backbone=backbone, space=space, steps=steps, candidates=1)
        found = method.invert(picture, hole, samples=1)
        errors.append(visible_error(found, backbone, picture, hole))
        same = bool((found.ws == found.ws[:, :, :1]).all())
        assert same == (space == "w")
    assert errors[1] < 0.5 * errors[0]


def test_starts_differ_and_the_nearest_candidate_is_taken(
    backbone: Backbone, picture: Tensor, hole: Tensor
) -> None:
    still = {"steps": 1, "lr": 0.0}
    one = load_method("optimize", backbone=backbone, candidates=1, **still).invert(picture, hole, samples=3)
    many = load_method("optimize", backbone=backbone, candidates=16, **still).invert(picture, hole, samples=3)
    for found in (one, many):
        assert not torch.equal(found.ws[0, 0], found.ws[0, 1])
    errors = [visible_error(found.sample(0), backbone, picture, hole) for found in (one, many)]
    assert errors[1] <= errors[0]
    mean = load_method("optimize", backbone=backbone, **still).invert(picture, hole, truncation=0)
    assert torch.allclose(mean.ws, backbone.w_avg.expand_as(mean.ws), atol=1e-5)


def test_goes_on_from_another_method(backbone: Backbone, picture: Tensor, hole: Tensor) -> None:
    embedder = Optimize(backbone, OptimizeConfig(steps=1, lr=0.0, candidates=1, space="w+"))
    check_method(Optimize(backbone, OptimizeConfig(steps=3), embedder))
    method = load_method("optimize", backbone=backbone, embedder=embedder, steps=40)
    starts = embedder.invert(picture, hole, samples=2, seed=3)
    found = method.invert(picture, hole, samples=2, seed=3)
    for k in range(2):
        before, after = (
            visible_error(inversion.sample(k), backbone, picture, hole) for inversion in (starts, found)
        )
        assert after < 0.7 * before
    moved = found.ws - starts.ws
    assert torch.allclose(moved, moved[:, :, :1].expand_as(moved), atol=1e-5)  # in W, for all layers alike
    hidden = method.invert(picture, torch.ones_like(hole), samples=2, seed=3)
    assert torch.equal(hidden.ws, embedder.invert(picture, torch.ones_like(hole), samples=2, seed=3).ws)


def test_what_cannot_be_refined_is_told(backbone: Backbone, picture: Tensor, fake_method: Any) -> None:
    with pytest.raises(UsageError, match="another backbone object: give optimize the same one"):
        load_method("optimize", backbone=backbone, embedder=fake_method)
    tuned = load_method(
        "pti", backbone=backbone, steps=1, embedder=Optimize(backbone, OptimizeConfig(**FAST))
    )
    with pytest.raises(UsageError, match="pti tuned the generator to its codes: refine codes first"):
        load_method("optimize", backbone=backbone, embedder=tuned).invert(picture)
    with pytest.raises(BackboneMismatchError, match="the inversion to be refined"):
        Optimize(backbone).refine(fake_method.invert(torch.zeros(1, 3, 8, 8)))


def test_noise_maps_belong_to_the_result(backbone: Backbone, picture: Tensor, hole: Tensor) -> None:
    plain = load_method("optimize", backbone=backbone, **FAST).invert(picture, hole)
    before = {name: t.clone() for name, t in backbone.state_dict().items()}
    found = load_method("optimize", backbone=backbone, noise_maps=True, **FAST).invert(
        picture, hole, samples=2
    )
    assert not plain.tuned and len(found.tuned) == 5
    assert all(name.endswith("noise_const") for name in found.tuned)
    assert all(torch.equal(t, before[name]) for name, t in backbone.state_dict().items())
    assert not torch.equal(
        render(found, backbone), render(Inversion(**{**vars(found), "tuned": {}}), backbone)
    )
    check_method(Optimize(backbone, OptimizeConfig(steps=2, candidates=1, noise_maps=True)))


def test_progress_is_told(backbone: Backbone, picture: Tensor) -> None:
    method = load_method("optimize", backbone=backbone, **FAST)
    told: list[tuple[str, int, int]] = []
    method.progress = lambda *news: told.append(news)
    method.invert(picture, samples=2)
    assert told == [("optimize", step, 16) for step in range(1, 17)]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"steps": 0}, "steps = 0 is not possible; give 1 or more"),
        ({"lr": -1.0}, r"lr = -1.0 is not possible; give 0 or more"),
        ({"space": "z"}, "space is 'z'; possible: w, w\\+"),
        ({"steps": "many"}, "steps is 'many'; expected a whole number"),
    ],
)
def test_impossible_options(backbone: Backbone, options: dict[str, Any], text: str) -> None:
    with pytest.raises((UsageError, ConfigError), match=text):
        load_method("optimize", backbone=backbone, **options)


def test_impossible_truncation(backbone: Backbone, picture: Tensor) -> None:
    with pytest.raises(UsageError, match="truncation 2 is not possible"):
        load_method("optimize", backbone=backbone, **FAST).invert(picture, truncation=2)


def test_a_backbone_without_noise_maps(fake_backbone: Backbone) -> None:
    with pytest.raises(UsageError, match="fake generators have no noise maps"):
        load_method("optimize", backbone=fake_backbone, noise_maps=True)


def test_statistics_describe_random_codes(backbone: Backbone) -> None:
    found = latent_statistics(backbone)
    w = random_codes(backbone, normal(9, 2000, 16))[:, 0]
    u = (w - found.mean) @ torch.linalg.inv(found.basis)
    assert u.var(0).mean().item() == pytest.approx(1, abs=0.2)
    assert (w - found.mean).square().sum(1).mean().sqrt().item() == pytest.approx(found.radius, rel=0.1)


def test_learning_rate_rises_stays_and_falls() -> None:
    rates = [learning_rate_factor(t) for t in (0.0, 0.04, 0.5, 0.9, 0.999)]
    assert rates[0] < rates[1] < rates[2] == 1.0 > rates[3] > rates[4]
