"""Where the square of an aligned face lies in its photo: the published geometry of FFHQ.

Coordinates are pixels of the photo, x right, y down, (0, 0) = the centre of the top-left pixel. A quad is
float64 (4, 2): the corners top-left, bottom-left, bottom-right, top-right of the square.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ganinv.errors import InputError, UnknownNameError, UsageError
from ganinv.portraits import draws_portraits

Points = npt.NDArray[np.float64]
SMALLEST_SIZE, LARGEST_SIZE = 8, 4096
# From the eyes to the base of the nose, as a share of the way to the mouth's corners: 0.76 in the mean of 300
# drawn portraits, 0.86 in the (smiling) photograph of the tests.
_NOSE_SHARE = 0.78
LAYOUTS = {68: "ibug-68", 5: "eyes-nose-mouth-5"}
"""number of points -> what they are taken for where nothing else is said"""


@dataclass(frozen=True)
class Preset:
    """How a face is cut out.

    size: side of the crop in pixels. transform: side at which it is sampled, before it is reduced to `size`.
    scale: of the square, about its middle; down: its shift towards the chin, in sides; 1 and 0 are FFHQ's.
    """

    name: str
    size: int
    transform: int
    scale: float = 1.0
    down: float = 0.0

    def __post_init__(self) -> None:
        sizes = SMALLEST_SIZE <= self.size <= self.transform <= 4 * LARGEST_SIZE
        if not (sizes and 0.1 <= self.scale <= 10 and abs(self.down) <= 1):
            raise UsageError(
                f"{self} is not possible: a crop has {SMALLEST_SIZE} to {LARGEST_SIZE} pixels a side"
            )

    def at(self, size: int) -> Preset:
        """The preset for crops of another size, sampled as many times finer. Raises UsageError."""
        if not SMALLEST_SIZE <= size <= LARGEST_SIZE:
            raise UsageError(f"--size {size}: give {SMALLEST_SIZE} to {LARGEST_SIZE} pixels")
        finer = max(1, min(self.transform // self.size, LARGEST_SIZE // size))
        return replace(self, size=size, transform=size * finer)


PRESETS = {
    # Karras et al., "A Style-Based Generator Architecture for GANs", 2019: the data set's own preparation
    "ffhq": Preset("ffhq", 1024, 4096),
    # what pSp and e4e prepare their inputs with: the same square, sampled once a pixel
    "psp": Preset("psp", 256, 256),
    # the square in which the bundled domain shows its faces, measured by scripts/bench_align.py
    "portraits": Preset("portraits", 128, 512, scale=1.172, down=0.022),
}


def preset(name: str, size: int | None = None) -> Preset:
    """A preset by name, at its own size or another. Raises UnknownNameError, UsageError."""
    if name not in PRESETS:
        raise UnknownNameError("preset", name, PRESETS)
    return PRESETS[name] if size is None else PRESETS[name].at(size)


def own_preset(backbone_name: str, size: int) -> Preset:
    """That of the bundled domain for its generators, FFHQ's for others. Raises UsageError."""
    return preset("portraits" if draws_portraits(backbone_name) else "ffhq", size)


class Anchors(NamedTuple):
    """The points (2,) that the geometry rests on: the eyes (image left first) and the middle of the mouth."""

    left_eye: Points
    right_eye: Points
    mouth: Points

    @property
    def eyes(self) -> Points:
        """The middle between the eyes."""
        return (self.left_eye + self.right_eye) / 2

    @property
    def eye_distance(self) -> float:
        """In pixels; the unit of landmark errors."""
        return float(np.hypot(*(self.right_eye - self.left_eye)))


def anchors(points: Points, layout: str | None = None) -> Anchors:
    """The anchors of a face's landmarks (N, 2).

    Args:
        layout: "ibug-68"; "eyes-nose-mouth-5": both eyes, tip of the nose, both corners of the mouth, image
            left first; "dlib-5": outer and inner corner of the image-right eye, of the image-left eye, base
            of the nose, from which the mouth is estimated. None: by the number of points.

    Raises:
        InputError: another number of points, points that are not finite, or eyes and mouth in one place.
    """
    points = np.asarray(points, np.float64)
    if points.ndim != 2 or points.shape[1] != 2 or len(points) not in LAYOUTS:
        raise InputError(f"a face has 68 or 5 points [x, y]; these are of shape {list(points.shape)}")
    if not np.isfinite(points).all():
        raise InputError("the points of a face must be finite numbers")
    layout = layout or LAYOUTS[len(points)]
    if layout == "ibug-68":
        found = Anchors(points[36:42].mean(0), points[42:48].mean(0), (points[48] + points[54]) / 2)
    elif layout == "eyes-nose-mouth-5":
        found = Anchors(points[0], points[1], (points[3] + points[4]) / 2)
    else:
        left, right = (points[2] + points[3]) / 2, (points[0] + points[1]) / 2
        middle = (left + right) / 2
        found = Anchors(left, right, middle + (points[4] - middle) / _NOSE_SHARE)
    if found.eye_distance < 1e-3 and np.hypot(*(found.mouth - found.eyes)) < 1e-3:
        raise InputError("the eyes and the mouth of a face are in one place: these are no landmarks")
    return found


def face_quad(points: Points, preset: Preset, layout: str | None = None) -> Points:
    """The square of a face, from its landmarks; may reach beyond the photo, and has any rotation.

    Half its side is the longer of 2 eye distances and 1.8 times the way from the eyes to the mouth; it leans
    as the mean of the line between the eyes and of the one square to the way to the mouth; its middle lies a
    tenth of that way below the eyes. Raises InputError as `anchors`.
    """
    at = anchors(points, layout)
    eye_to_eye, eye_to_mouth = at.right_eye - at.left_eye, at.mouth - at.eyes
    x = eye_to_eye + np.array([eye_to_mouth[1], -eye_to_mouth[0]])
    length = np.hypot(*x)
    if length < 1e-9:
        raise InputError("the eyes and the mouth of a face contradict each other: these are no landmarks")
    x *= max(np.hypot(*eye_to_eye) * 2.0, np.hypot(*eye_to_mouth) * 1.8) / length
    centre = at.eyes + eye_to_mouth * 0.1
    y = np.array([-x[1], x[0]])
    centre = centre + 2 * preset.down * y
    x, y = x * preset.scale, y * preset.scale
    return np.stack([centre - x - y, centre - x + y, centre + x + y, centre + x - y])


def side(quad: Points) -> float:
    """Of a quad's square, in pixels of the photo."""
    return float(np.hypot(*(quad[3] - quad[0])))


def to_crop(quad: Points, size: int) -> npt.NDArray[np.float64]:
    """The affine map (2, 3) from pixels of the photo to those of its crop of `size` px."""
    across, down = (quad[3] - quad[0]) / size, (quad[1] - quad[0]) / size
    matrix = np.linalg.inv(np.stack([across, down], axis=1))
    # pixel i of the crop covers i .. i + 1 of the square's side, so its centre lies at i + 0.5
    return np.concatenate([matrix, (-matrix @ quad[0] - 0.5)[:, None]], axis=1)


def apply(matrix: npt.NDArray[np.float64], points: Points) -> Points:
    """Points (N, 2) through an affine map (2, 3)."""
    return points @ matrix[:, :2].T + matrix[:, 2]


def inverted(matrix: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The inverse of an affine map (2, 3)."""
    back = np.linalg.inv(matrix[:, :2])
    return np.concatenate([back, -back @ matrix[:, 2:]], axis=1)


def inside(quad: Points, shape: tuple[int, int]) -> float:
    """The share of a quad's square that lies in a photo of `shape` (height, width)."""
    steps = (np.arange(32) + 0.5) / 32
    across, down = quad[3] - quad[0], quad[1] - quad[0]
    grid = quad[0] + steps[:, None, None] * across + steps[None, :, None] * down
    height, width = shape
    x, y = grid[..., 0], grid[..., 1]
    return float(((x >= -0.5) & (x <= width - 0.5) & (y >= -0.5) & (y <= height - 0.5)).mean())


def as_quad(value: Any) -> Points:
    """A quad from plain lists. Raises InputError unless it is a square of some size."""
    try:
        quad = np.asarray(value, np.float64)
    except (TypeError, ValueError):
        quad = np.empty(0)
    if quad.shape != (4, 2) or not np.isfinite(quad).all():
        raise InputError("a quad is four corners [x, y]")
    x, y = quad[3] - quad[0], quad[1] - quad[0]
    length = np.hypot(*x)
    if (
        length < 1
        or max(np.abs(y - [-x[1], x[0]]).max(), np.abs(quad[2] - quad[1] - x).max()) > 1e-3 * length
    ):
        raise InputError("the corners of a quad must make a square of a pixel or more")
    return quad
