"""Renders of portraits with the latents that stand for them, for `data.real_images` of a training.

    python scripts/render_latents.py --count 6000 --seed 31 --out runs/renders.npz

The bundled generator was trained so that the first entries of z are the attributes' normals
(paired_portraits.py); the free entries are random. The file holds `images` uint8 (M, R, R, 3) and `z`
float32 (M, z_dim).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from paired_portraits import complete
from torch import Tensor

from ganinv.files import atomic_write
from ganinv.portraits.attributes import attributes_from_normals, sample_normals
from ganinv.portraits.renderer import render


def with_latents(count: int, side: int, z_dim: int, seed: int, first: int) -> dict[str, Tensor]:
    """Portraits `first` to `first + count` of the series `seed`: images (count, side, side, 3) and z."""
    normals, seeds = sample_normals(count, seed, first)
    pictures = render({**attributes_from_normals(normals), "seed": seeds}, side)
    generator = torch.Generator().manual_seed(seed * 1_000_003 + first)
    free = torch.randn(count, z_dim - normals.shape[1], generator=generator)
    pixels = (pictures * 255).round().clamp(0, 255).byte().permute(0, 2, 3, 1)
    return {"images": pixels, "z": complete(normals, free).float()}


def main() -> None:
    """Render in parts, so that memory does not grow with the count, and write one file."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=6000)
    parser.add_argument("--size", type=int, default=128, help="Side in pixels: the generator's.")
    parser.add_argument("--z-dim", type=int, default=128)
    parser.add_argument("--seed", type=int, default=31, help="The series; another one than tests measure on.")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    parts = []
    for first in range(0, options.count, 200):
        now = min(200, options.count - first)
        parts.append(with_latents(now, options.size, options.z_dim, options.seed, first))
        print(f"{first + now} of {options.count}", flush=True)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    whole = {key: torch.cat([part[key] for part in parts]).numpy() for key in ("images", "z")}
    atomic_write(options.out, lambda stream: np.savez(stream, images=whole["images"], z=whole["z"]))


if __name__ == "__main__":
    main()
