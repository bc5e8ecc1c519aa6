"""`ganinv align`: faces of photos found, cut out and set upright, each photo with a record of how."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ganinv.cli import shares
from ganinv.cli.faces import FaceSettings, check_photo_mask, face_options, mask_request, open_detector
from ganinv.cli.folder import FolderReport, Outcome, default_workers, run_folder, shown
from ganinv.cli.inputs import PICTURE_SUFFIXES, Job, expand_inputs, refuse_overwriting
from ganinv.cli.options import json_option, mask_polarity_option, seed_option
from ganinv.cli.pictures import mask_source
from ganinv.errors import InputError, UsageError

if TYPE_CHECKING:
    from ganinv.align.geometry import Preset

REPORT = "align-report"


@dataclass(frozen=True)
class AlignSettings:
    """What is done to each photo; picklable, as worker processes take it."""

    faces: FaceSettings
    size: int | None
    mask: str | None
    mask_polarity: str
    seed: int
    skip_existing: bool
    out: Path

    @property
    def preset(self) -> Preset:
        """As asked for; FFHQ's where nothing was."""
        from ganinv.align.geometry import preset

        return preset(self.faces.preset or "ffhq", self.size)


@click.command("align", short_help="Find faces in photos and cut them out upright.")
@click.argument("photos", nargs=-1, required=True)
@face_options
@click.option("--size", type=int, help="Side of the crops in pixels; default: the preset's.")
@click.option(
    "--mask",
    metavar="MASK",
    help="What to erase, in the photo: a mask file (white = erased), a folder with one of each photo's name, "
    "alpha, box:x,y,w,h, part:eyes|mouth|nose|lower-face|upper-face, or a shape of the crop by name.",
)
@mask_polarity_option
@seed_option("Of a free-form mask.")
@click.option("--list", "listing", is_flag=True, help="Only tell every face with its box and score.")
@click.option("--skip-existing", is_flag=True, help="Leave out photos whose crops are there already.")
@click.option("--workers", type=click.IntRange(min=1), help="Processes; default: one a core for folders.")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), help="Folder for the results.")
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    photos: tuple[str, ...],
    size: int | None,
    mask: str | None,
    mask_polarity: str,
    seed: int,
    listing: bool,
    skip_existing: bool,
    workers: int | None,
    out: Path | None,
    as_json: bool,
    **asked: Any,
) -> None:
    """Cut the faces of PHOTOS (files, folders or globs) out, upright, as FFHQ was prepared.

    For each photo NAME, writes NAME.png (with --face all NAME-0.png, ..., the largest face first),
    NAME-mask.png where there is a mask (white = erased), and NAME.align.json, which 'ganinv paste' needs.
    Several photos give OUT/align-report.json, too. Under torchrun or srun each process takes its share.
    """
    faces = FaceSettings(**asked)
    faces.check()
    if listing:
        return _list(ctx, photos, faces, as_json)
    if out is None:
        raise UsageError("type --out FOLDER for the crops, or --list to see the faces only")
    settings = AlignSettings(faces, size, mask, mask_polarity, seed, skip_existing, out)
    check_photo_mask(mask)
    everything = expand_inputs(photos, [PICTURE_SUFFIXES], out)
    _refuse_overwriting(everything, settings)
    share = shares.my_share()
    jobs = share.of(everything)
    options = {
        **faces.to_json(),
        "preset": vars(settings.preset),
        "mask": mask,
        "mask_polarity": mask_polarity,
    }
    options |= {"seed": seed, "skip_existing": skip_existing, "out": str(out)}
    report = FolderReport(as_json, [job.path for job in jobs], options)
    many = len(everything) > 1
    if many:
        shares.begin(share, out, REPORT)
    if share.count > 1:
        report.note(f"process {share.rank} of {share.count}: {len(jobs)} of {len(everything)} photos")
    if jobs:
        open_detector(faces)  # what is not installed is told once, before any work
        several = workers or default_workers(len(jobs), share.count)
        run_folder(jobs, partial(align_one, settings), report, several)
    if many and shares.finish(share, out, REPORT, report.to_json()) is None:
        report.note(f"this share is done; the last process to end writes {out / REPORT}.json")
    report.finish(ctx)


def align_one(settings: AlignSettings, job: Job) -> Outcome:
    """Aligns one photo and writes its files, the sidecar last.

    Raises what `align_photo` raises, and OutputError.
    """
    import numpy as np

    from ganinv.align.photo import align_photo, with_crops
    from ganinv.align.sidecar import SUFFIX
    from ganinv.images import write_png

    sidecar_path = settings.out / f"{job.name}{SUFFIX}"
    if settings.skip_existing and _is_done(sidecar_path, settings):
        return Outcome(skipped=True)
    request = mask_request(settings.mask, job, settings.mask_polarity, settings.seed)
    detector = open_detector(settings.faces)
    aligned = align_photo(job.path, detector, settings.preset, settings.faces.face, request)
    written, names = [], []
    stem = settings.out / job.name
    for face in aligned.faces:
        end = f"-{face.record.index}" if settings.faces.face == "all" else ""
        crop = stem.with_name(f"{stem.name}{end}.png")
        written.append(write_png(crop, face.crop))
        names.append(crop.name)
        if settings.mask is not None:
            levels = np.where(face.crop_hole, np.uint8(255), np.uint8(0))
            written.append(write_png(stem.with_name(f"{stem.name}{end}-mask.png"), levels))
    written.append(with_crops(aligned.sidecar, names).save(sidecar_path))
    return Outcome([*written[1:], written[0]], list(aligned.notes))


def _is_done(path: Path, settings: AlignSettings) -> bool:
    """Whether a sidecar tells of these crops, and they are there."""
    from ganinv.align.sidecar import Sidecar

    if not path.is_file():
        return False
    try:
        found = Sidecar.load(path)
    except InputError:
        return False
    there = all(record.crop and (path.parent / record.crop).is_file() for record in found.faces)
    masked = (found.mask is None) == (settings.mask is None)
    return there and masked and found.preset == settings.preset and bool(found.faces)


def _refuse_overwriting(jobs: list[Job], settings: AlignSettings) -> None:
    ends = [".png", "-mask.png", *(f"-{index}.png" for index in range(10))]
    planned = [settings.out / f"{job.name}{end}" for job in jobs for end in ends]
    file = None if settings.mask is None else mask_source(settings.mask)[1]
    refuse_overwriting([job.path for job in jobs] + ([file] if file else []), planned)


def _list(ctx: click.Context, photos: tuple[str, ...], faces: FaceSettings, as_json: bool) -> None:
    """Tells the faces of each photo, on stdout."""
    jobs = expand_inputs(photos, [PICTURE_SUFFIXES], Path("."), leave_out=False)
    report = FolderReport(as_json, [job.path for job in jobs], faces.to_json())
    open_detector(faces)
    found: dict[str, list[dict[str, Any]]] = {}
    run_folder(jobs, partial(_list_one, faces, found, not as_json), report, 1)
    if as_json:
        click.echo(json.dumps({**report.to_json(), "faces": found}, indent=2))
        report.as_json = False
    report.finish(ctx)


def _list_one(faces: FaceSettings, found: dict[str, list[dict[str, Any]]], aloud: bool, job: Job) -> Outcome:
    from ganinv.align.photo import find_faces

    picture, several = find_faces(job.path, open_detector(faces), thorough=True)
    rows: list[dict[str, Any]] = []
    for index, face in enumerate(several):
        score = None if face.score is None else round(face.score, 3)
        box = [round(value, 1) for value in face.box]
        rows.append({"face": index, "box": box, "score": score, "square": round(face.size, 1)})
    found[str(job.path)] = rows
    if aloud:
        height, width = picture.pixels.shape[:2]
        click.echo(f"{shown(job.path)}: {width} x {height}, {len(rows) or 'no'} face{'s' * (len(rows) != 1)}")
        for row in rows:
            left, top, wide, tall = (round(value) for value in row["box"])
            surely = "given" if row["score"] is None else f"score {row['score']:.2f}"
            square = f"square of {row['square']:.0f} px"
            click.echo(f"    {row['face']}  box {left},{top},{wide},{tall}  {surely}  {square}")
    return Outcome(notes=list(picture.notes))
