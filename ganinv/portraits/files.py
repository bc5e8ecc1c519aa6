"""Portraits on file: 000000.png, 000001.png, ... and portraits.json with their attributes and landmarks."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TypedDict

import numpy as np
from torch import Tensor

from ganinv.errors import UsageError
from ganinv.files import write_bytes
from ganinv.images import write_png
from ganinv.portraits.attributes import ATTRIBUTE_NAMES, sample_attributes
from ganinv.portraits.landmarks import landmarks
from ganinv.portraits.renderer import LARGEST, SMALLEST, render

LISTING = "portraits.json"
MOST = 1_000_000
"""file names have six digits"""
_LARGEST_SEED = 2**62
_AT_ONCE = 8


class Entry(TypedDict):
    """One portrait of portraits.json; landmarks in pixels, (0, 0) = centre of the top-left pixel."""

    file: str
    seed: int
    attributes: dict[str, float]
    landmarks: list[list[float]]


def write_portraits(folder: str | Path, count: int, size: int, seed: int) -> Iterator[Path]:
    """Render portraits 0 .. count-1 of the series `seed`; yields each picture's path once it is whole.

    The listing is written last, and yielded last. Files of the same name are replaced.

    Raises:
        UsageError: count, size or seed out of range. OutputError: a file cannot be written.
    """
    if not 1 <= count <= MOST:
        raise UsageError(f"--count {count}: give 1 to {MOST}")
    if not SMALLEST <= size <= LARGEST:
        raise UsageError(f"--size {size}: give {SMALLEST} to {LARGEST} pixels")
    if not 0 <= seed < _LARGEST_SEED:
        raise UsageError(f"--seed {seed}: give a whole number from 0 to {_LARGEST_SEED - 1}")
    return _write(Path(folder), count, size, seed)


def _write(folder: Path, count: int, size: int, seed: int) -> Iterator[Path]:
    entries: list[Entry] = []
    for start in range(0, count, _AT_ONCE):
        attributes = sample_attributes(min(_AT_ONCE, count - start), seed, start)
        pictures = (render(attributes, size) * 255.0).round().byte().permute(0, 2, 3, 1).numpy()
        points = landmarks(attributes, size)
        for i, pixels in enumerate(pictures):
            entry = _entry(f"{start + i:06d}.png", attributes, points[i], i)
            write_png(folder / entry["file"], np.ascontiguousarray(pixels))
            entries.append(entry)
            yield folder / entry["file"]
    text = "[\n" + ",\n".join(json.dumps(entry) for entry in entries) + "\n]\n"
    yield write_bytes(folder / LISTING, text.encode())


def _entry(file: str, attributes: Mapping[str, Tensor], points: Tensor, i: int) -> Entry:
    return {
        "file": file,
        "seed": int(attributes["seed"][i]),
        # Nine digits give each float32 back exactly.
        "attributes": {name: float(f"{attributes[name][i].item():.9g}") for name in ATTRIBUTE_NAMES},
        "landmarks": [[round(x, 3), round(y, 3)] for x, y in points.tolist()],
    }
