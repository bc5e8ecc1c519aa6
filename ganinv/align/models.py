"""Where the landmark models are: a file, the user's store, or the package face_recognition_models."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

from ganinv.errors import CheckpointError, PluginError

PACKAGE = "face_recognition_models"
SHAPE_68 = "shape_predictor_68_face_landmarks.dat"
SHAPE_5 = "shape_predictor_5_face_landmarks.dat"
MMOD = "mmod_human_face_detector.dat"
_LINK = "http://dlib.net/files/"


def model_file(given: str | None, usual: str) -> Path:
    """The file of a dlib model.

    Args:
        given: a file, or a name of 'ganinv models add'; None = the usual file of the installed package. (The
            package is not imported: that needs parts of setuptools which are gone.)

    Raises:
        CheckpointError: no such file or name. PluginError: the package is not installed.
    """
    if given is not None:
        from ganinv.store import stored_models

        stored = {model.name: model.path for model in stored_models()}
        path = stored.get(given, Path(given).expanduser())
        if not path.is_file():
            raise CheckpointError(
                f"no landmark model {given}: neither a file nor a name of 'ganinv models add'"
            )
        return path
    spec = importlib.util.find_spec(PACKAGE)
    for folder in spec.submodule_search_locations or () if spec else ():
        path = Path(folder) / "models" / usual
        if path.is_file():
            return path
    raise PluginError(
        f"the landmark model {usual} is not installed: type pip install 'ganinv[align]', or give a file "
        f"(from {_LINK}{usual}.bz2, unpacked) with --landmark-model"
    )


def check_dlib_model(path: Path) -> None:
    """Raises CheckpointError unless dlib reads a file as a shape predictor or a face detector."""
    if not path.is_file():
        raise CheckpointError(f"no such file: {path}")
    dlib = import_dlib()
    for load in (dlib.shape_predictor, dlib.cnn_face_detection_model_v1):
        try:
            load(str(path))
            return
        except RuntimeError:
            continue
    raise CheckpointError(f"{path} is no landmark model of dlib's, or it is damaged")


def import_dlib() -> Any:
    """The module dlib. Raises PluginError where it is not installed."""
    try:
        import dlib
    except ImportError as cause:
        absent = isinstance(cause, ModuleNotFoundError)
        said = "is not installed" if absent else f"does not load ({cause})"
        raise PluginError(f"dlib {said}: type pip install 'ganinv[align]'") from cause
    return dlib
