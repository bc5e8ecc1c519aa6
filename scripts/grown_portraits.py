"""Networks of train_portraits.py that take over smaller ones and go on at twice their side."""

from __future__ import annotations

import torch

from ganinv.backbones.stylegan2 import StyleGAN2Generator


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
