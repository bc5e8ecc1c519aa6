"""Distances over visible pixels: nothing from a hole, every network asked for in the same way."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ganinv.backbones.base import Backbone
from ganinv.backbones.loading import load_backbone
from ganinv.errors import UsageError
from ganinv.methods.losses import (
    VisibleLoss,
    noise_penalty,
    perceptual_features,
    pixel_pyramid,
)
from ganinv.metrics.perceptual import weighted_mean


def pictures(seed: int, count: int = 1, side: int = 16) -> Tensor:
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(seed)) * 2 - 1


@pytest.fixture
def visible() -> Tensor:
    left = torch.ones(1, 1, 16, 16)
    left[..., :8] = 0
    return left


def halves(images: Tensor) -> list[Tensor]:
    pooled = nn.functional.avg_pool2d(images, 2)
    return [pooled.repeat(1, 2, 1, 1), images.mean((2, 3))]


@pytest.mark.parametrize("features", [None, halves])
def test_what_the_hole_holds_has_no_influence(features: Any, visible: Tensor) -> None:
    loss, drawn, target = VisibleLoss(features), pictures(0, 2), pictures(1)
    other = torch.where(visible > 0, target, torch.full_like(target, torch.nan))
    assert loss(drawn, target, visible).shape == (2,)
    assert torch.equal(loss(drawn, target, visible), loss(drawn, other, visible))
    nothing = torch.zeros_like(visible)
    assert torch.equal(loss(drawn, target, nothing)[:1] * 0, torch.zeros(1))


@pytest.mark.parametrize("features", [None, halves])
def test_zero_where_they_agree_and_it_falls_on_the_way(features: Any, visible: Tensor) -> None:
    loss, drawn, target = VisibleLoss(features), pictures(0), pictures(1)
    same = torch.where(visible > 0, target, drawn)
    assert loss(same, target, visible).item() == pytest.approx(0, abs=1e-6)
    steps = [loss(same.lerp(drawn, t), target, visible).item() for t in (0.1, 0.4, 1.0)]
    assert steps == sorted(steps) and steps[0] > 0


def test_means_are_those_of_visible_pixels(visible: Tensor) -> None:
    values = torch.arange(16.0).expand(1, 1, 16, 16)
    assert weighted_mean(values, visible).item() == pytest.approx(11.5)
    drawn = torch.zeros(1, 3, 16, 16)
    target = torch.full_like(drawn, 0.3)  # only pixels differ, at 16 and at 8 px: 2 of 6 terms
    assert pixel_pyramid(drawn, target, visible).item() == pytest.approx(0.1, abs=1e-6)


def test_noise_pays_where_neighbours_agree() -> None:
    noise = torch.randn(32, 32, generator=torch.Generator().manual_seed(0))
    smooth = nn.functional.avg_pool2d(noise[None, None], 5, 1, 2)[0, 0]
    smooth = smooth / smooth.std()
    assert noise_penalty([smooth]) > 10 * noise_penalty([noise])


def test_the_network_of_the_domain_or_pixels(tiny_backbone: Any) -> None:
    backbone: Backbone = tiny_backbone.backbone
    assert perceptual_features("auto", backbone) == (None, "pixels")
    with pytest.raises(UsageError, match="no judge is known for the backbone 'tiny-16'"):
        perceptual_features("judge", backbone)
    with pytest.raises(UsageError, match="is no file; type auto, judge, pixels"):
        perceptual_features("nowhere.pt", backbone)
    small, large = pictures(0, side=64), pictures(0, side=64).repeat_interleave(2, 2).repeat_interleave(2, 3)
    seen = []
    for portraits, images in (("portraits-64", small), ("portraits-128", large)):
        features, name = perceptual_features("auto", load_backbone(portraits))
        assert name == "judge" and features is not None
        seen.append(features(images))
    assert [x.shape[2] for x in seen[0]] == [16, 8, 4]
    for of_small, of_large in zip(*seen, strict=True):
        torch.testing.assert_close(of_large, of_small, atol=1e-5, rtol=1e-4)


def test_a_torchscript_file(tiny_backbone: Any, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        script = torch.jit.trace(nn.Conv2d(3, 4, 3), torch.zeros(1, 3, 16, 16))
        torch.jit.save(script, str(tmp_path / "net.pt"))
    features, name = perceptual_features(str(tmp_path / "net.pt"), tiny_backbone.backbone)
    assert name == "net.pt" and features is not None
    assert features(pictures(0, 2))[0].shape == (2, 4, 14, 14)
    (tmp_path / "text.pt").write_text("no network")
    with pytest.raises(UsageError, match=r"text\.pt cannot be used on 16 px pictures"):
        perceptual_features(str(tmp_path / "text.pt"), tiny_backbone.backbone)
