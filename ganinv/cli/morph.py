"""`ganinv morph`: pictures on the way from one completion to another."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ganinv.cli.inputs import INVERSION_SUFFIX, refuse_overwriting, result_name
from ganinv.cli.options import json_option, machine_options, out_option, tones_option
from ganinv.errors import UsageError

if TYPE_CHECKING:
    import numpy as np

    from ganinv.api import Inversion

_MOST_STEPS = 200
_FRAME_MS = 80


@click.command("morph", short_help="Go from one completion to another in steps.")
@click.argument("first", type=click.Path(path_type=Path))
@click.argument("second", type=click.Path(path_type=Path), required=False)
@click.option(
    "--from", "start", type=click.IntRange(min=0), default=0, show_default=True, help="Sample of FIRST."
)
@click.option(
    "--to", "end", type=click.IntRange(min=0), help="Sample of SECOND; default: 0, or 1 where FIRST is both."
)
@click.option(
    "--steps", type=click.IntRange(2, _MOST_STEPS), default=7, show_default=True, help="Ends included."
)
@click.option("--raw", is_flag=True, help="All pixels by the generator; known ones are not pasted.")
@tones_option
@click.option("--backbone", help="Name or file; default: the inversion's own.")
@machine_options
@out_option
@json_option
def command(
    first: Path,
    second: Path | None,
    start: int,
    end: int | None,
    steps: int,
    raw: bool,
    tones: bool,
    backbone: str | None,
    device: str,
    precision: str,
    chunk: int | None,
    compiled: bool,
    out: Path,
    as_json: bool,
) -> None:
    """Go from a sample of FIRST to a sample of SECOND, files of 'ganinv invert'; without SECOND to another
    sample of FIRST.

    Writes NAME-morph-00.png, ..., NAME-morph-strip.png, NAME-morph.gif (there and back) and
    NAME-morph.inversion.safetensors, which 'ganinv edit' takes. Two completions of one picture with one hole
    keep its known pixels.
    """
    from ganinv.api import Inversion, complete, morph, render, to_uint8
    from ganinv.cli.machine import backbone_of, open_backbone
    from ganinv.guidance import same_picture
    from ganinv.sizes import middle

    target = (1 if second is None else 0) if end is None else end
    if second is None and start == target:
        raise UsageError(f"--from {start} --to {target} is one sample; name two, or a second file")
    name = result_name(first.name)
    paths = _outputs(out / name, steps)
    inputs = [first, *([second] if second else [])]
    refuse_overwriting(inputs, paths)
    opened = [Inversion.load(path) for path in inputs]
    for path, inversion in zip(inputs, opened, strict=True):
        if inversion.ws.shape[0] > 1:
            raise UsageError(f"{path} holds {inversion.ws.shape[0]} pictures; a morph takes files of one")
    ends = opened[0].sample(start), opened[-1].sample(target)
    running: dict[str, Any] = {"device": device, "precision": precision, "chunk": chunk, "compiled": compiled}
    generator = open_backbone(backbone or backbone_of(ends[0], first), **running)
    between = morph(*ends, steps)
    if not raw and not same_picture(*ends):
        click.echo("Note: these are not of one picture and hole: no known pixels are pasted", err=True)
    pasted = not raw and same_picture(*ends) and bool(between.hole.any())
    drawn = complete(between, generator, tones=tones) if pasted else to_uint8(render(between, generator))
    rows, columns = middle(generator.resolution, between.content)
    frames = drawn[0, :, rows, columns]
    written = _write(frames, between, paths)
    if as_json:
        options: dict[str, Any] = {"from": start, "to": target, "steps": steps, "raw": raw, "tones": tones}
        options |= {"backbone": backbone, **running, "out": str(out)}
        result = {"outputs": list(map(str, written)), "inputs": list(map(str, inputs)), "options": options}
        click.echo(json.dumps({**result, "failures": []}, indent=2))
    else:
        click.echo(f"{' and '.join(map(str, inputs))} -> {written[-1]} ({len(written)} files)")


def _outputs(stem: Path, steps: int) -> list[Path]:
    ends = [f"-morph-{index:02d}.png" for index in range(steps)]
    ends += ["-morph.gif", f"-morph{INVERSION_SUFFIX}", "-morph-strip.png"]
    return [stem.with_name(stem.name + end) for end in ends]


def _write(frames: np.ndarray, inversion: Inversion, paths: list[Path]) -> list[Path]:
    from PIL import Image

    from ganinv.api import write_png
    from ganinv.files import write_bytes
    from ganinv.images import sheet

    *pictures, gif, saved, strip = paths
    for path, pixels in zip(pictures, frames, strict=True):
        write_png(path, pixels)
    there_and_back = [Image.fromarray(pixels) for pixels in [*frames, *frames[-2:0:-1]]]
    buffer = io.BytesIO()
    there_and_back[0].save(
        buffer, "GIF", save_all=True, append_images=there_and_back[1:], duration=_FRAME_MS, loop=0
    )
    write_bytes(gif, buffer.getvalue())
    inversion.save(saved)
    write_png(strip, sheet([list(frames)]))
    return paths
