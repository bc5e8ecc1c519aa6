"""Bias, activation, gain and clamp in one pass over the tensor.

``y = clamp(gain * act(x + b))``. The reference below is the specification.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ganinv_ops.dispatch import CHECKS, Impl, choose, kernel, relative_error


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
_NAMES = tuple(ACTIVATIONS)  # the operator and csrc/bias_act.cpp know activations by number
LRELU = _NAMES.index("lrelu")
_KINKED = ("linear", "relu", "lrelu")  # no second derivative
_SELU_SCALE = 1.0507009873554804934193349852946
_SELU_ALPHA = 1.6732632423543772848170429916717


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
        impl: "auto" runs the native kernel where there is one, "native" insists, "ref" never does.

    Returns:
        Same shape, type and memory layout as x.

    Raises:
        ValueError: unknown activation, a bias that does not fit, a negative clamp.
        NativeOpError: "native" asked for, and impossible.
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
                f"bias has shape {list(b.shape)}; "
                f"x has {x.shape[dim]} entries in dimension {dim}, give [{x.shape[dim]}]"
            )
        b = b.to(x.dtype)
    slope = spec.default_alpha if alpha is None else float(alpha)
    scale = spec.default_gain if gain is None else float(gain)
    if act == "linear" and scale == 1 and clamp is None:
        return _reference(x, b, dim, act, slope, scale, clamp)  # one addition at most: nothing to fuse
    if not choose("bias_act", impl, x):
        return _reference(x, b, dim, act, slope, scale, clamp)
    limit = -1.0 if clamp is None else float(clamp)
    y: Tensor = torch.ops.ganinv_ops.bias_act(
        x, b, dim % max(x.ndim, 1), _NAMES.index(act), slope, scale, limit
    )
    return y


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


# ---- the operator: clamp < 0 is none, dim >= 0 -----------------------------------------------------------

_LIBRARY = torch.library.Library("ganinv_ops", "FRAGMENT")
_LIBRARY.define(
    "bias_act(Tensor x, Tensor? b, int dim, int act, float alpha, float gain, float clamp) -> Tensor"
)
_LIBRARY.define(
    "bias_act_grad(Tensor dy, Tensor x, Tensor? b, int dim, int act, float alpha, float gain, float clamp) "
    "-> Tensor"
)


def _forward_kernel(
    x: Tensor, b: Tensor | None, dim: int, act: int, alpha: float, gain: float, clamp: float
) -> Tensor:
    """Runs where no native kernel is registered (yet): loads it and calls again, or falls back."""
    native = kernel("bias_act", x)
    if native is not None:
        y: Tensor = native(x, b, dim, act, alpha, gain, clamp)
        return y
    return _reference(x, b, dim, _NAMES[act], alpha, gain, None if clamp < 0 else clamp)


def _grad_kernel(
    dy: Tensor, x: Tensor, b: Tensor | None, dim: int, act: int, alpha: float, gain: float, clamp: float
) -> Tensor:
    native = kernel("bias_act", x, "bias_act_grad")
    if native is not None:
        dx: Tensor = native(dy, x, b, dim, act, alpha, gain, clamp)
        return dx
    return dy * _derivative(1, x, b, dim, act, alpha, gain, clamp)


def _forward_fake(
    x: Tensor, b: Tensor | None, dim: int, act: int, alpha: float, gain: float, clamp: float
) -> Tensor:
    return torch.empty_like(x)


def _grad_fake(
    dy: Tensor, x: Tensor, b: Tensor | None, dim: int, act: int, alpha: float, gain: float, clamp: float
) -> Tensor:
    return torch.empty_like(x)


def _forward_setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, b, *ctx.settings = inputs
    ctx.save_for_backward(x, b)


def _forward_backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
    x, b = ctx.saved_tensors
    dx = torch.ops.ganinv_ops.bias_act_grad(dy, x, b, *ctx.settings)
    db = _sum_to_bias(dx, b, ctx.settings[0]) if ctx.needs_input_grad[1] else None
    return dx, db, None, None, None, None, None


def _grad_setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    dy, x, b, *ctx.settings = inputs
    ctx.save_for_backward(dy, x, b)


def _grad_backward(ctx: Any, v: Tensor) -> tuple[Tensor | None, ...]:
    dy, x, b = ctx.saved_tensors
    d_dy = torch.ops.ganinv_ops.bias_act_grad(v, x, b, *ctx.settings)
    if _NAMES[ctx.settings[1]] in _KINKED:
        return d_dy, None, None, None, None, None, None, None
    d_x = v * dy * _derivative(2, x, b, *ctx.settings)
    return d_dy, d_x, _sum_to_bias(d_x, b, ctx.settings[0]), None, None, None, None, None


def _sum_to_bias(dx: Tensor, b: Tensor | None, dim: int) -> Tensor | None:
    if b is None:
        return None
    others = [i for i in range(dx.ndim) if i != dim]
    return dx.sum(others) if others else dx.clone()  # a sum over no dimensions is one over all


def _derivative(
    order: int, x: Tensor, b: Tensor | None, dim: int, act: int, alpha: float, gain: float, clamp: float
) -> Tensor:
    """gain * act' or act'' of x + b, zero where clamped; plain PyTorch, so that higher orders follow."""
    name = _NAMES[act]
    z = _reference(x, b, dim, "linear", alpha, 1.0, None)
    result = (_slope if order == 1 else _curvature)(name, z, alpha)
    if clamp >= 0:
        inside = (ACTIVATIONS[name].forward(z, alpha) * gain).abs() <= clamp
        result = torch.where(inside, result, 0.0)
    return result * gain


def _slope(name: str, z: Tensor, alpha: float) -> Tensor:
    if name in ("linear", "relu", "lrelu"):
        return torch.where(z > 0, 1.0, {"linear": 1.0, "relu": 0.0, "lrelu": alpha}[name]).to(z.dtype)
    if name == "tanh":
        return 1 - torch.tanh(z).square()
    s = torch.sigmoid(z)
    if name == "sigmoid":
        return s * (1 - s)
    if name == "softplus":
        return s
    if name == "swish":
        return s * (1 + z * (1 - s))
    return torch.where(z > 0, _SELU_SCALE if name == "selu" else 1.0, _exponential_side(name, z))


def _curvature(name: str, z: Tensor, alpha: float) -> Tensor:
    if name == "tanh":
        y = torch.tanh(z)
        return -2 * y * (1 - y * y)
    s = torch.sigmoid(z)
    if name == "sigmoid":
        return s * (1 - s) * (1 - 2 * s)
    if name == "softplus":
        return s * (1 - s)
    if name == "swish":
        return s * (1 - s) * (2 + z * (1 - 2 * s))
    return torch.where(z > 0, 0.0, _exponential_side(name, z))


def _exponential_side(name: str, z: Tensor) -> Tensor:
    """Derivative, of any order, of elu and selu below zero; cut off above, where exp could overflow."""
    return (_SELU_SCALE * _SELU_ALPHA if name == "selu" else 1.0) * torch.exp(z.clamp(max=0))


def _cuda_error(device: str = "cuda", suffix: str = "_cuda") -> float:
    """See `CHECKS`."""
    x = torch.linspace(-50, 50, 2 * 8 * 5 * 7).sin().mul(3).reshape(2, 8, 5, 7).to(device)
    forward, backward = (getattr(torch.ops.ganinv_ops, n + suffix) for n in ("bias_act", "bias_act_grad"))
    errors = []
    for act, name in enumerate(_NAMES):
        for layout in (torch.contiguous_format, torch.channels_last):
            z, b, rest = x.contiguous(memory_format=layout), x[0, :, 0, 0], (1, act, 0.2, 1.3, 1.5)
            expected = _reference(z, b, 1, name, 0.2, 1.3, 1.5)
            errors.append(relative_error(forward(z, b, *rest), expected))
            slope = _derivative(1, z, b, *rest)
            errors.append(relative_error(backward(z.cos(), z, b, *rest), z.cos() * slope))
    return max(errors)


CHECKS["bias_act"] = _cuda_error
_LIBRARY.impl("bias_act", _forward_kernel, "CompositeExplicitAutograd")
_LIBRARY.impl("bias_act_grad", _grad_kernel, "CompositeExplicitAutograd")
torch.library.register_fake("ganinv_ops::bias_act", _forward_fake, lib=_LIBRARY)
torch.library.register_fake("ganinv_ops::bias_act_grad", _grad_fake, lib=_LIBRARY)
torch.library.register_autograd(
    "ganinv_ops::bias_act", _forward_backward, setup_context=_forward_setup, lib=_LIBRARY
)
torch.library.register_autograd(
    "ganinv_ops::bias_act_grad", _grad_backward, setup_context=_grad_setup, lib=_LIBRARY
)
