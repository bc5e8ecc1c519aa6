"""The files that a visitor takes away."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

import numpy as np

from ganinv.app.studio import Studio
from ganinv.app.work import Work
from ganinv.errors import UnknownNameError
from ganinv.images import write_photo, write_png

KINDS = ("picture", "photo", "mask", "inversion")


def write(studio: Studio, work: Work, kind: str, folder: Path) -> Path:
    """Writes one of `KINDS` into a new folder inside `folder`.

    picture: the result at the generator's size. photo: the same in the picture at full size. mask: of the
    whole picture, white = erased. inversion: of the kept filling, edited as it stands.

    Raises:
        UsageError: an inversion, where no filling is kept. UnknownNameError: another kind.
    """
    if kind not in KINDS:
        raise UnknownNameError("file", kind, KINDS)
    stem = re.sub(r"[^\w-]+", "-", work.name).strip("-")[:60] or "picture"
    made = Path(tempfile.mkdtemp(dir=folder))
    if kind == "picture":
        return write_png(made / f"{stem}-filled.png", studio.result(work))
    if kind == "photo":
        photo = studio.photo(work)
        return write_photo(made / f"{stem}-photo.png", photo.colours, photo)
    if kind == "mask":
        return write_png(made / f"{stem}-mask.png", np.where(work.hole, np.uint8(255), np.uint8(0)))
    path = made / f"{stem}.inversion.safetensors"
    studio.inversion(work).save(path)
    return path
