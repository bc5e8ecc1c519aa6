#!/usr/bin/env python
"""What a mixing network listens to: the picture where an attribute shows, the random code where it does not.

    python scripts/measure_listening.py [WEIGHTS ...] [--count 384]

For portraits backbones, whose entries of z are attributes. Pictures are generated, holes are those of the
training. Each attribute is read from the codes by the linear map of `training/codes.py`. Printed are slopes
of regressions of w_out's reading:

hidden     on the random code's, where the hole hides the attribute: 1 is right
told       on the picture's own, where it does not: 1 is right
told, rand on the random code's, where it does not: 0 is right
tight      on the random code's, within one portrait: renders whose hole is cut to what the attribute moves
           there (the holes of `ganinv evaluate --calibrate`), 8 random codes each: 1 is right
moves      there, of w_out itself over the random code's entry of z, along the way in which random codes move
           with it: 1 is right. A code may read right and draw something else.
"""

from __future__ import annotations

import argparse
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from ganinv.backbones.loading import load_backbone_of
from ganinv.evaluation.hidden import sweep
from ganinv.portraits.attributes import ATTRIBUTE_NAMES
from plugin_ganinpaint.method import DiverseInpaint, DiverseInpaintConfig
from plugin_ganinpaint.training.codes import CodeReadout
from plugin_ganinpaint.training.data import Sampler
from plugin_ganinpaint.training.hidden import ToldEntries
from plugin_ganinpaint.training.settings import DataSettings, HoleSettings, TrainConfig
from plugin_ganinpaint.weights import find_weights, load_networks

SHOWN = (
    "smile",
    "glasses",
    "beard",
    "gender",
    "fringe",
    "length",
    "age",
    "skin",
    "hair_light",
    "yaw",
    "bg_val",
)
TIGHT = ("smile", "glasses", "beard", "fringe")
TIGHT_COUNT, TIGHT_CODES, TIGHT_SERIES = 60, 8, 555001
FEWEST = 12  # pictures from which a slope says anything


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("weights", nargs="*", default=[None], help="files; none: the shipped ones")
    parser.add_argument("--count", type=int, default=384)
    asked = parser.parse_args()
    backbone = load_backbone_of(asked.weights[0])
    data = DataSettings(hidden_codes=1.0, layer_range=0.0, style_mixing=0.0)
    config = replace(TrainConfig(), data=data, holes=HoleSettings(half=2.0, empty=0.0))
    told = ToldEntries(backbone)
    batch = Sampler(backbone, config, asked.count, torch.Generator().manual_seed(3), told=told).draw()
    w_rand, shows, readout = batch.w_rand[asked.count :], told(batch.visible), CodeReadout(backbone)
    renders = {name: tight_holes(name, backbone.resolution) for name in TIGHT}
    for weights in asked.weights:
        networks = load_networks(find_weights(backbone, weights), backbone)
        method = DiverseInpaint(backbone, networks, DiverseInpaintConfig(stage=1))  # codes are all it is for
        w_out = method.invert(batch.image, 1 - batch.visible, w_rand=w_rand[:, None]).ws[:, 0]
        found, true, random = (
            (codes.mean(dim=1) - backbone.w_avg) @ readout.entries for codes in (w_out, batch.w_true, w_rand)
        )
        print(f"{networks.name}\n{'':12}{'hidden':>12}{'told':>8}{'told, rand':>12}{'tight':>8}{'moves':>8}")
        for name in SHOWN:
            i = ATTRIBUTE_NAMES.index(name)
            at = shows[:, i]
            slopes = (slope(found, random, i, ~at), slope(found, true, i, at), slope(found, random, i, at))
            line = f"{name:12}{slopes[0]:12.2f}{slopes[1]:8.2f}{slopes[2]:12.2f}"
            if name in TIGHT:
                read, moved = tight_slopes(method, readout, i, *renders[name])
                line += f"{read:8.2f}{moved:8.2f}"
            print(line)


def tight_holes(attribute: str, size: int) -> tuple[Tensor, Tensor]:
    """Renders (N, 3, size, size) with holes cut to what the attribute moves in them: also what is visible."""
    swept = [sweep(attribute, TIGHT_SERIES, index, size, 2, 0) for index in range(TIGHT_COUNT)]
    swept = [portrait for portrait in swept if portrait.hole.any()]
    pictures = torch.from_numpy(np.stack([portrait.picture for portrait in swept])).permute(0, 3, 1, 2)
    holes = torch.from_numpy(np.stack([portrait.hole for portrait in swept]))[:, None]
    return pictures.float() / 127.5 - 1, 1 - holes.float()


@torch.no_grad()
def tight_slopes(
    method: DiverseInpaint,
    readout: CodeReadout,
    entry: int,
    image: Tensor,
    visible: Tensor,
) -> tuple[float, float]:
    """Slope of w_out's reading over the random code's, and of w_out along the codes' own way over the entry
    of the random z; all less their means over the codes of a portrait.
    """
    backbone, generator = method.backbone, torch.Generator().manual_seed(1)
    z = torch.randn(TIGHT_CODES, len(image), backbone.z_dim, generator=generator).transpose(0, 1)
    entries = (z * z.square().mean(dim=2, keepdim=True).rsqrt())[..., entry]  # (N, codes)
    w_rand = backbone.map(z.flatten(0, 1)).unflatten(0, z.shape[:2])  # (N, codes, num_ws, w_dim)
    codes = method.invert(image, 1 - visible, samples=TIGHT_CODES, w_rand=w_rand).ws.mean(dim=2)
    w, w_of, z_of = (part - part.mean(dim=1, keepdim=True) for part in (codes, w_rand.mean(dim=2), entries))
    y, x = (part @ readout.entries[:, entry] for part in (w, w_of))
    way = readout.z[:, entry] @ readout.codes / readout.z[:, entry].square().sum()  # (w_dim,)
    along = (w @ way) / way.square().sum()
    return float((y * x).sum() / (x * x).sum()), float((along * z_of).sum() / (z_of * z_of).sum())


def slope(readings: Tensor, of: Tensor, entry: int, rows: Tensor) -> float:
    """Of a straight line through readings over the others, in those rows; nan where they are too few."""
    if int(rows.sum()) < FEWEST:
        return float("nan")
    y, x = (part[rows, entry] - part[rows, entry].mean() for part in (readings, of))
    return float((y * x).sum() / (x * x).sum())


if __name__ == "__main__":
    main()
