"""Store a trained checkpoint in half precision, as the packages ship them.

    python scripts/ship_weights.py runs/bundle/diverse-inpaint.safetensors \
        plugin_ganinpaint/bundled/portraits-64.safetensors
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from ganinv.checkpoints import read_checkpoint, write_checkpoint


def main() -> None:
    source, target = map(Path, sys.argv[1:])
    found = read_checkpoint(source)
    target.parent.mkdir(parents=True, exist_ok=True)
    write_checkpoint(
        target,
        found.tensors,
        kind=found.kind,
        family=found.family,
        config=found.config,
        provenance=found.provenance,
        dtype=torch.float16,
    )
    print(f"{target}: {target.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
