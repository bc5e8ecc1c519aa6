#!/usr/bin/env python3
"""What dlib, trained on photographs, sees in portraits: detection rate and landmark errors.

    python scripts/check_portraits.py [--count 200] [--size 256] [--seed 77] [--max-yaw 25]

Errors are distances between dlib's 68 points and the true ones over the distance of the outer eye corners.
Needs dlib and the data files of face_recognition_models (extra `align`).
"""

from __future__ import annotations

import argparse
import importlib.util
from collections.abc import Iterator
from pathlib import Path

import dlib
import numpy as np
import torch

from ganinv.portraits.attributes import sample_attributes
from ganinv.portraits.landmarks import landmarks
from ganinv.portraits.renderer import render

PARTS = {
    "jaw": (0, 17),
    "brows": (17, 27),
    "nose": (27, 36),
    "eyes": (36, 48),
    "mouth": (48, 68),
    "all": (0, 68),
}
_BATCH = 8


def predictor_file() -> Path | None:
    """dlib's 68-point model in the package face_recognition_models (whose import needs pkg_resources)."""
    spec = importlib.util.find_spec("face_recognition_models")
    folders = [] if spec is None else list(spec.submodule_search_locations or [])
    files = [Path(folder) / "models" / "shape_predictor_68_face_landmarks.dat" for folder in folders]
    return next((file for file in files if file.is_file()), None)


def portraits(count: int, size: int, seed: int, max_yaw: float) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The first `count` portraits with |yaw| < max_yaw: (uint8 [S, S, 3], true points [68, 2])."""
    start = 0
    while count:
        attributes = sample_attributes(_BATCH, seed, start)
        start += _BATCH
        near = (attributes["yaw"].abs() < max_yaw).nonzero()[:count, 0]
        attributes = {name: value[near] for name, value in attributes.items()}
        count -= len(near)
        pictures = (render(attributes, size) * 255.0).round().byte().permute(0, 2, 3, 1).numpy()
        yield from zip(np.ascontiguousarray(pictures), landmarks(attributes, size).numpy(), strict=True)


def largest_box(detector: object, picture: np.ndarray) -> dlib.rectangle | None:
    """The largest face that the frontal detector finds after doubling the picture once."""
    boxes = detector(picture, 1)  # type: ignore[operator]
    return max(boxes, key=lambda box: box.area(), default=None)


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--seed", type=int, default=77)
    parser.add_argument("--max-yaw", type=float, default=25.0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    detector, file = dlib.get_frontal_face_detector(), predictor_file()
    predictor = dlib.shape_predictor(str(file)) if file else None
    found, errors = 0, []
    for picture, true in portraits(options.count, options.size, options.seed, options.max_yaw):
        box = largest_box(detector, picture)
        found += box is not None
        if box is not None and predictor is not None:
            shape = predictor(picture, box)
            seen = np.array([(shape.part(i).x, shape.part(i).y) for i in range(68)], dtype=np.float64)
            scale = np.linalg.norm(true[36] - true[45])
            errors.append(np.linalg.norm(seen - true, axis=1) / scale)
    print(f"found {found} of {options.count} ({found / options.count:.1%}) at {options.size} px")
    if not errors:
        print("no landmark model: install face_recognition_models")
        return
    table = np.stack(errors)
    for part, (first, last) in PARTS.items():
        each = table[:, first:last]
        print(
            f"{part:6s} mean {each.mean():.3f}  median {np.median(each):.3f} "
            "of the distance between the outer eye corners"
        )


if __name__ == "__main__":
    main()
