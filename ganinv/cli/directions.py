"""`ganinv directions`: what codes can be moved along; keeping directions of others, and fitting one's own."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ganinv.cli.directions_fit import backbone_option, fit, sample
from ganinv.cli.options import Finite
from ganinv.errors import UsageError

if TYPE_CHECKING:
    from ganinv.api import Edit


class SafeRange(click.ParamType):
    """Two numbers with a colon between them, like -5:5."""

    name = "LEAST:MOST"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[float, float]:
        """The two numbers; fails as other click types do."""
        low, _, high = str(value).partition(":")
        number = Finite()
        ends = number.convert(low, param, ctx), number.convert(high, param, ctx)
        if ends[0] >= ends[1]:
            self.fail(f"{value} is no range; type the lower strength first, like -5:5.", param, ctx)
        return ends


@click.group("directions", short_help="List, keep and fit editing directions.")
def command() -> None:
    """Directions along which 'ganinv edit' moves a picture."""


@command.command("list")
@backbone_option
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list.")
def list_directions(backbone: str, as_json: bool) -> None:
    """List the directions that fit a backbone: of the package, of your store, of plugins.

    Beside these, 'ganinv edit' takes files, sefa:K and style:LAYER:CHANNEL.
    """
    from ganinv.api import load_backbone, load_directions
    from ganinv.editing.store import stored_directions

    generator = load_backbone(backbone)
    found = load_directions(generator)
    if as_json:
        click.echo(json.dumps([direction_row(edit) for _, edit in sorted(found.items())], indent=2))
        return
    if not found:
        click.echo(f"no directions for {backbone}")
    for name, edit in sorted(found.items()):
        click.echo(f"{name}  {edit.about}".rstrip() + f"\n    {_facts(edit)}")
    others = sorted(
        name for name in stored_directions() if name not in found and f"store/{name}" not in found
    )
    if others:
        click.echo(f"in your store, for other backbones: {', '.join(others)}")


@command.command("add")
@click.argument("name")
@click.argument("source", metavar="FILE|FILE:COMPONENT|sefa:K|style:LAYER:CHANNEL")
@click.option("--backbone", help="Keep it for this model only; needed where its width is not told.")
@click.option(
    "--unit", type=Finite(), help="What a step of strength is multiplied by; negative turns it round."
)
@click.option("--range", "safe_range", type=SafeRange(), help="Strengths without a warning, like -5:5.")
@click.option("--licence", help="Kept with the direction, as typed.")
@click.option("--about", help="What positive strengths do, like 'older'.")
def add(name: str, source: str, backbone: str | None, **given: Any) -> None:
    """Keep a direction in your store; NAME then works as --direction.

    The source may end in :FIRST-LAST, the layers to change, counted from 0, both included: pca.pt:54:7-7.
    Reads InterFaceGAN and SFE boundaries, GANSpace files (which need a component), StyleCLIP mappers and
    files of 'directions fit --out'. The store is $GANINV_HOME/directions, or ~/.cache/ganinv/directions.
    """
    from ganinv.api import load_backbone, load_direction
    from ganinv.editing.store import check_free, keep_direction

    check_free(name)
    if given["unit"] == 0:
        raise UsageError("--unit 0 would make every strength do nothing")
    generator = None if backbone is None else load_backbone(backbone)
    facts = {key: value for key, value in given.items() if value is not None}
    if generator is not None:
        facts["backbone_sha256"] = generator.sha256
    edit = replace(load_direction(source, generator), **facts)
    path = keep_direction(name, edit, provenance={"source": Path(source).name})
    click.echo(f"{name}  {_facts(edit)}\n    {path}")


@command.command("remove")
@click.argument("name")
def remove(name: str) -> None:
    """Delete a direction of your store."""
    from ganinv.editing.store import remove_direction

    remove_direction(name)
    click.echo(f"{name} is removed")


command.add_command(sample)
command.add_command(fit)


def direction_row(edit: Edit) -> dict[str, Any]:
    """What `list --json` says of a direction: its name and manifest."""
    from ganinv.editing.manifest import manifest

    return {"name": edit.name, **manifest(edit)}


def _facts(edit: Edit) -> str:
    layers = "all layers" if edit.layers is None else f"layers {edit.layers[0]} to {edit.layers[1] - 1}"
    facts = [f"{edit.form}, {edit.space}", f"unit {edit.unit:.3g}", layers]
    if edit.safe_range is not None:
        facts.append(f"strengths {edit.safe_range[0]:g} to {edit.safe_range[1]:g}")
    if edit.backbone_sha256 is None:
        facts.append("for any backbone of its width")
    return ", ".join([*facts, f"from {edit.origin}", f"licence {edit.licence or 'not told'}"])
