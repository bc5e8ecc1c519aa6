"""The method `diverse-inpaint` on a tiny generator with untrained networks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click.testing
import numpy as np
import pytest
import torch

from ganinv.api import complete, load_method, reference_codes
from ganinv.backbones.base import Backbone
from ganinv.backbones.loading import load_backbone
from ganinv.cli.main import main
from ganinv.errors import BackboneMismatchError, CheckpointError, UsageError
from ganinv.images import to_uint8, write_png
from ganinv.inversion import Inversion
from ganinv.rendering import render
from ganinv.store import add_model
from ganinv.testing import check_method
from plugin_ganinpaint.config import NetworkConfig
from plugin_ganinpaint.encoder import ErasedEncoder
from plugin_ganinpaint.method import DiverseInpaint, build
from plugin_ganinpaint.mixing import GatedMixing
from plugin_ganinpaint.skip import SkipEncoder
from plugin_ganinpaint.weights import TrainedNetworks, load_networks, save_networks


@pytest.fixture
def backbone(tiny_backbone: Any) -> Backbone:
    found: Backbone = tiny_backbone.backbone
    return found


def untrained(backbone: Backbone, *, stage: int = 2) -> TrainedNetworks:
    torch.manual_seed(5)
    config = NetworkConfig.for_backbone(backbone)
    skip = SkipEncoder(config).eval() if stage == 2 else None
    return TrainedNetworks(
        config,
        ErasedEncoder(config, backbone.w_avg).eval(),
        GatedMixing(config, backbone.w_avg).eval(),
        skip,
        "u",
        "0",
        {},
    )


@pytest.fixture
def weights(backbone: Backbone, tmp_path: Path) -> Path:
    path = tmp_path / "weights.safetensors"
    save_networks(path, untrained(backbone), backbone=backbone, provenance={"steps": 0})
    return path


@pytest.fixture
def pictures() -> tuple[torch.Tensor, torch.Tensor]:
    """Two pictures, the left half of the first and the middle of the second erased."""
    images = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(3)) * 2 - 1
    holes = torch.zeros(2, 1, 16, 16)
    holes[0, :, :, :8] = 1
    holes[1, :, 4:12, 4:12] = 1
    return images, holes


def equal(a: Inversion, b: Inversion) -> bool:
    return torch.equal(a.ws, b.ws) and all(torch.equal(f, b.features[r]) for r, f in a.features.items())


def test_keeps_the_contract(backbone: Backbone, weights: Path) -> None:
    check_method(load_method("diverse-inpaint", backbone=backbone, weights=weights))


def test_result_says_how_it_was_made(backbone: Backbone, weights: Path, pictures: Any) -> None:
    result = build(backbone, weights=weights).invert(*pictures, samples=2, seed=9, truncation=0.7)
    assert result.ws.shape == (2, 2, backbone.num_ws, backbone.w_dim)
    assert result.features[8].shape == (2, 2, backbone.feature_channels[8], 8, 8)
    assert result.method["name"] == "diverse-inpaint" and len(result.method["sha256"]) == 64
    assert (
        result.options["stage"] == 2 and result.options["truncation"] == 0.7 and result.options["seed"] == 9
    )
    assert str(weights.parent) not in repr((result.method, result.options, result.versions))


def test_same_seed_same_bits_and_samples_differ(backbone: Backbone, weights: Path, pictures: Any) -> None:
    method = build(backbone, weights=weights)
    first, second = (method.invert(*pictures, samples=3, seed=1) for _ in range(2))
    assert equal(first, second)
    assert not torch.equal(first.ws[:, 0], first.ws[:, 1])
    assert not equal(first, method.invert(*pictures, samples=3, seed=2))


def test_chunks_change_next_to_nothing(backbone: Backbone, weights: Path, pictures: Any) -> None:
    method, found, drawn = build(backbone, weights=weights), [], []
    for backbone.chunk in (1, 3, 64):
        found.append(method.invert(*pictures, samples=4))
        drawn.append(method.render(found[-1]))
        assert found[-1].options["chunk"] == backbone.chunk
    for other, images in zip(found[1:], drawn[1:], strict=True):
        assert torch.equal(other.ws, found[0].ws)  # codes do not pass through the generator
        torch.testing.assert_close(images, drawn[0], atol=1e-4, rtol=0)  # convolutions may take another way


def test_one_pass_of_the_encoder_and_the_mixing_serves_all_samples(
    backbone: Backbone, weights: Path, pictures: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    method = build(backbone, weights=weights)
    batches: dict[str, list[int]] = {"encoder": [], "mixing": [], "skip": []}
    for name, seen in batches.items():
        network = getattr(method.networks, name)
        network.register_forward_pre_hook(lambda _, given, seen=seen: seen.append(len(given[0])))
    drawn: list[int] = []
    draw = backbone.synthesize
    monkeypatch.setattr(backbone, "synthesize", lambda ws, **o: (drawn.append(len(ws)), draw(ws, **o))[1])
    backbone.chunk = 5
    found = method.invert(*pictures, samples=6)
    assert batches == {"encoder": [2], "mixing": [12], "skip": [5, 5, 2]} and drawn == [5, 5, 2]
    method.render(found.for_holes())
    assert batches["encoder"] == [2] and drawn == [5, 5, 2] * 2
    method.render(found)  # around the holes with features, inside without
    assert drawn == [5, 5, 2] * 4


def test_nothing_comes_back_to_the_host(backbone: Backbone, weights: Path, pictures: Any) -> None:
    method = build(backbone, weights=weights)
    for module in (backbone, method.networks.encoder, method.networks.mixing, method.skip):
        assert module is not None
        module.to("meta")  # tensors without data: any copy of them to the CPU raises
    images, holes = pictures
    found = method.invert(images, holes, samples=3)
    tensors = [found.ws, found.working, found.hole, *found.features.values(), method.render(found)]
    assert all(tensor.is_meta for tensor in tensors) and len(tensors) == 5
    with pytest.raises(NotImplementedError, match="no data"):
        found.ws.cpu()


def test_only_rounded_known_pixels_count(backbone: Backbone, weights: Path, pictures: Any) -> None:
    images, holes = pictures
    method = build(backbone, weights=weights)
    plain = method.invert(images, holes, samples=2)
    assert equal(plain, method.invert(torch.where(holes > 0, 1e6, images), holes, samples=2))
    rounded = plain.working.float() / 127.5 - 1
    assert equal(plain, method.invert(rounded, holes, samples=2))
    shifted = torch.where(holes > 0, images, (images + 0.5).clamp(max=1))
    assert not equal(plain, method.invert(shifted, holes, samples=2))


def test_no_hole_and_nothing_but_hole(backbone: Backbone, weights: Path, pictures: Any) -> None:
    images, _ = pictures
    method = build(backbone, weights=weights)
    none = method.invert(images)
    assert int(none.hole.sum()) == 0 and equal(none, method.invert(images, torch.zeros(2, 1, 16, 16)))
    full = method.invert(images, torch.ones(2, 1, 16, 16), samples=2)
    torch.testing.assert_close(full.ws[0], full.ws[1])
    assert not torch.equal(full.ws[:, 0], full.ws[:, 1])


def test_empty_batch(backbone: Backbone, weights: Path) -> None:
    result = build(backbone, weights=weights).invert(torch.empty(0, 3, 16, 16), samples=2)
    assert result.ws.shape == (0, 2, backbone.num_ws, backbone.w_dim)


def test_codes_of_a_reference_may_lead(backbone: Backbone, weights: Path, pictures: Any) -> None:
    method = build(backbone, weights=weights)
    codes = method.random_codes(2, seed=0)
    led = method.invert(*pictures, samples=2, w_rand=codes)
    assert equal(led, method.invert(*pictures, samples=2, seed=0)) and len(led.options["w_rand_sha256"]) == 64
    assert torch.equal(led.ws, method.invert(*pictures, samples=2, w_rand=codes.expand(2, -1, -1, -1)).ws)
    with pytest.raises(UsageError, match=r"w_rand is \[1, 6, 16\]; 2 samples of 2 pictures need"):
        method.invert(*pictures, samples=2, w_rand=codes[:1])


def test_truncation_of_zero_leaves_no_variety(backbone: Backbone, weights: Path, pictures: Any) -> None:
    method = build(backbone, weights=weights)
    result = method.invert(*pictures, samples=2, truncation=0.0)
    torch.testing.assert_close(result.ws[:, 0], result.ws[:, 1])
    with pytest.raises(UsageError, match=r"truncation 1\.5"):
        method.invert(*pictures, truncation=1.5)


def test_stage_1_has_no_features(backbone: Backbone, weights: Path, tmp_path: Path, pictures: Any) -> None:
    with_skip, without = build(backbone, weights=weights), build(backbone, weights=weights, stage=1)
    a, b = with_skip.invert(*pictures), without.invert(*pictures)
    assert torch.equal(a.ws, b.ws) and a.features and not b.features and b.options["stage"] == 1
    first = tmp_path / "stage1.safetensors"
    save_networks(first, untrained(backbone, stage=1), backbone=backbone)
    assert build(backbone, weights=first).invert(*pictures).options["stage"] == 1
    with pytest.raises(CheckpointError, match="'stage1' holds stage 1 only"):
        build(backbone, weights=first, stage=2)


def test_other_codes_get_features_of_their_own(backbone: Backbone, weights: Path, pictures: Any) -> None:
    method = build(backbone, weights=weights)
    a, b = (method.invert(*pictures, samples=2, seed=seed) for seed in (0, 1))
    assert not equal(a, b) and equal(method.recoded(a, b.ws), b)
    refined = load_method("optimize", backbone=backbone, embedder=method, steps=3)
    assert refined.diverse
    found = refined.invert(*pictures, samples=2)
    assert equal(method.recoded(a, found.ws), found) and not found.features_in_holes
    assert found.method["embedder"]["name"] == "diverse-inpaint" and found.options["samples"] == 2


def test_holes_are_filled_from_codes(backbone: Backbone, weights: Path, pictures: Any) -> None:
    """Skip features end at the hole: what is in it is drawn without them, pasted or not."""
    images, holes = pictures
    result = build(backbone, weights=weights).invert(images, holes, samples=2)
    asked = build(backbone, weights=weights, fill="features").invert(images, holes, samples=2)
    without = build(backbone, weights=weights, stage=1).invert(images, holes, samples=2)
    known = 1 - holes[:, None]
    assert torch.equal(render(result, backbone) * known, render(asked, backbone) * known)
    assert not torch.equal(render(result, backbone), render(asked, backbone))
    assert not torch.equal(render(result, backbone), render(without, backbone))
    assert np.array_equal(complete(result, backbone), complete(without, backbone))
    assert not np.array_equal(complete(result, backbone), complete(asked, backbone))
    assert result.options["fill"] == "codes" and asked.options["fill"] == "features"
    whole = build(backbone, weights=weights).invert(images)
    assert whole.for_holes() is whole and whole.features  # nothing to fill: the picture itself


def test_weights_come_back_as_they_were(backbone: Backbone, tmp_path: Path) -> None:
    networks, path = untrained(backbone), tmp_path / "w.safetensors"
    digest = save_networks(path, networks, backbone=backbone, provenance={"seed": 5})
    again = load_networks(path, backbone)
    assert again.sha256 == digest and again.config == networks.config and again.provenance["seed"] == 5
    for part in ("encoder", "mixing", "skip"):
        for key, value in getattr(networks, part).state_dict().items():
            assert torch.equal(value, getattr(again, part).state_dict()[key]), f"{part}.{key}"
    assert not any(p.requires_grad for p in again.encoder.parameters()) and not again.encoder.training
    half = tmp_path / "half.safetensors"
    save_networks(half, networks, backbone=backbone, dtype=torch.float16)
    assert half.stat().st_size < 0.8 * path.stat().st_size
    assert next(load_networks(half, backbone).encoder.parameters()).dtype == torch.float32


def test_weights_find_their_backbone_in_the_store(weights: Path, tiny_backbone: Any) -> None:
    with pytest.raises(BackboneMismatchError, match="belongs to a backbone"):  # the default one is tried
        load_method("diverse-inpaint", weights=weights)
    add_model("mine", str(tiny_backbone.path))
    assert load_method("diverse-inpaint", weights=weights).backbone.name == "mine"


def test_other_backbone_or_no_weights(backbone: Backbone, weights: Path, tiny_backbone: Any) -> None:
    other = load_backbone(tiny_backbone.path)
    other.sha256, other.name = "f" * 64, "other"
    with pytest.raises(BackboneMismatchError, match="belongs to a backbone"):
        build(other, weights=weights)
    with pytest.raises(
        CheckpointError, match=r"ganinv train --method diverse-inpaint --backbone .*tiny-16\.safetensors"
    ):
        build(other)
    with pytest.raises(CheckpointError, match="no such file"):
        build(backbone, weights=weights.with_name("absent.safetensors"))
    with pytest.raises(CheckpointError, match=r"(is|are) needed here"):
        build(backbone, weights=tiny_backbone.path)


def test_impossible_arguments(backbone: Backbone, weights: Path, pictures: Any) -> None:
    with pytest.raises(UsageError, match="stage 3 is not known"):
        build(backbone, weights=weights, stage=3)
    with pytest.raises(UsageError, match="fill=skip is not known; possible: codes, features"):
        build(backbone, weights=weights, fill="skip")
    with pytest.raises(UsageError, match="0 samples"):
        build(backbone, weights=weights).invert(*pictures, samples=0)
    assert DiverseInpaint.diverse


def test_shipped_weights_fit_the_shipped_backbone() -> None:
    shipped = (
        Path(__file__).resolve().parents[2] / "plugin_ganinpaint" / "bundled" / "portraits-128.safetensors"
    )
    if not shipped.exists():
        pytest.skip("weights not in this checkout")
    backbone = load_backbone()
    method = build(backbone)
    result = method.invert(torch.zeros(1, 3, 128, 128), torch.ones(1, 1, 128, 128), samples=2)
    assert result.options["stage"] == 2 and method.render(result).shape == (1, 2, 3, 128, 128)
    assert shipped.stat().st_size <= 16e6


# ---- guidance


def test_a_reference_speaks_where_it_is_asked_to(backbone: Backbone, pictures: Any) -> None:
    images, holes = pictures
    method = DiverseInpaint(backbone, untrained(backbone))
    own = method.invert(images[:1], None, samples=1, seed=3).ws[0, 0]
    random = method.random_codes(2, 3)
    whole = reference_codes(method, images[:1], samples=2, seed=3)
    assert torch.equal(whole, own.expand(2, -1, -1))
    part = reference_codes(method, images[:1], layers=["coarse"], samples=2, seed=3)
    assert torch.equal(part[:, :3], own[:3].expand(2, -1, -1)) and torch.equal(part[:, 3:], random[:, 3:])
    guided = method.invert(images[1:], holes[1:], samples=2, seed=3, w_rand=part)
    free = method.invert(images[1:], holes[1:], samples=2, seed=3)
    assert not torch.equal(guided.ws, free.ws) and not torch.equal(guided.ws[:, 0], guided.ws[:, 1])


def test_reference_on_the_command_line(tmp_path: Path, pictures: Any) -> None:
    runner = click.testing.CliRunner()
    for name, image in zip(("me", "you"), pictures[0], strict=True):
        write_png(tmp_path / f"{name}.png", to_uint8(image[None])[0].repeat(4, 0).repeat(4, 1))
    common = ["invert", str(tmp_path / "me.png"), "--mask", "centre", "--samples", "2", "--device", "cpu"]
    common += ["--reference", str(tmp_path / "you.png")]
    told = {}
    for name, more in {"whole": [], "fine": ["--layers", "fine"]}.items():
        result = runner.invoke(main, [*common, *more, "--out", str(tmp_path / name)])
        assert result.exit_code == 0, result.stderr
        told[name] = result.stderr
        inversion = Inversion.load(tmp_path / name / "me.inversion.safetensors")
        assert inversion.options["reference"] == "you.png"
        assert torch.equal(inversion.ws[:, 0], inversion.ws[:, 1]) == (name == "whole")
    assert "all samples are the same; see --layers" in told["whole"] and "same" not in told["fine"]
    wrong = runner.invoke(main, [*common, "--layers", "finest", "--out", str(tmp_path / "o")])
    assert wrong.exit_code != 0 and "unknown layer group 'finest'" in wrong.stderr
