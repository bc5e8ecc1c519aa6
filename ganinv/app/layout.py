"""Where things stand on the page: three columns, erase, fill, edit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import gradio as gr

from ganinv.app.downloads import KINDS
from ganinv.app.eraser import eraser
from ganinv.app.examples import Example
from ganinv.app.limits import Limits
from ganinv.guidance import LAYER_GROUPS

_CLICK_NAMES = {"lower-face": "lower face", "upper-face": "upper face"} | {
    f"half-{side}": f"{side} half" for side in ("left", "right", "top", "bottom")
}
_DOWNLOAD_NAMES = dict(zip(KINDS, ("Picture", "Photo, full size", "Mask", "Inversion"), strict=True))
_REACH, _STEP = 3.0, 0.1  # of a slider, in standard deviations
_SMALL: Literal["sm"] = "sm"


@dataclass(frozen=True)
class Erasing:
    """The left column. clicks: one button for each part or shape that a click erases."""

    canvas: gr.HTML
    clicks: tuple[gr.Button, ...]
    frame: gr.Radio
    open: gr.UploadButton
    mask: gr.UploadButton
    saved: gr.UploadButton
    examples: gr.Gallery

    @classmethod
    def build(cls, shapes: Sequence[str], examples: Sequence[Example]) -> Erasing:
        """Lays it out."""
        canvas = eraser()
        with gr.Row(elem_classes="chips"):
            clicks = tuple(_chip(_CLICK_NAMES.get(name, name), f"click-{name}") for name in shapes)
        frame = gr.Radio([], label="Which part of the picture", visible=False, elem_id="frame")
        with gr.Row(elem_classes="chips"):
            opening = _upload("Open picture", "open", "image", "primary")
            mask = _upload("Mask file", "mask", "image")
            saved = _upload("Inversion file", "saved", ".safetensors")
        shown = gr.Gallery(
            [(example.picture.pixels, example.name) for example in examples],
            columns=max(len(examples), 1),
            height=84,
            format="png",
            show_label=False,
            allow_preview=False,
            interactive=False,
            object_fit="cover",
            elem_id="examples",
            buttons=[],
        )
        return cls(canvas, clicks, frame, opening, mask, saved, shown)


@dataclass(frozen=True)
class Filling:
    """The middle column. asked: what `FillSettings` takes, in its order."""

    fill: gr.Button
    more: gr.Button
    refine: gr.Button
    stop: gr.Button
    gallery: gr.Gallery
    asked: tuple[gr.components.Component, ...]
    note: gr.Markdown

    @classmethod
    def build(cls, limits: Limits) -> Filling:
        """Lays it out."""
        with gr.Row(elem_classes="chips"):
            fill = gr.Button("Fill", variant="primary", elem_id="fill", min_width=90)
            more = gr.Button("More", elem_id="more", min_width=70)
            refine = gr.Button("Refine", elem_id="refine", min_width=70)
            stop = gr.Button("Stop", elem_id="stop", min_width=70)
        gallery = gr.Gallery(
            label="Fillings: click on one to keep it",
            columns=3,
            height=430,
            format="png",
            allow_preview=False,
            interactive=False,
            object_fit="contain",
            elem_id="gallery",
            buttons=[],
        )
        note = gr.Markdown("", elem_id="note")
        with gr.Accordion("How to fill", open=False, elem_id="how"):
            with gr.Row():
                count = gr.Slider(1, limits.samples, 6, step=1, label="Fillings at a time", elem_id="count")
                seed = gr.Number(0, precision=0, minimum=0, label="Seed", elem_id="seed")
            with gr.Row():
                truncation = gr.Slider(
                    0, 1, 1, step=0.05, label="Truncation: 0 mean, 1 all variety", elem_id="truncation"
                )
                diversity = gr.Slider(
                    0, 1, 1, step=0.05, label="Diversity: 0 all like the first", elem_id="diversity"
                )
            with gr.Row():
                reference = gr.Image(
                    label="Fill after this picture",
                    type="filepath",
                    height=130,
                    sources=["upload", "clipboard"],
                    elem_id="reference",
                )
                layers = gr.CheckboxGroup(
                    list(LAYER_GROUPS), label="in these layers (none: all)", elem_id="layers"
                )
        asked = (count, seed, truncation, diversity, reference, layers)
        return cls(fill, more, refine, stop, gallery, asked, note)


@dataclass(frozen=True)
class Editing:
    """The right column. take: a button for each file to take away, which fills the hidden one in `files`."""

    compare: gr.ImageSlider
    sliders: tuple[gr.Slider, ...]
    keep_known: gr.Checkbox
    reset: gr.Button
    take: dict[str, gr.Button]
    files: dict[str, gr.DownloadButton]

    @classmethod
    def build(cls, names: Sequence[str]) -> Editing:
        """Lays it out."""
        compare = gr.ImageSlider(
            label="Before and after", format="png", elem_id="compare", interactive=False, buttons=[]
        )
        with gr.Column(elem_id="sliders"):
            sliders = tuple(
                gr.Slider(-_REACH, _REACH, 0, step=_STEP, label=name, elem_id=f"edit-{name}", buttons=[])
                for name in names
            )
        with gr.Row(elem_classes="chips"):
            keep_known = gr.Checkbox(
                False, label="Change the filling only", elem_id="keep-known", container=False, min_width=150
            )
            reset = _chip("Reset", "reset")
        with gr.Row(elem_classes="chips"):
            gr.Markdown("Download", elem_id="take-label")
            take = {kind: _chip(label, f"take-{kind}") for kind, label in _DOWNLOAD_NAMES.items()}
        files = {
            kind: gr.DownloadButton(label, elem_id=f"file-{kind}", elem_classes="hidden-download")
            for kind, label in _DOWNLOAD_NAMES.items()
        }
        return cls(compare, sliders, keep_known, reset, take, files)


def _chip(label: str, name: str) -> gr.Button:
    return gr.Button(label, size=_SMALL, min_width=20, elem_id=name)


def _upload(
    label: str, name: str, kind: str, variant: Literal["primary", "secondary"] = "secondary"
) -> gr.UploadButton:
    return gr.UploadButton(label, file_types=[kind], variant=variant, size=_SMALL, elem_id=name, min_width=60)
