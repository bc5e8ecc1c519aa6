"""What is the same for all rays of a picture: pose, lights, colours. The camera and head space.

Head units: half a face is about 0.765 wide, the eyes are at y = 0, x to the image right, y up, z to the
camera, which stands at CAMERA and looks along -z through the square of side FRAME at z = 0. World and head
space differ by the pose, a rotation about PIVOT.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from ganinv.portraits.colours import (
    EYE_SHADOW,
    FRAMES,
    HAIR_BROWN,
    HAIR_RED,
    IRIS,
    IRIS_KNOTS,
    LIPSTICK,
    SKIN,
    colour,
    hsv,
    ramp,
)
from ganinv.portraits.tensors import constant, mix, normalise, smoothstep

FRAME = 3.08
"""side of the picture at z = 0, head units"""
EYE_LINE = 0.465
"""share of the picture above y = 0"""
CAMERA = (0.0, -0.15, 9.0)
PIVOT = (0.0, -0.25, -0.10)


def pose_matrix(attributes: Mapping[str, Tensor]) -> Tensor:
    """Rz(roll) Ry(yaw) Rx(pitch) [B, 3, 3]: head space -> world."""
    yaw, pitch, roll = (torch.deg2rad(attributes[name].float()) for name in ("yaw", "pitch", "roll"))
    zero, one = torch.zeros_like(yaw), torch.ones_like(yaw)

    def matrix(*entries: Tensor) -> Tensor:
        return torch.stack(entries, -1).view(-1, 3, 3)

    about_y = matrix(yaw.cos(), zero, yaw.sin(), zero, one, zero, -yaw.sin(), zero, yaw.cos())
    about_x = matrix(one, zero, zero, zero, pitch.cos(), pitch.sin(), zero, -pitch.sin(), pitch.cos())
    about_z = matrix(roll.cos(), -roll.sin(), zero, roll.sin(), roll.cos(), zero, zero, zero, one)
    return about_z @ about_y @ about_x


@dataclass(frozen=True)
class Pose:
    """Rotation of the head and the camera seen from it."""

    rotation: Tensor
    """[B, 3, 3] head -> world"""
    offset: Tensor
    """[B, 3, 1]: world = rotation @ head + offset"""
    camera: Tensor
    """[B, 3, 1] in head space"""

    def to_world(self, point: Tensor) -> Tensor:
        """Points [B, 3, M] of head space in the world."""
        return torch.baddbmm(self.offset, self.rotation, point)

    def to_head(self, point: Tensor) -> Tensor:
        """Points [B, 3, M] of the world in head space."""
        return self.rotation.transpose(1, 2) @ (point - self.offset)

    def turn_to_world(self, direction: Tensor) -> Tensor:
        """Directions [B, 3, M] of head space in the world."""
        return self.rotation @ direction

    def turn_to_head(self, direction: Tensor) -> Tensor:
        """Directions [B, 3, M] of the world in head space."""
        return self.rotation.transpose(1, 2) @ direction


def make_pose(attributes: Mapping[str, Tensor]) -> Pose:
    """Pose of each head from yaw, pitch and roll."""
    rotation = pose_matrix(attributes)
    pivot, camera = constant(PIVOT, rotation), constant(CAMERA, rotation)
    offset = pivot - rotation @ pivot
    return Pose(rotation, offset, rotation.transpose(1, 2) @ (camera - offset))


@dataclass(frozen=True)
class Lights:
    """Directions to the lights in the world (`key_head`: in head space) and linear colours, all [B, 3, 1]."""

    key: Tensor
    key_head: Tensor
    fill: Tensor
    fill_head: Tensor
    rim: Tensor
    key_colour: Tensor
    fill_colour: Tensor
    sky: Tensor
    ground: Tensor
    side: Tensor
    """[B, 1, 1]: 1 where the key comes from the image right, else -1"""


@dataclass(frozen=True)
class Palette:
    """Linear colours of each picture, [B, 3, 1]; `grey` is a share, [B, 1, 1]."""

    backdrop: Tensor
    cloth: Tensor
    skin: Tensor
    hair: Tensor
    """with its grey"""
    hair_pigment: Tensor
    """without grey"""
    grey: Tensor
    lip: Tensor
    eyelid: Tensor
    iris: Tensor
    frame: Tensor


def make_lights(attributes: Mapping[str, Tensor], pose: Pose, palette: Palette) -> Lights:
    """Key from its two angles; fill from the other side in front, rim from the other side behind."""
    azimuth, elevation = (
        torch.deg2rad(attributes[n].float()).view(-1, 1, 1) for n in ("light_az", "light_el")
    )
    warm = attributes["light_warm"].float().view(-1, 1, 1)
    key = torch.cat((azimuth.sin() * elevation.cos(), elevation.sin(), azimuth.cos() * elevation.cos()), 1)
    side = torch.sign(azimuth + 1e-3)
    fill = normalise(constant((-0.8, 0.0, 0.0), key) * side + constant((0.0, 0.1, 0.65), key))
    rim = normalise(constant((-0.75, 0.0, 0.0), key) * side + constant((0.0, 0.45, -0.75), key))
    key_colour = 1.90 * (constant((1.0, 0.97, 0.95), key) + warm * constant((0.10, 0.0, -0.16), key))
    fill_colour = constant((0.92, 0.97, 1.06), key) + warm * constant((-0.08, 0.0, 0.10), key)
    ratio = attributes["light_ratio"].float().view(-1, 1, 1)
    return Lights(
        key=key,
        key_head=pose.turn_to_head(key),
        fill=fill,
        fill_head=pose.turn_to_head(fill),
        rim=rim,
        key_colour=key_colour,
        fill_colour=fill_colour * (0.62 * ratio),
        sky=0.34 + 0.35 * palette.backdrop,
        ground=0.16 + 0.25 * palette.cloth,
        side=side,
    )


def make_palette(attributes: Mapping[str, Tensor]) -> Palette:
    """All colours of each picture from its attributes."""
    a = {name: value.float() for name, value in attributes.items()}
    share = {name: value.view(-1, 1, 1) for name, value in a.items()}
    undertone = share["undertone"]
    skin = ramp(a["skin"], SKIN) * (1.0 + undertone * constant((0.02, -0.03, -0.10), undertone))
    pigment = mix(ramp(a["hair_light"], HAIR_BROWN), ramp(a["hair_light"], HAIR_RED), share["hair_red"])
    grey = smoothstep(share["age"], 42.0, 76.0) * share["grey"]
    tint = mix(
        constant((0.88, 0.52, 0.52), skin),
        constant((0.80, 0.62, 0.66), skin),
        smoothstep(share["skin"], 0.4, 0.9),
    )
    lip = skin * tint
    lip = mix(lip, lip * constant((0.95, 0.72, 0.75), skin), 0.6 * (1.0 - share["gender"]))
    lip = mix(lip, ramp(a["makeup_hue"], LIPSTICK), 0.65 * share["makeup"])
    shadow = ramp((a["makeup_hue"] * 7.0) % 1.0, EYE_SHADOW) * (0.8 / 0.3)
    eyelid = mix(constant((0.93, 0.86, 0.84), skin), shadow, 0.55 * share["makeup"])
    return Palette(
        backdrop=hsv(a["bg_hue"], a["bg_sat"], a["bg_val"]) ** 2.2,
        cloth=hsv(a["cloth_hue"], a["cloth_sat"], a["cloth_val"]) ** 2.2,
        skin=skin,
        hair=mix(pigment, colour("#b4b2b0", skin), 0.9 * grey),
        hair_pigment=pigment,
        grey=grey,
        lip=lip,
        eyelid=eyelid.clamp(0.3, 1.1),
        iris=ramp(a["eye_col"], IRIS, IRIS_KNOTS),
        frame=ramp(a["glass_col"], FRAMES),
    )


def plane_directions(x: Tensor, y: Tensor) -> Tensor:
    """World directions [B, 3, M] of the rays from the camera through (x, y, 0), fields [B, 1, M]."""
    up = y - CAMERA[1]
    scale = torch.addcmul(torch.addcmul(torch.full_like(x, CAMERA[2] ** 2), x, x), up, up).rsqrt_()
    return torch.cat((x * scale, up * scale, scale * -CAMERA[2]), 1)


def project(point: Tensor) -> tuple[Tensor, Tensor]:
    """World points [B, 3, M] -> u, v [B, 1, M], shares of the picture from its left and upper edge."""
    x, y, z = point.split(1, 1)
    scale = CAMERA[2] / (CAMERA[2] - z)
    return x * scale / FRAME + 0.5, EYE_LINE - (CAMERA[1] + (y - CAMERA[1]) * scale) / FRAME
