"""Erased pictures: hiding the hole, and shrinking what is left without letting anything of the hole out."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate

from ganinv.errors import UsageError


def erase(image: Tensor, visible: Tensor) -> Tensor:
    """Set the hidden pixels to 0 (mid-grey).

    Args:
        image: (N, 3, H, W) in [-1, 1]; hidden pixels may hold anything, even NaN.
        visible: (N, 1, H, W), 1 = known.
    """
    return torch.where(visible > 0.5, image, torch.zeros((), dtype=image.dtype, device=image.device))


def shrink_erased(image: Tensor, visible: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Bring a picture and its visible map to `size` px by area, hidden pixels left out of every mean.

    A pixel of the result is the mean of the known pixels under it; it is visible only where all of them are.

    Args:
        image: (N, 3, H, H), hidden pixels may hold anything.
        visible: (N, 1, H, H), 1 = known.

    Returns:
        erased (N, 3, size, size), 0 where nothing is known; visible (N, 1, size, size) of 0 and 1.

    Raises:
        UsageError: neither of `size` and the picture's side divides the other.
    """
    erased, known = erase(image, visible), (visible > 0.5).to(image.dtype)
    side = image.shape[-1]
    if side == size:
        return erased, known
    if size % side == 0:  # pixels are repeated
        return interpolate(erased, size=size), interpolate(known, size=size)
    if side % size:
        raise UsageError(f"a picture of {side} px cannot be pooled to {size} px; the size must divide {side}")
    step = side // size
    share = avg_pool2d(known, step)  # (N, 1, size, size): the known share of each cell
    # A cell with any known pixel has a share of at least 1 / step^2, so eps touches empty cells only.
    small = avg_pool2d(erased, step) / share.clamp(min=0.5 / step**2)
    return small, (share > 1 - 0.5 / step**2).to(image.dtype)


def shrink(image: Tensor, size: int) -> Tensor:
    """(N, C, H, H) -> (N, C, size, size) by area; a picture that is not larger is resized bilinearly."""
    side = image.shape[-1]
    if side == size:
        return image
    if side > size and side % size == 0:
        return avg_pool2d(image, side // size)
    return interpolate(image, size=(size, size), mode="bilinear", antialias=True, align_corners=False)
