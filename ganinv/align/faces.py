"""A face in a photo, what finds faces, and which of several is meant."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ganinv.align.geometry import LAYOUTS, PRESETS, Points, anchors, face_quad, inside, side
from ganinv.errors import InputError, UsageError
from ganinv.images import Bytes

_SEEN = 0.75  # of a face's square: below this, a crop is mostly made up
WHICH = "largest, all, or a number that --list shows"


@dataclass(frozen=True, eq=False)
class Face:
    """Landmarks of one face, in pixels of the upright photo, (0, 0) = the centre of the top-left pixel.

    points: float64 (68, 2) or (5, 2). layout: which points these are, see `geometry.anchors`.
    box: left, top, width, height. score: of the detector, higher is surer; None for given points.
    """

    points: Points
    box: tuple[float, float, float, float]
    score: float | None = None
    layout: str = "ibug-68"

    @property
    def size(self) -> float:
        """Side of its FFHQ square, in pixels of the photo."""
        return side(face_quad(self.points, PRESETS["psp"], self.layout))

    @property
    def eye_distance(self) -> float:
        """In pixels of the photo."""
        return anchors(self.points, self.layout).eye_distance


class Detector(ABC):
    """Finds the faces of a photo. Registered in the group `ganinv.aligners`: a builder takes `model`, the
    name or file of the landmark model to use instead of the usual one, or None.
    """

    name: str

    @abstractmethod
    def find(self, pixels: Bytes, *, name: str = "", thorough: bool = False) -> list[Face]:
        """The faces of a photo, uint8 (H, W, 3) RGB, upright; in any order, none where there are none.

        Args:
            name: of the photo's file, for detectors that look it up.
            thorough: look for small faces too, even where large ones were found.
        """

    def about(self) -> dict[str, Any]:
        """What a sidecar file says of it: its name, and the landmark model's."""
        return {"name": self.name}


def face_from_points(points: Any, layout: str | None = None) -> Face:
    """A face of given landmarks. Raises InputError where they are none."""
    try:
        array = np.asarray(points, np.float64)
    except (TypeError, ValueError) as cause:
        raise InputError("a face has 68 or 5 points [x, y]") from cause
    anchors(array, layout)
    low, high = array.min(0), array.max(0)
    box = (float(low[0]), float(low[1]), float(high[0] - low[0]), float(high[1] - low[1]))
    return Face(array, box, None, layout or LAYOUTS[len(array)])


def in_order(faces: Sequence[Face]) -> list[Face]:
    """The largest first: `--face 0` is the largest."""
    return sorted(faces, key=lambda face: -face.size)


def pick(faces: Sequence[Face], which: str, shape: tuple[int, int]) -> list[tuple[int, Face]]:
    """The faces meant, with their numbers; `faces` as `in_order` gives them.

    Args:
        which: "largest", "all" or a number. shape: height and width of the photo, for the message.

    Raises:
        InputError: no face, none of that number, or one that lies beyond the photo. UsageError: another word.
    """
    number = check_which(which)
    if not faces:
        raise InputError(
            f"no face was found in this photo of {shape[1]} x {shape[0]}; give its landmarks with --points, "
            "or try --detector dlib-mmod (slow, finds more)"
        )
    if number is not None and number >= len(faces):
        told = "one face, number 0" if len(faces) == 1 else f"{len(faces)} faces, 0 to {len(faces) - 1}"
        raise InputError(f"there is no face {number}: {told}; see --list")
    numbers = range(len(faces)) if which == "all" else [number or 0]
    return [(index, faces[index]) for index in numbers]


def check_which(which: str) -> int | None:
    """The number in --face, or None for a word. Raises UsageError for anything else."""
    if which in ("largest", "all"):
        return None
    if not (which.isascii() and which.isdigit()):
        raise UsageError(f"--face {which!r} is not possible; type {WHICH}")
    return int(which)


def cut_note(index: int, quad: Points, shape: tuple[int, int]) -> str | None:
    """What to tell of a face whose square reaches far beyond the photo.

    Raises:
        InputError: nothing of it lies in the photo.
    """
    share = inside(quad, shape)
    if share == 0:
        raise InputError(f"face {index} lies beyond the photo of {shape[1]} x {shape[0]}; check its points")
    if share >= _SEEN:
        return None
    return (
        f"face {index} is cut by the border: only {share:.0%} of its square lies in the photo, and the rest "
        "of the crop is made up"
    )
