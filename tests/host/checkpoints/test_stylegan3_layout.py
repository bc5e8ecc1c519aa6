"""NVIDIA's StyleGAN3 snapshots through the door: layouts accounted for, settings read, others refused."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from ganinv.backbones.loading import load_backbone, load_discriminator
from ganinv.backbones.stylegan3 import StyleGAN3Config
from ganinv.checkpoints import Part, open_file
from ganinv.checkpoints.door import recognise
from ganinv.checkpoints.layouts.stylegan3 import generator_from_module
from ganinv.checkpoints.rebuild import PersistentModule
from ganinv.checkpoints.restricted import read_foreign
from ganinv.configs import build_config
from ganinv.errors import CheckpointError

LAYOUTS = [f"{kind}_{side}" for kind in "tr" for side in (64, 256, 512, 1024)]


def module_at(root: PersistentModule, path: str) -> PersistentModule:
    """The submodule of a dotted path, made where there is none."""
    for name in filter(None, path.split(".")):
        children = root.state.setdefault("_modules", {})
        root = children.setdefault(name, PersistentModule("Module", {}))
    return root


def snapshot(data: dict[str, Any]) -> PersistentModule:
    """A generator's module with a published layout's names and attributes; its tensors have no numbers."""
    root = PersistentModule("Generator", {})
    for key, shape, _ in data["entries"]:
        path, _, name = key.rpartition(".")
        table = module_at(root, path).state.setdefault("_parameters", {})
        table[name] = torch.empty(shape, device="meta")
    synthesis = module_at(root, "synthesis").state
    synthesis |= {"img_resolution": data["img_resolution"], "img_channels": 3, "num_critical": 2}
    synthesis |= {"margin_size": 10, "output_scale": 0.25, "num_fp16_res": 4, "_init_kwargs": data["kwargs"]}
    module_at(root, "synthesis.input").state.update(data["input"], size=torch.tensor(data["input"]["size"]))
    for layer in data["layers"]:
        sizes = {key: torch.tensor(layer[key]) for key in ("in_size", "out_size")}
        beta = {"magnitude_ema_beta": data["kwargs"]["magnitude_ema_beta"]}
        module_at(root, f"synthesis.{layer['name']}").state.update(layer | sizes | beta)
    return root


def check_accounted(part: Part) -> StyleGAN3Config:
    assert (part.missing, part.unexpected, part.kind) == ((), (), "generator")
    return build_config(StyleGAN3Config, json.loads(json.dumps(part.config)))  # as a header keeps it


@pytest.mark.parametrize("stated", [True, False])
@pytest.mark.parametrize("name", LAYOUTS)
def test_layout_of_stylegan3(shared: Path, name: str, stated: bool) -> None:
    """All names and shapes, in both directions; channels also where no arguments of construction tell."""
    data = json.loads((shared / f"fixtures/parity/layouts/sg3_{name}.json").read_text())
    root = snapshot(data)
    if not stated:
        del module_at(root, "synthesis").state["_init_kwargs"]
    config = check_accounted(generator_from_module("G_ema", root))
    assert (config.resolution, config.num_layers + 2) == (data["img_resolution"], data["num_ws"])
    assert (config.channel_base, config.channel_max) == (
        data["kwargs"]["channel_base"],
        data["kwargs"]["channel_max"],
    )
    assert (config.conv_kernel, config.use_radial_filters) == ((1, True) if name[0] == "r" else (3, False))
    assert (config.magnitude_ema_beta, config.conv_clamp, config.widths) == (0.9995, 256, ())
    assert config == StyleGAN3Config(resolution=config.resolution, **data["kwargs"])


@pytest.mark.parametrize("name", ["sg3_t_64", "sg3_t_64_t19p4", "sg3_r_64", "sg3_t_cond_32"])
def test_what_a_snapshot_holds(shared: Path, name: str) -> None:
    path = shared / f"fixtures/parity/nvidia/{name}.pkl"
    contents = open_file(path)
    assert contents.format == "stylegan3"
    parts = {part.name: part for part in contents.parts}
    assert {key: part.family for key, part in parts.items()} == {
        "G": "stylegan3",
        "G_ema": "stylegan3",
        "D": "stylegan2",
    }
    config = check_accounted(parts["G_ema"])
    assert config == check_accounted(parts["G"])
    wanted = {"sg3_t_64": (64, 0, 2, 14), "sg3_r_64": (64, 0, 2, 18), "sg3_t_cond_32": (32, 3, 3, 12)}
    found = (config.resolution, config.c_dim, config.mapping_layers, config.channel_max)
    assert found == wanted[name.removesuffix("_t19p4")]
    assert (config.conv_clamp, config.num_fp16_res) == (256, 4)
    assert config.magnitude_ema_beta == pytest.approx(0.99889157926)
    backbone = load_backbone(path)
    assert (backbone.family, backbone.name, backbone.c_dim) == ("stylegan3", name, config.c_dim)
    assert load_discriminator(path).config.resolution == config.resolution
    alone = recognise(read_foreign(path)["G_ema"], path)
    assert alone.format == "stylegan3" and alone.parts[0].config == parts["G_ema"].config


@pytest.fixture
def tree(shared: Path) -> Any:
    """G_ema of a small snapshot."""
    return copy.deepcopy(read_foreign(shared / "fixtures/parity/nvidia/sg3_t_64.pkl")["G_ema"])


L3, RULES = "synthesis.L3_36_14", "networks made by other rules are not known"


@pytest.mark.parametrize(
    ("path", "changes", "text"),
    [
        ("synthesis", {"img_channels": 1}, "its G_ema draws 1 channels, not RGB"),
        ("synthesis", {"img_resolution": 48}, "is no StyleGAN3 that is known: resolution 48 is not a power"),
        ("synthesis", {"img_resolution": 1 << 40}, "its img_resolution is '1099511627776', not a whole"),
        ("synthesis", {"margin_size": "wide"}, "its margin_size is 'wide', not a whole number"),
        ("synthesis", {"margin_size": 9}, r"has size \[36, 36\] in input, where .* give 34: " + RULES),
        ("synthesis", {"num_critical": 1}, f"has out_cutoff 2.519.* in L1_.* give 2.47.*: {RULES}"),
        ("synthesis", {"output_scale": float("nan")}, "its output_scale is 'nan', not a number"),
        (
            "synthesis",
            {"_init_kwargs": {"first_stopband": 40.0}},
            "first_stopband 40.0 and .* are not possible",
        ),
        (L3, {"in_half_width": 4.0}, f"has in_half_width 4.0 in L3_36_14, where .* give 4.825.*: {RULES}"),
        (L3, {"padding": [9, 9, 8, 8]}, r"has padding \[9, 9, 8, 8\] in L3_36_14, .* give \[9, 8, 9, 8\]"),
        (L3, {"is_torgb": 0}, "has is_torgb 0 in L3_36_14"),
        (L3, {"in_size": torch.zeros(3)}, r"has in_size \[0.0, 0.0, 0.0\] in L3"),
        (L3, {"up_taps": None}, "has up_taps None in L3_36_14"),
        (L3, {"conv_clamp": 128}, "its layers have different values of conv_clamp"),
        ("synthesis.L0_36_14", {"up_taps": 12000}, "filter_size 6000 is not from 1 to 32"),
        ("mapping.fc1", {"activation": "swish"}, "uses the activation 'swish' in mapping.fc1."),
    ],
)
def test_other_rules_are_refused(tree: Any, path: str, changes: dict[str, Any], text: str) -> None:
    module_at(tree, path).state.update(changes)
    with pytest.raises(CheckpointError, match=text) as caught:
        recognise({"G_ema": tree}, "a.pkl")
    assert "a.pkl cannot be used" in caught.value.message and "\n" not in caught.value.message


def test_layers_that_are_not_there(tree: Any) -> None:
    layers = module_at(tree, "synthesis").state["_modules"]
    bias = module_at(tree, L3).state["_parameters"]
    bias["extra"] = bias.pop("bias")
    part = generator_from_module("G_ema", tree)
    assert (part.missing, part.unexpected) == ((f"{L3}.bias",), (f"{L3}.extra",))
    bias["extra"] = torch.zeros(3)
    module_at(tree, L3).state["_buffers"]["up_filter"] = torch.zeros(11)
    with pytest.raises(CheckpointError, match=r"has .*up_filter of shape \[11\]; \[12\] was expected"):
        recognise({"G_ema": tree}, "a.pkl")
    del layers["L3_36_14"]
    with pytest.raises(CheckpointError, match=r"has layers numbered \[0, 1, 2, 4, .*\], with a gap"):
        recognise({"G_ema": tree}, "a.pkl")
    del layers["input"]
    with pytest.raises(CheckpointError, match=r"of no known layout: .* StyleGAN3 networks"):
        recognise({"G_ema": tree}, "a.pkl")


def test_channels_that_no_rule_gives(tree: Any) -> None:
    """Listed in the configuration, which then rebuilds the network all the same."""
    module_at(tree, "synthesis").state["_init_kwargs"] = {"channel_base": "many"}
    config = check_accounted(generator_from_module("G_ema", tree))
    assert config.widths == (14,) * 10 + (13, 10, 8, 8) and config.layers[11].out_channels == 10
