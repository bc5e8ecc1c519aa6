"""Figures of pixels: how true known pixels are, and how colours jump at the edge of the hole.

Pictures are float32 [N, 3, H, W] in [-1, 1], holes [N, 1, H, W] with 1 = erased; every figure is [N].
"""

from __future__ import annotations

import torch
from torch import Tensor

_LEAST_ERROR = 1e-10  # a perfect picture has 106 dB


def visible_psnr(raw: Tensor, truth: Tensor, hole: Tensor) -> Tensor:
    """10 log10(4 / mean squared error) over known pixels, dB; NaN where nothing is known."""
    return 10 * torch.log10(4 / _visible_mean((raw - truth).square(), hole).clamp_min(_LEAST_ERROR))


def visible_l1(raw: Tensor, truth: Tensor, hole: Tensor) -> Tensor:
    """Mean absolute difference over known pixels, of a range of 2; NaN where nothing is known."""
    return _visible_mean((raw - truth).abs(), hole)


def visible_ssim(raw: Tensor, truth: Tensor, hole: Tensor) -> Tensor:
    """Structural similarity (Wang et al. 2004; Gaussian window, s.d. 1.5), mean of its map over known pixels.

    The window of a pixel at the edge reaches into the hole, where both pictures are given the true colours.
    """
    from torchmetrics.functional.image import structural_similarity_index_measure

    filled = torch.where(hole > 0, truth, raw)
    _, similarity = structural_similarity_index_measure(
        filled, truth, data_range=2.0, reduction="none", return_full_image=True
    )
    assert isinstance(similarity, Tensor)  # [N, 3, H, W]
    return _visible_mean(similarity, hole)


def hole_difference(samples: Tensor, hole: Tensor) -> Tensor:
    """Mean absolute difference inside the hole over all pairs of samples [K, 3, H, W] of one picture: a
    number, of a range of 2. `hole` is [1, 1, H, W]; NaN for one sample.
    """
    first, second = torch.triu_indices(len(samples), len(samples), 1)
    if not len(first):
        return torch.tensor(torch.nan)
    apart = (samples[first] - samples[second]).abs().mean(1, keepdim=True)
    return ((apart * hole).flatten(1).sum(1) / hole.sum()).mean()


def border_jump(picture: Tensor, hole: Tensor) -> Tensor:
    """Mean |RGB difference| of neighbours, one in the hole and one outside; 0 where there are none."""
    total, count = picture.new_zeros(len(picture)), picture.new_zeros(len(picture))
    for dim in (2, 3):
        size = picture.shape[dim]
        a, b = picture.narrow(dim, 0, size - 1), picture.narrow(dim, 1, size - 1)
        across = hole.narrow(dim, 0, size - 1) != hole.narrow(dim, 1, size - 1)
        total += ((a - b).abs().mean(1, keepdim=True) * across).flatten(1).sum(1)
        count += across.flatten(1).sum(1)
    return total / count.clamp_min(1)


def fine_detail(picture: Tensor, hole: Tensor) -> Tensor:
    """Mean |four times a pixel less its four neighbours| where all five are in the hole; 0 where none are.

    Sharp edges and strands make it large, and so does noise.
    """

    def neighbours(x: Tensor) -> Tensor:
        return torch.stack([x[..., :-2, 1:-1], x[..., 2:, 1:-1], x[..., 1:-1, :-2], x[..., 1:-1, 2:]])

    inside = hole[..., 1:-1, 1:-1] * neighbours(hole).prod(0)
    curved = (4 * picture[..., 1:-1, 1:-1] - neighbours(picture).sum(0)).abs().mean(1, keepdim=True)
    return (curved * inside).flatten(1).sum(1) / inside.flatten(1).sum(1).clamp_min(1)


def _visible_mean(values: Tensor, hole: Tensor) -> Tensor:
    known = (hole == 0).to(values.dtype)
    return (values * known).flatten(1).sum(1) / (known.flatten(1).sum(1) * values.shape[1])
