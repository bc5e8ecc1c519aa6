"""Parts of a training step: rates, averages, what the discriminator sees, what stands still."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from ganinv.parts import Backbone, Discriminator, load_backbone
from plugin_ganinpaint.config import NetworkConfig
from plugin_ganinpaint.training import common, entry, settings
from plugin_ganinpaint.training.micro import parts_of

pytest.importorskip("lightning_fabric", reason="needs the extra `train`")

Make = Callable[..., Any]


def test_rate_rises_stays_and_falls() -> None:
    assert common.rate_factor(0.0, 0, 100, 0.5) == pytest.approx(0.01)
    assert common.rate_factor(0.2, 500, 100, 0.5) == 1
    assert common.rate_factor(0.75, 500, 100, 0.5) == pytest.approx(0.505)
    assert common.rate_factor(1.0, 500, 100, 0.5) == pytest.approx(0.01)
    assert common.rate_factor(1.0, 500, 100, 1.0) == 1


def test_ema_has_the_half_life_it_says(backbone: Backbone) -> None:
    config = NetworkConfig.for_backbone(backbone, preset="tiny")
    networks = common.Networks(config, backbone.w_avg, with_skip=False)
    ema = common.Ema(networks, images=100)
    name, before = next((n, p.detach().clone()) for n, p in networks.named_parameters())
    with torch.no_grad():
        networks.get_parameter(name).add_(1)
    ema.update(networks, batch=100, seen=1_000_000)
    assert torch.allclose(ema.module.get_parameter(name), before + 0.5, atol=1e-6)
    ema.update(networks, batch=100, seen=400)  # 5 % of 400 are 20 pictures: five half-lives
    assert torch.allclose(ema.module.get_parameter(name), before + 1 - 0.5 * 0.5**5, atol=1e-6)


def test_fakes_are_raw_or_pasted_and_no_group_holds_a_picture_twice(
    short: Make, make_run: Make, tmp_path: Path
) -> None:
    run = make_run(short(), 1, tmp_path)
    batch = run.sampler.draw()
    target = batch.targets[batch.target_of]
    shown = target + 10
    fakes = run._fakes(shown, target, parts_of(batch, 1)[0])
    n, p = 4, 2
    for row, fake in enumerate(fakes):
        picture, turn = divmod(row, p)
        pasted = torch.where(batch.visible[picture].bool(), batch.image[picture], shown[turn * n + picture])
        assert torch.equal(fake, shown[turn * n + picture]) or torch.allclose(fake, pasted, atol=1e-5)
    groups = torch.arange(n * p).reshape(
        4, -1
    )  # rows of equal column are compared by the minibatch statistics
    assert all(len(set((groups[:, g] // p).tolist())) == 4 for g in range(groups.shape[1]))


def test_stage_two_freezes_the_codes_until_told(short: Make, make_run: Make, tmp_path: Path) -> None:
    run = make_run(short(), 2, tmp_path)
    before = {k: v.clone() for k, v in run.networks.state_dict().items()}
    run.train_step(0.0)
    run.train_step(0.1)
    after = run.networks.state_dict()
    moved = {k.split(".")[0] for k in before if not torch.equal(before[k], after[k])}
    assert moved == {"skip"}
    run.train_step(0.6)
    run.train_step(0.7)
    moved = {k.split(".")[0] for k in before if not torch.equal(before[k], run.networks.state_dict()[k])}
    assert moved == {"skip", "encoder", "mixing"}


def test_bfloat16_runs(short: Make, make_run: Make, tiny_backbone: Any, tmp_path: Path) -> None:
    own = load_backbone(tiny_backbone.path)  # its compute type is changed
    run = make_run(short(precision="bfloat16"), 1, tmp_path, own)
    for _ in range(3):
        terms = run.train_step(0.0)
    assert all(math.isfinite(float(v)) for v in terms.values())
    assert all(p.dtype == torch.float32 for p in run.networks.parameters())


@pytest.mark.parametrize("instructions", [True, False])
def test_a_processor_without_bfloat16_is_told(
    instructions: bool,
    short: Make,
    tiny_backbone: Any,
    discriminator: Discriminator,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("ganinv_ops.dispatch._CPU_BFLOAT16", instructions)
    own = load_backbone(tiny_backbone.path)  # its compute type is changed
    lines: list[str] = []
    config = short(precision="bfloat16", memory_check=False)
    entry.fit(config, own, discriminator, tmp_path, stage="1", report=lines.append)
    assert any("has no products in bfloat16" in line for line in lines) != instructions


@pytest.mark.parametrize("instructions", [True, False])
def test_networks_compute_in_bfloat16_where_there_are_instructions(
    instructions: bool,
    short: Make,
    make_run: Make,
    tiny_backbone: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("ganinv_ops.dispatch._CPU_BFLOAT16", instructions)
    run = make_run(short(precision="bfloat16"), 1, tmp_path, load_backbone(tiny_backbone.path))
    with run.autocast():
        product = torch.nn.Linear(2, 2)(torch.ones(1, 2))
    assert product.dtype == (torch.bfloat16 if instructions else torch.float32)


def test_the_warm_up_teaches_the_mixing_network_where_codes_are_hidden(
    make_run: Make, short: Make, tmp_path: Path
) -> None:
    config = short(data=settings.DataSettings(hidden_codes=1.0))
    config = replace(config, stage1=replace(config.stage1, code_images=4000, images=4000, lr=3e-3))
    run = make_run(config, 1, tmp_path)
    before = {name: p.detach().clone() for name, p in run.networks.mixing.named_parameters()}
    found = [float(run.train_step(0.1)["code"]) for _ in range(60)]
    assert sum(found[-10:]) < 0.9 * sum(found[:10])
    assert all(not torch.equal(p, before[name]) for name, p in run.networks.mixing.named_parameters())
    plain = make_run(short(), 1, tmp_path)
    before = {name: p.detach().clone() for name, p in plain.networks.mixing.named_parameters()}
    plain.train_step(0.1)
    assert all(torch.equal(p, before[name]) for name, p in plain.networks.mixing.named_parameters())


@pytest.mark.parametrize("stage", [1, 2])
def test_the_code_term_pulls_whole_rows_towards_their_codes(
    stage: int, make_run: Make, short: Make, tmp_path: Path
) -> None:
    """Alone, it moves the networks so that the codes come nearer; without it no such term is there."""
    alone = settings.LossSettings(l2=0.0, perceptual=0.0, adversarial=0.0, code=1.0)
    config = short(losses=alone)
    config = replace(
        config,
        stage1=replace(config.stage1, code_images=0, images=4000, lr=3e-3),
        stage2=replace(config.stage2, thaw_from=0.0, images=4000, lr=3e-2),
    )
    run = make_run(config, stage, tmp_path)
    found = [float(run.train_step(0.1)["code_out"]) for _ in range(60)]
    assert sum(found[-10:]) < 0.9 * sum(found[:10])
    assert "code_out" not in make_run(short(), 1, tmp_path).train_step(0.1)
