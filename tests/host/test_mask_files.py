"""Masks from files and from transparency, and what is said of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ganinv.errors import InputError, UsageError
from ganinv.images import Picture, write_png
from ganinv.mask_files import alpha_mask, hole_notes, read_mask


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
    Image.fromarray(layer).save(tmp_path / "m.png")
    mask = read_mask(tmp_path / "m.png", (1, 2))
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


def test_alpha_mask_without_alpha() -> None:
    with pytest.raises(InputError, match="--mask alpha needs a picture with transparency"):
        alpha_mask(Picture(np.zeros((2, 2, 3), np.uint8)))
