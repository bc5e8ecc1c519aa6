"""Layers without gradients on a CPU whose bfloat16 has a matrix unit (AMX).

Multiplications are nearly free there, so the plainest way is the shortest: oneDNN's own convolutions, with
weights kept in its order of memory, and doubling layers as one plain convolution to four times the channels,
which that unit does in half the time of a transposed one though it multiplies 16 times where 9 are needed.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ganinv_ops.dispatch import Impl, has_matrix_unit
from ganinv_ops.kept import kept
from ganinv_ops.upfirdn2d import keeps_channels_last
from ganinv_ops.winograd import tracked

LEAST_CHANNELS = 128
"""Of what is doubled: for fewer, to sort the phases takes longer than they save."""

# taps [phase, tap of two, tap of three]: output 2 q is x[q - 1] w[2] + x[q] w[0], output 2 q + 1 is x[q] w[1]
_PHASES = (((0.0, 0.0, 1.0), (1.0, 0.0, 0.0)), ((0.0, 0.0, 0.0), (0.0, 1.0, 0.0)))


def fits(
    x: Tensor,
    weight: Tensor,
    styles: Tensor,
    *,
    up: int,
    down: int,
    padding: tuple[int, int, int, int],
    impl: Impl = "auto",
) -> bool:
    """Whether `conv2d` (up 1) or `doubled` (up 2) of x * styles can be had, sooner than PyTorch's
    convolutions: not where a gradient is wanted of any of the three.

    Args:
        x: [N, I, H, W].
        weight: [O, I, 3, 3].
        styles: [N, I].
    """
    if x.dtype != torch.bfloat16 or not has_matrix_unit(x.device) or not keeps_channels_last(x):
        return False
    if impl == "ref" or torch.compiler.is_compiling() or tracked(x, weight, styles) or x.numel() == 0:
        return False
    if weight.shape[2:] != (3, 3) or down > 1 or up > 2:
        return False
    return weight.shape[1] >= LEAST_CHANNELS if up == 2 else len(set(padding)) == 1 and padding[0] >= 0


def conv2d(x: Tensor, weight: Tensor, padding: int, flip_weight: bool = True) -> Tensor:
    """[N, O, H + 2 * padding - 2, ...] in channels_last, of x [N, I, H, W] and weight [O, I, 3, 3]."""

    def make() -> Tensor:
        return _packed(weight if flip_weight else weight.flip((2, 3)), x, padding)

    return _convolved(x, kept(weight, ("packed", x.dtype, padding, flip_weight), make), padding)


def doubled(x: Tensor, weight: Tensor, flip_weight: bool = False) -> Tensor:
    """`upsampling_conv2d`, up 2, of x [N, I, H, W] and weight [O, I, 3, 3], with a row and a column of zeros
    at its end: [N, O, 2 * H + 2, 2 * W + 2] in channels_last.
    """
    n, _, h, w = x.shape

    def make() -> Tensor:
        taps = weight.flip((2, 3)) if flip_weight else weight
        axis = torch.tensor(_PHASES, dtype=weight.dtype, device=weight.device)
        phases = torch.einsum("yas,xbt,oist->yxoiab", axis, axis, taps)
        return _packed(phases.reshape(4 * len(weight), -1, 2, 2), x, 1)

    y = _convolved(x, kept(weight, ("phases", x.dtype, flip_weight), make), 1).permute(0, 2, 3, 1)
    y = y.reshape(n, h + 1, w + 1, 2, 2, -1).transpose(2, 3)
    return y.reshape(n, 2 * h + 2, 2 * w + 2, -1).permute(0, 3, 1, 2)


def _packed(weight: Tensor, x: Tensor, padding: int) -> Tensor:
    """The weight in the type of x and the order that oneDNN wants for pictures like it, which others can have
    too, if not as soon.
    """
    own = weight.to(x.dtype).contiguous()
    packed: Tensor = torch.ops.mkldnn._reorder_convolution_weight(
        own, [padding] * 2, [1, 1], [1, 1], 1, list(x.shape)
    )
    return packed


def _convolved(x: Tensor, packed: Tensor, padding: int) -> Tensor:
    y: Tensor = torch.ops.mkldnn._convolution_pointwise(
        x, packed, None, [padding] * 2, [1, 1], [1, 1], 1, "none", [], ""
    )
    return y
