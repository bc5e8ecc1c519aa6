"""`ganinv models list`: the weight files in the package and its plugins, with their digests."""

from __future__ import annotations

import json
from typing import Any

import click


@click.group("models", short_help="List the models in the package.")
def command() -> None:
    """The models that come with the package and its plugins."""


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list.")
def list_models(as_json: bool) -> None:
    """List each model with its kind, size, digest and path."""
    models = model_table()
    if as_json:
        click.echo(json.dumps(models, indent=2))
        return
    if not models:
        click.echo("no models in this checkout")
    for model in models:
        click.echo(f"{model['name']}  {model['kind']}  {model['bytes'] / 1e6:.1f} MB")
        click.echo(f"    sha256 {model['sha256']}\n    {model['path']}")


def model_table() -> list[dict[str, Any]]:
    """{name, kind, path, sha256, bytes} of every model. Raises CheckpointError for a damaged one."""
    from ganinv.api import bundled_models
    from ganinv.checkpoints import sha256_file

    return [
        {
            "name": model.name,
            "kind": model.kind,
            "path": str(model.path),
            "sha256": sha256_file(model.path),
            "bytes": model.path.stat().st_size,
        }
        for model in bundled_models()
    ]
