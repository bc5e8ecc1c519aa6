from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from ganinv.backbones import loading
from ganinv.backbones.discriminator import Discriminator, DiscriminatorConfig
from ganinv.backbones.loading import (
    BundledModel,
    bundled_models,
    check_device,
    find_model,
    load_backbone,
    load_discriminator,
)
from ganinv.checkpoints import read_checkpoint, sha256_file, write_checkpoint
from ganinv.errors import CheckpointError, UnknownNameError, UsageError


@pytest.fixture
def bundle(tmp_path: Path, tiny_backbone: Any, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of shipped weights: one generator "tiny-16" and its discriminator, and no plugin's."""
    folder = tmp_path / "bundled"
    folder.mkdir()
    tiny_backbone.path.rename(folder / "tiny-16.safetensors")
    config = DiscriminatorConfig(resolution=16, channel_base=128, channel_max=8)
    write_checkpoint(
        folder / "tiny-16-discriminator.safetensors",
        Discriminator(config).state_dict(),
        kind="discriminator",
        family="stylegan2",
        config=config.to_json(),
    )
    monkeypatch.setattr(loading, "BUNDLED", folder)
    monkeypatch.setattr(loading, "plugin_packages", list)
    return folder


def rewrite(path: Path, **changes: Any) -> Path:
    """Writes a checkpoint anew with another family, config or tensors."""
    old = read_checkpoint(path)
    own = {"kind": old.kind, "family": old.family, "config": old.config, "tensors": old.tensors} | changes
    write_checkpoint(path, own.pop("tensors"), **own)
    return path


def test_loaded_ready_for_use(tiny_backbone: Any) -> None:
    backbone = load_backbone(tiny_backbone.path)
    assert backbone.name == "tiny-16" and backbone.sha256 == sha256_file(tiny_backbone.path)
    assert (backbone.resolution, backbone.num_ws, backbone.w_dim) == (16, 6, 16)
    assert not backbone.training and not any(p.requires_grad for p in backbone.parameters())
    ws = backbone.map(torch.randn(2, 16, generator=torch.Generator().manual_seed(0)))
    images = backbone.synthesize(ws).images
    assert torch.equal(images, tiny_backbone.backbone.synthesize(ws).images)
    assert not torch.equal(images, backbone.synthesize(ws, noise="none").images)


def test_half_precision_file(tiny_backbone: Any) -> None:
    backbone = load_backbone(rewrite(tiny_backbone.path, dtype=torch.float16))
    assert {p.dtype for p in backbone.parameters()} == {torch.float32}


def test_bundled_names(bundle: Path) -> None:
    assert bundled_models() == [
        BundledModel("tiny-16", "generator", bundle / "tiny-16.safetensors"),
        BundledModel("tiny-16-discriminator", "discriminator", bundle / "tiny-16-discriminator.safetensors"),
    ]
    assert load_backbone("tiny-16").name == "tiny-16"
    for name in ("tiny-16", "tiny-16-discriminator", str(bundle / "tiny-16-discriminator.safetensors")):
        discriminator = load_discriminator(name)
        assert discriminator(torch.zeros(2, 3, 16, 16)).shape == (2, 1) and discriminator.sha256


def test_bundled_models_of_a_plugin(bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "a_plugin_package"
    (package / "bundled").mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('must not be imported')\n")
    (bundle / "tiny-16-discriminator.safetensors").rename(package / "bundled" / "mine.safetensors")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(loading, "plugin_packages", lambda: ["a_plugin_package"])
    assert [model.name for model in bundled_models()] == ["tiny-16", "mine"]


def test_unknown_names(bundle: Path) -> None:
    with pytest.raises(UnknownNameError) as caught:
        load_backbone("tiny")
    assert str(caught.value) == (
        "unknown backbone 'tiny'; did you mean 'tiny-16'? known: tiny-16. "
        "Or give the path of a checkpoint file"
    )
    with pytest.raises(UnknownNameError, match="unknown discriminator 'tinny-16'; did you mean 'tiny-16'"):
        load_discriminator("tinny-16")


def test_paths(bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CheckpointError, match=r"no such file: other\.safetensors"):
        load_backbone("other.safetensors")
    with pytest.raises(CheckpointError, match="no such file: some/where"):
        load_backbone("some/where")
    with pytest.raises(CheckpointError, match="holds a discriminator; a generator is needed here"):
        load_backbone(bundle / "tiny-16-discriminator.safetensors")
    (bundle / "tiny-16.safetensors").rename(tmp_path / "plain")
    monkeypatch.chdir(tmp_path)
    assert find_model("plain", "generator") == Path("plain")
    assert load_backbone("plain").name == "plain"


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        (
            {"family": "stylgan2"},
            "needs another plugin: unknown backbone family 'stylgan2'; did you mean 'stylegan2'",
        ),
        (
            {"config": {"resolution": 17}},
            "describes no valid stylegan2: .*resolution 17 is not a power of two",
        ),
        ({"config": {"resolutoin": 16}}, "unknown key resolutoin; did you mean resolution"),
        ({"config": {"resolution": "big"}}, "resolution is 'big'; expected a whole number"),
        ({"tensors": {}}, "tiny-16.safetensors does not fit StyleGAN2Generator: [0-9]+ missing"),
    ],
)
def test_checkpoints_that_do_not_fit(tiny_backbone: Any, changes: dict[str, Any], text: str) -> None:
    with pytest.raises(CheckpointError, match=text):
        load_backbone(rewrite(tiny_backbone.path, **changes))


def test_discriminator_that_does_not_fit(bundle: Path) -> None:
    path = rewrite(bundle / "tiny-16-discriminator.safetensors", config={"size": 3})
    with pytest.raises(CheckpointError, match="describes no valid stylegan2 discriminator: unknown key size"):
        load_discriminator(path)


@pytest.mark.parametrize(
    ("device", "text"),
    [
        ("gpu", "unknown device 'gpu'; type --device cpu or --device cuda"),
        ("meta", "device meta is not supported"),
        ("cuda:99", "no device cuda:99: PyTorch finds [0-9]+ CUDA devices here; type --device cpu"),
    ],
)
def test_devices(device: str, text: str) -> None:
    assert check_device("cpu") == torch.device("cpu")
    with pytest.raises(UsageError, match=text):
        check_device(device)


def test_on_each_device(tiny_backbone: Any, device: torch.device) -> None:
    backbone = load_backbone(tiny_backbone.path, device=device)
    assert {t.device.type for t in backbone.state_dict().values()} == {device.type}


@pytest.mark.parametrize("load", [load_backbone, load_discriminator])
def test_shipped_weights(load: Callable[..., Any]) -> None:
    if not (loading.BUNDLED / f"{loading.DEFAULT}.safetensors").is_file():
        pytest.skip("weights not in this checkout")
    network = load(loading.DEFAULT)
    assert network.name.startswith("portraits-128") and len(network.sha256) == 64
    assert sum(p.numel() for p in network.parameters()) <= 5_000_000
