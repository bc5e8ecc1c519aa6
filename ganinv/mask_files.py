"""Masks read from files or from a picture's transparency, as holes. The shapes by name are in `masks`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from ganinv.errors import InputError, UsageError
from ganinv.images import Bools, Picture, read_picture
from ganinv.sizes import resize_hole

POLARITIES = ("erase-white", "keep-white")


@dataclass(frozen=True, eq=False)
class Mask:
    """hole: bool (H, W), True = erased. notes: as those of a Picture."""

    hole: Bools
    notes: tuple[str, ...] = ()


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
