"""rosinality's StyleGAN2 files, and the decoders of the pSp family, which have the same names.

A file is `{g_ema, latent_avg}`, or with the states of training `{g, d, g_ema, g_optim, d_optim, args,
ada_aug_p}`, or one bare state dict. Weights are those of NVIDIA's StyleGAN2, with other names and axes of
size 1; its filters sum to 4 where they double a size.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ganinv.backbones.discriminator import Discriminator, DiscriminatorConfig
from ganinv.backbones.mapping import MappingNetwork
from ganinv.backbones.stylegan2 import StyleGAN2Config, StyleGAN2Generator
from ganinv.checkpoints.layouts.base import (
    Found,
    Part,
    account,
    check_filter,
    count_numbered,
    fit_channels,
    shape_of,
    single,
    tensor_table,
)
from ganinv.errors import CheckpointError

MEAN_SAMPLES = 4096
"""Codes averaged where a file brings no mean code."""
_MAX_BLOCKS = 12  # 8192 px
_FACTS = ("size", "iter", "channel_multiplier", "n_mlp", "latent", "augment")

Tensors = Mapping[str, Tensor]


def recognise(tree: Any) -> Found | None:
    """What the tree of a rosinality file holds, or None where it is no such file. Raises CheckpointError."""
    if not isinstance(tree, Mapping):
        return None
    bare = tensor_table(tree)
    if _is_generator(bare):
        return Found("rosinality", (generator_part("g_ema", bare),), _mean_fact(None))
    if _is_discriminator(bare):
        return Found("rosinality", (discriminator_part("d", bare),))
    mean = tree.get("latent_avg")
    mean = mean if isinstance(mean, Tensor) else None
    parts = []
    for name in ("g_ema", "g", "d"):
        tensors = tensor_table(tree.get(name))
        if _is_generator(tensors):
            parts.append(generator_part(name, tensors, latent_avg=mean))
        elif _is_discriminator(tensors):
            parts.append(discriminator_part(name, tensors))
    if not parts:
        return None
    generators = any(part.kind == "generator" for part in parts)
    return Found("rosinality", tuple(parts), _facts(tree) | (_mean_fact(mean) if generators else {}))


def generator_part(name: str, tensors: Tensors, *, latent_avg: Tensor | None = None) -> Part:
    """A generator under our names.

    Args:
        name: of the part. tensors: `style.1.weight`, `convs.0.conv.weight`, ... without a prefix.
        latent_avg: the mean code, of `[w_dim]`, `[1, w_dim]` or equal rows; None: it is estimated from
            MEAN_SAMPLES codes of seed 0.

    Raises:
        CheckpointError: tensors that contradict each other.
    """
    blocks = count_numbered(tensors, "to_rgbs.")
    # style.0 is the normalisation, which has no weights
    layers = count_numbered(["style.0", *tensors], "style.") - 1
    if not 1 <= blocks < _MAX_BLOCKS or not layers or count_numbered(tensors, "convs.") != 2 * blocks:
        raise CheckpointError(f"its {name} has {blocks} doubling blocks and {layers} mapping layers")
    names = _generator_names(blocks, layers)
    named, left = _rename(tensors, names)
    widths = {4: shape_of(tensors, "input.input", 4)[1]}
    for i in range(blocks):
        widths[8 << i] = shape_of(named, f"synthesis.b{8 << i}.conv1.weight", 4)[0]
    w_dim, _ = shape_of(tensors, f"style.{layers}.weight", 2)
    first, z_dim = shape_of(tensors, "style.1.weight", 2)
    config = StyleGAN2Config(
        resolution=4 << blocks,
        z_dim=z_dim,
        w_dim=w_dim,
        mapping_layers=layers,
        mapping_width=None if first == w_dim else first,
        **fit_channels(widths),
    )
    with torch.device("meta"):
        module = StyleGAN2Generator(config)
    named["mapping.w_avg"] = _mean_code(latent_avg, named, config)
    return account(name, "generator", module.family, module, config.to_json(), {**named, **left})


def discriminator_part(name: str, tensors: Tensors) -> Part:
    """A discriminator under our names. Raises CheckpointError where tensors contradict each other."""
    blocks = count_numbered(tensors, "convs.") - 1
    if not 1 <= blocks < _MAX_BLOCKS:
        raise CheckpointError(f"its {name} has {blocks} halving blocks")
    named, left = _rename(tensors, _discriminator_names(blocks))
    widths = {4: shape_of(tensors, "final_conv.0.weight", 4)[0]}
    for i in range(1, blocks + 1):
        widths[8 << (blocks - i)] = shape_of(tensors, f"convs.{i}.conv1.0.weight", 4)[1]
    added = shape_of(tensors, "final_conv.0.weight", 4)[1] - widths[4]
    config = DiscriminatorConfig(resolution=4 << blocks, minibatch_channels=added, **fit_channels(widths))
    with torch.device("meta"):
        module = Discriminator(config)
    return account(name, "discriminator", module.family, module, config.to_json(), {**named, **left})


def _is_generator(tensors: Tensors) -> bool:
    return "style.1.weight" in tensors and "input.input" in tensors


def _is_discriminator(tensors: Tensors) -> bool:
    return "convs.0.0.weight" in tensors and "final_conv.0.weight" in tensors


def _generator_names(blocks: int, layers: int) -> dict[str, str]:
    """rosinality's name -> ours, of a generator with `blocks` doublings."""
    names = {"input.input": "synthesis.b4.const"}
    for i in range(layers):
        for kind in ("weight", "bias"):
            names[f"style.{i + 1}.{kind}"] = f"mapping.fc{i}.{kind}"
    convs = [("conv1", "b4.conv1")]
    rgbs = [("to_rgb1", "b4.torgb")]
    for i in range(blocks):
        side = 8 << i
        convs += [(f"convs.{2 * i}", f"b{side}.conv0"), (f"convs.{2 * i + 1}", f"b{side}.conv1")]
        rgbs.append((f"to_rgbs.{i}", f"b{side}.torgb"))
    for theirs, ours in convs + rgbs:
        names[f"{theirs}.conv.weight"] = f"synthesis.{ours}.weight"
        for kind in ("weight", "bias"):
            names[f"{theirs}.conv.modulation.{kind}"] = f"synthesis.{ours}.affine.{kind}"
    for k, (theirs, ours) in enumerate(convs):
        names[f"{theirs}.noise.weight"] = f"synthesis.{ours}.noise_strength"
        names[f"{theirs}.activate.bias"] = f"synthesis.{ours}.bias"
        names[f"noises.noise_{k}"] = f"synthesis.{ours}.noise_const"
    return names | {f"{theirs}.bias": f"synthesis.{ours}.bias" for theirs, ours in rgbs}


def _discriminator_names(blocks: int) -> dict[str, str]:
    """rosinality's name -> ours, of a discriminator with `blocks` halvings."""
    top = 4 << blocks
    names = {"convs.0.0.weight": f"b{top}.fromrgb.weight", "convs.0.1.bias": f"b{top}.fromrgb.bias"}
    for i in range(1, blocks + 1):
        ours, theirs = f"b{8 << (blocks - i)}", f"convs.{i}"
        names[f"{theirs}.conv1.0.weight"] = f"{ours}.conv0.weight"
        names[f"{theirs}.conv1.1.bias"] = f"{ours}.conv0.bias"
        names[f"{theirs}.conv2.1.weight"] = f"{ours}.conv1.weight"
        names[f"{theirs}.conv2.2.bias"] = f"{ours}.conv1.bias"
        names[f"{theirs}.skip.1.weight"] = f"{ours}.skip.weight"
    names |= {"final_conv.0.weight": "b4.conv.weight", "final_conv.1.bias": "b4.conv.bias"}
    for i, ours in enumerate(("fc", "out")):
        names |= {f"final_linear.{i}.{kind}": f"b4.{ours}.{kind}" for kind in ("weight", "bias")}
    return names


def _rename(tensors: Tensors, names: Mapping[str, str]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Tensors under our names and without their axes of size 1, and those left over. Filters are checked."""
    named, left = {}, {}
    for key, tensor in tensors.items():
        ours = names.get(key)
        if ours is not None:
            named[ours] = _reshape(key, tensor)
        elif key.endswith(".kernel"):
            check_filter(key, tensor)
        else:
            left[key] = tensor
    return named, left


def _reshape(key: str, tensor: Tensor) -> Tensor:
    shape = tensor.shape
    if key == "input.input" or (key.endswith("conv.weight") and tensor.ndim == 5):
        return tensor.reshape(shape[1:]) if shape[0] == 1 else tensor
    if key.startswith("noises."):
        return tensor.reshape(shape[2:]) if shape[:2] == (1, 1) else tensor
    if key.endswith("noise.weight"):
        return tensor.reshape(()) if tensor.numel() == 1 else tensor
    if key.startswith("to_rgb") and key.endswith(".bias") and tensor.ndim == 4:
        return tensor.reshape(-1)
    return tensor


def _mean_code(latent_avg: Tensor | None, named: Tensors, config: StyleGAN2Config) -> Tensor:
    if latent_avg is None:
        return _estimated_mean(named, config)
    rows = latent_avg.reshape(-1, latent_avg.shape[-1]) if latent_avg.ndim else latent_avg
    if latent_avg.ndim not in (1, 2) or rows.shape[-1] != config.w_dim or not len(rows):
        raise CheckpointError(
            f"its latent_avg is {list(latent_avg.shape)}, its codes have {config.w_dim} numbers"
        )
    return single(rows[0])


@torch.no_grad()
def _estimated_mean(named: Tensors, config: StyleGAN2Config) -> Tensor:
    with torch.device("meta"):
        mapping = MappingNetwork(
            config.z_dim, 0, config.w_dim, config.mapping_layers, width=config.mapping_width, track_mean=False
        )
    own = {key: single(named[f"mapping.{key}"]) for key in mapping.state_dict() if f"mapping.{key}" in named}
    if any(tensor.is_meta for tensor in own.values()):
        return torch.empty(config.w_dim, device="meta")
    mapping.load_state_dict(own, assign=True)
    z = torch.randn(MEAN_SAMPLES, config.z_dim, generator=torch.Generator().manual_seed(0))
    return mapping(z).mean(dim=0)


def _mean_fact(mean: Tensor | None) -> dict[str, Any]:
    return {} if mean is not None else {"w_avg": f"not in the file; the mean of {MEAN_SAMPLES} codes"}


def _facts(tree: Mapping[str, Any]) -> dict[str, Any]:
    args = tree.get("args")
    args = args if isinstance(args, Mapping) else {}
    facts = {key: args[key] for key in _FACTS if isinstance(args.get(key), (int, float, str))}
    left = [key for key in ("g_optim", "d_optim") if key in tree]
    return facts | ({"training_state": left} if left else {})
