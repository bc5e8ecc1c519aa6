"""Fitting edit directions in W from codes whose attributes are known.

Two fits, after which every row has norm 1:

- `svm_normal`: normal of the linear SVM between the codes with the lowest and highest values (InterFaceGAN,
  Shen et al. 2020), optionally with other attributes' normals projected out;
- `response`: the regression the other way round, of the codes on all attributes at once. Its row is how w
  moves when one attribute moves and the others stay. The bundled directions are of this kind;
  docs/results.md compares them.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ganinv.backbones.base import Backbone
from ganinv.errors import UsageError


def svm_normal(codes: Tensor, labels: Tensor, *, share: float = 0.1) -> Tensor:
    """Unit normal `[w_dim]`, pointing to larger labels, of a linear SVM between the extremes.

    Args:
        codes: `[N, w_dim]`.
        labels: `[N]`.
        share: part of the codes taken from each end.

    Raises:
        UsageError: scikit-learn is not installed, or fewer than 4 codes would be left.
    """
    try:
        from sklearn.svm import LinearSVC
    except ImportError as cause:
        raise UsageError("fitting an SVM needs scikit-learn: pip install 'ganinv[train]'") from cause
    count = int(len(codes) * share)
    if count < 2:
        raise UsageError(f"{len(codes)} codes are too few to fit a direction from {share:.0%} at each end")
    order = labels.argsort()
    chosen = torch.cat([order[:count], order[-count:]])
    target = torch.cat([torch.zeros(count), torch.ones(count)])
    scale = codes.std().item()
    svm = LinearSVC(dual=False, C=0.1, max_iter=2000).fit((codes[chosen] / scale).numpy(), target.numpy())
    normal = torch.from_numpy(svm.coef_[0]).float()
    return normal / normal.norm()


def project_out(vector: Tensor, others: Tensor) -> Tensor:
    """`vector` `[w_dim]` without its part in the span of the rows of `others` `[M, w_dim]`, of norm 1
    again.
    """
    if len(others):
        basis = torch.linalg.qr(others.T).Q  # [w_dim, M]
        vector = vector - basis @ (basis.T @ vector)
    return vector / vector.norm()


def response(codes: Tensor, attributes: Tensor) -> Tensor:
    """Rows `[A, w_dim]`, unit norm: least-squares change of the code for a change of each attribute, others
    held.

    Args:
        codes: `[N, w_dim]`; attributes: `[N, A]`, standardised, N > A.
    """
    design = torch.cat([attributes, torch.ones(len(attributes), 1)], dim=1).double()
    solution = torch.linalg.lstsq(design, codes.double()).solution[:-1].float()
    return solution / solution.norm(dim=1, keepdim=True)


@torch.no_grad()
def unit_length(
    backbone: Backbone,
    ws: Tensor,
    vector: Tensor,
    read: Callable[[Tensor], Tensor],
    *,
    layers: tuple[int, int] | None = None,
    chunk: int = 100,
) -> float:
    """Length along `vector` that moves the mean reading by one standard deviation of the readings over the
    samples.

    Args:
        ws: `[N, num_ws, w_dim]`, the samples.
        vector: `[rows, w_dim]`, rows 1 or num_ws.
        read: pictures `[N, 3, R, R]` -> readings `[N]` of the attribute.
        layers: first and one past the last layer moved; None = all.

    Raises:
        UsageError: no length up to 30 moves the mean that far.
    """

    def mean_and_deviation(length: float) -> tuple[float, float]:
        moved = ws.clone()
        first, last = layers or (0, ws.shape[1])
        step = vector.expand(ws.shape[1], -1)[first:last]
        moved[:, first:last] += length * step
        readings = torch.cat([read(backbone.synthesize(part).images) for part in moved.split(chunk)])
        return readings.mean().item(), readings.std().item()

    start, deviation = mean_and_deviation(0.0)
    low, high, at_low = 0.0, 0.5, 0.0
    while (at_high := mean_and_deviation(high)[0] - start) < deviation:
        low, high, at_low = high, high * 2, at_high
        if high > 30:
            raise UsageError(
                "this direction never moves the reading by one standard deviation: is its sign right?"
            )
    for _ in range(2):  # false position: readings are nearly linear between the two
        middle = low + (high - low) * (deviation - at_low) / (at_high - at_low)
        if (at_middle := mean_and_deviation(middle)[0] - start) < deviation:
            low, at_low = middle, at_middle
        else:
            high, at_high = middle, at_middle
    return low + (high - low) * (deviation - at_low) / (at_high - at_low)
