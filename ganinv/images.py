"""The one image contract: everything between files and tensors happens here.

Pictures on file become uint8 RGB (H, W, 3); tensors are float32 (N, 3, H, W), RGB, [-1, 1]. A hole is bool,
True = erased. Eight-bit values are rounded, never truncated: `to_uint8(to_tensor(u))` equals u. Sizes are
changed in `sizes`, masks are read in `mask_files`.
"""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from ganinv.decoding import decode
from ganinv.errors import InputError
from ganinv.files import write_bytes

if TYPE_CHECKING:
    from torch import Tensor

Bytes = npt.NDArray[np.uint8]
Bools = npt.NDArray[np.bool_]
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


def to_tensor(pixels: Bytes) -> Tensor:
    """uint8 (H, W, 3) or (N, H, W, 3) -> float32 (N, 3, H, W) in [-1, 1]."""
    import torch  # not at the top: those who only read and write files do not wait for it

    batch = pixels[None] if pixels.ndim == 3 else pixels
    return from_levels(torch.tensor(batch).permute(0, 3, 1, 2).contiguous())


def to_uint8(images: Tensor) -> Bytes:
    """Float (..., 3, H, W), clamped to [-1, 1] -> uint8 (..., H, W, 3), rounded."""
    return np.ascontiguousarray(to_levels(images).movedim(-3, -1).cpu().numpy())


def to_levels(images: Tensor) -> Tensor:
    """Float (N, 3, H, W), clamped to [-1, 1] -> uint8 of that shape, rounded, on the same device."""
    import torch

    return ((images.detach().float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)


def from_levels(levels: Tensor) -> Tensor:
    """uint8 (N, 3, H, W) -> float32 in [-1, 1], on the same device."""
    return levels.float() / 127.5 - 1


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
