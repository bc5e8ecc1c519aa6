"""Plain 3 x 3 convolutions Winograd's way, with gradients of any order.

Each is linear in the picture and in the weight, so its gradients are convolutions again: a plain one's are
plain ones, and those of a transposed and of a strided one, both of stride 2, are each other. Gradients to
weights have operators of their own. PyTorch's are taken where they are sooner.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.grad import conv2d_input

from ganinv_ops import winograd
from ganinv_ops.dispatch import by_pytorch


def conv2d(x: Tensor, weight: Tensor, padding: int, flip_weight: bool = True) -> Tensor:
    """[N, O, H + 2 * padding - 2, ...], of x [N, I, H, W] and weight [O, I, 3, 3] that `winograd.fits`."""
    if winograd.tracked(x, weight):
        y: Tensor = _Plain.apply(x, weight, padding, flip_weight)
        return y
    return winograd.winograd_conv2d(x, weight, _ones(x), padding=padding, flip_weight=flip_weight)


def transposed_conv2d(x: Tensor, weight: Tensor, flip_weight: bool = False) -> Tensor:
    """[N, O, 2 * H + 1, 2 * W + 1], of x [N, I, H, W] and weight [O, I, 3, 3], up 2."""
    if winograd.tracked(x, weight):
        y: Tensor = _Transposed.apply(x, weight, flip_weight)
        return y
    return winograd.winograd_up(x, weight, _ones(x), flip_weight=flip_weight)


def strided_conv2d(x: Tensor, weight: Tensor, flip_weight: bool = True) -> Tensor:
    """[N, O, H, W], of x [N, I, 2 * H + 1, 2 * W + 1] and weight [O, I, 3, 3]. Only its
    gradients are not PyTorch's.
    """
    if winograd.tracked(x, weight):
        y: Tensor = _Strided.apply(x, weight, flip_weight)
        return y
    return by_pytorch(F.conv2d, x, weight if flip_weight else weight.flip((2, 3)), stride=2)


def weight_gradient(x: Tensor, dy: Tensor, padding: int, flip_weight: bool) -> Tensor:
    """[O, I, 3, 3]: that of `conv2d`, of x [N, I, H, W] and the gradient dy of its result."""
    if winograd.narrow(x):
        return winograd.weight_steps(x, dy, padding, flip_weight)
    if winograd.tracked(x, dy):
        dw: Tensor = _Weight.apply(x, dy, padding, flip_weight)
        return dw
    dw = torch.ops.ganinv_ops.winograd_weight(x, dy, padding, flip_weight)
    return dw


def transposed_weight_gradient(x: Tensor, dy: Tensor, flip_weight: bool) -> Tensor:
    """[O, I, 3, 3]: that of `transposed_conv2d`, of x [N, I, H, W] and the gradient dy of its result."""
    if winograd.narrow(x) or min(x.shape[2:]) < winograd.LEAST_SIDE:
        return winograd.up_weight_steps(x, dy, flip_weight)
    if winograd.tracked(x, dy):
        dw: Tensor = _TransposedWeight.apply(x, dy, flip_weight)
        return dw
    dw = torch.ops.ganinv_ops.winograd_up_weight(x, dy, flip_weight)
    return dw


def _strided_input_gradient(dy: Tensor, weight: Tensor, flip: bool) -> Tensor:
    """Gradient to the picture of `strided_conv2d`: the transposed convolution."""
    back = weight.transpose(0, 1)
    if winograd.fits(dy, back, up=2):
        return transposed_conv2d(dy, back, not flip)
    return by_pytorch(_pytorch_input_gradient, dy, weight if flip else weight.flip((2, 3)))


def _pytorch_input_gradient(dy: Tensor, weight: Tensor) -> Tensor:
    n, _, h, w = dy.shape
    return conv2d_input((n, weight.shape[1], 2 * h + 1, 2 * w + 1), weight, dy, stride=2)


def _ones(x: Tensor) -> Tensor:
    return torch.ones(x.shape[:2], dtype=torch.float32)


def _keep(ctx: Any, a: Tensor, b: Tensor, *settings: Any) -> None:
    """What the gradients of something linear in a and in b need: each only where the other's is wanted."""
    ctx.settings = settings
    ctx.save_for_backward(a if ctx.needs_input_grad[1] else None, b if ctx.needs_input_grad[0] else None)


class _Plain(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, padding: int, flip: bool) -> Tensor:
        _keep(ctx, x, weight, padding, flip)
        return conv2d(x, weight, padding, flip)

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        (x, weight), (padding, flip) = ctx.saved_tensors, ctx.settings
        # to the picture: the same kind of convolution, the other way through the weight
        dx = None if weight is None else conv2d(dy, weight.transpose(0, 1), 2 - padding, not flip)
        dw = None if x is None else weight_gradient(x, dy, padding, flip)
        return dx, dw, None, None


class _Weight(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, dy: Tensor, padding: int, flip: bool) -> Tensor:
        _keep(ctx, x, dy, padding, flip)
        return weight_gradient(x, dy, padding, flip)

    @staticmethod
    def backward(ctx: Any, dw: Tensor) -> tuple[Tensor | None, ...]:
        (x, dy), (padding, flip) = ctx.saved_tensors, ctx.settings
        to_x = None if dy is None else conv2d(dy, dw.transpose(0, 1), 2 - padding, not flip)
        to_dy = None if x is None else conv2d(x, dw, padding, flip)
        return to_x, to_dy, None, None


class _Transposed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, flip: bool) -> Tensor:
        _keep(ctx, x, weight, flip)
        return transposed_conv2d(x, weight, flip)

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        (x, weight), (flip,) = ctx.saved_tensors, ctx.settings
        dx = None if weight is None else strided_conv2d(dy, weight.transpose(0, 1), not flip)
        dw = None if x is None else transposed_weight_gradient(x, dy, flip)
        return dx, dw, None


class _Strided(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, flip: bool) -> Tensor:
        _keep(ctx, x, weight, flip)
        return strided_conv2d(x, weight, flip)

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        (x, weight), (flip,) = ctx.saved_tensors, ctx.settings
        dx = dw = None
        if weight is not None:
            dx = _strided_input_gradient(dy, weight, flip)
        if x is not None:
            dw = transposed_weight_gradient(dy, x, not flip).transpose(0, 1)
        return dx, dw, None


class _TransposedWeight(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, dy: Tensor, flip: bool) -> Tensor:
        _keep(ctx, x, dy, flip)
        return transposed_weight_gradient(x, dy, flip)

    @staticmethod
    def backward(ctx: Any, dw: Tensor) -> tuple[Tensor | None, ...]:
        (x, dy), (flip,) = ctx.saved_tensors, ctx.settings
        to_x = None if dy is None else strided_conv2d(dy, dw.transpose(0, 1), not flip)
        to_dy = None if x is None else transposed_conv2d(x, dw, flip)
        return to_x, to_dy, None
