"""Fit the bundled directions on the bundled generator and write them, with units, as one checkpoint.

    python scripts/fit_directions.py --to ganinv/bundled/portraits-128-directions.safetensors

The first entries of z are the normals of the renderer's attributes (scripts/train_portraits.py), so every
sample's attributes are known without a classifier, and so is its edited picture: what the generator draws
when that entry of z alone is moved. Directions start as the regression of codes on attributes and are then
fitted, one row for each layer, to draw just that (`--method pictures`). The judge is used for one thing only:
the unit, the length that moves its mean reading by one standard deviation over 5,000 samples.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from ganinv.backbones import DEFAULT
from ganinv.backbones.base import Backbone
from ganinv.backbones.loading import find_model, load_backbone, load_discriminator
from ganinv.checkpoints import read_checkpoint
from ganinv.editing.edits import Direction
from ganinv.editing.fit import fit_boundary, project_out, response, unit_length
from ganinv.editing.manifest import write_directions
from ganinv.errors import UsageError
from ganinv.metrics.features import to_side
from ganinv.metrics.judge import JUDGE, Judge, load_judge
from plugin_ganinpaint.losses import FeatureDistance

METHODS = ("pictures", "response", "svm", "svm-orthogonal")
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
STEPS, BATCH, FURTHEST, RATE, PERCEPTUAL = 1500, 16, 2.5, 0.05, 0.8
"""Of the fit to pictures: steps, samples of each, how far an entry moves at most, learning rate in units of
the start's size (it falls to 0 over the second half), weight of the perceptual distance."""
AS_REGRESSED = ("skin-tone",)
"""Directions that the fit to pictures made worse: with lighter skin it took 0.75 deviations of smile, the
regression 0.56."""
SAFE_RANGE = (-3.0, 3.0)  # in units, standard deviations of the attribute: beyond, hardly any portrait is


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--backbone", default=DEFAULT)
    parser.add_argument("--judge", default=JUDGE)
    parser.add_argument("--method", choices=METHODS, default=METHODS[0])
    parser.add_argument("--steps", type=int, default=STEPS, help="of the fit to pictures")
    parser.add_argument("--samples", type=int, default=5000)
    parser.add_argument("--to", type=Path, required=True)
    args = parser.parse_args()

    backbone, judge = load_backbone(args.backbone), load_judge(args.judge)
    names = read_checkpoint(find_model(args.backbone, "generator")).provenance[
        "attributes"
    ]  # of the first entries of z
    generator = torch.Generator().manual_seed(2024)
    z = draw(backbone, 40_000, generator)
    normals = z[:, : len(names)]
    with torch.no_grad():
        codes = torch.cat([backbone.map(part)[:, 0] for part in z.split(2000)])
    index = {name: names.index(attribute) for name, (attribute, _) in DIRECTIONS.items()}
    if args.method in ("pictures", "response"):
        rows = response(codes, normals)[list(index.values())][:, None]  # (A, 1, w_dim)
        vectors = dict(zip(index, rows, strict=True))
        if args.method == "pictures":
            fitted = fit_to_pictures(backbone, rows, list(index.values()), args.steps, generator)
            fitted = fitted / fitted.flatten(1).norm(dim=1)[:, None, None]
            vectors |= {n: v for n, v in zip(index, fitted, strict=True) if n not in AS_REGRESSED}
    else:
        vectors = {name: fit_boundary(codes, normals[:, i], share=0.1).normal for name, i in index.items()}
        if args.method == "svm-orthogonal":
            stacked = torch.stack(list(vectors.values()))
            others = {name: torch.cat([stacked[:k], stacked[k + 1 :]]) for k, name in enumerate(vectors)}
            vectors = {name: project_out(vector, others[name]) for name, vector in vectors.items()}
        vectors = {name: vector[None] for name, vector in vectors.items()}

    with torch.no_grad():
        ws = backbone.map(torch.randn(args.samples, backbone.z_dim, generator=generator))
    directions = list(with_units(backbone, judge, vectors, ws))
    provenance = {"script": "scripts/fit_directions.py", "method": args.method, "samples": args.samples}
    if args.method == "pictures":
        provenance["steps"] = args.steps
    write_directions(args.to, directions, provenance=provenance)


def with_units(
    backbone: Backbone, judge: Judge, vectors: dict[str, Tensor], ws: Tensor
) -> Iterator[Direction]:
    """Directions of vectors (rows, w_dim), their units measured on codes; one of no effect is left out."""
    side = judge.config.resolution
    for name, vector in vectors.items():
        attribute, about = DIRECTIONS[name]
        column = judge.column(attribute)
        try:
            unit = unit_length(
                backbone, ws, vector, lambda images, c=column: judge.read(to_side(images, side))[:, c]
            )
        except UsageError as cause:
            print(f"{name:12} left out: {cause}", flush=True)
            continue
        print(f"{name:12} unit {unit:.3f}", flush=True)
        yield Direction(
            name,
            vector.clone(),
            unit=unit,
            backbone_sha256=backbone.sha256,
            safe_range=SAFE_RANGE,
            licence="Apache-2.0",
            origin="ganinv (scripts/fit_directions.py)",
            about=about,
        )


def draw(backbone: Backbone, count: int, generator: torch.Generator) -> Tensor:
    """Random z (count, z_dim) as the mapping sees them: of mean square 1, their first entries normals."""
    z = torch.randn(count, backbone.z_dim, generator=generator)
    return z * z.square().mean(1, keepdim=True).rsqrt()


def fit_to_pictures(
    backbone: Backbone, start: Tensor, entries: list[int], steps: int, generator: torch.Generator
) -> Tensor:
    """Directions (A, num_ws, w_dim) that move pictures as moving an entry of z by 1 does.

    Args:
        start: (A, 1, w_dim). entries: of z, one for each direction.
        steps: of Adam; each draws samples, for each a direction and how far it goes either way.
    """
    distance = FeatureDistance(load_discriminator(backbone.name))
    backbone.requires_grad_(False)
    vectors = start.repeat(1, backbone.num_ws, 1).requires_grad_(True)
    moves, size = torch.tensor(entries), float(start.square().mean().sqrt())
    optimiser = torch.optim.Adam([vectors], lr=RATE * size, betas=(0.9, 0.99))
    losses: list[float] = []
    for step in range(steps):
        optimiser.param_groups[0]["lr"] = RATE * size * min(1.0, 2 * (1 - step / steps))
        z = draw(backbone, BATCH, generator)
        which = torch.randint(len(moves), (BATCH,), generator=generator)
        far = FURTHEST * (2 * torch.rand(BATCH, generator=generator) - 1)
        moved = z.clone()
        moved[torch.arange(BATCH), moves[which]] += far
        with torch.no_grad():
            target = backbone.synthesize(backbone.map(moved)).images.clamp(-1, 1)
            features = distance.features(target)
        drawn = backbone.synthesize(backbone.map(z) + far[:, None, None] * vectors[which]).images
        loss = (drawn - target).square().mean() + PERCEPTUAL * distance(drawn, features)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
        if (step + 1) % 100 == 0:
            print(f"step {step + 1}: {sum(losses[-100:]) / 100:.5f}", flush=True)
    return vectors.detach()


if __name__ == "__main__":
    main()
