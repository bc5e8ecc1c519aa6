"""`ganinv edit`: saved inversions, or pictures, moved along directions and drawn again as whole pictures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import click

from ganinv.cli.editor import Editor, EditSettings
from ganinv.cli.existing import left_to_do, photo_results, skip_option
from ganinv.cli.faces import FaceSettings, photo_option, photo_options
from ganinv.cli.inputs import INVERSION_SUFFIX, PICTURE_SUFFIXES, Job, expand_inputs, refuse_overwriting
from ganinv.cli.options import (
    MACHINE,
    Finite,
    json_option,
    machine_options,
    out_option,
    settings_of,
    taken,
    tones_option,
)
from ganinv.cli.photos import PhotoSettings
from ganinv.cli.pictures import PictureSettings, mask_source, picture_options
from ganinv.cli.run import Report, run_jobs
from ganinv.errors import CheckpointError, UsageError

_LONGEST_STRIP = 99


@click.command("edit", short_help="Move inversions or pictures along directions (age, smile, ...).")
@click.argument("inputs", nargs=-1, required=True)
@click.option(
    "--direction",
    "directions",
    multiple=True,
    required=True,
    help="A name of 'ganinv directions list'; FILE or FILE:COMPONENT; sefa:K; style:LAYER:CHANNEL. All "
    "but the last may end in :FIRST-LAST, the layers to change.",
)
@click.option(
    "--strength", "strengths", multiple=True, type=Finite(), help="The n-th goes with the n-th --direction."
)
@click.option("--strip", metavar="FROM:TO:STEPS", help="Also strips over strengths, like -3:3:7.")
@click.option("--sample", type=click.IntRange(min=0), help="Only this sample (0 is the first).")
@click.option("--keep-known", is_flag=True, help="Paste the known pixels back.")
@click.option(
    "--feather", type=click.IntRange(min=0), default=0, show_default=True, help="For --keep-known, in pixels."
)
@tones_option
@click.option(
    "--backbone", help="Name or file; default: the inversion's own; for pictures as in 'ganinv invert'."
)
@machine_options
@picture_options
@photo_options
@click.option(
    "--change-only",
    is_flag=True,
    help="For --paste-back: add what the edit changed, not how far the generator is from the photo.",
)
@skip_option
@photo_option("For --paste-back of saved inversions: the photo, or its folder; default: where it was.")
@out_option
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    inputs: tuple[str, ...],
    directions: tuple[str, ...],
    strengths: tuple[float, ...],
    strip: str | None,
    sample: int | None,
    keep_known: bool,
    feather: int,
    tones: bool,
    backbone: str | None,
    out: Path,
    as_json: bool,
    align: bool,
    paste_back: bool,
    blend: Any,
    change_only: bool,
    skip_existing: bool,
    photo: Path | None,
    **asked: Any,
) -> None:
    """Edit INPUTS: files NAME.inversion.safetensors, or pictures, which are inverted first.

    Writes NAME-00-edit.png for each sample, and NAME-00-strip.png with --strip: one row a direction, which
    holds the other directions at their --strength. With --strip alone no --strength is needed.

    With --paste-back, NAME-00-edit-photo.png is the photo with the edited face in its place: of photos with
    --align, and of inversions that 'ganinv invert --align' made.
    """
    span = parse_strip(strip)
    if len(strengths) != len(directions) and (strengths or span is None):
        raise UsageError(
            f"{len(directions)} --direction and {len(strengths)} --strength were given: "
            "type one --strength for each --direction"
        )
    if feather and not keep_known:
        raise UsageError("--feather blends the known pixels that --keep-known pastes back: type both")
    if not (tones or keep_known):
        raise UsageError("--no-tones is for the known pixels that --keep-known pastes back: type both")
    if change_only and not paste_back:
        raise UsageError("--change-only says what --paste-back pastes: type both")
    settings = EditSettings(directions, strengths, span, sample, keep_known, feather, tones, change_only)
    photos = PhotoSettings(align, paste_back, blend, settings_of(FaceSettings, asked))
    running = taken(MACHINE, asked)
    pictures = PictureSettings(**asked)
    jobs = expand_inputs(inputs, [[INVERSION_SUFFIX], PICTURE_SUFFIXES], out)
    made_before = all(job.path.name.endswith(INVERSION_SUFFIX) for job in jobs)
    photos.check(made_before=made_before)
    _refuse_overwriting(jobs, out, pictures, sample)
    options = {"directions": list(directions), "strengths": list(strengths), "strip": strip, "sample": sample}
    options |= {"keep_known": keep_known, "feather": feather, "tones": tones, "backbone": backbone}
    options["out"] = str(out)
    options |= {**running, **pictures.to_json()}
    options |= {**photos.to_json(), "change_only": change_only} if align or paste_back else {}
    if skip_existing:
        jobs = left_to_do(jobs, lambda job: _results(job, out, settings, pictures, photos))
    report = Report(as_json, [job.path for job in jobs], options)
    if made_before:
        _note_unused(ctx, report)
    editor = Editor(settings, pictures, backbone, running, report, out, photos, photo)
    run_jobs(jobs, editor.read, editor.run, report)
    report.finish(ctx)


def _results(
    job: Job, out: Path, settings: EditSettings, pictures: PictureSettings, photos: PhotoSettings
) -> list[Path] | None:
    """The files of one input, for --skip-existing; None for an inversion that cannot be read."""
    from ganinv.api import Inversion

    saved = job.path.name.endswith(".safetensors")
    try:
        count, samples = Inversion.counts(job.path) if saved else (1, pictures.samples)
    except CheckpointError:
        return None

    def files(name: str, kinds: Sequence[str]) -> list[Path]:
        names = settings.sample_names(name, count, samples if settings.sample is None else 1)
        return [out / f"{stem}-{kind}.png" for stem in names for kind in kinds]

    if saved or not photos.align:
        return files(job.name, settings.kinds(photos=photos.paste_back))
    pasted = files(job.name, ["edit-photo"]) if photos.paste_back and settings.strengths else []
    kinds = settings.kinds(photos=False)
    return photo_results(job, out, photos.faces.face, lambda name: files(name, kinds), pasted)


def _refuse_overwriting(
    jobs: Sequence[Job], out: Path, pictures: PictureSettings, sample: int | None
) -> None:
    _, mask_file = mask_source(pictures.mask)
    count = pictures.samples if sample is None else sample + 1
    ends = [f"-{index:02d}-{kind}.png" for index in range(count) for kind in ("edit", "strip", "edit-photo")]
    planned = [out / (job.name + end) for job in jobs for end in ends]
    refuse_overwriting([job.path for job in jobs] + ([mask_file] if mask_file else []), planned)


def _note_unused(ctx: click.Context, report: Report) -> None:
    """Tells which options of pictures were typed, where there are none."""
    typed = click.core.ParameterSource.COMMANDLINE
    names = [field.name for field in fields(PictureSettings) if ctx.get_parameter_source(field.name) == typed]
    if names:
        flags = {parameter.name: parameter.opts[0] for parameter in ctx.command.params}
        told = ", ".join(flags[name] for name in names)
        report.note(f"Note: {told}: only for pictures; a file of 'ganinv invert' holds its own answer")


def parse_strip(text: str | None) -> tuple[float, float, int] | None:
    """(from, to, steps) of "FROM:TO:STEPS". Raises UsageError."""
    if text is None:
        return None
    try:
        first, last, steps = text.split(":")
        span = float(first), float(last), int(steps)
    except ValueError:
        raise UsageError(f"--strip {text!r} is not FROM:TO:STEPS; type for example --strip -3:3:7") from None
    if not (math.isfinite(span[0]) and math.isfinite(span[1])) or not 2 <= span[2] <= _LONGEST_STRIP:
        raise UsageError(
            f"--strip {text!r} needs two finite strengths and 2 to {_LONGEST_STRIP} steps, like -3:3:7"
        )
    return span
