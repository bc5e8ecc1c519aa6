"""`--skip-existing` of invert and edit: inputs are left out whose results an earlier run has written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import click

from ganinv.cli.inputs import Job
from ganinv.cli.photos import SIDECAR_SUFFIX, crop_file, face_name
from ganinv.errors import InputError

Results = Callable[[Job], "list[Path] | None"]
"""the files that are written for an input; None where that cannot be told before it is worked on"""
skip_option = click.option(
    "--skip-existing", is_flag=True, help="Leave out pictures whose results are there already."
)


def left_to_do(jobs: Sequence[Job], results: Results) -> list[Job]:
    """The inputs of whose results one or more is missing; tells how many others there are."""
    left = [job for job in jobs if not _are_there(results(job))]
    if len(left) < len(jobs):
        done = len(jobs) - len(left)
        click.echo(f"{done} of {len(jobs)} pictures are done already and left out", err=True)
    return left


def photo_results(
    job: Job, out: Path, which: str, of_face: Callable[[str], list[Path]], of_photo: list[Path]
) -> list[Path] | None:
    """The files of a photo, which `--align` cut faces out of; None where no earlier run told which.

    Args:
        which: `--face`. of_face: the files of a face, by the name of its results. of_photo: of the whole.

    Raises:
        UsageError: another `which`.
    """
    from ganinv.align.faces import check_which
    from ganinv.align.sidecar import Sidecar

    path = out / f"{job.name}{SIDECAR_SUFFIX}"
    number = check_which(which) or 0
    try:
        records = Sidecar.load(path).faces
    except InputError:
        return None
    found = [path, *of_photo]
    for record in records:
        name = face_name(job, record.index, which)
        if record.crop != crop_file(name) or (which != "all" and record.index != number):
            return None  # of another --face
        found += of_face(name)
    return found


def _are_there(paths: Sequence[Path] | None) -> bool:
    return bool(paths) and all(path.is_file() for path in paths or ())
