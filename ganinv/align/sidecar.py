"""NAME.align.json: what an aligned photo was, and where its crops came from.

The file names the photo by a path from its own folder and by digest, so that a tree of results can be moved.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ganinv.align.faces import Face, face_from_points
from ganinv.align.geometry import Points, Preset, as_quad
from ganinv.errors import InputError, UsageError
from ganinv.files import write_bytes
from ganinv.images import Bools

SUFFIX = ".align.json"
_FORMAT = "ganinv-align/1"


@dataclass(frozen=True, eq=False)
class FaceRecord:
    """One aligned face. crop: name of its picture, beside the sidecar; None where none was written.

    hole: bool (H, W) at the photo's size, within the square only; None where there was no mask.
    """

    index: int
    face: Face
    quad: Points
    crop: str | None
    hole: Bools | None


@dataclass(frozen=True, eq=False)
class Sidecar:
    """An aligned photo: its path as found from here, SHA-256 and shape (height, width), and its faces."""

    photo: Path
    sha256: str
    shape: tuple[int, int]
    preset: Preset
    detector: Mapping[str, Any]
    mask: str | None
    faces: tuple[FaceRecord, ...]

    def save(self, path: Path) -> Path:
        """Writes the file. Raises OutputError."""
        try:
            place = os.path.relpath(self.photo.resolve(), path.parent.resolve())
        except ValueError:  # another drive, on Windows
            place = str(self.photo.resolve())
        content = {
            "format": _FORMAT,
            "photo": {"path": Path(place).as_posix(), "sha256": self.sha256, "size": list(self.shape[::-1])},
            "preset": vars(self.preset),
            "detector": dict(self.detector),
            "mask": self.mask,
            "faces": [_face_to_json(record) for record in self.faces],
        }
        return write_bytes(path, (json.dumps(content, indent=1) + "\n").encode())

    @classmethod
    def load(cls, path: Path) -> Sidecar:
        """Reads a file of `save`. Raises InputError for any other."""
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            if content["format"] != _FORMAT:
                raise ValueError(f"format {content['format']!r}")
            width, height = (int(length) for length in content["photo"]["size"])
            if not (0 < width <= 1 << 17 and 0 < height <= 1 << 17):
                raise ValueError(f"a photo of {width} x {height}")
            return cls(
                path.parent / content["photo"]["path"],
                str(content["photo"]["sha256"]),
                (height, width),
                Preset(**content["preset"]),
                dict(content["detector"]),
                content["mask"],
                tuple(_face_from_json(entry, (height, width)) for entry in content["faces"]),
            )
        except OSError as cause:
            raise InputError(f"cannot read {path}: {cause.strerror or cause}") from cause
        except (KeyError, TypeError, ValueError, InputError, UsageError, AttributeError) as cause:
            raise InputError(f"{path} is no sidecar of 'ganinv align', or it is damaged: {cause}") from cause

    def face(self, index: int) -> FaceRecord:
        """The face of that number. Raises InputError."""
        for record in self.faces:
            if record.index == index:
                return record
        raise InputError(f"the sidecar of {self.photo.name} has no face {index}")


def photo_digest(path: Path) -> str:
    """SHA-256 of a photo file, in hex digits. Raises InputError."""
    try:
        with open(path, "rb") as stream:
            return (
                hashlib.file_digest(stream, "sha256").hexdigest()
                if hasattr(hashlib, "file_digest")
                else (hashlib.sha256(stream.read()).hexdigest())
            )
    except OSError as cause:
        raise InputError(f"cannot read {path}: {cause.strerror or cause}") from cause


def _face_to_json(record: FaceRecord) -> dict[str, Any]:
    face = record.face
    return {
        "index": record.index,
        "crop": record.crop,
        "quad": record.quad.tolist(),
        "box": [round(value, 3) for value in face.box],
        "score": None if face.score is None else round(face.score, 4),
        "layout": face.layout,
        "landmarks": np.round(face.points, 3).tolist(),
        "hole": None if record.hole is None else _packed(record.hole),
    }


def _face_from_json(entry: Mapping[str, Any], shape: tuple[int, int]) -> FaceRecord:
    found = face_from_points(entry["landmarks"], entry["layout"])
    left, top, width, height = (float(value) for value in entry["box"])
    face = Face(found.points, (left, top, width, height), entry["score"], found.layout)
    hole = None if entry["hole"] is None else _unpacked(entry["hole"], shape)
    return FaceRecord(int(entry["index"]), face, as_quad(entry["quad"]), entry["crop"], hole)


def _packed(hole: Bools) -> dict[str, Any]:
    """The part of a hole that is not empty, as the base64 of a PNG of one bit a pixel."""
    rows, columns = np.flatnonzero(hole.any(1)), np.flatnonzero(hole.any(0))
    top, left = (int(rows[0]), int(columns[0])) if len(rows) else (0, 0)
    part = hole[top : rows[-1] + 1, left : columns[-1] + 1] if len(rows) else hole[:1, :1]
    buffer = io.BytesIO()
    Image.fromarray(part).save(buffer, format="PNG", optimize=True)
    return {"left": left, "top": top, "png": base64.b64encode(buffer.getvalue()).decode()}


def _unpacked(entry: Mapping[str, Any], shape: tuple[int, int]) -> Bools:
    data = base64.b64decode(entry["png"], validate=True)
    with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
        part = np.asarray(image.convert("1"))
    top, left = int(entry["top"]), int(entry["left"])
    if min(top, left) < 0 or top + part.shape[0] > shape[0] or left + part.shape[1] > shape[1]:
        raise ValueError("a hole beyond the photo")
    hole = np.zeros(shape, bool)
    hole[top : top + part.shape[0], left : left + part.shape[1]] = part
    return hole
