"""The 68 usual landmarks, known exactly: points of the chart, lifted to the head, turned, projected."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from ganinv.errors import UsageError
from ganinv.portraits import chart
from ganinv.portraits.attributes import check_attributes
from ganinv.portraits.face import Face, face_from_attributes
from ganinv.portraits.features import brow_centre, lids, lips
from ganinv.portraits.geometry import surface
from ganinv.portraits.scene import Pose, make_pose, project
from ganinv.portraits.tensors import smoothstep

COUNT = 68
_TEXELS = 192
_CHUNK = 32
_BROW = (1.0, 0.76, 0.5, 0.25, 0.0)
_EYE = (1.0, 0.36, -0.36, -1.0, -0.36, 0.36)
_EYE_UPPER = (0.0, 1.0, 1.0, 0.0, 0.0, 0.0)
_EYE_LOWER = (0.0, 0.0, 0.0, 0.0, 1.0, 1.0)
_BRIDGE = (0.05, -0.10, -0.25, -0.385)
_NOSE_A = (-0.11, -0.055, 0.0, 0.055, 0.11)
_NOSE_B = (-0.452, -0.474, -0.488, -0.474, -0.452)
_MOUTH_TOP = (-1.0, -0.6, -0.22, 0.0, 0.22, 0.6, 1.0)
_MOUTH_BOTTOM = (0.6, 0.25, 0.0, -0.25, -0.6)
_INNER_TOP = (-0.9, -0.3, 0.0, 0.3, 0.9)
_INNER_BOTTOM = (0.3, 0.0, -0.3)


def landmarks(attributes: Mapping[str, Tensor], size: int) -> Tensor:
    """Where the 68 points lie in the pictures that `render` makes of the same attributes.

    Returns:
        float32 [N, 68, 2]: x, y in pixels of a picture of side `size`; (0, 0) is the centre of the top-left
        pixel. Order: jaw 0-16, brows 17-26, nose 27-35, eyes 36-47, mouth 48-67; image left comes first.

    Raises:
        UsageError: size below 1; attributes missing or of unequal length.
    """
    if size < 1:
        raise UsageError(f"size {size}: give at least 1 pixel")
    count = check_attributes(attributes)
    points = torch.empty(count, COUNT, 2, device=attributes["yaw"].device)
    with torch.inference_mode():
        for start in range(0, count, _CHUNK):
            part = {name: value[start : start + _CHUNK] for name, value in attributes.items()}
            points[start : start + _CHUNK] = _landmarks(part) * size - 0.5
    return points


def _landmarks(attributes: Mapping[str, Tensor]) -> Tensor:
    """[B, 68, 2] as shares of the picture."""
    face, pose = face_from_attributes(attributes), make_pose(attributes)
    heights = surface(face, _TEXELS).head[:, None]
    jaw = _jaw(heights, pose)
    points = [_brows(face), _nose(face), _eyes(face), _mouth(face)]
    return torch.cat((jaw, _projected(heights, pose, torch.cat(points, 2))), 1)


def _projected(heights: Tensor, pose: Pose, at: Tensor) -> Tensor:
    """Chart points [B, 2, M] -> [B, M, 2] as shares of the picture."""
    direction = torch.cat(chart.from_chart(at[:, :1], at[:, 1:]), 1)
    point = direction * chart.look_up(heights, at / chart.HALF)
    return torch.cat(project(pose.to_world(point)), 1).transpose(1, 2)


def _points(a: Tensor, b: Tensor) -> Tensor:
    return torch.cat(torch.broadcast_tensors(a, b), 1)


def _row(values: tuple[float, ...], like: Tensor) -> Tensor:
    return torch.tensor(values, device=like.device).view(1, 1, -1)


def _jaw(heights: Tensor, pose: Pose) -> Tensor:
    """17 points of the visible silhouette: on each ray of the chart the one that projects furthest out."""
    angles = torch.linspace(-1.62, 1.62, 17, device=heights.device)
    reach = torch.linspace(0.55, 1.30, 40, device=heights.device)
    a = 0.98 * angles.sin()[:, None] * reach
    b = -0.10 - angles.cos()[:, None] * reach
    at = torch.stack((a.flatten(), b.flatten())).expand(len(heights), -1, -1)
    found = _projected(heights, pose, at).view(-1, 17, 40, 2)
    middle = _points(torch.zeros_like(heights[:, :, :1, 0]), torch.full_like(heights[:, :, :1, 0], -0.10))
    out = found - _projected(heights, pose, middle)[:, :, None]
    ray = torch.nn.functional.normalize(out[:, :, 20], dim=-1)
    furthest = (out * ray[:, :, None]).sum(-1).argmax(-1)
    return found.gather(2, furthest[:, :, None, None].expand(-1, -1, 1, 2))[:, :, 0]


def _brows(face: Face) -> Tensor:
    along = _row(_BROW, face.age)
    aa = 0.135 + 0.02 * face.eye_gap + 0.53 * along
    height = brow_centre(face, along) + 0.012
    return torch.cat((_points(-aa, height), _points(aa.flip(2), height.flip(2))), 2)


def _nose(face: Face) -> Tensor:
    """Bridge and base, moved and stretched as geometry.py does."""
    b = _row(_BRIDGE + _NOSE_B, face.age)
    a = _row((0.0,) * len(_BRIDGE) + _NOSE_A, face.age) * (1.0 + 0.16 * face.nose_width)
    return _points(a + 0.03 * face.asym * smoothstep(b, 0.1, -0.4), b * (1.0 + 0.13 * face.nose_len))


def _eyes(face: Face) -> Tensor:
    left = []
    for side, sign in ((_EYE, -1.0), (tuple(-s for s in _EYE), 1.0)):
        aa = face.eye_a + face.eye_half * _row(side, face.age)
        eye = lids(face, aa)
        upper, lower = _row(_EYE_UPPER, face.age), _row(_EYE_LOWER, face.age)
        height = eye.base + (eye.upper - eye.base) * upper + (eye.lower - eye.base) * lower
        left.append(_points(sign * aa, height))
    return torch.cat(left, 2)


def _mouth(face: Face) -> Tensor:
    points = []
    for values, line in (
        (_MOUTH_TOP, "top"),
        (_MOUTH_BOTTOM, "bottom"),
        (_INNER_TOP, "inner_up"),
        (_INNER_BOTTOM, "inner_low"),
    ):
        a = face.mouth_half * _row(values, face.age) + 0.022 * face.asym
        points.append(_points(a, getattr(lips(face, a), line)))
    return torch.cat(points, 2)
