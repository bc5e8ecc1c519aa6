"""`ganinv paste`: changed crops of 'ganinv align' back into the photos they came from."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ganinv.cli.faces import blend_option, photo_option
from ganinv.cli.folder import FolderReport, Outcome, run_folder
from ganinv.cli.inputs import PICTURE_SUFFIXES, Job, expand_inputs, refuse_overwriting, result_name
from ganinv.cli.options import json_option, out_option
from ganinv.errors import InputError, UsageError

if TYPE_CHECKING:
    from ganinv.align.paste import Blend

_SIDECAR = ".align.json"


@dataclass(frozen=True)
class _Pasting:
    """One photo to write: the results to paste, by number of the face, and the sidecar they belong to."""

    sidecar: Path
    results: Mapping[int, Path]


@click.command("paste", short_help="Put changed crops back into their photos.")
@click.argument("results", nargs=-1, required=True)
@click.option(
    "--sidecar",
    "sidecars",
    required=True,
    type=click.Path(path_type=Path, exists=True),
    help="NAME.align.json of 'ganinv align', or a folder of such files.",
)
@photo_option("The photo, or a folder of photos; default: where the sidecar says.")
@blend_option
@out_option
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    results: tuple[str, ...],
    sidecars: Path,
    photo: Path | None,
    blend: Blend,
    out: Path,
    as_json: bool,
) -> None:
    """Paste RESULTS (files, folders or globs), changed crops of any size, into their photos.

    A result belongs to the crop whose name its own begins with: NAME.png, NAME-00.png, NAME-00-edit.png. The
    photo is written as NAME-photo.png, NAME-00-photo.png, ...; results of several faces with the same ending
    go into one photo. Every pixel that was not to change stays what it was, with its metadata.
    """
    jobs = expand_inputs(results, [PICTURE_SUFFIXES], out)
    pastings, strangers = _grouped(jobs, sidecars)
    report = FolderReport(
        as_json,
        [job.path for job in jobs],
        {
            "sidecar": str(sidecars),
            "photo": None if photo is None else str(photo),
            "blend": blend,
            "out": str(out),
        },
    )
    planned = [out / f"{name}.png" for name in pastings]
    refuse_overwriting([job.path for job in jobs] + ([photo] if photo else []), planned)
    report.failures += strangers
    work = partial(_paste, pastings, photo, blend, out)
    run_folder([Job(_first(p), name) for name, p in pastings.items()], work, report, 1)
    report.finish(ctx)


def _grouped(jobs: Sequence[Job], sidecars: Path) -> tuple[dict[str, _Pasting], list[tuple[Path, str]]]:
    """Photos to write by name, and the results that belong to no crop, with the reason.

    Raises:
        UsageError: no sidecar, or two results for one face of one photo. InputError: a damaged sidecar.
    """
    from ganinv.align.sidecar import Sidecar

    if sidecars.is_dir():
        files = sorted(sidecars.rglob(f"*{_SIDECAR}"))
        if not files:
            raise UsageError(f"{sidecars} holds no file *{_SIDECAR} of 'ganinv align'")
    else:
        files = [sidecars]
    crops: dict[str, tuple[Path, str, int]] = {}  # stem of a crop -> sidecar, stem of the photo, face
    for path in files:
        root = sidecars if sidecars.is_dir() else path.parent
        place = path.parent.relative_to(root)
        stem = (place / path.name.removesuffix(_SIDECAR)).as_posix()
        for record in Sidecar.load(path).faces:
            if record.crop is not None:
                name = result_name(record.crop).removesuffix("-input")  # what 'ganinv invert' calls a crop
                crops[(place / name).as_posix()] = (path, stem, record.index)
    pastings: dict[str, _Pasting] = {}
    strangers = []
    for job in jobs:
        owner = _owner(job.name, crops)
        if owner is None:
            several = ", ".join(sorted(crops)[:5]) + (", ..." if len(crops) > 5 else "")
            strangers.append((job.path, f"{job.path} begins with the name of no crop; crops: {several}"))
            continue
        path, stem, index = crops[owner]
        name = f"{stem}{job.name[len(owner) :]}-photo"
        known = pastings.get(name)
        if known is not None and (index in known.results or known.sidecar != path):
            raise UsageError(
                f"{known.results.get(index)} and {job.path} are both for {name}.png; paste them apart"
            )
        pastings[name] = _Pasting(path, {**(known.results if known else {}), index: job.path})
    return pastings, strangers


def _owner(name: str, crops: Mapping[str, Any]) -> str | None:
    """The longest crop's name that `name` begins with, whole or up to a - or _."""
    fitting = [stem for stem in crops if re.match(re.escape(stem) + r"(?:[-_]|$)", name)]
    return max(fitting, key=len, default=None)


def _first(pasting: _Pasting) -> Path:
    return next(iter(pasting.results.values()))


def _paste(
    pastings: Mapping[str, _Pasting], photo: Path | None, blend: Blend, out: Path, job: Job
) -> Outcome:
    """Writes one photo. Raises InputError, OutputError."""
    from ganinv.align.photo import Result, paste_results
    from ganinv.align.sidecar import Sidecar
    from ganinv.images import read_picture, write_photo

    pasting = pastings[job.name]
    sidecar = Sidecar.load(pasting.sidecar)
    path = find_photo(sidecar.photo, sidecar.sha256, photo)
    results = {index: Result(read_picture(file).pixels) for index, file in pasting.results.items()}
    pasted = paste_results(read_picture(path), sidecar, results, blend)
    return Outcome([write_photo(out / f"{job.name}.png", pasted.colours, pasted)])


def find_photo(recorded: Path, sha256: str, given: Path | None) -> Path:
    """The photo of a sidecar: `given` (a file, or a folder that holds its name), or where it was.

    Raises:
        InputError: it is not there, or is another file.
    """
    from ganinv.align.sidecar import photo_digest

    path = recorded if given is None else given / recorded.name if given.is_dir() else given
    if not path.is_file():
        raise InputError(f"the photo {recorded.name} is not at {path}: type --photo with its file or folder")
    if photo_digest(path) != sha256:
        raise InputError(
            f"{path} is not the photo that was aligned (another SHA-256): give that one with --photo"
        )
    return path
