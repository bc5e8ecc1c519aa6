"""Pictures and holes brought to another size or shape: fitted, embedded, resized."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from ganinv.errors import InputError, UsageError
from ganinv.images import Bools, Bytes, Picture

FITS = ("refuse", "crop", "pad")


def fit_shape(picture: Picture, mode: str = "refuse", shape: tuple[int, int] = (1, 1)) -> Picture:
    """A picture in the proportions of `shape` (height, width): unchanged if it has them, else refused,
    cropped to its middle, or padded at its edges.

    Raises:
        InputError: other proportions and `mode` is "refuse". UsageError: an unknown mode.
    """
    pixels = fit_array(picture.pixels, mode, shape)
    if pixels is picture.pixels:
        return picture
    alpha = None if picture.alpha is None else fit_array(picture.alpha, mode, shape)
    height, width = picture.pixels.shape[:2]
    done = "cropped" if mode == "crop" else "padded"
    aim = _proportions(shape)
    note = f"the picture of {width} x {height} was {done} to {'a ' * (aim == 'square')}{aim}"
    return replace(picture, pixels=pixels, alpha=alpha, original=None, notes=(*picture.notes, note))


def fit_array(array: npt.NDArray[Any], mode: str, shape: tuple[int, int] = (1, 1)) -> npt.NDArray[Any]:
    """`fit_shape` for an array (H, W, ...), such as a picture's hole; padding is never erased."""
    height, width = array.shape[:2]
    if mode not in FITS:
        raise UsageError(f"unknown fit {mode!r}; type --fit refuse, crop or pad")
    tall, wide = _smallest(shape)
    if abs(height * wide - width * tall) < max(tall, wide):  # less than a pixel off
        return array
    if mode == "refuse":
        raise InputError(
            f"the picture is {width} x {height}, not {_proportions(shape)}; type --fit crop or --fit pad"
        )
    taller = height * wide > width * tall
    if mode == "crop":
        new = (round(width * tall / wide), width) if taller else (height, round(height * wide / tall))
        top, left = (height - new[0]) // 2, (width - new[1]) // 2
        return np.ascontiguousarray(array[top : top + new[0], left : left + new[1]])
    new = (height, round(height * wide / tall)) if taller else (round(width * tall / wide), width)
    above, before = (new[0] - height) // 2, (new[1] - width) // 2
    spread = [(above, new[0] - height - above), (before, new[1] - width - before)]
    spread += [(0, 0)] * (array.ndim - 2)
    if array.dtype == np.bool_:
        return np.pad(array, spread)
    return np.pad(array, spread, mode="edge")


def _smallest(shape: tuple[int, int]) -> tuple[int, int]:
    common = math.gcd(*shape)
    return shape[0] // common, shape[1] // common


def _proportions(shape: tuple[int, int]) -> str:
    tall, wide = _smallest(shape)
    return "square" if tall == wide else f"{wide} : {tall}"


def middle(size: int, content: tuple[int, int] | None) -> tuple[slice, slice]:
    """Rows and columns of the middle `content` (height, width) of a picture of `size` px; None is all of it.

    Raises:
        UsageError: it does not lie inside the picture.
    """
    height, width = content or (size, size)
    if not (0 < height <= size and 0 < width <= size):
        raise UsageError(f"content of {height}x{width} does not fit into pictures of {size} px")
    top, left = (size - height) // 2, (size - width) // 2
    return slice(top, top + height), slice(left, left + width)


def embed(array: npt.NDArray[Any], size: int) -> npt.NDArray[Any]:
    """An array (h, w, ...) in the middle of zeros (size, size, ...): black, or not erased."""
    rows, columns = middle(size, (array.shape[0], array.shape[1]))
    if array.shape[:2] == (size, size):
        return array
    whole = np.zeros((size, size, *array.shape[2:]), array.dtype)
    whole[rows, columns] = array
    return whole


def resize(pixels: Bytes, size: int | tuple[int, int]) -> Bytes:
    """Pixels (H, W) or (H, W, C) at `size`, a side or (height, width): down by area means, up by Lanczos."""
    height, width = (size, size) if isinstance(size, int) else size
    if pixels.shape[:2] == (height, width):
        return pixels
    if height > pixels.shape[0] or width > pixels.shape[1]:
        return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.LANCZOS))
    rows = _area_mean(pixels, height)
    both = _area_mean(rows.swapaxes(0, 1), width).swapaxes(0, 1)
    return np.ascontiguousarray(np.floor(both + 0.5).clip(0, 255).astype(np.uint8))


def _area_mean(values: npt.NDArray[Any], size: int) -> npt.NDArray[np.float64]:
    """Means along axis 0 over `size` equal stretches; pixels on an edge count by their share."""
    length = values.shape[0]
    edges = np.arange(size + 1) * length
    whole, share = edges // size, (edges % size) / size
    sums = np.add.reduceat(values, whole[:-1], axis=0, dtype=np.float64)
    until = np.concatenate([np.zeros_like(sums[:1]), np.cumsum(sums, axis=0)])  # of all pixels before `whole`
    cut = values[np.minimum(whole, length - 1)].astype(np.float64)
    until += cut * share.reshape(-1, *[1] * (values.ndim - 1))
    return np.diff(until, axis=0) * (size / length)


def resize_hole(hole: Bools, size: int | tuple[int, int]) -> Bools:
    """A hole (H, W) at `size`, by the nearest pixel centre."""
    height, width = (size, size) if isinstance(size, int) else size
    rows = (2 * np.arange(height) + 1) * hole.shape[0] // (2 * height)
    columns = (2 * np.arange(width) + 1) * hole.shape[1] // (2 * width)
    return np.ascontiguousarray(hole[rows][:, columns])
