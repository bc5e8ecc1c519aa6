"""Files, folders and globs on the command line, as the inputs of a run."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ganinv.errors import UsageError

INVERSION_SUFFIX = ".inversion.safetensors"
PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm") + (
    (".heic", ".heif", ".avif")  # where no decoder is installed, a folder of photos tells of those
)


@dataclass(frozen=True)
class Job:
    """One input, and the name of its results: its stem, below the subfolders of its folder or glob."""

    path: Path
    name: str


def expand_inputs(
    patterns: Sequence[str], kinds: Sequence[Sequence[str]], out: Path, *, leave_out: bool = True
) -> list[Job]:
    """The inputs that files, folders and globs stand for, in a fixed order.

    Args:
        patterns: as typed. A file is taken whatever its suffix; an absent one is told in the run.
        kinds: groups of suffixes; a folder or glob gives its files of the first group it has any of.
        out: the folder of the results; a folder input leaves it out where `leave_out`.

    A folder that cannot be read is a job too, which fails when it is read.

    Raises:
        UsageError: a folder or glob without inputs, or two inputs whose results would have one name.
    """
    jobs: list[Job] = []
    for pattern in patterns:
        path = Path(pattern)
        if path.is_dir():
            if leave_out and out.resolve() == path.resolve():
                raise UsageError(
                    f"--out {out} is the input folder itself: choose another folder for the results"
                )
            jobs += _of_kind(pattern, path, _below(path, out if leave_out else None), kinds)
        elif not path.exists() and glob.has_magic(pattern):
            root = Path(*_until_magic(path))
            found = (Path(p) for p in sorted(glob.glob(pattern, recursive=True)))
            jobs += _of_kind(pattern, root, (p for p in found if p.is_file()), kinds)
        else:
            jobs.append(Job(path, result_name(path.name)))
    _refuse_collisions(jobs)
    return jobs


def result_name(file_name: str) -> str:
    """The stem: the file's name without its suffix, or without the whole `.inversion.safetensors`."""
    if file_name.endswith(INVERSION_SUFFIX):
        return file_name.removesuffix(INVERSION_SUFFIX)
    return Path(file_name).stem


def _below(folder: Path, out: Path | None) -> Iterator[Path]:
    """The files below a folder that are neither hidden nor results, sorted; folders that cannot be read."""
    results = None if out is None else out.resolve()
    unreadable: list[Path] = []
    found: list[Path] = []
    for place, folders, names in os.walk(folder, onerror=lambda e: unreadable.append(Path(e.filename))):
        folders[:] = [name for name in folders if not name.startswith(".")]
        if results is None or results not in (Path(place).resolve(), *Path(place).resolve().parents):
            found += [Path(place, name) for name in names if not name.startswith(".")]
    yield from sorted([path for path in found if path.is_file()] + unreadable)


def _until_magic(path: Path) -> Iterator[str]:
    for part in path.parts:
        if glob.has_magic(part):
            return
        yield part


def _of_kind(pattern: str, root: Path, found: Iterable[Path], kinds: Sequence[Sequence[str]]) -> list[Job]:
    files = list(found)
    for suffixes in kinds:
        fitting = [path for path in files if path.name.lower().endswith(tuple(suffixes)) or path.is_dir()]
        if fitting:
            places = [path.relative_to(root).parent for path in fitting]
            pairs = zip(fitting, places, strict=True)
            return [Job(path, (place / result_name(path.name)).as_posix()) for path, place in pairs]
    wanted = ", ".join("*" + suffix for suffixes in kinds for suffix in suffixes)
    raise UsageError(f"{pattern} holds no input; looked for {wanted}")


def _refuse_collisions(jobs: Sequence[Job]) -> None:
    first: dict[str, Job] = {}
    for job in jobs:
        other = first.setdefault(job.name, job)
        if other is not job:
            raise UsageError(
                f"{other.path} and {job.path} would both be written as {job.name}-*: "
                "rename one, or run them apart"
            )


def refuse_overwriting(inputs: Iterable[Path], outputs: Iterable[Path]) -> None:
    """Raises UsageError where a result would be written over one of the files it is made from."""
    planned = {path.resolve() for path in outputs}
    for path in inputs:
        if path.resolve() in planned:
            raise UsageError(f"a result would be written over the input {path}: choose another --out folder")
