"""`ganinv invert`: several completions of pictures with erased parts, or plain inversion of whole ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ganinv.cli.common import (
    INVERSION_SUFFIX,
    PICTURE_SUFFIXES,
    Job,
    Report,
    expand_inputs,
    json_option,
    machine_options,
    out_option,
    refuse_overwriting,
    run_jobs,
)
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

if TYPE_CHECKING:
    import numpy as np

    from ganinv.api import Inversion, InversionMethod, OpenedPicture

# A 64 px picture is a stamp on today's screens.
_SHEET_TILE = 128
_SHEET_COLUMNS = 8
_OTHER_ENDS = ("-input.png", "-mask.png", INVERSION_SUFFIX, "-sheet.png")
_FEATHER = "Width in pixels of a soft edge inside the hole."


@click.command("invert", short_help="Complete pictures with erased parts, or invert whole ones.")
@click.argument("pictures", nargs=-1, required=True)
@picture_options
@backbone_option
@machine_options
@click.option("--feather", type=click.IntRange(min=0), default=0, show_default=True, help=_FEATHER)
@click.option("--raw", is_flag=True, help="Also write NAME-00-raw.png, ...: all pixels by the generator.")
@out_option
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    pictures: tuple[str, ...],
    backbone: str | None,
    device: str,
    precision: str,
    chunk: int | None,
    compiled: bool,
    feather: int,
    raw: bool,
    out: Path,
    as_json: bool,
    **asked: Any,
) -> None:
    """Complete the erased parts of PICTURES (files, folders or globs) in several ways.

    For each picture NAME, writes NAME-00.png, ... (completions; without a mask the generator's pictures),
    NAME-input.png (the working copy),
    NAME-mask.png (white = erased), NAME-sheet.png (all at a glance) and NAME.inversion.safetensors (for
    'ganinv edit').
    """
    settings = PictureSettings(**asked)
    jobs = expand_inputs(pictures, [PICTURE_SUFFIXES], out)
    _, mask_file = mask_source(settings.mask)
    planned = [path for job in jobs for path in _outputs(out / job.name, settings.samples, raw)]
    refuse_overwriting([job.path for job in jobs] + ([mask_file] if mask_file else []), planned)
    running: dict[str, Any] = {"device": device, "precision": precision, "chunk": chunk, "compiled": compiled}
    options = {**settings.to_json(), "backbone": backbone, **running}
    options |= {"feather": feather, "raw": raw, "out": str(out)}
    report = Report(as_json, [job.path for job in jobs], options)

    method = open_method(settings, open_generator(settings, backbone, **running), report)
    run_jobs(
        jobs,
        lambda job: open_job(job, method, settings),
        lambda job, opened: _invert(job, opened, method, settings, report, out),
        report,
    )
    report.finish(ctx)


def _outputs(stem: Path, samples: int, raw: bool) -> list[Path]:
    """Every file written for one picture; the sheet, which is the one to look at, comes last."""
    kinds = ("", "-raw") if raw else ("",)
    ends = [f"-{index:02d}{kind}.png" for index in range(samples) for kind in kinds]
    return [stem.with_name(stem.name + end) for end in (*ends, *_OTHER_ENDS)]


def _invert(
    job: Job,
    opened: OpenedPicture,
    method: InversionMethod,
    settings: PictureSettings,
    report: Report,
    out: Path,
) -> Callable[[], list[Path]]:
    """Inverts one picture; what it returns writes the files and gives them in the order of `_outputs`."""
    from ganinv.api import to_uint8

    extra = {key: report.options[key] for key in ("precision", "feather")}
    inversion = invert_opened(method, opened, settings, report, **extra)
    images = method.render(inversion)[0]  # (K, 3, H, W)
    warn_if_foreign(images, opened, job, report)
    drawn = to_uint8(images)
    paths = _outputs(out / job.name, settings.samples, bool(report.options["raw"]))
    return lambda: _write(paths, opened, inversion, drawn, report.options["feather"])


def _write(
    paths: list[Path], opened: OpenedPicture, inversion: Inversion, drawn: np.ndarray, feather: int
) -> list[Path]:
    """Writes the files of one picture; `drawn`: uint8 (K, H, W, 3), by the generator. Returns `paths`."""
    import numpy as np

    from ganinv.api import composite, write_png
    from ganinv.images import middle

    count = len(drawn)
    holes = np.repeat(opened.hole[0].bool().numpy(), count, axis=0)  # (K, H, W)
    working = np.repeat(opened.working, count, axis=0)
    # without a hole there is nothing to paste: the answer is the generator's picture
    completed = composite(drawn, working, holes, feather) if holes.any() else drawn

    part = middle(working.shape[1], opened.content)
    kinds = (len(paths) - len(_OTHER_ENDS)) // count  # completions, and with --raw the generator's pictures
    pictures: list[np.ndarray] = []
    for index in range(count):
        pictures += [completed[index], drawn[index]][:kinds]
    pictures += [opened.working[0], np.where(holes[0], np.uint8(255), np.uint8(0))]
    *picture_paths, inversion_path, sheet_path = paths
    for path, pixels in zip(picture_paths, pictures, strict=True):
        write_png(path, pixels[part])
    inversion.save(inversion_path)
    tiles = [opened.working[0], *([erased_picture(opened)] if opened.hole.any() else []), *completed]
    write_png(sheet_path, _sheet([tile[part] for tile in tiles]))
    return paths


def _sheet(tiles: list[np.ndarray]) -> np.ndarray:
    """The picture, the picture with its hole in grey (if there is one), then the samples; uint8 (H, W, 3)."""
    from ganinv.images import resize, sheet

    height, width = tiles[0].shape[:2]
    larger = max(1.0, _SHEET_TILE / width)
    tiles = [resize(tile, (round(height * larger), round(width * larger))) for tile in tiles]
    rows = [tiles[start : start + _SHEET_COLUMNS] for start in range(0, len(tiles), _SHEET_COLUMNS)]
    return sheet(rows, gap=max(4, round(width * larger) // 32))
