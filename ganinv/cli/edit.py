"""`ganinv edit`: saved inversions, or pictures, moved along directions and drawn again as whole pictures."""

from __future__ import annotations

import functools
import math
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ganinv.cli.common import (
    INVERSION_SUFFIX,
    PICTURE_SUFFIXES,
    Finite,
    Job,
    Report,
    expand_inputs,
    json_option,
    machine_options,
    out_option,
    refuse_overwriting,
    run_jobs,
)
from ganinv.cli.edit_photos import edit_photo, paste_saved
from ganinv.cli.faces import FaceSettings, photo_options
from ganinv.cli.photos import (
    PhotoSettings,
)
from ganinv.cli.pictures import (
    PictureSettings,
    invert_opened,
    mask_source,
    open_generator,
    open_job,
    open_method,
    picture_options,
    warn_if_foreign,
)
from ganinv.errors import UsageError

if TYPE_CHECKING:
    import numpy as np

    from ganinv.api import Backbone, Edit, Inversion, InversionMethod, OpenedPicture

_LONGEST_STRIP = 99


@dataclass(frozen=True)
class EditSettings:
    """What to do with each inversion.

    strengths: one for each direction, or none where only a strip is asked for. strip: (from, to, steps).
    sample: None means all.
    """

    directions: tuple[str, ...]
    strengths: tuple[float, ...]
    strip: tuple[float, float, int] | None
    sample: int | None
    keep_known: bool
    feather: int
    change_only: bool


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
@click.option(
    "--photo",
    type=click.Path(path_type=Path, exists=True),
    help="For --paste-back of saved inversions: the photo, or its folder; default: where it was.",
)
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
    backbone: str | None,
    device: str,
    precision: str,
    chunk: int | None,
    compiled: bool,
    out: Path,
    as_json: bool,
    align: bool,
    paste_back: bool,
    blend: Any,
    change_only: bool,
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
    if change_only and not paste_back:
        raise UsageError("--change-only says what --paste-back pastes: type both")
    settings = EditSettings(directions, strengths, span, sample, keep_known, feather, change_only)
    faces = FaceSettings(**{field.name: asked.pop(field.name) for field in fields(FaceSettings)})
    photos = PhotoSettings(align, paste_back, blend, faces)
    pictures = PictureSettings(**asked)
    jobs = expand_inputs(inputs, [[INVERSION_SUFFIX], PICTURE_SUFFIXES], out)
    photos.check(made_before=all(job.path.name.endswith(INVERSION_SUFFIX) for job in jobs))
    _, mask_file = mask_source(pictures.mask)
    count = pictures.samples if sample is None else sample + 1
    ends = [f"-{index:02d}-{kind}.png" for index in range(count) for kind in ("edit", "strip", "edit-photo")]
    planned = [out / (job.name + end) for job in jobs for end in ends]
    refuse_overwriting([job.path for job in jobs] + ([mask_file] if mask_file else []), planned)
    options = {"directions": list(directions), "strengths": list(strengths), "strip": strip, "sample": sample}
    options |= {"keep_known": keep_known, "feather": feather, "backbone": backbone, "out": str(out)}
    running = {"device": device, "precision": precision, "chunk": chunk, "compiled": compiled}
    options |= {**running, **pictures.to_json()}
    options |= {**photos.to_json(), "change_only": change_only} if align or paste_back else {}
    report = Report(as_json, [job.path for job in jobs], options)
    if all(job.path.name.endswith(INVERSION_SUFFIX) for job in jobs):
        _note_unused(ctx, report)
    editor = Editor(settings, pictures, backbone, running, report, out, photos, photo)
    run_jobs(jobs, editor.read, editor.run, report)
    report.finish(ctx)


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


class Editor:
    """Edits one input after the other; backbones and methods are opened once."""

    def __init__(
        self,
        settings: EditSettings,
        pictures: PictureSettings,
        backbone: str | None,
        running: Mapping[str, Any],
        report: Report,
        out: Path,
        photos: PhotoSettings,
        photo: Path | None,
    ) -> None:
        self.settings, self.pictures, self.report, self.out = settings, pictures, report, out
        self.photos, self.photo = photos, photo
        self.backbone, self.running = backbone, running
        self.opening = threading.RLock()  # inputs are read in another thread, which must not open twice
        self.opened = functools.cache(self._open)
        self.methods = functools.cache(self._method)
        self.edits = functools.cache(self._edits)
        if backbone is not None:
            self.open(backbone)  # a wrong name or file is told once, before any work

    def open(self, name: str) -> Backbone:
        """The backbone of that name or file, opened once."""
        with self.opening:
            return self.opened(name)

    def method(self) -> InversionMethod:
        """The method that inverts pictures, opened once."""
        with self.opening:
            return self.methods()

    def read(self, job: Job) -> Inversion | OpenedPicture | None:
        """What the input file holds; photos are opened in their turn."""
        from ganinv.api import Inversion

        if job.path.name.endswith(".safetensors"):
            return Inversion.load(job.path)
        return None if self.photos.align else open_job(job, self.method(), self.pictures)

    def run(self, job: Job, found: Inversion | OpenedPicture | None) -> Callable[[], list[Path]]:
        """Edits one inversion, picture or photo; what it returns writes the files and gives their paths."""
        if found is None:
            written = edit_photo(self, job)
            return lambda: written
        inversion, backbone = self._inversion(job, found)
        drawn = self.edit(job, inversion, backbone)
        if not self.photos.paste_back:
            return lambda: write_all(drawn)
        written = write_all(drawn) + paste_saved(self, job, inversion, backbone)
        return lambda: written

    def edit(self, job: Job, inversion: Inversion, backbone: Backbone) -> dict[Path, np.ndarray]:
        """The files of an edited inversion and their pixels."""
        if self.settings.sample is not None:
            inversion = inversion.sample(self.settings.sample)
        drawn: dict[Path, np.ndarray] = {}
        if self.settings.strengths:
            edited = self._draw(inversion, backbone, self.chosen(backbone))
            drawn |= self._named_files(job, inversion, "edit", list(edited))
        if self.settings.strip is not None:
            strips = self._strips(inversion, backbone, self.settings.strip)
            drawn |= self._named_files(job, inversion, "strip", strips)
        return drawn

    def _inversion(self, job: Job, found: Inversion | OpenedPicture) -> tuple[Inversion, Backbone]:
        """The inversion that a file holds, with its backbone, or that of a picture."""
        from ganinv.api import Inversion
        from ganinv.cli.machine import backbone_of
        from ganinv.inversion import check_backbone

        if isinstance(found, Inversion):
            backbone = self.open(self.backbone or backbone_of(found, job.path))
            check_backbone(backbone, found.backbone.get("sha256"), str(job.path))
            self.edits(backbone)
            return found, backbone
        method = self.method()
        self.edits(method.backbone)  # a wrong name is told before the picture is inverted
        return self.inverted(job, found), method.backbone

    def inverted(self, job: Job, opened: OpenedPicture, **kept: Any) -> Inversion:
        """The inversion of an opened picture; `kept` goes into its options."""
        method, kept = self.method(), {"precision": self.running["precision"], **kept}
        inversion = invert_opened(method, opened, self.pictures, self.report, **kept)
        warn_if_foreign(method.render(inversion)[0], opened, job, self.report)
        return inversion

    def _open(self, name: str) -> Backbone:
        from ganinv.cli.machine import open_backbone

        return open_backbone(name, **self.running)

    def _method(self) -> InversionMethod:
        if self.backbone:
            return open_method(self.pictures, self.open(self.backbone), self.report)
        generator = open_generator(self.pictures, None, **self.running)
        return open_method(self.pictures, generator, self.report)

    def _edits(self, backbone: Backbone) -> list[Edit]:
        """The directions asked for, in their order; warns of strengths beyond what is safe.

        Raises what `ganinv.api.load_direction` raises.
        """
        from ganinv.api import load_direction

        edits = [load_direction(name, backbone) for name in self.settings.directions]
        ends = list(self.settings.strip[:2]) if self.settings.strip else []
        for index, edit in enumerate(edits):
            beyond = [s for s in (*self.settings.strengths[index : index + 1], *ends) if not edit.is_safe(s)]
            if beyond and edit.safe_range:
                low, high = edit.safe_range
                self.report.note(
                    f"Warning: {edit.name}: strength {max(beyond, key=abs):g} is beyond its safe range, "
                    f"{low:g} to {high:g}"
                )
        return edits

    def chosen(self, backbone: Backbone) -> list[tuple[Edit, float]]:
        """The directions with their strengths; empty where only a strip is asked for."""
        return list(zip(self.edits(backbone), self.settings.strengths, strict=False))

    def _draw(
        self, inversion: Inversion, backbone: Backbone, edits: Sequence[tuple[Edit, float]]
    ) -> np.ndarray:
        """The edited pictures, uint8 (N * K, H, W, 3)."""
        import numpy as np

        from ganinv.api import composite, edit, render, to_uint8
        from ganinv.sizes import middle

        drawn = to_uint8(render(edit(inversion, backbone, edits), backbone).flatten(0, 1))
        rows, columns = middle(drawn.shape[1], inversion.content)
        if not self.settings.keep_known:
            return drawn[:, rows, columns]
        count = inversion.samples
        working = np.repeat(inversion.working.permute(0, 2, 3, 1).cpu().numpy(), count, axis=0)
        hole = np.repeat(inversion.hole[:, 0].bool().cpu().numpy(), count, axis=0)
        return composite(drawn, working, hole, self.settings.feather)[:, rows, columns]

    def _strips(
        self, inversion: Inversion, backbone: Backbone, span: tuple[float, float, int]
    ) -> list[np.ndarray]:
        """A strip for each sample: one row a direction, one column a strength of it.

        The other directions keep their own strength; where none was given they are left out.
        """
        import numpy as np

        from ganinv.images import sheet

        chosen = self.chosen(backbone)
        strengths = np.linspace(span[0], span[1], span[2]).tolist()
        rows = []
        for row, varied in enumerate(self.edits(backbone)):
            before, after = chosen[:row], chosen[row + 1 :]
            rows.append([self._draw(inversion, backbone, [*before, (varied, s), *after]) for s in strengths])
        count = len(rows[0][0])
        return [sheet([[tile[index] for tile in row] for row in rows]) for index in range(count)]

    def _named_files(
        self, job: Job, inversion: Inversion, kind: str, pictures: Sequence[np.ndarray]
    ) -> dict[Path, np.ndarray]:
        """The pictures by NAME-00-KIND.png, ...; with several in one inversion NAME-p00-00-KIND.png, ..."""
        files = {}
        first = self.settings.sample or 0
        for index, pixels in enumerate(pictures):
            picture, sample = divmod(index, inversion.samples)
            prefix = f"{job.name}-p{picture:02d}" if inversion.ws.shape[0] > 1 else job.name
            files[self.out / f"{prefix}-{first + sample:02d}-{kind}.png"] = pixels
        return files


def write_all(files: Mapping[Path, np.ndarray]) -> list[Path]:
    """Writes the pictures; returns their paths."""
    from ganinv.api import write_png

    return [write_png(path, pixels) for path, pixels in files.items()]
