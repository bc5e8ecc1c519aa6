"""Fitting edit directions in W from codes whose attributes are known.

Two fits, after which every row has norm 1:

- `fit_boundary`: normal of the linear boundary between the codes with the lowest and highest values, by an
  SVM (InterFaceGAN, Shen et al. 2020) or logistic regression; `project_out` takes other attributes out of it;
- `response`: the regression the other way round, of the codes on all attributes at once. Its row is how w
  moves when one attribute moves and the others stay. The bundled directions are of this kind;
  docs/history.md compares them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from ganinv.backbones.base import Backbone
from ganinv.editing.attributes import LabelledCodes
from ganinv.editing.edits import Direction
from ganinv.errors import InputError, UnknownNameError, UsageError

Model = Literal["svm", "logistic"]
SHARE = 0.2
_STRENGTH = {"svm": 0.001, "logistic": 0.1}
"""Inverse of the regularisation. With these and a share of 0.2, 200 to 500 codes gave the best directions of
portraits-64; docs/directions.md has the figures."""
_TRAINED = 0.7  # the rest is held out, as in InterFaceGAN
_LEAST = 4  # codes of a class, so that both parts have some


class Boundary(NamedTuple):
    """A fitted boundary in W.

    normal: [w_dim], norm 1, pointing to larger values; fitted on all codes used. accuracy: share of held-out
    codes on the right side when fitted on the others, mean of both classes. used, held_out: numbers of codes.
    """

    normal: Tensor
    accuracy: float
    used: int
    held_out: int


def fit_directions(
    labelled: LabelledCodes,
    backbone: Backbone,
    names: Sequence[str] = (),
    *,
    model: Model = "svm",
    share: float = SHARE,
    orthogonal: bool = False,
    seed: int = 0,
) -> list[tuple[Direction, Boundary]]:
    """A direction in W for each attribute, with the boundary it is the normal of.

    The unit is the standard deviation of the codes along it, and 3 of these either way are called safe.

    Args:
        names: attributes to fit; none = all.
        orthogonal: project the normals of all other attributes out.

    Raises:
        UnknownNameError, InputError: no such attribute, or no column of numbers.
        UsageError: what `fit_boundary` says, and of which attribute; nothing to be orthogonal to.
    """
    for name in names:
        if name in labelled.left_out:
            raise InputError(labelled.left_out[name])
        if name not in labelled.attributes:
            raise UnknownNameError("attribute", name, labelled.attributes)
    if orthogonal and len(labelled.attributes) < 2:
        raise UsageError("one attribute has no others to be orthogonal to; add columns or drop --orthogonal")
    found: dict[str, Boundary] = {}
    for name in labelled.attributes if orthogonal else names or labelled.attributes:
        known = labelled.attributes[name].isfinite()
        try:
            found[name] = fit_boundary(
                labelled.codes[known], labelled.attributes[name][known], model=model, share=share, seed=seed
            )
        except UsageError as cause:
            raise UsageError(f"attribute {name!r}: {cause.message}") from cause
    results = []
    for name in names or labelled.attributes:
        normal = found[name].normal
        if orthogonal:
            normal = project_out(
                normal, torch.stack([b.normal for other, b in found.items() if other != name])
            )
        direction = Direction(
            name,
            normal[None],
            unit=(labelled.codes @ normal).std().item(),
            backbone_sha256=backbone.sha256 or None,
            safe_range=(-3.0, 3.0),
            about=f"more {name}",
        )
        results.append((direction, found[name]))
    return results


def fit_boundary(
    codes: Tensor, labels: Tensor, *, model: Model = "svm", share: float = SHARE, seed: int = 0
) -> Boundary:
    """The linear boundary between codes of low and high value of an attribute.

    Args:
        codes: `[N, w_dim]`.
        labels: `[N]`. Where they have two values only, these are the classes and all codes are used.
        share: else, the part of the codes taken from each end.
        seed: of the choice of the 30 % that are held out.

    Raises:
        UsageError: scikit-learn is not installed, all labels are equal, or too few codes would be used.
    """
    low, high = _ends(labels, share)
    generator = torch.Generator().manual_seed(seed)
    parts = [end[torch.randperm(len(end), generator=generator)] for end in (low, high)]
    cuts = [max(1, int(len(part) * _TRAINED)) for part in parts]
    trained = torch.cat([part[:cut] for part, cut in zip(parts, cuts, strict=True)])
    target = torch.zeros(len(labels))
    target[high] = 1
    standard = (codes - codes.mean(0)) / codes.std()

    first = _classifier(model).fit(standard[trained].numpy(), target[trained].numpy())
    held = [part[cut:] for part, cut in zip(parts, cuts, strict=True)]
    right = [(first.predict(standard[part].numpy()) == target[part].numpy()).mean() for part in held]
    used = torch.cat(parts)
    final = _classifier(model).fit(standard[used].numpy(), target[used].numpy())
    normal = torch.from_numpy(final.coef_[0]).float()
    return Boundary(normal / normal.norm(), sum(right) / 2, len(used), len(held[0]) + len(held[1]))


def _ends(labels: Tensor, share: float) -> tuple[Tensor, Tensor]:
    """Indices of the codes of low and of high value. Raises UsageError."""
    values = labels.unique()
    if len(values) < 2:
        raise UsageError(f"all {len(labels)} codes have one value; a direction needs at least two")
    if len(values) == 2:
        ends = (labels == values[0]).nonzero()[:, 0], (labels == values[1]).nonzero()[:, 0]
        fewest = min(map(len, ends))
        if fewest < _LEAST:
            raise UsageError(f"{fewest} codes of one of two values are too few to fit a direction")
        return ends
    count = int(len(labels) * share)
    if count < _LEAST:
        raise UsageError(f"{len(labels)} codes are too few to fit a direction from {share:.0%} at each end")
    order = labels.argsort(stable=True)
    low, high = order[:count], order[-count:]
    if labels[low[-1]] >= labels[high[0]]:
        raise UsageError(
            f"{labels[low[-1]].item():g} is the value at both ends, {share:.0%} of the codes each: "
            "take a smaller share, or make it an attribute of two values"
        )
    return low, high


def _classifier(model: Model) -> Any:
    try:
        from sklearn.linear_model import LogisticRegression
        from sklearn.svm import LinearSVC
    except ImportError as cause:
        raise UsageError("fitting a direction needs scikit-learn: pip install 'ganinv[train]'") from cause
    if model == "svm":
        return LinearSVC(dual=False, C=_STRENGTH[model], max_iter=2000, class_weight="balanced")
    return LogisticRegression(C=_STRENGTH[model], max_iter=2000, class_weight="balanced")


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
        UsageError: no move of up to 30 in a layer moves the mean that far.
    """

    def mean_and_deviation(length: float) -> tuple[float, float]:
        moved = ws.clone()
        first, last = layers or (0, ws.shape[1])
        step = vector.expand(ws.shape[1], -1)[first:last]
        moved[:, first:last] += length * step
        readings = torch.cat([read(backbone.synthesize(part).images) for part in moved.split(chunk)])
        return readings.mean().item(), readings.std().item()

    start, deviation = mean_and_deviation(0.0)
    low, high, at_low, furthest_row = 0.0, 0.5, 0.0, float(vector.norm(dim=1).max())
    while (at_high := mean_and_deviation(high)[0] - start) < deviation:
        low, high, at_low = high, high * 2, at_high
        if high * furthest_row > 30:
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
