"""Whether a generator's mapping or its synthesis keeps it from drawing the render of a z.

    python scripts/measure_searched_codes.py [--backbone portraits-128] [--count 24] [--steps 150]

Draws z whose renders are known (paired_portraits.py), then searches codes for the same renders, one for all
layers and one for each, and prints the L1 distance at 32 px, of a range of 2. Where searched codes are much
nearer, the synthesis could draw the renders and the mapping does not say how.
"""

from __future__ import annotations

import argparse

import torch
from render_latents import with_latents
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from ganinv.api import load_backbone
from ganinv.backbones import DEFAULT
from ganinv.backbones.base import Backbone

SERIES = 900_003
LR, LR_END, FALLS_AT = 0.02, 0.005, 0.75
"""Adam's rate, the one it falls to, and the share of the steps after which it does."""


def distance(backbone: Backbone, ws: Tensor, wanted: Tensor) -> Tensor:
    """To pictures [N, 3, 32, 32] that are wanted."""
    images = backbone.synthesize(ws.expand(-1, backbone.num_ws, -1), noise="none").images
    return (adaptive_avg_pool2d(images, wanted.shape[-1]) - wanted).abs().mean()


def searched(backbone: Backbone, start: Tensor, wanted: Tensor, steps: int) -> float:
    """Distance after a search that begins at the codes `start` [N, 1 or num_ws, w_dim]."""
    ws = start.clone().requires_grad_(True)
    optimiser = torch.optim.Adam([ws], LR)
    for step in range(steps):
        optimiser.param_groups[0]["lr"] = LR if step < FALLS_AT * steps else LR_END
        optimiser.zero_grad()
        distance(backbone, ws, wanted).backward()
        optimiser.step()
    with torch.no_grad():
        return distance(backbone, ws, wanted).item()


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--backbone", default=DEFAULT)
    parser.add_argument("--count", type=int, default=24, help="renders")
    parser.add_argument("--steps", type=int, default=150, help="of each search")
    args = parser.parse_args()
    backbone = load_backbone(args.backbone).requires_grad_(False)
    known = with_latents(args.count, backbone.resolution, backbone.z_dim, SERIES, 0)
    pictures = known["images"].permute(0, 3, 1, 2) / 127.5 - 1
    wanted = adaptive_avg_pool2d(pictures, 32)
    code = backbone.map(known["z"])[:, :1]
    print(f"drawn from z: {distance(backbone, code, wanted).item():.3f}")
    print(f"one code searched: {searched(backbone, code, wanted, args.steps):.3f}")
    each = code.expand(-1, backbone.num_ws, -1)
    print(f"a code for each layer searched: {searched(backbone, each, wanted, args.steps):.3f}")


if __name__ == "__main__":
    main()
