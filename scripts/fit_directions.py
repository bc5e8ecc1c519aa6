"""Fit the bundled directions on the bundled generator and write them, with units, as one checkpoint.

    python scripts/fit_directions.py --to ganinv/bundled/portraits-128-directions.safetensors
    python scripts/fit_directions.py --known FILE --to FILE    # only takes side effects out of them

The first entries of z are the normals of the renderer's attributes (scripts/train_portraits.py), so every
sample's attributes are known without a classifier, and so is its edited picture: what the generator draws
when that entry of z alone is moved. Directions start as the regression of codes on attributes and are then
fitted, one row for each layer, to draw just that (`--method pictures`). The judge is used for two things:
the unit, the length that moves its mean reading by one standard deviation over 5,000 samples, and what is
taken out of a direction that takes others' attributes along (`SIDE_EFFECTS`).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor

from ganinv.backbones import DEFAULT
from ganinv.backbones.base import Backbone
from ganinv.backbones.loading import load_backbone, load_discriminator
from ganinv.checkpoints import read_checkpoint
from ganinv.editing.edits import Direction
from ganinv.editing.fit import fit_boundary, project_out, response, unit_length
from ganinv.editing.manifest import read_directions, write_directions
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
SIDE_EFFECTS = {"skin-tone": ("smile", "glasses"), "beard": ("gender",)}
"""A direction, and those whose attributes it takes along: so much of them is taken out."""
ASIDE = 2.0
"""Units either way at which that is measured: glasses fade between one and two units of lighter skin."""
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
    parser.add_argument("--known", type=Path, help="a file of directions: none is fitted")
    parser.add_argument("--to", type=Path, required=True)
    args = parser.parse_args()

    backbone, judge = load_backbone(args.backbone), load_judge(args.judge)
    generator = torch.Generator().manual_seed(2024)
    if args.known:
        directions = [edit for edit in read_directions(args.known).values() if isinstance(edit, Direction)]
        if any(direction.backbone_sha256 != backbone.sha256 for direction in directions):
            parser.error(f"{args.known} has directions of another generator than {backbone.name}: --backbone")
        provenance = read_checkpoint(args.known).provenance
        ws = sampled(backbone, args.samples, generator)
    else:
        vectors = fitted_vectors(backbone, args.method, args.steps, generator)
        provenance = {"script": "scripts/fit_directions.py", "method": args.method, "samples": args.samples}
        if args.method == "pictures":
            provenance["steps"] = args.steps
        ws = sampled(backbone, args.samples, generator)
        directions = list(with_units(backbone, judge, vectors, ws))
    write_directions(args.to, without_side_effects(backbone, judge, directions, ws), provenance=provenance)


@torch.no_grad()
def sampled(backbone: Backbone, count: int, generator: torch.Generator) -> Tensor:
    """Codes (count, num_ws, w_dim) of random z."""
    return backbone.map(torch.randn(count, backbone.z_dim, generator=generator))


def fitted_vectors(
    backbone: Backbone, method: str, steps: int, generator: torch.Generator
) -> dict[str, Tensor]:
    """A vector (1 or num_ws, w_dim) for each of DIRECTIONS, by one of METHODS."""
    assert backbone.path is not None  # it was loaded from there
    names = read_checkpoint(backbone.path).provenance["attributes"]
    z = draw(backbone, 40_000, generator)
    normals = z[:, : len(names)]  # the first entries of z
    with torch.no_grad():
        codes = torch.cat([backbone.map(part)[:, 0] for part in z.split(2000)])
    index = {name: names.index(attribute) for name, (attribute, _) in DIRECTIONS.items()}
    if method in ("pictures", "response"):
        rows = response(codes, normals)[list(index.values())][:, None]  # (A, 1, w_dim)
        vectors = dict(zip(index, rows, strict=True))
        if method == "pictures":
            fitted = fit_to_pictures(backbone, rows, list(index.values()), steps, generator)
            fitted = fitted / fitted.flatten(1).norm(dim=1)[:, None, None]
            vectors |= {n: v for n, v in zip(index, fitted, strict=True) if n not in AS_REGRESSED}
        return vectors
    vectors = {name: fit_boundary(codes, normals[:, i], share=0.1).normal for name, i in index.items()}
    if method == "svm-orthogonal":
        stacked = torch.stack(list(vectors.values()))
        others = {name: torch.cat([stacked[:k], stacked[k + 1 :]]) for k, name in enumerate(vectors)}
        vectors = {name: project_out(vector, others[name]) for name, vector in vectors.items()}
    return {name: vector[None] for name, vector in vectors.items()}


def with_units(
    backbone: Backbone, judge: Judge, vectors: dict[str, Tensor], ws: Tensor
) -> Iterator[Direction]:
    """Directions of vectors (rows, w_dim), their units measured on codes; one of no effect is left out."""
    for name, vector in vectors.items():
        about = DIRECTIONS[name][1]
        try:
            unit = unit_length(backbone, ws, vector, reader(judge, name))
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


def moves(backbone: Backbone, judge: Judge, names: list[str], ws: Tensor, way: Tensor) -> Tensor:
    """How far a step from codes, less one back, moves mean readings of directions' attributes: (names,)."""
    side, columns = judge.config.resolution, [judge.column(DIRECTIONS[name][0]) for name in names]

    def mean(codes: Tensor) -> Tensor:
        drawn = (backbone.synthesize(part).images for part in codes.split(32))
        return torch.cat([judge.read(to_side(images, side)) for images in drawn]).mean(0)[columns]

    return mean(ws + way) - mean(ws - way)


def reader(judge: Judge, name: str) -> Callable[[Tensor], Tensor]:
    """Pictures (N, 3, R, R) -> the judge's readings (N,) of the attribute that a direction moves."""
    column, side = judge.column(DIRECTIONS[name][0]), judge.config.resolution
    return lambda images: judge.read(to_side(images, side))[:, column]


@torch.no_grad()
def without_side_effects(
    backbone: Backbone, judge: Judge, directions: list[Direction], ws: Tensor
) -> list[Direction]:
    """The directions, those in SIDE_EFFECTS without what moves others' attributes.

    Steps of ASIDE units either way move the mean readings of these attributes by so many steps of their own
    directions, and as many are taken out of each step. Its unit is measured anew.
    """
    found = {direction.name: direction for direction in directions}
    for name, listed in SIDE_EFFECTS.items():
        others = [other for other in listed if other in found]
        if name not in found or not others:
            continue
        step, *own = (found[n].unit * found[n].vector for n in (name, *others))
        taken, *moved = (moves(backbone, judge, others, ws, ASIDE * way) for way in (step, *own))
        shares = torch.linalg.solve(torch.stack(moved, dim=1), taken)
        print(
            f"{name:12} less",
            *(f"{s:.3f} {other}" for s, other in zip(shares, others, strict=True)),
            flush=True,
        )
        rest = step - sum(share * way for share, way in zip(shares, own, strict=True))
        (found[name],) = with_units(backbone, judge, {name: rest / rest.norm()}, ws)
    return list(found.values())


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
