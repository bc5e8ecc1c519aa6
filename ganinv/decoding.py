"""Bytes of a picture file to upright 8-bit RGB. For `ganinv.images` alone, the door for everybody else."""

from __future__ import annotations

import importlib
import importlib.util
import io
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from ganinv.errors import InputError

# Formats that Pillow reads without starting another program (EPS would call Ghostscript).
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM", "TGA", "JPEG2000", "AVIF", "ICO", "HEIF")
_HEIF_BRANDS = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1")
_ORIENTATION = 0x0112  # of EXIF

Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Decoded:
    """What a file holds, upright.

    pixels: uint8 (H, W, 3), transparent parts laid on the background. alpha: uint8 (H, W), or None.
    original: the file's own colours (H, W, 3), uint8 or uint16, where `pixels` are not these; else None.
    exif: the bytes of an EXIF block without its rotation, or None. icc: an RGB profile, or None.
    notes: what was done.
    """

    pixels: Bytes
    alpha: Bytes | None
    notes: tuple[str, ...]
    original: npt.NDArray[Any] | None = None
    exif: bytes | None = None
    icc: bytes | None = None


def decode(path: Path, data: bytes, background: int) -> Decoded:
    """The picture in a file's bytes.

    Args:
        path: named in messages. data: the file's bytes.
        background: grey level under transparent parts, 0 .. 255.

    Raises:
        InputError: truncated, no picture, too large, or of pixels whose range is unknown.
    """
    notes: list[str] = []
    image, deep = _open(path, data, notes)
    icc = image.info.get("icc_profile")
    try:
        turn = image.getexif().get(_ORIENTATION, 1)
        image = ImageOps.exif_transpose(image)
        deep = None if deep is None else _upright(deep, turn)
        exif = _exif_bytes(image)
    except Exception:  # the pixels are whole; only the tags about them are not
        notes.append(f"{path.name} has damaged EXIF data; it is used unrotated")
        exif = None
    if image.mode == "F" or (image.mode.startswith("I") and not _is_16_bit(image)):
        kind = "floating-point" if image.mode == "F" else "32-bit"
        raise InputError(f"{path} has {kind} pixels, of unknown range; save it with 8 or 16 bits a channel")
    if image.mode.startswith("I"):  # 16-bit grey, which Pillow would clip instead of scaling
        notes.append(f"{path.name} was brought from 16 to 8 bit")
        deep = np.repeat(np.asarray(image).astype(np.uint16)[:, :, None], 3, axis=2)
        image = Image.fromarray(_to_8_bit(deep[:, :, 0]))
    if image.mode == "CMYK":
        image, icc = _from_cmyk(image, icc), None
        notes.append(f"{path.name} was brought from CMYK to RGB")
    icc = icc if isinstance(icc, bytes) and icc[16:20] == b"RGB " else None  # others do not fit RGB pixels
    try:
        if not image.has_transparency_data:
            return Decoded(np.array(image.convert("RGB")), None, tuple(notes), deep, exif, icc)
        rgba = np.asarray(image.convert("RGBA"))
    except (ValueError, OSError) as cause:
        raise InputError(
            f"{path} has pixels of mode {image.mode}, which cannot be brought to RGB: {cause}"
        ) from cause
    alpha = rgba[:, :, 3].copy()
    own = deep if deep is not None else np.ascontiguousarray(rgba[:, :, :3])
    if alpha.min() == 255:
        return Decoded(np.ascontiguousarray(rgba[:, :, :3]), alpha, tuple(notes), deep, exif, icc)
    cover = alpha[:, :, None].astype(np.float32) / 255
    pixels = np.rint(rgba[:, :, :3] * cover + background * (1 - cover)).astype(np.uint8)
    shade = {255: "white", 0: "black"}.get(background, f"grey level {background}")
    notes.append(f"{path.name} has transparent parts; they are shown over {shade}")
    return Decoded(pixels, alpha, tuple(notes), own, exif, icc)


def _open(path: Path, data: bytes, notes: list[str]) -> tuple[Image.Image, npt.NDArray[np.uint16] | None]:
    """The picture, and its 16-bit colours (H, W, 3), not yet upright, where it has such."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            Image.init()
            _find_heif()
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
            return image, None
        except (Image.DecompressionBombError, Image.DecompressionBombWarning):
            limit = (Image.MAX_IMAGE_PIXELS or 0) // 1_000_000
            raise InputError(f"{path} is larger than {limit} million pixels; make it smaller first") from None
        except Image.UnidentifiedImageError:
            if data[4:8] == b"ftyp" and data[8:12] in _HEIF_BRANDS:
                raise InputError(
                    f"{path} is a HEIC picture, and no decoder is installed: type pip install pillow-heif, "
                    "or save it as JPEG"
                ) from None
            raise InputError(
                f"{path} is not a picture that can be read (PNG, JPEG, WebP, BMP, GIF, TIFF, ...)"
            ) from None
        except Exception as cause:  # decoders raise anything at all on damaged data
            raise InputError(f"{path} is truncated or damaged: {cause}") from cause


def _find_heif() -> None:
    """Lets Pillow know of pillow-heif where it is installed."""
    if "HEIF" not in Image.OPEN and importlib.util.find_spec("pillow_heif") is not None:
        importlib.import_module("pillow_heif").register_heif_opener()


def _deep_colour(image: Image.Image, data: bytes) -> tuple[Image.Image, npt.NDArray[np.uint16] | None]:
    """The picture again, its 16-bit channels rounded, and its 16-bit colours; as Pillow gave it where OpenCV
    cannot read it.
    """
    import cv2  # imported here because only such files need it

    found = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if found is None or found.dtype != np.uint16 or found.ndim != 3 or found.shape[2] not in (3, 4):
        return image, None
    order = [2, 1, 0, 3][: found.shape[2]]  # OpenCV speaks BGR(A)
    rounded = Image.fromarray(np.ascontiguousarray(_to_8_bit(found)[:, :, order]))
    rounded.info.update({key: image.info[key] for key in ("exif", "icc_profile") if key in image.info})
    return rounded, np.ascontiguousarray(found[:, :, [2, 1, 0]])


def _upright(array: npt.NDArray[Any], orientation: int) -> npt.NDArray[Any]:
    """An array (H, W, ...) turned as EXIF's orientation 1 .. 8 says."""
    if orientation in (5, 6, 7, 8):
        array = array.swapaxes(0, 1)
    across, down = orientation in (2, 3, 6, 7), orientation in (3, 4, 7, 8)
    return np.ascontiguousarray(array[:: -1 if down else 1, :: -1 if across else 1])


def _exif_bytes(image: Image.Image) -> bytes | None:
    """The EXIF block of an upright picture: no rotation, and no preview of what the picture once was."""
    exif = image.getexif()
    exif.pop(_ORIENTATION, None)
    return exif.tobytes().removeprefix(b"Exif\0\0") if len(exif) else None


def _from_cmyk(image: Image.Image, profile: bytes | None) -> Image.Image:
    """RGB by the picture's own profile, or by Pillow's plain rule where it has none that works."""
    from PIL import ImageCms

    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile or b""))
        converted = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (OSError, ImageCms.PyCMSError):
        return image.convert("RGB")
    return converted or image.convert("RGB")


def _is_16_bit(image: Image.Image) -> bool:
    low, high = (int(v) for v in (np.asarray(image).min(), np.asarray(image).max()))
    return low >= 0 and high <= 65535


def _to_8_bit(deep: npt.NDArray[Any]) -> Bytes:
    """The nearest levels; some rows at a time, since eight bytes a value would be much for a large photo."""
    levels = np.empty(deep.shape, np.uint8)
    for start in range(0, len(deep), 256):
        levels[start : start + 256] = (deep[start : start + 256].astype(np.int64) + 128) // 257
    return levels
