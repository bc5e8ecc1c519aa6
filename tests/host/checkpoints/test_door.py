"""The checkpoint door: what it recognises, picks and refuses; every StyleGAN2 layout accounted for."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from ganinv.backbones.discriminator import Discriminator, DiscriminatorConfig
from ganinv.backbones.loading import load_backbone, load_discriminator
from ganinv.backbones.stylegan2 import StyleGAN2Config
from ganinv.checkpoints import Part, open_file, read_checkpoint, sha256_file, write_checkpoint
from ganinv.checkpoints.door import recognise
from ganinv.checkpoints.layouts import nvidia, rosinality
from ganinv.configs import build_config
from ganinv.errors import CheckpointError

GENERATORS = ["64_cm2", "256_cm1", "256_cm2", "512_cm2", "1024_cm2"]
ADA = [
    "generator_64_skip_c0",
    "generator_256_skip_c0",
    "generator_1024_skip_c0",
    "generator_64_resnet_c3",
    "generator_64_orig_c3",
    "discriminator_64_resnet_c0",
    "discriminator_256_resnet_c0",
    "discriminator_1024_resnet_c0",
    "discriminator_64_resnet_c3",
    "discriminator_64_orig_c3",
]


def layout(shared: Path, name: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """A published layout and its tensors, without their numbers."""
    data = json.loads((shared / f"fixtures/parity/layouts/{name}.json").read_text())
    dtypes = {"float32": torch.float32, "int64": torch.int64}
    return data, {k: torch.empty(s, dtype=dtypes[d], device="meta") for k, s, d in data["entries"]}


def check_accounted(part: Part) -> Any:
    """Names and shapes agree in both directions; returns the configuration."""
    assert part.missing == part.unexpected == ()
    config = json.loads(json.dumps(part.config))  # as a header keeps it
    return build_config(StyleGAN2Config if part.kind == "generator" else DiscriminatorConfig, config)


@pytest.mark.parametrize("name", GENERATORS)
def test_layout_of_rosinality_generators(shared: Path, name: str) -> None:
    data, tensors = layout(shared, f"rosinality_generator_{name}")
    config = check_accounted(rosinality.generator_part("g_ema", tensors))
    assert (config.resolution, 2 * len(config.sides)) == (data["size"], data["n_latent"])
    assert (config.channel_base, config.widths) == (16384 * data["channel_multiplier"], ())


@pytest.mark.parametrize("name", GENERATORS)
def test_layout_of_rosinality_discriminators(shared: Path, name: str) -> None:
    data, tensors = layout(shared, f"rosinality_discriminator_{name}")
    config = check_accounted(rosinality.discriminator_part("d", tensors))
    assert (config.resolution, config.minibatch_group, config.widths) == (data["size"], 4, ())


@pytest.mark.parametrize("name", ADA)
def test_layout_of_stylegan2_ada(shared: Path, name: str) -> None:
    data, tensors = layout(shared, f"ada_{name}")
    if name.startswith("generator"):
        config = check_accounted(nvidia.generator_from_tensors("G_ema", tensors))
        assert config.mapping_layers == data["mapping_layers"]
        assert 2 * len(config.sides) == data["num_ws"]
    else:
        config = check_accounted(nvidia.discriminator_from_tensors("D", tensors))
    assert (config.resolution, config.c_dim) == (data["img_resolution"], data["c_dim"])
    assert config.architecture == name.split("_")[2]


def state(path: Path) -> dict[str, Tensor]:
    """rosinality's names for the tiny generator of 16 px."""
    names = rosinality._generator_names(2, 2)
    own = read_checkpoint(path).tensors
    tensors = {}
    for theirs, ours in names.items():
        x = own[ours]
        if theirs.startswith("noises.") or (theirs.startswith("to_rgb") and theirs.endswith(".bias")):
            x = x.reshape(1, -1, 1, 1) if x.ndim == 1 else x[None, None]
        elif theirs == "input.input" or theirs.endswith("conv.weight"):
            x = x[None]
        elif theirs.endswith("noise.weight"):
            x = x.reshape(1)
        tensors[theirs] = x
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0])
    kernel = torch.outer(taps, taps) / 16
    tensors |= {f"convs.{i}.conv.blur.kernel": kernel for i in (0, 2)}
    return tensors | {f"to_rgbs.{i}.upsample.kernel": kernel for i in (0, 1)}


@pytest.fixture
def theirs(tiny_backbone: Any) -> dict[str, Any]:
    return {"g_ema": state(tiny_backbone.path), "latent_avg": tiny_backbone.backbone.w_avg.clone()}


def test_rosinality_round_trip(tiny_backbone: Any, theirs: dict[str, Any], tmp_path: Path) -> None:
    """A generator in rosinality's names comes back to the last bit."""
    torch.save(theirs, tmp_path / "a.pt")
    backbone = load_backbone(tmp_path / "a.pt")
    wanted = tiny_backbone.backbone.state_dict()
    assert backbone.state_dict().keys() == wanted.keys()
    assert all(torch.equal(v, wanted[k]) for k, v in backbone.state_dict().items())
    assert (backbone.name, backbone.sha256) == ("a", sha256_file(tmp_path / "a.pt"))
    assert not any(p.requires_grad for p in backbone.parameters())


def test_bare_state_dict(tiny_backbone: Any, theirs: dict[str, Any], tmp_path: Path) -> None:
    torch.save(theirs["g_ema"], tmp_path / "a.pt")
    contents = open_file(tmp_path / "a.pt")
    assert contents.format == "rosinality" and [part.name for part in contents.parts] == ["g_ema"]
    assert "mean of 4096 codes" in contents.facts["w_avg"]
    found = load_backbone(tmp_path / "a.pt").w_avg
    z = torch.randn(4096, 16, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(found, tiny_backbone.backbone.mapping(z).mean(dim=0))


def test_mean_codes_of_several_shapes(theirs: dict[str, Any]) -> None:
    mean = theirs["latent_avg"]
    for given in (mean, mean[None], mean[None].repeat(6, 1)):
        part = rosinality.generator_part("g", theirs["g_ema"], latent_avg=given)
        assert torch.equal(part.tensors["mapping.w_avg"], mean)
    with pytest.raises(CheckpointError, match=r"its latent_avg is \[3\], its codes have 16 numbers"):
        rosinality.generator_part("g", theirs["g_ema"], latent_avg=torch.zeros(3))


def test_averaged_weights_come_first(theirs: dict[str, Any], tmp_path: Path) -> None:
    tree = {"g": {k: torch.zeros_like(v) if k == "input.input" else v for k, v in theirs["g_ema"].items()}}
    torch.save(tree | theirs, tmp_path / "a.pt")
    found = read_checkpoint(tmp_path / "a.pt", kind="generator")
    assert found.provenance["part"] == "g_ema" and found.tensors["synthesis.b4.const"].any()
    assert read_checkpoint(tmp_path / "a.pt").kind == "generator"
    with pytest.raises(CheckpointError, match=r"a.pt holds g_ema \(generator\), g \(generator\); no disc"):
        load_discriminator(tmp_path / "a.pt")


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"conv1.noise.weight": None}, "its g_ema lacks synthesis.b4.conv1.noise_strength"),
        ({"strange": torch.zeros(1)}, "its g_ema has unknown strange"),
        ({"conv1.activate.bias": torch.zeros(3)}, r"conv1.bias of shape \[3\]; \[8\] was expected"),
        ({"input.input": torch.zeros(3)}, "its tensor input.input has shape"),
        ({"convs.0.conv.blur.kernel": torch.ones(4, 4)}, r"blur.kernel is not \[1, 3, 3, 1\]"),
        ({"convs.0.conv.blur.kernel": torch.ones(3, 3)}, r"blur.kernel is not \[1, 3, 3, 1\]"),
        ({"to_rgbs.7.conv.weight": torch.zeros(1)}, r"its to_rgbs.\* are numbered \[0, 1, 7\], with a gap"),
        ({"style.4.weight": torch.zeros(1)}, r"its style.\* are numbered \[0, 1, 2, 4\]"),
        ({"style.1.weight": torch.zeros(16, 0)}, r"style.1.weight has shape \[16, 0\]"),
    ],
)
def test_networks_that_contradict_themselves(
    theirs: dict[str, Any], tmp_path: Path, changes: dict[str, Any], text: str
) -> None:
    tensors = {k: v for k, v in (theirs["g_ema"] | changes).items() if v is not None}
    torch.save({"g_ema": tensors, "latent_avg": theirs["latent_avg"]}, tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match=text) as caught:
        load_backbone(tmp_path / "a.pt")
    assert "a.pt" in str(caught.value)


def test_snapshots_keep_what_they_say(shared: Path) -> None:
    folder = shared / "fixtures/parity/nvidia"
    contents = open_file(folder / "sg3repo_sg2_64.pkl")
    assert contents.format == "stylegan3" and contents.facts["training_set.resolution"] == 64
    assert {(p.config["num_fp16_res"], p.config["conv_clamp"]) for p in contents.parts} == {(4, 256.0)}
    assert open_file(folder / "ada_orig_32.pkl").format == "stylegan2-ada"
    assert load_backbone(folder / "ada_cond_resnet_64.pkl").c_dim == 3
    assert load_discriminator(folder / "ada_cond_resnet_64.pkl").config.minibatch_group == 2


@pytest.mark.parametrize(
    ("module", "text"),
    [
        ({"_modules": {"fc": {"activation": "swish"}}}, "uses the activation 'swish' in fc."),
        ({"_modules": {}}, r"its D has blocks of \[\] px"),
        ({"_modules": {"b4": {"_modules": {"mbstd": {"group_size": -1}}}}}, "in groups of -1"),
        ({"_modules": {"b8": {"_modules": {"conv0": {"conv_clamp": "x"}}}}}, "its conv_clamp is 'x'"),
    ],
)
def test_modules_that_are_something_else(module: dict[str, Any], text: str) -> None:
    from ganinv.checkpoints.rebuild import PersistentModule

    def wrap(state: dict[str, Any]) -> PersistentModule:
        below = {name: wrap(child) for name, child in state.get("_modules", {}).items()}
        return PersistentModule("Discriminator", state | {"_modules": below})

    with pytest.raises(CheckpointError, match=text):
        recognise({"D": wrap(module)}, "a.pkl")


@pytest.mark.parametrize(
    ("tree", "text"),
    [
        ({"a": 1, "b": 2}, "holds a dictionary of 'a', 'b'; known: rosinality"),
        ({}, "a dictionary of nothing"),
        ([1], "a list"),
        (torch.zeros(2, 3), r"one tensor of shape \[2, 3\]"),
        ({"g_ema": 3, "d": None}, "of no known layout"),
    ],
)
def test_unknown_layouts(tmp_path: Path, tree: Any, text: str) -> None:
    torch.save(tree, tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match=text) as caught:
        open_file(tmp_path / "a.pt")
    assert "\n" not in str(caught.value)


def test_nothing_from_a_file_runs(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (tmp_path / "exploded",)

    for protocol in range(6):
        (tmp_path / "a.pkl").write_bytes(pickle.dumps({"G_ema": Bomb()}, protocol))
        with pytest.raises(CheckpointError, match=r"a\.pkl is refused"):
            load_backbone(tmp_path / "a.pkl")
    assert not (tmp_path / "exploded").exists()


def test_our_own_files(tiny_backbone: Any, tmp_path: Path) -> None:
    contents = open_file(tiny_backbone.path)
    (part,) = contents.parts
    assert (contents.format, part.kind, part.family) == ("ganinv", "generator", "stylegan2")
    network = Discriminator(DiscriminatorConfig(16, 128, 8, architecture="orig"))
    write_checkpoint(
        tmp_path / "d.safetensors",
        network.state_dict(),
        kind="discriminator",
        family="stylegan2",
        config=network.config.to_json(),
    )
    assert load_discriminator(tmp_path / "d.safetensors").config == network.config
