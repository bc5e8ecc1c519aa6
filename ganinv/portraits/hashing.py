"""Counter-based random numbers: a hash of integers instead of a generator with a state.

The number for (seed, image, purpose, position) depends on these four only, so that any picture can be made
alone, in any batch and on any device.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

_GOLDEN = -7046029254386353131  # 0x9E3779B97F4A7C15 as a signed 64-bit number
_FIRST = -4658895280553007687  # 0xBF58476D1CE4E5B9
_SECOND = -7723592293110705685  # 0x94D049BB133111EB
_LOW_32 = 0xFFFFFFFF


def _shift_right(bits: Tensor, places: int) -> Tensor:
    """Logical shift of int64, which torch does not offer (its `>>` copies the sign)."""
    return (bits >> places) & ((1 << (64 - places)) - 1)


def scramble(bits: Tensor) -> Tensor:
    """The splitmix64 finaliser on int64 of any shape: each input bit flips about half of the output."""
    bits = (bits ^ _shift_right(bits, 30)) * _FIRST
    bits = (bits ^ _shift_right(bits, 27)) * _SECOND
    return bits ^ _shift_right(bits, 31)


def combine(left: Tensor, right: Tensor) -> Tensor:
    """Hash of two int64 tensors that broadcast; not symmetric."""
    return scramble(scramble(left + _GOLDEN) + right * _GOLDEN)


def uniforms(bits: Tensor) -> Tensor:
    """int64 hash values -> float64 strictly inside (0, 1), from the upper 32 bits."""
    return (_shift_right(bits, 32).double() + 0.5) / (_LOW_32 + 1.0)


def normals(bits: Tensor) -> Tensor:
    """int64 hash values -> float64 standard normals, by the inverse error function."""
    return torch.erfinv(2.0 * uniforms(bits) - 1.0) * math.sqrt(2.0)


def image_seeds(seed: int, count: int, start: int = 0) -> Tensor:
    """int64 [count]: the own seed, 0..2^30-1, of the pictures start .. start+count-1 of the series `seed`."""
    numbers = torch.arange(start, start + count, dtype=torch.int64)
    return _shift_right(combine(torch.full_like(numbers, seed), numbers), 34)


def grid_uniforms(seeds: Tensor, purpose: int, shape: tuple[int, ...]) -> Tensor:
    """float32 [N, *shape] in (0, 1) from int64 seeds [N]; `purpose` keeps different uses apart."""
    positions = torch.arange(math.prod(shape), dtype=torch.int64, device=seeds.device)
    streams = combine(seeds, torch.full_like(seeds, purpose))
    return uniforms(combine(streams[:, None], positions)).float().view(-1, *shape)
