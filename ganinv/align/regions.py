"""Holes in a photo: boxes in its pixels, parts of a face from its landmarks, and shapes of a crop.

A hole is bool (H, W) at the photo's size, True = erased.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

from ganinv.align.faces import Face
from ganinv.align.geometry import Points, anchors, to_crop
from ganinv.errors import InputError, UnknownNameError, UsageError
from ganinv.images import Bools

PARTS = ("eyes", "mouth", "nose", "lower-face", "upper-face")
# of the 68 points, whose hull is the part, and how much wider it is made, in eye distances
_POINTS = {"eyes": (*range(36, 48),), "mouth": (*range(48, 68),), "nose": (*range(27, 36),)}
_WIDER = {"eyes": 0.22, "mouth": 0.18, "nose": 0.12}
# The same, and the halves of a face, in its own axes: x across, from the middle between the eyes, y towards
# the mouth; units are eye distances and ways from the eyes to the mouth.
_SHAPES = {
    "eyes": [(-0.78, -0.2), (0.78, -0.2), (0.78, 0.2), (-0.78, 0.2)],
    "mouth": [(-0.45, 0.82), (0.45, 0.82), (0.45, 1.22), (-0.45, 1.22)],
    "nose": [(-0.25, -0.05), (0.25, -0.05), (0.45, 0.8), (-0.45, 0.8)],
    "lower-face": [(-1.0, 0.42), (1.0, 0.42), (0.98, 0.9), (0.75, 1.45), (0.35, 1.78), (0, 1.86)]
    + [(-0.35, 1.78), (-0.75, 1.45), (-0.98, 0.9)],
    "upper-face": [(-1.0, 0.42), (-1.02, -0.2), (-0.85, -0.8), (-0.45, -1.1), (0, -1.18), (0.45, -1.1)]
    + [(0.85, -0.8), (1.02, -0.2), (1.0, 0.42)],
}


def is_region(spec: str) -> bool:
    """Whether a mask is told as "box:..." or "part:..."; a file of such a name is given as ./box:..."""
    return spec.startswith(("box:", "part:"))


def check_region(spec: str) -> None:
    """Raises UsageError or UnknownNameError for a box or part that no picture could have."""
    if spec.startswith("box:"):
        _box(spec)
    elif spec.removeprefix("part:") not in PARTS:
        raise UnknownNameError("part of a face", spec.removeprefix("part:"), PARTS)


def box_hole(spec: str, shape: tuple[int, int]) -> Bools:
    """The hole "box:x,y,w,h" in a photo of `shape` (height, width): left, top, width and height in pixels.

    Raises:
        UsageError: no such numbers. InputError: it lies beyond the photo.
    """
    x, y, w, h = _box(spec)
    hole = np.zeros(shape, bool)
    top, left = max(0, round(y)), max(0, round(x))
    hole[top : max(top, round(y + h)), left : max(left, round(x + w))] = True
    if not hole.any():
        raise InputError(f"{spec} lies beyond the photo of {shape[1]} x {shape[0]}")
    return hole


def part_hole(spec: str, face: Face, shape: tuple[int, int]) -> Bools:
    """The hole "part:NAME" of a face in a photo of `shape`. Raises UnknownNameError."""
    check_region(spec)
    name = spec.removeprefix("part:")
    if name in _POINTS and face.layout == "ibug-68":
        outline = face.points[list(_POINTS[name])]
    else:
        at = anchors(face.points, face.layout)
        across, down = at.right_eye - at.left_eye, at.mouth - at.eyes
        outline = at.eyes + np.array(_SHAPES[name]) @ np.stack([across, down])
    hull = cv2.convexHull(outline.astype(np.float32))
    canvas = np.zeros(shape, np.uint8)
    fixed = np.rint(hull * 16).astype(np.int32)  # OpenCV's sixteenths of a pixel
    cv2.fillPoly(canvas, [fixed], 1, shift=4)
    if name in _POINTS and face.layout == "ibug-68":
        away = cv2.distanceTransform(1 - canvas, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        return np.asarray(away <= _WIDER[name] * face.eye_distance)
    return canvas > 0


def hole_in_photo(hole: Bools, quad: Points, shape: tuple[int, int]) -> Bools:
    """A crop's hole (S, S) in its photo of `shape`, with smooth edges; nothing beyond the crop."""
    size = len(hole)
    levels = np.pad(hole.astype(np.float32), 1, mode="edge")
    matrix = to_crop(quad, size)
    matrix[:, 2] += 1
    back = cv2.warpAffine(levels, matrix, (shape[1], shape[0]), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    square = np.zeros(shape, np.uint8)
    cv2.fillConvexPoly(square, np.rint(quad * 16).astype(np.int32), 1, shift=4)
    return (back > 0.5) & (square > 0)


def _box(spec: str) -> tuple[float, float, float, float]:
    try:
        x, y, w, h = (float(number) for number in spec.removeprefix("box:").split(","))
    except ValueError:
        raise UsageError(
            f"--mask {spec} is not box:x,y,w,h; type for example --mask box:40,60,100,80"
        ) from None
    if not all(math.isfinite(number) for number in (x, y, w, h)) or w <= 0 or h <= 0:
        raise UsageError(f"--mask {spec} needs a width and a height above 0, like box:40,60,100,80")
    return x, y, w, h
