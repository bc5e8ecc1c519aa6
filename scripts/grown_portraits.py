"""Networks of train_portraits.py that take over smaller ones and go on at twice their side."""

from __future__ import annotations

import torch
from torch import Tensor

from ganinv.backbones.discriminator import Discriminator
from ganinv.backbones.stylegan2 import StyleGAN2Generator


def shared(new: torch.nn.Module, old: torch.nn.Module) -> dict[str, Tensor]:
    """Tensors of `old` that fit `new` by name and shape."""
    mine = new.state_dict()
    return {k: v for k, v in old.state_dict().items() if k in mine and mine[k].shape == v.shape}


def grow(new: StyleGAN2Generator, old: StyleGAN2Generator) -> None:
    """Take over `old`; the new blocks' RGB outputs start at 0, so that the picture is at first the old
    one enlarged.
    """
    new.load_state_dict({**new.state_dict(), **shared(new, old)})
    for side in set(new.config.sides) - set(old.config.sides):
        new.synthesis.block(side).torgb.weight.data *= 0.05


def grow_discriminator(new: Discriminator, old: Discriminator) -> None:
    """Take over what fits; the new blocks start at random."""
    new.load_state_dict({**new.state_dict(), **shared(new, old)})


def freeze_below(g: StyleGAN2Generator, side: int) -> None:
    """Let blocks smaller than `side` pixels stand still, and the mapping, whose codes they answer to."""
    if not side:
        return
    g.mapping.requires_grad_(False)
    for smaller in g.config.sides:
        if smaller < side:
            g.synthesis.block(smaller).requires_grad_(False)
