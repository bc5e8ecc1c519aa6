"""Photos as they come: depth, metadata, profiles, transparency; what is kept when one is written again."""

from __future__ import annotations

import io
import resource
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image, ImageCms

from ganinv import images
from ganinv.errors import InputError
from ganinv.images import read_picture, write_photo

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def noise(*shape: int, top: int = 256) -> Any:
    kind = np.uint8 if top == 256 else np.uint16
    return np.random.default_rng(1).integers(0, top, shape).astype(kind)


def exif(orientation: int | None = None) -> Image.Exif:
    found = Image.Exif()
    found[0x010F] = "A camera"
    found.get_ifd(0x8825)[1] = "N"  # GPS
    if orientation:
        found[0x0112] = orientation
    return found


def test_a_jpeg_keeps_its_metadata_and_is_upright(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    Image.fromarray(noise(20, 30, 3)).save(path, exif=exif(6), icc_profile=SRGB, quality=95)
    picture = read_picture(path)
    assert picture.pixels.shape == (30, 20, 3) and picture.icc == SRGB
    written = write_photo(tmp_path / "b.png", picture.colours, picture)
    with Image.open(written) as image:
        found = image.getexif()
        assert found[0x010F] == "A camera" and 0x0112 not in found
        assert found.get_ifd(0x8825)[1] == "N"
        assert image.info["icc_profile"] == SRGB
        assert np.array_equal(np.asarray(image), picture.pixels)
    again = read_picture(written)
    assert np.array_equal(again.pixels, picture.pixels) and again.icc == SRGB and again.exif


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("channels", [3, 4])
def test_16_bits_are_kept_and_turned(tmp_path: Path, orientation: int, channels: int) -> None:
    deep = noise(6, 9, channels, top=65536)
    path = tmp_path / "a.png"
    data = cv2.imencode(".png", np.ascontiguousarray(deep[:, :, [2, 1, 0, 3][:channels]]))[1].tobytes()
    block = exif(orientation).tobytes().removeprefix(b"Exif\0\0")
    chunk = struct.pack(">I", len(block)) + b"eXIf" + block + struct.pack(">I", zlib.crc32(b"eXIf" + block))
    path.write_bytes(data[:33] + chunk + data[33:])
    picture = read_picture(path)
    small = Image.fromarray(((deep.astype(int) + 128) // 257).astype(np.uint8))
    small.getexif()[0x0112] = orientation
    buffer = io.BytesIO()
    small.save(buffer, "PNG", exif=exif(orientation))
    plain = tmp_path / "plain.png"
    plain.write_bytes(buffer.getvalue())
    assert np.array_equal(picture.pixels, read_picture(plain).pixels)  # the 8-bit path, which Pillow turns
    assert picture.colours.dtype == np.uint16
    turned = picture.colours
    eight = ((turned.astype(int) + 128) // 257).astype(np.uint8)
    assert np.array_equal(eight, read_picture(plain).colours)
    written = write_photo(tmp_path / "b.png", turned, picture)
    again = cv2.imread(str(written), cv2.IMREAD_UNCHANGED)
    assert again.dtype == np.uint16 and np.array_equal(again[:, :, 2::-1], turned)


def test_16_bit_grey(tmp_path: Path) -> None:
    deep = noise(5, 7, top=65536)
    Image.fromarray(deep).save(tmp_path / "a.png")
    picture = read_picture(tmp_path / "a.png")
    assert np.array_equal(picture.colours, np.repeat(deep[..., None], 3, 2))
    assert "brought from 16 to 8 bit" in picture.notes[0]


def test_transparent_parts_keep_their_colours(tmp_path: Path) -> None:
    rgba = noise(8, 8, 4)
    Image.fromarray(rgba).save(tmp_path / "a.png")
    picture = read_picture(tmp_path / "a.png")
    assert np.array_equal(picture.colours, rgba[..., :3]) and not np.array_equal(
        picture.pixels, rgba[..., :3]
    )
    written = write_photo(tmp_path / "b.png", picture.colours, picture)
    with Image.open(written) as image:
        assert np.array_equal(np.asarray(image), rgba)


def test_palette_with_transparency(tmp_path: Path) -> None:
    image = Image.fromarray(noise(8, 8, 3)).quantize(16)
    image.save(tmp_path / "a.png", transparency=3)
    picture = read_picture(tmp_path / "a.png")
    assert picture.alpha is not None and (picture.alpha == 0).any()
    assert "transparent parts" in picture.notes[-1]


def test_cmyk(tmp_path: Path) -> None:
    Image.fromarray(noise(8, 8, 4), "CMYK").save(tmp_path / "a.jpg")
    Image.fromarray(noise(8, 8, 4), "CMYK").save(tmp_path / "b.jpg", icc_profile=b"no profile" * 20)
    for name in ("a.jpg", "b.jpg"):
        picture = read_picture(tmp_path / name)
        assert picture.pixels.shape == (8, 8, 3) and picture.icc is None
        assert picture.notes == (f"{name} was brought from CMYK to RGB",)


def test_profiles_of_other_colour_spaces_are_left_out(tmp_path: Path) -> None:
    grey = bytearray(SRGB)
    grey[16:20] = b"GRAY"
    Image.fromarray(noise(8, 8)).save(tmp_path / "a.png", icc_profile=bytes(grey))
    assert read_picture(tmp_path / "a.png").icc is None


def test_damaged_exif(tmp_path: Path) -> None:
    Image.fromarray(noise(8, 12, 3)).save(
        tmp_path / "a.jpg", exif=b"Exif\0\0MM\0\x2a\0\0\0\x08\xff\xff" + b"\x01" * 40
    )
    picture = read_picture(tmp_path / "a.jpg")
    assert picture.pixels.shape == (8, 12, 3)
    written = write_photo(tmp_path / "b.png", picture.colours, picture)
    assert np.array_equal(read_picture(written).pixels, picture.pixels)


def test_heic_without_a_decoder(tmp_path: Path) -> None:
    path = tmp_path / "a.heic"
    path.write_bytes(struct.pack(">I", 24) + b"ftypheic" + bytes(12) + bytes(500))
    if "HEIF" in Image.OPEN:
        pytest.skip("a decoder is installed")
    with pytest.raises(InputError, match=r"a\.heic is a HEIC picture, and no decoder is installed: type pip"):
        read_picture(path)


def test_animations_give_their_first_frame(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (9, 9), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    picture = read_picture(tmp_path / "a.gif")
    assert tuple(picture.pixels[0, 0]) == (255, 0, 0)
    assert picture.notes == ("a.gif has several frames; the first is used",)


def test_huge_files_and_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(noise(8, 8, 3)).save(path)
    monkeypatch.setattr(images, "LARGEST_FILE", 50)
    with pytest.raises(InputError, match="is larger than 5e-08 GB; make it smaller first"):
        read_picture(path)
    monkeypatch.undo()
    Image.new("1", (20000, 20000)).save(path)
    code = (
        "import resource, sys\nfrom ganinv.images import read_picture\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "try: read_picture(sys.argv[1])\n"
        "except Exception as e: print(type(e).__name__, e)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    said = subprocess.run(
        [sys.executable, "-c", code, path], capture_output=True, text=True, check=True
    ).stdout
    message, grown = said.splitlines()
    assert (
        message.startswith("InputError")
        and "is larger than 89 million pixels; make it smaller first" in message
    )
    unit = 1 if sys.platform == "darwin" else 1024
    assert int(grown) * unit < 200e6
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * unit < 4e9
