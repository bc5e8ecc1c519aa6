"""Seeds of single samples: the same whatever the number of samples, the order of files or the device."""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor

from ganinv.errors import UsageError


def sample_seed(seed: int, index: int) -> int:
    """The seed, 0 .. 2^63 - 1, of sample `index` of a run: the first 63 bits of SHA-256("seed:index")."""
    digest = hashlib.sha256(f"{int(seed)}:{int(index)}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def sample_seeds(seed: int, count: int) -> tuple[int, ...]:
    """The seeds of the first `count` samples of a run. Raises UsageError for fewer than one sample."""
    if count < 1:
        raise UsageError(f"{count} samples were asked for; ask for at least 1: --samples 1")
    return tuple(sample_seed(seed, index) for index in range(count))


def normal(seed: int, *shape: int) -> Tensor:
    """Standard normal values, float32, on the CPU, of a generator of their own with that seed."""
    return torch.randn(*shape, generator=torch.Generator("cpu").manual_seed(seed))


def sample_z(seed: int, count: int, z_dim: int) -> Tensor:
    """Latents of `count` samples: float32 (count, z_dim) on the CPU; row i depends on (seed, i) only."""
    return torch.stack([normal(s, z_dim) for s in sample_seeds(seed, count)])
