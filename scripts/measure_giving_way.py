#!/usr/bin/env python
"""What skip features do to edits: kept whole, left out, or giving way where the edit changes the picture.

    python scripts/measure_giving_way.py [--weights FILE] [--count 60] [--strength 2]
    python scripts/measure_giving_way.py --count 5 --directions yaw,smile --sheet docs/images/giving-way.png

Portraits of a series that trained and chose nothing, with CoModGAN-like holes, one sample each, every bundled
direction at both signs. The first columns are those of `ganinv evaluate`, over all directions; "elsewhere" is
the PSNR in dB to the unedited picture where the edit hardly changes what the code draws (0.02 of 2 at most).
The sheet has a row for each direction and way, at the positive strength.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from measure_seams import FAMILIES
from torch import Tensor
from torch.nn.functional import max_pool2d

from ganinv.api import load_method, write_png
from ganinv.backbones.loading import load_backbone_of
from ganinv.editing.directions import load_directions
from ganinv.evaluation.measure import SIGNS, look
from ganinv.evaluation.pictures import HoleSet, Portraits, as_tensors
from ganinv.evaluation.summary import edits as edit_figures
from ganinv.images import sheet, to_uint8
from ganinv.inversion import Inversion
from ganinv.metrics.judge import load_judge
from ganinv.rendering import render

SERIES = 555003
SHOWN = 5


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--weights", help="file of the method's weights; without it: the shipped ones")
    parser.add_argument("--count", type=int, default=60)
    parser.add_argument("--strength", type=float, default=2.0)
    parser.add_argument("--directions", help="some of the bundled ones: yaw,smile; without it: all")
    parser.add_argument("--sheet", type=Path)
    asked = parser.parse_args()
    names = asked.directions.split(",") if asked.directions else None
    measure(asked.weights, asked.count, asked.strength, names, asked.sheet)


def ways(edited: Inversion) -> Iterator[tuple[str, Inversion]]:
    """An edited inversion with each way to treat its features."""
    yield "whole", replace(edited, unedited=None)
    yield "left out", replace(edited, features={})
    yield "giving way", edited


@torch.no_grad()
def measure(
    weights: str | None, count: int, strength: float, names: list[str] | None, to: Path | None
) -> None:
    """Prints the table, and writes the sheet where one is asked for."""
    backbone, judge = load_backbone_of(weights), load_judge()
    method = load_method("diverse-inpaint", backbone=backbone, weights=weights)
    known = load_directions(backbone, stored=False)
    directions = {name: known[name] for name in names or known}
    portraits = Portraits(SERIES, count, backbone.resolution)
    holes = HoleSet(FAMILIES, 0, backbone.resolution)
    found: dict[str, list[Tensor]] = {}
    rows: dict[tuple[str, str], list[np.ndarray]] = {}

    def note(name: str, value: Tensor) -> None:
        found.setdefault(name, []).append(value)

    for index in range(count):
        image, hole = as_tensors(portraits.picture(index), holes.hole(index))
        inversion = method.invert(image, hole, seed=index)
        unedited = render(inversion, backbone)[0].clamp(-1, 1)
        reading, person = look(judge, unedited)
        note("read_true", look(judge, image)[0][0])
        note("read_raw", reading)
        code = render(replace(inversion, features={}), backbone)[0]
        for name, edit in directions.items():
            for sign in SIGNS:
                edited = edit.apply(inversion, sign * strength)
                same = unchanged(code, render(replace(edited, features={}), backbone)[0])
                for way, treated in ways(edited):
                    drawn = render(treated, backbone)[0].clamp(-1, 1)
                    moved, who = look(judge, drawn)
                    note(f"{way} edited", moved[0])
                    note(f"{way} identity", (who * person).sum(1)[0])
                    note(f"{way} elsewhere", mean_square(drawn - unedited, same))
                    if sign > 0 and index < SHOWN:
                        rows.setdefault((name, way), []).append(to_uint8(drawn)[0])
    show(found, list(directions), judge.column, count)
    if to is not None:
        write_png(to, sheet(list(rows.values())))


def unchanged(before: Tensor, after: Tensor) -> Tensor:
    """Where two pictures (1, 3, H, W) are nearly the same, and around: bool (1, 1, H, W)."""
    return max_pool2d((after - before).abs().amax(1, keepdim=True), 5, 1, 2) < 0.02


def mean_square(difference: Tensor, where: Tensor) -> Tensor:
    """Of a difference (1, 3, H, W) at places (1, 1, H, W); NaN where there are none."""
    return difference.square().mean(1, keepdim=True)[where].mean()


def show(found: dict[str, list[Tensor]], names: list[str], column: Callable[[str], int], count: int) -> None:
    """Prints the table."""
    read = {name: torch.stack(found[name]).numpy() for name in ("read_true", "read_raw")}
    print(f"{'features':12} asked way  own move {'largest other':>30}  identity  elsewhere")
    shape = (count, len(names), len(SIGNS))
    for way in ("whole", "left out", "giving way"):
        edited = torch.stack(found[f"{way} edited"]).unflatten(0, shape).numpy()
        identity = torch.stack(found[f"{way} identity"]).unflatten(0, shape).numpy()
        figures = edit_figures(
            {**read, "edited": edited, "edit_identity": identity}, names, column, replicates=1
        )
        # where all pictures are at the end already, nothing can be asked
        usable = [name for name in names if figures[name]["worst_other"]]
        worst = max(usable, key=lambda name: abs(figures[name]["worst_other"].value))
        told = f"{figures[worst]['worst_other'].value:.2f} ({worst}: {figures[worst]['which']})"
        over = {
            key: np.mean([figures[name][key].value for name in usable])
            for key in ("accuracy", "own_move", "identity")
        }
        elsewhere = -10 * torch.log10(torch.stack(found[f"{way} elsewhere"]).nanmean() / 4)
        print(
            f"{way:12}{over['accuracy']:10.3f}{over['own_move']:10.2f} {told:>30}{over['identity']:10.2f}"
            f"{elsewhere:11.1f}"
        )


if __name__ == "__main__":
    main()
