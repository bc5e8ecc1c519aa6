"""How far a drawn picture is from a target over its visible pixels, and what optimised noise maps pay.

No weights of VGG come with this package (LPIPS, Zhang et al. 2018, needs them). The perceptual part is, by
`perceptual`: the network of the backbone's domain if it has one ("auto", "judge"), a TorchScript file of the
user's, or pixels and their differences at several sizes ("pixels").
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from ganinv.backbones.base import Backbone
from ganinv.errors import UsageError
from ganinv.metrics.features import to_side
from ganinv.metrics.judge import load_judge
from ganinv.metrics.perceptual import Features, feature_distance, weighted_mean
from ganinv.portraits import draws_portraits

_SMALLEST = 8  # px: below it a mean over visible pixels says nothing that the sizes above do not


class VisibleLoss:
    """`l2_weight` * mean squared error + `perceptual_weight` * perceptual distance, over visible pixels.

    Call it with a target float32 [1, 3, R, R] in [-1, 1], its visible pixels [1, 1, R, R] (1 = visible) and
    drawn pictures [M, 3, R, R]: it gives [M]. What the target holds elsewhere has no influence.
    """

    def __init__(
        self, features: Features | None, *, l2_weight: float = 1.0, perceptual_weight: float = 1.0
    ) -> None:
        self.features, self.l2_weight, self.perceptual_weight = features, l2_weight, perceptual_weight

    def __call__(self, drawn: Tensor, target: Tensor, visible: Tensor) -> Tensor:
        target = torch.where(visible > 0, target, torch.zeros_like(target))  # also drops NaN from the hole
        loss = self.l2_weight * weighted_mean((drawn - target).square(), visible)
        if self.perceptual_weight == 0:
            return loss
        if self.features is None:
            return loss + self.perceptual_weight * pixel_pyramid(drawn, target, visible)
        return loss + self.perceptual_weight * self._perceptual(drawn, target, visible)

    def _perceptual(self, drawn: Tensor, target: Tensor, visible: Tensor) -> Tensor:
        """The target's hole is filled with what was drawn, so that the network sees no edge of a hole."""
        assert self.features is not None
        with torch.no_grad():
            filled = self.features(visible * target + (1 - visible) * drawn)
        return feature_distance(self.features(drawn), filled, visible)


def pixel_pyramid(drawn: Tensor, target: Tensor, visible: Tensor) -> Tensor:
    """Mean absolute difference [M] of pixels and of their steps to the right and down, over sizes R, R/2, ...

    A pixel of a smaller size is the mean of its visible pixels, and weighs by how many these are.
    """
    losses = []
    while True:
        losses.append(weighted_mean((drawn - target).abs(), visible))
        for dim in (2, 3):
            last = drawn.shape[dim] - 1
            both = visible.narrow(dim, 0, last) * visible.narrow(dim, 1, last)
            losses.append(weighted_mean((drawn - target).diff(dim=dim).abs(), both))
        if drawn.shape[2] < 2 * _SMALLEST:
            return torch.stack(losses).mean(0)
        seen = F.avg_pool2d(visible, 2)
        drawn, target = (F.avg_pool2d(x * visible, 2) / seen.clamp(min=1e-6) for x in (drawn, target))
        visible = seen


def perceptual_features(perceptual: str, backbone: Backbone) -> tuple[Features | None, str]:
    """The network that `perceptual` asks for, on the backbone's device, and its name for the record.

    Args:
        perceptual: "auto" (the judge of the domain if there is one, else pixels), "judge", "pixels", or the
            path of a TorchScript file: pictures float32 [M, 3, R, R] in [-1, 1] -> a tensor, or a list of
            them, [M, C, h, w] or [M, D]. It runs as a program: open only files that you trust.

    Raises:
        UsageError: no judge for this backbone, or the file is no such network.
    """
    device = backbone.w_avg.device
    if perceptual == "pixels":
        return None, "pixels"
    if perceptual in ("auto", "judge"):
        if draws_portraits(backbone.name):
            judge = load_judge().to(device)
            return lambda images: judge.maps(to_side(images, judge.config.resolution)), "judge"
        if perceptual == "auto":
            return None, "pixels"
        raise UsageError(
            f"no judge is known for the backbone {backbone.name!r}: type perceptual=pixels, or give a file"
        )
    return _scripted(Path(perceptual), backbone), Path(perceptual).name


def _scripted(path: Path, backbone: Backbone) -> Features:
    if not path.is_file():
        raise UsageError(f"perceptual={path} is no file; type auto, judge, pixels or a TorchScript file")
    side, device = backbone.resolution, backbone.w_avg.device
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of the format itself, in newer PyTorch
            network = torch.jit.load(str(path), map_location=device).eval()
        for parameter in network.parameters():
            parameter.requires_grad_(False)
        found = _as_list(network(torch.zeros(1, 3, side, side, device=device)))
    except Exception as cause:  # a program of the user's may raise anything
        raise UsageError(f"perceptual={path} cannot be used on {side} px pictures: {cause}") from cause
    if not found or not all(isinstance(x, Tensor) and x.ndim in (2, 4) and len(x) == 1 for x in found):
        raise UsageError(f"perceptual={path} gives no features [M, C, h, w] or [M, D] of pictures")
    return lambda images: _as_list(network(images))


def _as_list(found: Tensor | Sequence[Tensor]) -> list[Tensor]:
    return [found] if isinstance(found, Tensor) else list(found)


def noise_penalty(maps: Sequence[Tensor]) -> Tensor:
    """How much neighbours in noise maps [side, side] agree, at all sizes down to 8 px; 0 for true noise.

    Squared correlation of a map with itself one pixel to the right and one down, summed over maps and their
    halved copies (Karras et al. 2020, appendix D), so that maps hold no picture.
    """
    total = maps[0].new_zeros(())
    for x in maps:
        x = x[None, None]
        while True:
            for dim in (2, 3):
                total = total + (x * x.roll(1, dims=dim)).mean().square()
            if x.shape[2] <= _SMALLEST:
                break
            x = F.avg_pool2d(x, 2) * 2  # which keeps true noise at unit variance
    return total
