"""`ganinv directions list`: what the codes of a backbone can be moved along."""

from __future__ import annotations

import json

import click


@click.group("directions", short_help="List the editing directions of a backbone.")
def command() -> None:
    """Directions along which 'ganinv edit' moves a picture."""


@command.command("list")
@click.option(
    "--backbone", default="portraits-64", show_default=True, help="A bundled model's name or a file."
)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list.")
def list_directions(backbone: str, as_json: bool) -> None:
    """List the directions for a backbone: name, what strength +1 does, layers, origin."""
    from ganinv.api import load_backbone, load_directions

    generator = load_backbone(backbone)
    found = sorted(load_directions(generator).values(), key=lambda direction: direction.name)
    if as_json:
        rows = [
            {
                "name": direction.name,
                "about": direction.about,
                "unit": direction.unit,
                "layers": list(direction.layers or (0, generator.num_ws)),
                "origin": direction.origin,
            }
            for direction in found
        ]
        click.echo(json.dumps(rows, indent=2))
        return
    if not found:
        click.echo(f"no directions for {backbone}")
    width = max((len(direction.name) for direction in found), default=0)
    for direction in found:
        layers = _layers(direction.layers)
        about = f"  {direction.about}" if direction.about else ""
        facts = f"unit {direction.unit:.3g}, {layers}, from {direction.origin}"
        click.echo(f"{direction.name:<{width}}  {facts}{about}")


def _layers(span: tuple[int, int] | None) -> str:
    return "all layers" if span is None else f"layers {span[0]} to {span[1] - 1}"
