"""Bias, activation, gain and clamp in one pass over the tensor.

``y = clamp(gain * act(x + b))``. The reference below is the specification.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

Impl = Literal["auto", "native", "ref"]


@dataclass(frozen=True)
class Activation:
    """One row of `ACTIVATIONS`."""

    forward: Callable[[Tensor, float], Tensor]
    """The function itself; the second argument is alpha."""
    default_alpha: float
    """Slope of the negative side for lrelu; the others ignore alpha."""
    default_gain: float
    """Keeps the variance of a standard normal input roughly at one."""


ACTIVATIONS: dict[str, Activation] = {
    "linear": Activation(lambda x, _: x, 0.0, 1.0),
    "relu": Activation(lambda x, _: F.relu(x), 0.0, math.sqrt(2)),
    "lrelu": Activation(lambda x, alpha: F.leaky_relu(x, alpha), 0.2, math.sqrt(2)),
    "tanh": Activation(lambda x, _: torch.tanh(x), 0.0, 1.0),
    "sigmoid": Activation(lambda x, _: torch.sigmoid(x), 0.0, 1.0),
    "elu": Activation(lambda x, _: F.elu(x), 0.0, 1.0),
    "selu": Activation(lambda x, _: F.selu(x), 0.0, 1.0),
    "softplus": Activation(lambda x, _: F.softplus(x), 0.0, 1.0),
    "swish": Activation(lambda x, _: torch.sigmoid(x) * x, 0.0, math.sqrt(2)),
}


def bias_act(
    x: Tensor,
    b: Tensor | None = None,
    *,
    dim: int = 1,
    act: str = "linear",
    alpha: float | None = None,
    gain: float | None = None,
    clamp: float | None = None,
    impl: Impl = "auto",
) -> Tensor:
    """Add a bias, apply an activation, scale and clamp.

    Args:
        x: any shape, floating point.
        b: [x.shape[dim]], or None for no bias. Cast to the type of x.
        dim: the dimension of x that b belongs to.
        act: a key of `ACTIVATIONS`.
        alpha: negative slope of lrelu; None is 0.2. The other activations ignore it.
        gain: factor after the activation; None is sqrt(2) for relu, lrelu and swish, else 1.
        clamp: values are limited to [-clamp, clamp] after the gain; None is no limit.
        impl: "auto" runs the native kernel where there is one, "native" insists on it, "ref" never uses it.

    Returns:
        Same shape, type and memory layout as x.

    Raises:
        ValueError: unknown activation, a bias that does not fit, a negative clamp.
    """
    spec = ACTIVATIONS.get(act)
    if spec is None:
        raise ValueError(f"unknown activation {act!r}; known: {', '.join(ACTIVATIONS)}")
    if clamp is not None and not clamp >= 0:
        raise ValueError(f"clamp is {clamp}; give a number of at least 0, or None for no limit")
    if b is not None:
        if not -x.ndim <= dim < x.ndim:
            raise ValueError(f"dim is {dim}, but x has {x.ndim} dimensions")
        if b.ndim != 1 or b.shape[0] != x.shape[dim]:
            raise ValueError(
                f"bias has shape {list(b.shape)}; x has {x.shape[dim]} entries in dimension {dim}, give [{x.shape[dim]}]"
            )
        b = b.to(x.dtype)
    slope = spec.default_alpha if alpha is None else float(alpha)
    scale = spec.default_gain if gain is None else float(gain)
    return _reference(x, b, dim, act, slope, scale, clamp)


def _reference(
    x: Tensor, b: Tensor | None, dim: int, act: str, alpha: float, gain: float, clamp: float | None
) -> Tensor:
    if b is not None:
        dim = dim % x.ndim
        x = x + b.reshape([-1 if i == dim else 1 for i in range(x.ndim)])
    x = ACTIVATIONS[act].forward(x, alpha)
    if gain != 1:
        x = x * gain
    if clamp is not None:
        x = x.clamp(-clamp, clamp)
    return x
