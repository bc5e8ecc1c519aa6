"""The head: traced, coloured by skin.py, shaded, then mouth, eyes and the shadow of glasses on top."""

from __future__ import annotations

import torch
from torch import Tensor

from ganinv.portraits import chart
from ganinv.portraits.features import frame_mask
from ganinv.portraits.layers import skin
from ganinv.portraits.layers.eyes import eyes
from ganinv.portraits.layers.glasses import lens_plane
from ganinv.portraits.layers.mouth import lower_face, open_mouth
from ganinv.portraits.layers.star import Hit, surface_normal, trace
from ganinv.portraits.rays import Rays
from ganinv.portraits.shading import Surface, shade, skin_wrap
from ganinv.portraits.tensors import above, normalise, smoothstep, spot


def head(rays: Rays) -> None:
    """Paint the head without its hair."""
    hit = trace(rays, rays.textures.head_height, 1.02, 11, 0.03)
    coverage = torch.rsub(smoothstep(hit.miss, 0.2 * rays.step, 1.6 * rays.step), 1.0) * above(
        hit.inside + 0.02
    )
    found = rays.select(coverage, {**hit.fields(), "coverage": coverage})
    if found:
        _paint(found.rays, Hit.of(found.fields), found.fields["coverage"])


def _paint(rays: Rays, hit: Hit, coverage: Tensor) -> None:
    texture = chart.look_up(rays.textures.head, hit.at / chart.HALF)
    slope_a, slope_b, ambient, lit = texture.split(1, 1)
    normal = surface_normal(hit, slope_a, slope_b)
    state = skin.base_skin(rays, hit)
    _details(rays, state, hit.a, hit.b)
    hair_cover = 1.0 - 0.5 * smoothstep(hit.a.abs(), 0.70, 1.05) * smoothstep(rays.face.length, 0.2, 0.4)
    lit, ambient = lit.clamp(0.0, 1.0), ambient.clamp(0.0, 1.0)
    world = rays.pose.turn_to_world(_roughen(normal, state))
    surface = Surface(
        normal=world,
        albedo=state.albedo,
        lit=lit * (0.35 + 0.65 * hair_cover),
        ambient=ambient * hair_cover * (0.25 + 0.75 * smoothstep(hit.b, -1.30, -0.98)),
        specular=_specular(rays, state, hit.a, hit.b),
        gloss=11.0 + 16.0 * state.lip,
        wrap=skin_wrap(lit) * (1.0 - 0.5 * state.beard),
        rim=_silhouette(hit.a.abs(), hit.b),
    )
    colour = shade(rays, surface) * (1.0 - 0.65 * state.nostril)
    _on_top(rays, hit, colour, world, lit, state.mouth)
    rays.paint(colour, coverage, rays.pose.to_world(hit.point)[:, 2:])


def _details(rays: Rays, state: skin.SkinState, a: Tensor, b: Tensor) -> None:
    """Correct the state where freckles, brows, lines, beard, lips can be."""
    face, aa = rays.face, a.abs()
    fields = {"a": a, "b": b, "albedo": state.albedo}

    def inside(width: float, low: float, high: float) -> Tensor:
        return torch.minimum(width - aa, torch.minimum(b - low, high - b))

    patch = rays.select(inside(0.8, -0.5, 0.5) * face.freckle, fields)
    if patch:
        f = patch.fields
        patch.put(state.albedo, skin.freckles(patch.rays, f["albedo"], f["a"], f["b"]))
    patch = rays.select(inside(0.86, -0.22, 0.72), fields)
    if patch:
        f = patch.fields
        result = skin.upper_face(patch.rays, f["albedo"], f["a"], f["b"])
        for field, value in zip((state.albedo, state.lines, state.brow), result, strict=True):
            patch.put(field, value)
    bearded = torch.maximum(face.beard, (face.gender - 0.55).clamp(min=0.0))
    patch = rays.select(inside(1.22, -1.7, 0.12) * bearded, fields)
    if patch:
        f = patch.fields
        result = skin.beard(patch.rays, f["albedo"], f["a"], f["b"])
        for field, value in zip((state.albedo, state.beard, state.bristle), result, strict=True):
            patch.put(field, value)
    patch = rays.select(inside(0.66, -1.02, -0.32), fields)
    if patch:
        f = patch.fields
        results = lower_face(patch.rays, f["albedo"], f["a"], f["b"])
        for field, value in zip((state.albedo, state.nostril, state.lip, state.mouth), results, strict=True):
            patch.put(field, value)


def _roughen(normal: Tensor, state: skin.SkinState) -> Tensor:
    """Normal in head space with pores, bristles and lines of the forehead."""
    bristle = state.beard * state.bristle
    x, y, z = normal.split(1, 1)
    return normalise(
        torch.cat(
            (x + state.rough + 0.5 * bristle, y - 0.18 * state.lines + state.rough + 0.3 * bristle, z), 1
        )
    )


def _specular(rays: Rays, state: skin.SkinState, a: Tensor, b: Tensor) -> Tensor:
    """Strength of the highlight: nose, forehead and cheeks shine, beard and brows do not."""
    aa = a.abs()
    shine = (0.075 + 0.08 * spot(a, b, 0.0, -0.28, 0.13, 0.22)).add_(
        spot(a, b, 0.0, 0.5, 0.4, 0.2), alpha=0.05
    )
    shine.add_(spot(aa, b, 0.5, -0.2, 0.2, 0.15), alpha=0.03)
    shine.mul_(1.0 - 0.65 * state.lip).mul_(1.0 - 0.7 * state.beard).mul_(1.0 - 0.5 * state.brow)
    shine.add_(state.lip, alpha=0.16).mul_(1.0 + 0.25 * smoothstep(rays.face.skin, 0.4, 0.9))
    return shine.mul_(1.0 - 0.9 * spot(aa, b, 0.07, -0.475, 0.10, 0.05))


def _silhouette(aa: Tensor, b: Tensor) -> Tensor:
    """Where the rim light may show."""
    total = smoothstep(aa, 0.45, 0.85) + smoothstep(b, -0.8, -1.0) + smoothstep(b, 0.5, 0.9)
    return total.clamp_(0.0, 1.0)


def _on_top(rays: Rays, hit: Hit, colour: Tensor, normal: Tensor, lit: Tensor, mouth: Tensor) -> None:
    """Write the inside of the mouth, the eyes and the shadow of glasses into `colour`."""
    face, aa = rays.face, hit.a.abs()
    fields = {
        "a": hit.a,
        "b": hit.b,
        "colour": colour,
        "normal": normal,
        "lit": lit,
        "mouth": mouth,
        "point": hit.point,
    }
    patch = rays.select(mouth - 0.002, fields)
    if patch:
        patch.put(colour, open_mouth(patch.rays, patch.fields))
    near = torch.minimum(0.30 - (aa - face.eye_a).abs_(), 0.21 - (hit.b - face.eye_b).abs_())
    patch = rays.select(near, {**fields, "colour": colour})
    if patch:
        patch.put(colour, eyes(patch.rays, patch.fields))
    patch = rays.select((0.45 - hit.b.abs()) * face.glasses, {**fields, "colour": colour})
    if patch:
        patch.put(colour, _glasses_shadow(patch.rays, patch.fields))


def _glasses_shadow(rays: Rays, fields: dict[str, Tensor]) -> Tensor:
    """Colour with the shadow of the frame: each point is projected along the key to the lenses."""
    a, b = fields["a"], fields["b"]
    x, y, distance = lens_plane(fields["point"], rays.lights.key_head)
    shadow, _ = frame_mask(rays.face, x, y, rays.edge, widen=1.2)
    shadow = shadow * above(distance) * (0.2 + 0.8 * fields["lit"])
    shadow = shadow * smoothstep(b, -0.42, -0.25) * smoothstep(a.abs(), 0.95, 0.8)
    return fields["colour"] * (1.0 - 0.25 * shadow * rays.face.glasses)
