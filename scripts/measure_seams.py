#!/usr/bin/env python
"""How completions step from pixel to pixel at the edge of a hole and inside it, beside the true pictures.

    python scripts/measure_seams.py [--weights FILE] [--count 300] [--depth 6]

Portraits of a series that nothing else uses, with CoModGAN-like holes, one sample each. Rows are ways to put
the drawn picture into the hole. Column k is the mean |RGB difference| of neighbours of which one is k pixels
deep in the hole and the other k + 1 (0 is outside: the seam itself), over that of the true pictures at the
same places; 1 is right. A seam that is only moved inwards shows as a larger step further in.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import max_pool2d

from ganinv.api import composite, load_method
from ganinv.backbones.loading import load_backbone_of
from ganinv.compositing import membrane
from ganinv.evaluation.pictures import HoleSet, Portraits, as_tensors
from ganinv.images import to_uint8
from ganinv.rendering import render

SERIES = 555002
FAMILIES = ("comodgan",)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--weights", help="file of the method's weights; without it: the shipped ones")
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--depth", type=int, default=6)
    asked = parser.parse_args()
    truth, drawn, hole = completions(asked.weights, asked.count)
    levels = depths(torch.from_numpy(hole)[:, None], asked.depth)
    wanted = steps(truth, levels, asked.depth)
    print(f"{'':24}" + "".join(f"{depth:8}" for depth in range(asked.depth)))
    for name, pictures in ways(truth, drawn, hole):
        shares = steps(pictures, levels, asked.depth) / wanted
        print(f"{name:24}" + "".join(f"{share:8.2f}" for share in shares))


def completions(weights: str | None, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """True pictures and what the generator draws for their holes, uint8 (N, H, W, 3); holes (N, H, W)."""
    backbone = load_backbone_of(weights)
    method = load_method("diverse-inpaint", backbone=backbone, weights=weights)
    portraits = Portraits(SERIES, count, backbone.resolution)
    holes = HoleSet(FAMILIES, 0, backbone.resolution)
    found = []
    for index in range(count):
        picture, hole = portraits.picture(index), holes.hole(index)
        if hole.all() or not hole.any():
            continue
        inversion = method.invert(*as_tensors(picture, hole), seed=index)
        found.append((picture, to_uint8(render(inversion.for_holes(), backbone)[0, 0]), hole))
    truth, drawn, erased = (np.stack(part) for part in zip(*found, strict=True))
    return truth, drawn, erased


def ways(truth: np.ndarray, drawn: np.ndarray, hole: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """Ways to put what was drawn into the picture, uint8 (N, H, W, 3), by name."""
    known = torch.from_numpy(~hole)[:, None].float()
    apart = torch.from_numpy(truth.astype(np.float32) - drawn).permute(0, 3, 1, 2) * known
    carried = (membrane(apart, known).permute(0, 2, 3, 1).numpy() + drawn + 0.5).clip(0, 255)
    yield "the drawn picture", drawn
    yield "pasted (--no-tones)", composite(drawn, truth, hole, tones=False)
    yield "a membrane alone", np.where(hole[..., None], carried.astype(np.uint8), truth)
    yield "as it is", composite(drawn, truth, hole)
    yield "as it is, --feather 1", composite(drawn, truth, hole, 1)


def depths(hole: Tensor, most: int) -> Tensor:
    """Distance to the nearest known pixel in steps to one of four neighbours, int (N, 1, H, W); `most` + 1
    and more count as that.
    """
    inside, found = hole.float(), torch.zeros_like(hole, dtype=torch.int64)
    for _ in range(most + 1):
        found += inside.long()
        outside = 1 - inside
        wider = torch.maximum(max_pool2d(outside, (3, 1), 1, (1, 0)), max_pool2d(outside, (1, 3), 1, (0, 1)))
        inside = 1 - wider
    return found


def steps(pictures: np.ndarray, levels: Tensor, most: int) -> np.ndarray:
    """Mean |difference| of neighbours at depths k and k + 1, [most]."""
    values = torch.from_numpy(pictures.astype(np.float32)).permute(0, 3, 1, 2)
    total, count = np.zeros(most), np.zeros(most)
    for dim in (2, 3):
        size = values.shape[dim] - 1
        apart = (values.narrow(dim, 1, size) - values.narrow(dim, 0, size)).abs().mean(1, keepdim=True)
        a, b = levels.narrow(dim, 0, size), levels.narrow(dim, 1, size)
        for depth in range(most):
            at = ((a - b).abs() == 1) & (torch.minimum(a, b) == depth)
            total[depth] += float(apart[at].sum())
            count[depth] += int(at.sum())
    return total / count


if __name__ == "__main__":
    main()
