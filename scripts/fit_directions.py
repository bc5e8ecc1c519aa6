"""Fit the bundled directions on the bundled generator and write them, with units, as one checkpoint.

    python scripts/fit_directions.py --to ganinv/bundled/portraits-64-directions.safetensors

The first entries of z are the normals of the renderer's attributes (scripts/train_portraits.py), so every
sample's attributes are known without a classifier. The judge is used for one thing only: the unit, the length
that moves its mean reading by one standard deviation over 5,000 samples.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from ganinv.backbones.loading import find_model, load_backbone
from ganinv.checkpoints import read_checkpoint
from ganinv.editing.edits import Direction
from ganinv.editing.fit import fit_boundary, project_out, response, unit_length
from ganinv.editing.manifest import write_directions
from ganinv.errors import UsageError
from ganinv.metrics.judge import load_judge

DIRECTIONS = {
    "age": ("age", "older"),
    "smile": ("smile", "more smile"),
    "yaw": ("yaw", "turned to the right of the picture"),
    "glasses": ("glasses", "with glasses"),
    "beard": ("beard", "more beard"),
    "gender": ("gender", "more masculine presentation"),
    "hair-colour": ("hair_light", "lighter hair"),
    "hair-length": ("length", "longer hair"),
    "skin-tone": ("skin", "darker skin"),
}
SAFE_RANGE = (-3.0, 3.0)  # in units, standard deviations of the attribute: beyond, hardly any portrait is


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--backbone", default="portraits-64")
    parser.add_argument("--judge", default="portraits-64")
    parser.add_argument("--method", choices=["response", "svm", "svm-orthogonal"], default="response")
    parser.add_argument("--samples", type=int, default=5000)
    parser.add_argument("--to", type=Path, required=True)
    args = parser.parse_args()

    backbone, judge = load_backbone(args.backbone), load_judge(args.judge)
    names = read_checkpoint(find_model(args.backbone, "generator")).provenance[
        "attributes"
    ]  # of the first entries of z
    generator = torch.Generator().manual_seed(2024)
    z = torch.randn(40_000, backbone.z_dim, generator=generator)
    normals = z * z.square().mean(1, keepdim=True).rsqrt()  # as the mapping sees them
    normals = normals[:, : len(names)]
    with torch.no_grad():
        codes = torch.cat([backbone.map(part)[:, 0] for part in z.split(2000)])
        ws = backbone.map(torch.randn(args.samples, backbone.z_dim, generator=generator))
    index = {name: names.index(attribute) for name, (attribute, _) in DIRECTIONS.items()}
    if args.method == "response":
        rows = response(codes, normals)
        vectors = {name: rows[i] for name, i in index.items()}
    else:
        vectors = {name: fit_boundary(codes, normals[:, i], share=0.1).normal for name, i in index.items()}
        if args.method == "svm-orthogonal":
            stacked = torch.stack(list(vectors.values()))
            others = {name: torch.cat([stacked[:k], stacked[k + 1 :]]) for k, name in enumerate(vectors)}
            vectors = {name: project_out(vector, others[name]) for name, vector in vectors.items()}

    directions = []
    for name, vector in vectors.items():
        attribute, about = DIRECTIONS[name]
        column = judge.column(attribute)
        try:
            unit = unit_length(backbone, ws, vector[None], lambda images, c=column: judge.read(images)[:, c])
        except UsageError as cause:
            print(f"{name:12} left out: {cause}", flush=True)
            continue
        directions.append(
            Direction(
                name,
                vector[None].clone(),
                unit=unit,
                backbone_sha256=backbone.sha256,
                safe_range=SAFE_RANGE,
                licence="Apache-2.0",
                origin="ganinv (scripts/fit_directions.py)",
                about=about,
            )
        )
        print(f"{name:12} unit {unit:.3f}", flush=True)
    provenance = {"script": "scripts/fit_directions.py", "method": args.method, "samples": args.samples}
    write_directions(args.to, directions, provenance=provenance)


if __name__ == "__main__":
    main()
