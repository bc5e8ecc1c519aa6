"""The door for weight, direction and inversion files. It reads data and never runs code from a file."""

from ganinv.checkpoints.door import FileContents, Part, open_file, read_checkpoint
from ganinv.checkpoints.store import Checkpoint, sha256_file, write_checkpoint
from ganinv.checkpoints.weights import load_weights

__all__ = [
    "Checkpoint",
    "FileContents",
    "Part",
    "load_weights",
    "open_file",
    "read_checkpoint",
    "sha256_file",
    "write_checkpoint",
]
