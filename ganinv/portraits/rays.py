"""Packing: a layer is evaluated only on the rays that can touch it.

The canvas of B pictures holds R = size^2 * supersample^2 rays each, those of one pixel side by side. `pack`
turns a mask over pixels into `Rays`, [B', 1, M]: for each picture that has any the chosen rays, padded to the
longest list by repeating the last one (which then writes the same value twice). `Rays.select` packs again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from ganinv.portraits.face import Face, take_images
from ganinv.portraits.noise import Noise
from ganinv.portraits.scene import EYE_LINE, FRAME, Lights, Palette, Pose, plane_directions
from ganinv.portraits.tensors import above, smoothstep
from ganinv.portraits.textures import Textures


@dataclass
class Scene:
    """Everything about the pictures of one chunk that layers read."""

    face: Face
    pose: Pose
    lights: Lights
    palette: Palette
    noise: Noise
    textures: Textures
    edge: float
    """softness of drawn edges in chart units: 1.25 supersamples"""
    step: float
    """side of a supersample in head units"""


@dataclass
class Canvas:
    """The pictures being painted: linear colour [B, 3, R] and depth z [B, 1, R] in the world."""

    colour: Tensor
    depth: Tensor
    x: Tensor
    """[R] where each ray meets the plane z = 0, head units"""
    y: Tensor
    samples: int
    """rays in a pixel"""


def ray_grid(size: int, supersample: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """x, y [R] of all rays of a picture at z = 0; rays of a pixel are neighbours."""
    fine = size * supersample
    share = (torch.arange(fine, device=like.device, dtype=torch.float32) + 0.5) / fine
    x = ((share - 0.5) * FRAME).view(1, 1, size, supersample)
    y = ((EYE_LINE - share) * FRAME).view(size, supersample, 1, 1)
    shape = (size, supersample, size, supersample)
    return tuple(t.expand(shape).permute(0, 2, 1, 3).reshape(-1) for t in (x, y))  # type: ignore[return-value]


def padded_indices(mask: Tensor) -> tuple[Tensor | None, Tensor]:
    """Bool [B, N] -> (rows that have any, or None for all of them; their chosen columns [B', M], padded)."""
    counts = mask.sum(1)
    columns = mask.nonzero()[:, 1]
    starts = counts.cumsum(0) - counts
    rows = None
    if bool((counts == 0).any()):
        rows = counts.nonzero()[:, 0]
        counts, starts = counts[rows], starts[rows]
    longest = int(counts.max()) if len(counts) else 0
    slots = torch.arange(longest, device=mask.device)
    slots = torch.minimum(slots, counts[:, None] - 1) + starts[:, None]
    return rows, columns[slots]


def columns_of(field: Tensor, index: Tensor) -> Tensor:
    """[B, C, N] at the columns [B, M] -> [B, C, M]."""
    return field.gather(2, index[:, None].expand(-1, field.shape[1], -1))


class Rays:
    """Chosen rays of some pictures, and those pictures' parameters (restricted when first used)."""

    def __init__(self, scene: Scene, canvas: Canvas, images: Tensor | None, index: Tensor) -> None:
        self.scene, self.canvas, self.images, self.index = scene, canvas, images, index
        self.edge, self.step = scene.edge, scene.step

    @cached_property
    def face(self) -> Face:
        return self.scene.face if self.images is None else take_images(self.scene.face, self.images)

    @cached_property
    def pose(self) -> Pose:
        return self.scene.pose if self.images is None else take_images(self.scene.pose, self.images)

    @cached_property
    def lights(self) -> Lights:
        return self.scene.lights if self.images is None else take_images(self.scene.lights, self.images)

    @cached_property
    def palette(self) -> Palette:
        return self.scene.palette if self.images is None else take_images(self.scene.palette, self.images)

    @cached_property
    def noise(self) -> Noise:
        return self.scene.noise if self.images is None else take_images(self.scene.noise, self.images)

    @cached_property
    def textures(self) -> Textures:
        return self.scene.textures if self.images is None else take_images(self.scene.textures, self.images)

    @cached_property
    def x(self) -> Tensor:
        """[B, 1, M] at the plane z = 0, head units."""
        return self.canvas.x[self.index][:, None]

    @cached_property
    def y(self) -> Tensor:
        """[B, 1, M] at the plane z = 0, head units, upward."""
        return self.canvas.y[self.index][:, None]

    @cached_property
    def direction(self) -> Tensor:
        """[B, 3, M] unit directions from the camera, world."""
        return plane_directions(self.x, self.y)

    @cached_property
    def head_direction(self) -> Tensor:
        """[B, 3, M] the same in head space; rays start at `pose.camera` there."""
        return self.pose.turn_to_head(self.direction)

    def at(self, distance: Tensor) -> Tensor:
        """Points [B, 3, M] of head space at [B, 1, M] along the rays."""
        return torch.addcmul(self.pose.camera, self.head_direction, distance)

    def select(self, mask: Tensor, fields: Mapping[str, Tensor]) -> Patch | None:
        """The rays where `mask` [B, 1, M] is above 0 with `fields` [B, C, M] at them; None if none."""
        rows, columns = padded_indices(mask[:, 0] > 0)
        if not columns.numel():
            return None
        images, index = self.images, self.index
        if rows is not None:
            images = rows if images is None else images[rows]
            index = index[rows]
            fields = {name: field[rows] for name, field in fields.items()}
        chosen = Rays(self.scene, self.canvas, images, index.gather(1, columns))
        return Patch(
            chosen, {name: columns_of(field, columns) for name, field in fields.items()}, rows, columns
        )

    def paint(self, colour: Tensor, coverage: Tensor, z: Tensor, softness: float = 0.02) -> None:
        """Blend a layer over the canvas: colour [B, 3, M], coverage and world z [B, 1, M], soft z-test."""
        colours, depths = self._canvas()
        at_colour, at_depth = self.index[:, None].expand(-1, 3, -1), self.index[:, None]
        behind, depth = colours.gather(2, at_colour), depths.gather(2, at_depth)
        weight = coverage * smoothstep(z - depth, -softness, softness)
        behind = torch.addcmul(behind, colour - behind, weight)
        depth = torch.addcmul(depth, z - depth, above(weight - 0.5))
        self._write(colours.scatter_(2, at_colour, behind), depths.scatter_(2, at_depth, depth))

    def tint(self, colour: Tensor, weight: Tensor, z: Tensor, softness: float) -> None:
        """Blend `colour` over the canvas where z is in front, leaving its depth alone."""
        colours, depths = self._canvas()
        at_colour = self.index[:, None].expand(-1, 3, -1)
        behind, depth = colours.gather(2, at_colour), depths.gather(2, self.index[:, None])
        weight = weight * smoothstep(z - depth, 0.0, softness)
        self._write(colours.scatter_(2, at_colour, torch.addcmul(behind, colour - behind, weight)), depths)

    def depth(self) -> Tensor:
        """[B, 1, M] world z of what is already painted there."""
        return self._canvas()[1].gather(2, self.index[:, None])

    def _canvas(self) -> tuple[Tensor, Tensor]:
        if self.images is None:
            return self.canvas.colour, self.canvas.depth
        return self.canvas.colour[self.images], self.canvas.depth[self.images]

    def _write(self, colours: Tensor, depths: Tensor) -> None:
        if self.images is not None:
            self.canvas.colour[self.images] = colours
            self.canvas.depth[self.images] = depths


@dataclass
class Patch:
    """Some rays of a pack, its fields at them, and the way back."""

    rays: Rays
    fields: dict[str, Tensor]
    rows: Tensor | None
    columns: Tensor

    def put(self, field: Tensor, value: Tensor) -> None:
        """Write `value` [B', C, m] into the pack's `field` [B, C, M]."""
        columns = self.columns[:, None].expand(-1, field.shape[1], -1)
        if self.rows is None:
            field.scatter_(2, columns, value)
        else:
            field[self.rows] = field[self.rows].scatter_(2, columns, value)


def pack(scene: Scene, canvas: Canvas, mask: Tensor) -> Rays | None:
    """Rays of the pixels where `mask` (bool [B, pixels]) holds; None if there are none."""
    images, pixels = padded_indices(mask)
    if not pixels.numel():
        return None
    inside = torch.arange(canvas.samples, device=mask.device)
    index = (pixels[:, :, None] * canvas.samples + inside).flatten(1)
    return Rays(scene, canvas, images, index)
