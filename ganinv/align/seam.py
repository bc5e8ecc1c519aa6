"""What is added to a picture that is laid over a photo, so that they meet along the seam.

Both ways look at the whole seam at once. Where the square takes more than 12 million pixels of the photo
they look at a copy that is reduced by a whole number: what is added then has no finer detail.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from ganinv.images import Bools

_LARGEST = 12_000_000  # pixels that are looked at at once
_STRIP = 1 << 21  # pixels that are worked on at once where each is on its own
_LIKELY_OFFSET = 40.0  # levels by which the tones of a filling are off, the standard deviation
_SEEN = 0.02  # the least share of a ring that is near enough to speak
_OFFSET_REACH = 0.2  # of the square's side, over which an offset falls to a third, away from the seam
_PAD = 3  # pixels around what OpenCV's cloning is given
Floats = npt.NDArray[Any]  # float32


class Layer(NamedTuple):
    """A picture laid over a part of a photo, both float32 (H, W, 3).

    region: bool (H, W), where it is to show; square: bool (H, W), where the crop's square lies.
    """

    part: Floats
    laid: Floats
    region: Bools
    square: Bools


class Scale(NamedTuple):
    """side: of the square, in pixels of the part; size: of the crop."""

    side: float
    size: int


Solver = Callable[[Layer, Scale], Floats]


def strips(shape: tuple[int, int], multiple: int = 1) -> Iterator[slice]:
    """Rows of a picture (height, width), some at a time, so that what is computed for them stays small."""
    height, width = shape
    step = max(1, _STRIP // width // multiple) * multiple
    for start in range(0, height, step):
        yield slice(start, min(start + step, height))


def smooth_offset(
    layer: Callable[[slice], Layer], shape: tuple[int, int], scale: Scale, solve: Solver
) -> Callable[[slice], Floats]:
    """What to add to the picture laid over a photo, float32 (rows, W, 3), by rows.

    Args:
        layer: gives some rows of it. shape: of all of it. solve: `seam_offset` or `clone_offset`.
    """
    height, width = shape
    factor = max(1, int(np.ceil(np.sqrt(height * width / _LARGEST))))
    parts = [_reduced(layer(rows), factor) for rows in strips(shape, factor)]
    whole = Layer(*(np.concatenate(several) for several in zip(*parts, strict=True)))
    del parts
    offset = solve(whole, Scale(scale.side / factor, scale.size))
    return lambda rows: _enlarged(offset, factor, rows)[:, :width]


def _reduced(layer: Layer, factor: int) -> Layer:
    """Means of the colours; a pixel is of the region if any it is made from is, of the square if all are."""
    if factor == 1:
        return layer
    height, width = layer.region.shape
    more = ((0, -height % factor), (0, -width % factor))
    new = ((width + more[1][1]) // factor, (height + more[0][1]) // factor)

    def means(values: Floats) -> Floats:
        padded = np.pad(values, (*more, (0, 0)), mode="edge")
        return np.asarray(cv2.resize(padded, new, interpolation=cv2.INTER_AREA))

    def blocks(values: Bools) -> Bools:
        padded = np.pad(values, more, mode="edge").reshape(new[1], factor, new[0], factor)
        return padded.swapaxes(1, 2).reshape(new[1], new[0], factor * factor)

    region, square = np.any(blocks(layer.region), axis=2), np.all(blocks(layer.square), axis=2)
    return Layer(means(layer.part), means(layer.laid), region, square)


def _enlarged(values: Floats, factor: int, rows: slice) -> Floats:
    """Rows of values (H, W, 3) drawn `factor` times larger, linearly."""
    if factor == 1:
        return values[rows]
    height, width = values.shape[:2]
    at = ((np.arange(rows.start, rows.stop) + 0.5) / factor - 0.5).clip(0, height - 1)
    first = np.floor(at).astype(int)
    part = values[first[0] : first[-1] + 2]
    wide = cv2.resize(part, (width * factor, len(part)), interpolation=cv2.INTER_LINEAR)
    share = (at - first).astype(np.float32)[:, None, None]
    above, below = first - first[0], np.minimum(first - first[0] + 1, len(part) - 1)
    return np.asarray((1 - share) * wide[above] + share * wide[below])


def seam_offset(layer: Layer, scale: Scale) -> Floats:
    """What to add to the filling of a hole (H, W, 3), so that its tones meet the photo's along the seam.

    Along the seam, the photo's mean just outside is compared with the filling's just inside, over a ring of
    about two pixels of the crop each; from there the difference is carried on smoothly into the hole, and
    fades.
    """
    part, filled, erased, square = layer
    width = max(2, round(1.5 * scale.side / scale.size))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * width + 1, 2 * width + 1))
    mask = erased.astype(np.uint8)
    outer = cv2.dilate(mask, kernel).astype(bool) & ~erased & square
    inner = erased & ~cv2.erode(mask, kernel).astype(bool)
    (around, near), (own, within) = _means(part, outer, width), _means(filled, inner, width)
    ring = inner & (near > _SEEN) & (within > _SEEN)
    if not ring.any():
        return np.zeros_like(part)
    level = np.where(ring[..., None], around - own, 0)
    # where the two show different things, such as an edge a little aside, the difference is none of tone
    weight = ring * np.exp(-np.square(level / _LIKELY_OFFSET).sum(2) / 2)
    offset = carried_on(level, np.maximum(weight, 1e-4 * ring))
    depth = cv2.distanceTransform(mask, cv2.DIST_L2, 3) / (_OFFSET_REACH * scale.side)
    return offset * np.exp(-depth)[..., None]


def _means(values: Floats, where: Bools, width: float) -> tuple[Floats, Floats]:
    """Means of values (H, W, 3) over the near pixels of a ring, and how much of the ring is near, (H, W)."""
    share = cv2.GaussianBlur(where.astype(np.float32), (0, 0), width)
    total = cv2.GaussianBlur(np.where(where[..., None], values, 0), (0, 0), width)
    return total / np.maximum(share, 1e-3)[..., None], share


def carried_on(values: Floats, weight: Floats) -> Floats:
    """Values (H, W, 3), known where the weight (H, W) is 1, spread smoothly to everywhere (push and pull:
    Gortler et al., "The Lumigraph", 1996).
    """
    height, width = weight.shape
    if min(height, width) <= 2:
        total = float(weight.sum())
        mean = (values * weight[..., None]).sum((0, 1)) / total if total else np.zeros(3, np.float32)
        return np.broadcast_to(mean, values.shape).astype(np.float32)
    stacked = np.dstack([values * weight[..., None], weight])
    smaller = cv2.pyrDown(stacked)
    coarse_weight = np.clip(smaller[..., 3] * 4, 0, 1)
    coarse = smaller[..., :3] / np.maximum(smaller[..., 3:], 1e-6)
    spread = carried_on(coarse * (coarse_weight > 1e-3)[..., None], coarse_weight)
    below = cv2.resize(spread, (width, height), interpolation=cv2.INTER_LINEAR)
    return weight[..., None] * values + (1 - weight[..., None]) * below


def clone_offset(layer: Layer, scale: Scale) -> Floats:
    """What to add to a picture, so that a region of the photo has its gradients, by OpenCV; in steps of its
    eight bits.
    """
    part, laid, region, _ = layer
    spread = ((_PAD, _PAD), (_PAD, _PAD))
    # a frame of unchanged pixels: cloning needs known ones all around
    mask = np.pad(region.astype(np.uint8) * 255, spread)
    source, around = (
        np.pad(np.rint(values.clip(0, 255)).astype(np.uint8), (*spread, (0, 0)), mode="edge")
        for values in (laid, part)
    )
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    x, y, w, h = columns[0], rows[0], columns[-1] - columns[0] + 1, rows[-1] - rows[0] + 1
    centre = (int(x + w // 2), int(y + h // 2))
    cloned = cv2.seamlessClone(source, around, mask, centre, cv2.NORMAL_CLONE)
    inner = (slice(_PAD, -_PAD), slice(_PAD, -_PAD))
    moved = cloned[inner].astype(np.float32) - around[inner].astype(np.float32)
    return part + moved - laid  # so that a photo of 16 bits keeps its lower ones
