"""What a click on the page does: each handler calls one operation of the studio and shows what came of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np

from ganinv.align.regions import PARTS
from ganinv.app import downloads
from ganinv.app.eraser import SIDE, painted, shown, with_hole
from ganinv.app.examples import Example
from ganinv.app.layout import Editing, Erasing, Filling
from ganinv.app.messages import told, told_along
from ganinv.app.studio import FillSettings, Studio
from ganinv.app.work import SHAPES, Work
from ganinv.errors import InputError
from ganinv.sizes import resize

MODEL = "model"  # everything that computes waits in one queue
_COMPUTES: dict[str, Any] = {"api_visibility": "private", "concurrency_id": MODEL}
_QUIETLY: dict[str, Any] = {**_COMPUTES, "show_progress": "hidden"}
_SHOWN_SIDE = 512  # a smaller picture is enlarged here, or the browser would blur its edges

# The browser is handed a file by a click on the hidden link that the server has just given an address.
_HAND_OVER = "() => setTimeout(() => document.querySelector('#file-{kind}').click(), 60)"


class Page:
    """The page of one studio. `build` is called once, inside `gr.Blocks`."""

    def __init__(self, studio: Studio, examples: Sequence[Example], folder: Path) -> None:
        self.studio, self.examples, self.folder = studio, examples, folder
        self.names = tuple(studio.directions)
        self.running: list[Any] = []  # what takes a while, and can be stopped
        self.shapes = (*PARTS, *SHAPES)

    def build(self) -> None:
        """Lays out the page and ties its parts together."""
        about = f"{self.studio.backbone.name}, {self.studio.method.name}"
        self.work = gr.State(None, time_to_live=60 * self.studio.limits.idle_minutes)
        gr.Markdown(f"### ganinv &nbsp; erase, fill, edit &nbsp; <small>{about}</small>", elem_id="title")
        with gr.Row(elem_id="columns"):
            with gr.Column(scale=10, min_width=340, elem_id="left"):
                self.left = Erasing.build(self.shapes, self.examples)
            with gr.Column(scale=10, min_width=340, elem_id="middle"):
                self.middle = Filling.build(self.studio.limits)
            with gr.Column(scale=10, min_width=340, elem_id="right"):
                self.right = Editing.build(self.names)
        self._tie_opening()
        self._tie_erasing()
        self._tie_filling()
        self._tie_editing()
        self._tie_taking()
        self.middle.stop.click(None, None, None, cancels=self.running, api_visibility="private")

    # ------------------------------------------------------------------------------------------ opening

    def _tie_opening(self) -> None:
        left = self.left
        outputs = [
            *(self.work, left.canvas, left.frame, *left.clicks),
            *(self.middle.gallery, self.right.compare, self.middle.note, *self.right.sliders),
        ]
        left.examples.select(told(self._example), None, outputs, **_QUIETLY)
        self.running += [
            left.open.upload(told(self._open), left.open, outputs, **_COMPUTES),
            left.saved.upload(told(self._reopen), left.saved, outputs, **_COMPUTES),
            left.frame.input(told(self._choose), [self.work, left.frame], outputs, **_COMPUTES),
        ]

    def _begun(self, work: Work, note: str = "") -> list[Any]:
        """Every part of the page for a work that has just been opened."""
        labels = [frame.label for frame in work.frames]
        possible = self.studio.clicks(work)
        return [
            work,
            shown(work.crop, work.crop_hole if work.crop_hole.any() else None),
            gr.update(choices=labels, value=labels[work.frame], visible=len(labels) > 1),
            *(gr.update(interactive=name in possible) for name in self.shapes),
            self._tiles(work),
            self._pair(work),
            "; ".join(filter(None, [*work.picture.notes, note])),
            *self._no_edits(),
        ]

    def _open(self, path: str) -> list[Any]:
        return self._begun(self.studio.open(Path(path)))

    def _reopen(self, path: str) -> list[Any]:
        return self._begun(self.studio.reopen(Path(path)), "opened again")

    def _example(self, event: gr.SelectData) -> list[Any]:
        example = self.examples[int(event.index)]
        return self._begun(self.studio.begin(example.picture, example.name, example.face))

    def _choose(self, work: Work | None, label: str) -> list[Any]:
        chosen = _opened(work)
        labels = [frame.label for frame in chosen.frames]
        return self._begun(self.studio.choose(chosen, labels.index(label) if label in labels else -1))

    # ------------------------------------------------------------------------------------------ erasing

    def _tie_erasing(self) -> None:
        left = self.left
        for name, button in zip(self.shapes, left.clicks, strict=True):
            handler = told(lambda work, value, name=name: self._click(work, value, name))
            button.click(handler, [self.work, left.canvas], left.canvas, **_QUIETLY)
        left.mask.upload(told(self._mask), [self.work, left.mask], left.canvas, **_COMPUTES)

    def _click(self, work: Work | None, value: Any, name: str) -> Any:
        return with_hole(painted(value) | self.studio.shape_hole(_opened(work), name, SIDE))

    def _mask(self, work: Work | None, path: str) -> Any:
        return with_hole(self.studio.mask(_opened(work), Path(path)))

    # ------------------------------------------------------------------------------------------ filling

    def _tie_filling(self) -> None:
        middle = self.middle
        inputs = [self.work, self.left.canvas, *middle.asked]
        outputs = [self.work, middle.gallery, self.right.compare, middle.note, *self.right.sliders]
        how: dict[str, Any] = {**_COMPUTES, "trigger_mode": "once", "show_progress_on": [middle.gallery]}
        self.running += [
            middle.fill.click(told_along(self._fill), inputs, outputs, **how),
            middle.more.click(told_along(self._more), inputs, outputs, **how),
            middle.refine.click(told(self._refine), self.work, outputs, **how),
        ]
        kept = [self.work, self.right.compare, *self.right.sliders]
        middle.gallery.select(told(self._keep), [self.work], kept, **_QUIETLY)

    def _fill(self, work: Work | None, value: Any, *asked: Any) -> Iterator[list[Any]]:
        yield from self._filled(_opened(work).erased(painted(value)), asked)

    def _more(self, work: Work | None, value: Any, *asked: Any) -> Iterator[list[Any]]:
        """More fillings of the same hole; another hole starts anew."""
        chosen = _opened(work)
        anew = chosen.erased(painted(value))
        same = np.array_equal(anew.crop_hole, chosen.crop_hole)
        yield from self._filled(chosen if same else anew, asked)

    def _filled(self, work: Work, asked: Sequence[Any]) -> Iterator[list[Any]]:
        count, seed, truncation, diversity, reference, layers = asked
        seen = None if reference is None else self.studio.read(Path(reference)).pixels
        settings = FillSettings(
            int(count), int(seed or 0), float(truncation), float(diversity), seen, tuple(layers or ())
        )
        before = len(work.fillings)
        for one in self.studio.fill(work, settings):
            done = len(one.fillings) - before
            note = f"{done} of {settings.count}" if done < settings.count else ""
            edits = self._no_edits() if one.kept is None else [gr.skip() for _ in self.names]
            yield [one, self._tiles(one), self._pair(one), note, *edits]

    def _refine(self, work: Work | None) -> list[Any]:
        refined = self.studio.refine(_opened(work))
        return [refined, self._tiles(refined), self._pair(refined), "", *self._no_edits()]

    def _keep(self, work: Work | None, event: gr.SelectData) -> list[Any]:
        kept = self.studio.keep(_opened(work), int(event.index))
        return [kept, self._pair(kept), *self._no_edits()]

    def _tiles(self, work: Work) -> Any:
        tiles = [(filling.shown, filling.label) for filling in work.fillings]
        return gr.update(value=tiles, selected_index=work.kept)

    def _pair(self, work: Work) -> tuple[Any, Any]:
        before = np.where(work.crop_hole[..., None], np.uint8(128), work.crop)
        if work.edited is not None and work.kept is not None:
            before = work.fillings[work.kept].shown
        side = max(work.size, _SHOWN_SIDE)
        return resize(before, side), resize(self.studio.result(work), side)

    # ------------------------------------------------------------------------------------------ editing

    def _no_edits(self) -> list[Any]:
        return [0 for _ in self.names]

    def _tie_editing(self) -> None:
        right = self.right
        inputs, outputs = [self.work, right.keep_known, *right.sliders], [self.work, right.compare]
        how: dict[str, Any] = {**_QUIETLY, "trigger_mode": "always_last"}
        for slider in right.sliders:
            slider.input(told(self._edit), inputs, outputs, **how)
        right.keep_known.input(told(self._edit), inputs, outputs, **how)
        right.reset.click(
            told(self._reset), [self.work, right.keep_known], [*outputs, *right.sliders], **_QUIETLY
        )

    def _edit(self, work: Work | None, keep_known: bool, *strengths: float) -> list[Any]:
        asked = dict(zip(self.names, strengths, strict=True))
        edited = self.studio.edit(_opened(work), asked, keep_known=bool(keep_known))
        return [edited, self._pair(edited)]

    def _reset(self, work: Work | None, keep_known: bool) -> list[Any]:
        chosen = _opened(work)
        plain = chosen if chosen.kept is None else self.studio.edit(chosen, {}, keep_known=bool(keep_known))
        return [plain, self._pair(plain), *self._no_edits()]

    # ------------------------------------------------------------------------------------------ results

    def _tie_taking(self) -> None:
        for kind, button in self.right.take.items():
            handler = told(lambda work, value, kind=kind: self._take(work, value, kind))
            made = button.click(handler, [self.work, self.left.canvas], self.right.files[kind], **_COMPUTES)
            self.running.append(made)
            made.success(None, None, None, js=_HAND_OVER.format(kind=kind), api_visibility="private")

    def _take(self, work: Work | None, value: Any, kind: str) -> str:
        chosen = _opened(work)
        if not chosen.fillings:  # the mask, say, of what is only painted yet
            chosen = chosen.erased(painted(value))
        return str(downloads.write(self.studio, chosen, kind, self.folder))


def _opened(work: Work | None) -> Work:
    if not isinstance(work, Work):
        raise InputError("open a picture first, or take an example")
    return work
