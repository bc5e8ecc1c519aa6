"""Bytes of a picture file to upright 8-bit RGB. For `ganinv.images` alone, the door for everybody else."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from ganinv.errors import InputError

# Formats that Pillow reads without starting another program (EPS would call Ghostscript).
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM", "TGA", "JPEG2000", "AVIF", "ICO")

Bytes = npt.NDArray[np.uint8]


def decode(path: Path, data: bytes, background: int) -> tuple[Bytes, Bytes | None, tuple[str, ...]]:
    """Pixels uint8 (H, W, 3), alpha uint8 (H, W) or None, and notes on what was done.

    Args:
        path: named in messages. data: the file's bytes.
        background: grey level under transparent parts, 0 .. 255.

    Raises:
        InputError: truncated, no picture, too large, or of pixels whose range is unknown.
    """
    notes: list[str] = []
    image = _open(path, data, notes)
    try:
        image = ImageOps.exif_transpose(image)
    except Exception:  # the pixels are whole; only the tags about them are not
        notes.append(f"{path.name} has damaged EXIF data; it is used unrotated")
    if image.mode == "F" or (image.mode.startswith("I") and not _is_16_bit(image)):
        kind = "floating-point" if image.mode == "F" else "32-bit"
        raise InputError(f"{path} has {kind} pixels, of unknown range; save it with 8 or 16 bits a channel")
    if image.mode.startswith("I"):  # 16-bit grey, which Pillow would clip instead of scaling
        notes.append(f"{path.name} was brought from 16 to 8 bit")
        image = Image.fromarray(_to_8_bit(np.asarray(image)))
    try:
        if not image.has_transparency_data:
            return np.array(image.convert("RGB")), None, tuple(notes)
        rgba = np.asarray(image.convert("RGBA"))
    except (ValueError, OSError) as cause:
        raise InputError(
            f"{path} has pixels of mode {image.mode}, which cannot be brought to RGB: {cause}"
        ) from cause
    alpha = rgba[:, :, 3].copy()
    cover = alpha[:, :, None].astype(np.float32) / 255
    pixels = np.rint(rgba[:, :, :3] * cover + background * (1 - cover)).astype(np.uint8)
    if alpha.min() < 255:
        shade = {255: "white", 0: "black"}.get(background, f"grey level {background}")
        notes.append(f"{path.name} has transparent parts; they are shown over {shade}")
    return pixels, alpha, tuple(notes)


def _open(path: Path, data: bytes, notes: list[str]) -> Image.Image:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            Image.init()
            formats = [name for name in FORMATS if name in Image.OPEN]  # some are optional in Pillow
            image: Image.Image = Image.open(io.BytesIO(data), formats=formats)
            if getattr(image, "is_animated", False) and image.format != "MPO":
                notes.append(f"{path.name} has several frames; the first is used")
            # Pillow drops the lower byte of 16-bit colour; we round instead
            deep = (
                image.format in ("PNG", "TIFF")
                and image.mode in ("RGB", "RGBA", "LA")
                and ";16" in str(getattr(image, "tile", ""))
            )
            image.load()
            if deep:
                notes.append(f"{path.name} was brought from 16 to 8 bit")
                return _deep_colour(image, data)
            return image
        except (Image.DecompressionBombError, Image.DecompressionBombWarning):
            limit = (Image.MAX_IMAGE_PIXELS or 0) // 1_000_000
            raise InputError(f"{path} is larger than {limit} million pixels; make it smaller first") from None
        except Image.UnidentifiedImageError:
            raise InputError(
                f"{path} is not a picture that can be read (PNG, JPEG, WebP, BMP, GIF, TIFF, ...)"
            ) from None
        except Exception as cause:  # decoders raise anything at all on damaged data
            raise InputError(f"{path} is truncated or damaged: {cause}") from cause


def _deep_colour(image: Image.Image, data: bytes) -> Image.Image:
    """The picture again, with its 16-bit channels rounded; as Pillow gave it where OpenCV cannot read it."""
    import cv2  # imported here because only such files need it

    found = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if found is None or found.dtype != np.uint16 or found.ndim != 3 or found.shape[2] not in (3, 4):
        return image
    order = [2, 1, 0, 3][: found.shape[2]]  # OpenCV speaks BGR(A)
    rounded = Image.fromarray(_to_8_bit(found)[:, :, order])
    if "exif" in image.info:
        rounded.info["exif"] = image.info["exif"]
    return rounded


def _is_16_bit(image: Image.Image) -> bool:
    low, high = (int(v) for v in (np.asarray(image).min(), np.asarray(image).max()))
    return low >= 0 and high <= 65535


def _to_8_bit(deep: npt.NDArray[Any]) -> Bytes:
    return ((deep.astype(np.int64) + 128) // 257).astype(np.uint8)
