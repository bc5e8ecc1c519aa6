"""`ganinv invert`: several completions of pictures with erased parts, or plain inversion of whole ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from ganinv.cli import shares
from ganinv.cli.existing import left_to_do, photo_results, skip_option
from ganinv.cli.faces import FaceSettings, photo_options
from ganinv.cli.inputs import INVERSION_SUFFIX, PICTURE_SUFFIXES, Job, expand_inputs, refuse_overwriting
from ganinv.cli.options import (
    MACHINE,
    json_option,
    machine_options,
    out_option,
    settings_of,
    taken,
    tones_option,
)
from ganinv.cli.photos import SIDECAR_SUFFIX, PhotoSettings, alignment, open_faces, paste_photos
from ganinv.cli.pictures import (
    PictureSettings,
    backbone_option,
    erased_picture,
    invert_opened,
    mask_source,
    open_generator,
    open_job,
    open_method,
    picture_options,
    warn_if_foreign,
)
from ganinv.cli.run import Report, run_jobs

if TYPE_CHECKING:
    import numpy as np

    from ganinv.api import Inversion, InversionMethod, OpenedPicture

# A 64 px picture is a stamp on today's screens.
_SHEET_TILE = 128
_SHEET_COLUMNS = 8
_OTHER_ENDS = ("-input.png", "-mask.png", INVERSION_SUFFIX, "-sheet.png")
REPORT = "invert-report"
_FEATHER = "Width in pixels of a soft edge inside the hole."


@click.command("invert", short_help="Complete pictures with erased parts, or invert whole ones.")
@click.argument("pictures", nargs=-1, required=True)
@picture_options
@backbone_option
@machine_options
@click.option("--feather", type=click.IntRange(min=0), default=0, show_default=True, help=_FEATHER)
@tones_option
@photo_options
@click.option("--raw", is_flag=True, help="Also write NAME-00-raw.png, ...: all pixels by the generator.")
@skip_option
@out_option
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    pictures: tuple[str, ...],
    backbone: str | None,
    feather: int,
    tones: bool,
    raw: bool,
    skip_existing: bool,
    out: Path,
    as_json: bool,
    align: bool,
    paste_back: bool,
    blend: Any,
    **asked: Any,
) -> None:
    """Complete the erased parts of PICTURES (files, folders or globs) in several ways.

    For each picture NAME, writes NAME-00.png, ... (completions; without a mask the generator's pictures),
    NAME-input.png (the working copy),
    NAME-mask.png (white = erased), NAME-sheet.png (all at a glance) and NAME.inversion.safetensors (for
    'ganinv edit').

    With --align the pictures are photos: the face is found and cut out first, the mask is one of the photo,
    and NAME.align.json is written too; with --paste-back, NAME-00-photo.png, ... are the photo with each
    result.
    Under torchrun or srun each process takes its share of the pictures.
    """
    photo = PhotoSettings(align, paste_back, blend, settings_of(FaceSettings, asked))
    photo.check()
    running = taken(MACHINE, asked)
    settings = PictureSettings(**asked)
    jobs = expand_inputs(pictures, [PICTURE_SUFFIXES], out)
    _refuse_overwriting(jobs, out, settings, raw)
    options = {**settings.to_json(), "backbone": backbone, **running}
    options |= {
        "feather": feather,
        "tones": tones,
        "raw": raw,
        "out": str(out),
        **(photo.to_json() if align else {}),
    }
    share = shares.my_share()
    jobs = share.of(jobs)
    if skip_existing:
        jobs = left_to_do(jobs, lambda job: _results(job, out, settings, raw, photo))
    report = Report(as_json, [job.path for job in jobs], options)
    if share.count > 1:
        shares.begin(share, out, REPORT)

    method = open_method(settings, open_generator(settings, backbone, **running), report)
    if align:
        run_jobs(
            jobs,
            lambda job: None,
            lambda job, _: _invert_photo(job, method, settings, photo, report, out),
            report,
        )
    else:
        run_jobs(
            jobs,
            lambda job: open_job(job, method, settings),
            lambda job, opened: _made(job, opened, method, settings, report, out).write,
            report,
        )
    if share.count > 1:
        shares.finish(share, out, REPORT, report.to_json())
    report.finish(ctx)


def _refuse_overwriting(jobs: Sequence[Job], out: Path, settings: PictureSettings, raw: bool) -> None:
    _, mask_file = mask_source(settings.mask)
    planned = [path for job in jobs for path in _outputs(out / job.name, settings.samples, raw)]
    planned += [path for job in jobs for path in _photos(out / job.name, settings.samples)]
    refuse_overwriting([job.path for job in jobs] + ([mask_file] if mask_file else []), planned)


def _outputs(stem: Path, samples: int, raw: bool) -> list[Path]:
    """Every file written for one picture; the sheet, which is the one to look at, comes last."""
    kinds = ("", "-raw") if raw else ("",)
    ends = [f"-{index:02d}{kind}.png" for index in range(samples) for kind in kinds]
    return [stem.with_name(stem.name + end) for end in (*ends, *_OTHER_ENDS)]


def _results(
    job: Job, out: Path, settings: PictureSettings, raw: bool, photo: PhotoSettings
) -> list[Path] | None:
    """The files of one picture or photo, for --skip-existing."""

    def outputs(name: str) -> list[Path]:
        return _outputs(out / name, settings.samples, raw)

    if not photo.align:
        return outputs(job.name)
    pasted = _photos(out / job.name, settings.samples) if photo.paste_back else []
    return photo_results(job, out, photo.faces.face, outputs, pasted)


def _photos(stem: Path, samples: int) -> list[Path]:
    """The photo with each sample pasted back."""
    return [stem.with_name(f"{stem.name}-{index:02d}-photo.png") for index in range(samples)]


def _invert_photo(
    job: Job,
    method: InversionMethod,
    settings: PictureSettings,
    photo: PhotoSettings,
    report: Report,
    out: Path,
) -> Callable[[], list[Path]]:
    """Inverts the faces of one photo, and pastes each sample back if asked; gives the files."""
    import numpy as np

    from ganinv.align.photo import Result

    aligned, faces = open_faces(job, method, settings, photo, report)
    written: list[Path] = []
    samples: list[dict[int, Result]] = [{} for _ in range(settings.samples)]
    for face in faces:
        kept = alignment(job, face.index)
        made = _made(face.job, face.opened, method, settings, report, out, alignment=kept)
        written += made.write()
        hole = face.opened.hole[0, 0].bool().numpy()[..., None]
        filled = made.pasted(tones=False)  # pasting moves tones by the photo's own pixels
        for index, changed in enumerate(samples):
            # around the hole what the generator drew for it tells how its tones differ from the photo's
            surround = np.where(hole, filled[index], made.drawn[index])
            changed[face.index] = Result(filled[index], surround, whole=not hole.any())
    pasted: list[Path] = []
    if photo.paste_back:
        stems = _photos(out / job.name, settings.samples)
        pasted = paste_photos(aligned.picture, aligned.sidecar, samples, stems, photo.blend)
    sidecar = aligned.sidecar.save(out / f"{job.name}{SIDECAR_SUFFIX}")
    return lambda: [sidecar, *written, *pasted]


class Made(NamedTuple):
    """What was made of one opened picture: its files in the order of `_outputs`, the inversion, what the
    generator drew for the hole (without one, its pictures), uint8 (K, H, W, 3), and, where they are to be
    written, its raw pictures; how known pixels are pasted.
    """

    paths: list[Path]
    opened: OpenedPicture
    inversion: Inversion
    drawn: np.ndarray
    raw: np.ndarray | None
    feather: int
    tones: bool

    def pasted(self, *, tones: bool) -> np.ndarray:
        """Completions, uint8 (K, H, W, 3); without a hole the answer is the generator's picture."""
        import numpy as np

        from ganinv.api import composite

        hole = np.repeat(self.opened.hole[0].bool().numpy(), len(self.drawn), axis=0)  # (K, H, W)
        if not hole.any():
            return self.drawn
        working = np.repeat(self.opened.working, len(self.drawn), axis=0)
        return composite(self.drawn, working, hole, self.feather, tones=tones)

    def write(self) -> list[Path]:
        """Writes the files; returns them."""
        import numpy as np

        from ganinv.api import write_png
        from ganinv.sizes import middle

        working, hole, count = self.opened.working[0], self.opened.hole[0, 0].bool().numpy(), len(self.drawn)
        part = middle(len(working), self.opened.content)
        completed = self.pasted(tones=self.tones)
        kinds = [completed] if self.raw is None else [completed, self.raw]
        pictures = [kind[index] for index in range(count) for kind in kinds]
        pictures += [working, np.where(hole, np.uint8(255), np.uint8(0))]
        *picture_paths, inversion_path, sheet_path = self.paths
        for path, pixels in zip(picture_paths, pictures, strict=True):
            write_png(path, pixels[part])
        self.inversion.save(inversion_path)
        tiles = [working, *([erased_picture(self.opened)] if hole.any() else []), *completed]
        write_png(sheet_path, _sheet([tile[part] for tile in tiles]))
        return self.paths


def _made(
    job: Job,
    opened: OpenedPicture,
    method: InversionMethod,
    settings: PictureSettings,
    report: Report,
    out: Path,
    **kept: Any,
) -> Made:
    """Inverts one picture; `kept` goes into the inversion's options."""
    from ganinv.api import to_uint8

    extra = {key: report.options[key] for key in ("precision", "feather", "tones")} | kept
    inversion = invert_opened(method, opened, settings, report, **extra)
    images = method.render(inversion.for_holes())[0]  # (K, 3, H, W)
    warn_if_foreign(images, opened, job, report)
    with_raw, feather, tones = (report.options[key] for key in ("raw", "feather", "tones"))
    raw = to_uint8(method.render(inversion)[0]) if with_raw else None
    paths = _outputs(out / job.name, settings.samples, with_raw)
    return Made(paths, opened, inversion, to_uint8(images), raw, feather, tones)


def _sheet(tiles: list[np.ndarray]) -> np.ndarray:
    """The picture, the picture with its hole in grey (if there is one), then the samples; uint8 (H, W, 3)."""
    from ganinv.images import sheet
    from ganinv.sizes import resize

    height, width = tiles[0].shape[:2]
    larger = max(1.0, _SHEET_TILE / width)
    tiles = [resize(tile, (round(height * larger), round(width * larger))) for tile in tiles]
    rows = [tiles[start : start + _SHEET_COLUMNS] for start in range(0, len(tiles), _SHEET_COLUMNS)]
    return sheet(rows, gap=max(4, round(width * larger) // 32))
