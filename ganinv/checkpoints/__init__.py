"""The door for weight, direction and inversion files. It reads data and never runs code from a file."""

from ganinv.checkpoints.store import Checkpoint, read_checkpoint, sha256_file, write_checkpoint
from ganinv.checkpoints.weights import load_weights

__all__ = ["Checkpoint", "load_weights", "read_checkpoint", "sha256_file", "write_checkpoint"]
