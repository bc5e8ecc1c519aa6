"""The generic way to draw an inversion again, edited or not, by any method."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, avg_pool2d, max_pool2d

from ganinv.backbones.running import chunks, pass_size
from ganinv.backbones.tuning import with_difference
from ganinv.compositing import joined
from ganinv.errors import UsageError
from ganinv.inversion import Inversion, check_backbone

if TYPE_CHECKING:
    from ganinv.backbones.base import Backbone, Injection

_TINT, _CHANGED = 0.05, 0.2
"""Change of a channel, of a range of 2, up to which a place is the same, and from which on something else."""
_SEEN, _REACH = 128, 5 / 128
"""Largest side in pixels at which pictures are compared; reach of a change, as a part of the side."""


@torch.no_grad()
def render(inversion: Inversion, backbone: Backbone, ws: Tensor | None = None) -> Tensor:
    """Draws an inversion, or edited codes of it, with its noise, features and tuned weights.

    Features that are not meant for holes draw what is around them: what is inside is drawn by the code alone,
    its tones moved to meet the rest (`compositing.joined`), and the picture is drawn twice for it. Those of
    an edited inversion give way where the edit changes what the code draws (docs/method.md): drawn once more.

    `backbone.chunk` pictures are drawn in one pass. Equal chunks give equal bits; others may differ in the
    last ones. With tuned weights or random noise each picture has a pass of its own.

    Args:
        inversion: what was found, or an edit of it.
        backbone: the generator it was found with; drawing happens on its device. Tuned weights are applied to
            a copy of it.
        ws: codes (N, K, num_ws, w_dim) to draw instead of the inversion's own, as an edit of it.

    Returns:
        float32 (N, K, 3, H, W), RGB, about [-1, 1], on the backbone's device.

    Raises:
        BackboneMismatchError: the inversion was made with another backbone.
        UsageError: codes of another shape.
        CheckpointError: tuned weights that the backbone does not have.
    """
    record = inversion.backbone
    check_backbone(backbone, record.get("sha256"), f"this inversion ({record.get('name', 'unnamed')})")
    chosen = inversion.ws if ws is None else ws
    expected = [*inversion.ws.shape[:2], backbone.num_ws, backbone.w_dim]
    if list(chosen.shape) != expected:
        raise UsageError(f"codes of shape {list(chosen.shape)} cannot be drawn; expected {expected}")
    if ws is not None:
        inversion = inversion.edited(ws=ws)
    plain = replace(inversion, features={})
    if not inversion.features:
        return _drawn(plain, backbone)
    if inversion.unedited is None and inversion.features_in_holes:
        return _drawn(inversion, backbone)
    by_code = _drawn(plain, backbone)
    if inversion.unedited is not None:
        before = _drawn(replace(inversion.unedited, features={}), backbone)
        inversion = replace(inversion, features=giving_way(inversion.features, before, by_code))
    drawn = _drawn(inversion, backbone)
    if inversion.features_in_holes:
        return drawn
    known = 1 - inversion.hole.to(drawn.device).float().repeat_interleave(inversion.samples, dim=0)
    return joined(by_code.flatten(0, 1), drawn.flatten(0, 1), known).unflatten(0, drawn.shape[:2])


def giving_way(features: Mapping[int, Tensor], before: Tensor, after: Tensor) -> dict[int, Tensor]:
    """Features as they are to be added after an edit: whole where the codes draw the same as before, gone
    where they draw something else, as a turned face, which old features would draw a ghost into. Pictures are
    compared smoothed, since outlines that move by less than a pixel change nothing.

    Args:
        features: side -> float16 (N, K, C, side, side), found for the codes before.
        before, after: float32 (N, K, 3, R, R) in [-1, 1], what the codes draw without features.
    """
    seen = min(after.shape[-1], _SEEN)
    reach = 2 * round(_REACH * seen / 2) + 1

    def smooth(picture: Tensor) -> Tensor:
        return avg_pool2d(picture, reach, 1, reach // 2, count_include_pad=False)

    difference = adaptive_avg_pool2d((after - before).flatten(0, 1), seen)
    change = smooth(difference).abs().amax(dim=1, keepdim=True)
    change = smooth(max_pool2d(change, reach, 1, reach // 2))
    kept = ((_CHANGED - change) / (_CHANGED - _TINT)).clamp(0, 1)
    return {side: _scaled(feature, adaptive_avg_pool2d(kept, side)) for side, feature in features.items()}


def _scaled(feature: Tensor, by: Tensor) -> Tensor:
    return (feature.float() * by.unflatten(0, feature.shape[:2]).to(feature.device)).half()


def _drawn(inversion: Inversion, backbone: Backbone) -> Tensor:
    """What the generator draws in one go, with all features everywhere; see `render`."""
    n, k = inversion.ws.shape[:2]
    device = next(backbone.parameters()).device
    flat = inversion.ws.flatten(0, 1)
    features = {side: f.flatten(0, 1) for side, f in inversion.features.items()}
    random = inversion.noise == "random"
    tuned = {name: change.flatten(0, 1) for name, change in inversion.tuned.items()}
    images = []
    for part in chunks(n * k, 1 if tuned or random else pass_size(backbone, n * k)):
        network = (
            with_difference(backbone, {of: t[part.start] for of, t in tuned.items()}) if tuned else backbone
        )
        inject = injection({side: f[part].to(device) for side, f in features.items()})
        codes = flat[part].to(device)
        generator = torch.Generator().manual_seed(inversion.seeds[part.start % k]) if random else None
        drawn = network.synthesize(codes, noise=inversion.noise, inject=inject, generator=generator)
        images.append(drawn.images.float())
    if not images:
        return torch.empty(n, k, 3, backbone.resolution, backbone.resolution, device=device)
    return torch.cat(images).unflatten(0, (n, k))


def injection(features: Mapping[int, Tensor]) -> Injection:
    """What `Backbone.synthesize` takes to add `features` (side -> [N, C, side, side]) to its own."""
    return {side: _adder(feature) for side, feature in features.items()}


def _adder(delta: Tensor) -> Callable[[Tensor], Tensor]:
    return lambda features: features + delta.to(features.dtype)
