"""Faces by dlib: its HOG or its MMOD detector, then its landmark model of 68 or 5 points.

HOG (Dalal and Triggs, 2005; five filters) sees faces of 80 px and more that are turned by up to some 30
degrees in the picture, so each size is looked at upright and turned by as much either way. The landmark
model (Kazemi and Sullivan, 2014) depends on the box it starts from: it is asked with several boxes, on a copy
of the face of one size, and the median is taken, which also undoes its rounding to whole pixels.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from ganinv.align.faces import Detector, Face
from ganinv.align.geometry import PRESETS, Points, anchors, apply, face_quad, inverted, side
from ganinv.align.models import MMOD, SHAPE_5, SHAPE_68, import_dlib, model_file
from ganinv.errors import CheckpointError
from ganinv.images import Bytes

_LOOKS = (640, 1280, 2560)  # long sides at which a photo is looked at, until faces are found
_ENLARGED = 2.0  # the most a small photo is enlarged
_TURN = 32.0  # degrees
_TURNED_SCALE = 0.7  # of turned looks, where the upright one found a face
_OVERLAP = 0.3  # of two boxes (their intersection over their union) above which they are one face
_WEAK = 0.25  # a box of a lower score is dropped beside one that is surer by 1 or more: mostly a false one
_LAST_CHANCE = -0.2  # the score that will do where nothing else is seen
_BOX = 160  # side of the box in the copy of a face that the landmark model sees
_MARGIN = 0.75  # around it, in boxes
_NUDGES = (
    (0.0, 0.0, 1.0),
    (0.06, 0, 1),
    (-0.06, 0, 1),
    (0, 0.06, 1),
    (0, -0.06, 1),
    (0, 0, 1.12),
    (0, 0, 0.88),
)
_ANGLES = (0.0, -22.0, 22.0)  # degrees, about that of the view: the landmark model knows upright faces only
_REFINED = 2  # times, at most, that a face is looked at again in a box from its own landmarks
# Where HOG's box lies in a face's FFHQ square: its middle this much further down, in sides; its side.
_BOX_DOWN, _BOX_SIDE = 0.088, 0.6
Affine = npt.NDArray[np.float64]


class _Seen(NamedTuple):
    """A box (centre, side) in a scaled, turned view; `view` maps the photo to it."""

    score: float
    view: Affine
    centre: Points
    side: float

    def in_photo(self) -> tuple[Points, float]:
        """Centre and side in pixels of the photo."""
        scale = float(np.hypot(*self.view[:, 0]))
        return apply(inverted(self.view), self.centre[None])[0], self.side / scale


class _Guess(NamedTuple):
    """Landmarks in the photo; spread: how far guesses from other boxes lie apart, in eye distances."""

    points: Points
    layout: str
    spread: float


class DlibDetector(Detector):
    """dlib's detectors and landmark models behind one class.

    Args:
        name: as registered. points: 68 or 5. mmod: the network instead of HOG: slower, and finds more.
        model: name or file of a landmark model of as many points; None = the usual one.

    Raises:
        PluginError: dlib or its models are not installed. CheckpointError: a file that is no such model.
    """

    def __init__(self, name: str, model: str | None = None, *, points: int = 68, mmod: bool = False) -> None:
        self.name, self.mmod = name, mmod
        self.dlib: Any = import_dlib()
        self.file = model_file(model, SHAPE_68 if points == 68 else SHAPE_5)
        try:
            self.predictor = self.dlib.shape_predictor(str(self.file))
        except RuntimeError as cause:
            raise CheckpointError(f"{self.file} is no landmark model of dlib's, or it is damaged") from cause
        self.network = self.dlib.cnn_face_detection_model_v1(str(model_file(None, MMOD))) if mmod else None
        self.hog: Any = None if mmod else self.dlib.get_frontal_face_detector()

    def about(self) -> dict[str, Any]:
        """Its name and the landmark model's."""
        return {"name": self.name, "model": self.file.name}

    def find(self, pixels: Bytes, *, name: str = "", thorough: bool = False) -> list[Face]:
        """See `Detector.find`. Raises CheckpointError for a model of neither 68 nor 5 points."""
        seen: list[_Seen] = []
        for scale in _scales(max(pixels.shape[:2])):
            seen = _merged(seen + self._look(pixels, scale))
            if seen and not thorough:
                break
        if not seen and not self.mmod:
            seen = _merged(self._look(pixels, _scales(max(pixels.shape[:2]))[0], _LAST_CHANCE))
        return [self._face(pixels, found) for found in seen]

    def _look(self, pixels: Bytes, scale: float, least: float = 0.0) -> list[_Seen]:
        """The boxes at one size, upright and turned, with scores above `least`."""
        view, scaling = _scaled(pixels, scale)
        found = self._boxes(np.ascontiguousarray(view), scaling, least)
        if found:  # a turned face that matters is a large one
            view, scaling = _scaled(pixels, scale * _TURNED_SCALE)
        for angle in () if self.mmod and found else (_TURN, -_TURN):
            turned, matrix = _turned(view, angle)
            both = np.vstack([matrix, [0, 0, 1]]) @ np.vstack([scaling, [0, 0, 1]])
            found += self._boxes(turned, both[:2], least)
        return found

    def _boxes(self, view: Bytes, matrix: Affine, least: float) -> list[_Seen]:
        if self.network is not None:
            pairs = [(found.confidence, found.rect) for found in self.network(view, 0)]
        else:
            rectangles, scores, _ = self.hog.run(view, 0, least)
            pairs = list(zip(scores, rectangles, strict=True))
        return [
            _Seen(score, matrix, np.array([r.left() + r.right(), r.top() + r.bottom()]) / 2.0, r.width())
            for score, r in pairs
        ]

    def _face(self, pixels: Bytes, found: _Seen) -> Face:
        """The landmarks in a box: of several angles the one at which the guesses agree best."""
        centre, size = found.in_photo()
        seen = float(np.degrees(np.arctan2(found.view[0, 1], found.view[0, 0])))
        angles = {0.0, *(seen + angle for angle in _ANGLES)}  # upright, whatever the view
        best = min((self._guess(pixels, centre, size, a) for a in sorted(angles)), key=lambda g: g.spread)
        for _ in range(_REFINED):
            quad = face_quad(best.points, PRESETS["psp"], best.layout)
            across, down = quad[3] - quad[0], quad[1] - quad[0]
            upright = float(np.degrees(np.arctan2(across[1], across[0])))
            again = self._guess(pixels, quad.mean(0) + _BOX_DOWN * down, _BOX_SIDE * side(quad), upright)
            if again.spread >= best.spread:
                break
            best = again
        box = (float(centre[0] - size / 2), float(centre[1] - size / 2), float(size), float(size))
        return Face(best.points, box, float(found.score), best.layout)

    def _guess(self, pixels: Bytes, centre: Points, size: float, angle: float) -> _Guess:
        """The landmarks of a face in a box of the photo, seen turned by `angle` degrees."""
        patch, matrix = _patch(pixels, centre, size, angle)
        middle = (patch.shape[0] - 1) / 2
        shapes = []
        for right, down, larger in _NUDGES:
            x, y, half = middle + right * _BOX, middle + down * _BOX, larger * _BOX / 2
            edges = (round(x - half), round(y - half), round(x + half), round(y + half))
            shape = self.predictor(patch, self.dlib.rectangle(*edges))
            shapes.append([(part.x, part.y) for part in shape.parts()])
        several = np.array(shapes, np.float64)
        if several.shape[1] not in (5, 68):
            raise CheckpointError(f"{self.file} gives {several.shape[1]} points; use a model of 68 or 5")
        points = np.median(several, axis=0)
        layout = "ibug-68" if len(points) == 68 else "dlib-5"
        # the jaw's points are the least certain ones and say little of the rest
        apart = np.hypot(*np.moveaxis(several - points, -1, 0))[:, -41:]
        unit = max(anchors(points, layout).eye_distance, 1.0)
        return _Guess(apply(inverted(matrix), points), layout, float(np.median(apart, axis=0).mean()) / unit)


def _scales(longest: int) -> list[float]:
    """From the quick look to the one that sees the smallest faces."""
    scales = [min(1.0, _LOOKS[0] / longest)]
    for look in _LOOKS[1:]:
        scale = min(look / longest, _ENLARGED)
        if scale > 1.2 * scales[-1]:
            scales.append(scale)
    return scales


def _scaled(pixels: Bytes, scale: float) -> tuple[Bytes, Affine]:
    """A picture at another size, and the map to it."""
    height, width = (max(1, round(scale * length)) for length in pixels.shape[:2])
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    view: Any = pixels if scale == 1 else cv2.resize(pixels, (width, height), interpolation=how)
    # pixel centres: what lies at x in the photo lies at (x + 0.5) * scale - 0.5 here
    return view, np.array([[scale, 0, scale / 2 - 0.5], [0, scale, scale / 2 - 0.5]])


def _turned(view: Bytes, angle: float) -> tuple[Bytes, Affine]:
    """A picture turned by `angle` degrees (what leans to the right stands up), whole, and the map to it."""
    height, width = view.shape[:2]
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), angle, 1.0)
    c, s = abs(matrix[0, 0]), abs(matrix[0, 1])
    wide, tall = int(np.ceil(c * width + s * height)), int(np.ceil(s * width + c * height))
    matrix[:, 2] += (wide - width) / 2, (tall - height) / 2
    turned: Any = cv2.warpAffine(view, matrix, (wide, tall), flags=cv2.INTER_LINEAR)
    return turned, np.asarray(matrix, np.float64)


def _patch(pixels: Bytes, centre: Points, size: float, angle: float) -> tuple[Bytes, Affine]:
    """A turned copy of a face and its surroundings, its box of `_BOX` px in the middle, and the map to it."""
    whole = round(_BOX * (1 + 2 * _MARGIN))
    shrink = max(1, int(size / _BOX))
    reach = size * (1 + 2 * _MARGIN)  # of the corners, whatever the angle
    low = np.maximum(np.floor(centre - reach).astype(int), 0)
    high = np.minimum(np.ceil(centre + reach).astype(int) + 1, [pixels.shape[1], pixels.shape[0]])
    part: Any = pixels[low[1] : high[1], low[0] : high[0]]
    to_part = np.array([[1.0, 0, -low[0]], [0, 1.0, -low[1]]])
    if shrink > 1:  # so that sampling it does not alias
        wide, tall = max(1, part.shape[1] // shrink), max(1, part.shape[0] // shrink)
        scales = np.array([wide / part.shape[1], tall / part.shape[0]])
        part = cv2.resize(part, (wide, tall), interpolation=cv2.INTER_AREA)
        to_part = scales[:, None] * to_part
        to_part[:, 2] += scales / 2 - 0.5
    zoom = _BOX / size
    c, s = np.cos(np.radians(angle)) * zoom, np.sin(np.radians(angle)) * zoom
    matrix = np.array([[c, s, 0.0], [-s, c, 0.0]])
    matrix[:, 2] = (whole - 1) / 2 - matrix[:, :2] @ centre
    step = np.vstack([matrix, [0, 0, 1]]) @ np.linalg.inv(np.vstack([to_part, [0, 0, 1]]))
    patch: Any = cv2.warpAffine(
        np.ascontiguousarray(part),
        step[:2],
        (whole, whole),
        flags=cv2.INTER_LINEAR if shrink > 1 else cv2.INTER_CUBIC,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return patch, matrix


def _merged(seen: list[_Seen]) -> list[_Seen]:
    """One box a face: of those that overlap the surest; without weak ones beside much surer ones."""
    kept: list[_Seen] = []
    for found in sorted(seen, key=lambda s: -s.score):
        if all(_overlap(found, other) < _OVERLAP for other in kept):
            kept.append(found)
    surest = kept[0].score if kept else 0.0
    return [found for found in kept if found.score >= min(_WEAK, surest - 1)]


def _overlap(one: _Seen, other: _Seen) -> float:
    (a, p), (b, q) = one.in_photo(), other.in_photo()
    shared = np.minimum(a + p / 2, b + q / 2) - np.maximum(a - p / 2, b - q / 2)
    if (shared <= 0).any():
        return 0.0
    common = float(shared.prod())
    # a small box within a large one is the same face, too: filters fire on parts of a face
    return max(common / (p * p + q * q - common), 0.6 * common / min(p, q) ** 2)


build_hog = partial(DlibDetector, "dlib")
build_hog_5 = partial(DlibDetector, "dlib-5", points=5)
build_mmod = partial(DlibDetector, "dlib-mmod", mmod=True)
build_mmod_5 = partial(DlibDetector, "dlib-mmod-5", points=5, mmod=True)
