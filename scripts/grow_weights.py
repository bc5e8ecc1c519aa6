"""Weights and directions of a generator, for one that came from it by more training (train_portraits.py).

    python scripts/grow_weights.py portraits-128 runs/p256/portraits-256.safetensors --to FOLDER

Both generators answer codes much alike up to the layers that were added, if any; these get the code, and the
shift, of the last one before. Networks go on looking at pictures of the smaller size.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from ganinv.backbones import DEFAULT
from ganinv.backbones.base import Backbone
from ganinv.backbones.loading import find_model, load_backbone
from ganinv.checkpoints import read_checkpoint, write_checkpoint
from ganinv.editing.edits import Direction
from ganinv.editing.manifest import read_directions, write_directions
from ganinv.encoders.pyramid import style_groups
from ganinv.inversion import backbone_record
from ganinv.sampling import sample_z
from plugin_ganinpaint.weights import KIND

MOVED = 0.2
"""Largest movement of codes, in units of their spread, of a mapping that learnt on."""


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("small", help="name or file of the smaller generator")
    parser.add_argument("large", type=Path, help="file of the one that came from it")
    parser.add_argument("--weights", default=DEFAULT, help="diverse-inpaint weights of the smaller one")
    parser.add_argument("--directions", default=DEFAULT, help="directions of the smaller one")
    parser.add_argument("--to", type=Path, required=True, help="folder for both files")
    parser.add_argument(
        "--moved",
        type=float,
        default=MOVED,
        help="how far codes may have moved, in units of their spread; %(default)s: as a mapping does that "
        "learnt on; one that was taught (portraits_mapping.py) moves further",
    )
    args = parser.parse_args()
    small, large = load_backbone(args.small), load_backbone(args.large)
    z = sample_z(0, 64, small.z_dim)
    if large.z_dim != small.z_dim or not alike(small.map(z), large.map(z)[:, : small.num_ws], args.moved):
        parser.error(
            f"{args.large} was not grown from {args.small}: they map z to other codes, "
            f"further apart than --moved {args.moved:g}"
        )
    args.to.mkdir(parents=True, exist_ok=True)
    grow_weights(
        find_model(args.weights, KIND), small, large, args.to / f"{large.name}-diverse-inpaint.safetensors"
    )
    directions = read_directions(find_model(args.directions, "directions"))
    write_directions(
        args.to / f"{large.name}-directions.safetensors",
        [with_rows(edit, large) for edit in directions.values() if isinstance(edit, Direction)],
        provenance={"script": "scripts/grow_weights.py", "from": small.sha256},
    )


def alike(codes: Tensor, others: Tensor, moved: float = MOVED) -> bool:
    """Whether codes [N, ...] moved by less than this share of their spread; those of two mappings that have
    nothing to do with one another differ by 1.4.
    """
    return codes.shape == others.shape and bool(
        (others - codes).norm() < moved * (codes - codes.mean(0)).norm()
    )


def grow_weights(path: Path, small: Backbone, large: Backbone, to: Path) -> None:
    """diverse-inpaint weights of one generator, for the other; without the skip encoder where the other's
    features are wider than those it was made for: stage 2 then begins with a fresh one.
    """
    found, extra = read_checkpoint(path, kind=KIND), large.num_ws - small.num_ws
    networks = dict(found.config["networks"], resolution=large.resolution, num_ws=large.num_ws)
    channels = {side: large.feature_channels[int(side)] for side in networks["feature_channels"]}
    fits = channels == networks["feature_channels"]
    fine = max(key.split(".")[3] for key in found.tensors if key.startswith("encoder.body.styles."))
    tensors = {}
    for key, tensor in found.tensors.items():
        if key.startswith("skip.") and not fits:
            continue
        if key.startswith(f"encoder.body.styles.{fine}."):  # the heads of the last styles, in a row
            tensor = repeated(tensor, len(style_groups(small.num_ws)[2]), extra)
        elif key.startswith("mixing.") and key not in ("mixing.w_avg", "mixing.basis"):
            tensor = repeated(tensor, small.num_ws, extra)
        tensors[key] = tensor
    write_checkpoint(
        to,
        tensors,
        kind=found.kind,
        family=found.family,
        config={
            **found.config,
            "networks": dict(networks, feature_channels=channels),
            "backbone": backbone_record(large),
            "stage": found.config["stage"] if fits else 1,
        },
        provenance={"script": "scripts/grow_weights.py", "from": found.provenance},
    )


def repeated(tensor: Tensor, parts: int, extra: int) -> Tensor:
    """The last of `parts` equal parts along the first axis `extra` times more."""
    rows = tensor.unflatten(0, (parts, -1))
    return torch.cat([rows, rows[-1:].expand(extra, *rows.shape[1:])]).flatten(0, 1)


def with_rows(direction: Direction, large: Backbone) -> Direction:
    """A direction with a row for each layer of the larger generator."""
    vector = direction.vector
    if len(vector) > 1:
        vector = torch.cat([vector, vector[-1:].expand(large.num_ws - len(vector), -1)])
    length = float(vector.norm())  # is to be 1, so that the unit is a length
    return replace(
        direction, vector=vector / length, unit=direction.unit * length, backbone_sha256=large.sha256
    )


if __name__ == "__main__":
    main()
