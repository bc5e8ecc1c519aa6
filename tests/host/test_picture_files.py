"""Pictures read from files of every mode, files that are refused, and files written."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from ganinv.decoding import FORMATS
from ganinv.errors import InputError, OutputError
from ganinv.images import EXTENSIONS, read_picture, to_tensor, to_uint8, write_png
from ganinv.mask_files import alpha_mask


def noise(*shape: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def save(path: Path, image: Image.Image, **options: Any) -> Path:
    image.save(path, **options)
    return path


# ---- reading


def test_every_eight_bit_value_survives(tmp_path: Path) -> None:
    pixels = np.repeat(np.arange(256, dtype=np.uint8).reshape(16, 16, 1), 3, axis=2)
    path = write_png(tmp_path / "a.png", pixels)
    picture = read_picture(path)
    assert picture.alpha is None and picture.notes == ()
    assert np.array_equal(picture.pixels, pixels)
    assert np.array_equal(to_uint8(to_tensor(picture.pixels))[0], pixels)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation(tmp_path: Path, orientation: int) -> None:
    upright = noise(4, 6, 3)
    undo = {  # what a camera stores so that showing it with this tag gives `upright`
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.swapaxes(0, 1),
        6: np.rot90(upright),
        7: np.rot90(upright, 2).swapaxes(0, 1),
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = save(tmp_path / "a.png", Image.fromarray(np.ascontiguousarray(undo)), exif=exif)
    assert np.array_equal(read_picture(path).pixels, upright)


def test_transparency_is_laid_on_white_and_kept(tmp_path: Path) -> None:
    rgba = np.zeros((1, 3, 4), np.uint8)
    rgba[0, :, 3] = (0, 51, 255)
    picture = read_picture(save(tmp_path / "a.png", Image.fromarray(rgba)))
    assert picture.pixels[0, :, 0].tolist() == [255, 204, 0]
    assert picture.alpha is not None and picture.alpha.tolist() == [[0, 51, 255]]
    assert picture.notes == ("a.png has transparent parts; they are shown over white",)
    assert alpha_mask(picture).hole.tolist() == [[True, True, False]]


def test_opaque_alpha_needs_no_note(tmp_path: Path) -> None:
    picture = read_picture(save(tmp_path / "a.png", Image.new("RGBA", (2, 2), (9, 8, 7, 255))))
    assert picture.notes == () and picture.pixels[0, 0].tolist() == [9, 8, 7]


@pytest.mark.parametrize(
    ("mode", "colour", "expected"),
    [
        ("L", 77, (77, 77, 77)),
        ("1", 1, (255, 255, 255)),
        ("LA", (77, 255), (77, 77, 77)),
        ("P", 0, (0, 0, 0)),
        ("RGB", (1, 2, 3), (1, 2, 3)),
    ],
)
def test_modes(tmp_path: Path, mode: str, colour: Any, expected: tuple[int, ...]) -> None:
    picture = read_picture(save(tmp_path / "a.png", Image.new(mode, (3, 2), colour)))
    assert picture.pixels.shape == (2, 3, 3)
    assert tuple(picture.pixels[1, 2]) == expected


def test_palette_with_transparency(tmp_path: Path) -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.putpixel((1, 0), 1)
    picture = read_picture(save(tmp_path / "a.png", image, transparency=1))
    assert picture.pixels[0].tolist() == [[10, 20, 30], [255, 255, 255]]
    assert picture.alpha is not None and picture.alpha.tolist() == [[255, 0]]


def test_rgb_with_a_transparent_colour(tmp_path: Path) -> None:
    image = Image.fromarray(np.array([[[1, 2, 3], [4, 5, 6]]], np.uint8))
    picture = read_picture(save(tmp_path / "a.png", image, transparency=(1, 2, 3)))
    assert picture.alpha is not None and picture.alpha.tolist() == [[0, 255]]


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_sixteen_bit_grey_is_rounded(tmp_path: Path, suffix: str) -> None:
    deep = np.array([[0, 128, 129, 257, 65535, 65535 // 2]], np.uint16)
    picture = read_picture(save(tmp_path / f"a.{suffix}", Image.fromarray(deep)))
    assert picture.pixels[0, :, 1].tolist() == [0, 0, 1, 1, 255, 127]
    assert picture.notes == (f"a.{suffix} was brought from 16 to 8 bit",)


@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_sixteen_bit_colour_is_rounded(tmp_path: Path, suffix: str, channels: int) -> None:
    deep = np.full((2, 3, channels), 65535, np.uint16)
    deep[..., 0], deep[0, :, 1], deep[1, :, 1] = 129, 257 * 7 + 128, 257 * 7 + 129
    assert cv2.imwrite(str(tmp_path / f"a.{suffix}"), deep[:, :, [2, 1, 0, 3][:channels]])
    picture = read_picture(tmp_path / f"a.{suffix}")
    assert picture.pixels.tolist() == [[[1, 7, 255]] * 3, [[1, 8, 255]] * 3]
    assert (picture.alpha is None) == (channels == 3)
    assert picture.notes == (f"a.{suffix} was brought from 16 to 8 bit",)


def test_cmyk(tmp_path: Path) -> None:
    path = save(tmp_path / "a.jpg", Image.new("CMYK", (16, 16), (0, 255, 255, 0)), quality=95)
    red, green, blue = read_picture(path).pixels[8, 8].tolist()
    assert red > 240 and green < 15 and blue < 15


def test_floating_point_and_32_bit_are_refused(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match="floating-point pixels, of unknown range; save it with 8 or 16 bits"
    ):
        read_picture(save(tmp_path / "a.tif", Image.new("F", (2, 2), 0.5)))
    with pytest.raises(InputError, match="32-bit pixels, of unknown range"):
        read_picture(save(tmp_path / "b.tif", Image.new("I", (2, 2), 70000)))


def test_first_of_several_frames(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (2, 2), (v, v, v)) for v in (10, 200)]
    path = save(tmp_path / "a.gif", frames[0], save_all=True, append_images=frames[1:])
    picture = read_picture(path)
    assert picture.notes == ("a.gif has several frames; the first is used",)
    assert picture.pixels[0, 0].tolist() == [10, 10, 10]


# ---- refusing


def jpeg_bytes() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(noise(64, 64, 3)).save(buffer, format="JPEG")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", r"is empty \(0 bytes\)"),
        (b"this is no picture", "is not a picture that can be read"),
        (jpeg_bytes()[:600], "is truncated or damaged"),
        (jpeg_bytes()[:20], "truncated or damaged|not a picture"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "is not a picture that can be read"),
    ],
)
def test_bad_files_are_one_line(tmp_path: Path, data: bytes, text: str) -> None:
    (tmp_path / "a.png").write_bytes(data)
    with pytest.raises(InputError, match=text) as caught:
        read_picture(tmp_path / "a.png")
    assert "\n" not in str(caught.value) and "a.png" in str(caught.value)


@pytest.mark.parametrize("keep", [0.2, 0.6, 0.97])
def test_truncated_png(tmp_path: Path, keep: float) -> None:
    path = write_png(tmp_path / "a.png", noise(32, 32, 3))
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * keep)])
    with pytest.raises(InputError, match="is truncated or damaged"):
        read_picture(path)


def test_absent_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no such file: .*no\.png"):
        read_picture(tmp_path / "no.png")
    with pytest.raises(InputError, match="is a folder, not a picture"):
        read_picture(tmp_path)


@pytest.mark.parametrize("limit", [40, 90])
def test_decompression_bomb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int) -> None:
    path = write_png(tmp_path / "a.png", noise(10, 10, 3))
    monkeypatch.setattr(
        Image, "MAX_IMAGE_PIXELS", limit
    )  # Pillow warns from once, raises from twice the limit
    with pytest.raises(InputError, match="is larger than 0 million pixels; make it smaller first"):
        read_picture(path)


# ---- writing


def test_write_png(tmp_path: Path) -> None:
    pixels = noise(5, 4, 3)
    first = write_png(tmp_path / "a.png", pixels).read_bytes()
    assert write_png(tmp_path / "b.png", pixels.copy()).read_bytes() == first
    assert np.array_equal(read_picture(tmp_path / "a.png").pixels, pixels)
    with Image.open(write_png(tmp_path / "m.png", pixels[:, :, 0])) as grey:
        assert grey.mode == "L"
    with pytest.raises(OutputError, match="cannot write"):
        write_png(tmp_path, pixels)


def test_extensions_name_formats_that_can_be_read() -> None:
    Image.init()
    assert {Image.EXTENSION[e] for e in EXTENSIONS} <= set(FORMATS)
