"""Portraits from attributes: sets up a chunk of pictures and paints its layers from back to front."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import torch
from torch import Tensor

from ganinv.errors import UsageError
from ganinv.portraits.attributes import check_attributes
from ganinv.portraits.colours import to_srgb
from ganinv.portraits.face import face_from_attributes
from ganinv.portraits.layers.background import background
from ganinv.portraits.layers.curtain import SHORTEST, curtain_back, curtain_front, end_of
from ganinv.portraits.layers.ears import ear
from ganinv.portraits.layers.glasses import glasses
from ganinv.portraits.layers.hair import bun, cap
from ganinv.portraits.layers.head import head
from ganinv.portraits.layers.star import AXES, CENTRE, CORE_AXES, CORE_CENTRE
from ganinv.portraits.layers.torso import torso
from ganinv.portraits.noise import noise_from_seeds
from ganinv.portraits.rays import Canvas, Rays, Scene, pack, ray_grid
from ganinv.portraits.scene import (
    CAMERA,
    EYE_LINE,
    FRAME,
    make_lights,
    make_palette,
    make_pose,
    plane_directions,
)
from ganinv.portraits.tensors import Value, constant, ellipsoid_terms, safe_sqrt
from ganinv.portraits.textures import make_textures

SMALLEST, LARGEST = 8, 1024
"""side of a picture in pixels"""
_MOST_SAMPLES = 2 * LARGEST
_FARTHEST = -5.0
# Rays of a chunk: 8 pictures of 64 px with 2 x 2 samples. More falls out of the cache, less is all overhead.
_CHUNK_RAYS = 8 * 128 * 128


def render(attributes: Mapping[str, Tensor], size: int, *, supersample: int = 2) -> Tensor:
    """Paint portraits.

    Args:
        attributes: {name: [N]} as `sample_attributes` gives them, with int64 `seed`; on any device.
        size: side of the pictures in pixels, 8..1024.
        supersample: side of the square of rays averaged in each pixel, 1..8.

    Returns:
        float32 [N, 3, size, size], sRGB in [0, 1], RGB. A picture does not depend on the others of its batch.
        No gradients flow back to the attributes.

    Raises:
        UsageError: size, supersample or their product (over 2048) out of range; attributes missing or uneven.
    """
    if not SMALLEST <= size <= LARGEST:
        raise UsageError(f"size {size}: give {SMALLEST} to {LARGEST} pixels")
    if not 1 <= supersample <= 8:
        raise UsageError(f"supersample {supersample}: give 1 to 8")
    if size * supersample > _MOST_SAMPLES:
        raise UsageError(
            f"size {size} with supersample {supersample}: their product may be {_MOST_SAMPLES} at most"
        )
    count = check_attributes(attributes)
    if "seed" not in attributes:
        raise UsageError(
            "no value for seed: give an integer for each portrait, from which its own noise is made"
        )
    chunk = max(1, _CHUNK_RAYS // (size * supersample) ** 2)
    pictures = torch.empty(count, 3, size, size, device=attributes["seed"].device)
    with torch.inference_mode():
        for start in range(0, count, chunk):
            part = {name: value[start : start + chunk] for name, value in attributes.items()}
            pictures[start : start + chunk] = _render_chunk(part, size, supersample)
    return pictures


def _render_chunk(attributes: Mapping[str, Tensor], size: int, supersample: int) -> Tensor:
    scene = _scene(attributes, size * supersample)
    canvas = _canvas(scene, size, supersample)
    _paint(scene, canvas, size)
    return _develop(canvas, size)


def _scene(attributes: Mapping[str, Tensor], fine: int) -> Scene:
    face = face_from_attributes(attributes)
    pose, palette = make_pose(attributes), make_palette(attributes)
    lights, noise = make_lights(attributes, pose, palette), noise_from_seeds(attributes["seed"])
    texels = max(96, min(224, fine // 2))
    textures = make_textures(face, noise, lights.key_head, texels)
    step = FRAME / fine
    return Scene(face, pose, lights, palette, noise, textures, edge=1.25 * step, step=step)


def _canvas(scene: Scene, size: int, supersample: int) -> Canvas:
    """The canvas with its background painted."""
    x, y = ray_grid(size, supersample, scene.face.gender)
    samples = supersample**2
    across, up = _pixel_lines(size, x)
    backdrop = background(scene, size, across * (2.0 / FRAME), up * (2.0 / FRAME))
    colour = backdrop.flatten(2)[..., None].expand(-1, -1, -1, samples).flatten(2)
    return Canvas(colour, torch.full_like(colour[:, :1], _FARTHEST), x, y, samples)


def _pixel_lines(size: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """x and y [size] of pixel centres at z = 0, head units."""
    share = (torch.arange(size, device=like.device, dtype=torch.float32) + 0.5) / size
    return (share - 0.5) * FRAME, (EYE_LINE - share) * FRAME


class _Pixels:
    """Pixel centres of all pictures, [B, 1, pixels], and the masks that say where a layer may show.

    Masks are generous by a pixel, since rays lie around the centre of their pixel.
    """

    def __init__(self, scene: Scene, size: int) -> None:
        across, up = _pixel_lines(size, scene.face.gender)
        self.x = across.expand(size, size).reshape(1, 1, -1)
        self.y = up[:, None].expand(size, size).reshape(1, 1, -1)
        self.slack = FRAME / size
        self.camera = scene.pose.camera
        self.direction = scene.pose.turn_to_head(
            plane_directions(self.x, self.y).expand(len(self.camera), -1, -1)
        )
        middle = self.camera + self.direction * CAMERA[2]
        self.head_x, self.head_y = middle[:, :1], middle[:, 1:2]
        """where the rays pass the middle of the head, head space"""

    def meets(self, scale: Value) -> Tensor:
        """Bool: meets the ellipsoid around the head, its axes scaled."""
        axes = constant(AXES, self.x) * scale
        q, _, inside = ellipsoid_terms(self.camera, self.direction, constant(CENTRE, self.x), axes)
        return inside > -(0.02 + 1.5 * self.slack) * q

    def behind_face(self) -> Tensor:
        """Bool: meets an ellipsoid that every head holds, so that nothing behind the head shows."""
        centre, axes = constant(CORE_CENTRE, self.x), constant(CORE_AXES, self.x)
        q, _, inside = ellipsoid_terms(self.camera, self.direction, centre, axes)
        return inside > 3.0 * self.slack * q

    def bare_face(self) -> Tensor:
        """Bool: meets the head, about, between the eyes and the chin, where there is no hair."""
        axes = constant(AXES, self.x) * 0.8
        q, h, inside = ellipsoid_terms(self.camera, self.direction, constant(CENTRE, self.x), axes)
        point = torch.addcmul(self.camera, self.direction, -(h + safe_sqrt(inside)) / q)
        x, y, z = point.split(1, 1)
        reach = self.slack + x.abs()
        return (inside > 0.0) & (reach < 0.50) & (y < 0.10 - self.slack) & (y > self.slack - 0.85) & (z > 0.2)


def _masks(scene: Scene, pixels: _Pixels) -> dict[str, Tensor]:
    """Bool [B, 1, pixels] for each layer."""
    face, slack, x, y = scene.face, pixels.slack, pixels.head_x, pixels.head_y
    hidden = pixels.behind_face()
    world_x, world_y = pixels.x.abs(), pixels.y
    low = end_of(face.length) - 0.40 - slack
    fall = (x.abs() < 1.35 + slack) & (y < 0.82 + slack) & (y > low) & (face.length > SHORTEST)
    bust = (world_y < slack - 0.35) & ((world_x < 0.75 + slack) | (world_y < slack - 0.95))
    beside = (y + 0.12).abs() < 0.30 + slack
    cap_reach = scene.textures.cap_reach
    return {
        "back": fall & ~hidden,
        "torso": bust & ~hidden,
        "left ear": beside & ((x + 0.74).abs() < 0.30 + slack),
        "right ear": beside & ((x - 0.74).abs() < 0.30 + slack),
        "head": pixels.meets(1.02),
        "cap": pixels.meets(cap_reach) & (y > -0.75 - slack) & (face.recede < 0.97) & ~pixels.bare_face(),
        "bun": (face.bun > 0.0) & (world_y > 0.4 - slack) & (x.abs() < 0.6 + slack),
        "front": fall,
        "glasses": (face.glasses > 0.0) & (x.abs() < 1.2 + slack) & ((y + 0.02).abs() < 0.42 + slack),
    }


def _paint(scene: Scene, canvas: Canvas, size: int) -> None:
    masks = _masks(scene, _Pixels(scene, size))
    layers: dict[str, Callable[[Rays], None]] = {
        "back": curtain_back,
        "torso": torso,
        "left ear": partial(ear, side=-1.0),
        "right ear": partial(ear, side=1.0),
        "head": head,
        "cap": cap,
        "bun": bun,
        "front": curtain_front,
        "glasses": glasses,
    }
    for name, layer in layers.items():
        rays = pack(scene, canvas, masks[name][:, 0])
        if rays is not None:
            layer(rays)


def _develop(canvas: Canvas, size: int) -> Tensor:
    """Tone curve, sRGB, then the average of each pixel's rays."""
    light = canvas.colour * 0.80
    toned = light.mul(0.10).add_(1.0).mul_(light).mul_(1.18).div_(light.mul(0.55).add_(1.0)).clamp_(0.0, 1.2)
    shown = to_srgb(toned).clamp_(0.0, 1.0)
    # A sum of strided parts is twice as fast as a mean over the short last dimension.
    first, *others = shown.view(len(shown), 3, size, size, canvas.samples).unbind(-1)
    total = first.clone()
    for other in others:
        total += other
    return total.div_(canvas.samples)
