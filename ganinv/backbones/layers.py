"""Layers shared by generators, discriminators and the plugin's networks: equalised learning rate throughout.

A stored weight is N(0, 1) and is scaled at run time by 1/sqrt(fan-in) (Karras et al. 2018, section 4.1), so
that every layer learns at the same speed.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

from ganinv_ops.bias_act import bias_act
from ganinv_ops.conv import conv2d_resample
from ganinv_ops.epilogue import epilogue


def normalize_second_moment(x: Tensor, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """Scale `x` to a mean square of 1 along `dim` ("pixel norm")."""
    return x * (x.square().mean(dim=dim, keepdim=True) + eps).rsqrt()


class EqualLinear(nn.Module):
    """Fully connected layer `[..., in] -> [..., out]` with run-time weight scale.

    Args:
        lr_multiplier: stored values are divided by it and multiplied at run time, which slows or speeds their
        training.
        bias_init: the effective bias at the start.
        activation: a name of `ganinv_ops.bias_act.ACTIVATIONS`.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        bias_init: float = 0.0,
        activation: str = "linear",
        lr_multiplier: float = 1.0,
    ) -> None:
        super().__init__()
        self.activation = activation
        self.weight = nn.Parameter(torch.randn(out_features, in_features).div_(lr_multiplier))
        self.bias = nn.Parameter(torch.full((out_features,), bias_init / lr_multiplier))
        self.weight_gain = lr_multiplier / math.sqrt(in_features)
        self.bias_gain = lr_multiplier

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight.to(x.dtype) * self.weight_gain
        bias = self.bias.to(x.dtype)
        if self.bias_gain != 1:
            bias = bias * self.bias_gain
        if self.activation == "linear":
            return nn.functional.linear(x, weight, bias)
        return bias_act(nn.functional.linear(x, weight), bias, dim=x.ndim - 1, act=self.activation)


class EqualConv2d(nn.Module):
    """Convolution `[N, in, H, W] -> [N, out, H', W']`, "same" padding, optional resampling, bias and
    activation.

    Args:
        activation: "linear" or "lrelu".
        up, down: 1, or 2 to double or halve the size with the FIR filter `[1, 3, 3, 1]`.
        gain: multiplies activation gain and clamp (residual branches use sqrt(0.5)).
        clamp: largest magnitude after the activation; None = no limit.
    """

    resample_filter: Tensor

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        bias: bool = True,
        activation: Literal["linear", "lrelu"] = "linear",
        up: int = 1,
        down: int = 1,
        gain: float = 1.0,
        clamp: float | None = None,
    ) -> None:
        super().__init__()
        self.slope = 0.2 if activation == "lrelu" else 1.0
        self.up, self.down, self.padding = up, down, kernel_size // 2
        self.gain = gain * (math.sqrt(2) if activation == "lrelu" else 1.0)
        self.clamp = None if clamp is None else clamp * gain
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, kernel_size, kernel_size))
        self.weight_gain = 1 / math.sqrt(in_channels * kernel_size**2)
        self.bias = nn.Parameter(torch.zeros(out_channels)) if bias else None
        self.register_buffer("resample_filter", fir_filter(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        weight = (self.weight * self.weight_gain).to(x.dtype)
        fir = self.resample_filter if self.up > 1 or self.down > 1 else None
        x = conv2d_resample(
            x,
            weight,
            fir,
            up=self.up,
            down=self.down,
            padding=self.padding,
            flip_weight=self.up == 1,  # StyleGAN2 correlates, but convolves when it doubles the size
        )
        bias = None if self.bias is None else self.bias.to(x.dtype)
        return epilogue(x, bias=bias, slope=self.slope, gain=self.gain, clamp=self.clamp)


def fir_filter() -> Tensor:
    """The 4 x 4 resampling filter of StyleGAN2, outer product of [1, 3, 3, 1], sum 1."""
    # on the CPU also inside `torch.device("meta")`: no file brings these numbers
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0], device="cpu")
    kernel = torch.outer(taps, taps)
    return kernel / kernel.sum()
