"""The one image and mask contract: everything between files and tensors happens here.

Pictures on file become uint8 RGB (H, W, 3); tensors are float32 (N, 3, H, W), RGB, [-1, 1]. A hole is bool,
True = erased. Eight-bit values are rounded, never truncated: `to_uint8(to_tensor(u))` equals u.
"""

from __future__ import annotations

import io
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image

from ganinv.decoding import decode
from ganinv.errors import InputError, UsageError
from ganinv.files import write_bytes

if TYPE_CHECKING:
    from torch import Tensor

Bytes = npt.NDArray[np.uint8]
Bools = npt.NDArray[np.bool_]
Fit = Literal["refuse", "crop", "pad"]
FITS = ("refuse", "crop", "pad")
POLARITIES = ("erase-white", "keep-white")
EXTENSIONS = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm")
LARGEST_FILE = 1_000_000_000  # bytes; a picture of the most pixels that are taken has less


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture as read, upright.

    pixels: uint8 (H, W, 3), RGB; transparent parts show the background they were laid on (white).
    alpha: uint8 (H, W), 255 = opaque, or None where the file has no transparency.
    notes: one line for everything done to it that a user may want to know.
    original: the file's own colours (H, W, 3), uint8 or uint16, where they are not `pixels`: of pictures with
    16 bits or transparent parts. exif, icc: the file's metadata and RGB colour profile, if any.
    """

    pixels: Bytes
    alpha: Bytes | None = None
    notes: tuple[str, ...] = ()
    original: npt.NDArray[Any] | None = None
    exif: bytes | None = None
    icc: bytes | None = None

    @property
    def colours(self) -> npt.NDArray[Any]:
        """The file's own colours (H, W, 3), uint8 or uint16."""
        return self.pixels if self.original is None else self.original


@dataclass(frozen=True, eq=False)
class Mask:
    """hole: bool (H, W), True = erased. notes: as those of a Picture."""

    hole: Bools
    notes: tuple[str, ...] = ()


def read_picture(path: str | Path, *, background: int = 255) -> Picture:
    """Reads a picture of any mode: EXIF rotation, transparency, palette, grey, 16 bit, CMYK.

    Args:
        path: the file.
        background: grey level under transparent parts, 0 .. 255.

    Raises:
        InputError: absent, empty, truncated, no picture, too large, or of floating-point pixels.
    """
    path = Path(path)
    if path.is_dir():
        if not os.access(path, os.R_OK | os.X_OK):
            raise InputError(f"cannot read the folder {path}: no permission")
        raise InputError(f"{path} is a folder, not a picture")
    if not path.is_file():
        raise InputError(f"{path} is not a plain file" if path.exists() else f"no such file: {path}")
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise InputError(f"{path} is larger than {LARGEST_FILE / 1e9:g} GB; make it smaller first")
        data = path.read_bytes()
    except OSError as cause:
        raise InputError(f"cannot read {path}: {cause.strerror or cause}") from cause
    if not data:
        raise InputError(f"{path} is empty (0 bytes)")
    found = decode(path, data, background)
    return Picture(found.pixels, found.alpha, found.notes, found.original, found.exif, found.icc)


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


def read_mask(path: str | Path, shape_hw: tuple[int, int], polarity: str = "erase-white") -> Mask:
    """Reads a mask for a picture of `shape_hw` (as read, before any fit): white (> 127) is erased.

    Args:
        polarity: "erase-white", or "keep-white" for files with the opposite meaning.

    Returns:
        The hole at `shape_hw`. A mask of the same shape in another size is resized, with a note.

    Raises:
        InputError: as `read_picture`, or the mask has another shape. UsageError: an unknown polarity.
    """
    if polarity not in POLARITIES:
        raise UsageError(
            f"unknown mask polarity {polarity!r}; type --mask-polarity erase-white or keep-white"
        )
    picture = read_picture(path, background=0)  # a white brush on a transparent layer is a common export
    pixels, notes, name = picture.pixels, list(picture.notes), Path(path).name
    grey = (
        pixels[:, :, 0]
        if (pixels == pixels[:, :, :1]).all()
        else np.asarray(Image.fromarray(pixels).convert("L"))
    )
    between = int(((grey != 0) & (grey != 255)).sum())
    if between:
        notes.append(
            f"mask {name} has {between} pixels that are neither black nor white; "
            "values above 127 count as white"
        )
    hole = grey > 127
    if polarity == "keep-white":
        hole = ~hole
    (height, width), (own_h, own_w) = shape_hw, hole.shape
    if (own_h, own_w) != (height, width):
        if abs(own_w * height - own_h * width) > 0.01 * own_h * width:
            raise InputError(
                f"mask {path} is {own_w} x {own_h} and the picture {width} x {height}: "
                "give a mask of the picture's shape"
            )
        notes.append(f"mask {name} of {own_w} x {own_h} was resized to the picture's {width} x {height}")
        hole = resize_hole(hole, (height, width))
    return Mask(hole, tuple(notes))


def alpha_mask(picture: Picture) -> Mask:
    """The transparent parts (alpha < 128) of a picture as a hole. Raises InputError if it has no alpha."""
    if picture.alpha is None:
        raise InputError(
            "--mask alpha needs a picture with transparency, and this one has none; give a mask file"
        )
    return Mask(picture.alpha < 128)


def hole_notes(hole: Bools) -> tuple[str, ...]:
    """What a user should know about a hole: it erases nothing, all, or nearly all of the picture."""
    share = float(hole.mean())
    if share == 0:
        return ("the mask erases nothing: plain inversion",)
    if share == 1:
        return ("the mask erases everything: the results are unconditional samples",)
    return (f"the mask erases {share:.1%} of the picture; little is left to go by",) if share > 0.95 else ()


def to_tensor(pixels: Bytes) -> Tensor:
    """uint8 (H, W, 3) or (N, H, W, 3) -> float32 (N, 3, H, W) in [-1, 1]."""
    import torch  # not at the top: those who only read and write files do not wait for it

    batch = pixels[None] if pixels.ndim == 3 else pixels
    return from_levels(torch.tensor(batch).permute(0, 3, 1, 2).contiguous())


def to_uint8(images: Tensor) -> Bytes:
    """Float (N, 3, H, W), clamped to [-1, 1] -> uint8 (N, H, W, 3), rounded."""
    return np.ascontiguousarray(to_levels(images).permute(0, 2, 3, 1).cpu().numpy())


def to_levels(images: Tensor) -> Tensor:
    """Float (N, 3, H, W), clamped to [-1, 1] -> uint8 of that shape, rounded, on the same device."""
    import torch

    return ((images.detach().float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)


def from_levels(levels: Tensor) -> Tensor:
    """uint8 (N, 3, H, W) -> float32 in [-1, 1], on the same device."""
    return levels.float() / 127.5 - 1


def composite(raw: Bytes, working: Bytes, hole: Bools, feather: int = 0) -> Bytes:
    """The generator's pixels in the hole and the picture's outside it, bit for bit.

    Args:
        raw, working: uint8 (N, H, W, 3).
        hole: bool (N, H, W) or (N, H, W, 1).
        feather: width in pixels of a band inside the hole over which the known colours next to it fade into
            `raw`. What `working` holds inside the hole is never used.

    Returns:
        uint8 (N, H, W, 3).
    """
    erased = (hole[..., 0] if hole.ndim == 4 else hole).astype(bool)
    if raw.shape != working.shape or erased.shape != raw.shape[:3]:
        raise ValueError(f"shapes differ: raw {raw.shape}, working {working.shape}, hole {hole.shape}")
    if feather < 0:
        raise UsageError(f"a feather of {feather} pixels is not possible; type --feather 0 or more")
    result = np.where(erased[..., None], raw, working)
    reached, colours = ~erased, np.where(erased[..., None], 0, working).astype(np.float64)
    for step in range(1, feather + 1):  # each ring takes the mean of its neighbours one ring further out
        weight = _neighbours(reached[..., None].astype(np.float64))
        ring = erased & ~reached & (weight[..., 0] > 0)
        if not ring.any():
            break
        colours[ring] = (_neighbours(colours * reached[..., None]) / np.maximum(weight, 1))[ring]
        share = step / (feather + 1)
        mixed = share * raw[ring] + (1 - share) * colours[ring]
        result[ring] = np.floor(mixed + 0.5).clip(0, 255).astype(np.uint8)
        reached = reached | ring
    return result


def _neighbours(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Sums over the 3 x 3 neighbourhood, of (N, H, W, C), zeros outside."""
    for axis in (1, 2):
        spread = [(0, 0)] * 4
        spread[axis] = (1, 1)
        wide = np.pad(values, spread).swapaxes(0, axis)
        values = (wide[:-2] + wide[1:-1] + wide[2:]).swapaxes(0, axis)
    return values


def write_png(path: str | Path, pixels: Bytes) -> Path:
    """Writes uint8 (H, W, 3) or (H, W) as PNG, whole or not at all. Raises OutputError."""
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, format="PNG")
    return write_bytes(path, buffer.getvalue())


def write_photo(path: str | Path, colours: npt.NDArray[Any], like: Picture) -> Path:
    """Writes a changed photo as PNG, with the metadata, profile and transparency of the one it was.

    Args:
        colours: uint8 or uint16 (H, W, 3), of the size of `like`.

    Raises OutputError.
    """
    from ganinv.encoding import encode_png

    return write_bytes(path, encode_png(colours, like.alpha, like.exif, like.icc))


def sheet(rows: Sequence[Sequence[Bytes]], *, gap: int = 2) -> Bytes:
    """Pictures uint8 (H, W, 3) of one size in a white grid; shorter rows end in white."""
    height, width = rows[0][0].shape[:2]
    columns = max(len(row) for row in rows)
    page = np.full((len(rows) * (height + gap) + gap, columns * (width + gap) + gap, 3), 255, np.uint8)
    for i, row in enumerate(rows):
        for j, pixels in enumerate(row):
            top, left = gap + i * (height + gap), gap + j * (width + gap)
            page[top : top + height, left : left + width] = pixels
    return page
