from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from ganinv.decoding import FORMATS
from ganinv.errors import InputError, OutputError, UsageError
from ganinv.images import (
    EXTENSIONS,
    Picture,
    alpha_mask,
    composite,
    fit_array,
    fit_shape,
    hole_notes,
    read_mask,
    read_picture,
    resize,
    resize_hole,
    sheet,
    to_tensor,
    to_uint8,
    write_png,
)

few = settings(max_examples=25, deadline=None)


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


def test_alpha_mask_without_alpha() -> None:
    with pytest.raises(InputError, match="--mask alpha needs a picture with transparency"):
        alpha_mask(Picture(noise(2, 2, 3)))


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


# ---- sizes


def test_fit() -> None:
    wide = Picture(noise(4, 8, 3), noise(4, 8), ("before",))
    with pytest.raises(InputError, match="the picture is 8 x 4, not square; type --fit crop or --fit pad"):
        fit_shape(wide)
    with pytest.raises(UsageError, match="unknown fit 'squash'"):
        fit_shape(wide, "squash")
    cropped = fit_shape(wide, "crop")
    assert np.array_equal(cropped.pixels, wide.pixels[:, 2:6]) and cropped.alpha is not None
    assert cropped.notes == ("before", "the picture of 8 x 4 was cropped to a square")
    padded = fit_shape(wide, "pad")
    assert padded.pixels.shape == (8, 8, 3) and np.array_equal(padded.pixels[2:6], wide.pixels)
    assert np.array_equal(padded.pixels[0], wide.pixels[0])
    square = Picture(noise(4, 4, 3))
    assert fit_shape(square) is square


def test_padding_is_never_erased() -> None:
    hole = fit_array(np.ones((3, 8), bool), "pad")
    assert hole.shape == (8, 8) and hole.sum() == 24


@given(
    pixels=hnp.arrays(np.uint8, st.tuples(st.integers(1, 20), st.integers(1, 20), st.just(3))),
    size=st.integers(1, 20),
)
@few
def test_resize_down_is_the_area_mean(pixels: Any, size: int) -> None:
    size = min(size, *pixels.shape[:2])

    def shares(length: int) -> Any:
        cells = np.arange(size)[:, None] * length / size
        ends = np.minimum(np.arange(length) + 1, cells + length / size)
        return np.maximum(0, ends - np.maximum(np.arange(length), cells)) * size / length

    rows, columns = shares(pixels.shape[0]), shares(pixels.shape[1])
    exact = np.einsum("ah,hwc,bw->abc", rows, pixels.astype(float), columns)
    assert np.abs(resize(pixels, size) - exact).max() <= 0.5 + 1e-6


@given(pixels=hnp.arrays(np.uint8, (5, 7, 3)), factor=st.integers(1, 4))
@few
def test_resize_of_repeated_pixels_gives_them_back(pixels: Any, factor: int) -> None:
    large = pixels.repeat(factor, axis=0).repeat(factor, axis=1)
    assert np.array_equal(resize(large, (5, 7)), pixels)


def test_resize_up() -> None:
    up = resize(np.full((4, 4, 3), 9, np.uint8), 16)
    assert up.shape == (16, 16, 3) and (up == 9).all()
    assert resize(noise(4, 4), 8).shape == (8, 8)


@given(hole=hnp.arrays(np.bool_, (6, 6)), factor=st.integers(1, 5))
@few
def test_resize_hole_round_trip(hole: Any, factor: int) -> None:
    assert np.array_equal(resize_hole(resize_hole(hole, 6 * factor), 6), hole)
    assert resize_hole(hole, (3, 4)).shape == (3, 4)


# ---- masks


def test_white_is_erased_and_polarity(tmp_path: Path) -> None:
    path = write_png(tmp_path / "m.png", np.array([[0, 255], [255, 0]], np.uint8))
    mask = read_mask(path, (2, 2))
    assert mask.hole.tolist() == [[False, True], [True, False]] and mask.notes == ()
    assert np.array_equal(read_mask(path, (2, 2), "keep-white").hole, ~mask.hole)
    with pytest.raises(UsageError, match="type --mask-polarity erase-white or keep-white"):
        read_mask(path, (2, 2), "white")


def test_grey_values_are_cut_with_a_note(tmp_path: Path) -> None:
    path = write_png(tmp_path / "m.png", np.array([[0, 127, 128, 255]], np.uint8))
    mask = read_mask(path, (1, 4))
    assert mask.hole.tolist() == [[False, False, True, True]]
    assert mask.notes == (
        "mask m.png has 2 pixels that are neither black nor white; values above 127 count as white",
    )


def test_mask_of_another_size(tmp_path: Path) -> None:
    path = write_png(tmp_path / "m.png", np.array([[0, 255], [255, 0]], np.uint8))
    mask = read_mask(path, (6, 6))
    assert mask.hole.shape == (6, 6) and mask.hole[:3, 3:].all() and not mask.hole[:3, :3].any()
    assert mask.notes == ("mask m.png of 2 x 2 was resized to the picture's 6 x 6",)
    with pytest.raises(
        InputError, match=r"m\.png is 2 x 2 and the picture 9 x 6: give a mask of the picture's"
    ):
        read_mask(path, (6, 9))


def test_transparent_parts_of_a_mask_are_kept(tmp_path: Path) -> None:
    layer = np.full((1, 2, 4), 255, np.uint8)
    layer[0, 1, 3] = 0
    mask = read_mask(save(tmp_path / "m.png", Image.fromarray(layer)), (1, 2))
    assert mask.hole.tolist() == [[True, False]]
    assert mask.notes == ("m.png has transparent parts; they are shown over black",)


def test_missing_mask(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_mask(tmp_path / "m.png", (2, 2))


def test_hole_notes() -> None:
    hole = np.zeros((10, 10), bool)
    assert hole_notes(hole) == ("the mask erases nothing: plain inversion",)
    hole[:5] = True
    assert hole_notes(hole) == ()
    hole.flat[:96] = True
    assert hole_notes(hole) == ("the mask erases 96.0% of the picture; little is left to go by",)
    hole[:] = True
    assert hole_notes(hole) == ("the mask erases everything: the results are unconditional samples",)


# ---- tensors


def test_tensor_contract() -> None:
    pixels = noise(2, 4, 5, 3)
    tensor = to_tensor(pixels)
    assert tensor.shape == (2, 3, 4, 5) and tensor.dtype == torch.float32 and tensor.is_contiguous()
    assert tensor.min() >= -1 and tensor.max() <= 1
    assert np.array_equal(to_uint8(tensor), pixels)
    assert to_tensor(pixels[0]).shape == (1, 3, 4, 5)


def test_to_uint8_rounds_and_clamps() -> None:
    values = torch.tensor([-2.0, -1.0, 0.0, 1.0, 9.0, 100.6 / 127.5 - 1, 100.4 / 127.5 - 1])
    assert to_uint8(values.expand(1, 3, 1, 7))[0, 0, :, 2].tolist() == [0, 0, 128, 255, 255, 101, 100]


def test_read_only_pixels_are_taken() -> None:
    pixels = noise(2, 2, 3)
    pixels.flags.writeable = False
    assert to_tensor(pixels).shape == (1, 3, 2, 2)


# ---- composite


@given(
    raw=hnp.arrays(np.uint8, (1, 6, 6, 3)),
    working=hnp.arrays(np.uint8, (1, 6, 6, 3)),
    hole=hnp.arrays(np.bool_, (1, 6, 6)),
    feather=st.integers(0, 4),
)
@few
def test_known_pixels_are_kept_bit_for_bit(raw: Any, working: Any, hole: Any, feather: int) -> None:
    result = composite(raw, working, hole, feather)
    assert np.array_equal(result[~hole], working[~hole])
    hidden = np.where(hole[..., None], 255 - working, working)
    assert np.array_equal(composite(raw, hidden, hole, feather), result)  # erased pixels have no say
    if feather == 0 or hole.all():
        assert np.array_equal(result[hole], raw[hole])


def test_feather_fades_inside_the_hole_only() -> None:
    raw, working = np.full((1, 4, 8, 3), 200, np.uint8), np.zeros((1, 4, 8, 3), np.uint8)
    hole = np.zeros((1, 4, 8, 1), bool)
    hole[:, :, 4:] = True
    assert composite(raw, working, hole, 2)[0, 1, :, 0].tolist() == [0, 0, 0, 0, 67, 133, 200, 200]
    assert composite(raw, working, hole, 99)[0, 1, 7, 0] < 200


def test_composite_of_a_wrong_shape_and_feather() -> None:
    with pytest.raises(ValueError, match="shapes differ"):
        composite(noise(1, 4, 4, 3), noise(1, 4, 5, 3), np.zeros((1, 4, 4), bool))
    with pytest.raises(UsageError, match="a feather of -1 pixels"):
        composite(noise(1, 4, 4, 3), noise(1, 4, 4, 3), np.zeros((1, 4, 4), bool), -1)


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


def test_sheet() -> None:
    page = sheet([[noise(4, 3, 3)] * 3, [noise(4, 3, 3)]], gap=1)
    assert page.shape == (11, 13, 3) and page.dtype == np.uint8
    assert np.array_equal(page[1:5, 9:12], noise(4, 3, 3)) and (page[6:, 5:] == 255).all()


def test_extensions_name_formats_that_can_be_read() -> None:
    Image.init()
    assert {Image.EXTENSION[e] for e in EXTENSIONS} <= set(FORMATS)
