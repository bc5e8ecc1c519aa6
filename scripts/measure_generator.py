"""How truly the bundled generator's samples carry their attributes, and how truly the judge reads.

    python scripts/measure_generator.py [--count 2000] [--json FILE]

z of the bundled generator holds the normals of a portrait (docs/training.md), so what a sample should show is
known. Prints the KID of samples to renders, how much fine detail they have of theirs, how far each is from
the render of its own z, and the table of docs/results.md; everything else there comes from `ganinv evaluate`.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from torch.nn.functional import adaptive_avg_pool2d

from ganinv.api import load_backbone
from ganinv.backbones import DEFAULT
from ganinv.metrics.distribution import kid
from ganinv.metrics.features import judge_features, to_side
from ganinv.metrics.judge import load_judge
from ganinv.metrics.pixels import fine_detail
from ganinv.metrics.readings import r2_and_auc
from ganinv.portraits.attributes import ATTRIBUTE_NAMES, attributes_from_normals, sample_attributes
from ganinv.portraits.renderer import render

SERIES = 900_002


def likeness(samples: torch.Tensor, normals: torch.Tensor) -> tuple[float, float]:
    """Mean L1 distance of samples [N, 3, R, R] to the renders of their normals [N, A], at 32 px, range of 2;
    and that of the first 200 renders to others that differ in their seed alone.
    """

    def rendered(first: int, count: int) -> torch.Tensor:
        attributes = attributes_from_normals(normals[:count], torch.arange(first, first + count))
        return adaptive_avg_pool2d(render(attributes, samples.shape[-1]) * 2 - 1, 32)

    own, other = rendered(0, len(normals)), rendered(len(normals), min(200, len(normals)))
    distances = adaptive_avg_pool2d(samples, 32) - own, other - own[: len(other)]
    return distances[0].abs().mean().item(), distances[1].abs().mean().item()


def fine_detail_of(pictures: torch.Tensor) -> float:
    """Mean over whole pictures [N, 3, R, R]."""
    return fine_detail(pictures, torch.ones_like(pictures[:, :1])).mean().item()


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=2000, help="renders, and samples")
    parser.add_argument("--backbone", default=DEFAULT)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()

    backbone, judge = load_backbone(args.backbone), load_judge()
    names = judge.config.names
    z = torch.randn(args.count, backbone.z_dim, generator=torch.Generator().manual_seed(5))
    normals = z * z.square().mean(1, keepdim=True).rsqrt()
    carried = attributes_from_normals(normals[:, : len(ATTRIBUTE_NAMES)])
    drawn = torch.cat([backbone(part).clamp(-1, 1) for part in z.split(50)])
    fresh = sample_attributes(args.count, SERIES)
    rendered = render(fresh, backbone.resolution) * 2 - 1
    side = judge.config.resolution
    samples, renders = judge.read(to_side(drawn, side)), judge.read(to_side(rendered, side))
    embed = judge_features(judge, "").embed
    embedded, reference = (
        torch.cat([embed(part) for part in pictures.split(256)]) for pictures in (drawn, rendered)
    )
    distance = kid(embedded[:, None], reference)
    detail = fine_detail_of(drawn) / fine_detail_of(rendered)
    far, least = likeness(drawn, normals[:, : len(ATTRIBUTE_NAMES)])

    def scores(readings: torch.Tensor, truth: dict[str, torch.Tensor]) -> dict[str, float]:
        return r2_and_auc(readings, torch.stack([truth[name] for name in names], 1), names)

    judged, kept = scores(renders, fresh), scores(samples, carried)
    print(f"KID, samples to renders: {distance.value:.4f} ({distance.low:.4f} to {distance.high:.4f})")
    print(f"fine detail, samples over renders: {detail:.2f}")
    print(f"distance to the render of the same z: {far:.3f} (between two renders of it: {least:.3f})\n")
    print("| attribute | judge on renders | judge on samples, against their z |\n|---|---|---|")
    for name in names:
        print(f"| {name} | {judged[name]:.2f} | {kept[name]:.2f} |")
    if args.json:
        found = {"kid": distance.value, "detail": detail, "distance": far, "between renders": least}
        found |= {"judge on renders": judged, "on samples": kept}
        args.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
