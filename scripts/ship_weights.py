"""Store a checkpoint in half precision, as the packages ship them; or the mean of several of one kind.

    python scripts/ship_weights.py runs/bundle/diverse-inpaint.safetensors \
        plugin_ganinpaint/bundled/portraits-128.safetensors
    python scripts/ship_weights.py runs/a/diverse-inpaint.safetensors runs/b/diverse-inpaint.safetensors OUT

Runs that go on from one start end near each other; the mean of their weights works as a network does.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from torch import Tensor

from ganinv.checkpoints import read_checkpoint, write_checkpoint


def main() -> None:
    """The command."""
    *sources, target = map(Path, sys.argv[1:])
    if not sources:
        sys.exit("ship_weights.py: give one or more checkpoints and where to write")
    found = [read_checkpoint(source) for source in sources]
    first = found[0]
    for source, other in zip(sources, found, strict=True):
        if other.config != first.config or other.tensors.keys() != first.tensors.keys():
            sys.exit(f"ship_weights.py: {source} and {sources[0]} are of different networks: no mean of them")
    provenance = first.provenance
    if len(found) > 1:
        provenance = {"mean_of": [other.provenance for other in found]}
    target.parent.mkdir(parents=True, exist_ok=True)
    write_checkpoint(
        target,
        {name: mean([other.tensors[name] for other in found]) for name in first.tensors},
        kind=first.kind,
        family=first.family,
        config=first.config,
        provenance=provenance,
        dtype=torch.float16,
    )
    print(f"{target}: {target.stat().st_size / 1e6:.1f} MB")


def mean(tensors: list[Tensor]) -> Tensor:
    """Of floats; counts are those of the first."""
    first = tensors[0]
    return torch.stack(tensors).mean(dim=0) if first.is_floating_point() else first


if __name__ == "__main__":
    main()
