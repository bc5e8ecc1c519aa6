"""The aligned crop of a face, as the data set FFHQ was prepared: reduced, cut, padded, sampled."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from ganinv.align.geometry import Points, Preset, side
from ganinv.images import Bools, Bytes


def crop_face(pixels: Bytes, quad: Points, preset: Preset) -> Bytes:
    """The square `quad` of a photo, uint8 (H, W, 3), as a picture of `preset.size` px.

    Parts beyond the photo show its reflection, which fades to a blur and then to the photo's median colour.
    """
    crop, quad = prepare(pixels, quad, preset.size)
    corners = tuple((quad + 0.5).flatten())
    image = Image.fromarray(crop)
    whole = (preset.transform, preset.transform)
    image = image.transform(whole, Image.Transform.QUAD, corners, Image.Resampling.BILINEAR)
    if preset.size < preset.transform:
        image = image.resize((preset.size, preset.size), Image.Resampling.LANCZOS)
    return np.array(image)


def prepare(pixels: Bytes, quad: Points, size: int, *, padding: bool = True) -> tuple[Bytes, Points]:
    """The part of a photo around a quad, reduced by a whole number and padded where it ends too soon.

    Returns:
        That part, and the quad in its coordinates.
    """
    pixels, quad = _reduced(pixels, quad, size)
    length = side(quad)
    border = max(int(np.rint(length * 0.1)), 3)
    low, high = np.floor(quad.min(0)).astype(int), np.ceil(quad.max(0)).astype(int)
    height, width = pixels.shape[:2]
    # a square wholly beyond the photo still sees its nearest edge
    start = np.clip(low - border, 0, [width - 1, height - 1])
    stop = np.clip(high + border, start + 1, [width, height])
    pixels, quad = pixels[start[1] : stop[1], start[0] : stop[0]], quad - start
    low, high = np.floor(quad.min(0)).astype(int), np.ceil(quad.max(0)).astype(int)
    before = np.maximum(border - low, 0)
    after = np.maximum(high - [pixels.shape[1], pixels.shape[0]] + border, 0)
    if not padding or max(*before, *after) <= border - 4:
        return np.ascontiguousarray(pixels), quad
    least = int(np.rint(length * 0.3))
    before, after = np.maximum(before, least), np.maximum(after, least)
    return _padded(pixels, before, after, length), quad + before


def crop_hole(hole: Bools, quad: Points, size: int) -> Bools:
    """A photo's hole (H, W) in the crop of `size` px: each pixel that touches it; never beyond the photo."""
    patches = int(1.5 * side(quad) / size) + 2  # samples a crop pixel's side: none of the photo's is missed
    steps = (np.arange(size * patches) + 0.5) / (size * patches)
    across, down = quad[3] - quad[0], quad[1] - quad[0]
    found = np.zeros((size, size), bool)
    height, width = hole.shape
    for row, share in enumerate(steps):  # a row at a time keeps memory small at 4096 px
        line = quad[0] + share * down + steps[:, None] * across
        x, y = np.rint(line[:, 0]).astype(int), np.rint(line[:, 1]).astype(int)
        valid = (x >= 0) & (x < width) & (y >= 0) & (y < height)
        hit = valid & hole[y.clip(0, height - 1), x.clip(0, width - 1)]
        found[row // patches] |= hit.reshape(size, patches).any(1)
    return found


def _reduced(pixels: Bytes, quad: Points, size: int) -> tuple[Bytes, Points]:
    """Less than about four pixels of the photo for one of the crop: what lies between would alias."""
    shrink = int(np.floor(side(quad) / size * 0.5))
    if shrink <= 1:
        return pixels, quad
    height, width = pixels.shape[:2]
    new = (max(1, int(np.rint(width / shrink))), max(1, int(np.rint(height / shrink))))
    reduced = Image.fromarray(pixels).resize(new, Image.Resampling.LANCZOS)
    return np.asarray(reduced), quad / shrink


def _padded(
    pixels: Bytes, before: npt.NDArray[np.int64], after: npt.NDArray[np.int64], length: float
) -> Bytes:
    """Reflected edges that fade to a blur of 2 % of the square's side, and to the median colour."""
    spread = ((before[1], after[1]), (before[0], after[0]), (0, 0))
    wide = np.pad(pixels.astype(np.float32), spread, mode="reflect")
    height, width = wide.shape[:2]
    y, x = np.ogrid[:height, :width]
    near_x = np.minimum(x / before[0], (width - 1 - x) / after[0]).astype(np.float32)
    near_y = np.minimum(y / before[1], (height - 1 - y) / after[1]).astype(np.float32)
    beyond = np.maximum(1 - near_x, 1 - near_y)[..., None]
    blurred = _blurred(wide, length * 0.02)
    wide += (blurred - wide) * np.clip(beyond * 3 + 1, 0, 1)
    wide += (np.median(wide, axis=(0, 1)) - wide) * np.clip(beyond, 0, 1)
    return np.rint(wide.clip(0, 255)).astype(np.uint8)


def _blurred(values: npt.NDArray[np.float32], sigma: float) -> npt.NDArray[Any]:
    """A Gaussian blur; a wide one on a smaller copy: a fraction of the cost, less than a level off."""
    coarser = max(1, int(sigma / 4))
    height, width = values.shape[:2]
    small: Any = values
    if coarser > 1:
        size = (max(1, width // coarser), max(1, height // coarser))
        small = cv2.resize(values, size, interpolation=cv2.INTER_AREA)
        # the means of the smaller copy, and their interpolation, blur too
        sigma = float(np.sqrt((sigma / coarser) ** 2 - 1 / 12 - 1 / 6))
    taps = 2 * int(4 * sigma + 0.5) + 1
    small = cv2.GaussianBlur(small, (taps, taps), sigma, borderType=cv2.BORDER_REFLECT)
    return small if coarser == 1 else cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)
