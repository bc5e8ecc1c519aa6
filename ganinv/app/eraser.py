"""The canvas on which a visitor erases, made of Gradio's HTML component; eraser.js is its other half."""

from __future__ import annotations

import base64
import binascii
import io
import itertools
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
from PIL import Image

from ganinv.errors import InputError
from ganinv.images import Bools, Bytes

_HERE = Path(__file__).parent
SIDE = 384
"""Of the mask that is painted, in pixels: fine enough for a photo, small enough to send at a click."""
_NUMBERS = itertools.count(1)
_PREFIX = "data:image/png;base64,"
_LARGEST = 2_000_000  # characters of a painted mask; a real one has some thousands

Value = dict[str, Any]


def eraser() -> gr.HTML:
    """The component. Its value is what `shown` gives; `painted` reads it."""
    return gr.HTML(
        value=None,
        html_template=(_HERE / "eraser.html").read_text(encoding="utf-8"),
        css_template=(_HERE / "eraser.css").read_text(encoding="utf-8"),
        js_on_load=(_HERE / "eraser.js").read_text(encoding="utf-8").replace("MASK_SIDE", str(SIDE)),
        elem_id="eraser",
    )


def shown(picture: Bytes, hole: Bools | None = None) -> Value:
    """What makes the canvas show a new picture, uint8 (S, S, 3), with a hole (P, P), if any."""
    return {
        "number": next(_NUMBERS),
        "picture": _png(picture),
        "hole": None if hole is None else mask_png(hole),
    }


def with_hole(hole: Bools) -> Value:
    """What makes the canvas show another hole (P, P) on the same picture; the one before can be undone to."""
    return {"number": next(_NUMBERS), "hole": mask_png(hole)}


def painted(value: Value | None) -> Bools:
    """The hole on the canvas, bool (SIDE, SIDE). Raises InputError for what no canvas sends."""
    text = value.get("hole") if isinstance(value, dict) else None
    if text is None:
        return np.zeros((SIDE, SIDE), bool)
    if not isinstance(text, str) or not text.startswith(_PREFIX) or len(text) > _LARGEST:
        raise InputError("the painted mask is not a PNG data URL")
    try:
        data = base64.b64decode(text[len(_PREFIX) :], validate=True)
        with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
            if image.size != (SIDE, SIDE):
                raise InputError(
                    f"the painted mask is {image.size[0]} x {image.size[1]}, not {SIDE} x {SIDE}"
                )
            levels = np.asarray(image.convert("RGBA"))
    except (binascii.Error, OSError, SyntaxError, ValueError) as cause:
        raise InputError("the painted mask cannot be read") from cause
    return (levels[..., 0] > 127) & (levels[..., 3] > 127)


def mask_png(hole: Bools) -> str:
    """A hole as the canvas takes it: white and opaque where erased, at SIDE px."""
    from ganinv.sizes import resize_hole

    levels = np.where(resize_hole(hole, SIDE)[..., None], np.uint8(255), np.uint8(0))
    return _png(np.repeat(levels, 4, axis=2))


def _png(pixels: np.ndarray) -> str:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return _PREFIX + base64.b64encode(buffer.getvalue()).decode()
