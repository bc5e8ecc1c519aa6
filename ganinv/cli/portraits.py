"""`ganinv portraits`: render procedural portraits with their attributes and landmarks."""

from __future__ import annotations

import json
from pathlib import Path

import click

from ganinv.cli.progress import counted


@click.command("portraits")
@click.option("--count", type=int, default=16, show_default=True, help="How many portraits.")
@click.option(
    "--size", type=int, default=256, show_default=True, help="Side of the pictures in pixels, 8 to 1024."
)
@click.option(
    "--seed", type=int, default=0, show_default=True, help="Which endless series of portraits to take."
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    required=True,
    help="Folder for 000000.png ... and portraits.json.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a sentence.")
def command(count: int, size: int, seed: int, out: Path, as_json: bool) -> None:
    """Render procedural portraits: pictures, and portraits.json with what is true of each.

    Portrait I of a series depends on the seed and I only: a longer run begins with the same pictures.
    """
    from ganinv.portraits.files import write_portraits

    written = list(counted(write_portraits(out, count, size, seed), count + 1))
    if as_json:
        options = {"count": count, "size": size, "seed": seed, "out": str(out)}
        result = {
            "outputs": [str(path) for path in written],
            "inputs": [],
            "options": options,
            "failures": [],
        }
        click.echo(json.dumps(result))
    else:
        click.echo(f"{count} portraits and {written[-1].name} are in {out}")
