"""StyleGAN3 generators in NVIDIA's snapshots, beside discriminators of StyleGAN2.

The settings are read from the modules' attributes, and the two that no attribute shows from the arguments
that the network was made with. The geometry of every layer that follows from them must then be what the file
says of that layer: a network made by other rules is refused.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import torch

from ganinv.backbones.alias_free import LayerGeometry
from ganinv.backbones.stylegan3 import StyleGAN3Config, StyleGAN3Generator
from ganinv.checkpoints.layouts.base import Found, Part, account, shape_of
from ganinv.checkpoints.layouts.nvidia import (
    check_layers,
    children_of,
    discriminator_from_module,
    finite_number,
    mapping_config,
    mapping_lr_of,
    networks_of,
    snapshot_facts,
)
from ganinv.checkpoints.rebuild import PersistentModule
from ganinv.errors import CheckpointError

_CHANNELS = ((32768, 512), (65536, 1024), (16384, 512), (32768, 1024))
"""(channel_base, channel_max) of T and R, at full and half width, where the file does not say."""
_EXACT = ("up_factor", "down_factor", "up_taps", "down_taps", "conv_kernel", "tmp_sampling_rate")
_RATES = ("in_sampling_rate", "out_sampling_rate")
_BANDS = ("in_cutoff", "out_cutoff", "in_half_width", "out_half_width")
_FLAGS = ("is_torgb", "is_critically_sampled", "down_radial")


def recognise(tree: Any) -> Found | None:
    """What the tree of a StyleGAN3 snapshot holds, or None where it is none. Raises CheckpointError."""
    networks = networks_of(tree)
    generators = {name: module for name, module in networks.items() if name != "D"}
    if not generators or not all(_is_stylegan3(module) for module in generators.values()):
        return None
    parts = [generator_from_module(name, module) for name, module in generators.items()]
    if "D" in networks:
        parts.append(discriminator_from_module("D", networks["D"]))
    return Found("stylegan3", tuple(parts), snapshot_facts(tree))


def generator_from_module(name: str, module: PersistentModule) -> Part:
    """A StyleGAN3 generator of a snapshot. Raises CheckpointError for what we cannot rebuild."""
    check_layers(name, module)
    tensors = module.tensors()
    synthesis = module.children()["synthesis"]
    layers = _layers(name, synthesis)
    colours = synthesis.attribute("img_channels")
    if colours != 3:
        raise CheckpointError(f"its {name} draws {_told(colours)} channels, not RGB")
    try:
        config = StyleGAN3Config(
            **mapping_config(tensors, mapping_lr_of(module)), **_settings(synthesis, list(layers.values()))
        )
    except ValueError as cause:
        raise CheckpointError(f"its {name} is no StyleGAN3 that is known: {cause}") from cause
    widths = tuple(shape_of(tensors, f"synthesis.{key}.weight", 4)[0] for key in layers)[:-1]
    config = _with_channels(config, widths, synthesis.attribute("_init_kwargs"))
    _check_geometry(name, config, synthesis, layers)
    with torch.device("meta"):
        own = StyleGAN3Generator(config)
    return account(name, "generator", own.family, own, config.to_json(), tensors)


def _is_stylegan3(module: PersistentModule) -> bool:
    children = children_of(module, "synthesis")
    return "input" in children and any(key.startswith("L0_") for key in children)


def _layers(name: str, synthesis: PersistentModule) -> dict[str, PersistentModule]:
    """The layers L0_..., L1_..., in the order of their numbers."""
    numbered = {}
    for key, layer in synthesis.children().items():
        digits = key[1:].split("_")[0]
        if key.startswith("L") and digits.isascii() and digits.isdigit() and len(digits) < 6:
            numbered[int(digits)] = (key, layer)
    if sorted(numbered) != list(range(len(numbered))):
        raise CheckpointError(f"its {name} has layers numbered {sorted(numbered)[:80]}, with a gap")
    return dict(numbered[i] for i in range(len(numbered)))


def _settings(synthesis: PersistentModule, layers: list[PersistentModule]) -> dict[str, Any]:
    """Fields of `StyleGAN3Config` but those of the mapping network and of channels."""
    first = layers[0]
    made_with = synthesis.attribute("_init_kwargs")
    made_with = made_with if isinstance(made_with, Mapping) else {}
    clamp = _one("conv_clamp", layers)
    doubling = next((layer for layer in layers if layer.attribute("up_factor") != 1), first)
    most = max(_whole(first, key) for key in _RATES)
    fixed = {
        key: finite_number(made_with[key], key)
        for key in ("first_stopband", "last_stopband_rel")
        if key in made_with
    }
    return fixed | {
        "resolution": _whole(synthesis, "img_resolution"),
        "num_layers": len(layers) - 1,
        "num_critical": _whole(synthesis, "num_critical"),
        "margin_size": _whole(synthesis, "margin_size"),
        "output_scale": finite_number(synthesis.attribute("output_scale"), "output_scale"),
        "num_fp16_res": _whole(synthesis, "num_fp16_res"),
        "first_cutoff": finite_number(first.attribute("out_cutoff"), "out_cutoff"),
        "conv_kernel": _whole(first, "conv_kernel"),
        "filter_size": _whole(doubling, "up_taps") // max(_whole(doubling, "up_factor"), 1),
        "lrelu_upsampling": _whole(first, "tmp_sampling_rate") // max(most, 1),
        "use_radial_filters": any(layer.attribute("down_radial") is True for layer in layers),
        "conv_clamp": None if clamp is None else finite_number(clamp, "conv_clamp"),
        "magnitude_ema_beta": finite_number(_one("magnitude_ema_beta", layers), "magnitude_ema_beta"),
    }


def _with_channels(config: StyleGAN3Config, widths: tuple[int, ...], made_with: Any) -> StyleGAN3Config:
    """The configuration with these channels: by rule if a known base and maximum give them, else listed."""
    listed = replace(config, widths=widths)
    stated = made_with if isinstance(made_with, Mapping) else {}
    pair = stated.get("channel_base", 32768), stated.get("channel_max", 512)
    for base, most in (pair, *_CHANNELS):
        if type(base) is int and type(most) is int and 0 < base < 1 << 31 and 0 < most < 1 << 31:
            ruled = replace(config, channel_base=base, channel_max=most)
            if ruled.layers == listed.layers:
                return ruled
    return listed


def _check_geometry(
    name: str, config: StyleGAN3Config, synthesis: PersistentModule, layers: Mapping[str, PersistentModule]
) -> None:
    """Raises CheckpointError where the file says of a layer what does not follow from `config`."""
    geometries = config.layers
    first = geometries[0]
    source = synthesis.children()["input"]
    wanted = [
        ("size", source.attribute("size"), first.in_size),
        ("sampling_rate", source.attribute("sampling_rate"), first.in_sampling_rate),
        ("bandwidth", source.attribute("bandwidth"), first.in_cutoff),
    ]
    found = [("input", *row) for row in wanted]
    for (key, layer), geometry in zip(layers.items(), geometries, strict=True):
        found += [(key, *row) for row in _compared(layer, geometry)]
    for place, what, theirs, ours in found:
        if not _agree(theirs, ours):
            raise CheckpointError(
                f"its {name} has {what} {_told(theirs)} in {place}, where StyleGAN3's rules give "
                f"{_told(ours)}: networks made by other rules are not known"
            )


def _compared(layer: PersistentModule, geometry: LayerGeometry) -> Iterator[tuple[str, Any, Any]]:
    for what in (*_EXACT, *_RATES, *_BANDS, *_FLAGS, "in_size", "out_size"):
        yield what, layer.attribute(what), getattr(geometry, what)
    yield "padding", layer.attribute("padding"), list(geometry.padding)


def _agree(theirs: Any, ours: Any) -> bool:
    if isinstance(theirs, torch.Tensor):  # sizes are numpy arrays of (width, height)
        theirs = theirs.tolist() if theirs.numel() == 2 else None
        ours = [ours, ours]
    if isinstance(ours, (bool, list)):
        return type(theirs) is type(ours) and theirs == ours
    if type(theirs) not in (int, float):
        return False
    return math.isclose(theirs, ours, rel_tol=1e-9)


def _one(what: str, layers: list[PersistentModule]) -> Any:
    """The attribute that all layers have alike."""
    values = [layer.attribute(what) for layer in layers]
    if any(type(value) is not type(values[0]) or value != values[0] for value in values):
        raise CheckpointError(f"its layers have different values of {what}")
    return values[0]


def _whole(module: PersistentModule, what: str) -> int:
    value = module.attribute(what)
    if type(value) is not int or not 0 <= value < 1 << 31:
        raise CheckpointError(f"its {what} is {_told(value)!r}, not a whole number")
    return value


def _told(value: Any) -> str:
    if isinstance(value, torch.Tensor) and value.numel() < 8:
        value = value.tolist()
    return str(value)[:40]
