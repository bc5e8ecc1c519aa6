"""Photos of several people: portraits of any size, turned, in one picture, with all their landmarks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from ganinv.portraits.attributes import sample_attributes
from ganinv.portraits.landmarks import landmarks
from ganinv.portraits.renderer import LARGEST, render

_SOFT = 0.06  # of a portrait's side, over which its edges fade into the picture


@dataclass(frozen=True)
class Person:
    """A portrait's place. index: in the series of the seed; side: of the portrait, in pixels of the picture;
    x, y: of its middle; angle: degrees, positive leans to the right.
    """

    index: int
    side: float
    x: float
    y: float
    angle: float = 0.0


def crowd(
    shape: tuple[int, int], people: Sequence[Person], seed: int = 0
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float64]]:
    """Draws people over a grey wall; those further on in the list stand in front.

    Returns:
        Pixels uint8 (H, W, 3), and landmarks float64 (N, 68, 2) in them, (0, 0) = centre of the first pixel.
    """
    height, width = shape
    rng = np.random.default_rng(seed)
    wall = rng.uniform(110, 160, (4, 6, 1)).repeat(3, 2).astype(np.float32)
    picture = np.asarray(cv2.resize(wall, (width, height), interpolation=cv2.INTER_CUBIC), np.float32)
    points = np.empty((len(people), 68, 2))
    for number, person in enumerate(people):
        attributes = sample_attributes(1, seed, person.index)
        size = min(LARGEST, max(64, round(person.side)))
        drawn = np.asarray(render(attributes, size)[0].permute(1, 2, 0).numpy() * 255, np.float32)
        scale = person.side / size
        c, s = np.cos(np.radians(person.angle)) * scale, np.sin(np.radians(person.angle)) * scale
        matrix = np.array([[c, -s, person.x], [s, c, person.y]])
        matrix[:, 2] -= matrix[:, :2] @ np.full(2, (size - 1) / 2)
        edge = np.minimum(np.arange(size), np.arange(size)[::-1]) / (_SOFT * size)
        cover = np.minimum(edge[:, None], edge[None]).clip(0, 1).astype(np.float32)
        layer = cv2.warpAffine(np.dstack([drawn, cover]), matrix, (width, height), flags=cv2.INTER_LINEAR)
        picture += layer[..., 3:] * (layer[..., :3] - picture)
        points[number] = landmarks(attributes, size)[0].numpy() @ matrix[:, :2].T + matrix[:, 2]
    return np.rint(picture.clip(0, 255)).astype(np.uint8), points
