"""`optimize` and `pti` on a StyleGAN3 generator."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from ganinv.api import edit, load_method
from ganinv.editing.edits import Direction
from ganinv.errors import UsageError
from ganinv.inversion import Inversion
from ganinv.methods.optimize import Optimize, OptimizeConfig
from ganinv.methods.pti import PivotalTuning, PtiConfig
from ganinv.rendering import render
from ganinv.testing import check_method


def errors_of(found: Inversion, backbone: Any) -> torch.Tensor:
    """Mean squared error of each sample's visible pixels."""
    apart = render(found, backbone)[0] - (found.working.float() / 127.5 - 1)
    return apart[:, :, found.hole[0, 0] == 0].square().mean((1, 2))


def test_the_contract(tiny_stylegan3: Any) -> None:
    embedder = Optimize(tiny_stylegan3.backbone, OptimizeConfig(steps=3, candidates=2))
    check_method(embedder)
    check_method(PivotalTuning(embedder, PtiConfig(steps=2)))


def test_pictures_come_nearer(tiny_stylegan3: Any, tmp_path: Path) -> None:
    """By steps of `optimize`, then by tuning; the result is saved, edited and drawn the same."""
    backbone = tiny_stylegan3.backbone
    picture = backbone(torch.randn(1, 16, generator=torch.Generator().manual_seed(3))).clamp(-1, 1)
    hole = torch.zeros(1, 1, 16, 16)
    hole[..., :8] = 1
    found = [
        load_method("optimize", backbone=backbone, steps=steps, candidates=1).invert(picture, hole, samples=2)
        for steps in (1, 40)
    ]
    before, after = (errors_of(one, backbone) for one in found)
    assert (after < 0.5 * before).all()
    method = load_method("pti", backbone=backbone, steps=20, lr=0.01)
    assert isinstance(method, PivotalTuning)
    tuned = method.refine(found[0])
    assert (errors_of(tuned, backbone) < 0.8 * before).all()
    names = set(tuned.tuned)
    assert "synthesis.input.weight" in names and "synthesis.L0_36_8.affine.weight" in names
    assert not any(name.startswith("mapping") or "filter" in name for name in names)
    tuned.save(tmp_path / "a.inversion.safetensors")
    loaded = Inversion.load(tmp_path / "a.inversion.safetensors")
    assert torch.equal(render(loaded, backbone), render(tuned, backbone))
    older = edit(loaded, backbone, [(Direction("age", torch.eye(16)[:1], unit=1.0), 2.0)])
    assert not torch.equal(render(older, backbone), render(loaded, backbone))


def test_there_are_no_noise_maps(tiny_stylegan3: Any) -> None:
    with pytest.raises(UsageError, match="stylegan3 generators have no noise maps"):
        load_method("optimize", backbone=tiny_stylegan3.backbone, noise_maps=True)
