#!/usr/bin/env python
"""Where the spread of a hidden attribute is lost, from the renders to the composites.

    python scripts/measure_spread.py [--attribute smile] [--weights FILE] [--count 60]

Portraits whose z is known, with holes cut to the attribute (as `ganinv evaluate --calibrate` has them),
several drawings each, read by the judge. Renders with the attribute drawn again are right: spread 1, total
variation 0, and the mean in the head of the table.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
import torch
from render_latents import with_latents
from torch import Tensor

from ganinv.api import load_method
from ganinv.backbones.loading import load_backbone_of
from ganinv.evaluation.hidden import Swept, sweep
from ganinv.evaluation.measure import look
from ganinv.images import to_tensor
from ganinv.metrics.calibration import bin_edges, calibrate
from ganinv.metrics.judge import load_judge
from ganinv.parts import Backbone
from ganinv.portraits.attributes import ATTRIBUTE_NAMES

SERIES = 555001


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--attribute", default="smile", choices=ATTRIBUTE_NAMES)
    parser.add_argument("--weights", help="None: the shipped ones.")
    parser.add_argument("--count", type=int, default=60)
    parser.add_argument("--samples", type=int, default=8)
    asked = parser.parse_args()
    backbone, judge = load_backbone_of(asked.weights), load_judge()
    column, size = judge.column(asked.attribute), backbone.resolution
    swept = [sweep(asked.attribute, SERIES, i, size, asked.samples, 0) for i in range(asked.count)]
    z = with_latents(asked.count, size, backbone.z_dim, SERIES, 0)["z"]
    shown = [i for i, portrait in enumerate(swept) if portrait.hole.any()]

    def read(pictures: list[Tensor]) -> np.ndarray:
        return np.stack([look(judge, images)[0][:, column].numpy() for images in pictures])

    redrawn = read([to_tensor(swept[i].redrawn) for i in shown])
    edges = bin_edges(redrawn, np.stack([swept[i].values for i in shown]))
    print(f"{'':44}{'spread':>8}{'total variation':>17}{'mean (' + format(redrawn.mean(), '.2f') + ')':>14}")
    for name, pictures in drawings(asked, backbone, [swept[i] for i in shown], z[shown]).items():
        readings = read(pictures)
        found = calibrate(readings, redrawn, edges, replicates=2)
        print(f"{name:44}{found.spread.value:8.2f}{found.total_variation.value:17.2f}{readings.mean():14.2f}")


@torch.no_grad()
def drawings(
    asked: argparse.Namespace, backbone: Backbone, swept: list[Swept], z: Tensor
) -> dict[str, list[Tensor]]:
    """Pictures (samples, 3, R, R) of each portrait, by how they were made."""
    entry, generator = ATTRIBUTE_NAMES.index(asked.attribute), torch.Generator().manual_seed(1)
    options = {"weights": asked.weights} if asked.weights else {}
    ways: dict[str, dict[str, Any]] = {
        "drawn with skip features": {"fill": "features"},
        "drawn from the code": {"stage": 1},
    }
    methods = {
        way: load_method("diverse-inpaint", backbone=backbone, **how, **options) for way, how in ways.items()
    }
    found: dict[str, list[Tensor]] = {}
    for index, portrait in enumerate(swept):
        truth = to_tensor(portrait.picture[None])
        hole = torch.from_numpy(portrait.hole)[None, None].float()
        drawn = {}
        for way, method in methods.items():
            inversion = method.invert(truth, hole, samples=asked.samples, seed=index)
            drawn[way] = method.render(inversion)[0].clamp(-1, 1)
        again = z[index : index + 1].repeat(asked.samples, 1)
        again[:, entry] = torch.randn(asked.samples, generator=generator)
        free = torch.randn(asked.samples, backbone.z_dim, generator=generator)
        for name, latents in (("the generator at their z, drawn again", again), ("its samples", free)):
            drawn[name] = backbone.synthesize(backbone.map(latents)).images.clamp(-1, 1)
        for name, images in drawn.items():
            found.setdefault(name, []).append(images)
            if name != "its samples":
                found.setdefault(f"{name}, pasted", []).append(torch.where(hole > 0, images, truth))
    return found


if __name__ == "__main__":
    main()
