"""The random codes of a run, the same for all that is measured side by side."""

from __future__ import annotations

import torch
from torch import Tensor

from ganinv.parts import Backbone, sample_z


@torch.no_grad()
def random_codes(
    backbone: Backbone, seed: int, samples: int, truncation: float = 1.0, label: int | None = None
) -> Tensor:
    """Codes (samples, num_ws, w_dim), on the backbone's device: row i depends on (seed, i) only.

    Args:
        truncation: 0 (the mean code) to 1 (all variety).
        label: class of the codes; None, where the generator has classes: row i is of class i, counted round.
    """
    z = sample_z(seed, samples, backbone.z_dim).to(backbone.w_avg.device)
    c = backbone.classes(samples, label)
    # One row at a time, or the matrix product may round differently for another number of samples.
    rows = [
        backbone.map(z[i : i + 1], None if c is None else c[i : i + 1], truncation) for i in range(samples)
    ]
    return torch.cat(rows).float()
