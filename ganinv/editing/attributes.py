"""Labelled codes for fitting directions: a CSV with a row for each code and a column for each attribute."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from ganinv.backbones.base import Backbone
from ganinv.errors import InputError, UsageError
from ganinv.files import write_bytes
from ganinv.images import to_uint8, write_png
from ganinv.inversion import Inversion, check_backbone
from ganinv.methods.latents import random_codes
from ganinv.sampling import normal

LISTING = "samples.csv"
MOST = 1_000_000  # file names have six digits
_LARGEST_SEED = 2**53  # spreadsheets keep whole numbers up to here
_KEYS = ("seed", "inversion")
_AT_ONCE = 8


class LabelledCodes(NamedTuple):
    """Codes whose attributes are known.

    codes: [N, w_dim]. attributes: name -> [N], NaN where a cell is empty. left_out: name -> why its column is
    no attribute.
    """

    codes: Tensor
    attributes: Mapping[str, Tensor]
    left_out: Mapping[str, str]


@torch.no_grad()
def codes_of_seeds(backbone: Backbone, seeds: Sequence[int]) -> Tensor:
    """W+ codes [N, num_ws, w_dim] on the CPU of the samples with these seeds: those of `write_samples`."""
    parts = [seeds[start : start + 256] for start in range(0, len(seeds), 256)]
    z = (torch.stack([normal(seed, backbone.z_dim) for seed in part]) for part in parts)
    return torch.cat([random_codes(backbone, part).cpu() for part in z])


@torch.no_grad()
def write_samples(folder: str | Path, backbone: Backbone, count: int, seed: int) -> Iterator[Path]:
    """Draws samples of a generator to be labelled: 000000.png, ... and samples.csv with `file` and `seed`.

    Picture k is that of the seed `seed + k`. Yields each file's path once it is whole; the listing is last.

    Raises:
        UsageError: count or seed out of range. OutputError: a file cannot be written.
    """
    if not 1 <= count <= MOST:
        raise UsageError(f"--count {count}: give 1 to {MOST}")
    if not 0 <= seed < _LARGEST_SEED - count:
        raise UsageError(f"--seed {seed}: give a whole number from 0 to {_LARGEST_SEED - count - 1}")
    lines = ["file,seed"]
    for start in range(0, count, _AT_ONCE):
        seeds = range(seed + start, seed + min(start + _AT_ONCE, count))
        codes = codes_of_seeds(backbone, seeds).to(backbone.w_avg.device)
        for own, pixels in zip(seeds, to_uint8(backbone.synthesize(codes).images), strict=True):
            name = f"{own - seed:06d}.png"
            lines.append(f"{name},{own}")
            yield write_png(Path(folder) / name, pixels)
    yield write_bytes(Path(folder) / LISTING, ("\n".join(lines) + "\n").encode())


def read_attributes(path: str | Path, backbone: Backbone) -> LabelledCodes:
    """Codes and attributes of a CSV.

    One column says which code a row is about: `seed`, of a sample of `write_samples`, or `inversion`, a file
    of `ganinv invert` relative to the CSV, of whose code the mean over the layers is taken (that of the
    first picture's first sample, or of the sample in a column `sample`). Column `file` is left alone. Every
    other column of numbers is an attribute.

    Raises:
        InputError: no such file, or no table; a cell that names no code; the text names its line.
        UsageError: no column, or both, for the codes; no attribute.
        CheckpointError, BackboneMismatchError: an inversion that cannot be used.
    """
    path = Path(path)
    columns = _columns(path)
    keys = [key for key in _KEYS if key in columns]
    if len(keys) != 1:
        problem = "both a column seed and a column inversion" if keys else "no column seed or inversion"
        raise UsageError(
            f"{path} has {problem}; one must say which code each row is about: {', '.join(columns)}"
        )
    attributes: dict[str, Tensor] = {}
    left_out: dict[str, str] = {}
    for name in (name for name in columns if name not in ("file", "sample", keys[0])):
        try:
            attributes[name] = torch.tensor([_number(cell, name, line, path) for line, cell in columns[name]])
        except InputError as cause:
            left_out[name] = cause.message
    if not attributes:
        raise UsageError(f"{path} has no column of numbers besides {keys[0]}: {', '.join(columns)}")
    if keys[0] == "seed":
        seeds = [_whole(cell, "seed", line, path) for line, cell in columns["seed"]]
        return LabelledCodes(codes_of_seeds(backbone, seeds)[:, 0], attributes, left_out)
    samples = columns.get("sample", [(line, "0") for line, _ in columns["inversion"]])
    codes = [
        _code_of(path.parent / cell.strip(), _whole(sample, "sample", line, path), backbone)
        for (line, cell), (_, sample) in zip(columns["inversion"], samples, strict=True)
    ]
    return LabelledCodes(torch.stack(codes), attributes, left_out)


def _columns(path: Path) -> dict[str, list[tuple[int, str]]]:
    """Name -> (line in the file, cell) of every row. Raises InputError."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as cause:
        reason = cause.strerror if isinstance(cause, OSError) else "it is not UTF-8 text"
        raise InputError(f"cannot read {path}: {reason}") from cause
    reader = csv.reader(io.StringIO(text))
    names = [name.strip() for name in next(reader, [])]
    rows = [(reader.line_num, row) for row in reader if any(cell.strip() for cell in row)]
    if len(set(names)) < len(names):
        raise InputError(f"{path} has two columns of one name: {', '.join(names)}")
    for line, row in rows:
        if len(row) != len(names):
            raise InputError(f"{path}, line {line}: {len(row)} cells, and {len(names)} columns")
    if not rows:
        raise InputError(f"{path} has no rows")
    return {name: [(line, row[i]) for line, row in rows] for i, name in enumerate(names)}


def _number(cell: str, name: str, line: int, path: Path) -> float:
    if not cell.strip():
        return math.nan
    try:
        value = float(cell)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise InputError(f"{path}, line {line}: {name} is {cell.strip()[:40]!r}, which is no number")
    return value


def _whole(cell: str, name: str, line: int, path: Path) -> int:
    if not cell.strip().isdecimal() or int(cell) > _LARGEST_SEED:
        raise InputError(
            f"{path}, line {line}: {name} is {cell.strip()[:40]!r}, which is no whole number here"
        )
    return int(cell)


def _code_of(path: Path, sample: int, backbone: Backbone) -> Tensor:
    inversion = Inversion.load(path).sample(sample)
    check_backbone(backbone, inversion.backbone.get("sha256"), str(path))
    return inversion.ws[0, 0].mean(0)
