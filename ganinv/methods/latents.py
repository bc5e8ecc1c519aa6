"""The distribution of a generator's codes: starts for optimisation, and units in which to move from them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ganinv.backbones.base import Backbone
from ganinv.sampling import normal

_COUNT = 4096
_CHUNK = 256
_SEED = 1  # one for all runs: the figures describe the generator, not a sample
_FLOOR = 1e-3  # of the mean variance: directions with almost none stay reachable


@dataclass(frozen=True, eq=False)
class LatentStatistics:
    """Mean and spread of a generator's codes w.

    mean: [w_dim]. basis: [w_dim, w_dim]; w = mean + u @ basis has the codes' covariance for u ~ N(0, I).
    radius: root mean square distance of a code from the mean.
    """

    mean: Tensor
    basis: Tensor
    radius: float


@torch.no_grad()
def latent_statistics(backbone: Backbone) -> LatentStatistics:
    """Statistics over 4096 random codes, the same at every call."""
    z = normal(_SEED, _COUNT, backbone.z_dim)
    w = torch.cat([random_codes(backbone, part) for part in z.split(_CHUNK)])[:, 0]  # [4096, w_dim]
    mean = w.mean(0)
    # float64 on the CPU: the decomposition then hardly depends on the machine
    values, vectors = torch.linalg.eigh(torch.cov((w - mean).double().cpu().T))
    spread = values.clamp(min=_FLOOR * values.mean().item()).sqrt()
    basis = (vectors * spread).T.float().to(w.device)
    return LatentStatistics(mean, basis, values.sum().clamp(min=1e-12).sqrt().item())


def random_codes(backbone: Backbone, z: Tensor, truncation: float = 1.0, label: int | None = None) -> Tensor:
    """W+ codes [M, num_ws, w_dim] of latents [M, z_dim] from the CPU, on the backbone's device: of the class
    `label`, or of each class in turn, where the generator has classes.
    """
    return backbone.map(z.to(backbone.w_avg.device), backbone.classes(len(z), label), truncation).float()
