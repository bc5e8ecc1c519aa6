"""Measure the bundled model on fresh portraits and print the tables of docs/results.md.

    python scripts/measure.py [--count 200] [--classic FILE] [--json FILE]

Portraits are rendered from a seed that no training used. Raw = the generator's picture before known pixels
are pasted.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ganinv.api import load_backbone, load_method
from ganinv.backbones.base import Backbone
from ganinv.editing.directions import load_directions
from ganinv.images import composite, to_tensor, to_uint8
from ganinv.masks import named_hole
from ganinv.metrics.judge import Judge, kid, load_judge, r2_and_auc
from ganinv.portraits.attributes import ATTRIBUTE_NAMES, attributes_from_normals, sample_attributes
from ganinv.portraits.renderer import render

FRESH_SEED = 900_001
FAMILIES = ("half-left", "centre", "free-form")
READ_AS = {  # direction -> the attribute that the judge reads
    "age": "age",
    "smile": "smile",
    "yaw": "yaw",
    "glasses": "glasses",
    "beard": "beard",
    "gender": "gender",
    "hair-colour": "hair_light",
    "hair-length": "length",
    "skin-tone": "skin",
}


def visible_psnr(raw: Tensor, truth: Tensor, hole: Tensor) -> float:
    """Mean over pictures of 10 log10(4 / MSE) over known pixels; values in [-1, 1], clamped."""
    known = (1 - hole).expand_as(truth)
    mse = ((raw.clamp(-1, 1) - truth).square() * known).flatten(1).sum(1) / known.flatten(1).sum(1)
    return (10 * (4 / mse.clamp_min(1e-10)).log10()).mean().item()


def border_jump(picture: Tensor, hole: Tensor) -> Tensor:
    """Mean |RGB difference| of neighbours, one in the hole and one outside, of each picture `[N]`."""
    total, count = torch.zeros(len(picture)), torch.zeros(len(picture))
    for dim in (2, 3):
        size = picture.shape[dim]
        a, b = picture.narrow(dim, 0, size - 1), picture.narrow(dim, 1, size - 1)
        across = hole.narrow(dim, 0, size - 1) != hole.narrow(dim, 1, size - 1)
        total += ((a - b).abs().mean(1, keepdim=True) * across).flatten(1).sum(1)
        count += across.flatten(1).sum(1)
    return total / count.clamp_min(1)


def hole_difference(samples: Tensor, hole: Tensor) -> float:
    """Mean absolute difference inside the hole between samples of one picture. samples `[N, K, 3, H, W]`."""
    k = samples.shape[1]
    pairs = [(samples[:, i] - samples[:, j]).abs().mean(1, keepdim=True) for i in range(k) for j in range(i)]
    inside = [(p * hole).flatten(1).sum(1) / hole.flatten(1).sum(1) for p in pairs]
    return torch.stack(inside).mean().item()


def holes_of(family: str, count: int, side: int) -> Tensor:
    holes = np.stack([named_hole(family, side, seed) for seed in range(count)])
    return torch.from_numpy(holes)[:, None].float()


def inpainting(
    methods: dict[str, Any], truth: Tensor, samples: int
) -> dict[str, dict[str, dict[str, float]]]:
    """Family -> method -> figures."""
    table: dict[str, dict[str, dict[str, float]]] = {}
    working = to_uint8(truth)
    for family in FAMILIES:
        hole = holes_of(family, len(truth), truth.shape[-1])
        true_jump = border_jump(truth, hole).mean()
        for name, method in methods.items():
            inversion = method.invert(truth, hole, samples=samples, seed=11)
            raw = method.render(inversion).clamp(-1, 1)
            first = to_uint8(raw[:, 0])
            pasted = composite(first, working, hole[:, 0].numpy().astype(bool))
            known = ~hole[:, 0].numpy().astype(bool)
            exact = bool((pasted[known] == working[known]).all())
            table.setdefault(family, {})[name] = {
                "known pixels exact": exact,
                "visible PSNR": visible_psnr(raw[:, 0], truth, hole),
                "border jump / true": (border_jump(to_tensor(pasted), hole).mean() / true_jump).item(),
                "difference in hole": hole_difference(raw, hole),
            }
            print(family, name, table[family][name], flush=True)
    return table


def edits(method: Any, judge: Any, truth: Tensor, strength: float) -> dict[str, dict[str, float]]:
    """Direction -> share moved the asked way, and the largest mean movement of another edited attribute.

    Movements are in standard deviations of the readings of the true pictures. Pictures already within
    half a deviation of the asked end (the 1st or 99th percentile of readings of renders) are left out and
    counted.
    """
    hole = holes_of("centre", len(truth), truth.shape[-1])
    inversion = method.invert(truth, hole, samples=1, seed=11)
    before = judge.read(method.render(inversion)[:, 0].clamp(-1, 1))
    renders = judge.read(truth)
    deviation = renders.std(0)
    columns = {name: judge.column(attribute) for name, attribute in READ_AS.items()}
    result = {}
    for name, direction in load_directions(method.backbone, stored=False).items():
        moved_right, counted, left_out, moves = 0, 0, 0, []
        for sign in (-1, 1):
            edited = direction.apply(inversion, sign * strength)
            after = judge.read(method.render(edited)[:, 0].clamp(-1, 1))
            change = (after - before) / deviation
            column = columns[name]
            end = renders[:, column].quantile(0.99 if sign > 0 else 0.01)
            usable = sign * (end - before[:, column]) > 0.5 * deviation[column]
            moved_right += int((sign * change[usable, column] > 0).sum())
            counted += int(usable.sum())
            left_out += int((~usable).sum())
            moves.append(sign * change[usable])
        move = torch.cat(moves).mean(0)
        others = {other: abs(move[c].item()) for other, c in columns.items() if other != name}
        worst = max(others, key=lambda k: others[k])
        own = move[columns[name]].item()
        result[name] = {
            "asked way %": 100 * moved_right / max(counted, 1),
            "left out": left_out,
            "moves": own,
            "worst other": others[worst],
            "which": worst,
            "share of own": others[worst] / max(own, 1e-6),
        }
        print("edit", name, result[name], flush=True)
    return result


def generator_figures(backbone: Backbone, judge: Judge) -> dict[str, Any]:
    """KID of samples and of other renders against renders, and how truly samples carry attributes."""
    renders = render(sample_attributes(2000, FRESH_SEED + 1), backbone.resolution) * 2 - 1
    z = torch.randn(2000, backbone.z_dim, generator=torch.Generator().manual_seed(5))
    samples = torch.cat([backbone(part).clamp(-1, 1) for part in z.split(50)])
    x, y = (torch.cat([judge.features(p) for p in part.split(200)]) for part in (renders, samples))
    normals = z * z.square().mean(1, keepdim=True).rsqrt()
    attributes = attributes_from_normals(normals[:, : len(ATTRIBUTE_NAMES)])
    truth = torch.stack([attributes[name] for name in judge.config.names], 1)
    figures = {
        "KID, samples to renders": kid(y[:1000], x[:1000]),
        "KID, renders to renders": kid(x[:1000], x[1000:]),
        "attributes carried, R2 or AUC": r2_and_auc(judge.read(samples), truth, judge.config.names),
    }
    fresh = sample_attributes(2000, FRESH_SEED + 1)
    truth = torch.stack([fresh[name] for name in judge.config.names], 1)
    figures["judge on renders, R2 or AUC"] = r2_and_auc(judge.read(renders), truth, judge.config.names)
    print(json.dumps(figures), flush=True)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seed", type=int, default=FRESH_SEED, help="of the portraits' series")
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--samples", type=int, default=4)
    parser.add_argument("--classic", type=Path, help="weights of the classically trained ablation")
    parser.add_argument("--backbone", default="portraits-64")
    parser.add_argument("--stages", default="1,2", help="stages compared, and whether to measure edits")
    parser.add_argument("--no-edits", action="store_true", help="leave out edits and the generator's figures")
    parser.add_argument("--weights", type=Path, help="weights of the method; default: the bundled ones")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    torch.set_grad_enabled(False)

    backbone = load_backbone(args.backbone)
    judge = load_judge("portraits-64")
    truth = render(sample_attributes(args.count, args.seed), backbone.resolution) * 2 - 1
    truth = to_tensor(to_uint8(truth))
    chosen = {"weights": args.weights} if args.weights else {}
    methods = {
        f"stage {stage}": load_method("diverse-inpaint", backbone=backbone, stage=int(stage), **chosen)
        for stage in args.stages.split(",")
    }
    staged = dict(methods)
    if args.classic:
        methods["classic"] = load_method("diverse-inpaint", backbone=backbone, weights=args.classic, stage=1)

    report: dict[str, Any] = {"inpainting": inpainting(methods, truth, args.samples)}
    if not args.no_edits:
        report["edits"] = {name: edits(method, judge, truth, 2.0) for name, method in staged.items()}
        report["generator"] = generator_figures(backbone, judge)
    if args.json:
        args.json.write_text(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
