"""A changed crop back into its photo, which stays bit for bit what it was wherever nothing was to change.

Outside a hole the photo takes the difference between the result and the crop, warped back: what the crop did
not change, the photo does not change either, and its own detail stays. Inside a hole it takes the result. An
untouched crop changes nothing at all.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import cv2
import numpy as np
import numpy.typing as npt

from ganinv.align.crop import crop_hole
from ganinv.align.geometry import Points, side, to_crop
from ganinv.align.seam import (
    Floats,
    Layer,
    Scale,
    Solver,
    carried_on,
    clone_offset,
    seam_offset,
    smooth_offset,
    strips,
)
from ganinv.errors import UsageError
from ganinv.images import Bools, Bytes

Blend = Literal["feather", "seamless"]
BLENDS = ("feather", "seamless")
_TAPER = 0.15  # of the square's side, along its edges, over which a difference fades out
_HOLE_TAPER = 0.03  # the same for a hole that goes on beyond the square


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
    untouched = np.array_equal(result, crop) and np.array_equal(surround, crop)
    if untouched or rows.stop <= rows.start or columns.stop <= columns.start:
        return Pasted(colours.copy(), region)
    part = colours[rows, columns]
    warp = _Warp(quad, (columns.start, rows.start), part.shape[:2], len(crop))
    change = result.astype(np.float32)
    change -= crop
    if hole is not None and change.any():  # at the hole's edge, a pixel of the crop holds some of both sides
        known = ~crop_hole(hole, quad, len(crop))
        change = carried_on(np.where(known[..., None], change, 0), known.astype(np.float32))
    pasting = _Pasting(part, warp, change, blend)
    del change
    if hole is not None:
        pasting.fill(surround, hole[rows, columns], int(hole.sum()))
    whole = colours.copy()
    into = whole[rows, columns]
    for some in strips(part.shape[:2]):
        levels, changed = pasting.levels(some)
        into[some] = np.where(changed[..., None], levels, part[some])
        region[rows, columns][some] = changed
    return Pasted(whole, region)


class _Warp:
    """From a crop of `size` px to a part of the photo whose first pixel is `origin` (x, y)."""

    def __init__(self, quad: Points, origin: tuple[int, int], shape: tuple[int, int], size: int) -> None:
        self.side, self.shape, self.size = side(quad), shape, size
        self.quad = quad - np.array(origin)

    @cached_property
    def depth(self) -> Floats:
        """From the nearest edge of the square, in sides; negative beyond it."""
        there = to_crop(self.quad, 1)
        y, x = np.mgrid[: self.shape[0], : self.shape[1]].astype(np.float32)
        u = there[0, 0] * x + there[0, 1] * y + (there[0, 2] + 0.5)
        v = there[1, 0] * x + there[1, 1] * y + (there[1, 2] + 0.5)
        return np.minimum(np.minimum(u, 1 - u), np.minimum(v, 1 - v)).astype(np.float32)

    def fade(self, width: float) -> Floats:
        """0 at the square's edges and beyond, 1 from `width` sides inwards, smooth between."""
        share = np.clip(self.depth / width, 0, 1)
        return share * share * (3 - 2 * share)

    def rows(self, rows: slice) -> _Warp:
        """The same to some rows of the part."""
        return _Warp(self.quad, (0, rows.start), (rows.stop - rows.start, self.shape[1]), self.size)

    def at_size(self, values: Floats) -> Floats:
        """Values (S, S, 3) of the crop at the size of the square, by area means where it is smaller: so that
        sampling them aliases in neither direction.
        """
        new = max(2, round(self.side))
        if new == self.size:
            return values
        how = cv2.INTER_AREA if new < self.size else cv2.INTER_CUBIC
        return np.asarray(cv2.resize(values, (new, new), interpolation=how))

    def back(self, values: Floats) -> Floats:
        """Values of `at_size` in the photo; those at the crop's edge go on beyond it."""
        return np.asarray(
            cv2.warpAffine(
                values,
                to_crop(self.quad, len(values)),
                (self.shape[1], self.shape[0]),
                flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
                borderMode=cv2.BORDER_REPLICATE,
            )
        )


class _Pasting:
    """Levels of a part of a photo with a change added and a hole filled, by some rows at a time.

    part: the photo's colours, uint8 or uint16 (H, W, 3). change: float32 (S, S, 3) of the crop.
    """

    def __init__(self, part: npt.NDArray[Any], warp: _Warp, change: Floats, blend: Blend) -> None:
        self.part, self.warp, self.blend = part, warp, blend
        self.unit = 257.0 if part.dtype == np.uint16 else 1.0
        self.change = change if change.any() else None
        self.filling: Floats | None = None
        self.large: dict[int, Floats] = {}
        """`change` and `filling` at the size of the square, by their identity"""
        self.erased: Bools | None = None
        self.goes_on = False
        self.offset: Callable[[slice], Floats] | None = None
        """what is added to what is laid over the photo; of a hole's filling where there is a hole"""

    def fill(self, surround: Bytes, hole: Bools, total: int) -> None:
        """What to fill the hole (H, W) with; total: its pixels, also beyond the part."""
        inside = (self.warp.rows(rows).depth >= 0 for rows in strips(hole.shape))
        self.erased = hole & np.concatenate(list(inside))
        self.goes_on = total > int(self.erased.sum())
        if self.erased.any():
            self.filling = surround.astype(np.float32)

    def levels(self, rows: slice) -> tuple[npt.NDArray[Any], Bools]:
        """Some rows of the part as they are to be, and where these count, bool (rows, W)."""
        target, changed = self._with_change(rows)
        if self.erased is not None:
            target, changed = self._with_filling(rows, target), changed | self.erased[rows]
        return np.rint(np.clip(target * self.unit, 0, self.unit * 255)).astype(self.part.dtype), changed

    def _with_change(self, rows: slice) -> tuple[Floats, Bools]:
        """The photo with the difference added, and where; cloned only where there is no hole besides."""
        part = self._photo(rows)
        if self.change is None:
            return part, np.zeros(part.shape[:2], bool)
        if self.blend == "seamless" and self.erased is None:
            layer = self._change_layer(rows)
            return layer.laid + self._offset(self._change_layer, clone_offset)(rows), layer.region
        here = self.warp.rows(rows)
        moved = self._back(self.change, here)
        moved *= here.fade(_TAPER)[..., None]
        return part + moved, np.abs(moved).max(2) > 0

    def _with_filling(self, rows: slice, target: Floats) -> Floats:
        """The photo with its hole filled; less so towards the square's edges where the hole goes on."""
        if self.filling is None or self.erased is None:
            return target
        solve = clone_offset if self.blend == "seamless" else seam_offset
        offset = self._offset(self._filling_layer, solve)(rows)
        here = self.warp.rows(rows)
        filled = self._back(self.filling, here) + offset
        if self.goes_on:
            filled = target + here.fade(_HOLE_TAPER)[..., None] * (filled - target)
        return np.where(self.erased[rows][..., None], filled, target)

    def _change_layer(self, rows: slice) -> Layer:
        assert self.change is not None
        part, here = self._photo(rows), self.warp.rows(rows)
        within = here.depth >= 1 / here.size
        return Layer(part, part + self._back(self.change, here), within, within)

    def _filling_layer(self, rows: slice) -> Layer:
        assert self.filling is not None and self.erased is not None
        target, here = self._with_change(rows)[0], self.warp.rows(rows)
        return Layer(target, self._back(self.filling, here), self.erased[rows], here.depth >= 0)

    def _offset(self, layer: Callable[[slice], Layer], solve: Solver) -> Callable[[slice], Floats]:
        if self.offset is None:

            def alone(layer: Layer, scale: Scale) -> Floats:
                self.large.clear()  # both at once would be too much for the memory
                return solve(layer, scale)

            scale = Scale(self.warp.side, self.warp.size)
            self.offset = smooth_offset(layer, self.part.shape[:2], scale, alone)
        return self.offset

    def _back(self, values: Floats, here: _Warp) -> Floats:
        if id(values) not in self.large:
            self.large[id(values)] = here.at_size(values)
        return here.back(self.large[id(values)])

    def _photo(self, rows: slice) -> Floats:
        return (self.part[rows] / self.unit).astype(np.float32)


def _bounds(quad: Points, shape: tuple[int, int]) -> tuple[slice, slice]:
    """Rows and columns of the photo that a quad touches."""
    low = np.clip(np.floor(quad.min(0)).astype(int), 0, [shape[1], shape[0]])
    high = np.clip(np.ceil(quad.max(0)).astype(int) + 1, 0, [shape[1], shape[0]])
    return slice(low[1], high[1]), slice(low[0], high[0])
