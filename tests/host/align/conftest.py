"""Photos of drawn people with all their landmarks known, and dlib's detector, opened once."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pytest

from ganinv.align.faces import Detector
from ganinv.portraits.crowd import Person, crowd


class Scene(NamedTuple):
    """pixels: uint8 (H, W, 3). points: (N, 68, 2). people: as drawn."""

    pixels: np.ndarray
    points: np.ndarray
    people: list[Person]


@pytest.fixture(scope="session")
def draw() -> Callable[..., Scene]:
    """A function that draws people in a photo of a shape (height, width)."""

    def scene(shape: tuple[int, int], *people: Person, seed: int = 5) -> Scene:
        return Scene(*crowd(shape, people, seed), list(people))

    return scene


@pytest.fixture(scope="session")
def dlib_hog() -> Detector:
    pytest.importorskip("dlib", reason="dlib is not installed (extra align)")
    from ganinv.align.dlib_faces import build_hog

    return build_hog()


@pytest.fixture(scope="session")
def group(draw: Callable[..., Scene]) -> Scene:
    """Three people, the largest in the middle."""
    people = Person(8, 160, 120, 130, 20), Person(3, 330, 360, 250, -12), Person(14, 110, 600, 300, -30)
    return draw((450, 700), *people)
