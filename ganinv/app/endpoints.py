"""The same operations for scripts: named endpoints of Gradio's API, each standing alone; see docs/page.md."""

from __future__ import annotations

import json
import math
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr

from ganinv.app.messages import told
from ganinv.app.page import MODEL
from ganinv.app.studio import FillSettings, Studio
from ganinv.app.work import Work
from ganinv.errors import UsageError
from ganinv.images import write_photo, write_png


def tie(studio: Studio, folder: Path) -> None:
    """Adds the endpoints /fill, /edit, /refine and /directions; called inside `gr.Blocks`."""
    api = Endpoints(studio, folder)
    with gr.Row(visible=False):
        files = {name: gr.File(label=name) for name in ("picture", "mask", "reference", "inversion")}
        whole = {
            name: gr.Number(0, precision=0, label=name) for name in ("samples", "seed", "sample", "face")
        }
        share = {name: gr.Number(1.0, label=name) for name in ("truncation", "diversity")}
        text = {name: gr.Textbox("", label=name) for name in ("layers", "edits")}
        keep_known = gr.Checkbox(False, label="keep_known")
        pictures, photos = gr.Files(label="pictures"), gr.Files(label="photos")
        known = gr.JSON(label="directions")
        button = gr.Button()
    asked = [files["picture"], files["mask"], whole["samples"], whole["seed"], share["truncation"]]
    asked += [share["diversity"], files["reference"], text["layers"], whole["face"]]
    for name, inputs, outputs in (
        ("fill", asked, [pictures, photos, files["inversion"]]),
        (
            "edit",
            [files["inversion"], text["edits"], whole["sample"], keep_known],
            [files["picture"], files["inversion"]],
        ),
        ("refine", [files["inversion"], whole["sample"]], [files["picture"], files["inversion"]]),
        ("directions", [], [known]),
    ):
        call = getattr(api, name)
        button.click(
            told(call), inputs, outputs, api_name=name, concurrency_id=MODEL, api_description=call.__doc__
        )


class Endpoints:
    """What scripts can call; files go into new folders inside `folder`."""

    def __init__(self, studio: Studio, folder: Path) -> None:
        self.studio, self.folder = studio, folder

    def fill(
        self,
        picture: str | None,
        mask: str | None,
        samples: float,
        seed: float,
        truncation: float,
        diversity: float,
        reference: str | None,
        layers: str,
        face: float,
    ) -> tuple[list[str], list[str], str]:
        """Fillings of a picture where the mask (of the same proportions) is white.

        Of several faces in a photo, 0 is the largest. Gives the pictures, each put back into the picture at
        its full size, and the inversion file of all.
        """
        if picture is None or mask is None:
            raise UsageError("give a picture and a mask: files, by handle_file(path) in Python")
        chosen, work = _whole("face", face), self.studio.open(Path(picture))
        if chosen != work.frame:
            work = self.studio.choose(work, chosen)
        work = work.erased(self.studio.mask(work, Path(mask)))
        seen = None if reference is None else self.studio.read(Path(reference)).pixels
        named = tuple(name.strip() for name in (layers or "").split(",") if name.strip())
        settings = FillSettings(
            _whole("samples", samples),
            _whole("seed", seed),
            _number("truncation", truncation),
            _number("diversity", diversity),
            seen,
            named,
        )
        *_, work = self.studio.fill(work, settings)
        made = Path(tempfile.mkdtemp(dir=self.folder))
        pictures, photos = [], []
        for index, filling in enumerate(work.fillings):
            kept = self.studio.keep(work, index)
            pictures.append(str(write_png(made / f"{index:02d}.png", filling.shown)))
            photo = self.studio.photo(kept)
            photos.append(str(write_photo(made / f"{index:02d}-photo.png", photo.colours, photo)))
        path = made / "fillings.inversion.safetensors"
        self.studio.joined(work).save(path)
        return pictures, photos, str(path)

    def edit(self, inversion: str | None, edits: str, sample: float, keep_known: bool) -> tuple[str, str]:
        """A sample of an inversion file, edited: edits is JSON like {"age": 1.5, "smile": -1}.

        Gives the picture and its inversion file.
        """
        work = self._opened(inversion, sample)
        work = self.studio.edit(work, _strengths(edits), keep_known=bool(keep_known))
        return self._written(work, "edited")

    def refine(self, inversion: str | None, sample: float) -> tuple[str, str]:
        """A sample of an inversion file, its code moved until it shows more of what was not erased.

        Gives the picture and its inversion file.
        """
        return self._written(self.studio.refine(self._opened(inversion, sample)), "refined")

    def _opened(self, inversion: str | None, sample: float) -> Work:
        """The work of an inversion file with one of its fillings, which is kept."""
        if inversion is None:
            raise UsageError("give an inversion file, as /fill and 'ganinv invert' write it")
        work = self.studio.keep(self.studio.reopen(Path(inversion)), _whole("sample", sample))
        return replace(work, fillings=(work.chosen(),), kept=0)  # beside a full file's, none more has room

    def _written(self, work: Work, name: str) -> tuple[str, str]:
        """Files of the result as it stands: the picture, the inversion."""
        made = Path(tempfile.mkdtemp(dir=self.folder))
        path = made / f"{name}.inversion.safetensors"
        self.studio.inversion(work).save(path)
        return str(write_png(made / f"{name}.png", self.studio.result(work))), str(path)

    def directions(self) -> dict[str, Any]:
        """The names that /edit knows, what positive strengths do, and which strengths pictures bear."""
        return {
            name: {"about": edit.about, "safe_range": edit.safe_range}
            for name, edit in self.studio.directions.items()
        }


def _strengths(text: str) -> dict[str, float]:
    try:
        found = json.loads(text or "{}")
    except (ValueError, RecursionError) as cause:
        raise UsageError(f'edits must be JSON like {{"age": 1.5}}, not {text[:60]!r}') from cause
    if not isinstance(found, dict):
        raise UsageError('edits must be JSON like {"age": 1.5}')
    return {str(name): _number(str(name), strength) for name, strength in found.items()}


def _number(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise UsageError(f"{name} must be a number, not {str(value)[:40]!r}")
    return float(value)


def _whole(name: str, value: Any) -> int:
    number = _number(name, value)
    if number != int(number):
        raise UsageError(f"{name} must be a whole number, not {number:g}")
    return int(number)
