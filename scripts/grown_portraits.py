"""Networks of train_portraits.py: how they take over smaller ones, go on at twice their side and are kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from ganinv.backbones.discriminator import Discriminator
from ganinv.backbones.stylegan2 import StyleGAN2Generator
from ganinv.checkpoints import write_checkpoint


def take_over(new: torch.nn.Module, old: torch.nn.Module) -> None:
    """Give `new` the tensors of `old` that fit it by name and shape; the others stay as they are."""
    mine = new.state_dict()
    new.load_state_dict(
        {k: v for k, v in old.state_dict().items() if k in mine and mine[k].shape == v.shape}, strict=False
    )


def widen(new: torch.nn.Module, old: torch.nn.Module) -> None:
    """As `take_over`, where `new` may have more channels: those begin at random, and nothing listens to them
    yet, so that it draws what `old` does.
    """
    mine = new.state_dict()
    for name, value in old.state_dict().items():
        if name not in mine or mine[name].ndim != value.ndim:
            continue
        given = mine[name]
        if value.ndim == 4:  # a convolution's weight, whose gain is by the channels that it reads
            outputs, inputs = value.shape[:2]
            given[:outputs] = 0
            value = value * (given.shape[1] / inputs) ** 0.5
        given[tuple(map(slice, value.shape))] = value


def grow(new: StyleGAN2Generator, old: StyleGAN2Generator) -> None:
    """Take over `old`; the new blocks' RGB outputs start near 0, so that the picture is at first about the
    old one enlarged.
    """
    widen(new, old)
    for side in set(new.config.sides) - set(old.config.sides):
        new.synthesis.block(side).torgb.weight.data *= 0.05


def freeze_below(g: StyleGAN2Generator, side: int) -> None:
    """Let blocks smaller than `side` pixels stand still, and the mapping, whose codes they answer to; 0: all
    learn.
    """
    g.requires_grad_(True)
    if not side:
        return
    g.mapping.requires_grad_(False)
    for smaller in g.config.sides:
        if smaller < side:
            g.synthesis.block(smaller).requires_grad_(False)


@torch.no_grad()
def write_networks(to: Path, g: StyleGAN2Generator, d: Discriminator, provenance: dict[str, Any]) -> None:
    """Write the generator, whose mean of w is measured here, and the discriminator as float16 checkpoints."""
    z = torch.randn(20_000, g.z_dim, generator=torch.Generator().manual_seed(1))
    g.mapping.w_avg.copy_(g.mapping(z).mean(0))
    to.mkdir(parents=True, exist_ok=True)
    for kind, network, suffix in (("generator", g, ""), ("discriminator", d, "-discriminator")):
        write_checkpoint(
            to / f"portraits-{g.resolution}{suffix}.safetensors",
            dict(network.state_dict()),
            kind=kind,
            family="stylegan2",
            config=network.config.to_json(),
            provenance=provenance,
            dtype=torch.float16,
        )
