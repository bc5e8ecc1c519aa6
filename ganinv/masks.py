"""Holes: halves, boxes, borders and free-form drawings, each of them seeded, sized relative to the picture.

A hole is a bool array (H, W), True = erased. Batches for training are bool tensors (N, 1, H, W). Sizes are
fractions of the side, so a preset covers the same share of the picture at 64 px as at 1024 px. The free-form
presets carry the counts that their authors published:

- `comodgan`, `mat`, `mat-small`: boxes up to half the side, boxes up to the whole side, zigzag strokes;
- `lama-thin`, `lama-medium`, `lama-thick`: either strokes or boxes, in the proportion 1 : 0.3. Their
  generator draws up to one stroke or box more than its configuration says, and so does ours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, pi, sqrt
from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt

from ganinv.errors import UnknownNameError, UsageError

if TYPE_CHECKING:
    import torch

    RandomSource = np.random.Generator | torch.Generator

Hole = npt.NDArray[np.bool_]
Mix = str | Sequence[str] | Mapping[str, float]

FULL_RANGE = (0.0, 1.0)
# Strokes are drawn on a canvas of at least this side, then sampled down: OpenCV knows whole widths only.
_CANVAS = 256
_MOST_ROUNDS = 200


@dataclass(frozen=True)
class ZigzagPreset:
    """Boxes and zigzag brushes together; each number is the exclusive upper bound of a count."""

    small: int
    large: int
    strokes: int


@dataclass(frozen=True)
class EitherPreset:
    """Strokes or boxes, never both; counts inclusive, lengths and widths in pixels of a 512 px picture."""

    strokes: tuple[int, int]
    length: tuple[int, int]
    width: tuple[int, int]
    boxes: tuple[int, int] | None = None
    box_side: tuple[int, int] = (0, 0)


PRESETS: dict[str, ZigzagPreset | EitherPreset] = {
    "comodgan": ZigzagPreset(small=10, large=5, strokes=20),
    "mat": ZigzagPreset(small=5, large=3, strokes=9),
    "mat-small": ZigzagPreset(small=3, large=2, strokes=4),
    "lama-thin": EitherPreset((4, 71), length=(10, 110), width=(5, 25)),
    "lama-medium": EitherPreset((4, 11), length=(10, 210), width=(5, 105), boxes=(1, 6), box_side=(30, 150)),
    "lama-thick": EitherPreset((1, 6), length=(10, 460), width=(5, 255), boxes=(1, 5), box_side=(30, 300)),
}
DEFAULT_PRESET = "mat"
FIXED_NAMES = ("half-left", "half-right", "half-top", "half-bottom", "centre", "border")
MASK_NAMES = (*FIXED_NAMES, "free-form", *(f"free-form:{preset}" for preset in PRESETS))


# -------------------------------------------------------------------------------- fixed shapes


def box(size: int, left: float, top: float, right: float, bottom: float) -> Hole:
    """A box as a hole, bool (size, size); edges are fractions of the side in [0, 1], rounded to pixels.

    Raises:
        UsageError: the box is empty or leaves the picture.
    """
    if not (0 <= left < right <= 1 and 0 <= top < bottom <= 1):
        raise UsageError(
            f"box {left},{top},{right},{bottom} is empty or leaves the picture: "
            "give left < right and top < bottom, each from 0 to 1"
        )
    hole = np.zeros((size, size), dtype=np.bool_)
    hole[round(top * size) : round(bottom * size), round(left * size) : round(right * size)] = True
    return hole


def half(size: int, side: str) -> Hole:
    """Half of the picture ("left", "right", "top", "bottom") as a hole; returns bool (size, size)."""
    edges = {"left": (0, 0, 0.5, 1), "right": (0.5, 0, 1, 1), "top": (0, 0, 1, 0.5), "bottom": (0, 0.5, 1, 1)}
    if side not in edges:
        raise UnknownNameError("half", side, list(edges))
    return box(size, *edges[side])


def centre(size: int) -> Hole:
    """The middle box of half the side (a quarter of the area) as a hole; returns bool (size, size)."""
    return box(size, 0.25, 0.25, 0.75, 0.75)


def border(size: int) -> Hole:
    """Everything but the middle box of half the side, for out-painting; returns bool (size, size)."""
    return ~centre(size)


def fixed_hole(name: str, size: int) -> Hole:
    """The hole of one of `FIXED_NAMES`, which need no randomness; returns bool (size, size)."""
    if name.startswith("half-"):
        return half(size, name.removeprefix("half-"))
    if name == "centre":
        return centre(size)
    if name == "border":
        return border(size)
    raise UnknownNameError("mask", name, list(FIXED_NAMES))


def named_hole(spec: str, size: int, seed: int) -> Hole:
    """The hole that a name of `MASK_NAMES` stands for; returns bool (size, size), True = erased.

    `seed` matters to `free-form[:PRESET]` only, which is the same for the same seed whatever the picture.

    Raises:
        UnknownNameError: no such mask or preset; the text offers the nearest.
    """
    name, _, preset = spec.partition(":")
    if spec in MASK_NAMES and name == "free-form":
        return free_form(size, preset or DEFAULT_PRESET, np.random.default_rng(seed))
    if spec in FIXED_NAMES:
        return fixed_hole(spec, size)
    raise UnknownNameError("mask", spec, list(MASK_NAMES))


# -------------------------------------------------------------------------------- free-form


def free_form(
    size: int, preset: str, generator: RandomSource, hole_range: tuple[float, float] = FULL_RANGE
) -> Hole:
    """One free-form hole of a preset, bool (size, size), True = erased; see `free_form_batch`."""
    return _draw_batch(1, size, preset, generator, hole_range)[0]


def free_form_batch(
    count: int, size: int, preset: Mix, generator: RandomSource, hole_range: tuple[float, float] = FULL_RANGE
) -> torch.Tensor:
    """Seeded holes for training; bool tensor (count, 1, size, size), True = erased.

    Args:
        count: how many holes.
        size: side in pixels.
        preset: one preset of `PRESETS` or fixed shape of `FIXED_NAMES` ("half" = a random side); or
            several of them, drawn with equal chances; or a mapping from name to chance.
        generator: NumPy or torch generator; a torch one advances by one draw a call, whatever was rejected.
        hole_range: the erased share must lie strictly between these two; holes outside are drawn again.

    Raises:
        UnknownNameError: unknown preset.
        UsageError: the range is impossible, or so narrow for a preset that no hole fell into it.
    """
    import torch

    return torch.from_numpy(_draw_batch(count, size, preset, generator, hole_range))[:, None]  # (N, 1, H, W)


def _draw_batch(
    count: int, size: int, mix: Mix, generator: RandomSource, hole_range: tuple[float, float]
) -> Hole:
    low, high = hole_range
    if not 0 <= low < high <= 1:
        raise UsageError(f"hole range {low}-{high} is impossible: give 0 <= low < high <= 1")
    names, chances = _read_mix(mix)
    rng = _numpy_generator(generator)
    chosen = rng.choice(len(names), size=count, p=chances)
    holes = np.zeros((count, size, size), dtype=np.bool_)
    for index, name in enumerate(names):
        pending = np.flatnonzero(chosen == index)
        for _ in range(_MOST_ROUNDS):
            if not pending.size:
                break
            drawn = _draw(name, pending.size, size, rng, min(low + high, 1.0))
            share = drawn.mean(axis=(1, 2))
            fits = (share > low) & (share < high)
            holes[pending[fits]] = drawn[fits]
            pending = pending[~fits]
        if pending.size:
            raise UsageError(
                f"no {name} mask has a hole share between {low:g} and {high:g} at {size} px "
                f"({_MOST_ROUNDS} tries): widen the range or choose another preset"
            )
    return holes


def _read_mix(mix: Mix) -> tuple[list[str], npt.NDArray[np.float64]]:
    """Names and chances (summing to 1) of a mix, each name known."""
    if isinstance(mix, str):
        mix = [mix]
    weights = dict(mix) if isinstance(mix, Mapping) else dict.fromkeys(mix, 1.0)
    known = [*PRESETS, *FIXED_NAMES, "half"]
    for name in weights:
        if name not in known:
            raise UnknownNameError("mask preset", name, known)
    chances = np.array(list(weights.values()), dtype=np.float64)
    if not chances.size or chances.min() < 0 or chances.sum() <= 0:
        raise UsageError(f"mask mix {weights} gives nothing to draw: name a preset with a chance above 0")
    return list(weights), chances / chances.sum()


def _numpy_generator(generator: RandomSource) -> np.random.Generator:
    """The generator itself, or a NumPy one seeded by a single draw of a torch generator."""
    if isinstance(generator, np.random.Generator):
        return generator
    import torch

    drawn = torch.randint(0, 2**62, (1,), generator=generator, device=generator.device)
    return np.random.default_rng(int(drawn.item()))


def _draw(name: str, count: int, size: int, rng: np.random.Generator, effort: float) -> Hole:
    """Draw `count` holes of one kind, bool (count, size, size), not yet checked against any range."""
    if name == "half":
        sides = rng.integers(0, 4, size=count)
        return np.stack([half(size, ("left", "right", "top", "bottom")[side]) for side in sides])
    if name in FIXED_NAMES:
        return np.repeat(fixed_hole(name, size)[None], count, axis=0)
    preset = PRESETS[name]
    scale = max(1, ceil(_CANVAS / size))
    canvas = np.zeros((count, size * scale, size * scale), dtype=np.uint8)
    if isinstance(preset, ZigzagPreset):
        _draw_zigzag(canvas, preset, rng, effort)
    else:
        _draw_either(canvas, preset, rng)
    return canvas[:, scale // 2 :: scale, scale // 2 :: scale] > 0


def _draw_zigzag(
    canvas: npt.NDArray[np.uint8], preset: ZigzagPreset, rng: np.random.Generator, effort: float
) -> None:
    """CoModGAN's and MAT's kind; `effort` in (0, 1] thins the counts where small holes are asked for."""
    count, side = canvas.shape[:2]
    for most, longest in ((preset.small, side // 2), (preset.large, side)):
        boxes = rng.integers(0, max(2, int(most * effort)), size=count)
        for picture in np.repeat(np.arange(count), boxes):
            width, height = rng.integers(0, longest, size=2).tolist()
            left = rng.integers(-(width // 2), side - width + width // 2 + 1)
            top = rng.integers(-(height // 2), side - height + height // 2 + 1)
            canvas[picture, max(top, 0) : max(top + height, 0), max(left, 0) : max(left + width, 0)] = 1
    strokes = rng.integers(0, max(2, int(preset.strokes * effort)), size=count)
    owners = np.repeat(np.arange(count), strokes)
    total = len(owners)
    vertices = rng.integers(4, 18, size=total)
    turn, spread = 2 * pi / 5, 2 * pi / 15
    lowest = turn - rng.uniform(0, spread, size=(total, 1))
    highest = turn + rng.uniform(0, spread, size=(total, 1))
    angles = rng.uniform(lowest, highest, size=(total, 17))
    angles[:, ::2] = -angles[:, ::2]
    radius = side * sqrt(2) / 8
    lengths = np.clip(rng.normal(radius, radius / 2, size=(total, 17)), 0, 2 * radius)
    widths = rng.uniform(12, 48, size=total) * side / 512
    _draw_strokes(canvas, owners, vertices, angles, lengths, widths, rng)
    # A zigzag drifts to the right; the flips make every direction as likely.
    for index, (mirror, turn_over) in enumerate(rng.integers(0, 2, size=(count, 2))):
        canvas[index] = canvas[index, :: 1 - 2 * turn_over, :: 1 - 2 * mirror].copy()


def _draw_either(canvas: npt.NDArray[np.uint8], preset: EitherPreset, rng: np.random.Generator) -> None:
    """LaMa's kind: each picture gets strokes (chance 1 / 1.3) or boxes (the rest)."""
    count, side = canvas.shape[:2]
    unit = side / 512
    with_boxes = rng.uniform(size=count) < (0.3 / 1.3 if preset.boxes else 0.0)
    if preset.boxes:
        shortest, longest = preset.box_side
        boxes = np.where(with_boxes, rng.integers(preset.boxes[0], preset.boxes[1] + 1, size=count), 0)
        for picture in np.repeat(np.arange(count), boxes):
            margin = int(10 * unit)
            width, height = (rng.integers(shortest, longest, size=2) * unit).astype(int).tolist()
            left = rng.integers(margin, side - margin - width + 1)
            top = rng.integers(margin, side - margin - height + 1)
            canvas[picture, top : top + height, left : left + width] = 1
    strokes = np.where(with_boxes, 0, rng.integers(preset.strokes[0], preset.strokes[1] + 1, size=count))
    owners = np.repeat(np.arange(count), strokes)
    total = len(owners)
    segments = rng.integers(1, 6, size=total)
    angles = rng.uniform(0, 4, size=(total, 5))
    angles[:, ::2] *= -1
    lengths = rng.uniform(*preset.length, size=(total, 5)) * unit
    widths = rng.uniform(*preset.width, size=total) * unit
    _draw_strokes(canvas, owners, segments, angles, lengths, widths, rng)


def _draw_strokes(
    canvas: npt.NDArray[np.uint8],
    owners: npt.NDArray[np.int64],
    segments: npt.NDArray[np.int64],
    angles: npt.NDArray[np.float64],
    lengths: npt.NDArray[np.float64],
    widths: npt.NDArray[np.float64],
    rng: np.random.Generator,
) -> None:
    """Draw round-ended polylines; `angles`, `lengths` (strokes, steps), of which `segments` are used."""
    side = canvas.shape[1]
    total, steps = angles.shape
    points = np.empty((total, steps + 1, 2))
    points[:, 0] = rng.uniform(0, side, size=(total, 2))
    moves = lengths[..., None] * np.stack([np.cos(angles), np.sin(angles)], axis=-1)
    for step in range(steps):  # a stroke that meets the frame runs along it
        points[:, step + 1] = np.clip(points[:, step] + moves[:, step], 0, side - 1)
    whole = np.rint(points).astype(np.int32)
    thickness = np.maximum(np.rint(widths), 1).astype(int)
    for stroke, picture in enumerate(owners):
        path = whole[stroke, : segments[stroke] + 1]
        cv2.polylines(canvas[picture], [path], isClosed=False, color=1, thickness=int(thickness[stroke]))
