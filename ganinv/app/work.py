"""What one visitor works on: a picture, the square of it that is worked on, what is erased, its fillings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import cv2
import numpy as np
import numpy.typing as npt

from ganinv.align.crop import crop_face, crop_hole
from ganinv.align.faces import Face
from ganinv.align.geometry import Points, Preset
from ganinv.align.paste import paste_face
from ganinv.align.regions import hole_in_photo, part_hole
from ganinv.errors import InputError, UsageError
from ganinv.images import Bools, Bytes, Picture
from ganinv.inversion import Inversion
from ganinv.masks import MASK_NAMES, named_hole
from ganinv.sizes import resize, resize_hole

SHAPES = ("half-left", "half-right", "half-top", "half-bottom", "centre")
"""Holes that need no face, of those in `ganinv.masks`."""


@dataclass(frozen=True, eq=False)
class Frame:
    """A square of a picture. quad: its corners; face: the one in it, if known; around: it was laid around
    that.
    """

    label: str
    quad: Points
    face: Face | None = None
    around: bool = False


@dataclass(frozen=True, eq=False)
class Filling:
    """One completion. label: its seed, and its number among that seed's samples. drawn, shown: uint8
    (S, S, 3), what the generator drew for the hole, and the same with the known pixels pasted in.
    inversion: of it alone.
    """

    label: str
    drawn: Bytes
    shown: Bytes
    inversion: Inversion


@dataclass(frozen=True, eq=False)
class Work:
    """One picture on the table; never changed, only replaced.

    picture: as read, at its full size. frames: the squares to choose from, and `frame`, the chosen one.
    crop: uint8 (S, S, 3), that square at the generator's size. preset: how a square is sampled.
    hole: bool (H, W), what is erased of the picture, and crop_hole: bool (S, S), the same of the crop.
    fillings: in the order in which they were made. kept: which one is edited.
    edits: strength by name. keep_known: whether edits leave what was not erased as it is.
    """

    name: str
    picture: Picture
    frames: tuple[Frame, ...]
    frame: int
    preset: Preset
    crop: Bytes
    hole: Bools
    crop_hole: Bools
    fillings: tuple[Filling, ...] = ()
    kept: int | None = None
    edits: Mapping[str, float] = field(default_factory=dict)
    keep_known: bool = False
    edited: Bytes | None = None

    @classmethod
    def begin(
        cls, name: str, picture: Picture, frames: tuple[Frame, ...], frame: int, preset: Preset
    ) -> Work:
        """A picture with nothing erased yet. Raises UsageError where there is no such frame."""
        if not 0 <= frame < len(frames):
            possible = ", ".join(f"{number} ({one.label})" for number, one in enumerate(frames))
            raise UsageError(f"no face {frame} in this picture; possible: {possible}")
        shape = picture.pixels.shape[:2]
        crop = _crop(picture.pixels, frames[frame], preset)
        size = preset.size
        return cls(
            name, picture, frames, frame, preset, crop, np.zeros(shape, bool), np.zeros((size, size), bool)
        )

    @property
    def size(self) -> int:
        """Side of the crop in pixels, that of the generator."""
        return self.preset.size

    @property
    def is_whole(self) -> bool:
        """Whether the crop is the picture, pixel for pixel."""
        return self.picture.pixels.shape[:2] == self.crop.shape[:2]

    def chosen(self) -> Filling:
        """The kept filling. Raises UsageError where none is."""
        if self.kept is None:
            raise UsageError("pick a filling first: click on one of them")
        return self.fillings[self.kept]

    def erased(self, painted: Bools) -> Work:
        """The work with what is painted on the crop, bool (P, P) of any size, erased; its fillings go."""
        quad, shape = self.frames[self.frame].quad, self.hole.shape
        if self.is_whole:
            hole = inside = resize_hole(painted, self.size)
        else:
            hole = hole_in_photo(painted, quad, (shape[0], shape[1]))
            inside = crop_hole(hole, quad, self.size) if painted.any() else np.zeros_like(self.crop_hole)
        return replace(self, hole=hole, crop_hole=inside, fillings=(), kept=None, edits={}, edited=None)

    def shape_hole(self, name: str, side: int) -> Bools:
        """What one click erases, on the crop at `side` px: a part of the face ("eyes") or a named shape.

        Raises:
            InputError: a part, where no face was found. UsageError: neither a part nor a shape.
        """
        if name in MASK_NAMES:
            return resize_hole(named_hole(name, self.size, 0), side)
        chosen = self.frames[self.frame]
        if chosen.face is None:
            raise InputError(
                f"no face was found here, so its {name} cannot be erased by a click; use the brush"
            )
        shape = self.picture.pixels.shape[:2]
        hole = part_hole(f"part:{name}", chosen.face, (shape[0], shape[1]))
        across, down = (chosen.quad[3] - chosen.quad[0]) / side, (chosen.quad[1] - chosen.quad[0]) / side
        matrix = np.stack([across, down, chosen.quad[0] + (across + down) / 2], axis=1)
        levels = cv2.warpAffine(
            hole.astype(np.float32), matrix, (side, side), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        )
        return np.asarray(levels > 0.5)

    def photo(self, result: Bytes, drawn: Bytes, *, whole: bool) -> Picture:
        """The picture at its full size with a result, uint8 (S, S, 3), in its place.

        Args:
            drawn: what the generator drew for the hole, which goes on around it.
            whole: what was not erased has changed too.
        """
        colours, alpha = self.picture.colours, self.picture.alpha
        if self.is_whole:  # what did not change keeps all its bits
            levels = result.astype(colours.dtype) * (257 if colours.dtype == np.uint16 else 1)
            colours = np.where((result != self.crop).any(axis=2, keepdims=True), levels, colours)
        else:
            colours = paste_face(
                colours,
                result if whole else self.crop,
                self.crop,
                self.frames[self.frame].quad,
                hole=self.hole if self.hole.any() else None,
                surround=np.where(self.crop_hole[..., None], result, drawn),
            ).colours
        if alpha is not None:
            alpha = np.where(self.hole, np.uint8(255), alpha)
        return replace(self.picture, original=colours, alpha=alpha)


def _crop(pixels: Bytes, frame: Frame, preset: Preset) -> Bytes:
    if frame.around:
        return crop_face(pixels, frame.quad, preset)
    left, top = np.rint(frame.quad[0] + 0.5).astype(int)
    right, bottom = np.rint(frame.quad[2] + 0.5).astype(int)
    return resize(np.ascontiguousarray(pixels[top:bottom, left:right]), preset.size)


def middle_frame(shape: tuple[int, ...], face: Face | None = None) -> Frame:
    """The largest square in the middle of a picture (height, width)."""
    height, width = shape[:2]
    length = min(height, width)
    low = np.array([(width - length) // 2, (height - length) // 2]) - 0.5
    corners = low + length * np.array([[0, 0], [0, 1], [1, 1], [1, 0]])
    return Frame("middle of the picture", corners.astype(np.float64), face)


def as_hole(mask: npt.NDArray[np.uint8]) -> Bools:
    """A painted mask, uint8 (P, P) or with channels, as a hole: brighter than 127 is erased."""
    return np.asarray((mask if mask.ndim == 2 else mask[..., 0]) > 127)
