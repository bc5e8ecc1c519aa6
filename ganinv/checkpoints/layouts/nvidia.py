"""StyleGAN2 networks in NVIDIA's snapshots, as the stylegan2-ada and the stylegan3 repository write them, and
what all snapshots share.

Names and shapes of the tensors give the architecture; what they do not show (clamps, groups, half precision)
is read from the modules' attributes, never from anybody's defaults.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ganinv.backbones.discriminator import Discriminator, DiscriminatorConfig
from ganinv.backbones.stylegan2 import StyleGAN2Config, StyleGAN2Generator
from ganinv.checkpoints.layouts.base import (
    Found,
    Part,
    account,
    check_filter,
    count_numbered,
    fit_channels,
    shape_of,
)
from ganinv.checkpoints.rebuild import PersistentModule
from ganinv.errors import CheckpointError

_NETWORKS = ("G_ema", "G", "D")
_MAX_BLOCKS = 12  # 8192 px

Tensors = Mapping[str, Tensor]


def recognise(tree: Any) -> Found | None:
    """What the tree of a StyleGAN2 snapshot holds, or None where it is none. Raises CheckpointError."""
    networks = networks_of(tree)
    generators = {name: module for name, module in networks.items() if name != "D"}
    if not networks or not all(_is_stylegan2(module) for module in generators.values()):
        return None
    parts = [generator_from_module(name, module) for name, module in generators.items()]
    if "D" in networks:
        parts.append(discriminator_from_module("D", networks["D"]))
    newer = any(_of_newer_repository(module) for module in networks.values())
    return Found("stylegan3" if newer else "stylegan2-ada", tuple(parts), snapshot_facts(tree))


def networks_of(tree: Any) -> dict[str, PersistentModule]:
    """The networks of a snapshot, or of a module alone, by their names; {} where it is neither."""
    if isinstance(tree, PersistentModule):
        return {"G_ema" if "synthesis" in tree.children() else "D": tree}
    if not isinstance(tree, Mapping):
        return {}
    return {name: tree[name] for name in _NETWORKS if isinstance(tree.get(name), PersistentModule)}


def generator_from_module(name: str, module: PersistentModule) -> Part:
    """A StyleGAN2 generator of a snapshot. Raises CheckpointError for what we cannot rebuild."""
    check_layers(name, module)
    blocks = [child for key, child in children_of(module, "synthesis").items() if key.startswith("b")]
    return generator_from_tensors(
        name,
        module.tensors(),
        conv_clamp=_one_clamp(name, blocks, ("conv0", "conv1", "torgb")),
        mapping_lr=mapping_lr_of(module),
        num_fp16_res=_halves(blocks),
    )


def generator_from_tensors(
    name: str,
    tensors: Tensors,
    *,
    conv_clamp: float | None = None,
    mapping_lr: float = 0.01,
    num_fp16_res: int = 0,
) -> Part:
    """A StyleGAN2 generator from tensors under NVIDIA's names.

    Raises:
        CheckpointError: tensors that contradict each other, or filters that are not StyleGAN2's.
    """
    named = _without_filters(tensors)
    sides = _sides(name, named, "synthesis.b")
    top = sides[-1]
    if "synthesis.b4.torgb.weight" in named:
        architecture = "skip"
    else:
        architecture = "resnet" if f"synthesis.b{top}.skip.weight" in named else "orig"
    mapping = mapping_config(named, mapping_lr)
    if shape_of(named, f"synthesis.b{top}.torgb.weight", 4)[0] != 3:
        raise CheckpointError(
            f"its {name} does not draw RGB: {list(named[f'synthesis.b{top}.torgb.weight'])}"
        )
    _add_silent_noise(named, sides)
    config = StyleGAN2Config(
        resolution=top,
        conv_clamp=conv_clamp,
        architecture=architecture,  # type: ignore[arg-type]
        num_fp16_res=num_fp16_res,
        **mapping,
        **fit_channels({s: shape_of(named, f"synthesis.b{s}.conv1.weight", 4)[0] for s in sides}),
    )
    with torch.device("meta"):
        module = StyleGAN2Generator(config)
    return account(name, "generator", module.family, module, config.to_json(), named)


def discriminator_from_module(name: str, module: PersistentModule) -> Part:
    """The discriminator of a snapshot, whatever its generator. Raises CheckpointError."""
    check_layers(name, module)
    blocks = [child for key, child in module.children().items() if key.startswith("b") and key != "b4"]
    epilogue = children_of(module, "b4")
    std = epilogue.get("mbstd")
    group = None if std is None else std.attribute("group_size")
    if group is not None and (type(group) is not int or group < 1):
        raise CheckpointError(f"its {name} compares pictures in groups of {str(group)[:40]}")
    return discriminator_from_tensors(
        name,
        module.tensors(),
        conv_clamp=_one_clamp(name, blocks, ("fromrgb", "conv0", "conv1")),
        minibatch_group=group,
        mapping_lr=mapping_lr_of(module),
        num_fp16_res=_halves(blocks),
    )


def discriminator_from_tensors(
    name: str,
    tensors: Tensors,
    *,
    conv_clamp: float | None = None,
    minibatch_group: int | None = 4,
    mapping_lr: float = 0.01,
    num_fp16_res: int = 0,
) -> Part:
    """A discriminator from tensors under NVIDIA's names. Raises CheckpointError."""
    named = _without_filters(tensors)
    sides = _sides(name, named, "b")
    top = sides[-1]
    if "b4.fromrgb.weight" in named:
        architecture = "skip"
    else:
        architecture = "resnet" if f"b{top}.skip.weight" in named else "orig"
    colours = shape_of(named, f"b{top}.fromrgb.weight", 4)[1]
    if colours != 3:
        raise CheckpointError(f"its {name} sees {colours} colour channels; 3 are known")
    widths = {s: shape_of(named, f"b{s}.conv0.weight", 4)[1] for s in sides[1:]}
    widths[4], inner = shape_of(named, "b4.conv.weight", 4)[:2]
    classes: dict[str, Any] = {}
    if "mapping.fc0.weight" in named:
        classes = mapping_config(named, mapping_lr)
        classes["cmap_dim"] = classes.pop("w_dim")
        del classes["z_dim"]
    config = DiscriminatorConfig(
        resolution=top,
        minibatch_group=minibatch_group,
        minibatch_channels=inner - widths[4],
        conv_clamp=conv_clamp,
        architecture=architecture,  # type: ignore[arg-type]
        num_fp16_res=num_fp16_res,
        **classes,
        **fit_channels(widths),
    )
    with torch.device("meta"):
        module = Discriminator(config)
    return account(name, "discriminator", module.family, module, config.to_json(), named)


def snapshot_facts(tree: Any) -> dict[str, Any]:
    """What a snapshot tells of its training: plain data only."""
    if not isinstance(tree, Mapping):
        return {}
    kwargs = tree.get("training_set_kwargs")
    kwargs = kwargs if isinstance(kwargs, Mapping) else {}
    facts = {
        f"training_set.{key}": value
        for key, value in kwargs.items()
        if isinstance(key, str) and isinstance(value, (bool, int, str)) and key != "path"
    }
    return facts | ({"training_state": ["augment_pipe"]} if tree.get("augment_pipe") is not None else {})


def _is_stylegan2(module: PersistentModule) -> bool:
    return "b4" in children_of(module, "synthesis")


def _of_newer_repository(module: PersistentModule) -> bool:
    block = children_of(module, "synthesis").get("b4")
    return block is not None and "fused_modconv_default" in block.state


def children_of(module: PersistentModule, name: str) -> dict[str, PersistentModule]:
    """The submodules of its submodule `name`; {} where there is none."""
    child = module.children().get(name)
    return {} if child is None else child.children()


def _without_filters(tensors: Tensors) -> dict[str, Tensor]:
    """All tensors but the filters, which are checked."""
    named = {}
    for key, tensor in tensors.items():
        if key.rpartition(".")[2] == "resample_filter":
            check_filter(key, tensor)
        else:
            named[key] = tensor
    return named


def _add_silent_noise(named: dict[str, Tensor], sides: list[int]) -> None:
    """Zeros for layers that were made without noise."""
    for side in sides:
        for layer in (f"synthesis.b{side}.conv0", f"synthesis.b{side}.conv1"):
            weight = named.get(f"{layer}.weight")
            if weight is not None and f"{layer}.noise_strength" not in named:
                named[f"{layer}.noise_strength"] = torch.zeros([], device=weight.device)
                named[f"{layer}.noise_const"] = torch.zeros(side, side, device=weight.device)


def _sides(name: str, named: Tensors, prefix: str) -> list[int]:
    """Sides of the blocks `prefix`4, `prefix`8, ..."""
    digits = {key.removeprefix(prefix).split(".")[0] for key in named if key.startswith(prefix)}
    sides = sorted(int(text) for text in digits if text.isascii() and text.isdigit() and len(text) < 6)
    if not 2 <= len(sides) <= _MAX_BLOCKS or sides != [4 << i for i in range(len(sides))]:
        raise CheckpointError(f"its {name} has blocks of {sides[:16]} px; expected 4, 8, 16, ...")
    return sides


def mapping_config(named: Tensors, lr: float) -> dict[str, Any]:
    """z_dim, w_dim, c_dim, mapping_layers, mapping_width, embed_dim and mapping_lr of `mapping.*`."""
    layers = count_numbered((k.removeprefix("mapping.") for k in named if k.startswith("mapping.fc")), "fc")
    w_dim = shape_of(named, f"mapping.fc{layers - 1}.weight", 2)[0]
    width, inputs = shape_of(named, "mapping.fc0.weight", 2)
    embed, classes = (0, 0)
    if "mapping.embed.weight" in named:
        embed, classes = shape_of(named, "mapping.embed.weight", 2)
    return {
        "z_dim": inputs - embed,
        "w_dim": w_dim,
        "c_dim": classes,
        "mapping_layers": layers,
        "mapping_width": None if width == w_dim else width,
        "embed_dim": None if embed in (0, w_dim) else embed,
        "mapping_lr": lr,
    }


def mapping_lr_of(module: PersistentModule) -> float:
    """The learning-rate multiplier of the mapping layers, which their biases are multiplied by."""
    first = children_of(module, "mapping").get("fc0")
    return 0.01 if first is None else finite_number(first.attribute("bias_gain", 0.01), "bias_gain")


def _one_clamp(name: str, blocks: list[PersistentModule], layers: tuple[str, ...]) -> float | None:
    """The clamp of all layers of these names."""
    found = [layer for block in blocks for key, layer in block.children().items() if key in layers]
    clamps = {None if clamp is None else finite_number(clamp, "conv_clamp") for clamp in map(_clamp, found)}
    if len(clamps) > 1:
        raise CheckpointError(f"its {name} clamps its layers at {len(clamps)} different values")
    return clamps.pop() if clamps else None


def _clamp(layer: PersistentModule) -> Any:
    return layer.attribute("conv_clamp")


def finite_number(value: Any, what: str) -> float:
    """An attribute that must be a number of at least 0. Raises CheckpointError."""
    if type(value) not in (int, float) or not math.isfinite(value) or value < 0:
        raise CheckpointError(f"its {what} is {str(value)[:40]!r}, not a number")
    return float(value)


def _halves(blocks: list[PersistentModule]) -> int:
    return sum(block.attribute("use_fp16") is True for block in blocks)


def check_layers(name: str, module: PersistentModule) -> None:
    """Raises CheckpointError for layers that compute something else than ours."""
    for prefix, layer in module.modules():
        activation = layer.attribute("activation", "lrelu")
        if activation not in ("lrelu", "linear"):
            raise CheckpointError(
                f"its {name} uses the activation {str(activation)[:40]!r} in {prefix}; known: lrelu"
            )
