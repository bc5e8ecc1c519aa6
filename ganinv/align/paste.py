"""A changed crop back into its photo, which stays bit for bit what it was wherever nothing was to change.

Outside a hole the photo takes the difference between the result and the crop, warped back: what the crop did
not change, the photo does not change either, and its own detail stays. Inside a hole it takes the result. An
untouched crop changes nothing at all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import cv2
import numpy as np
import numpy.typing as npt

from ganinv.align.crop import crop_hole
from ganinv.align.geometry import Points, side, to_crop
from ganinv.errors import UsageError
from ganinv.images import Bools, Bytes

Blend = Literal["feather", "seamless"]
BLENDS = ("feather", "seamless")
_TAPER = 0.15  # of the square's side, along its edges, over which a difference fades out
_HOLE_TAPER = 0.03  # the same for a hole that goes on beyond the square
_LIKELY_OFFSET = 40.0  # levels by which the tones of a filling are off, the standard deviation
_SEEN = 0.02  # the least share of a ring that is near enough to speak
_OFFSET_REACH = 0.2  # of the square's side, over which that falls to a third, away from the seam
_PAD = 3  # pixels around what OpenCV's cloning is given
Floats = npt.NDArray[Any]  # float32


@dataclass(frozen=True, eq=False)
class Pasted:
    """colours: of the whole photo, uint8 or uint16 (H, W, 3). region: bool (H, W), what may have changed."""

    colours: npt.NDArray[Any]
    region: Bools


def paste_face(
    colours: npt.NDArray[Any],
    result: Bytes,
    crop: Bytes,
    quad: Points,
    *,
    hole: Bools | None = None,
    surround: Bytes | None = None,
    blend: Blend = "feather",
) -> Pasted:
    """Puts a changed crop back into its photo.

    Args:
        colours: the photo, uint8 or uint16 (H, W, 3), upright. It is not changed.
        result, crop: uint8 (S, S, 3): the changed and the unchanged crop of the square `quad`, at one size.
        hole: bool (H, W), what the result replaces; None = nothing, differences only.
        surround: uint8 (S, S, 3): the picture that the hole is filled from, as it goes on around the hole:
            there its tones are compared with the photo's. None = the result.
        blend: how the seam is closed. "feather": differences fade out towards the square's edges, and the
            tones in a hole are moved to meet the photo's along its edge. "seamless": OpenCV's cloning of
            gradients (Perez, Gangnet and Blake, "Poisson Image Editing", 2003).

    Raises:
        ValueError: shapes that do not go together. UsageError: an unknown blend.
    """
    surround = result if surround is None else surround
    if blend not in BLENDS:
        raise UsageError(f"--blend {blend!r} is not possible; type feather or seamless")
    if not result.shape == crop.shape == surround.shape or result.shape[0] != result.shape[1]:
        raise ValueError(f"result {result.shape}, crop {crop.shape}, surround {surround.shape} must be equal")
    if hole is not None and hole.shape != colours.shape[:2]:
        raise ValueError(f"hole {hole.shape} for a photo of {colours.shape[:2]}")
    height, width = colours.shape[:2]
    region = np.zeros((height, width), bool)
    rows, columns = _bounds(quad, (height, width))
    erased = None if hole is None else hole[rows, columns]
    untouched = np.array_equal(result, crop) and np.array_equal(surround, crop)
    if untouched or rows.stop <= rows.start or columns.stop <= columns.start:
        return Pasted(colours.copy(), region)
    unit = 257.0 if colours.dtype == np.uint16 else 1.0
    part = (colours[rows, columns] / unit).astype(np.float32)
    warp = _Warp(quad, (columns.start, rows.start), part.shape[:2], result.shape[0])
    change = result.astype(np.float32) - crop.astype(np.float32)
    if hole is not None and change.any():  # at the hole's edge, a pixel of the crop holds some of both sides
        known = ~crop_hole(hole, quad, len(crop))
        change = _carried_on(np.where(known[..., None], change, 0), known.astype(np.float32))
    target, changed = _with_change(part, warp, change, blend, alone=erased is None)
    if erased is not None and hole is not None:
        erased = erased & (warp.depth >= 0)
        goes_on = int(hole.sum()) > int(erased.sum())
        target = _with_filling(target, warp, surround, erased, blend, goes_on)
        changed |= erased
    top = unit * 255
    levels = np.rint(np.clip(target * unit, 0, top)).astype(colours.dtype)
    whole = colours.copy()
    whole[rows, columns] = np.where(changed[..., None], levels, colours[rows, columns])
    region[rows, columns] = changed
    return Pasted(whole, region)


class _Warp:
    """From a crop of `size` px to a part of the photo whose first pixel is `origin` (x, y)."""

    def __init__(self, quad: Points, origin: tuple[int, int], shape: tuple[int, int], size: int) -> None:
        self.side, self.shape, self.size = side(quad), shape, size
        self.quad = quad - np.array(origin)
        there = to_crop(self.quad, 1)
        y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
        u = there[0, 0] * x + there[0, 1] * y + (there[0, 2] + 0.5)
        v = there[1, 0] * x + there[1, 1] * y + (there[1, 2] + 0.5)
        # from the nearest edge of the square, in sides; negative beyond it
        self.depth = np.minimum(np.minimum(u, 1 - u), np.minimum(v, 1 - v)).astype(np.float32)

    def fade(self, width: float) -> Floats:
        """0 at the square's edges and beyond, 1 from `width` sides inwards, smooth between."""
        share = np.clip(self.depth / width, 0, 1)
        return share * share * (3 - 2 * share)

    def back(self, values: Floats) -> Floats:
        """Values (S, S, 3) of the crop in the photo; those at its edge go on beyond it.

        They are first brought to the size of the square, by area means where it is smaller, so that sampling
        them aliases in neither direction.
        """
        new = max(2, round(self.side))
        if new != self.size:
            how = cv2.INTER_AREA if new < self.size else cv2.INTER_CUBIC
            values = cv2.resize(values, (new, new), interpolation=how)
        return cv2.warpAffine(
            values,
            to_crop(self.quad, new),
            (self.shape[1], self.shape[0]),
            flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )


def _bounds(quad: Points, shape: tuple[int, int]) -> tuple[slice, slice]:
    """Rows and columns of the photo that a quad touches."""
    low = np.clip(np.floor(quad.min(0)).astype(int), 0, [shape[1], shape[0]])
    high = np.clip(np.ceil(quad.max(0)).astype(int) + 1, 0, [shape[1], shape[0]])
    return slice(low[1], high[1]), slice(low[0], high[0])


def _with_change(
    part: Floats, warp: _Warp, change: Floats, blend: Blend, *, alone: bool
) -> tuple[Floats, Bools]:
    """A part of the photo with a difference added, and where; cloned only where there is no hole besides."""
    if not change.any():
        return part, np.zeros(part.shape[:2], bool)
    moved = warp.back(change)
    if blend == "seamless" and alone:
        within = warp.depth >= 1 / warp.size
        return _cloned(part + moved, part, within), within
    moved *= warp.fade(_TAPER)[..., None]
    return part + moved, np.abs(moved).max(2) > 0


def _with_filling(
    part: Floats, warp: _Warp, surround: Bytes, erased: Bools, blend: Blend, goes_on: bool
) -> Floats:
    """A part of the photo with its hole filled; less so towards the square's edges where the hole goes on
    beyond them.
    """
    if not erased.any():
        return part
    filled = warp.back(surround.astype(np.float32))
    if blend == "seamless":
        filled = _cloned(filled, part, erased)
    else:
        filled = filled + _seam_offset(part, filled, erased, warp)
    if goes_on:
        filled = part + warp.fade(_HOLE_TAPER)[..., None] * (filled - part)
    return np.where(erased[..., None], filled, part)


def _seam_offset(part: Floats, filled: Floats, erased: Bools, warp: _Warp) -> Floats:
    """What to add to the filling of a hole (H, W, 3), so that its tones meet the photo's along the seam.

    Along the seam, the photo's mean just outside is compared with the filling's just inside, over a ring of
    about two pixels of the crop each; from there the difference is carried on smoothly into the hole, and
    fades.
    """
    width = max(2, round(1.5 * warp.side / warp.size))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * width + 1, 2 * width + 1))
    mask = erased.astype(np.uint8)
    outer = cv2.dilate(mask, kernel).astype(bool) & ~erased & (warp.depth >= 0)
    inner = erased & ~cv2.erode(mask, kernel).astype(bool)
    (around, near), (own, within) = _means(part, outer, width), _means(filled, inner, width)
    ring = inner & (near > _SEEN) & (within > _SEEN)
    if not ring.any():
        return np.zeros_like(part)
    level = np.where(ring[..., None], around - own, 0)
    # where the two show different things, such as an edge a little aside, the difference is none of tone
    weight = ring * np.exp(-np.square(level / _LIKELY_OFFSET).sum(2) / 2)
    offset = _carried_on(level, np.maximum(weight, 1e-4 * ring))
    depth = cv2.distanceTransform(mask, cv2.DIST_L2, 3) / (_OFFSET_REACH * warp.side)
    return offset * np.exp(-depth)[..., None]


def _means(values: Floats, where: Bools, width: float) -> tuple[Floats, Floats]:
    """Means of values (H, W, 3) over the near pixels of a ring, and how much of the ring is near, (H, W)."""
    share = cv2.GaussianBlur(where.astype(np.float32), (0, 0), width)
    total = cv2.GaussianBlur(np.where(where[..., None], values, 0), (0, 0), width)
    return total / np.maximum(share, 1e-3)[..., None], share


def _carried_on(values: Floats, weight: Floats) -> Floats:
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
    spread = _carried_on(coarse * (coarse_weight > 1e-3)[..., None], coarse_weight)
    below = cv2.resize(spread, (width, height), interpolation=cv2.INTER_LINEAR)
    return weight[..., None] * values + (1 - weight[..., None]) * below


def _cloned(target: Floats, part: Floats, region: Bools) -> Floats:
    """The photo with the gradients of `target` in a region, by OpenCV; in steps of its eight bits."""
    spread = ((_PAD, _PAD), (_PAD, _PAD))
    # a frame of unchanged pixels: cloning needs known ones all around
    mask = np.pad(region.astype(np.uint8) * 255, spread)
    source, around = (
        np.pad(np.rint(values.clip(0, 255)).astype(np.uint8), (*spread, (0, 0)), mode="edge")
        for values in (target, part)
    )
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    x, y, w, h = columns[0], rows[0], columns[-1] - columns[0] + 1, rows[-1] - rows[0] + 1
    centre = (int(x + w // 2), int(y + h // 2))
    cloned = cv2.seamlessClone(source, around, mask, centre, cv2.NORMAL_CLONE)
    inner = (slice(_PAD, -_PAD), slice(_PAD, -_PAD))
    moved = cloned[inner].astype(np.float32) - around[inner].astype(np.float32)
    return part + moved  # so that a photo of 16 bits keeps its lower ones
