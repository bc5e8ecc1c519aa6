"""What train_portraits.py trains, and how: its configuration."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import yaml


@dataclass
class Phase:
    """One stretch of training at one picture size."""

    side: int
    kimg: float
    adversarial: float = 0.0
    """Weight of the adversarial loss; 0 = regression on the renders alone, without a discriminator."""
    features: float = 0.0
    """Weight of the distance between D's features of G(z) and of the render of z."""
    attributes: float = 0.0
    """Weight of the distance between what the attribute network sees in G(z) and in the render of z."""
    critic: float = 0.0
    """Weight of the adversarial loss of the plainer discriminator (portraits_critic.py)."""
    critic_features: float = 0.0
    """Weight of the distance between its features of G(z) and of the render of z."""
    coarse: float = 0.0
    """Weight of the L1 distance to the render of z, both pooled to 32 px: what is where, not how sharp. It
    counts more what the two of a pair differ in."""
    halved: float = 0.0
    """The same at half the side: edges and colours to the pixel, but no strands."""
    pixels: float = 1.0
    """Weight of the regression on the render of z, pixel by pixel."""
    sharpen_kimg: float = 0.0
    """Thousands of pictures over which the renders get sharp, from those of half the side: what a new block
    is to draw comes by and by.
    """
    frozen_below: int = 0
    """Blocks smaller than this many pixels stand still, and the mapping with them; 0 = all learn."""
    lr: float = 2e-3
    lr_end: float | None = None
    """Where the learning rate falls to, along half a cosine; None = it stays."""
    batch: int = 32

    def lr_at(self, pictures: int) -> float:
        """Learning rate after so many pictures of the phase."""
        if self.lr_end is None:
            return self.lr
        done = min(1.0, pictures / (self.kimg * 1000))
        return self.lr_end + (self.lr - self.lr_end) * 0.5 * (1 + math.cos(math.pi * done))


@dataclass
class Config:
    """What is trained, and how."""

    z_dim: int = 128
    w_dim: int = 192
    mapping_layers: int = 4
    mapping_lr: float = 10.0
    """The mapping's learning rate over the others'; its layers learn 100 times slower by themselves."""
    start: str | None = None
    """Name or file of a generator, with a discriminator, to begin with or to grow; None = fresh networks."""
    d_lr: float = 1.0
    """The discriminator's learning rate over the generator's."""
    channel_base: int = 2048
    channel_max: int = 256
    d_channel_base: int = 1024
    d_channel_max: int = 256
    critic_lr: float = 1e-3
    critic_r1_gamma: float = 0.02
    critic_head_start: int = 250
    """Steps that the critic learns before the generator listens to it."""
    noise: bool = True
    """Whether the generator has noise, which passes for strands of hair: what is under it stays soft."""
    narrow: bool = False
    """Convolutions in bfloat16, which is quicker where the processor has instructions for it."""
    r1_gamma: float = 0.5
    r1_every: int = 16
    ema_kimg: float = 3.0
    seed: int = 0
    phases: tuple[Phase, ...] = ()


def read_config(path: Path) -> Config:
    data = yaml.safe_load(path.read_text())
    data["phases"] = tuple(Phase(**phase) for phase in data["phases"])
    return Config(**data)
