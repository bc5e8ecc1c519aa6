"""Renders, and what generators draw of the same z, one row each.

    python scripts/generator_pictures.py portraits-64 portraits-128 --to docs/images/portraits-128.png

z of the bundled generators holds the normals of a portrait (docs/training.md), so all rows show the same
people. Smaller pictures are enlarged.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from ganinv.api import load_backbone, to_uint8, write_png
from ganinv.images import sheet
from ganinv.portraits.attributes import ATTRIBUTE_NAMES, attributes_from_normals
from ganinv.portraits.renderer import render


@torch.no_grad()
def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("generators", nargs="+", help="names or files")
    parser.add_argument("--count", type=int, default=10, help="pictures in a row")
    parser.add_argument("--seed", type=int, default=3)
    parser.add_argument("--to", type=Path, required=True)
    args = parser.parse_args()
    backbones = [load_backbone(name) for name in args.generators]
    side = max(backbone.resolution for backbone in backbones)
    z = torch.randn(args.count, backbones[0].z_dim, generator=torch.Generator().manual_seed(args.seed))
    normals = z * z.square().mean(1, keepdim=True).rsqrt()
    people = attributes_from_normals(normals[:, : len(ATTRIBUTE_NAMES)])
    rows = [render({**people, "seed": torch.arange(args.count)}, side) * 2 - 1]
    for backbone in backbones:
        times = side // backbone.resolution
        rows.append(backbone(z).repeat_interleave(times, 2).repeat_interleave(times, 3))
    write_png(args.to, sheet([list(to_uint8(row)) for row in rows]))


if __name__ == "__main__":
    main()
