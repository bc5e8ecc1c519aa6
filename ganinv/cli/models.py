"""`ganinv models`: what is in the package and in the user's store; what a checkpoint file holds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ganinv.cli.progress import download_bar
from ganinv.errors import CheckpointError, UnknownNameError, UsageError

if TYPE_CHECKING:
    from ganinv.checkpoints.door import FileContents, Part


@click.group("models", short_help="List, inspect, convert and keep models.")
def command() -> None:
    """Models of the package, of its plugins and of your own store; checkpoint files of anybody."""


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
        click.echo(f"{model['name']}  {', '.join(model['kinds'])}  {model['bytes'] / 1e6:.1f} MB")
        click.echo(f"    sha256 {model['sha256']}\n    {model['path']}")
        if "origin" in model:
            click.echo(f"    from {model['origin']}, licence {model['licence'] or 'not told'}")


@command.command("add")
@click.argument("name")
@click.argument("source", metavar="FILE|URL")
@click.option("--licence", help="Kept beside the model, as typed.")
@click.option("--sha256", metavar="HEX", help="Refuse a file of another digest.")
@click.option("--allow-http", is_flag=True, help="Also take an http:// link.")
def add(name: str, source: str, licence: str | None, sha256: str | None, allow_http: bool) -> None:
    """Copy or download a checkpoint into your store; NAME then works as --backbone.

    The store is $GANINV_HOME/models, or ~/.cache/ganinv/models. A download that was cut goes on where it
    stopped.
    """
    from ganinv.api import bundled_models
    from ganinv.store import add_model

    if name in {model.name for model in bundled_models()}:
        raise UsageError(f"{name!r} is a model of the package; choose another name")
    with download_bar() as progress:
        model = add_model(
            name, source, licence=licence, sha256=sha256, allow_http=allow_http, progress=progress
        )
    click.echo(f"{model.name}  {', '.join(model.kinds)}\n    sha256 {model.sha256}\n    {model.path}")


@command.command("remove")
@click.argument("name")
def remove(name: str) -> None:
    """Delete a model of your store."""
    from ganinv.store import remove_model

    remove_model(name)
    click.echo(f"{name} is removed")


@command.command("inspect")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
def inspect(file: Path, as_json: bool) -> None:
    """Say what a checkpoint FILE holds, without running anything from it."""
    from ganinv.checkpoints.door import open_file

    contents = open_file(file)
    if as_json:
        click.echo(json.dumps(summary(contents), indent=2, default=str))
        return
    click.echo(f"{contents.path}: {contents.format}\n    sha256 {contents.sha256}")
    for part in summary(contents)["parts"]:
        click.echo(
            f"{part['name']}  {part['kind']}, {part['family']}, {part['parameters'] / 1e6:.2f} M numbers"
        )
        click.echo("    " + ", ".join(f"{key} {value}" for key, value in part["config"].items()))
        for what in ("missing", "unexpected"):
            if part[what]:
                click.echo(f"    {what}: {', '.join(part[what])}")
    for key, value in contents.facts.items():
        click.echo(f"{key}: {value}")


@command.command("convert")
@click.argument("file", type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--part", help="As 'inspect' names it; default: the averaged generator.")
def convert(file: Path, out: Path, part: str | None) -> None:
    """Write a network of FILE as ganinv safetensors, every number as it is."""
    from ganinv.checkpoints import write_checkpoint
    from ganinv.checkpoints.door import open_file, pick_part

    if out.suffix != ".safetensors":
        raise UsageError(f"{out} must end in .safetensors")
    if out.exists():
        raise UsageError(f"{out} exists; name another file")
    contents = open_file(file)
    names = {found.name: found for found in contents.parts}
    if part is not None and part not in names:
        raise UnknownNameError("part", part, names)
    chosen = names[part] if part is not None else pick_part(contents, "generator")
    if chosen.missing or chosen.unexpected:
        raise CheckpointError(
            f"{file}: its {chosen.name} is not whole: {len(chosen.missing)} tensors missing, "
            f"{len(chosen.unexpected)} left over; see 'ganinv models inspect'"
        )
    origin = {"converted_from": contents.format, "sha256": contents.sha256, "part": chosen.name}
    write_checkpoint(
        out, chosen.tensors, kind=chosen.kind, family=chosen.family, config=chosen.config, provenance=origin
    )
    click.echo(f"{file} -> {out} ({chosen.name}, {chosen.kind})")


def summary(contents: FileContents) -> dict[str, Any]:
    """What `inspect` prints, as plain data."""
    return {
        "path": str(contents.path),
        "format": contents.format,
        "sha256": contents.sha256,
        "parts": [_part(part) for part in contents.parts],
        "facts": contents.facts,
    }


def _part(part: Part) -> dict[str, Any]:
    told = {key: value for key, value in part.config.items() if value not in (None, (), [])}
    return {
        "name": part.name,
        "kind": part.kind,
        "family": part.family,
        "parameters": sum(tensor.numel() for tensor in part.tensors.values()),
        "config": told,
        "missing": list(part.missing),
        "unexpected": list(part.unexpected),
    }


def model_table() -> list[dict[str, Any]]:
    """{name, kinds, path, sha256, bytes} of every model; of stored ones licence and origin too. Raises
    CheckpointError for a damaged one.
    """
    from ganinv.api import bundled_models
    from ganinv.checkpoints import sha256_file
    from ganinv.store import stored_models

    table: list[dict[str, Any]] = [
        {
            "name": model.name,
            "kinds": (model.kind,),
            "path": str(model.path),
            "sha256": sha256_file(model.path),
        }
        for model in bundled_models()
    ]
    table += [{**model._asdict(), "path": str(model.path)} for model in stored_models()]
    return [{**row, "bytes": _size(row["path"])} for row in table]


def _size(path: str) -> int:
    try:
        return Path(path).stat().st_size
    except OSError as cause:
        raise CheckpointError(f"cannot read {path}: {cause.strerror}") from cause
