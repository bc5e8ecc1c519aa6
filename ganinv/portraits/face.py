"""The measures of each face, derived once per image from its attributes. Every field is [B, 1, 1].

Lengths are in chart units for the features on the face (see chart.py; about head units / 0.8), in head units
elsewhere: half a face is 0.765 wide, the chin is 1.15 below the eyes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import TypeVar

from torch import Tensor

from ganinv.portraits.tensors import smoothstep

Part = TypeVar("Part")


def take_images(part: Part, images: Tensor) -> Part:
    """The same dataclass for some of its images: every tensor in it indexed along dimension 0."""
    assert is_dataclass(part) and not isinstance(part, type)
    chosen = {}
    for field in fields(part):
        value = getattr(part, field.name)
        chosen[field.name] = value.index_select(0, images) if isinstance(value, Tensor) else value
    return type(part)(**chosen)


@dataclass(frozen=True)
class Face:
    """Attributes and what follows from them; see docs/portraits.md for the attributes."""

    gender: Tensor
    age: Tensor
    old: Tensor
    """0 at 32 years .. 1 at 78"""
    young: Tensor
    """1 at 18 years .. 0 at 42"""
    smiling: Tensor
    frown: Tensor
    open: Tensor
    """0 lips closed .. 1 mouth open"""
    skin: Tensor
    fwidth: Tensor
    forehead: Tensor
    face_len: Tensor
    jaw_width: Tensor
    cheek: Tensor
    chin: Tensor
    asym: Tensor
    nose: Tensor
    nose_len: Tensor
    nose_width: Tensor
    eye_gap: Tensor
    eye_a: Tensor
    """eye centre in the chart: +-eye_a, eye_b"""
    eye_b: Tensor
    eye_half: Tensor
    """half width of the eye"""
    lid_up: Tensor
    lid_low: Tensor
    eye_tilt: Tensor
    gaze_x: Tensor
    gaze_y: Tensor
    """degrees, in the head"""
    brow_b: Tensor
    brow_half: Tensor
    brow_tilt: Tensor
    mouth_b: Tensor
    mouth_half: Tensor
    lip_up: Tensor
    lip_low: Tensor
    gap: Tensor
    """height of the open mouth"""
    beard: Tensor
    makeup: Tensor
    freckle: Tensor
    length: Tensor
    volume: Tensor
    curl: Tensor
    fringe: Tensor
    recede: Tensor
    bun: Tensor
    part: Tensor
    thickness: Tensor
    """of the hair on top, before balding"""
    cloth_type: Tensor
    cloth_sat: Tensor
    glasses: Tensor
    glass_shape: Tensor
    frame_half: Tensor
    """half thickness of the glasses' frame"""
    yaw: Tensor


def face_from_attributes(attributes: Mapping[str, Tensor]) -> Face:
    """{name: [B]} -> the measures of B faces."""
    a = {name: value.float().view(-1, 1, 1) for name, value in attributes.items() if name != "seed"}
    old, young = smoothstep(a["age"], 32.0, 78.0), smoothstep(a["age"], 42.0, 18.0)
    smiling, frown = a["smile"].clamp(0.0, 1.0), (-a["smile"]).clamp(0.0, 1.0)
    opened = smoothstep(a["smile"], 0.35, 1.0)
    kept = (
        "gender age skin fwidth forehead face_len jaw_width cheek chin asym nose nose_len nose_width eye_gap "
        "brow_tilt beard makeup freckle length volume curl recede bun part cloth_type cloth_sat glasses "
        "glass_shape gaze_y yaw"
    )
    return Face(
        **{name: a[name] for name in kept.split()},
        **_eyes(a, old, young, smiling),
        **_mouth(a, old, smiling, frown, opened),
        old=old,
        young=young,
        smiling=smiling,
        frown=frown,
        open=opened,
        fringe=a["fringe"] * (1.0 - smoothstep(a["recede"], 0.2, 0.4)),
        thickness=0.085
        + 0.10 * a["volume"]
        + 0.16 * a["curl"] * a["volume"]
        + 0.05 * smoothstep(a["length"], 0.2, 0.6),
        frame_half=0.012
        + 0.016 * (1.0 - (a["glass_col"] - 0.5).abs()) * smoothstep(a["glass_col"], 0.2, 0.6),
    )


def _eyes(a: Mapping[str, Tensor], old: Tensor, young: Tensor, smiling: Tensor) -> dict[str, Tensor]:
    fem = 1.0 - a["gender"]
    eye_b = 0.028 * a["eye_height"]
    height = 0.104 + 0.024 * fem + 0.014 * a["eye_size"] + 0.010 * young
    return {
        "eye_a": 0.425 + 0.026 * a["eye_gap"],
        "eye_b": eye_b,
        "eye_half": 0.222 * (1.0 + 0.09 * a["eye_size"] + 0.05 * fem + 0.05 * young),
        "lid_up": height * (1.0 - 0.20 * smiling - 0.18 * old),
        "lid_low": (0.060 + 0.008 * fem) * (1.0 - 0.38 * smiling),
        "eye_tilt": 0.016 * fem - 0.020 * old,
        "gaze_x": a["gaze_x"] - 0.45 * a["yaw"],
        "brow_b": 0.232 + 0.026 * fem + 0.03 * a["brow_up"] - 0.012 * old + 0.6 * eye_b,
        "brow_half": (0.026 + 0.020 * a["gender"] - 0.004 * old) * (1.0 + 0.4 * a["brow_thick"]),
    }


def _mouth(
    a: Mapping[str, Tensor], old: Tensor, smiling: Tensor, frown: Tensor, opened: Tensor
) -> dict[str, Tensor]:
    masc, lip = a["gender"], a["lip"]
    return {
        "mouth_b": -0.668 - 0.034 * a["mouth_height"] - 0.02 * opened - 0.02 * a["nose_len"],
        "mouth_half": (0.268 + 0.012 * masc) * (1.0 + 0.23 * smiling - 0.05 * frown),
        "lip_up": (0.056 - 0.012 * masc + 0.024 * lip) * (1.0 - 0.30 * smiling - 0.38 * old),
        "lip_low": (0.084 - 0.012 * masc + 0.026 * lip) * (1.0 - 0.22 * smiling - 0.30 * old),
        "gap": 0.106 * opened,
    }
