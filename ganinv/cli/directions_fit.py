"""`ganinv directions sample` and `fit`: pictures to label, and directions fitted to the labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from ganinv.backbones import DEFAULT
from ganinv.cli.options import Finite, seed_option
from ganinv.cli.progress import counted
from ganinv.errors import UsageError

if TYPE_CHECKING:
    from ganinv.api import Edit
    from ganinv.editing.fit import Boundary

_POOR = 0.7  # a guess gets 0.5

backbone_option = click.option(
    "--backbone", default=DEFAULT, show_default=True, help="A model's name or a file."
)


@click.command("sample")
@backbone_option
@click.option("--count", type=click.IntRange(min=1), default=200, show_default=True, help="How many.")
@seed_option("Of the first picture.")
@click.option("--out", required=True, type=click.Path(path_type=Path, file_okay=False), help="Folder.")
def sample(backbone: str, count: int, seed: int, out: Path) -> None:
    """Draw samples of a backbone to label: 000000.png, ... and samples.csv with their seeds.

    Add a column for each attribute to samples.csv, then type 'ganinv directions fit'.
    """
    from ganinv.api import load_backbone
    from ganinv.editing.attributes import write_samples

    written = list(counted(write_samples(out, load_backbone(backbone), count, seed), count + 1))
    click.echo(f"{count} pictures and {written[-1].name} are in {out}")


@click.command("fit")
@backbone_option
@click.option(
    "--attributes",
    "table",
    required=True,
    type=click.Path(path_type=Path),
    metavar="CSV",
    help="A column 'seed' or 'inversion', and a column of numbers for each attribute.",
)
@click.option("--attribute", "names", multiple=True, help="Only this column; repeatable. Default: all.")
@click.option(
    "--model",
    type=click.Choice(["svm", "logistic"]),
    default="svm",
    show_default=True,
    help="Linear SVM, as in InterFaceGAN, or logistic regression.",
)
@click.option(
    "--share",
    type=Finite(0.005, 0.5),
    default=0.2,
    show_default=True,
    help="Part of the rows taken from each end; columns of two values take all.",
)
@click.option("--orthogonal", is_flag=True, help="Project the other attributes' directions out.")
@seed_option("Of the held-out choice.")
@click.option("--name", help="In your store; default: the column's name.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="A file instead of the store.")
@click.option("--licence", default="", help="Kept with the directions, as typed.")
def fit(
    backbone: str,
    table: Path,
    names: tuple[str, ...],
    model: Literal["svm", "logistic"],
    share: float,
    orthogonal: bool,
    seed: int,
    name: str | None,
    out: Path | None,
    licence: str,
) -> None:
    """Fit a direction to each attribute of a CSV and keep it in your store, or write all to --out FILE.

    A row's column 'seed' is that of 'ganinv directions sample'; or its column 'inversion' names a file of
    'ganinv invert', relative to the CSV. 30 % of the codes used are held out to tell how well it separates.
    """
    from ganinv.api import load_backbone
    from ganinv.editing.attributes import read_attributes
    from ganinv.editing.fit import fit_directions

    if out is not None and (name is not None or out.suffix != ".safetensors" or out.exists()):
        problem = "and --name exclude each other" if name else "must be a new file that ends in .safetensors"
        raise UsageError(f"--out {out} {problem}")
    generator = load_backbone(backbone)
    labelled = read_attributes(table, generator)
    chosen = list(names or labelled.attributes)
    _check_names(chosen, name, stored=out is None)
    for reason in () if names else labelled.left_out.values():
        click.echo(f"Note: {reason}; its column is left out", err=True)
    options: dict[str, Any] = {"model": model, "share": share, "orthogonal": orthogonal, "seed": seed}
    fitted = fit_directions(labelled, generator, chosen, **options)
    for direction, boundary in fitted:
        _tell(direction.name, boundary)
    origin = f"{'orthogonal ' if orthogonal else ''}{model} on {table.name}"
    edits = [
        replace(direction, name=name or direction.name, licence=licence, origin=origin)
        for direction, _ in fitted
    ]
    _keep(edits, out, {"table": table.name, **options})


def _check_names(chosen: Sequence[str], name: str | None, *, stored: bool) -> None:
    """Raises UsageError, before any work, where the results cannot be kept under their names."""
    from ganinv.editing.store import check_free

    if name is not None and len(chosen) != 1:
        raise UsageError(
            f"--name {name} is for one attribute, and there are {', '.join(chosen)}: type --attribute as well"
        )
    for own in [name] if name is not None else chosen if stored else []:
        check_free(own)


def _tell(name: str, boundary: Boundary) -> None:
    click.echo(
        f"{name}: {boundary.accuracy:.1%} of {boundary.held_out} held-out codes on the right side; "
        f"fitted on {boundary.used}"
    )
    if boundary.accuracy < _POOR:
        click.echo(
            f"Warning: {name}: little better than a guess, which gets 50%; label more rows, and see that "
            "they name the codes they describe",
            err=True,
        )


def _keep(edits: Sequence[Edit], out: Path | None, provenance: dict[str, Any]) -> None:
    """Writes the edits to a file or into the store."""
    from ganinv.editing.manifest import write_directions
    from ganinv.editing.store import keep_direction

    if out is not None:
        write_directions(out, edits, provenance=provenance)
        click.echo(f"{out} holds {', '.join(edit.name for edit in edits)}")
        return
    for edit in edits:
        click.echo(f"{edit.name} -> {keep_direction(edit.name, edit, provenance=provenance)}")
