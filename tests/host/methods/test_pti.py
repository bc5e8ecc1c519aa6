"""`pti`: the generator moves to the visible pixels, and the result carries the change."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from ganinv.api import edit, load_method
from ganinv.backbones.base import Backbone
from ganinv.editing.edits import Direction
from ganinv.errors import BackboneMismatchError, CheckpointError, UsageError
from ganinv.images import to_uint8
from ganinv.inversion import Inversion
from ganinv.methods.optimize import Optimize, OptimizeConfig
from ganinv.methods.pti import PivotalTuning, PtiConfig
from ganinv.rendering import render
from ganinv.testing import check_method


@pytest.fixture
def backbone(tiny_backbone: Any) -> Backbone:
    found: Backbone = tiny_backbone.backbone
    return found


@pytest.fixture
def pivots(backbone: Backbone) -> Inversion:
    """Two samples of a picture of noise, left half erased."""
    picture = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(1)) * 2 - 1
    hole = torch.zeros(1, 1, 16, 16)
    hole[..., :8] = 1
    method = Optimize(backbone, OptimizeConfig(steps=2, candidates=1, space="w"))
    return method.invert(picture, hole, samples=2)


def psnr(inversion: Inversion, backbone: Backbone, visible: bool = True) -> Tensor:
    target = inversion.working.float() / 127.5 - 1
    where = (inversion.hole[0, 0] == 0) == visible
    apart = (render(inversion, backbone)[0] - target)[:, :, where]
    return 10 * torch.log10(4 / apart.square().mean((1, 2)))


def tuned(backbone: Backbone, pivots: Inversion, **options: Any) -> Inversion:
    method = load_method("pti", backbone=backbone, **{"steps": 20, "lr": 0.02, **options})
    assert isinstance(method, PivotalTuning)
    return method.refine(pivots)


def test_visible_pixels_get_nearer(backbone: Backbone, pivots: Inversion) -> None:
    before = {name: t.clone() for name, t in backbone.state_dict().items()}
    found = tuned(backbone, pivots)
    assert (psnr(found, backbone) > psnr(pivots, backbone) + 1).all()
    assert torch.equal(found.ws, pivots.ws)
    assert all(torch.equal(t, before[name]) for name, t in backbone.state_dict().items())
    assert not any(p.requires_grad for p in backbone.parameters())
    assert not any(name.startswith("mapping") for name in found.tuned)
    assert found.method["name"] == "pti" and found.method["embedder"]["name"] == "optimize"


def test_the_erased_pixels_and_other_codes_are_held(backbone: Backbone, pivots: Inversion) -> None:
    hole = pivots.hole[0, 0].bool()
    drift, moved = [], []
    others = backbone.map(torch.randn(1, 16, generator=torch.Generator().manual_seed(5)))
    others = others.expand_as(pivots.ws[0])[None].contiguous()
    for weight in (0.0, 10.0):
        found = tuned(backbone, pivots, hold=weight, locality=weight, locality_every=1)
        apart = render(found, backbone)[0] - render(pivots, backbone)[0]
        drift.append(apart[:, :, hole].square().mean().item())
        moved.append(
            (render(found, backbone, others) - render(pivots, backbone, others)).square().mean().item()
        )
    assert drift[1] < drift[0]
    assert moved[1] < moved[0]


def test_keeps_the_contract(backbone: Backbone) -> None:
    embedder = Optimize(backbone, OptimizeConfig(steps=2, candidates=1))
    check_method(PivotalTuning(embedder, PtiConfig(steps=2)))


def test_a_file_draws_and_edits_the_same_bits(backbone: Backbone, pivots: Inversion, tmp_path: Path) -> None:
    found = tuned(backbone, pivots)
    found.save(tmp_path / "a.inversion.safetensors")
    loaded = Inversion.load(tmp_path / "a.inversion.safetensors")
    assert torch.equal(render(loaded, backbone), render(found, backbone))
    age = Direction("age", torch.eye(16)[:1])
    older = [edit(one, backbone, [(age, 2.0)]) for one in (found, loaded)]
    assert torch.equal(render(older[0], backbone), render(older[1], backbone))
    assert not torch.equal(render(older[0], backbone), render(pivots, backbone, older[0].ws))
    assert torch.equal(render(loaded.sample(1), backbone)[:, 0], render(found, backbone)[:, 1])


def test_what_a_pivot_carries_is_kept(backbone: Backbone, pivots: Inversion) -> None:
    features = {4: torch.full((1, 2, 8, 4, 4), 0.5).half()}
    carried = replace(pivots, features=features, features_in_holes=False, noise="random")
    found = tuned(backbone, carried)
    assert found.noise == "const" and found.features.keys() == {4}
    assert found.for_holes() is found  # its weights were tuned with the features
    assert (psnr(found, backbone) > psnr(replace(pivots, features=features), backbone)).all()
    noisy = Optimize(backbone, OptimizeConfig(steps=2, candidates=1, noise_maps=True))
    images = pivots.working.float() / 127.5 - 1
    start = noisy.invert(images, pivots.hole.float())
    found = tuned(backbone, start)
    assert start.tuned.keys() < found.tuned.keys()
    name = next(iter(start.tuned))
    assert torch.equal(found.tuned[name], start.tuned[name])


def test_any_embedder(fake_method: Any, fake_backbone: Backbone) -> None:
    method = load_method("pti", backbone=fake_backbone, embedder=fake_method, steps=3)
    images = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(1)) * 2 - 1
    told: list[tuple[str, int, int]] = []
    method.progress = lambda *news: told.append(news)
    found = method.invert(images, samples=2)
    assert found.method["embedder"]["name"] == "fake" and found.tuned["weight"].shape[:2] == (2, 2)
    assert told[-1] == ("pti", 12, 12)
    assert to_uint8(method.render(found).flatten(0, 1)).shape == (4, 8, 8, 3)


def test_refusals(backbone: Backbone, pivots: Inversion, fake_backbone: Backbone, fake_method: Any) -> None:
    with pytest.raises(UsageError, match="works with another backbone object"):
        load_method("pti", backbone=backbone, embedder=fake_method)
    with pytest.raises(UsageError, match="locality_every = 0 is not possible"):
        load_method("pti", backbone=backbone, locality_every=0)
    with pytest.raises(BackboneMismatchError, match="the inversion to be refined"):
        tuned(fake_backbone, pivots)
    wrong = replace(pivots, tuned={"no.such": torch.zeros(1, 2, 3, dtype=torch.float16)})
    with pytest.raises(CheckpointError, match=r"a tuned weight 'no\.such' of shape \[3\] does not fit"):
        render(wrong, backbone)
    with pytest.raises(ValueError, match=r"tuned x is torch.float32 .*; expected float16 \[1, 2, \.\.\.\]"):
        replace(pivots, tuned={"x": torch.zeros(1, 2, 3)})
