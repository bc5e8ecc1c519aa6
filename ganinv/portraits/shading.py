"""How skin, cloth and hair answer the three lights. All colours are linear, normals in the world."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ganinv.portraits.colours import colour
from ganinv.portraits.rays import Rays
from ganinv.portraits.tensors import Value, above, constant, dot, mix, normalise, power, smoothstep

SKIN_WRAP = (0.42, 0.20, 0.12)
"""how far light reaches past the terminator, red, green, blue: all there is of light under the skin"""


@dataclass
class Surface:
    """What a layer knows of itself at each ray: fields [B, 1, M], vectors and colours [B, 3, M]."""

    normal: Tensor
    albedo: Tensor
    lit: Value
    """share of the key light that arrives"""
    ambient: Value
    """share of fill and ambient light that arrives"""
    specular: Value
    gloss: Value
    wrap: Tensor
    """[B or 1, 3, M or 1]: SKIN_WRAP times what the surface needs"""
    rim: Value = 1.0


def shade(rays: Rays, surface: Surface) -> Tensor:
    """Linear colour [B, 3, M] of skin, cloth and frames."""
    lights, normal, albedo = rays.lights, surface.normal, surface.albedo
    to_key, to_fill = dot(normal, lights.key), dot(normal, lights.fill)
    grazing = (1.0 + dot(normal, rays.direction).clamp_(-1.0, 0.0)).clamp_(min=1e-6)
    diffuse = (to_key + surface.wrap).div_(1.0 + surface.wrap).clamp_(min=0.0)
    diffuse = diffuse * (0.65 + 0.35 * diffuse * (3.0 - 2.0 * diffuse))
    if isinstance(surface.lit, Tensor):
        # Red bleeds into the edges of shadows.
        red = power(surface.lit.clamp(min=1e-9), 0.75)
        diffuse.mul_(torch.cat(torch.broadcast_tensors(red, surface.lit, surface.lit), 1))
    hemisphere = 0.5 + 0.5 * normal[:, 1:2]
    soft = lights.fill_colour * ((to_fill + 0.35) / 1.35).clamp_(min=0.0)
    soft.add_(lights.ground).addcmul_(lights.sky - lights.ground, hemisphere).mul_(surface.ambient)
    result = torch.addcmul(soft, diffuse, lights.key_colour).mul_(albedo)
    half_key = dot(normal, normalise(lights.key - rays.direction)).clamp_(min=1e-9)
    half_fill = dot(normal, normalise(lights.fill - rays.direction)).clamp_(min=1e-9)
    shine = surface.specular * 0.5 * power(half_key, surface.gloss) * surface.lit * above(to_key)
    result.addcmul_(lights.key_colour, shine)
    result.addcmul_(lights.fill_colour, surface.specular * 0.25 * power(half_fill, surface.gloss * 0.6))
    rim = power(dot(normal, lights.rim).clamp_(1e-9, 1.0), 1.2) * power(grazing, 2.2) * 0.9 * surface.rim
    return result.addcmul_(rim * (0.4 + 0.8 * rays.palette.backdrop), 0.30 + 0.7 * albedo)


@dataclass
class Strands:
    """Hair at each ray: normal and direction of the strands (world), their noise, light that arrives."""

    normal: Tensor
    tangent: Tensor
    fine: Tensor
    locks: Tensor
    lit: Value
    ambient: Tensor


def shade_hair(rays: Rays, hair: Strands) -> Tensor:
    """Linear colour [B, 3, M] of hair: highlights across the strands (Kajiya and Kay), shifted by noise."""
    lights, palette, curl = rays.lights, rays.palette, rays.face.curl
    normal, fine, ambient = hair.normal, hair.fine, hair.ambient
    shift = 0.35 * fine + 0.25 * hair.locks
    half_key = normalise(lights.key - rays.direction)
    half_fill = normalise(lights.fill - rays.direction)

    def lobe(half: Tensor, offset: float, sharpness: float) -> Tensor:
        along = dot(normalise(torch.addcmul(hair.tangent, shift + offset, normal)), half)
        return power(torch.rsub(along.square_(), 1.0).clamp_(min=1e-9), 0.5 * sharpness)

    to_key = dot(normal, lights.key)
    facing = dot(normal, rays.direction).neg_().clamp_(0.0, 1.0)
    rim = dot(normal, lights.rim).clamp_(0.0, 1.0) * power((1.0 - facing).clamp_(min=1e-9), 1.6) * 1.1
    first = lobe(half_key, -0.06, 46.0) * smoothstep(to_key, -0.1, 0.4) * (0.5 + fine).clamp_(min=0.0)
    first = first * hair.lit * (0.40 * (1.0 - 0.7 * curl))
    second = (
        lobe(half_key, 0.12, 16.0) * smoothstep(to_key, -0.2, 0.5) * hair.lit * (0.85 * (1.0 - 0.35 * curl))
    )
    third = lobe(half_fill, 0.0, 30.0) * ambient * 0.10
    albedo = palette.hair * (1.12 + 0.84 * fine + 0.56 * hair.locks).clamp_(min=0.168)
    albedo = mix(albedo, colour("#c9c6c2", fine), 0.5 * palette.grey * (2.2 * fine).clamp_(0.0, 1.0))
    diffuse = ((to_key + 0.35) / 1.35).clamp_(min=0.0) * hair.lit * 0.72
    soft = lights.fill_colour * ((dot(normal, lights.fill) + 0.4) / 1.4).clamp_(min=0.0)
    soft.add_(lights.ground).addcmul_(lights.sky - lights.ground, 0.5 + 0.5 * normal[:, 1:2]).mul_(ambient)
    result = soft.addcmul_(lights.key_colour, diffuse).mul_(albedo)
    root = palette.hair.sqrt()
    result.addcmul_(lights.key_colour * (0.35 + 0.65 * root), first)
    result.addcmul_(lights.key_colour * root * (0.10 + 0.9 * palette.hair), second)
    result.addcmul_(lights.fill_colour * (0.2 + palette.hair), third)
    return result.addcmul_((0.10 + 0.9 * palette.hair) * (0.4 + 0.9 * palette.backdrop), rim)


def skin_wrap(like: Tensor) -> Tensor:
    """SKIN_WRAP as [1, 3, 1]."""
    return constant(SKIN_WRAP, like)
