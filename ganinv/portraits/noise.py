"""Each picture's own noise, from its integer `seed`: small random grids, looked up bilinearly, and phases."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ganinv.portraits import hashing
from ganinv.portraits.chart import look_up


@dataclass(frozen=True)
class Noise:
    """Grids are uniform in (0, 1), [B, channels, height, width]; phases are [B, 1, 1]."""

    skin: Tensor
    """2 channels 64 x 64: mottling, curls, cloth"""
    strands: Tensor
    """2 channels, 10 along x 192 across: single hairs"""
    clumps: Tensor
    """1 channel, 24 along x 48 across: locks"""
    backdrop: Tensor
    """3 channels 7 x 7: clouds of the background"""
    discs: Tensor
    """[B, 4, 6]: x, y, radius and strength of six blurred discs in the background"""
    wave: Tensor
    """0..2 pi: waves of long hair"""
    lock: Tensor
    """0..5: the inner edge of long hair"""
    drape: Tensor
    """-1..1: how far long hair frames the face"""
    glare: Tensor
    """0..2 pi: reflection on glasses"""


def noise_from_seeds(seeds: Tensor) -> Noise:
    """int64 [B] -> the noise of B pictures; each depends on its own seed only."""
    skin, strands, clumps, backdrop = (
        hashing.grid_uniforms(seeds, purpose, shape)
        for purpose, shape in enumerate(((2, 64, 64), (2, 10, 192), (1, 24, 48), (3, 7, 7)))
    )
    phases = hashing.grid_uniforms(seeds, 5, (4, 1, 1))
    return Noise(
        skin=skin,
        strands=strands,
        clumps=clumps,
        backdrop=backdrop,
        discs=hashing.grid_uniforms(seeds, 4, (4, 6)),
        wave=phases[:, 0] * (2.0 * math.pi),
        lock=phases[:, 1] * 5.0,
        drape=(phases[:, 2] * (2.0 * math.pi)).sin(),
        glare=phases[:, 3] * (2.0 * math.pi),
    )


def skin_noise(noise: Noise, channel: int, a: Tensor, b: Tensor) -> Tensor:
    """Smooth noise in -0.5..0.5 at [B, 1, M] coordinates; one cell is 1/32 wide. Mirrored outside +-1."""
    return look_up(noise.skin[:, channel : channel + 1], torch.cat((a, b), 1), mirrored=True).sub_(0.5)


def strand_noise(noise: Noise, across: Tensor, along: Tensor, density: float) -> tuple[Tensor, Tensor]:
    """(single hairs, locks), each about -0.5..0.5, at `across` (-1..1 once around) and `along` the hair."""
    at = across * density
    fine = look_up(noise.strands[:, :1], torch.cat((at, along * 0.25), 1), mirrored=True)
    finer = look_up(noise.strands[:, 1:], torch.cat((at * 3.1, along * 0.5), 1), mirrored=True)
    locks = look_up(noise.clumps[:, :1], torch.cat((at, along * 0.35), 1), mirrored=True)
    return fine.add_(finer).mul_(0.5).sub_(0.5), locks.sub_(0.5)


def iris_noise(noise: Noise, angle: Tensor, radius: Tensor) -> Tensor:
    """Fibres of the iris, -0.5..0.5; `angle` in -1..1."""
    return look_up(noise.strands[:, :1], torch.cat((angle, radius), 1), mirrored=True).sub_(0.5)
