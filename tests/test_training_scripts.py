"""Parts of the training scripts that decide what the generator learns."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def scripts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    for name in (
        "paired_portraits",
        "train_portraits",
        "portraits_critic",
        "portraits_phases",
        "grown_portraits",
        "grow_weights",
        "portraits_mapping",
    ):
        monkeypatch.delitem(sys.modules, name, raising=False)


def test_pairs_differ_in_one_attribute(tmp_path: Path) -> None:
    from paired_portraits import Pairs, render

    render(tmp_path, 16, 64, seed=3, shard=16)
    names = json.loads((tmp_path / "renders" / "names.json").read_text())
    pairs = Pairs(tmp_path, 128)
    first, second = pairs.normals[0::2], pairs.normals[1::2]
    assert ((first != second).sum(1) == 1).all() and first.shape == (8, len(names))
    assert ((first - second).abs().sum(1) >= 1).all()
    x, z = pairs.batch(8, 64, torch.Generator().manual_seed(0))
    assert x.shape == (8, 3, 64, 64) and z.shape == (8, 128)
    assert torch.allclose(z.square().mean(1), torch.ones(8), atol=1e-5)


def test_glasses_weigh_where_they_are() -> None:
    from paired_portraits import changed_weight

    first = torch.zeros(1, 3, 64, 64)
    second = first.clone()
    second[:, :, 20:24, 16:48] = 1  # a frame: 128 of 4,096 pixels
    weight = changed_weight(torch.cat([first, second]))
    assert weight.shape == (2, 1, 64, 64) and torch.equal(weight[0], weight[1])
    assert weight[0, 0, 22, 30] > 10 and weight[0, 0, 50, 30] == 0
    assert weight.mean() < 1.01


def test_a_rate_falls_along_half_a_cosine() -> None:
    from train_portraits import Phase

    phase = Phase(64, kimg=10, lr=1e-3, lr_end=1e-4)
    assert [phase.lr_at(n) for n in (0, 10_000, 20_000)] == pytest.approx([1e-3, 1e-4, 1e-4])
    assert phase.lr_at(5_000) == pytest.approx(5.5e-4) and Phase(64, kimg=10, lr=1e-3).lr_at(9_000) == 1e-3


@pytest.fixture
def large(tmp_path: Path) -> Path:
    return grown_file(tmp_path, "portraits-64")


def grown_file(folder: Path, name: str, wider: int = 1) -> Path:
    """A bundled generator with a block more and so many times the channels, as its training begins."""
    from grown_portraits import grow

    from ganinv.backbones.loading import load_backbone
    from ganinv.backbones.stylegan2 import StyleGAN2Generator
    from ganinv.checkpoints import write_checkpoint

    small = load_backbone(name)
    assert isinstance(small, StyleGAN2Generator)
    torch.manual_seed(0)
    side, base = 2 * small.resolution, wider * small.config.channel_base
    grown = StyleGAN2Generator(dataclasses.replace(small.config, resolution=side, channel_base=base))
    grow(grown, small)
    path = folder / "grown.safetensors"
    write_checkpoint(
        path, grown.state_dict(), kind="generator", family="stylegan2", config=grown.config.to_json()
    )
    return path


def test_a_grown_generator_draws_the_same_portrait(large: Path) -> None:
    from ganinv.backbones.loading import load_backbone

    small, grown = load_backbone("portraits-64"), load_backbone(large)
    ws = small.map(torch.randn(2, 128, generator=torch.Generator().manual_seed(1)))
    more = torch.cat([ws, ws[:, -1:], ws[:, -1:]], dim=1)
    before, after = small.synthesize(ws, capture=[32, 64]), grown.synthesize(more, capture=[32, 64])
    for side in (32, 64):
        torch.testing.assert_close(before.features[side], after.features[side], rtol=1e-4, atol=1e-4)
    assert after.images.shape[-1] == 128
    halved = torch.nn.functional.avg_pool2d(after.images, 2)
    assert (halved - before.images).abs().mean() < 0.1


def test_a_wider_generator_draws_the_same_picture() -> None:
    from grown_portraits import grow

    from ganinv.backbones.loading import load_backbone
    from ganinv.backbones.stylegan2 import StyleGAN2Generator

    small = load_backbone("portraits-64")
    assert isinstance(small, StyleGAN2Generator)
    wide = StyleGAN2Generator(dataclasses.replace(small.config, channel_base=2 * small.config.channel_base))
    grow(wide, small)
    assert wide.synthesis.block(64).torgb.weight.shape[1] == 64
    z = torch.randn(2, 128, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(wide(z, noise="none"), small(z, noise="none"), rtol=1e-4, atol=1e-4)


def test_networks_of_losses_may_be_narrow_and_see_larger_pictures(tmp_path: Path) -> None:
    from paired_portraits import AttributeNetwork, read_attribute_network
    from portraits_critic import Critic

    torch.manual_seed(0)
    trained, critic, x = AttributeNetwork(57, 64), Critic(128), torch.rand(2, 3, 128, 128) * 2 - 1
    torch.save(trained.state_dict(), tmp_path / "attributes.pt")
    seer = read_attribute_network(tmp_path / "attributes.pt")
    assert seer.side == 64 and not any(p.requires_grad for p in seer.parameters())
    torch.testing.assert_close(seer(x)[-1], trained(torch.nn.functional.avg_pool2d(x, 2))[-1])
    narrow = Critic(128, narrow=True)
    narrow.load_state_dict(critic.state_dict())
    pairs = (seer, read_attribute_network(tmp_path / "attributes.pt", narrow=True)), (critic, narrow)
    for network, other in pairs:
        exact = network(x)
        for found, expected in zip(other(x), exact, strict=True):
            error = (found - expected).abs().mean() / expected.abs().mean()
            assert 0 < error < 0.05
        assert found.dtype == torch.float32 and exact[0].dtype == torch.float32


def test_renders_get_sharp_by_and_by(tmp_path: Path) -> None:
    from paired_portraits import Pairs, render
    from train_portraits import Config, Phase, Trainer

    from ganinv.metrics.pixels import fine_detail

    render(tmp_path, 8, 64, seed=3, shard=8)
    phase = Phase(64, kimg=1, sharpen_kimg=0.2, batch=4)
    trainer = Trainer(Config(start="portraits-64", phases=(phase,)), tmp_path)
    real = Pairs(tmp_path, 128).batch(4, 64, torch.Generator().manual_seed(0))[0]
    details = []
    for trainer.in_phase in (0, 100, 200, 900):
        shown = trainer.sharpened(phase, real)
        torch.testing.assert_close(shown.mean(), real.mean(), atol=1e-3, rtol=0)
        details.append(float(fine_detail(shown, torch.ones_like(shown[:, :1])).mean()))
    assert details[0] < details[1] < details[2] == details[3] and torch.equal(shown, real)


def test_what_is_frozen_stands_still(tmp_path: Path) -> None:
    from paired_portraits import render
    from train_portraits import Config, Phase, Trainer

    render(tmp_path, 8, 128, seed=3, shard=8)
    still = Phase(128, kimg=0.004, adversarial=0.1, frozen_below=64, batch=4)
    phases = (still, dataclasses.replace(still, frozen_below=0))
    config = Config(w_dim=192, mapping_layers=4, start="portraits-64", phases=phases)
    trainer = Trainer(config, tmp_path)
    before = {name: p.clone() for name, p in trainer.g.named_parameters()}
    trainer.step()
    moved = {name for name, p in trainer.g.named_parameters() if not torch.equal(p, before[name])}
    assert moved and all(name.startswith(("synthesis.b64.", "synthesis.b128.")) for name in moved)
    trainer.build(phases[1])
    trainer.phase = 1
    trainer.step()
    later = {name for name, p in trainer.g.named_parameters() if not torch.equal(p, before[name])}
    assert {name for name in before if name.startswith(("mapping.", "synthesis.b8.conv"))} <= later


def test_a_generator_learns_on_at_its_own_side(tmp_path: Path) -> None:
    from paired_portraits import render
    from train_portraits import Config, Phase, Trainer

    from ganinv.backbones.loading import load_backbone

    render(tmp_path, 8, 64, seed=3, shard=8)
    phase = Phase(
        64, kimg=1, adversarial=0.1, coarse=1.0, halved=1.0, pixels=0.0, frozen_below=4, lr=1e-3, batch=4
    )
    config = Config(start="portraits-64", d_lr=2.5, narrow=True, phases=(phase,))
    trainer = Trainer(config, tmp_path)
    assert trainer.g.compute_dtype == trainer.d.compute_dtype == torch.bfloat16
    before = {name: p.clone() for name, p in trainer.g.named_parameters()}
    for name, p in load_backbone("portraits-64").named_parameters():
        assert torch.equal(p, before[name])
    report = trainer.step()
    assert 0 < report["coarse"] == report["halved"]  # half of 64 px is 32
    assert "pixels" not in report
    still = {name for name, p in trainer.g.named_parameters() if torch.equal(p, before[name])}
    assert still == {name for name in before if name.startswith("mapping.")}
    assert trainer.opt_d.param_groups[0]["lr"] == pytest.approx(2.5e-3)


def test_the_critic_learns_first_and_goes_on(tmp_path: Path) -> None:
    from paired_portraits import render
    from train_portraits import Config, Phase, Trainer

    render(tmp_path, 8, 64, seed=3, shard=8)
    phase = Phase(64, kimg=1, critic=0.5, critic_features=1.0, pixels=0.0, frozen_below=4, lr=1e-3, batch=4)
    config = Config(start="portraits-64", noise=False, critic_head_start=2, phases=(phase,))
    trainer = Trainer(config, tmp_path)
    before = {name: p.clone() for name, p in trainer.g.named_parameters()}
    assert all(p == 0 for name, p in before.items() if name.endswith("noise_strength"))
    for _ in range(2):
        report = trainer.step()
        assert report["critic"] > 0 and "critic_adversarial" not in report
    assert all(torch.equal(p, before[name]) for name, p in trainer.g.named_parameters())
    assert trainer.step()["critic_features"] > 0
    moved = {name for name, p in trainer.g.named_parameters() if not torch.equal(p, before[name])}
    assert "synthesis.b64.conv1.weight" in moved and not any("noise" in name for name in moved)

    trainer.save()
    expected = trainer.step()
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    state["g"]["synthesis.b64.conv1.noise_strength"] += 1.0  # as of a run with noise
    torch.save(state, tmp_path / "state.pt")
    slower = Trainer(dataclasses.replace(config, critic_lr=1e-4), tmp_path)
    slower.load()
    assert slower.critic is not None and slower.critic.optimiser.param_groups[0]["lr"] == 1e-4
    resumed = Trainer(config, tmp_path)
    resumed.load()
    assert all(p == 0 for name, p in resumed.g.named_parameters() if name.endswith("noise_strength"))
    assert resumed.step() == pytest.approx(expected, rel=1e-4)


def test_the_critic_tells_soft_from_sharp(tmp_path: Path) -> None:
    from paired_portraits import Pairs, render
    from portraits_critic import CriticTrainer

    render(tmp_path, 8, 64, seed=3, shard=8)
    x = Pairs(tmp_path, 128).batch(8, 64, torch.Generator().manual_seed(0))[0]
    soft = torch.nn.functional.interpolate(torch.nn.functional.avg_pool2d(x, 4), x.shape[2:], mode="bilinear")
    torch.manual_seed(0)
    critic = CriticTrainer(64, lr=3e-4, r1_gamma=0.02)
    first = critic.learn(critic.judge(soft, x), soft)
    for _ in range(50):
        verdict = critic.judge(soft, x)
        report = critic.learn(verdict, soft)
    assert first["critic"] > 1.2 and report["critic"] < 0.5
    assert report["critic_real"] > report["critic_fake"]
    assert verdict.features > 0 and critic.judge(x, x).features < 1e-6


def test_weights_for_a_grown_generator(tmp_path: Path) -> None:
    from grow_weights import grow_weights, with_rows

    from ganinv.api import load_backbone, load_directions, load_method
    from ganinv.backbones.loading import find_model
    from ganinv.editing.edits import Direction

    small = load_backbone("portraits-128")
    grown = load_backbone(grown_file(tmp_path, "portraits-128"))
    grow_weights(find_model("portraits-128", "diverse-inpaint"), small, grown, tmp_path / "w.safetensors")
    picture = small.synthesize(small.map(torch.randn(1, 128))).images.clamp(-1, 1)
    hole = torch.zeros(1, 1, 128, 128)
    hole[..., 40:80, 32:96] = 1
    found = [
        method.invert(x, h, samples=2, seed=3)
        for method, x, h in (
            (load_method("diverse-inpaint", backbone=small), picture, hole),
            (
                load_method("diverse-inpaint", backbone=grown, weights=tmp_path / "w.safetensors"),
                picture.repeat_interleave(2, 2).repeat_interleave(2, 3),
                hole.repeat_interleave(2, 2).repeat_interleave(2, 3),
            ),
        )
    ]
    torch.testing.assert_close(found[1].ws[:, :, :12], found[0].ws, rtol=1e-3, atol=1e-3)
    assert found[1].ws.shape == (1, 2, 14, 192)
    assert found[1].features[32].shape == found[0].features[32].shape
    for direction in load_directions(small).values():
        assert isinstance(direction, Direction)
        more = with_rows(direction, grown)
        more.check_shape(14, 192)
        step, small_step = more.step(found[1].ws, 1.5), direction.step(found[0].ws, 1.5)
        torch.testing.assert_close(step[..., :12, :].expand(12, 192), small_step.expand(12, 192))


def test_a_mapping_learns_what_portraits_look_like() -> None:
    from portraits_mapping import MappingTeacher, looks

    from ganinv.backbones.loading import load_backbone

    groups = looks(torch.randn(500, 57, generator=torch.Generator().manual_seed(0)))
    assert [group.shape[1] for group in groups[:2]] == [57, 57] and groups[2].shape[1] % 3 == 1  # and a share
    assert all((group.mean(0).abs() < 1e-3).all() and group.std(0).max() < 1.01 for group in groups)
    old = load_backbone("portraits-64").mapping
    teacher = MappingTeacher(old, pool=2000)
    told = [teacher.step(step / 150) for step in range(150)]
    assert told[0]["moved"] == 0 and 0 < told[-1]["moved"] < 1
    for name in ("normals", "values", "colours"):
        assert told[-1][name] < 0.5 * told[0][name]
    z, untouched = torch.randn(8, 128), load_backbone("portraits-64").mapping
    assert torch.equal(old(z), untouched(z)) and not torch.equal(teacher.mapping(z), old(z))


def test_a_mapping_that_learnt_on_still_answers_alike() -> None:
    from grow_weights import alike

    generator = torch.Generator().manual_seed(0)
    codes = torch.randn(64, 12, 8, generator=generator)
    assert alike(codes, codes + 0.1 * torch.randn(64, 12, 8, generator=generator))
    taught = codes + 0.3 * torch.randn(64, 12, 8, generator=generator)
    assert not alike(codes, taught) and alike(codes, taught, moved=0.4)
    assert not alike(codes, codes[:, :10]) and not alike(codes, codes.flip(0))


def test_weights_for_a_wider_generator_have_no_skip_encoder(tmp_path: Path) -> None:
    from grow_weights import grow_weights

    from ganinv.api import load_backbone, load_method
    from ganinv.backbones.loading import find_model

    small = load_backbone("portraits-128")
    grown = load_backbone(grown_file(tmp_path, "portraits-128", wider=2))
    assert grown.feature_channels[32] == 2 * small.feature_channels[32]
    grow_weights(find_model("portraits-128", "diverse-inpaint"), small, grown, tmp_path / "w.safetensors")
    method = load_method("diverse-inpaint", backbone=grown, weights=tmp_path / "w.safetensors")
    found = method.invert(torch.zeros(1, 3, 256, 256), torch.ones(1, 1, 256, 256), samples=2)
    assert found.options["stage"] == 1 and method.render(found).shape == (1, 2, 3, 256, 256)
