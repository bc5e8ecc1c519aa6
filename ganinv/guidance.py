"""Filling that listens to another picture, and steps between two completions."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

import torch
from torch import Tensor

from ganinv.encoders.pyramid import style_groups
from ganinv.errors import UnknownNameError, UsageError
from ganinv.inversion import Inversion
from ganinv.method import GuidedMethod

LAYER_GROUPS = ("coarse", "middle", "fine")
K = TypeVar("K")
_RANGE = re.compile(r"(\d{1,6})-(\d{1,6})")


def layer_rows(layers: Sequence[str], num_ws: int) -> list[int]:
    """Rows of a code that layers stand for: "coarse" (pose, shape), "middle" (features, expression), "fine"
    (colours), as encoders group them; or "FIRST-LAST", counted from 0, both included.

    Raises:
        UnknownNameError, UsageError: another name, or rows that a code of `num_ws` does not have.
    """
    groups = dict(zip(LAYER_GROUPS, style_groups(num_ws), strict=True))
    rows: set[int] = set()
    for name in layers:
        span = _RANGE.fullmatch(name)
        if span is None and name not in groups:
            raise UnknownNameError("layer group", name, LAYER_GROUPS, hint="Or give rows, like 0-3.")
        chosen = groups[name] if span is None else range(int(span[1]), int(span[2]) + 1)
        if not len(chosen) or chosen.stop > num_ws:
            raise UsageError(f"layers {name} are not there: a code of this backbone has rows 0-{num_ws - 1}")
        rows |= set(chosen)
    return sorted(rows)


def reference_codes(
    method: GuidedMethod,
    image: Tensor,
    *,
    layers: Sequence[str] = (),
    samples: int = 1,
    seed: int = 0,
    truncation: float = 1.0,
) -> Tensor:
    """Codes to hand to `method.invert(..., w_rand=...)`, so that a hole is filled after another picture.

    Args:
        image: that picture, float32 (1, 3, R, R) in [-1, 1].
        layers: where its code speaks, see `layer_rows`; the other rows are those of the random codes of
            (samples, seed, truncation). Nothing: everywhere, so that all samples are the same.

    Returns:
        (samples, num_ws, w_dim), on the backbone's device.

    Raises:
        UsageError: not one picture of that size, or layers that are not there.
    """
    if len(image) != 1:
        raise UsageError(f"{len(image)} pictures were given as reference; give one")
    rows = layer_rows(layers, method.backbone.num_ws) if layers else slice(None)
    own = method.invert(image, None, samples=1, seed=seed).ws[0, 0]  # (num_ws, w_dim)
    codes = method.random_codes(samples, seed, truncation).clone()
    codes[:, rows] = own[rows].to(codes)
    return codes


def morph(first: Inversion, second: Inversion, steps: int) -> Inversion:
    """Steps in equal parts from one completion to another: codes, features and tuned weights go straight.

    Args:
        first, second: of one picture and one sample each (`Inversion.sample`), of one backbone.
        steps: 2 or more, both ends included.

    Returns:
        An inversion whose samples are the steps, with the picture and the hole of the two. Completions of
        different pictures, or holes, have no known pixels in common: the result is `first`'s picture with no
        hole.

    Raises:
        UsageError: two that cannot be joined.
    """
    if steps < 2:
        raise UsageError(f"{steps} steps are no morph; give 2 or more: --steps 7")
    for one in (first, second):
        if tuple(one.ws.shape[:2]) != (1, 1):
            raise UsageError(
                f"an inversion of {one.ws.shape[0]} pictures with {one.ws.shape[1]} samples was given; "
                "a morph is between one sample of one picture and another"
            )
    if first.backbone.get("sha256") != second.backbone.get("sha256") or first.ws.shape != second.ws.shape:
        names = (one.backbone.get("name", "unnamed") for one in (first, second))
        raise UsageError(f"the two were made with different backbones, {' and '.join(map(str, names))}")
    if first.noise != second.noise:
        raise UsageError(f"the two are drawn with different noise, {first.noise} and {second.noise}")
    hole = first.hole if same_picture(first, second) else torch.zeros_like(first.hole)
    options = {"morph": [dict(one.options) for one in (first, second)], "steps": steps}
    part = torch.linspace(0, 1, steps)
    between = _steps(replace(first, hole=hole, options=options), second, part)
    if first.unedited is None and second.unedited is None:
        return between
    before = _steps(first.unedited or first, second.unedited or second, part)
    return replace(between, unedited=before)


def _steps(first: Inversion, second: Inversion, part: Tensor) -> Inversion:
    """The samples of a morph, at parts of the way."""
    return replace(
        first,
        ws=_between(first.ws, second.ws, part),
        seeds=first.seeds * len(part),
        features=_all_between(first.features, second.features, part),
        tuned=_all_between(first.tuned, second.tuned, part),
    )


def same_picture(first: Inversion, second: Inversion) -> bool:
    """Whether the two are completions of one picture with one hole."""
    pairs = ((first.working, second.working), (first.hole, second.hole))
    return all(a.shape == b.shape and torch.equal(a, b) for a, b in pairs)


def _all_between(first: Mapping[K, Tensor], second: Mapping[K, Tensor], part: Tensor) -> dict[K, Tensor]:
    """Of tensors by name; one that a side lacks is 0 there, as all of them are added to something."""
    named = {**second, **first}
    zeros = {name: torch.zeros_like(tensor) for name, tensor in named.items()}
    pairs = {name: (first.get(name, zero), second.get(name, zero)) for name, zero in zeros.items()}
    return {name: _between(*pair, part) for name, pair in pairs.items()}


def _between(a: Tensor, b: Tensor, part: Tensor) -> Tensor:
    """(1, 1, ...) twice -> (1, steps, ...); the ends are exact."""
    share = part.reshape(1, -1, *[1] * (a.ndim - 2))
    return (a.float() * (1 - share) + b.float() * share).to(a.dtype)
