"""Teach the portraits generator's mapping what portraits look like, before its synthesis learns to draw it.

    python scripts/portraits_mapping.py --backbone portraits-128 --to runs/mapping

Through pictures alone a mapping learns very slowly what is no straight function of one entry of z: a hue
goes round a wheel (docs/history.md has figures). The renderer knows such things without drawing. So codes are
asked for each attribute's normal and value and for the colours of all parts, which one linear layer must read
from them through noise: styles are linear in codes too, and what hardly moves a code is hardly drawn. They
stay as near the old codes as that allows, so that networks that know those can follow. Writes the generator,
its synthesis as it was, and the discriminator.
"""

from __future__ import annotations

import argparse
import copy
import math
import time
from dataclasses import fields
from pathlib import Path

import torch
from grown_portraits import write_networks
from torch import Tensor, nn

from ganinv.backbones.loading import load_backbone, load_discriminator
from ganinv.backbones.mapping import MappingNetwork
from ganinv.portraits.attributes import TABLE, attributes_from_normals
from ganinv.portraits.scene import make_palette

POOL, BATCH = 60_000, 256
LR, MAPPING_LR = 2e-3, 600.0
"""Adam's rate, and the mapping's over it: its stored weights are a hundred times as large as the reader's."""
STAY = 0.3
"""Weight of how far codes move, beside 1 for each of the three distances."""
NOISE = 0.1
"""In units of the codes' spread."""


def looks(normals: Tensor) -> list[Tensor]:
    """What portraits of these normals [N, A] look like, in numbers of mean 0 and variance 1: normals, values
    and colours (sRGB), each [N, K].
    """
    attributes = attributes_from_normals(normals)
    values = torch.stack([attributes[name].float() for name in TABLE], dim=1)
    palette = make_palette(attributes)
    colours = [getattr(palette, field.name).flatten(1).clamp(0, 1) ** (1 / 2.2) for field in fields(palette)]
    groups = [normals, values, torch.cat(colours, dim=1)]
    return [(group - group.mean(0)) / group.std(0).clamp_min(1e-6) for group in groups]


class MappingTeacher:
    """A copy of a mapping, `mapping`, which learns, and what reads its codes."""

    def __init__(self, old: MappingNetwork, seed: int = 0, pool: int = POOL) -> None:
        torch.manual_seed(seed)
        self.old, self.mapping = old, copy.deepcopy(old).requires_grad_(True)
        self.normals = torch.randn(pool, len(TABLE))
        groups = looks(self.normals)
        self.sizes, self.looks = [group.shape[1] for group in groups], torch.cat(groups, dim=1)
        with torch.no_grad():
            codes = old(torch.randn(4000, old.z_dim))
            self.spread = (codes - codes.mean(0)).square().mean()
        self.reader = nn.Linear(codes.shape[1], self.looks.shape[1])
        parts = [
            {"params": self.mapping.parameters(), "factor": MAPPING_LR},
            {"params": self.reader.parameters(), "factor": 1.0},
        ]
        self.optimiser = torch.optim.Adam(parts, LR, betas=(0.9, 0.99))

    def batch(self) -> tuple[Tensor, Tensor]:
        """z [BATCH, z_dim] and what its portraits look like."""
        at = torch.randint(len(self.normals), (BATCH,))
        free = torch.randn(BATCH, self.old.z_dim - self.normals.shape[1])
        return torch.cat([self.normals[at], free], dim=1), self.looks[at]

    def step(self, progress: float) -> dict[str, float]:
        """One step at this share of the run; unexplained shares of variance, and how far codes moved."""
        rate = LR * 0.5 * (1 + math.cos(math.pi * progress)) * min(1.0, progress * 40 + 0.01)
        for group in self.optimiser.param_groups:
            group["lr"] = rate * group["factor"]
        z, wanted = self.batch()
        codes = self.mapping(z)
        read = self.reader(codes + NOISE * self.spread.sqrt() * torch.randn_like(codes))
        distances = [d.mean() for d in (read - wanted).square().split(self.sizes, dim=1)]
        with torch.no_grad():
            before = self.old(z)
        moved = (codes - before).square().mean() / self.spread
        self.optimiser.zero_grad(set_to_none=True)
        (torch.stack(distances).sum() + STAY * moved).backward()
        self.optimiser.step()
        names = ("normals", "values", "colours", "moved")
        return {name: value.item() for name, value in zip(names, [*distances, moved], strict=True)}


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--backbone", default="portraits-128", help="generator to begin with")
    parser.add_argument("--steps", type=int, default=8000)
    parser.add_argument("--to", type=Path, required=True, help="folder for generator and discriminator")
    args = parser.parse_args()
    g = load_backbone(args.backbone)
    teacher, start = MappingTeacher(g.mapping), time.time()
    for step in range(args.steps):
        told = teacher.step(step / args.steps)
        if step % 500 == 0 or step == args.steps - 1:
            line = "  ".join(f"{name} {value:.3f}" for name, value in told.items())
            print(f"{step + 1} of {args.steps}, {time.time() - start:.0f} s: {line}", flush=True)
    g.mapping.load_state_dict(teacher.mapping.state_dict())
    provenance = {
        "script": "scripts/portraits_mapping.py",
        "steps": args.steps,
        "from": g.sha256,
        "attributes": list(TABLE),
    }
    write_networks(args.to, g, load_discriminator(args.backbone), provenance)


if __name__ == "__main__":
    main()
