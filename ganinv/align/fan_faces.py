"""Faces by the package face-alignment (Bulat and Tzimiropoulos, 2017), where it is installed."""

from __future__ import annotations

from typing import Any

import numpy as np

from ganinv.align.faces import Detector, Face
from ganinv.errors import CheckpointError, PluginError, UsageError
from ganinv.images import Bytes

_PROJECT = "https://github.com/1adrianb/face-alignment"
_CACHE = "~/.cache/torch/hub/checkpoints"


class FaceAlignmentDetector(Detector):
    """68 points by its network, on faces by its own detector; it keeps its weights in torch's cache.

    Raises:
        PluginError: the package is not installed. CheckpointError: its weights are neither in the cache nor
        to be had. UsageError: a model is named: it has its own.
    """

    name = "face-alignment"

    def __init__(self, model: str | None = None) -> None:
        if model is not None:
            raise UsageError("--landmark-model is for dlib's detectors; face-alignment has its own models")
        try:
            import face_alignment
        except ImportError as cause:
            raise PluginError(
                "face-alignment is not installed: type pip install face-alignment, or --detector dlib"
            ) from cause
        import torch

        device = "cuda" if torch.cuda.is_available() else "cpu"
        kind = face_alignment.LandmarksType
        flat = getattr(kind, "TWO_D", None) or kind._2D  # its name before version 1.4
        try:
            self.network: Any = face_alignment.FaceAlignment(flat, device=device, flip_input=False)
        except OSError as cause:  # urllib's errors among them
            raise CheckpointError(
                f"face-alignment cannot fetch its weights ({cause}); on a machine with a connection take the "
                f"links of {_PROJECT}, and put the files into {_CACHE}; or type --detector dlib"
            ) from cause

    def find(self, pixels: Bytes, *, name: str = "", thorough: bool = False) -> list[Face]:
        """See `Detector.find`; it always looks for all faces."""
        points, _, boxes = self.network.get_landmarks_from_image(pixels, return_bboxes=True)
        faces = []
        for found, box in zip(points or (), boxes or (), strict=True):
            left, top, right, bottom = (float(value) for value in box[:4])
            score = float(box[4]) if len(box) > 4 else None
            place = (left, top, right - left, bottom - top)
            faces.append(Face(np.asarray(found, np.float64)[:, :2], place, score))
        return faces


build = FaceAlignmentDetector
