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


def grow(new: StyleGAN2Generator, old: StyleGAN2Generator) -> None:
    """Take over `old`; the new blocks' RGB outputs start near 0, so that the picture is at first about the
    old one enlarged.
    """
    take_over(new, old)
    for side in set(new.config.sides) - set(old.config.sides):
        new.synthesis.block(side).torgb.weight.data *= 0.05


def freeze_below(g: StyleGAN2Generator, side: int) -> None:
    """Let blocks smaller than `side` pixels stand still, and the mapping, whose codes they answer to."""
    if not side:
        return
    g.mapping.requires_grad_(False)
    for smaller in g.config.sides:
        if smaller < side:
            g.synthesis.block(smaller).requires_grad_(False)
