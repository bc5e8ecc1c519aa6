"""The co-modulated U-Net: shapes, what may not leak, its weight file, and how it is measured."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import click.testing
import pytest
import torch
from torch import Tensor

from ganinv.api import load_backbone, load_completer
from ganinv.cli.main import main
from ganinv.parts import (
    Backbone,
    BackboneMismatchError,
    CheckpointError,
    ConfigError,
    UnknownNameError,
    UsageError,
    read_checkpoint,
    write_checkpoint,
)
from plugin_ganinpaint.comod.network import PRESETS, CoModConfig, CoModUNet
from plugin_ganinpaint.comod.weights import load_comod, save_comod
from plugin_ganinpaint.config import NetworkConfig, code_spread
from plugin_ganinpaint.encoder import ErasedEncoder
from plugin_ganinpaint.mixing import GatedMixing
from plugin_ganinpaint.sampling import random_codes
from plugin_ganinpaint.skip import SkipEncoder


@pytest.fixture
def network(backbone: Backbone) -> CoModUNet:
    torch.manual_seed(0)
    return CoModUNet.for_backbone(backbone).eval()


@pytest.fixture
def weights(network: CoModUNet, backbone: Backbone, tmp_path: Path) -> Path:
    save_comod(tmp_path / "unet.safetensors", network, backbone=backbone, provenance={"images": 3})
    return tmp_path / "unet.safetensors"


@pytest.fixture
def inputs() -> tuple[Tensor, Tensor, Tensor]:
    """Pictures, visible maps with a hole, random vectors."""
    generator = torch.Generator().manual_seed(1)
    visible = (torch.rand(2, 1, 16, 16, generator=generator) > 0.4).float()
    picture, random = (torch.randn(2, *shape, generator=generator) for shape in ((3, 16, 16), (16,)))
    return picture, visible, random


# ---- the network


@pytest.mark.parametrize("resolution", [8, 16, 64])
def test_shapes(resolution: int) -> None:
    config = CoModConfig(resolution, random_dim=6, **PRESETS["tiny"])
    net = CoModUNet(config)
    pictures = net(
        torch.zeros(3, 3, resolution, resolution),
        torch.ones(3, 1, resolution, resolution),
        torch.randn(3, 6),
    )
    assert pictures.shape == (3, 3, resolution, resolution)
    maps, vector = net.encode(pictures, torch.ones(3, 1, resolution, resolution))
    assert [m.shape[-1] for m in maps] == list(config.sides) and vector.shape == (3, config.style_dim)


def test_as_large_as_our_own_networks() -> None:
    backbone = load_backbone("portraits-64")
    own = NetworkConfig.for_backbone(backbone)
    with torch.device("meta"):
        modules = (ErasedEncoder(own, backbone.w_avg), GatedMixing(own, backbone.w_avg), SkipEncoder(own))
        network = CoModUNet(CoModConfig.for_backbone(backbone))
    ours = sum(p.numel() for module in modules for p in module.parameters())
    rival = sum(p.numel() for p in network.parameters())
    assert ours < rival < 1.2 * ours


@pytest.mark.parametrize("loud", [1e6, float("nan")])
def test_nothing_in_the_hole_reaches_it(loud: float, network: CoModUNet, inputs: Any) -> None:
    picture, visible, random = inputs
    shouted = torch.where(visible > 0, picture, torch.tensor(loud))
    assert torch.equal(network(picture, visible, random), network(shouted, visible, random))


def test_every_input_is_heard(network: CoModUNet, inputs: Any) -> None:
    picture, visible, random = inputs
    pictures = network(picture, visible, random)
    for other in ((-picture, visible, random), (picture, 1 - visible, random), (picture, visible, -random)):
        assert (network(*other) - pictures).abs().mean() > 1e-3


def test_random_vectors_are_seen_in_units_of_the_backbones_codes(
    backbone: Backbone, network: CoModUNet, inputs: Any
) -> None:
    picture, visible, random = inputs
    plain = CoModUNet(network.config).eval()
    plain.load_state_dict({**network.state_dict(), "w_avg": torch.zeros(16), "w_std": torch.ones(())})
    codes = backbone.w_avg + code_spread(backbone) * random
    torch.testing.assert_close(
        network(picture, visible, codes), plain(picture, visible, random), rtol=1e-3, atol=1e-3
    )


def test_every_weight_learns(network: CoModUNet, inputs: Any) -> None:
    network(*inputs).square().mean().backward()
    idle = [n for n, p in network.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert idle == []


def test_it_learns_a_picture(network: CoModUNet, inputs: Any) -> None:
    _, visible, random = inputs
    target = torch.linspace(-1, 1, 16).expand(2, 3, 16, 16)
    optimizer = torch.optim.Adam(network.parameters(), lr=5e-3)
    losses = []
    for _ in range(40):
        loss = (network(target, visible, random) - target).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.15 * losses[0]


def test_config_in_json_and_what_it_refuses(backbone: Backbone) -> None:
    config = CoModConfig.for_backbone(backbone, content=(8, 16))
    assert config == CoModConfig(16, 16, **PRESETS["tiny"], content=(8, 16))
    assert CoModConfig.from_json(json.loads(json.dumps(config.to_json()))) == config
    with pytest.raises(UnknownNameError, match="unknown comod preset 'smal'; did you mean 'small'"):
        CoModConfig.for_backbone(backbone, "smal")
    with pytest.raises(ConfigError, match="resolution 48 is not possible for comod; give a power of two"):
        CoModConfig(48, 16)
    with pytest.raises(ConfigError, match="comod cannot have style_dim 0; every layer needs 1 channel"):
        CoModConfig(64, 16, style_dim=0)
    with pytest.raises(ConfigError, match="comod cannot have channel_base 32 at 64 px"):
        CoModConfig(64, 16, channel_base=32)
    with pytest.raises(CheckpointError, match="in this comod file does not fit: unknown key style_dm"):
        CoModConfig.from_json({**config.to_json(), "style_dm": 3})


# ---- the weight file


def test_weights_come_back_bit_for_bit(
    network: CoModUNet, backbone: Backbone, weights: Path, inputs: Any
) -> None:
    trained = load_comod(weights, backbone)
    assert trained.network.config == network.config and trained.name == "unet"
    assert trained.provenance == {"images": 3} and len(trained.sha256) == 64
    assert torch.equal(trained.network(*inputs), network(*inputs))
    assert not trained.network.training and not any(p.requires_grad for p in trained.network.parameters())
    half = weights.with_name("half.safetensors")
    save_comod(half, network, backbone=backbone, dtype=torch.float16)
    assert half.stat().st_size < 0.7 * weights.stat().st_size
    near = load_comod(half, backbone).network(*inputs)
    torch.testing.assert_close(near, network(*inputs), rtol=0.05, atol=0.05)


def test_files_it_refuses(backbone: Backbone, weights: Path, tiny_backbone: Any) -> None:
    with pytest.raises(CheckpointError, match="no such file"):
        load_comod(weights.with_name("absent.safetensors"), backbone)
    with pytest.raises(
        CheckpointError, match=r"tiny-16\.safetensors holds a generator; .*comod.* needed here"
    ):
        load_comod(tiny_backbone.path, backbone)
    found = read_checkpoint(weights)
    lacking = weights.with_name("lacking.safetensors")

    def write(tensors: Any, config: Any) -> None:
        write_checkpoint(lacking, tensors, kind="comod", family="comod", config=config)

    write(found.tensors, {"network": found.config["network"]})
    with pytest.raises(CheckpointError, match="is not complete: its header does not state backbone"):
        load_comod(lacking, backbone)
    write({k: v for k, v in found.tensors.items() if k != "w_avg"}, found.config)
    with pytest.raises(CheckpointError, match=r"does not fit CoModUNet: 1 missing \(w_avg\)"):
        load_comod(lacking, backbone)
    backbone.sha256 = "0" * 64
    with pytest.raises(
        BackboneMismatchError, match=r"the weight file .*unet\.safetensors belongs to a backb"
    ):
        load_comod(weights, backbone)


# ---- the completer


def test_completions(backbone: Backbone, weights: Path, inputs: Any) -> None:
    completer = load_completer("comod", backbone=backbone, weights=weights)
    assert completer.name == "comod" and completer.content is None
    assert completer.to_json()["sha256"] == load_comod(weights, backbone).sha256
    image, hole = inputs[0][:1], 1 - inputs[1][:1]

    def complete(samples: int, seed: int = 4, truncation: float = 1.0) -> Tensor:
        done = completer.complete(image, hole, samples=samples, seed=seed, truncation=truncation)
        assert done.inversion is None
        return done.raw

    three = complete(3)
    assert three.shape == (3, 3, 16, 16) and float(three.abs().max()) <= 1
    assert torch.equal(three, complete(3)) and not torch.equal(three[0], three[1])
    torch.testing.assert_close(three[:2], complete(2), rtol=1e-4, atol=1e-4)
    assert not torch.allclose(three, complete(3, seed=5), atol=1e-3)
    same = complete(2, truncation=0.0)
    torch.testing.assert_close(same[0], same[1], rtol=1e-4, atol=1e-4)
    backbone.chunk = 1
    torch.testing.assert_close(three, complete(3), rtol=1e-4, atol=1e-4)


def test_it_hears_the_codes_that_the_method_hears(backbone: Backbone, weights: Path, inputs: Any) -> None:
    network = load_comod(weights, backbone).network
    image, hole = inputs[0][:1], 1 - inputs[1][:1]
    completer = load_completer("comod", backbone=backbone, weights=weights)
    drawn = completer.complete(image, hole, samples=2, seed=9, truncation=0.6).raw
    codes = random_codes(backbone, seed=9, samples=2, truncation=0.6)[:, 0]
    asked = network(image.expand(2, -1, -1, -1), 1 - hole.expand(2, -1, -1, -1), codes)
    torch.testing.assert_close(drawn, asked.clamp(-1, 1), rtol=1e-4, atol=1e-4)


def test_completers_that_cannot_be_had(backbone: Backbone, weights: Path) -> None:
    with pytest.raises(CheckpointError, match="no comod weights are shipped: type --weights FILE"):
        load_completer("comod", backbone=backbone)
    with pytest.raises(UnknownNameError, match="'nowhere'"):
        load_completer("comod", backbone=backbone, weights="nowhere")
    with pytest.raises(
        UsageError, match=r"completer 'comod' was given options stage: .*; its options: weights"
    ):
        load_completer("comod", backbone=backbone, stage=1)


def test_content_is_told(backbone: Backbone, network: CoModUNet, tmp_path: Path) -> None:
    network.config = replace(network.config, content=(8, 16))
    save_comod(tmp_path / "wide.safetensors", network, backbone=backbone)
    completer = load_completer("comod", backbone=backbone, weights=tmp_path / "wide.safetensors")
    assert completer.content == (8, 16)


def test_evaluate(weights: Path, tiny_backbone: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    asked = ("--count", "4", "--samples", "2", "--replicates", "2", "--device", "cpu")
    where = ("--weights", str(weights), "--backbone", str(tiny_backbone.path), "--out", "o", "--json")
    result = click.testing.CliRunner().invoke(main, ["evaluate", "--method", "comod", *where, *asked])
    assert result.exit_code == 0, result.output
    card = json.loads(Path("o/report.json").read_text())["card"]
    assert card["method"]["name"] == "comod" and len(card["method"]["sha256"]) == 64
    figures = json.loads(result.stdout)["figures"]
    assert figures["diversity_hole"]["value"] > 0 and "edit_accuracy" not in figures
