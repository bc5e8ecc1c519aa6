"""Pictures of 8 or 16 bits to PNG bytes with metadata. For `ganinv.images` alone, like `ganinv.decoding`."""

from __future__ import annotations

import struct
import zlib
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

_HEADER_END = 33  # of the signature and the IHDR chunk: metadata may stand from here on
_COMPRESSION = 3  # of 0 .. 9: higher ones cost seconds a photo and save little


def encode_png(
    colours: npt.NDArray[Any], alpha: npt.NDArray[np.uint8] | None, exif: bytes | None, icc: bytes | None
) -> bytes:
    """A lossless PNG file (PNG specification, third edition: chunks iCCP and eXIf).

    Args:
        colours: uint8 or uint16 (H, W, 3), RGB. alpha: uint8 (H, W), or None.
        exif: an EXIF block without the prefix it has in JPEG files. icc: a profile for RGB.
    """
    planes = [colours[:, :, ::-1]]
    if alpha is not None:
        planes.append((alpha.astype(colours.dtype) * (257 if colours.dtype == np.uint16 else 1))[:, :, None])
    pixels = np.ascontiguousarray(np.concatenate(planes, axis=2))
    done, buffer = cv2.imencode(".png", pixels, [cv2.IMWRITE_PNG_COMPRESSION, _COMPRESSION])
    if not done:
        raise ValueError(f"OpenCV cannot write {colours.dtype} pixels of shape {colours.shape} as PNG")
    data = buffer.tobytes()
    chunks = b""
    if icc is not None:
        chunks += _chunk(b"iCCP", b"ICC profile\0\0" + zlib.compress(icc))
    if exif is not None:
        chunks += _chunk(b"eXIf", exif)
    return data[:_HEADER_END] + chunks + data[_HEADER_END:]


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
