"""Landmarks that the user gives: a JSON file instead of a detector."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ganinv.align.faces import Detector, Face, face_from_points
from ganinv.errors import InputError
from ganinv.images import Bytes

_FORM = (
    '[[x, y], ...] of 68 or 5 points; a list of such faces; {"NAME": face or faces, ...}; or a list of '
    '{"file": NAME, "landmarks": face}, as \'ganinv portraits\' writes'
)


class GivenPoints(Detector):
    """Faces by the photo's file name, or the same ones for any photo.

    Raises:
        InputError: no such file, or one of another form.
    """

    name = "points"

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        try:
            content = json.loads(self.path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as cause:
            raise InputError(f"cannot read the points of {path} ({cause}); its form: {_FORM}") from cause
        self.faces: dict[str, list[Face]] | list[Face]
        try:
            self.faces = _read(content)
        except InputError as cause:
            raise InputError(f"{path}: {cause.message}; its form: {_FORM}") from cause

    def find(self, pixels: Bytes, *, name: str = "", thorough: bool = False) -> list[Face]:
        """See `Detector.find`. Raises InputError where the file has no faces for that name."""
        if isinstance(self.faces, list):
            return self.faces
        found = self.faces.get(name) or self.faces.get(Path(name).stem)
        if not found:
            raise InputError(f"{self.path} has no points for {name}: names are those of the photos' files")
        return found


def _read(content: Any) -> dict[str, list[Face]] | list[Face]:
    if isinstance(content, dict):
        return {str(name): _faces(value) for name, value in content.items()}
    if isinstance(content, list) and content and all(isinstance(entry, dict) for entry in content):
        by_name: dict[str, list[Face]] = {}
        for entry in content:
            points = entry.get("landmarks", entry.get("points"))
            by_name.setdefault(str(entry.get("file")), []).append(face_from_points(points))
        return by_name
    return _faces(content)


def _faces(value: Any) -> list[Face]:
    """One face, or several; a pair of numbers tells a point from a face."""
    if not isinstance(value, list) or not value or not isinstance(value[0], list) or not value[0]:
        raise InputError("no points were found")
    if isinstance(value[0][0], list):
        return [face_from_points(points) for points in value]
    return [face_from_points(value)]
